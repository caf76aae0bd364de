//! Sticky sessions: a cookie that brings a client back to its endpoint.
//!
//! It does not know what stands in the cookie.

use std::path::PathBuf;

use crate::Bound;

/// A cookie that brings a client back to its endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sticky {
    /// Its name, a token; `tidegate_` and the name of the cluster, when the file gives none. Two clusters of one site with
    /// the same would take each other's place.
    pub cookie: String,
    /// What it is signed with.
    pub secret: Secret,
    /// How much load the endpoint may hold before the client is served elsewhere for a while; `None`: any.
    pub bound: Option<Bound>,
    /// Whether the endpoint sees the cookie, too.
    pub forward: bool,
}

impl Sticky {
    /// For a cookie that the file gives no name. It depends on nothing but the cluster's, so that cookies survive a reload
    /// that adds others.
    pub(crate) fn cookie_of(cluster: &str) -> String {
        format!("tidegate_{cluster}")
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
