//! A client and an endpoint of HTTP/2, by the h2 crate: for what well-behaved ones see. What ill-behaved ones do needs raw
//! frames.

use bytes::Bytes;
use h2::client::{Connection, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use rustls::server::Acceptor;
use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::LazyConfigAcceptor;

use crate::gate::Gate;
use crate::patience::PATIENCE;
use crate::tls::{Issued, TlsClient};

/// One connection, on a thread of its own.
#[derive(Debug)]
pub struct Http2Client {
    runtime: Runtime,
    send: SendRequest<Bytes>,
}

/// A whole answer.
#[derive(Debug)]
pub struct Http2Reply {
    pub head: Response<()>,
    pub body: Vec<u8>,
    pub trailers: HeaderMap,
}

impl Http2Reply {
    pub fn status(&self) -> u16 {
        self.head.status().as_u16()
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.headers().get(name).map(|value| value.to_str().expect("text"))
    }
}

/// A request whose body is sent piece by piece, and whose answer is read so.
#[derive(Debug)]
pub struct Open {
    pub send: SendStream<Bytes>,
    pub head: Response<()>,
    pub receive: RecvStream,
}

impl Http2Client {
    /// In the clear, with prior knowledge.
    pub fn clear(to: SocketAddr) -> Self {
        Self::start(async move { TcpStream::connect(to).await.expect("a connection") })
    }

    /// Over TLS, agreed on by ALPN.
    pub fn tls(to: SocketAddr, client: &TlsClient, name: &str) -> Self {
        let mut config = (*client.config).clone();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let name = name.to_owned().try_into().expect("a name");
        Self::start(async move {
            let socket = TcpStream::connect(to).await.expect("a connection");
            let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
            let stream = connector.connect(name, socket).await.expect("a handshake");
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]), "the protocol agreed on");
            stream
        })
    }

    fn start<T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        connect: impl Future<Output = T> + Send + 'static,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let send = runtime.block_on(async {
            let (send, connection): (_, Connection<T, Bytes>) = h2::client::Builder::new()
                .initial_window_size(1 << 20)
                .initial_connection_window_size(1 << 24)
                .handshake(connect.await)
                .await
                .expect("a beginning");
            tokio::spawn(connection);
            send.ready().await.expect("ready")
        });
        Self { runtime, send }
    }

    /// Whether the other side takes extended CONNECT.
    pub fn may_open_tunnels(&mut self) -> bool {
        self.send.is_extended_connect_protocol_enabled()
    }

    /// Runs something on the client's thread, with a deadline.
    pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(async { tokio::time::timeout(PATIENCE, future).await.expect("in time") })
    }

    pub fn sender(&self) -> SendRequest<Bytes> {
        self.send.clone()
    }

    pub fn get(&self, host: &str, path: &str) -> Result<Http2Reply, h2::Error> {
        self.exchange(Self::request("GET", host, path), None, None)
    }

    pub fn request(method: &str, host: &str, path: &str) -> Request<()> {
        let uri = format!("http://{host}{path}");
        Request::builder().method(method).uri(uri).body(()).expect("a request")
    }

    /// One request and its whole answer.
    pub fn exchange(
        &self,
        request: Request<()>,
        body: Option<&[u8]>,
        trailers: Option<HeaderMap>,
    ) -> Result<Http2Reply, h2::Error> {
        let body = body.map(Bytes::copy_from_slice);
        self.run(exchange(self.sender(), request, body, trailers))
    }

    /// Begins a request, and waits for the head of its answer.
    pub fn open(&self, request: Request<()>) -> Result<Open, h2::Error> {
        let mut sender = self.sender();
        self.run(async move {
            let (response, send) = sender.send_request(request, false)?;
            let (parts, receive) = response.await?.into_parts();
            Ok(Open { send, head: Response::from_parts(parts, ()), receive })
        })
    }
}

/// The same for whoever does several at once.
pub async fn exchange(
    sender: SendRequest<Bytes>,
    request: Request<()>,
    body: Option<Bytes>,
    trailers: Option<HeaderMap>,
) -> Result<Http2Reply, h2::Error> {
    let mut sender = sender.ready().await?;
    let ends = body.is_none() && trailers.is_none();
    let (response, mut send) = sender.send_request(request, ends)?;
    let sending = async move {
        if let Some(body) = body {
            send_all(&mut send, body, trailers.is_none()).await?;
        }
        if let Some(trailers) = trailers {
            send.send_trailers(trailers)?;
        }
        Ok::<_, h2::Error>(send)
    };
    let receiving = async move {
        let (parts, mut receive) = response.await?.into_parts();
        let mut body = Vec::new();
        while let Some(data) = receive.data().await {
            let data = data?;
            let _ = receive.flow_control().release_capacity(data.len());
            body.extend_from_slice(&data);
        }
        let trailers = receive.trailers().await?.unwrap_or_default();
        Ok::<_, h2::Error>(Http2Reply { head: Response::from_parts(parts, ()), body, trailers })
    };
    let (uploaded, received) = tokio::join!(sending, receiving);
    let received = received?;
    drop(uploaded);
    Ok(received)
}

async fn send_all(send: &mut SendStream<Bytes>, mut body: Bytes, ends: bool) -> Result<(), h2::Error> {
    while !body.is_empty() {
        send.reserve_capacity(body.len());
        let capacity = std::future::poll_fn(|cx| {
            if send.capacity() > 0 {
                return std::task::Poll::Ready(Some(Ok(send.capacity())));
            }
            send.poll_capacity(cx)
        });
        let Some(capacity) = capacity.await else { return Ok(()) };
        let piece = body.split_to(capacity?.min(body.len()));
        send.send_data(piece, false)?;
    }
    if ends {
        send.send_data(Bytes::new(), true)?;
    }
    Ok(())
}

/// An endpoint that speaks HTTP/2 with prior knowledge, sends bodies back, and answers paths in ways of their own:
/// `/trailers` with trailers (and with the length that the request said), `/refuse` with a refusal every other time, `/goodbye` and then GOAWAY. It takes tunnels, and
/// echoes what is in them.
#[derive(Debug)]
pub struct Http2Endpoint {
    _runtime: Runtime,
    address: SocketAddr,
    facts: Arc<Facts>,
}

#[derive(Debug, Default)]
struct Facts {
    connections: AtomicUsize,
    requests: Mutex<Vec<Request<()>>>,
    /// Requests whose streams the other side took back.
    taken_back: AtomicUsize,
    is_silent: AtomicBool,
    busy: AtomicUsize,
    most: AtomicUsize,
}

impl Http2Endpoint {
    /// `streams_max`: at once on a connection.
    pub fn start(streams_max: u32) -> Self {
        Self::serving(move |socket, facts| serve(socket, streams_max, true, facts))
    }

    /// Takes no tunnels.
    pub fn without_tunnels() -> Self {
        Self::serving(|socket, facts| serve(socket, 100, false, facts))
    }

    /// Takes no tunnels either, speaks TLS, and passes whoever wants to speak HTTP/1.1 on to `other`.
    pub fn of_both_versions(issued: &Issued, other: SocketAddr) -> Self {
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(issued.server_config()));
        Self::serving(move |socket, facts| {
            let acceptor = acceptor.clone();
            async move {
                let Ok(mut stream) = acceptor.accept(socket).await else { return };
                if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                    return serve(stream, 100, false, facts).await;
                }
                let Ok(mut other) = TcpStream::connect(other).await else { return };
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut other).await; // until one side breaks off
            }
        })
    }

    /// The same, but agrees with whoever does not want HTTP/2 on nothing.
    pub fn that_agrees_on_nothing_else(issued: &Issued, other: SocketAddr) -> Self {
        let mut silent = issued.server_config();
        silent.alpn_protocols.clear();
        let (agreeing, silent) = (Arc::new(issued.server_config()), Arc::new(silent));
        Self::serving(move |socket, facts| {
            let (agreeing, silent) = (Arc::clone(&agreeing), Arc::clone(&silent));
            async move {
                let Ok(hello) = LazyConfigAcceptor::new(Acceptor::default(), socket).await else { return };
                let wants_http2 =
                    hello.client_hello().alpn().is_some_and(|mut all| all.any(|one| one == b"h2"));
                if wants_http2 {
                    let Ok(stream) = hello.into_stream(agreeing).await else { return };
                    return serve(stream, 100, false, facts).await;
                }
                let Ok(mut stream) = hello.into_stream(silent).await else { return };
                let Ok(mut other) = TcpStream::connect(other).await else { return };
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut other).await; // until one side breaks off
            }
        })
    }

    /// The same, but refuses whoever does not want HTTP/2 by an alert.
    pub fn that_speaks_nothing_else(issued: &Issued) -> Self {
        let mut config = issued.server_config();
        config.alpn_protocols.retain(|protocol| protocol == b"h2");
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        Self::serving(move |socket, facts| {
            let acceptor = acceptor.clone();
            async move {
                let Ok(stream) = acceptor.accept(socket).await else { return };
                serve(stream, 100, false, facts).await;
            }
        })
    }

    /// Speaks TLS, as soon as the gate is open.
    pub fn behind(gate: &Gate, issued: &Issued) -> Self {
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(issued.server_config()));
        let gate = gate.clone();
        Self::serving(move |socket, facts| {
            let (acceptor, gate) = (acceptor.clone(), gate.clone());
            async move {
                let _ = tokio::task::spawn_blocking(move || gate.pass()).await;
                let Ok(stream) = acceptor.accept(socket).await else { return };
                serve(stream, 100, false, facts).await;
            }
        })
    }

    fn serving<F: Future<Output = ()> + Send + 'static>(
        serve: impl Fn(TcpStream, Arc<Facts>) -> F + Send + 'static,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let facts = Arc::new(Facts::default());
        let known = Arc::clone(&facts);
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                known.connections.fetch_add(1, Relaxed);
                let _ = socket.set_nodelay(true);
                tokio::spawn(serve(socket, Arc::clone(&known)));
            }
        });
        Self { _runtime: runtime, address, facts }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn connections(&self) -> usize {
        self.facts.connections.load(Relaxed)
    }

    pub fn requests(&self) -> Vec<Request<()>> {
        self.facts.requests.lock().expect("no panic").clone()
    }

    /// Requests whose streams were taken back before they were over.
    pub fn taken_back(&self) -> usize {
        self.facts.taken_back.load(Relaxed)
    }

    /// From here on no request is answered.
    pub fn fall_silent(&self) {
        self.facts.is_silent.store(true, Relaxed);
    }

    /// The most requests that were served at once.
    pub fn most_at_once(&self) -> usize {
        self.facts.most.load(Relaxed)
    }
}

async fn serve<T: AsyncRead + AsyncWrite + Unpin>(
    stream: T,
    streams_max: u32,
    takes_tunnels: bool,
    facts: Arc<Facts>,
) {
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(streams_max);
    if takes_tunnels {
        builder.enable_connect_protocol();
    }
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        if request.uri().path() == "/goodbye" {
            connection.graceful_shutdown();
        }
        tokio::spawn(answer(request, respond, Arc::clone(&facts)));
    }
}

async fn answer(
    request: Request<RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    facts: Arc<Facts>,
) -> Option<()> {
    let (parts, mut body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let length = parts.headers.get(http::header::CONTENT_LENGTH).filter(|_| path == "/trailers").cloned();
    let number = {
        let mut requests = facts.requests.lock().expect("no panic");
        requests.push(Request::from_parts(parts, ()));
        requests.len()
    };
    if path == "/refuse" && number % 2 == 1 {
        respond.send_reset(h2::Reason::REFUSED_STREAM);
        return None;
    }
    if facts.is_silent.load(Relaxed) {
        let _ = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
        facts.taken_back.fetch_add(1, Relaxed);
        return None;
    }
    let busy = facts.busy.fetch_add(1, Relaxed) + 1;
    facts.most.fetch_max(busy, Relaxed);
    if path == "/slow" {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    facts.busy.fetch_sub(1, Relaxed);
    let ends = body.is_end_stream();
    let mut response = Response::new(());
    response.headers_mut().insert("x-endpoint", http::HeaderValue::from_static("h2"));
    response.headers_mut().extend(length.map(|length| (http::header::CONTENT_LENGTH, length)));
    let mut send = respond.send_response(response, ends && path != "/trailers").ok()?;
    if ends && path != "/trailers" {
        return None;
    }
    while let Some(data) = body.data().await {
        let Ok(data) = data else {
            facts.taken_back.fetch_add(1, Relaxed);
            return None;
        };
        let _ = body.flow_control().release_capacity(data.len());
        send_all(&mut send, data, false).await.ok()?;
    }
    let trailers = body.trailers().await.ok()?.unwrap_or_default();
    if path == "/trailers" || !trailers.is_empty() {
        let mut back = trailers;
        back.insert("x-end", http::HeaderValue::from_static("1"));
        send.send_trailers(back).ok()?;
    } else {
        send.send_data(Bytes::new(), true).ok()?;
    }
    None
}
