//! A request that comes while as many are in service as may be: answered at once, from what of it is there already.
//!
//! Nothing here waits: what a request is read and answered with is lent for a moment and given back in the same turn, so
//! that a crowd costs no memory, however large it is and whatever it sends.

use crate::answer;
use crate::client::{Client, ClientAddress};
use crate::downstream::{Begun, Served, begin, enter, read_head};
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
use tokio::task::coop::{consume_budget, unconstrained};

pub(crate) async fn turn_away(
    worker: &Rc<Worker>,
    state: &ListenerState,
    stream: &mut Stream,
    client: &mut Client,
    alarm: &Alarm,
) -> Served {
    consume_budget().await; // a client that asks on and on must not keep the others from their turn
    let turned_away = Box::pin(unconstrained(turn_away_at_once(worker, state, stream, client, alarm)));
    match at_once(turned_away).await {
        Some(Served::Until(fate, _)) => Served::Until(fate, now()),
        Some(turned_away) => turned_away,
        None => Served::Until(Fate::Abort, NEVER), // it does not even take a short answer
    }
}

async fn turn_away_at_once(
    worker: &Rc<Worker>,
    state: &ListenerState,
    stream: &mut Stream,
    client: &mut Client,
    alarm: &Alarm,
) -> Served {
    let until = |fate| Served::Until(fate, NEVER);
    let mut workspace = worker.workspaces.lend_for_a_moment();
    let listener = state.current();
    if client.entrance != Entrance::Open {
        let deadline = after(now(), listener.head_timeout); // though nothing is waited for
        let entered = enter(worker, &listener, stream, client, alarm, &mut workspace, deadline).await;
        if client.entrance == Entrance::Open && !state.admits(client, worker) {
            return until(Fate::Abort);
        }
        if entered != Fate::KeepAlive {
            return until(entered);
        }
        if matches!(stream, Stream::Tls(_)) && !stream.is_encrypted() {
            return match workspace.input.readable() {
                b"" => until(Fate::KeepAlive),
                received => Served::BeginsTls(received.to_vec()),
            };
        }
    }
    let (view, address) = (worker.view(), ClientAddress::new(client));
    let mut call = begin(worker, &view, &listener, stream, &address, alarm, &mut workspace);
    let begun = at_once(Box::pin(read_head(&mut call))).await;
    let failure = match begun {
        Some(Ok(Begun::End)) => return until(Fate::Close),
        Some(Ok(Begun::Nothing)) => return until(Fate::KeepAlive),
        // Its streams are answered, each by itself: the connection takes no place.
        Some(Err(_)) | None if begins_http2(&call) => {
            return Served::SpeaksHttp2(call.workspace.input.readable().to_vec());
        }
        Some(Err(failure)) => failure,
        Some(Ok(Begun::Head)) | None => Failure::new(Stage::Policy, Cause::RequestLimit),
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

/// As far as it has come: no request begins like that.
fn begins_http2(call: &Call<'_>) -> bool {
    let begun = call.workspace.input.readable();
    let compared = begun.len().min(http2::PREFACE.len());
    let is_telling = begun.starts_with(b"PRI ") && begun.get(..compared) == http2::PREFACE.get(..compared);
    call.listener.streams_max.is_some() && is_telling
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
