//! Connections that a listener passes on as they are. It knows no sockets.

use crate::{HostPattern, Retry, RouteTimeouts};

/// Where they go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passage {
    /// By the name in the first message of TLS, which is not decrypted then; `None`: whatever name, or none. The most
    /// particular name is asked first, and what has the same in the order of the file.
    pub names: Vec<(Option<HostPattern>, Course)>,
    /// All others; `None`: they are of HTTP if the listener decrypts, else refused.
    pub rest: Option<Course>,
}

/// One way that connections go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Course {
    /// The name of one of [`crate::Config::clusters`].
    pub cluster: String,
    /// Only for clients that want to speak one of these in TLS (ALPN); empty: for all.
    pub protocols: Vec<String>,
    /// How long to wait: of these, for an endpoint with room, for a connection to it, and for bytes.
    pub timeout: RouteTimeouts,
    /// When another endpoint is tried.
    pub retry: Retry,
}

impl Passage {
    /// Every cluster that something is passed on to.
    pub fn clusters(&self) -> impl Iterator<Item = &String> {
        self.names.iter().map(|(_, course)| course).chain(&self.rest).map(|course| &course.cluster)
    }
}
