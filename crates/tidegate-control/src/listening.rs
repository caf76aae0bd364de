//! The sockets that are bound now, and handing them to the workers. Knows no configuration.

use crate::places::{Place, Spot};
use std::path::PathBuf;
use std::sync::Arc;
use tidegate_proxy::Socket;
use tidegate_sys::{ListenError, listen_tcp_group, listen_unix};

/// Connections that wait to be accepted; the kernel caps it at `net.core.somaxconn`.
pub(crate) const BACKLOG: u32 = 4096;

/// Sockets that are bound and not handed out yet: dropping them lets the address go.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) listening: Listening,
    /// One for each worker.
    sockets: Vec<Socket>,
}

/// One address that the workers listen on.
#[derive(Clone, Debug)]
pub(crate) struct Listening {
    pub(crate) key: Arc<str>,
    /// What clients connect to: the real port, or the path.
    pub(crate) address: String,
    _file: Option<Arc<SocketFile>>,
}

impl Bound {
    /// Binds every place, or none: what is bound when one fails is let go. A place of a name with several addresses may
    /// be missing on this machine.
    pub(crate) fn all(places: &[Place], workers: usize) -> Result<Vec<Self>, ListenError> {
        let mut bound: Vec<(usize, Self)> = Vec::new();
        let mut missing = None;
        for place in places {
            match Self::one(place, workers) {
                Ok(one) => bound.push((place.listener, one)),
                Err(error @ ListenError::AddressNotAvailable { .. }) if place.optional => {
                    missing = Some((place.listener, error));
                }
                Err(error) => return Err(error),
            }
        }
        match missing {
            Some((listener, error)) if bound.iter().all(|(other, _)| *other != listener) => Err(error),
            _ => Ok(bound.into_iter().map(|(_, one)| one).collect()),
        }
    }

    fn one(place: &Place, workers: usize) -> Result<Self, ListenError> {
        let key = Arc::clone(&place.key);
        match &place.spot {
            Spot::Tcp(address) => {
                let group = listen_tcp_group(*address, BACKLOG, workers)?;
                let real = group.first().and_then(|first| first.local_addr().ok()).unwrap_or(*address);
                let listening = Listening { key, address: real.to_string(), _file: None };
                Ok(Self { listening, sockets: group.into_iter().map(Socket::Tcp).collect() })
            }
            Spot::Unix(path) => {
                let socket = listen_unix(path, BACKLOG)?;
                let file = SocketFile(path.clone());
                let address = format!("unix:{}", path.display());
                let cloned = |source| ListenError::Io { address: address.clone(), source };
                let sockets = (0..workers).map(|_| socket.try_clone().map(Socket::Unix));
                let sockets = sockets.collect::<Result<_, _>>().map_err(cloned)?;
                let listening = Listening { key, address, _file: Some(Arc::new(file)) };
                Ok(Self { listening, sockets })
            }
        }
    }

    pub(crate) fn into_parts(self) -> (Listening, Vec<Socket>) {
        (self.listening, self.sockets)
    }
}

/// The file of a Unix socket: goes when nobody listens there any more, so that nobody knocks in vain.
#[derive(Debug)]
pub(crate) struct SocketFile(pub(crate) PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0); // gone already: fine
    }
}
