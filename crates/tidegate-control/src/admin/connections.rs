//! The connections of the admin listener: few, and none of them for ever.

use super::pages::router;
use crate::control::{AdminChoice, StartError};
use crate::listening::{BACKLOG, SocketFile};
use crate::overview::Overview;
use crate::places::{Spot, spots};
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tidegate_config::Bind;
use tidegate_sys::{ListenError, PortUse, listen_tcp, listen_unix};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

/// Connections open at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 64;
/// For a request's head, and between requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// A connection, whatever it does.
const CONNECTION_TIMEOUT: Duration = Duration::from_mins(10);
/// After accepting failed, for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// The admin listener while it serves; dropping it ends it.
#[derive(Debug)]
pub(crate) struct AdminServer {
    pub(crate) bind: Bind,
    pub(crate) address: String,
    _file: Option<SocketFile>,
    tasks: Vec<AbortHandle>,
}

/// The sockets of an admin listener that does not serve yet.
#[derive(Debug)]
pub(crate) struct AdminSockets {
    bind: Bind,
    address: String,
    file: Option<SocketFile>,
    sockets: Vec<Socket>,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl AdminServer {
    pub(crate) async fn bind(bind: &Bind, choice: AdminChoice) -> Result<AdminSockets, StartError> {
        let mut admin =
            AdminSockets { bind: bind.clone(), address: String::new(), file: None, sockets: Vec::new() };
        let mut missing = None;
        for spot in spots(bind).await? {
            match spot {
                Spot::Tcp(address) => match listen(address, choice) {
                    Ok(socket) => admin.add(Socket::Tcp(TcpListener::from_std(socket)?))?,
                    Err(error @ ListenError::AddressNotAvailable { .. }) => missing = Some(error),
                    Err(error) => return Err(error.into()),
                },
                Spot::Unix(path) => {
                    admin.add(Socket::Unix(UnixListener::from_std(listen_unix(&path, BACKLOG)?)?))?;
                    admin.address = format!("unix:{}", path.display());
                    admin.file = Some(SocketFile(path));
                }
            }
        }
        match missing {
            Some(error) if admin.sockets.is_empty() => Err(error.into()),
            _ => Ok(admin),
        }
    }
}

fn listen(address: SocketAddr, choice: AdminChoice) -> Result<std::net::TcpListener, ListenError> {
    match listen_tcp(address, BACKLOG, PortUse::Exclusive) {
        Err(ListenError::AddressInUse { .. }) if choice == AdminChoice::OrAnyPort => {
            listen_tcp((address.ip(), 0).into(), BACKLOG, PortUse::Exclusive)
        }
        other => other,
    }
}

impl AdminSockets {
    fn add(&mut self, socket: Socket) -> io::Result<()> {
        if let (Socket::Tcp(tcp), true) = (&socket, self.address.is_empty()) {
            self.address = tcp.local_addr()?.to_string();
        }
        self.sockets.push(socket);
        Ok(())
    }

    pub(crate) fn serve(self, overview: &Arc<Overview>) -> AdminServer {
        let router = router(self.bind.clone(), Arc::clone(overview));
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let task = |socket| tokio::spawn(accept(socket, router.clone(), Arc::clone(&slots))).abort_handle();
        AdminServer {
            tasks: self.sockets.into_iter().map(task).collect(),
            bind: self.bind,
            address: self.address,
            _file: self.file,
        }
    }
}

impl Drop for AdminServer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

async fn accept(socket: Socket, router: Router, slots: Arc<Semaphore>) {
    while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
        let accepted = match &socket {
            Socket::Tcp(tcp) => tcp.accept().await.map(|(stream, _)| serve_tcp(stream, &router, slot)),
            Socket::Unix(unix) => unix.accept().await.map(|(stream, _)| serve(stream, &router, slot)),
        };
        if accepted.is_err() {
            sleep(PAUSE).await;
        }
    }
}

fn serve_tcp(stream: tokio::net::TcpStream, router: &Router, slot: OwnedSemaphorePermit) {
    let _ = stream.set_nodelay(true); // a page that comes a little later is no reason to refuse
    serve(stream, router, slot);
}

fn serve(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    router: &Router,
    slot: OwnedSemaphorePermit,
) {
    let service = TowerToHyperService::new(router.clone());
    tokio::spawn(async move {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service);
        let _ = timeout(CONNECTION_TIMEOUT, connection).await; // whatever ended it is the client's business
        drop(slot);
    });
}
