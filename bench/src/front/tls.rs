//! A client of HTTPS that counts handshakes, by HTTP/1.1 or HTTP/2. It trusts one certificate, made for the run.

use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

const WAIT_MAX: Duration = Duration::from_secs(20);

#[derive(Clone, Debug)]
pub(crate) struct Caller {
    config: ClientConfig,
}

/// A preface, settings that change nothing, and a request for `/small` on the first stream (RFC 9113, RFC 7541 §6.2.2): GET, https, the
/// path, an authority.
const HTTP2_REQUEST: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\
    \0\0\x15\x01\x05\0\0\0\x01\x82\x87\x04\x06/small\x01\x09localhost";
const HTTP2_SETTINGS_TAKEN: &[u8] = b"\0\0\0\x04\x01\0\0\0\0";

/// An open connection that has been through a handshake and one request.
pub(crate) type Call = StreamOwned<ClientConnection, TcpStream>;

impl Caller {
    /// And the certificate and key, ECDSA on P-256, in PEM.
    pub(crate) fn with_certificate() -> Result<(Self, String, String), String> {
        let failed = |error: &dyn std::fmt::Display| format!("a certificate for the run: {error}");
        let made =
            rcgen::generate_simple_self_signed(["localhost".to_owned()]).map_err(|error| failed(&error))?;
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).map_err(|error| failed(&error))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(&error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok((Self { config }, made.cert.pem(), made.signing_key.serialize_pem()))
    }

    /// The same for somebody who keeps no ticket.
    pub(crate) fn forgetful(&self) -> Self {
        let mut config = self.config.clone();
        config.resumption = Resumption::disabled();
        Self { config }
    }

    /// The same with tickets of its own.
    pub(crate) fn mindful(&self) -> Self {
        let mut config = self.config.clone();
        config.resumption = Resumption::in_memory_sessions(16);
        Self { config }
    }

    /// The same for HTTP/2.
    pub(crate) fn by_http2(&self) -> Self {
        let mut config = self.config.clone();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Self { config }
    }

    /// Connects, asks for a small answer, reads it. Says whether the session was resumed.
    pub(crate) fn call(config: &Arc<ClientConfig>, to: SocketAddr) -> Result<(Call, bool), String> {
        let failed = |error: std::io::Error| error.to_string();
        let mut stream = Self::connect(config, to)?;
        stream.write_all(b"GET /small HTTP/1.1\r\nHost: localhost\r\n\r\n").map_err(failed)?;
        let mut answer = Vec::new();
        while !is_whole(&answer) {
            read_more(&mut stream, &mut answer)?;
        }
        let resumed = stream.conn.handshake_kind() == Some(HandshakeKind::Resumed);
        Ok((stream, resumed))
    }

    /// The same by HTTP/2; what the other side sets is taken.
    pub(crate) fn call_by_http2(config: &Arc<ClientConfig>, to: SocketAddr) -> Result<Call, String> {
        let failed = |error: std::io::Error| error.to_string();
        let mut stream = Self::connect(config, to)?;
        stream.write_all(HTTP2_REQUEST).map_err(failed)?;
        let mut answer = Vec::new();
        while !is_whole_of_http2(&answer)? {
            read_more(&mut stream, &mut answer)?;
        }
        stream.write_all(HTTP2_SETTINGS_TAKEN).map_err(failed)?;
        Ok(stream)
    }

    fn connect(config: &Arc<ClientConfig>, to: SocketAddr) -> Result<Call, String> {
        let failed = |error: std::io::Error| error.to_string();
        let socket = TcpStream::connect_timeout(&to, WAIT_MAX).map_err(failed)?;
        socket.set_nodelay(true).map_err(failed)?;
        socket.set_read_timeout(Some(WAIT_MAX)).map_err(failed)?;
        let name = ServerName::try_from("localhost").map_err(|error| error.to_string())?;
        let session = ClientConnection::new(Arc::clone(config), name).map_err(|error| error.to_string())?;
        Ok(StreamOwned::new(session, socket))
    }

    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        Arc::new(self.config.clone())
    }
}

fn read_more(stream: &mut Call, answer: &mut Vec<u8>) -> Result<(), String> {
    let mut room = [0; 4096];
    match stream.read(&mut room).map_err(|error| error.to_string())? {
        0 => Err("the answer broke off".to_owned()),
        length => {
            answer.extend_from_slice(&room[..length]);
            Ok(())
        }
    }
}

/// The first stream has ended, well: with a head whose status is the first of the static table that is one, 200, and with 128 bytes.
fn is_whole_of_http2(mut frames: &[u8]) -> Result<bool, String> {
    let (mut is_well, mut body_bytes) = (false, 0);
    while let [a, b, c, kind, flags, _, _, _, stream, rest @ ..] = frames {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let Some((payload, behind)) = rest.split_at_checked(length) else { break };
        match (kind, stream) {
            (0, 1) => body_bytes += length,
            (1, 1) => is_well = payload.contains(&0x88),
            (3 | 7, _) => return Err("the stream was reset, or the connection given up".to_owned()),
            _ => {}
        }
        if *stream == 1 && kind <= &1 && flags & 1 != 0 {
            let as_asked = is_well && body_bytes == 128;
            return if as_asked { Ok(true) } else { Err("another answer than was asked for".to_owned()) };
        }
        frames = behind;
    }
    Ok(false)
}

/// A head and 128 bytes behind it.
fn is_whole(answer: &[u8]) -> bool {
    let head = answer.windows(4).position(|window| window == b"\r\n\r\n");
    head.is_some_and(|end| answer.len() >= end + 4 + 128)
}
