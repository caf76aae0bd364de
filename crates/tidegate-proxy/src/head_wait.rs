//! How long the head of an answer is waited for, and for whom meanwhile: the client, whose body it needs, or the endpoint.
//!
//! What the client takes for its body is no time of the endpoint's; but what the endpoint takes to ask for it is.

use crate::attempts::attempt_deadline;
use crate::failure::{Cause, Failure, Stage};
use crate::patience::{Patience, Slow, SlowBody};
use crate::pump::Side;
use crate::request::Call;
use crate::snapshot::Policy;
use crate::stream::Stream;
use crate::timers::now;
use std::task::{Context, Poll};
use tidegate_balance::Moment;

/// The wait for the head of one answer, interim or not.
pub(crate) struct HeadWait<'a> {
    policy: &'a Policy,
    /// The endpoint is known to say 100 (Continue).
    asks_for_bodies: bool,
    patience: Patience,
    slow_body: SlowBody,
    /// The client was waited for at the last poll; and by an endpoint that would have asked for its body, so that it is not his turn.
    awaited_body: bool,
    was_owed_100: bool,
}

impl<'a> HeadWait<'a> {
    /// `start`: since when the endpoint has had all of the request, if it has.
    pub(crate) fn new(
        call: &Call<'_>,
        policy: &'a Policy,
        asks_for_bodies: bool,
        start: Option<Moment>,
    ) -> Self {
        let patience = patience(call, policy, start);
        Self {
            policy,
            asks_for_bodies,
            patience,
            slow_body: SlowBody::default(),
            awaited_body: false,
            was_owed_100: false,
        }
    }

    /// Call when nothing moves; ready when that has lasted too long. `uploading`: there is more of the request to come, and the endpoint takes it.
    pub(crate) fn poll(
        &mut self,
        call: &mut Call<'_>,
        cx: &mut Context<'_>,
        up: &Stream,
        uploading: bool,
    ) -> Poll<Failure> {
        let awaits_body = uploading && call.workspace.upload.waits_for == Side::Source;
        let is_owed_100 = awaits_body && self.asks_for_bodies && awaits_continue(call);
        self.was_owed_100 = is_owed_100;
        if awaits_body && !is_owed_100 {
            call.attempt_deadline = call.total_deadline;
        } else if self.awaited_body && !awaits_body {
            self.begin_attempt(call);
        }
        if awaits_body != self.awaited_body {
            self.awaited_body = awaits_body;
            self.patience = patience(call, self.policy, None);
        }
        if awaits_body && !awaits_continue(call) {
            self.patience.restart();
            return self.slow_body.poll(call, cx, self.policy).map(|slow| too_slow(call, slow));
        }
        self.slow_body.rest();
        // Also while the client waits for a 100 that the endpoint may not know: it may send its body all the same.
        let uploading = uploading && !is_owed_100;
        let is_of_the_endpoint = !awaits_body || is_owed_100;
        self.poll_endpoint(call, cx, up, uploading).map(|has_rested| {
            let failure = late_head(call, uploading);
            match has_rested {
                true if is_of_the_endpoint => failure.of_the_endpoint(),
                true => failure,
                false => failure.of_too_short_a_time(),
            }
        })
    }

    /// Ready with whether nothing has moved through the second half of the time.
    fn poll_endpoint(
        &mut self,
        call: &Call<'_>,
        cx: &mut Context<'_>,
        up: &Stream,
        uploading: bool,
    ) -> Poll<bool> {
        let upload = &call.workspace.upload;
        // All that we have written may still be on its way, for as long as the endpoint likes to take it.
        let endpoint = [up];
        let sinks = if uploading || upload.body_bytes > 0 { endpoint.as_slice() } else { &[] };
        let timeouts = &self.policy.timeouts;
        let timeout = if uploading { timeouts.body_idle } else { timeouts.first_byte };
        self.patience.is_sent = !uploading;
        let polled = self.patience.poll(call, cx, upload.steps, timeout, sinks);
        polled.map(|()| self.patience.has_lasted_since_half_time(sinks))
    }

    /// What came of it; and since when the endpoint has been waited for with all of the request.
    pub(crate) fn end(
        self,
        call: &mut Call<'_>,
        read: Result<(), Failure>,
    ) -> Result<Option<Moment>, Failure> {
        if self.awaited_body {
            // It may have been a 100, behind which the endpoint's time begins as well.
            self.begin_attempt(call);
        }
        read.map(|()| self.patience.waits_since())
            .map_err(|failure| if self.awaits_in_vain(call) { failure.of_a_silent_client() } else { failure })
    }

    /// The client owes its body, and has long sent next to nothing of it.
    fn awaits_in_vain(&self, call: &Call<'_>) -> bool {
        let waits_to_be_asked = self.patience.has_lasted();
        self.awaited_body && !self.was_owed_100 && (waits_to_be_asked || self.slow_body.may_be_given_up(call))
    }

    fn begin_attempt(&self, call: &mut Call<'_>) {
        call.attempt_deadline = attempt_deadline(now(), self.policy.timeouts.attempt, call.total_deadline);
    }
}

fn patience(call: &Call<'_>, policy: &Policy, start: Option<Moment>) -> Patience {
    Patience::new(call.attempt_deadline, start).noting(half_time(call, policy))
}

/// When half of the time is over that the endpoint has at most.
fn half_time(call: &Call<'_>, policy: &Policy) -> Option<Moment> {
    if call.attempt_deadline < call.total_deadline {
        let half = (policy.timeouts.attempt / 2).as_nanos() as u64;
        return Some(Moment(call.attempt_deadline.0.saturating_sub(half)));
    }
    call.half_time()
}

fn too_slow(call: &Call<'_>, slow: Slow) -> Failure {
    match slow {
        Slow::Idle => late_head(call, true),
        Slow::InTheWay => Failure::new(Stage::Send, Cause::RequestLimit),
        Slow::BelowRate => Failure::new(Stage::Send, Cause::BodyTooSlow),
    }
}

fn late_head(call: &Call<'_>, uploading: bool) -> Failure {
    let stage = if uploading { Stage::Send } else { Stage::Await };
    if let Some(failure) = call.overall_failure(stage) {
        return failure;
    }
    if now() >= call.attempt_deadline {
        return Failure::new(stage, Cause::AttemptTimeout);
    }
    match call.workspace.upload.waits_for {
        Side::Source if uploading => Failure::new(Stage::Send, Cause::BodyStalled),
        Side::Sink if uploading => Failure::new(Stage::Send, Cause::EndpointStalled),
        _ => Failure::new(Stage::Await, Cause::FirstByteTimeout),
    }
}

/// The client waits for 100 (Continue) before it sends: that is no slowness of its own.
pub(crate) fn awaits_continue(call: &Call<'_>) -> bool {
    let workspace = &call.workspace;
    workspace.request.expects_continue
        && !call.journal.continued
        && workspace.upload.body_bytes == 0
        && workspace.input.is_empty()
}
