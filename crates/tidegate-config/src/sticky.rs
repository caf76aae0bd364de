//! Sticky sessions: a cookie that brings a client back to its endpoint.
//!
//! It does not know what stands in the cookie.

use std::path::PathBuf;

use crate::Bound;

/// A cookie that brings a client back to its endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sticky {
    /// Its name, a token.
    pub cookie: String,
    /// What it is signed with.
    pub secret: Secret,
    /// How much load the endpoint may hold before the client is served elsewhere for a while; `None`: any.
    pub bound: Option<Bound>,
    /// Whether the endpoint sees the cookie, too.
    pub forward: bool,
}

impl Default for Sticky {
    fn default() -> Self {
        Self { cookie: "tidegate".into(), secret: Secret::Made, bound: None, forward: false }
    }
}

/// Where the secret of a cookie comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Secret {
    /// The value of this variable of the environment.
    Environment(String),
    /// The contents of this file.
    File(PathBuf),
    /// Made when the proxy starts, and gone when it ends.
    #[default]
    Made,
}
