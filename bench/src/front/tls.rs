//! A client of HTTPS that counts handshakes. It trusts one certificate, made for the run.

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

    /// Connects, asks for a small answer, reads it. Says whether the session was resumed.
    pub(crate) fn call(config: &Arc<ClientConfig>, to: SocketAddr) -> Result<(Call, bool), String> {
        let failed = |error: std::io::Error| error.to_string();
        let socket = TcpStream::connect_timeout(&to, WAIT_MAX).map_err(failed)?;
        socket.set_nodelay(true).map_err(failed)?;
        socket.set_read_timeout(Some(WAIT_MAX)).map_err(failed)?;
        let name = ServerName::try_from("localhost").map_err(|error| error.to_string())?;
        let session = ClientConnection::new(Arc::clone(config), name).map_err(|error| error.to_string())?;
        let mut stream = StreamOwned::new(session, socket);
        stream.write_all(b"GET /small HTTP/1.1\r\nHost: localhost\r\n\r\n").map_err(failed)?;
        let mut answer = Vec::new();
        let mut room = [0; 4096];
        while !is_whole(&answer) {
            match stream.read(&mut room).map_err(failed)? {
                0 => return Err("the answer broke off".to_owned()),
                length => answer.extend_from_slice(&room[..length]),
            }
        }
        let resumed = stream.conn.handshake_kind() == Some(HandshakeKind::Resumed);
        Ok((stream, resumed))
    }

    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        Arc::new(self.config.clone())
    }
}

/// A head and 128 bytes behind it.
fn is_whole(answer: &[u8]) -> bool {
    let head = answer.windows(4).position(|window| window == b"\r\n\r\n");
    head.is_some_and(|end| answer.len() >= end + 4 + 128)
}
