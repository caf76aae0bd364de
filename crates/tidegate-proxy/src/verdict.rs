//! What the end of an attempt says of its endpoint: to the balancer, to the metrics, and where several waits say more than each, to the
//! failure itself. Knows nothing of how an attempt is made.

use crate::failure::{Blame, Cause, Failure, Stage};
use crate::grpc;
use crate::request::{Call, Fate};
use crate::snapshot::Policy;
use crate::timers::now;
use crate::view::EndpointView;
use std::time::Duration;
use tidegate_balance::{Ended, Lease};

/// Tells the balancer and the endpoint's metrics how the attempt went.
pub(crate) fn settle(
    call: &mut Call<'_>,
    lease: Lease<'_>,
    endpoint: &EndpointView,
    ended: &Result<Fate, Failure>,
) {
    let now = call.ended();
    call.journal.body_bytes_in = call.workspace.upload.body_bytes;
    call.journal.body_bytes_out = call.workspace.download.body_bytes;
    let sent = call.journal.sent().unwrap_or(lease.picked_at());
    let first_byte = call.journal.first_byte.map(|moment| moment.since(sent));
    let status = match ended {
        Err(Failure { cause: Cause::AnswerRefused(status) | Cause::UpgradeIgnored(status), .. }) => *status,
        _ => call.journal.status,
    };
    if let Some(first_byte) = first_byte {
        endpoint.metrics().first_byte.record(first_byte);
        endpoint.metrics().answers.increment(status);
    }
    if let Err(failure) = ended {
        endpoint.metrics().attempt_failed(*failure);
    }
    let judged = grpc::judged(call, status, ended.is_ok());
    lease.settle(verdict(judged, first_byte, ended), now);
}

/// What the end of a wait says together with those before it at the same endpoint: each may have been too short for an answer, of half
/// of the time that there is at most that is hardly so.
pub(crate) fn with_waits_before(
    call: &Call<'_>,
    policy: &Policy,
    lease: &mut Lease<'_>,
    failure: Failure,
) -> Failure {
    let since = call.journal.sent().unwrap_or(lease.picked_at());
    if is_left(failure) {
        lease.is_left(since, now());
    }
    if !has_waited_in_vain(call, failure) {
        return failure;
    }
    let in_vain = lease.waits_in_vain(since, now());
    let time =
        if failure.cause == Cause::AttemptTooShort { policy.timeouts.attempt } else { policy.timeouts.total };
    if in_vain >= time / 2 { failure.of_the_endpoint() } else { failure }
}

/// A configured timeout ended it, and it was the endpoint that was waited for: for a connection, or it had all there was to send, and no
/// client to wait for itself. Whoever leaves, or gives less time than the configuration, says nothing of what the endpoint could do.
fn has_waited_in_vain(call: &Call<'_>, failure: Failure) -> bool {
    let is_total = matches!(failure.cause, Cause::KeptWaiting | Cause::TotalTimeout) && !call.is_hurried();
    let has_no_body = call.workspace.upload.body_bytes == 0;
    match failure.stage {
        Stage::Connect => is_total && call.journal.connect_failed.is_some(),
        Stage::Await => match failure.cause {
            Cause::AttemptTimeout | Cause::FirstByteTimeout => true,
            Cause::AttemptTooShort => has_no_body,
            Cause::TotalTimeout => is_total && has_no_body,
            _ => is_total,
        },
        _ => false,
    }
}

/// The client left, or the time was over that it or the configuration gives, while the endpoint had all there was to send.
fn is_left(failure: Failure) -> bool {
    let is_over = matches!(
        failure.cause,
        Cause::AttemptTooShort | Cause::ClientGone | Cause::KeptWaiting | Cause::TotalTimeout
    );
    failure.stage == Stage::Await && is_over
}

fn verdict(status: u16, first_byte: Option<Duration>, ended: &Result<Fate, Failure>) -> Ended {
    match (ended, first_byte) {
        (Err(failure), _) if failure.stage == Stage::Connect => match failure.cause {
            Cause::ConnectRefused
            | Cause::ConnectTimeout
            | Cause::ConnectUnreachable
            | Cause::KeptWaiting
            | Cause::Tls(_) => Ended::ConnectFailed,
            _ => Ended::Abandoned,
        },
        (Err(Failure { cause: Cause::StreamUnseen | Cause::UpgradeUnsupported, .. }), _) => Ended::Abandoned,
        // It has answered; how a tunnel ends is for those who use it to say.
        (
            Err(Failure { cause: Cause::AnswerRefused(_), .. } | Failure { stage: Stage::Tunnel, .. }),
            Some(first_byte),
        ) => Ended::Answered { status, first_byte },
        (Err(failure), _) if failure.blame() == Blame::Upstream => Ended::Failed,
        (_, Some(first_byte)) => Ended::Answered { status, first_byte },
        _ => Ended::Abandoned,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_total_timeout_is_held_against_who_alone_has_kept_the_request_waiting() {
        let first_byte = Duration::from_millis(5);
        let answered = Ended::Answered { status: 200, first_byte };
        for (cause, stage, came, ended) in [
            (Cause::KeptWaiting, Stage::Connect, None, Ended::ConnectFailed),
            (Cause::KeptWaiting, Stage::Send, None, Ended::Failed),
            (Cause::KeptWaiting, Stage::Await, None, Ended::Failed),
            (Cause::TotalTimeout, Stage::Connect, None, Ended::Abandoned),
            (Cause::TotalTimeout, Stage::Send, None, Ended::Abandoned),
            (Cause::TotalTimeout, Stage::Await, None, Ended::Abandoned),
            (Cause::TotalTimeout, Stage::Body, Some(first_byte), answered),
        ] {
            assert_eq!(verdict(200, came, &Err(Failure::new(stage, cause))), ended, "{stage:?}, {cause:?}");
        }
    }

    #[test]
    fn what_an_endpoint_may_answer_or_clients_bring_about_is_held_against_nobody() {
        let first_byte = Duration::from_millis(5);
        let answered = Ended::Answered { status: 200, first_byte };
        for (cause, stage, came, ended) in [
            (Cause::AnswerBroken, Stage::Body, Some(first_byte), Ended::Failed),
            (Cause::AnswerGivenUp, Stage::Body, Some(first_byte), answered),
            (Cause::BodyGivenUp, Stage::Send, None, Ended::Abandoned),
            (Cause::UpgradeIgnored(200), Stage::Await, Some(first_byte), answered),
            (Cause::UpgradeUnasked, Stage::Await, None, Ended::Failed),
            (Cause::UpgradeUnsupported, Stage::Await, None, Ended::Abandoned),
            (Cause::UpgradeUnsupported, Stage::Connect, None, Ended::Abandoned),
        ] {
            assert_eq!(verdict(200, came, &Err(Failure::new(stage, cause))), ended, "{stage:?}, {cause:?}");
        }
    }
}
