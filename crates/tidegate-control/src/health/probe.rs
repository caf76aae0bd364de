//! One check of one endpoint: a connection, or a request and its status. Draws no conclusions.

use super::grpc;
use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, TE, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tidegate_config::{HealthCheck, Probe, StatusRange};
use tidegate_proxy::load;
use tidegate_proxy::upstream::{Address, Upstream};
use tidegate_sys::{is_out_of_descriptors, is_out_of_ports, round_trip};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

/// How much of an answer's body is read, to end the connection in peace.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Why a check did not pass.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProbeError {
    #[error("cannot connect: {}", without_number(.0))]
    Connect(io::Error, Address),
    #[error("by gRPC: {0}")]
    Grpc(String),
    #[error("the answer is no HTTP, or breaks off: {0}")]
    Http(#[from] hyper::Error),
    #[error("it has no address")]
    NoAddress,
    #[error("the check cannot be sent: {0}")]
    Request(#[from] hyper::http::Error),
    #[error("status {}, expected {}", .found.as_u16(), ranges(.expected))]
    Status { found: StatusCode, expected: Vec<StatusRange> },
    #[error("no TLS: {0}")]
    Tls(io::Error),
    #[error("no answer within {0:?}")]
    Timeout(Duration),
}

impl ProbeError {
    /// The endpoint was not reached, or says nothing.
    pub(super) fn is_silence(&self) -> bool {
        matches!(self, Self::Connect(..) | Self::Timeout(_))
    }

    /// Says nothing about the endpoint: this process is short of descriptors or ports, or has nowhere to connect to yet.
    pub(super) fn is_ours(&self) -> bool {
        match self {
            Self::Connect(error, to) => {
                is_out_of_descriptors(error) || to.tcp().is_some_and(|to| is_out_of_ports(error, to))
            }
            Self::NoAddress => true,
            Self::Grpc(_)
            | Self::Http(_)
            | Self::Request(_)
            | Self::Status { .. }
            | Self::Tls(_)
            | Self::Timeout(_) => false,
        }
    }
}

/// What the system calls the error, without its number.
fn without_number(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

fn ranges(expected: &[StatusRange]) -> String {
    let range = |range: &StatusRange| match (range.first, range.last) {
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first}-{last}"),
    };
    expected.iter().map(range).collect::<Vec<_>>().join(", ")
}

/// What a check that passed found besides: the endpoint's report of its load, if it made one.
pub(super) type Said = Option<Vec<u8>>;

/// `learn_round_trip`: is told what the way there and back takes.
pub(super) async fn probe(
    check: &HealthCheck,
    upstream: &Upstream,
    learn_round_trip: impl Fn(Duration),
) -> Result<Said, ProbeError> {
    let tried = try_addresses(&check.probe, upstream, &learn_round_trip);
    let probed = tokio::time::timeout(check.timeout, tried).await;
    probed.unwrap_or(Err(ProbeError::Timeout(check.timeout)))
}

/// As requests do: the address that worked last first, the next one when connecting fails.
async fn try_addresses(
    probe: &Probe,
    upstream: &Upstream,
    learn_round_trip: &impl Fn(Duration),
) -> Result<Said, ProbeError> {
    let addresses = upstream.addresses.load_full();
    let preferred = upstream.preferred.load(Relaxed).checked_rem(addresses.len()).unwrap_or(0);
    let (later, sooner) = addresses.split_at(preferred);
    let mut result = Err(ProbeError::NoAddress);
    for address in sooner.iter().chain(later) {
        result = try_address(probe, address, upstream, learn_round_trip).await;
        if !matches!(result, Err(ProbeError::Connect(..))) {
            break;
        }
    }
    result
}

async fn try_address(
    probe: &Probe,
    address: &Address,
    upstream: &Upstream,
    learn_round_trip: &impl Fn(Duration),
) -> Result<Said, ProbeError> {
    let failed = |error| ProbeError::Connect(error, address.clone());
    match address {
        Address::Tcp(tcp) => {
            let mut stream = TcpStream::connect(tcp).await.map_err(failed)?;
            round_trip(&stream).into_iter().for_each(learn_round_trip);
            stream.write_all(upstream.begins_our_own()).await.map_err(failed)?;
            encrypt_and_ask(probe, stream, upstream).await
        }
        Address::Unix(path) => {
            let mut stream = UnixStream::connect(path).await.map_err(failed)?;
            stream.write_all(upstream.begins_our_own()).await.map_err(failed)?;
            encrypt_and_ask(probe, stream, upstream).await
        }
    }
}

/// By the same rules as requests, and with the same tickets.
async fn encrypt_and_ask(
    probe: &Probe,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    upstream: &Upstream,
) -> Result<Said, ProbeError> {
    let Some(tls) = &upstream.tls else { return ask(probe, stream, upstream).await };
    let connector = TlsConnector::from(Arc::clone(&tls.config));
    let stream = connector.connect(tls.server_name.clone(), stream).await.map_err(ProbeError::Tls)?;
    ask(probe, stream, upstream).await
}

async fn ask(
    probe: &Probe,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    upstream: &Upstream,
) -> Result<Said, ProbeError> {
    let (path, host, expect) = match probe {
        Probe::Grpc { service } => return call(service, stream, upstream).await,
        Probe::Http { path, host, expect } => (path, host, expect),
        Probe::Tcp => return Ok(None),
    };
    let host = host.as_deref().unwrap_or(&upstream.authority);
    let request =
        Request::get(path).header(USER_AGENT, concat!("tidegate-health/", env!("CARGO_PKG_VERSION")));
    let stream = TokioIo::new(stream);
    // The connection ends when the answer has been read; why it ends does not matter then.
    let (found, said) = if upstream.http2 {
        let scheme = if upstream.tls.is_some() { "https" } else { "http" };
        let request = request.uri(format!("{scheme}://{host}{path}")).body(Empty::<Bytes>::new())?;
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
        let answer = async move { seen(sender.send_request(request).await?).await };
        tokio::join!(answer, connection).0?
    } else {
        let request = request.header(HOST, host).header(CONNECTION, "close").body(Empty::<Bytes>::new())?;
        let (mut sender, connection) = http1::handshake(stream).await?;
        let answer = async move { seen(sender.send_request(request).await?).await };
        tokio::join!(answer, connection).0?
    };
    if expect.iter().any(|range| range.contains(found.as_u16())) {
        return Ok(said);
    }
    Err(ProbeError::Status { found, expected: expect.clone() })
}

/// Asks the endpoint itself whether the service is well.
async fn call(
    service: &str,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    upstream: &Upstream,
) -> Result<Said, ProbeError> {
    let scheme = if upstream.tls.is_some() { "https" } else { "http" };
    let request = Request::post(format!("{scheme}://{}{}", upstream.authority, grpc::PATH))
        .header(USER_AGENT, concat!("tidegate-health/", env!("CARGO_PKG_VERSION")))
        .header(CONTENT_TYPE, "application/grpc")
        .header(TE, "trailers")
        .body(Full::new(Bytes::from(grpc::question(service))))?;
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    let answer = async move {
        let answer = sender.send_request(request).await?;
        let status = answer.headers().get("grpc-status").cloned();
        let answer = Limited::new(answer.into_body(), BODY_BYTES_MAX).collect().await;
        Ok::<_, hyper::Error>((status, answer))
    };
    let (status, answer) = tokio::join!(answer, connection).0?;
    let Ok(answer) = answer else { return Err(ProbeError::Grpc("it said too much".into())) };
    let status = answer.trailers().and_then(|trailers| trailers.get("grpc-status")).cloned().or(status);
    let status = status.as_ref().map_or("missing", |status| status.to_str().unwrap_or("no number"));
    if status != "0" {
        return Err(ProbeError::Grpc(format!("the call ended with status {status}")));
    }
    match grpc::answer(&answer.to_bytes()) {
        grpc::Serving::Yes => Ok(None),
        grpc::Serving::No => Err(ProbeError::Grpc("it is not serving".into())),
        grpc::Serving::Unclear => Err(ProbeError::Grpc("its answer makes no sense".into())),
    }
}

async fn seen(answer: Response<Incoming>) -> Result<(StatusCode, Said), hyper::Error> {
    let status = answer.status();
    let said = answer.headers().get(load::FIELD).map(|value| value.as_bytes().to_vec());
    read_some(answer.into_body()).await;
    Ok((status, said))
}

/// The status has been seen: a body that is long or breaks off changes nothing.
async fn read_some(mut body: Incoming) {
    let mut left = BODY_BYTES_MAX;
    while let Some(Ok(frame)) = body.frame().await {
        let taken = frame.data_ref().map_or(0, Bytes::len);
        left = left.saturating_sub(taken);
        if left == 0 {
            return;
        }
    }
}
