//! A request that comes while as many are in service as may be: answered at once, from what of it is there already.
//!
//! What a request is read and answered with is lent for a moment and given back in the same turn, so that a crowd costs no memory,
//! however large it is and whatever it sends. Waited for are only a few whose first bytes do not say yet how to answer them.

use crate::answer;
use crate::client::{Client, ClientAddress};
use crate::downstream::{Begun, Bounded, Readable, Served, Wait, begin, enter, read_head, secure};
use crate::entrance::Entrance;
use crate::failure::{Cause, Failure, Stage};
use crate::http2;
use crate::listener::ListenerState;
use crate::record::record;
use crate::request::{Call, Fate};
use crate::stream::Stream;
use crate::timers::{Alarm, NEVER, after, now};
use crate::worker::Worker;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;
use tidegate_balance::Moment;
use tokio::task::coop::{consume_budget, unconstrained};

/// What a beginning may take of which it is not clear yet how to answer it, and so many of them a worker waits for.
const UNCLEAR: (Duration, usize) = (Duration::from_secs(1), 64);

enum TurnedAway {
    Served(Served),
    /// Keys are to be agreed on first; what has been read of it.
    BeginsTls(Vec<u8>),
    /// What has come of it so far.
    Unclear(Vec<u8>),
}

/// A beginning that was not clear before.
struct Beginning {
    since: Moment,
    received: Vec<u8>,
    may_take_longer: bool,
}

/// `idle_since`: what the client has its time from on.
pub(crate) async fn turn_away(
    worker: &Rc<Worker>,
    state: &ListenerState,
    stream: &mut Stream,
    client: &mut Client,
    alarm: &Alarm,
    idle_since: Moment,
) -> Served {
    let is_introduced = client.entrance == Entrance::HeaderRequired;
    consume_budget().await; // a client that asks on and on must not keep the others from their turn
    let (time, count_max) = UNCLEAR;
    let place = Bounded::below(&worker.unclear, count_max);
    let mut beginning = Beginning { since: now(), received: Vec::new(), may_take_longer: place.is_some() };
    let until = after(beginning.since, time);
    loop {
        let turned_away = turn_away_at_once(worker, state, stream, client, alarm, &beginning);
        beginning.received = match at_once(Box::pin(unconstrained(turned_away))).await {
            Some(TurnedAway::Served(Served::Until(fate, _))) => return Served::Until(fate, now()),
            Some(TurnedAway::Served(turned_away)) => return turned_away,
            // A handshake takes nobody's place, and then it understands an answer.
            Some(TurnedAway::BeginsTls(received)) => {
                drop(place);
                let began = if is_introduced { now() } else { idle_since };
                return match secure(worker, state, stream, client, alarm, &received, began).await {
                    Err(fate) => Served::Until(fate, NEVER),
                    Ok(()) if stream.speaks_http2() => Served::SpeaksHttp2(Vec::new()),
                    Ok(()) => Served::Until(Fate::KeepAlive, now()), // there may be room by now
                };
            }
            Some(TurnedAway::Unclear(received)) => received,
            None => return Served::Until(Fate::Abort, NEVER), // it does not even take a short answer
        };
        let says_more = Readable::new(worker, stream, alarm, Wait::begun(now(), until)).await;
        beginning.may_take_longer = says_more && now() < until;
    }
}

async fn turn_away_at_once(
    worker: &Rc<Worker>,
    state: &ListenerState,
    stream: &mut Stream,
    client: &mut Client,
    alarm: &Alarm,
    beginning: &Beginning,
) -> TurnedAway {
    let served = TurnedAway::Served;
    let until = |fate| served(Served::Until(fate, NEVER));
    let mut workspace = worker.workspaces.lend_for_a_moment();
    workspace.input.append_rest(&beginning.received);
    let listener = state.current();
    if client.entrance != Entrance::Open {
        let deadline = after(now(), listener.head_timeout); // though nothing is waited for
        let entering = enter(worker, &listener, stream, client, alarm, &mut workspace, deadline);
        let entered = at_once(Box::pin(entering)).await;
        let is_introduced = client.entrance == Entrance::Open;
        if is_introduced && !state.admits(client, worker) {
            return until(Fate::Abort);
        }
        match entered {
            Some(Fate::KeepAlive) if is_introduced || workspace.input.is_empty() => {}
            Some(Fate::KeepAlive) | None if beginning.may_take_longer => {
                return TurnedAway::Unclear(workspace.input.readable().to_vec());
            }
            Some(Fate::KeepAlive) | None => {
                let (views, address) = (worker.views(), ClientAddress::new(client));
                let mut call = begin(worker, &views, &listener, stream, &address, alarm, &mut workspace);
                call.journal.started = beginning.since;
                call.journal.failure = Some(Failure::new(Stage::Head, Cause::RequestLimit));
                record(&mut call);
                return until(Fate::Abort); // whom it is from would not be known
            }
            Some(fate) => return until(fate),
        }
        if matches!(stream, Stream::Tls(_)) && !stream.is_encrypted() {
            return match workspace.input.readable() {
                b"" => until(Fate::KeepAlive),
                received => TurnedAway::BeginsTls(received.to_vec()),
            };
        }
    }
    let (views, address) = (worker.views(), ClientAddress::new(client));
    let mut call = begin(worker, &views, &listener, stream, &address, alarm, &mut workspace);
    let begun = at_once(Box::pin(read_head(&mut call))).await;
    let failure = match begun {
        Some(Ok(Begun::End)) => return until(Fate::Close),
        Some(Ok(Begun::Nothing)) => return until(Fate::KeepAlive),
        Some(Err(_)) | None => match Greeting::of(&call) {
            // Its streams are answered, each by itself: the connection takes no place.
            Greeting::Http2 => return served(Served::SpeaksHttp2(call.workspace.input.readable().to_vec())),
            Greeting::Unclear if beginning.may_take_longer && begun.is_none() => {
                return TurnedAway::Unclear(call.workspace.input.readable().to_vec());
            }
            Greeting::Unclear | Greeting::Http1 => match begun {
                Some(Err(failure)) => failure,
                _ => Failure::new(Stage::Policy, Cause::RequestLimit),
            },
        },
        Some(Ok(Begun::Head)) => Failure::new(Stage::Policy, Cause::RequestLimit),
    };
    forget_the_rest(&mut call);
    call.journal.failure = Some(failure);
    let fate = answer::fail(&mut call, failure).await;
    record(&mut call);
    until(fate)
}

/// What the client of a stream gets when it may not have a turn: what does not leave at once is not waited for.
pub(crate) async fn answer_at_once(call: &mut Call<'_>, failure: Failure) -> Fate {
    call.journal.failure = Some(failure);
    let answered = at_once(Box::pin(unconstrained(answer::fail(call, failure)))).await;
    answered.unwrap_or(Fate::Abort)
}

/// What a connection speaks, as far as it has come.
enum Greeting {
    Http1,
    Http2,
    /// Requests may begin like that, too.
    Unclear,
}

impl Greeting {
    fn of(call: &Call<'_>) -> Self {
        let begun = call.workspace.input.readable();
        let compared = begun.len().min(http2::PREFACE.len());
        let is_like_it = begun.get(..compared) == http2::PREFACE.get(..compared);
        match call.listener.streams_max {
            Some(_) if is_like_it && begun.starts_with(b"PRI ") => Self::Http2,
            Some(_) if is_like_it => Self::Unclear,
            _ => Self::Http1,
        }
    }
}

/// What has been read behind the head goes with the workspace, so nothing can follow on the connection.
fn forget_the_rest(call: &mut Call<'_>) {
    let workspace = &mut *call.workspace;
    workspace.path.clear(); // of whoever had the workspace before
    if !workspace.input.is_empty() {
        workspace.request.keep_alive = false;
    }
}

/// What comes of a future without waiting for it.
async fn at_once<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
    poll_fn(|cx| match Pin::new(&mut future).poll(cx) {
        Poll::Pending => Poll::Ready(None),
        Poll::Ready(output) => Poll::Ready(Some(output)),
    })
    .await
}
