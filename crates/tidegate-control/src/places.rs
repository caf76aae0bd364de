//! Where to listen: each bind address of the configuration becomes one or more socket addresses. Binds nothing.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use tidegate_config::{Bind, Host, Listener};

/// One socket address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// What makes it the same listener across reloads.
    pub(crate) key: Arc<str>,
    pub(crate) spot: Spot,
    /// The listener of the configuration that it belongs to.
    pub(crate) listener: usize,
    /// From a name with other addresses: may fail where one of the others does not.
    pub(crate) optional: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Spot {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// Why a bind address leads nowhere.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    #[error("cannot listen on {bind}: {key} is already listened on by an earlier listener of the same file")]
    Twice { bind: String, key: Arc<str> },
    #[error("cannot listen on {bind}: the name does not resolve: {source}")]
    Unresolved { bind: String, source: std::io::Error },
}

/// The places of all listeners, in order.
pub(crate) async fn places(listeners: &[Listener]) -> Result<Vec<Place>, PlaceError> {
    let mut places: Vec<Place> = Vec::new();
    let mut keys = HashSet::new();
    for (listener, configured) in listeners.iter().enumerate() {
        let spots = spots(&configured.bind).await?;
        let optional = spots.len() > 1;
        for spot in spots {
            let key = key(&configured.bind, &spot, &keys);
            if !keys.insert(Arc::clone(&key)) {
                return Err(PlaceError::Twice { bind: configured.bind.to_string(), key });
            }
            places.push(Place { key, spot, listener, optional });
        }
    }
    Ok(places)
}

/// The socket addresses of one bind address.
pub(crate) async fn spots(bind: &Bind) -> Result<Vec<Spot>, PlaceError> {
    Ok(match bind {
        Bind::Unix(path) => vec![Spot::Unix(path.clone())],
        Bind::Tcp { host: None, port } => vec![Spot::Tcp((Ipv6Addr::UNSPECIFIED, *port).into())],
        Bind::Tcp { host: Some(Host::Ip(ip)), port } => vec![Spot::Tcp((*ip, *port).into())],
        Bind::Tcp { host: Some(Host::Name(name)), port } => {
            let found = tokio::net::lookup_host((name.as_str(), *port)).await;
            let unresolved = |source| PlaceError::Unresolved { bind: bind.to_string(), source };
            let mut addresses: Vec<IpAddr> = found.map_err(unresolved)?.map(|address| address.ip()).collect();
            addresses.sort_unstable();
            addresses.dedup();
            addresses.into_iter().map(|ip| Spot::Tcp((ip, *port).into())).collect()
        }
    })
}

/// As configured, or the address that a name stands for. Port 0 is another port each time, and gets a number.
fn key(bind: &Bind, spot: &Spot, taken: &HashSet<Arc<str>>) -> Arc<str> {
    let plain = match (bind, spot) {
        (Bind::Tcp { host: Some(Host::Name(_)), .. }, Spot::Tcp(address)) => address.to_string(),
        _ => bind.to_string(),
    };
    let any_port = matches!(bind, Bind::Tcp { port: 0, .. });
    if !any_port || !taken.contains(plain.as_str()) {
        return plain.into();
    }
    let numbered = (2_usize..).map(|number| format!("{plain} #{number}"));
    numbered.into_iter().find(|key| !taken.contains(key.as_str())).unwrap_or(plain).into()
}
