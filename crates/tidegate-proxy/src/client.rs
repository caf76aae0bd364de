//! Who is at the other end of a client connection: as seen here, or as a proxy in front says. Decides nothing.

use crate::entrance::Entrance;
use crate::stream::Stream;
use std::cell::OnceCell;
use std::net::{IpAddr, SocketAddr};
use tidegate_http::proxy_protocol::Origin;

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
    /// Where the client connected to, if a proxy in front says so.
    destination: Option<Box<SocketAddr>>,
    /// What has to come before the first request.
    pub(crate) entrance: Entrance,
}

impl Client {
    pub(crate) fn new(peer: Peer, entrance: Entrance) -> Self {
        Self { peer, destination: None, entrance }
    }

    /// Believes what the connection began with; from here on there are only requests.
    pub(crate) fn is_introduced(&mut self, origin: Origin) {
        self.entrance = Entrance::Open;
        match origin {
            Origin::Client { source, destination } => {
                self.peer = source.into();
                self.destination = Some(Box::new(destination));
            }
            Origin::Nameless => self.peer = Peer::default(),
            Origin::Peer => {}
        }
    }
}

/// Where a client's connection comes from, and where it goes to.
pub(crate) type Ends = (SocketAddr, SocketAddr);

/// The longest text of an IP address, an IPv4-mapped IPv6 address in full, in brackets and quotes.
const NODE_TEXT_MAX: usize = 45 + 4;

/// Where the requests of a busy connection come from, written out once.
#[derive(Debug)]
pub(crate) struct ClientAddress {
    peer: Peer,
    destination: Option<SocketAddr>,
    /// Found out when it is first asked for.
    ends: OnceCell<Option<Ends>>,
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
        let destination = client.destination.as_deref().copied();
        Self { peer: client.peer, destination, ends: OnceCell::new(), node, length }
    }

    pub(crate) fn ip(&self) -> Option<IpAddr> {
        self.peer.ip
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
        let find = || self.peer.socket_address().zip(self.destination.or_else(|| stream.local_address()));
        *self.ends.get_or_init(find)
    }
}
