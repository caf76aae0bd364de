//! One HTTP/1 client connection: wait, read a request, serve it, again.
//!
//! The outer future only waits for readiness, so an idle connection costs a few hundred bytes. What serving needs lives
//! in a boxed future and a lent workspace that exist while the client is busy; the box is kept for a moment after the last
//! answer, so that a busy client's requests allocate nothing. Only so many boxes are kept, or a burst of clients would
//! leave the heap full of holes.

use crate::answer;
use crate::client::{Client, ClientAddress};
use crate::entrance::{self, Entered, Entrance};
use crate::failure::{Cause, Failure, Stage};
use crate::http2::{self, PREFACE};
use crate::journal::{Journal, RequestId};
use crate::last_words;
use crate::listener::{ListenerState, Open};
use crate::panics::unless_it_panics;
use crate::parting;
use crate::passage;
use crate::patience::SlowHead;
use crate::record::{Incident, record, record_incident};
use crate::request::{self, Call, Fate};
use crate::snapshot::Listener;
use crate::stream::Stream;
use crate::timers::{Alarm, NEVER, after, now};
use crate::tls::{self, Handshake};
use crate::turned_away;
use crate::view::Views;
use crate::worker::Worker;
use crate::workspace::Workspace;
use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tidegate_balance::Moment;
use tidegate_http::Progress;

/// How long a connection stays ready to serve after an answer before it becomes an idle one.
const WARM: Duration = Duration::from_secs(1);

/// How many connections of a worker stay ready at once.
const WARM_MAX: usize = 128;

/// What is left for a body behind the longest head.
const BODY_ROOM: usize = 8 * 1024;

/// For whoever speaks HTTP where TLS is spoken: the one answer that both understand.
const PLAIN_HTTP: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: 44\r\n\
    Proxy-Status: tidegate; error=http_request_error; details=\"handshake_not_tls\"\r\n\r\n\
    This port speaks HTTPS: begin with https://\n";

/// A client connection, in a box of its own: a future would hold it twice, as argument and as variable.
pub(crate) struct Connection {
    open: Open,
    listener: Rc<ListenerState>,
    stream: Stream,
    client: Client,
    alarm: Alarm,
    /// It has sent a request: from here on it speaks HTTP/1.
    has_spoken: bool,
}

impl Connection {
    pub(crate) fn new(open: Open, listener: Rc<ListenerState>, stream: Stream, client: Client) -> Self {
        let alarm = open.worker.timers.alarm();
        Self { open, listener, stream, client, alarm, has_spoken: false }
    }
}

/// A connection taken apart, for another protocol.
pub(crate) struct Parts {
    pub(crate) open: Open,
    pub(crate) listener: Rc<ListenerState>,
    pub(crate) stream: Stream,
    pub(crate) client: Client,
    pub(crate) alarm: Alarm,
}

impl Connection {
    pub(crate) fn into_parts(self) -> Parts {
        let Self { open, listener, stream, client, alarm, has_spoken: _ } = self;
        Parts { open, listener, stream, client, alarm }
    }

    /// Whoever says nothing then has failed at it.
    fn owes_a_handshake(&self) -> bool {
        // Where nothing has to be looked at before, and a reload has not made the listener one without TLS.
        let is_due = self.client.entrance == Entrance::Open && self.listener.current().tls.is_some();
        is_due && matches!(&self.stream, Stream::Tls(stream) if !stream.is_encrypted())
    }

    /// How long the client may be silent: a header of a proxy in front is due at once, a request comes when it comes.
    fn patience(&self) -> Duration {
        let listener = self.listener.current();
        match (self.client.entrance, &listener.tls, &self.stream) {
            (Entrance::HeaderRequired, ..) => listener.head_timeout,
            (_, Some(tls), Stream::Tls(stream)) if !stream.is_encrypted() => tls.handshake_timeout,
            (Entrance::HeaderForbidden | Entrance::Open, ..) => listener.keep_alive_timeout,
        }
    }
}

/// The life of one client connection.
pub(crate) async fn run(mut connection: Box<Connection>) {
    if connection.listener.current().passage.is_some() {
        let Connection { open, listener, stream, client, alarm, .. } = &mut *connection;
        let carried = Box::pin(passage::carry(&open.worker, listener, stream, client, alarm));
        match unless_it_panics(carried).await {
            Some(None) => {} // it is one of HTTP
            Some(Some(fate)) => return end(connection, Some(fate)).await,
            None => return end(connection, None).await,
        }
    }
    let mut idle_since = now();
    loop {
        let worker = &connection.open.worker;
        let idle_until = after(idle_since, connection.patience());
        let wait = Wait { idle_until, warm_until: after(now(), WARM) };
        let says_something = Readable::new(worker, &connection.stream, &connection.alarm, wait).await;
        if !says_something && (worker.is_draining() || !connection.owes_a_handshake()) {
            return;
        }
        match unless_it_panics(Box::pin(serve_while_busy(&mut connection, idle_since))).await {
            Some(Served::SpeaksHttp2(received)) => return Box::pin(serve_http2(connection, received)).await,
            Some(Served::Until(Fate::KeepAlive, since)) => idle_since = since,
            Some(Served::Until(fate, _)) => return end(connection, Some(fate)).await,
            None => return end(connection, None).await,
        }
    }
}

/// `None`: a mistake of ours ends it.
async fn end(mut connection: Box<Connection>, fate: Option<Fate>) {
    match fate {
        Some(Fate::Close | Fate::KeepAlive) => {}
        Some(Fate::HearOut) => {
            let Connection { open, stream, alarm, .. } = &mut *connection;
            Box::pin(parting::hear_out(&open.worker, stream, alarm)).await;
        }
        Some(Fate::Linger) => {
            let Connection { open, stream, alarm, .. } = &mut *connection;
            Box::pin(parting::linger(&open.worker, stream, alarm)).await;
        }
        Some(Fate::Abort) => connection.stream.reset_on_close(),
        Some(Fate::CutShort) => Box::pin(cut_short(&mut connection)).await,
        None => {
            connection.open.worker.metrics.panics.increment();
            connection.stream.reset_on_close();
        }
    }
}

/// How long what the client says next is waited for.
#[derive(Clone, Copy)]
pub(crate) struct Wait {
    idle_until: Moment,
    /// As long as that even by a worker that drains: the request may be on its way already, and closing would lose it. It
    /// is served, and its answer says that the connection closes.
    warm_until: Moment,
}

impl Wait {
    /// For the first that it says.
    pub(crate) fn begun(now: Moment, idle_until: Moment) -> Self {
        Self { idle_until, warm_until: after(now, WARM) }
    }
}

/// Waits for the client to say something. `false`: it did not in time. Written out, because every idle client is one of these: an
/// `async fn` holds its arguments twice.
pub(crate) struct Readable<'a> {
    worker: &'a Worker,
    stream: &'a Stream,
    alarm: &'a Alarm,
    wait: Wait,
    armed: Moment,
}

impl<'a> Readable<'a> {
    pub(crate) fn new(worker: &'a Worker, stream: &'a Stream, alarm: &'a Alarm, wait: Wait) -> Self {
        Self { worker, stream, alarm, wait, armed: NEVER }
    }
}

impl Future for Readable<'_> {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        if self.stream.poll_readable(cx).is_ready() {
            return Poll::Ready(true);
        }
        let Wait { idle_until, warm_until } = self.wait;
        let drains = self.worker.is_draining();
        if drains && (self.worker.is_stopping() || warm_until <= now()) {
            return Poll::Ready(false);
        }
        let deadline = if drains { idle_until.min(warm_until) } else { idle_until };
        if self.armed != deadline {
            self.armed = deadline;
            self.alarm.arm(deadline, cx);
        }
        if self.alarm.fired() { Poll::Ready(false) } else { Poll::Pending }
    }
}

/// Whatever it does, a connection of HTTP/2 holds tables and buffers: of those only so many may be open.
async fn serve_http2(connection: Box<Connection>, received: Vec<u8>) {
    let worker = Rc::clone(&connection.open.worker);
    let Some(_open) =
        Bounded::below(&worker.http2_connections, worker.workspaces.limits().http2_connections_max)
    else {
        worker.metrics.limit("http2_connections");
        let Connection { stream, alarm, .. } = &*connection;
        let refusal = http2::refusal();
        let told = alarm.within(now(), poll_fn(|cx| stream.poll_write(cx, &refusal))).await;
        return end(connection, Some(told.map_or(Fate::Abort, |_| Fate::Linger))).await;
    };
    http2::serve(connection, received).await;
}

/// What became of a client that had something to say.
pub(crate) enum Served {
    /// It speaks HTTP/2; what has been read of it.
    SpeaksHttp2(Vec<u8>),
    /// And since when it is silent, if it is.
    Until(Fate, Moment),
}

/// Serves requests until the client falls silent (`KeepAlive`), as it was since `idle_since`, or the connection is to end.
async fn serve_while_busy(connection: &mut Connection, idle_since: Moment) -> Served {
    let Connection { open, listener: state, stream, client, alarm, has_spoken } = connection;
    let worker = &open.worker;
    if client.entrance == Entrance::Open
        && let Err(fate) = secure(worker, state, stream, client, alarm, &[], idle_since).await
    {
        return Served::Until(fate, NEVER);
    }
    if !*has_spoken && stream.speaks_http2() {
        return Served::SpeaksHttp2(Vec::new());
    }
    let is_introduced = client.entrance == Entrance::HeaderRequired;
    let Some(mut workspace) = worker.workspaces.lend() else {
        return match turned_away::turn_away(worker, state, stream, client, alarm, idle_since).await {
            Served::SpeaksHttp2(_) if *has_spoken => Served::Until(Fate::Abort, NEVER),
            turned_away => turned_away,
        };
    };
    let mut listener = state.current();
    if client.entrance != Entrance::Open {
        let entering = match &listener.tls {
            Some(tls) if !is_introduced => tls.handshake_timeout,
            _ => listener.head_timeout,
        };
        let deadline = after(idle_since, entering);
        let entered =
            Box::pin(enter(worker, &listener, stream, client, alarm, &mut workspace, deadline)).await;
        if client.entrance == Entrance::Open && !state.admits(client, worker) {
            return Served::Until(Fate::Abort, NEVER);
        }
        // From the header on, the client has all of its time.
        let began = if is_introduced && client.entrance == Entrance::Open { now() } else { idle_since };
        if entered != Fate::KeepAlive || workspace.input.is_empty() {
            return Served::Until(entered, began);
        }
        if matches!(stream, Stream::Tls(_)) {
            // Whoever waits for keys, or for its turn, takes nobody's place.
            let received = workspace.input.readable().to_vec();
            drop(workspace);
            if let Err(fate) = secure(worker, state, stream, client, alarm, &received, began).await {
                return Served::Until(fate, NEVER);
            }
            if stream.speaks_http2() {
                return Served::SpeaksHttp2(Vec::new());
            }
            let Some(lent) = worker.workspaces.lend() else {
                return turned_away::turn_away(worker, state, stream, client, alarm, began).await;
            };
            workspace = lent;
        }
    }
    let began = (!*has_spoken).then(now);
    if !*has_spoken && listener.streams_max.is_some() {
        match beginning(worker, stream, &mut workspace, alarm, after(now(), listener.head_timeout)).await {
            Beginning::Http1 => {}
            Beginning::Http2 => return Served::SpeaksHttp2(workspace.input.readable().to_vec()),
            Beginning::Nothing => return Served::Until(Fate::KeepAlive, now()),
            Beginning::Over => return Served::Until(Fate::Close, NEVER),
        }
    }
    *has_spoken = true;
    let address = ClientAddress::new(client);
    let (mut began, mut answered) = (began, None);
    loop {
        state.refresh(&mut listener);
        let next = serve_next(worker, &listener, stream, &address, alarm, &mut workspace, began.take());
        let served = next.await;
        let Some((fate, ended)) = served else {
            return Served::Until(Fate::KeepAlive, answered.unwrap_or_else(now));
        };
        if fate != Fate::KeepAlive {
            return Served::Until(fate, NEVER);
        }
        answered = Some(ended);
        if workspace.input.is_empty() {
            drop(workspace);
            let Some(_warm) = Bounded::below(&worker.warm, WARM_MAX) else {
                return Served::Until(Fate::KeepAlive, ended);
            };
            let warm_until = after(ended, WARM.min(listener.keep_alive_timeout));
            let wait = Wait { idle_until: warm_until, warm_until };
            if !Readable::new(worker, stream, alarm, wait).await {
                let fate = if worker.is_draining() { Fate::Close } else { Fate::KeepAlive };
                return Served::Until(fate, ended);
            }
            // Who finds none comes back at once, and is turned away.
            let Some(lent) = worker.workspaces.lend() else { return Served::Until(Fate::KeepAlive, ended) };
            workspace = lent;
        }
    }
}

/// How a connection begins.
enum Beginning {
    /// With something else than a connection of HTTP/2 does.
    Http1,
    Http2,
    /// A false alarm.
    Nothing,
    /// It ended before it began.
    Over,
}

/// Reads until it is clear what the connection speaks. What was read stays in the input.
async fn beginning(
    worker: &Worker,
    stream: &Stream,
    workspace: &mut Workspace,
    alarm: &Alarm,
    deadline: Moment,
) -> Beginning {
    let input = &mut workspace.input;
    let mut waiting = SlowHead::new(now(), deadline);
    loop {
        let begun = input.readable();
        let compared = begun.len().min(PREFACE.len());
        if begun.get(..compared) != PREFACE.get(..compared) {
            return Beginning::Http1;
        }
        if compared == PREFACE.len() {
            return Beginning::Http2;
        }
        let read = match stream.try_read(input.room()) {
            Poll::Ready(read) => read,
            Poll::Pending if input.is_empty() => return Beginning::Nothing,
            Poll::Pending => {
                let read = poll_fn(|cx| stream.poll_read(cx, input.room()));
                match alarm.within(waiting.until(), read).await {
                    Ok(read) => read,
                    Err(_) if waiting.may_stay(worker) => continue,
                    Err(_) => return Beginning::Http1, // whose head comes too late
                }
            }
        };
        match read {
            Ok(length) if length > 0 => input.filled(length),
            _ if input.is_empty() => return Beginning::Over,
            _ => return Beginning::Http1, // which sees the end as well
        }
    }
}

/// Encrypts the connection where that is to be done and has not been; `received` has been read from it already. The time for
/// it counts from `began` on.
pub(crate) async fn secure(
    worker: &Worker,
    state: &ListenerState,
    stream: &Stream,
    client: &Client,
    alarm: &Alarm,
    received: &[u8],
    began: Moment,
) -> Result<(), Fate> {
    let Stream::Tls(tls) = stream else { return Ok(()) };
    let listener = state.current();
    let Some(terminator) = listener.tls.as_ref().filter(|_| !tls.is_encrypted()) else { return Ok(()) };
    if worker.handshakes.is_full() {
        worker.metrics.limit("handshakes");
    }
    let deadline = after(began, terminator.handshake_timeout);
    let ended = Box::pin(tls::accept(tls, terminator, &worker.handshakes, received, alarm, deadline)).await;
    state.metrics.handshake(ended, tls.agreed());
    if ended.is_a_fault() {
        record_incident(&Incident {
            worker,
            listener: &listener,
            address: &ClientAddress::new(client),
            protocol: None,
            agreed: None,
            server_name: tls.server_name(),
            began,
            failure: Failure::new(Stage::Head, Cause::Handshake(ended)),
        });
    }
    if ended == Handshake::NotTls {
        tls.answer_in_the_clear(PLAIN_HTTP);
        return Err(Fate::Linger);
    }
    if ended.succeeded() { Ok(()) } else { Err(Fate::Close) }
}

/// One of a bounded number of connections.
pub(crate) struct Bounded<'a>(&'a Cell<usize>);

impl<'a> Bounded<'a> {
    pub(crate) fn below(count: &'a Cell<usize>, max: usize) -> Option<Self> {
        let open = count.get();
        (open < max).then(|| {
            count.set(open + 1);
            Self(count)
        })
    }
}

impl Drop for Bounded<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Reads what comes before the first request, until `deadline`, and learns from it who the client is.
#[allow(clippy::too_many_arguments, reason = "what a connection consists of, taken apart")]
pub(crate) async fn enter(
    worker: &Rc<Worker>,
    listener: &Listener,
    stream: &mut Stream,
    client: &mut Client,
    alarm: &Alarm,
    workspace: &mut Workspace,
    deadline: Moment,
) -> Fate {
    let (views, address) = (worker.views(), ClientAddress::new(client));
    let mut call = begin(worker, &views, listener, stream, &address, alarm, workspace);
    match entrance::enter(&mut call, client.entrance, deadline).await {
        Ok(Entered::End) => Fate::Close,
        Ok(Entered::From(origin, heard)) => {
            client.is_introduced(origin, heard);
            Fate::KeepAlive
        }
        Ok(Entered::Nothing) => Fate::KeepAlive,
        Err(failure) => {
            call.journal.failure = Some(failure);
            record(&mut call);
            Fate::Abort // whoever speaks another protocol would not understand an answer
        }
    }
}

/// Reads one request, serves it and records it. Says when that ended, too; `None` after a false alarm. `began`: the moment, if some of
/// the head has been waited for already.
async fn serve_next(
    worker: &Rc<Worker>,
    listener: &Listener,
    stream: &mut Stream,
    address: &ClientAddress,
    alarm: &Alarm,
    workspace: &mut Workspace,
    began: Option<Moment>,
) -> Option<(Fate, Moment)> {
    let views = worker.views();
    let mut call = begin(worker, &views, listener, stream, address, alarm, workspace);
    call.journal.started = began.unwrap_or_default();
    let served = match read_head(&mut call).await {
        Ok(Begun::Head) => request::serve(&mut call).await,
        Ok(Begun::Nothing) => return None,
        Ok(Begun::End) => return Some((Fate::Close, NEVER)),
        Err(failure) => Err(failure),
    };
    let fate = match served {
        Ok(fate) => fate,
        Err(failure) => {
            call.journal.failure = Some(failure);
            answer::fail(&mut call, failure).await
        }
    };
    record(&mut call);
    let ended = call.ended();
    workspace.input.unpin();
    Some((fate, ended))
}

pub(crate) fn begin<'a>(
    worker: &'a Rc<Worker>,
    views: &'a Views,
    listener: &'a Listener,
    stream: &'a mut Stream,
    address: &'a ClientAddress,
    alarm: &'a Alarm,
    workspace: &'a mut Workspace,
) -> Call<'a> {
    Call {
        worker,
        views,
        view: views.last(),
        listener,
        address,
        alarm,
        down: stream,
        workspace,
        journal: Journal { id: RequestId::new(worker.random()), ..Journal::default() },
        policy_deadline: NEVER,
        total_deadline: NEVER,
        attempt_deadline: NEVER,
        response_head_bytes: 0,
        keep_alive: false,
        set_cookie: "",
    }
}

/// What a client that was readable had begun.
pub(crate) enum Begun {
    /// It closed.
    End,
    /// A request: its head is parsed and pinned.
    Head,
    /// A false alarm.
    Nothing,
}

pub(crate) async fn read_head(call: &mut Call<'_>) -> Result<Begun, Failure> {
    let failed = |cause| Failure::new(Stage::Head, cause);
    let limits = call.listener.head_limits;
    if call.workspace.input.is_empty() {
        match read_at_once(call) {
            Poll::Ready(true) => {}
            Poll::Ready(false) => return Ok(Begun::End),
            Poll::Pending => return Ok(Begun::Nothing),
        }
    }
    if call.journal.started == Moment::default() {
        call.journal.started = now();
    }
    let started = call.journal.started;
    let mut waiting = SlowHead::new(started, after(started, call.listener.head_timeout));
    loop {
        let workspace = &mut *call.workspace;
        let bytes = workspace.input.readable();
        let parsed = workspace.request_parser.parse(bytes, &limits, &mut workspace.request);
        let parsed = parsed.map_err(|error| {
            call.journal.refuse(&workspace.request, bytes);
            failed(Cause::Request(error))
        })?;
        if let Progress::Complete { head_bytes } = parsed {
            workspace.input.pin(head_bytes);
            workspace.input.reserve_behind_head(BODY_ROOM);
            call.journal.head_read = true;
            return Ok(Begun::Head);
        }
        // RFC 9112 §2.2: an empty line before a request, which some clients send behind a body, begins nothing.
        let begun = !matches!(bytes, b"\r" | b"\r\n");
        workspace.input.grow_when_full(); // the parser ends it when it is longer than a head may be
        match read_more(call, waiting.until()).await {
            Ok(true) => {}
            Err(Late) if waiting.may_stay(call.worker) => {}
            Ok(false) | Err(Late) if !begun => return Ok(Begun::End),
            Ok(false) => return Err(failed(Cause::ClientGone)),
            Err(Late) => {
                let workspace = &*call.workspace;
                call.journal.refuse(&workspace.request, workspace.input.readable());
                return Err(call.overall_failure(Stage::Head).unwrap_or(failed(waiting.cause())));
            }
        }
    }
}

/// One read that does not wait. `Ready(false)`: the stream has ended or is broken.
pub(crate) fn read_at_once(call: &mut Call<'_>) -> Poll<bool> {
    let input = &mut call.workspace.input;
    call.down.try_read(input.room()).map(|read| {
        let length = read.unwrap_or(0);
        input.filled(length);
        length > 0
    })
}

pub(crate) struct Late;

/// One read. `false`: the stream has ended or is broken.
pub(crate) async fn read_more(call: &mut Call<'_>, deadline: Moment) -> Result<bool, Late> {
    let input = &mut call.workspace.input;
    let down = &mut *call.down;
    let read = call.alarm.within(deadline, poll_fn(|cx| down.poll_read(cx, input.room()))).await;
    match read.map_err(|_| Late)? {
        Ok(length) if length > 0 => {
            input.filled(length);
            Ok(true)
        }
        Ok(_) | Err(_) => Ok(false),
    }
}

async fn cut_short(connection: &mut Connection) {
    let Connection { open, stream, alarm, .. } = connection;
    stream.reset_on_close();
    last_words::taken_by_client(&open.worker, stream, alarm).await;
}
