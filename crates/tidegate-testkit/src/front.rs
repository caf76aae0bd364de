//! TLS in front of a scripted endpoint: takes encrypted connections, passes on what is in them, and keeps what was agreed on.
//!
//! One thread accepts, one thread serves each connection. It knows no HTTP.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{HandshakeKind, RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::patience::{PATIENCE, eventually};
use crate::port::Port;
use crate::tls::{Authority, Issued};

/// How often threads look whether the test is over.
const GLANCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

/// What every header of the PROXY protocol, version 2, begins with.
const INTRODUCTION: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A handshake that ended well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meeting {
    pub server_name: Option<String>,
    pub protocol: Option<String>,
    pub resumed: bool,
    /// The certificate that the other side showed.
    pub identity: Option<Vec<u8>>,
}

/// Runs until it is dropped.
#[derive(Debug)]
pub struct Front {
    port: Port,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    config: Arc<ServerConfig>,
    to: SocketAddr,
    says_goodbye: bool,
    over: AtomicBool,
    /// Connections that are being served.
    open: AtomicUsize,
    meetings: Mutex<Vec<Meeting>>,
}

impl Front {
    /// Speaks what it is asked for, and tells what is in it to whoever listens at `to`.
    pub fn start(issued: &Issued, to: SocketAddr) -> Self {
        Self::of(issued, rustls::ALL_VERSIONS, None, to)
    }

    /// Wants to be shown a certificate that this authority has signed.
    pub fn asking(issued: &Issued, clients: &Authority, to: SocketAddr) -> Self {
        Self::of(issued, rustls::ALL_VERSIONS, Some(clients), to)
    }

    /// Closes without a word where it should say that it has said all (RFC 8446 §6.1).
    pub fn abrupt(issued: &Issued, to: SocketAddr) -> Self {
        Self::with(issued.server_config(), to, false)
    }

    pub fn of(
        issued: &Issued,
        versions: &[&'static SupportedProtocolVersion],
        clients: Option<&Authority>,
        to: SocketAddr,
    ) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .expect("versions");
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                let authority = CertificateDer::from_pem_file(clients.cert()).expect("a certificate");
                roots.add(authority).expect("an authority");
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
            }
        };
        let chain = vec![CertificateDer::from_pem_file(&issued.cert).expect("a certificate")];
        let key = PrivateKeyDer::from_pem_file(&issued.key).expect("a key");
        let mut config = builder.with_single_cert(chain, key).expect("a certificate and its key");
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Self::with(config, to, true)
    }

    fn with(config: ServerConfig, to: SocketAddr, says_goodbye: bool) -> Self {
        let port = Port::free();
        let listener = TcpListener::bind(port.address()).expect("the port is ours");
        listener.set_nonblocking(true).expect("a socket");
        let shared = Arc::new(Shared {
            config: Arc::new(config),
            to,
            says_goodbye,
            over: AtomicBool::new(false),
            open: AtomicUsize::new(0),
            meetings: Mutex::default(),
        });
        let known = Arc::clone(&shared);
        let acceptor = Some(std::thread::spawn(move || known.accept(&listener)));
        Self { port, shared, acceptor }
    }

    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Waits until every connection has been closed, and the other side has been told.
    pub fn wait_until_left(&self) {
        eventually("all connections of the front are over", || self.shared.open.load(Ordering::Acquire) == 0);
    }

    pub fn meetings(&self) -> Vec<Meeting> {
        self.shared.meetings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join(); // a thread that has panicked has failed the test already
        }
    }
}

impl Shared {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        let mut serving = Vec::new();
        while !self.is_over() {
            let _ = poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&GLANCE));
            if let Ok((client, _)) = listener.accept() {
                let shared = Arc::clone(self);
                shared.open.fetch_add(1, Ordering::AcqRel);
                serving.push(std::thread::spawn(move || {
                    let _ = shared.serve(client); // it ends when either side does
                    shared.open.fetch_sub(1, Ordering::AcqRel);
                }));
            }
        }
        for thread in serving {
            let _ = thread.join();
        }
    }

    fn serve(&self, mut client: TcpStream) -> std::io::Result<()> {
        let mut plain = TcpStream::connect(self.to)?;
        plain.write_all(&introduction(&mut client)?)?;
        for socket in [&client, &plain] {
            socket.set_nodelay(true)?;
            socket.set_nonblocking(true)?;
        }
        let mut tls = ServerConnection::new(Arc::clone(&self.config)).map_err(std::io::Error::other)?;
        tls.set_buffer_limit(None);
        let (mut inward, mut met) = (Vec::new(), false);
        let (mut client_ended, mut plain_ended) = (false, false);
        while !self.is_over() {
            if !client_ended && let Some(read) = at_once(tls.read_tls(&mut client))? {
                client_ended = read == 0;
                let processed = tls.process_new_packets();
                while tls.wants_write() && at_once(tls.write_tls(&mut client))?.is_some() {}
                match processed {
                    Ok(state) => client_ended |= state.peer_has_closed(),
                    Err(error) => return Err(parting(&client, error)),
                }
                let _ = tls.reader().read_to_end(&mut inward); // would block: there is no more
            }
            if !met && !tls.is_handshaking() {
                met = true;
                self.meet(&tls);
            }
            if !inward.is_empty()
                && let Some(sent) = at_once(plain.write(&inward))?
            {
                inward.drain(..sent);
            }
            if client_ended && inward.is_empty() {
                let _ = plain.shutdown(std::net::Shutdown::Write); // more than once does no harm
            }
            let mut room = [0; 16 * 1024];
            if !plain_ended && let Some(read) = at_once(plain.read(&mut room))? {
                plain_ended = read == 0;
                tls.writer().write_all(&room[..read])?;
                if plain_ended && self.says_goodbye {
                    tls.send_close_notify();
                }
            }
            while tls.wants_write() && at_once(tls.write_tls(&mut client))?.is_some() {}
            let has_met = client_ended || !tls.is_handshaking();
            if plain_ended && has_met && !tls.wants_write() {
                return client.shutdown(std::net::Shutdown::Write);
            }
            let wanted = |ended: bool, more: bool| {
                let read = if ended { PollFlags::empty() } else { PollFlags::IN };
                if more { read | PollFlags::OUT } else { read }
            };
            let mut both = [
                PollFd::new(&client, wanted(client_ended, tls.wants_write())),
                PollFd::new(&plain, wanted(plain_ended, !inward.is_empty())),
            ];
            poll(&mut both, Some(&GLANCE))?;
        }
        Ok(())
    }

    fn meet(&self, tls: &ServerConnection) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let identity = tls.peer_certificates().and_then(|chain| chain.first());
        self.meetings.lock().unwrap_or_else(PoisonError::into_inner).push(Meeting {
            server_name: tls.server_name().map(str::to_owned),
            protocol: tls.alpn_protocol().map(text),
            resumed: tls.handshake_kind() == Some(HandshakeKind::Resumed),
            identity: identity.map(|leaf| leaf.to_vec()),
        });
    }
}

/// Closing over unread bytes would reset the connection, and take the alert with it.
fn parting(mut client: &TcpStream, error: rustls::Error) -> std::io::Error {
    let _ = client.set_nonblocking(false);
    let _ = client.set_read_timeout(Some(PATIENCE));
    let _ = client.shutdown(std::net::Shutdown::Write);
    let _ = client.read_to_end(&mut Vec::new());
    std::io::Error::other(error)
}

/// `None`: not now.
fn at_once(moved: std::io::Result<usize>) -> std::io::Result<Option<usize>> {
    match moved {
        Ok(moved) => Ok(Some(moved)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// A header of the PROXY protocol in the clear, before the handshake; it is passed on as it is.
fn introduction(client: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut first = [0];
    if client.peek(&mut first)? == 0 || first != INTRODUCTION[..1] {
        return Ok(Vec::new());
    }
    let mut header = vec![0; 16];
    client.read_exact(&mut header)?;
    let rest = usize::from(u16::from_be_bytes([header[14], header[15]]));
    header.resize(16 + rest, 0);
    client.read_exact(&mut header[16..])?;
    Ok(header)
}
