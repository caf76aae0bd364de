//! Who is at the other end of a client connection: as seen here, or as a proxy in front says. Decides nothing.

use crate::client_counts::CountedClient;
use crate::entrance::Entrance;
use crate::snapshot::{Listener, PerClient};
use crate::stream::Stream;
use crate::tls::client_hello::{ClientHello, host_name};
use std::net::{IpAddr, SocketAddr};
use std::rc::{Rc, Weak};
use tidegate_http::proxy_protocol::{Origin, Values};

/// An address and a port, or neither, without what a `SocketAddr` carries besides: idle connections hold one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) ip: Option<IpAddr>,
    port: u16,
}

impl From<SocketAddr> for Peer {
    /// An IPv4 client of a socket for both families is an IPv4 client.
    fn from(address: SocketAddr) -> Self {
        Self { ip: Some(address.ip().to_canonical()), port: address.port() }
    }
}

impl Peer {
    pub(crate) fn socket_address(self) -> Option<SocketAddr> {
        self.ip.map(|ip| SocketAddr::new(ip, self.port))
    }
}

/// What a connection knows about its client from accept on.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) peer: Peer,
    /// What has to come before the first request.
    pub(crate) entrance: Entrance,
    mark: Rc<()>,
    /// Most connections have none of it, and idle ones are to be small.
    more: Option<Box<More>>,
}

#[derive(Debug, Default)]
struct More {
    /// Where the client connected to, if a proxy in front says so.
    destination: Option<SocketAddr>,
    heard: Option<Rc<Heard>>,
    /// It counts as one of its client's, where those are limited.
    counted: Option<CountedClient>,
}

/// What a proxy in front said of the connection besides where it comes from; bounded as its header is.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) unique_id: Option<Box<[u8]>>,
    /// What the client agreed with it to speak in TLS.
    pub(crate) protocol: Option<Box<[u8]>>,
    /// The name that the client asked it for, in lower case.
    pub(crate) server_name: Option<Box<str>>,
}

impl Heard {
    pub(crate) fn of(values: &Values<'_>) -> Option<Self> {
        let Values { unique_id, protocol, authority } = *values;
        let has_any = [unique_id, protocol, authority].iter().any(Option::is_some);
        has_any.then(|| Self {
            unique_id: unique_id.map(Into::into),
            protocol: protocol.map(Into::into),
            server_name: authority.and_then(host_name).flatten().map(Into::into),
        })
    }

    /// The part that decides where a connection goes, if a name was asked for.
    pub(crate) fn as_hello(&self) -> Option<ClientHello> {
        let server_name = Some(self.server_name.as_deref()?.to_owned());
        Some(ClientHello { server_name, protocols: self.protocol.iter().map(|one| one.to_vec()).collect() })
    }
}

impl Client {
    pub(crate) fn new(peer: Peer, entrance: Entrance) -> Self {
        Self { peer, entrance, mark: Rc::default(), more: None }
    }

    /// Counts the connection as one of its client's, once. `false`: the client has all that it may have.
    /// A proxy in front is not a client but many.
    pub(crate) fn is_within(&mut self, limit: &PerClient, listener: &Listener) -> bool {
        let introduced = self.more.as_ref().is_some_and(|more| more.destination.is_some());
        let is_proxy = |ip: &IpAddr| listener.trusts(*ip) || (!introduced && listener.introduces(*ip));
        let Some(client) = self.peer.ip.filter(|ip| !is_proxy(ip)) else { return true };
        let more = self.more.get_or_insert_default();
        if more.counted.is_none() {
            more.counted = limit.counts.admit(client, limit.connections_max);
        }
        more.counted.is_some()
    }

    /// Whether a proxy in front says which name was asked for.
    pub(crate) fn has_named_host(&self) -> bool {
        let heard = self.more.as_ref().and_then(|more| more.heard.as_ref());
        heard.is_some_and(|heard| heard.server_name.is_some())
    }

    /// Believes what the connection began with; from here on there are only requests.
    pub(crate) fn is_introduced(&mut self, origin: Origin, heard: Option<Heard>) {
        self.entrance = Entrance::Open;
        if let Some(heard) = heard {
            self.more.get_or_insert_default().heard = Some(Rc::new(heard));
        }
        match origin {
            Origin::Client { source, destination } => {
                self.peer = source.into();
                self.more.get_or_insert_default().destination = Some(destination);
            }
            Origin::Nameless => self.peer = Peer::default(),
            Origin::Peer => {}
        }
    }
}

/// By which one client's connection is told from all others, those that came from the same address among them: no other one gets
/// the same as long as anybody has it.
#[derive(Clone, Debug)]
pub(crate) struct Mark(Weak<()>);

impl Mark {
    /// Whether the connection is still open.
    pub(crate) fn is_in_use(&self) -> bool {
        self.0.strong_count() > 0
    }
}

impl PartialEq for Mark {
    fn eq(&self, other: &Self) -> bool {
        self.0.ptr_eq(&other.0)
    }
}

impl Eq for Mark {}

/// Where a client's connection comes from, and where it goes to.
pub(crate) type Ends = (SocketAddr, SocketAddr);

/// The longest text of an IP address, an IPv4-mapped IPv6 address in full, in brackets and quotes.
const NODE_TEXT_MAX: usize = 45 + 4;

/// Where the requests of a busy connection come from, written out once.
#[derive(Debug)]
pub(crate) struct ClientAddress {
    peer: Peer,
    destination: Option<SocketAddr>,
    heard: Option<Rc<Heard>>,
    mark: Rc<()>,
    node: [u8; NODE_TEXT_MAX],
    length: u8,
}

impl ClientAddress {
    pub(crate) fn new(client: &Client) -> Self {
        use std::io::Write;
        let mut node = [0; NODE_TEXT_MAX];
        let mut room = &mut node[..];
        let written = match client.peer.ip {
            Some(IpAddr::V6(ip)) => write!(room, "\"[{ip}]\""),
            Some(IpAddr::V4(ip)) => write!(room, "{ip}"),
            None => write!(room, "unknown"),
        };
        debug_assert!(written.is_ok(), "an address fits");
        let length = (NODE_TEXT_MAX - room.len()) as u8;
        let more = client.more.as_ref();
        let (destination, heard) =
            (more.and_then(|more| more.destination), more.and_then(|more| more.heard.clone()));
        Self { peer: client.peer, destination, heard, mark: Rc::clone(&client.mark), node, length }
    }

    pub(crate) fn ip(&self) -> Option<IpAddr> {
        self.peer.ip
    }

    pub(crate) fn heard(&self) -> Option<&Heard> {
        self.heard.as_deref()
    }

    /// The address, or `unknown` (RFC 7239 §6.2) if there is none.
    pub(crate) fn text(&self) -> &[u8] {
        let node = self.node();
        let bare = node.strip_prefix(b"\"[").and_then(|rest| rest.strip_suffix(b"]\""));
        bare.unwrap_or(node)
    }

    /// As Forwarded has it: IPv6 in brackets, in quotes (RFC 7239 §6).
    pub(crate) fn node(&self) -> &[u8] {
        self.node.get(..usize::from(self.length)).unwrap_or_default()
    }

    /// `stream` is the client's connection itself. `None`: it has no addresses.
    pub(crate) fn ends(&self, stream: &Stream) -> Option<Ends> {
        self.peer.socket_address().zip(self.destination.or_else(|| stream.local_address()))
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark(Rc::downgrade(&self.mark))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_told_from_a_later_one_of_the_same_address() {
        let peer = Peer::from(SocketAddr::from(([192, 0, 2, 1], 4711)));
        let mut marks: Vec<Mark> = Vec::new();
        for _ in 0..100 {
            let client = Client::new(peer, Entrance::Open);
            let [first, second] = [(); 2].map(|()| ClientAddress::new(&client).mark());
            assert!(first == second && first.is_in_use());
            assert!(marks.iter().all(|earlier| *earlier != first && !earlier.is_in_use()));
            marks.push(first);
        }
    }
}
