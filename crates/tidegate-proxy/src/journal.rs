//! What happened so far in one request: written as it goes, read once by `record`. Decides nothing.

use crate::failure::{Failure, Stage};
use crate::sticky::Visit;
use std::sync::Arc;
use std::time::Duration;
use tidegate_balance::{Moment, Occasion, Spilled};
use tidegate_http::Span;
use tidegate_http::request::RequestHead;

/// Moments are `None` for what did not happen.
#[derive(Clone, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "facts that do not depend on each other")]
pub(crate) struct Journal {
    pub(crate) started: Moment,
    pub(crate) id: RequestId,
    /// The request's head is parsed: what the workspace says of it holds.
    pub(crate) head_read: bool,
    /// What could be read of a head that was refused.
    pub(crate) refused_line: Option<Box<RefusedLine>>,
    /// Position in the route table.
    pub(crate) route: Option<usize>,
    /// Position of the cluster that the request is for.
    pub(crate) cluster: Option<usize>,
    /// Position in it of the last attempt's endpoint.
    pub(crate) endpoint: Option<usize>,
    pub(crate) attempts: u32,
    /// When the last attempt's endpoint was picked.
    pub(crate) picked: Option<Moment>,
    /// Since when it has waited for an endpoint with room; later by what it has spent at endpoints since.
    pub(crate) waits_since: Option<Moment>,
    /// When it had its turn, or gave up, if it had to wait for an endpoint with room.
    pub(crate) queued: Option<Moment>,
    /// What the client is told to wait before it asks again, in seconds, where something tells.
    pub(crate) retry_after: Option<u64>,
    /// When a connection could be taken or opened, if that had to be waited for.
    pub(crate) ready: Option<Moment>,
    /// When a new connection was open; `None` for a reused one.
    pub(crate) connected: Option<Moment>,
    /// When opening a new one was given up.
    pub(crate) connect_failed: Option<Moment>,
    pub(crate) first_byte: Option<Moment>,
    /// When the last byte of the answer was handed on, or the last attempt failed.
    pub(crate) ended: Option<Moment>,
    /// Of the answer that the client got; 0: none.
    pub(crate) status: u16,
    /// It is a call of gRPC, which says at its end how it went.
    pub(crate) is_grpc: bool,
    /// How it went, once the endpoint has said so.
    pub(crate) grpc_status: Option<u8>,
    /// The answer is one of server-sent events.
    pub(crate) is_event_stream: bool,
    /// It is no request but a connection that is passed on as it is.
    pub(crate) is_passed_on: bool,
    /// The name that such a connection asked for.
    pub(crate) server_name: Option<Box<str>>,
    /// The head of an answer has been handed on: nothing else can be said to the client any more.
    pub(crate) begun: bool,
    /// The endpoint has asked for the body (100): silence is the client's from then on.
    pub(crate) continued: bool,
    /// The endpoint of a tunnel was the first to end, and had said nothing; by a reset, or before the client had said anything.
    pub(crate) left_without_a_word: bool,
    /// The client has shut down its sending side.
    pub(crate) half_closed: bool,
    pub(crate) body_bytes_in: u64,
    pub(crate) body_bytes_out: u64,
    /// The attempts that were given up for another.
    pub(crate) given_up: Vec<GivenUp>,
    /// A second attempt was made beside one that kept the request waiting.
    pub(crate) hedged: bool,
    /// What came of the last one, or why it was not made; rare, so apart.
    pub(crate) hedge: Option<Box<Hedge>>,
    /// Why a failed attempt was not followed by another, when its failure called for one.
    pub(crate) no_retry: Option<&'static str>,
    /// How the last pick followed from the client's cookie, where the cluster has one.
    pub(crate) sticky: Option<Visit>,
    /// Why the last pick is not the endpoint that the request's key belongs to, where a hash chooses.
    pub(crate) hash_spilled: Option<Spilled>,
    /// What the last pick was for, where the endpoint would not have been picked otherwise.
    pub(crate) picked_as: Option<Occasion>,
    pub(crate) failure: Option<Failure>,
}

impl Journal {
    /// Where the last attempt was made: the cluster, and the endpoint in it.
    pub(crate) fn place(&self) -> Option<(usize, usize)> {
        self.cluster.zip(self.endpoint)
    }

    /// When the request went to the endpoint of the last attempt.
    pub(crate) fn sent(&self) -> Option<Moment> {
        self.connected.or(self.ready).or(self.picked)
    }

    /// The last attempt had its connection later than it had its endpoint.
    pub(crate) fn has_waited_for_connection(&self) -> bool {
        self.connected.or(self.ready).is_some()
    }

    /// How far it has come, for who knows nothing more exact.
    pub(crate) fn stage(&self) -> Stage {
        match self {
            Self { begun: true, .. } => Stage::Body,
            Self { first_byte: Some(_), .. } => Stage::Await,
            Self { connected: Some(_), .. } | Self { ready: Some(_), .. } => Stage::Send,
            Self { picked: Some(_), .. } => Stage::Connect,
            Self { cluster: Some(_), .. } => Stage::Pick,
            _ => Stage::Route,
        }
    }

    /// The head that lies in `bytes` cannot be served.
    pub(crate) fn refuse(&mut self, head: &RequestHead, bytes: &[u8]) {
        self.refused_line = Some(Box::new(RefusedLine::of(head, bytes)));
    }

    /// The last attempt, which has ended, is given up for another one.
    /// `endpoint`: its address.
    pub(crate) fn give_up(&mut self, endpoint: Arc<str>, failure: Failure) {
        let took = self.ended.zip(self.picked).map(|(ended, picked)| ended.since(picked));
        let (took, grpc_status) = (took.unwrap_or_default(), self.grpc_status);
        self.given_up.push(GivenUp { endpoint, failure, grpc_status, took });
    }

    /// An endpoint for another attempt was waited for in vain until `ended`.
    pub(crate) fn forget_place(&mut self, ended: Moment) {
        self.forget_attempt();
        (self.endpoint, self.picked, self.queued) = (None, None, Some(ended));
    }

    /// Before another attempt.
    pub(crate) fn forget_attempt(&mut self) {
        (self.ready, self.connected, self.connect_failed) = (None, None, None);
        (self.first_byte, self.ended) = (None, None);
        self.grpc_status = None;
    }
}

/// An attempt that was given up for another.
#[derive(Clone, Debug)]
pub(crate) struct GivenUp {
    /// Its address; the request may go by another configuration since.
    pub(crate) endpoint: Arc<str>,
    pub(crate) failure: Failure,
    /// Of the answer that was thrown away, if it was one to a call of gRPC.
    pub(crate) grpc_status: Option<u8>,
    pub(crate) took: Duration,
}

/// A second attempt beside a first; endpoints by their positions in the cluster.
#[derive(Clone, Debug)]
pub(crate) struct Hedge {
    pub(crate) from: usize,
    /// `None`: nobody, for want of a slot.
    pub(crate) to: Option<usize>,
    pub(crate) outcome: HedgeOutcome,
    /// Why it failed, where it did.
    pub(crate) failure: Option<Failure>,
    /// The age of the first attempt then.
    pub(crate) after: Duration,
}

/// What came of a second attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HedgeOutcome {
    Failed,
    /// The first one answered, or nobody was there any more.
    Lost,
    /// Not made: it would have waited elsewhere, too.
    NoSlot,
    /// Not made.
    Unpaid,
    Won,
}

impl HedgeOutcome {
    pub(crate) const ALL: [Self; 5] = [Self::Failed, Self::Lost, Self::NoSlot, Self::Unpaid, Self::Won];

    /// The word in logs and metrics.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Lost => "lost",
            Self::NoSlot => "no_slot",
            Self::Unpaid => "unpaid",
            Self::Won => "won",
        }
    }
}

/// The beginning of a request whose head cannot be served; empty where that could not be read either.
#[derive(Clone, Debug, Default)]
pub(crate) struct RefusedLine {
    pub(crate) method: Vec<u8>,
    pub(crate) path: Vec<u8>,
    pub(crate) query: Vec<u8>,
}

/// Of each part of a refused request line; enough to know it again.
const REFUSED_BYTES_MAX: usize = 1024;

impl RefusedLine {
    fn of(head: &RequestHead, bytes: &[u8]) -> Self {
        let begin = |span: Span| {
            let whole = span.of(bytes);
            whole.get(..REFUSED_BYTES_MAX).unwrap_or(whole).to_vec()
        };
        let (method, path) = (begin(head.method_text), begin(head.path));
        if path.starts_with(b"/") || path == b"*" {
            Self { method, path, query: begin(head.query) }
        } else {
            Self { method, ..Self::default() } // a whole URL may hold a password
        }
    }
}

/// Sixteen hexadecimal digits that a client can quote and an operator can look for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RequestId([u8; 16]);

impl RequestId {
    pub(crate) fn new(random: u64) -> Self {
        // Each of the sixteen nibbles in a byte of its own, most significant first.
        let spread = |half: u32| {
            let bytes = u64::from(half);
            let words = (bytes | bytes << 16) & 0x0000_ffff_0000_ffff;
            let octets = (words | words << 8) & 0x00ff_00ff_00ff_00ff;
            (octets | octets << 4) & 0x0f0f_0f0f_0f0f_0f0f
        };
        // A nibble above nine carries into bit 4 when six is added: 39 more turn its digit into a letter.
        let digits = |nibbles: u64| {
            let letters = ((nibbles + 0x0606_0606_0606_0606) >> 4) & 0x0101_0101_0101_0101;
            nibbles + 0x3030_3030_3030_3030 + letters * 39
        };
        let mut text = [0; 16];
        let (first, second) = text.split_at_mut(8);
        first.copy_from_slice(&digits(spread((random >> 32) as u32)).to_be_bytes());
        second.copy_from_slice(&digits(spread(random as u32)).to_be_bytes());
        Self(text)
    }

    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_is_the_number_in_hexadecimal() {
        for random in [0, 1, 0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210, u64::MAX, 0x0a00_9900_00f0_000b] {
            assert_eq!(RequestId::new(random).text(), format!("{random:016x}"));
        }
    }
}
