//! Connections that are passed on as they are, to a cluster that their listener names, or that belongs to the name in the
//! first message of their TLS. Nothing of them is understood beyond that.
//!
//! ```text
//!   header of a proxy in front? ─→ names? told, or read the hello ─→ known: as it is ─┐
//!                                          └ else: TLS ends here? ─→ in the clear ─→ pick, connect, tunnel
//!                                                   └ and no cluster: HTTP
//! ```

use crate::affinity::affinity;
use crate::attempts::Attempts;
use crate::client::{Client, ClientAddress, Heard};
use crate::downstream::{Late, Readable, Wait, begin, enter, read_more, secure};
use crate::entrance::Entrance;
use crate::failure::{Cause, Failure, Stage};
use crate::listener::ListenerState;
use crate::patience::SlowHead;
use crate::queue::{self, Picked};
use crate::record::record;
use crate::request::{Call, Fate, Flight, board, break_off, set_out};
use crate::snapshot::{Course, Listener, Passage, Policy};
use crate::sticky::Home;
use crate::stream::Stream;
use crate::timers::{Alarm, after, now};
use crate::tls::client_hello::{ClientHello, HelloParser};
use crate::tunnel;
use crate::verdict::settle;
use crate::view::{ClusterView, View};
use crate::worker::Worker;
use crate::workspace::Lent;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;
use tidegate_balance::{Ended, Moment};
use tidegate_http::BodyLength;
use tidegate_http::request::RequestHead;

/// What a connection counts as among answers of HTTP.
const CONNECTED: u16 = 200;
/// Who leaves later than that after the connect, without a word, may have waited for the client's for as long as it waits.
const AT_ONCE: Duration = Duration::from_secs(1);

/// RFC 8446 §6.2, in a record that every version reads: fatal, `unrecognized_name`.
const UNRECOGNIZED_NAME: &[u8] = &[21, 3, 1, 0, 2, 2, 112];

/// Carries the connection to its end, or until it turns out to be one of HTTP: `None`.
pub(crate) async fn carry(
    worker: &Rc<Worker>,
    state: &ListenerState,
    stream: &mut Stream,
    client: &mut Client,
    alarm: &Alarm,
) -> Option<Fate> {
    let listener = state.current();
    let passage = listener.passage.as_ref()?;
    // Where TLS may end here, its first message belongs to a handshake.
    let patience = listener.tls.as_ref().map_or(listener.head_timeout, |tls| tls.handshake_timeout);
    let client_begins = !passage.names.is_empty() || listener.tls.is_some();
    let mut began = now();
    let lent = if client.entrance == Entrance::HeaderRequired {
        let introduced = introduced(worker, state, &listener, stream, client, alarm).await;
        began = now();
        match introduced {
            // It has said nothing else yet, and may take its time.
            Ok(lent) if lent.input.is_empty() && client_begins && !client.has_named_host() => {
                drop(lent);
                begun(worker, stream, alarm, Some(after(began, patience))).await
            }
            introduced => introduced,
        }
    } else {
        begun(worker, stream, alarm, client_begins.then(|| after(began, patience))).await
    };
    let mut lent = match lent {
        Ok(lent) => lent,
        Err(fate) => return Some(fate),
    };
    let workspace = &mut *lent;
    let (views, address) = (worker.views(), ClientAddress::new(client));
    let mut call = begin(worker, &views, &listener, stream, &address, alarm, workspace);
    (call.journal.started, call.journal.is_passed_on) = (now(), true);
    match course(&mut call, passage, after(began, patience)).await {
        Ok(course) => return Some(serve(&mut call, course).await),
        // Nor is it known to be for us where its name has not come in time.
        Err(failure) if listener.tls.is_some() && failure.cause != Cause::RequestLimit => {}
        Err(failure) => return Some(refuse(&mut call, failure).await),
    }
    let (journal, received) = (std::mem::take(&mut call.journal), call.workspace.input.readable().to_vec());
    drop(lent); // whoever waits for keys, or for its turn, takes nobody's place
    if let Err(fate) = secure(worker, state, stream, client, alarm, &received, began).await {
        return Some(fate);
    }
    client.entrance = Entrance::Open; // it began with TLS, not with a header
    let course = passage.rest.as_ref()?;
    let Ok(mut lent) = lend(worker) else { return Some(Fate::Abort) };
    let mut call = begin(worker, &views, &listener, stream, &address, alarm, &mut lent);
    call.journal = journal;
    Some(serve(&mut call, course).await)
}

fn lend(worker: &Worker) -> Result<Lent<'_>, Fate> {
    worker.workspaces.lend().ok_or_else(|| {
        worker.metrics.limit("requests");
        Fate::Abort
    })
}

/// Waits until the client has begun, where it has to, and takes a place for what it says.
async fn begun<'w>(
    worker: &'w Worker,
    stream: &Stream,
    alarm: &Alarm,
    deadline: Option<Moment>,
) -> Result<Lent<'w>, Fate> {
    let Some(deadline) = deadline else { return lend(worker) };
    loop {
        let mut lent = lend_when_readable(worker, stream, alarm, deadline).await?;
        match stream.try_read(lent.input.room()) {
            Poll::Ready(Ok(length)) if length > 0 => {
                lent.input.filled(length);
                return Ok(lent);
            }
            Poll::Ready(_) => return Err(Fate::Close),
            Poll::Pending => {} // a false alarm
        }
    }
}

/// Until then the client holds nothing but the socket and an alarm.
async fn lend_when_readable<'w>(
    worker: &'w Worker,
    stream: &Stream,
    alarm: &Alarm,
    deadline: Moment,
) -> Result<Lent<'w>, Fate> {
    loop {
        if !Readable::new(worker, stream, alarm, Wait::begun(now(), deadline)).await {
            return Err(Fate::Close);
        }
        if !worker.workspaces.are_all_lent()
            || worker.workspaces.with_scratch(|room| stream.try_read(room)).is_ready()
        {
            return lend(worker); // or there is no room for it, whatever it said
        }
    }
}

/// Hears from the proxy in front who the client is.
async fn introduced<'w>(
    worker: &'w Rc<Worker>,
    state: &ListenerState,
    listener: &Listener,
    stream: &mut Stream,
    client: &mut Client,
    alarm: &Alarm,
) -> Result<Lent<'w>, Fate> {
    let deadline = after(now(), listener.head_timeout);
    loop {
        let mut lent = lend_when_readable(worker, stream, alarm, deadline).await?;
        let entered = Box::pin(enter(worker, listener, stream, client, alarm, &mut lent, deadline)).await;
        match (entered, client.entrance) {
            (Fate::KeepAlive, Entrance::Open) if state.admits(client, worker) => return Ok(lent),
            (Fate::KeepAlive, Entrance::Open) => return Err(Fate::Abort),
            (Fate::KeepAlive, _) => {} // a false alarm
            (fate, _) => return Err(fate),
        }
    }
}

/// Where the connection goes as it is, or why that is nowhere.
async fn course<'p>(
    call: &mut Call<'_>,
    passage: &'p Passage,
    deadline: Moment,
) -> Result<&'p Course, Failure> {
    let mut failure = Failure::new(Stage::Route, Cause::NoRoute);
    let asked = match call.address.heard().and_then(Heard::as_hello) {
        // Whoever decrypted in front has heard it, and what is behind the header may be anything, or nothing yet.
        Some(heard) => Some(heard),
        None if passage.names.is_empty() => None,
        None => match read_hello(call, deadline).await {
            Ok(asked) => asked,
            Err(unheard) if unheard.cause == Cause::RequestLimit => return Err(unheard),
            Err(unheard) => {
                failure = unheard;
                None
            }
        },
    };
    let named = asked.as_ref().and_then(|asked| passage.course_of(asked));
    call.journal.server_name = asked.and_then(|asked| asked.server_name).map(Into::into);
    // What is encrypted for us is not for a cluster before it has been decrypted.
    named.or(passage.rest.as_ref().filter(|_| call.listener.tls.is_none())).ok_or(failure)
}

/// The first message of TLS, which stays in the input; `None`: it begins with something else.
async fn read_hello(call: &mut Call<'_>, deadline: Moment) -> Result<Option<ClientHello>, Failure> {
    let failed = |cause| Failure::new(Stage::Head, cause);
    let (mut parser, mut waiting) = (HelloParser::default(), SlowHead::new(call.journal.started, deadline));
    loop {
        match parser.parse(call.workspace.input.readable()) {
            Ok(Some(hello)) => return Ok(Some(hello)),
            Ok(None) => {}
            Err(_) => return Ok(None),
        }
        call.workspace.input.grow_when_full(); // the parser ends it when it is longer than it may be
        match read_more(call, waiting.until()).await {
            Ok(true) => {}
            Err(Late) if waiting.may_stay(call.worker) => {}
            Ok(false) => return Err(failed(Cause::ClientGone)),
            Err(Late) => return Err(call.overall_failure(Stage::Head).unwrap_or(failed(waiting.cause()))),
        }
    }
}

/// Says why, in the words of TLS: nothing else can be meant where names decide. For want of a place there is none.
async fn refuse(call: &mut Call<'_>, failure: Failure) -> Fate {
    call.journal.failure = Some(failure);
    if failure.cause == Cause::RequestLimit {
        record(call);
        return Fate::Abort;
    }
    let down = &mut *call.down;
    let told = poll_fn(|cx| down.poll_write(cx, UNRECOGNIZED_NAME));
    let _ = call.alarm.within(now(), told).await; // it need not listen
    record(call);
    Fate::Linger
}

async fn serve(call: &mut Call<'_>, course: &Course) -> Fate {
    let passed = Box::pin(forward(call, course)).await;
    let fate = passed.unwrap_or_else(|failure| {
        call.journal.failure = Some(failure);
        Fate::of_begun(call, failure) // what came so far is not the whole
    });
    record(call);
    fate
}

/// Picks and connects until that ends well, or another attempt would not help; then carries bytes both ways.
async fn forward<'a>(call: &mut Call<'a>, course: &Course) -> Result<Fate, Failure> {
    let Course { cluster, policy, .. } = course;
    call.journal.cluster = Some(*cluster);
    let (all, gone): (&'a View, _) = (call.view, Failure::new(Stage::Pick, Cause::NoEndpoint));
    let mut view = all.clusters.get(*cluster).ok_or(gone)?;
    let workspace = &mut *call.workspace;
    workspace.request = RequestHead::default(); // there is none: nothing can be hashed on but the client
    workspace.answer.clear();
    workspace.download.start(BodyLength::UntilClose, BodyLength::UntilClose, u64::MAX);
    let mut attempts = Attempts::new(&policy.retry, affinity(call, &view.cluster.hash_key));
    view.count_request(call.journal.started);
    let mut turn = None;
    loop {
        call.workspace.upload.start(BodyLength::UntilClose, BodyLength::UntilClose, u64::MAX);
        let lease = match queue::pick(call, policy, view, Home::Nowhere, &attempts, turn.take()).await {
            Ok(Picked::Lease(lease, place)) => {
                turn = place;
                lease
            }
            Ok(Picked::Nobody(reason)) if attempts.may_wait_for_anybody(call, view, reason) => {
                let unreached = view.cluster.balancer.pick_unreached(&attempts.pick(call));
                let Some(lease) = unreached else {
                    attempts.wait_for_anybody(call, view).await?;
                    if let Some(newer) = by_newest_view(call, view, &attempts) {
                        (view, attempts) =
                            (newer, attempts.under(&policy.retry, affinity(call, &newer.cluster.hash_key)));
                    }
                    continue;
                };
                lease
            }
            Ok(Picked::Nobody(reason)) => return Err(attempts.nobody(call, view, reason)),
            Ok(Picked::Republished(place)) => {
                turn = Some(place);
                if let Some(newer) = by_newest_view(call, view, &attempts) {
                    (view, attempts) =
                        (newer, attempts.under(&policy.retry, affinity(call, &newer.cluster.hash_key)));
                }
                continue;
            }
            Err(failure) => return Err(attempts.in_vain(call, view, failure)),
        };
        let endpoint = set_out(call, policy, view, &attempts, &lease)?;
        // A connection that was kept is one of HTTP.
        let failure = match board(call, policy, view, endpoint, true).await {
            Ok((slot, connection)) => {
                return tunnelled(call, Flight { lease, endpoint, connection, slot }, policy).await;
            }
            Err(failure) => failure,
        };
        let last = lease.index();
        settle(call, lease, endpoint, &Err(failure));
        attempts.another(call, view, failure, last)?;
        attempts.back_off(call, view).await?;
        if attempts.has_waited_for_restart()
            && let Some(newer) = by_newest_view(call, view, &attempts)
        {
            (view, attempts) =
                (newer, attempts.under(&policy.retry, affinity(call, &newer.cluster.hash_key)));
        }
    }
}

/// The same cluster as it is now, for a connection that no endpoint has had yet.
fn by_newest_view<'a>(
    call: &mut Call<'a>,
    view: &ClusterView,
    attempts: &Attempts<'_>,
) -> Option<&'a ClusterView> {
    let newest = call.newer_view(attempts)?;
    let position = newest.position_of(&view.cluster)?;
    call.move_on(newest, None, position);
    newest.clusters.get(position)
}

/// What can be judged of the endpoint is done by connecting, unless it leaves at once and has said nothing.
async fn tunnelled(call: &mut Call<'_>, flight: Flight<'_>, policy: &Policy) -> Result<Fate, Failure> {
    let Flight { mut lease, mut connection, slot, .. } = flight;
    let connected = now();
    let elapsed = connected.since(lease.picked_at());
    lease.answered(CONNECTED, elapsed, connected);
    let ended = tunnel::relay(call, &mut connection.stream, policy).await;
    call.journal.body_bytes_in = call.workspace.upload.body_bytes;
    call.journal.body_bytes_out = call.workspace.download.body_bytes;
    let has_served = !call.journal.left_without_a_word || call.ended().since(connected) > AT_ONCE;
    let how =
        if has_served { Ended::Answered { status: CONNECTED, first_byte: elapsed } } else { Ended::Failed };
    lease.settle(how, call.ended());
    if let Err(failure) = ended {
        break_off(call, connection, slot, failure);
    }
    ended
}
