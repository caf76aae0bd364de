//! What an authority is shown that wants to know whether a host is ours (RFC 8555 §8.3, RFC 8737): for as long as it asks.

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use std::collections::HashMap;
use std::sync::Arc;

/// The protocol that only authorities speak.
pub const ACME_TLS: &[u8] = b"acme-tls/1";

/// Where authorities look in the clear.
pub(crate) const PATH: &[u8] = b"/.well-known/acme-challenge/";

/// What is shown now, on all listeners alike.
#[derive(Debug, Default)]
pub struct Challenges(ArcSwap<HashMap<String, Shown>>);

/// What is shown for one host.
#[derive(Clone, Debug)]
pub enum Shown {
    /// `text` below the path, under the name `token`.
    Text { token: String, text: Arc<[u8]> },
    /// To whoever speaks `ACME_TLS`.
    Certificate(Arc<ServerConfig>),
}

impl Challenges {
    pub fn show(&self, host: &str, shown: &Shown) {
        self.0.rcu(|all| {
            let mut all = HashMap::clone(all);
            all.insert(host.to_owned(), shown.clone());
            all
        });
    }

    pub fn forget(&self, host: &str) {
        self.0.rcu(|all| {
            let mut all = HashMap::clone(all);
            all.remove(host);
            all
        });
    }

    /// What is at this path.
    pub(crate) fn text(&self, path: &[u8]) -> Option<Arc<[u8]>> {
        let wanted = path.strip_prefix(PATH)?;
        self.0.load().values().find_map(|shown| match shown {
            Shown::Text { token, text } if token.as_bytes() == wanted => Some(Arc::clone(text)),
            _ => None,
        })
    }

    /// What is shown to an authority that asks for this host.
    pub(super) fn certificate(&self, host: Option<&str>) -> Option<Arc<ServerConfig>> {
        match self.0.load().get(host?) {
            Some(Shown::Certificate(config)) => Some(Arc::clone(config)),
            _ => None,
        }
    }
}
