//! Connections that a listener passes on as they are. It knows no sockets.

use crate::HostPattern;

/// Where they go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passage {
    /// By the name in the first message of TLS, which is not decrypted then; in the order of the file.
    pub names: Vec<(HostPattern, String)>,
    /// The cluster for all others; `None`: they are of HTTP if the listener decrypts, else refused.
    pub rest: Option<String>,
}

impl Passage {
    /// Every cluster that something is passed on to.
    pub fn clusters(&self) -> impl Iterator<Item = &String> {
        self.names.iter().map(|(_, cluster)| cluster).chain(&self.rest)
    }
}
