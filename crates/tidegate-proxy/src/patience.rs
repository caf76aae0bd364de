//! How long a request waits: for anything to move, and for a client that sends its head or its body, or takes its answer, too slowly.
//!
//! Knows the alarm and the clock; what a wait that was too long means is for the caller to say.

use crate::failure::Cause;
use crate::pump::{Pump, Side};
use crate::request::Call;
use crate::snapshot::Policy;
use crate::stream::Stream;
use crate::timers::{after, now};
use crate::worker::Worker;
use std::task::{Context, Poll};
use std::time::Duration;
use tidegate_balance::Moment;

/// A deadline that moves whenever something moved, and never past a last one.
///
/// What is written moves in steps, as our own kernel takes it; what that holds of it goes on without any, and may be megabytes for a
/// peer that reads slowly. It is looked at when the time is over: a peer that takes nothing has up to twice the time.
pub(crate) struct Patience {
    last_deadline: Moment,
    /// Where the first wait begins, if a moment close enough is at hand: spares a look at the clock.
    start: Option<Moment>,
    steps: Option<u64>,
    /// Since when nothing has moved, and until when that is borne.
    since: Moment,
    until: Moment,
    /// When half of this wait is over, for who will ask whether nothing has moved since.
    half_time: Option<Moment>,
    /// The same of waits that the last deadline ends.
    last_half_time: Option<Moment>,
    /// What the systems of those who are written to had not taken at the last look.
    untaken: usize,
    /// The same at half-time, where nothing has moved since.
    untaken_at_half_time: Option<usize>,
    /// It is over when they have taken all.
    ends_taken: bool,
    /// There is nothing left to write: whether any of it is still being taken is looked at in the second half of a wait.
    pub(crate) is_sent: bool,
}

impl Patience {
    pub(crate) fn new(last_deadline: Moment, start: Option<Moment>) -> Self {
        Self {
            last_deadline,
            start,
            steps: None,
            since: Moment::default(),
            until: last_deadline,
            half_time: None,
            last_half_time: None,
            untaken: 0,
            untaken_at_half_time: None,
            ends_taken: false,
            is_sent: false,
        }
    }

    /// For who will ask whether nothing has moved since this moment, when the last deadline ends a wait.
    pub(crate) fn noting(mut self, half_time: Option<Moment>) -> Self {
        self.last_half_time = half_time;
        self
    }

    /// Call when everything is pending; ready when that lasted for `timeout`. `steps` is a count of all movement; `sinks` are those whose
    /// systems may still take what was written.
    pub(crate) fn poll(
        &mut self,
        call: &Call<'_>,
        cx: &mut Context<'_>,
        steps: u64,
        timeout: Duration,
        sinks: &[&Stream],
    ) -> Poll<()> {
        if self.steps != Some(steps) {
            let start = self.start.take().unwrap_or_else(now);
            // Nobody looks at each step, but where one has left.
            let untaken = if self.ends_taken { untaken(sinks) } else { 0 };
            (self.steps, self.untaken) = (Some(steps), untaken);
            self.wait_from(start, timeout);
            call.alarm.arm(self.next_look(sinks), cx);
        }
        if !call.alarm.fired() {
            return Poll::Pending;
        }
        let now = now();
        if call.worker.is_stopping() || self.last_deadline <= now {
            return Poll::Ready(());
        }
        if now < self.until {
            self.untaken_at_half_time = Some(untaken(sinks));
        } else if self.have_taken_some(sinks) {
            self.wait_from(now, timeout);
        } else {
            return Poll::Ready(());
        }
        call.alarm.arm(self.next_look(sinks), cx);
        Poll::Pending
    }

    fn wait_from(&mut self, start: Moment, timeout: Duration) {
        let end = after(start, timeout);
        (self.since, self.untaken_at_half_time) = (start, None);
        (self.until, self.half_time) = if end < self.last_deadline {
            (end, self.is_sent.then(|| after(start, timeout / 2)))
        } else {
            (self.last_deadline, self.last_half_time)
        };
    }

    /// Who was sent no body is not looked at on the way: nobody asks whether it has taken that.
    fn next_look(&self, sinks: &[&Stream]) -> Moment {
        let is_noted = self.untaken_at_half_time.is_some() || sinks.is_empty();
        let half_time = self.half_time.filter(|half_time| !is_noted && self.since <= *half_time);
        half_time.map_or(self.until, |half_time| half_time.min(self.until))
    }

    /// Nothing has moved since half-time, nor been taken by the systems of those who are written to.
    pub(crate) fn has_lasted_since_half_time(&self, sinks: &[&Stream]) -> bool {
        let has_rested = self.steps.is_some() && self.half_time.is_some_and(|moment| self.since <= moment);
        has_rested && (sinks.is_empty() || self.untaken_at_half_time == Some(untaken(sinks)))
    }

    /// Since half-time where all is sent, else since the last look; the first one after a step cannot tell, and supposes it.
    fn have_taken_some(&mut self, sinks: &[&Stream]) -> bool {
        let untaken = untaken(sinks);
        if self.is_sent {
            return self.untaken_at_half_time.is_some_and(|then| then != untaken);
        }
        let has_changed = std::mem::replace(&mut self.untaken, untaken) != untaken;
        has_changed && !(self.ends_taken && untaken == 0)
    }

    /// The time begins anew, and nothing is waited for when they have taken all.
    pub(crate) fn end_when_taken(&mut self) {
        self.ends_taken = true;
        self.restart();
    }

    /// Somebody else has set the alarm.
    pub(crate) fn restart(&mut self) {
        self.steps = None;
    }

    /// Nothing has moved for so long that whoever is waited for may be given up by somebody else.
    pub(crate) fn has_lasted(&self) -> bool {
        self.waited() && now().since(self.since) >= GIVES_UP_FROM
    }

    /// Since when there has been nothing left to write.
    pub(crate) fn waits_since(&self) -> Option<Moment> {
        if self.waited() { self.is_sent.then_some(self.since) } else { self.start }
    }

    pub(crate) fn waited(&self) -> bool {
        self.steps.is_some()
    }
}

fn untaken(sinks: &[&Stream]) -> usize {
    sinks.iter().filter_map(|sink| sink.untaken_bytes()).sum()
}

/// Waits for what a client says first: a head, or what comes before one. It has until `deadline`; but while every place for a
/// request is taken, one that takes longer than `SLOW_HEAD` gives its place up: few slow clients would keep everybody out.
pub(crate) struct SlowHead {
    deadline: Moment,
    slow_from: Moment,
}

const SLOW_HEAD: Duration = Duration::from_secs(1);

impl SlowHead {
    pub(crate) fn new(start: Moment, deadline: Moment) -> Self {
        Self { deadline, slow_from: after(start, SLOW_HEAD) }
    }

    /// When to look again.
    pub(crate) fn until(&self) -> Moment {
        self.slow_from.min(self.deadline)
    }

    /// At a look, whether to go on waiting: there is time, and nobody else needs the place.
    pub(crate) fn may_stay(&mut self, worker: &Worker) -> bool {
        let now = now();
        let may_stay = now < self.deadline && !worker.is_stopping() && !worker.workspaces.are_all_lent();
        if may_stay {
            self.slow_from = after(now, SLOW_HEAD);
        }
        may_stay
    }

    /// Why it may not.
    pub(crate) fn cause(&self) -> Cause {
        if self.deadline <= now() { Cause::HeadTimeout } else { Cause::RequestLimit }
    }
}

/// How a client sends its body too slowly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slow {
    /// Nothing came for as long as a body may rest, or some other deadline of the request passed.
    Idle,
    /// It keeps a place that others wait for.
    InTheWay,
    /// Less came than `limit.body_rate` demands.
    BelowRate,
}

/// Waits for a client's body: as long as it never rests for longer than `timeout.body_idle`, and keeps up with
/// `limit.body_rate`. But while every place for a request is taken, one that comes more slowly than `IN_THE_WAY` gives its
/// place up, as slow heads do: few slow clients would keep everybody out. Only before the answer begins: from then on it
/// is a conversation.
#[derive(Debug, Default)]
pub(crate) struct SlowBody {
    /// Since when it is looked at.
    since: Moment,
    /// What had come of it then.
    bytes: u64,
    steps: Option<u64>,
    moved: Moment,
    arrears: Arrears,
    /// Since when next to nothing has come, and what had come until then.
    drips: Option<(Moment, u64)>,
}

/// No endpoint that people use gives a client up that has been silent, or has sent single bytes, for less. One that ends sooner has broken.
const GIVES_UP_FROM: Duration = Duration::from_secs(4);
const DRIPS_BELOW_BYTES: u64 = 1024;

/// Bytes that have to come in each look's time.
const IN_THE_WAY: (u64, Duration) = (1024, Duration::from_secs(1));

impl SlowBody {
    /// Call while the client is waited for.
    pub(crate) fn poll(&mut self, call: &Call<'_>, cx: &mut Context<'_>, policy: &Policy) -> Poll<Slow> {
        let upload = &call.workspace.upload;
        let now = now();
        if self.steps != Some(upload.steps) {
            self.steps = Some(upload.steps);
            self.moved = now;
        }
        let (_, before) = *self.drips.get_or_insert((now, upload.body_bytes));
        if upload.body_bytes >= before + DRIPS_BELOW_BYTES {
            self.drips = Some((now, upload.body_bytes));
        }
        let mut end = after(self.moved, policy.timeouts.body_idle).min(call.attempt_deadline);
        if end <= now || call.worker.is_stopping() {
            return Poll::Ready(Slow::Idle);
        }
        if let Some(rate) = policy.body_rate_min {
            let Some(left) = self.arrears.wait(now, upload.body_bytes, rate) else {
                return Poll::Ready(Slow::BelowRate);
            };
            end = end.min(after(now, left));
        }
        let (bytes_min, time) = IN_THE_WAY;
        if after(self.since, time) <= now {
            let is_first_look = self.since == Moment::default();
            let is_slow = !is_first_look && upload.body_bytes < self.bytes + bytes_min;
            if is_slow && call.worker.workspaces.are_all_lent() {
                return Poll::Ready(Slow::InTheWay);
            }
            (self.since, self.bytes) = (now, upload.body_bytes);
        }
        call.alarm.arm(after(self.since, time).min(end), cx);
        Poll::Pending
    }

    /// Whether next to nothing has come of the body for so long that whoever waits for it may give it up.
    pub(crate) fn may_be_given_up(&self, call: &Call<'_>) -> bool {
        self.drips.is_some_and(|(since, before)| {
            call.workspace.upload.body_bytes < before + DRIPS_BELOW_BYTES
                && now().since(since) >= GIVES_UP_FROM
        })
    }

    /// Call while somebody else is waited for: that time is not the client's.
    pub(crate) fn rest(&mut self) {
        self.arrears.since = None;
        self.drips = None;
    }
}

/// How far a client is behind a rate, as the time that it would take to make up: waiting adds, bytes take away, and a
/// client that was ahead has saved nothing up.
#[derive(Debug, Default)]
struct Arrears {
    /// Since when the client has been waited for.
    since: Option<Moment>,
    bytes: u64,
    behind: Duration,
}

/// Where patience ends: bursts and pauses below it are as good as an even flow.
const ARREARS_MAX: Duration = Duration::from_secs(10);

impl Arrears {
    /// At `now` the client is waited for, and `bytes` have come in all; `rate` is bytes a second. How long that may last
    /// without another byte; `None`: it has lasted too long.
    fn wait(&mut self, now: Moment, bytes: u64, rate: u64) -> Option<Duration> {
        let waited = self.since.map_or(Duration::ZERO, |since| now.since(since));
        let came = bytes.saturating_sub(self.bytes);
        let worth = Duration::from_nanos(came.saturating_mul(1_000_000_000) / rate.max(1));
        self.behind = (self.behind + waited).saturating_sub(worth);
        (self.since, self.bytes) = (Some(now), bytes);
        ARREARS_MAX.checked_sub(self.behind).filter(|left| !left.is_zero())
    }
}

/// Whether it is the client that an endpoint had waited for which broke its answer off. That shows when the client reads on, behind all
/// that the endpoint had written before.
#[derive(Debug, Default)]
pub(crate) struct SlowReader {
    /// Since when it is waited for, and what it had taken until then.
    waits: Option<(Moment, u64)>,
    /// What it had taken when it last had been waited for long.
    took_late: Option<u64>,
}

/// Who takes so little in this time takes next to nothing. Systems that hold megabytes ask for more in steps of as much, with seconds between at
/// the pace of an ordinary link; and no endpoint that people use waits for less than this.
const TAKEN_BYTES_MIN: u64 = 1024 * 1024;
const READS_TOO_LITTLE: Duration = Duration::from_secs(10);

/// More than both systems hold of an answer (Linux: `tcp_rmem` and `tcp_wmem`, 10 MiB).
const WRITTEN_BEFORE_BYTES_MAX: u64 = 16 * 1024 * 1024;

impl SlowReader {
    /// Call whenever the answer has been moved as far as it can be.
    #[inline]
    pub(crate) fn look(&mut self, download: &Pump, is_pending: bool) {
        let is_waited_for = is_pending && download.waits_for == Side::Sink;
        if is_waited_for || self.waits.is_some() {
            self.note(download.sent_bytes, is_waited_for, now());
        }
    }

    fn note(&mut self, taken: u64, is_waited_for: bool, now: Moment) {
        if let Some((since, before)) = self.waits {
            if is_waited_for && taken < before + TAKEN_BYTES_MIN {
                return;
            }
            if now.since(since) >= READS_TOO_LITTLE {
                self.took_late = Some(taken);
            }
        }
        self.waits = is_waited_for.then_some((now, taken));
    }

    /// Where the answer breaks off now.
    pub(crate) fn may_be_given_up(&self, taken: u64) -> bool {
        self.took_late.is_some_and(|late| taken - late <= WRITTEN_BEFORE_BYTES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timers::NEVER;
    use crate::transport::Transport;
    use proptest::prelude::*;
    use std::io::Read;
    use std::task::Waker;

    fn at(millis: u64) -> Moment {
        Moment(1_000_000_000 + millis * 1_000_000)
    }

    /// A connection, and the other side of it.
    async fn pipe() -> (Stream, std::net::TcpStream) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let near = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (far, _) = listener.accept().unwrap();
        near.writable().await.unwrap();
        (Stream::Plain(Transport::Tcp(near)), far)
    }

    /// Until there is no more room: bytes written.
    fn fill(near: &Stream) -> usize {
        let (mut cx, mut written) = (Context::from_waker(Waker::noop()), 0);
        while let Poll::Ready(sent) = near.poll_write(&mut cx, &[b'x'; 16_384]) {
            written += sent.unwrap();
        }
        written
    }

    #[test]
    fn who_takes_some_of_what_was_written_is_no_idler() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(async {
            let (near, mut far) = pipe().await;
            let mut patience = Patience::new(NEVER, None);
            assert!(!patience.have_taken_some(&[&near]), "there is nothing to take");
            let written = fill(&near);
            assert!(patience.have_taken_some(&[&near]), "nobody knows yet");
            let rests = |patience: &mut Patience| {
                (0..1000).any(|_| {
                    std::thread::sleep(Duration::from_millis(1));
                    !patience.have_taken_some(&[&near])
                })
            };
            assert!(rests(&mut patience), "it has no more room");
            far.read_exact(&mut vec![0; written]).unwrap();
            assert!(patience.have_taken_some(&[&near]));
            assert!(rests(&mut patience), "it has all");
        });
    }

    #[test]
    fn what_moved_last_before_half_time_has_rested_since() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(async {
            let (near, mut far) = pipe().await;
            fill(&near);
            let end = at(1000);
            let waiting = |half_time, since| {
                let mut patience = Patience::new(end, None).noting(half_time);
                patience.steps = Some(1);
                patience.wait_from(at(since), Duration::from_mins(1));
                patience
            };
            for (half_time, since, rests, why) in [
                (Some(at(500)), 400, true, "it has had all for long"),
                (Some(at(500)), 501, false, "it has not"),
                (None, 0, false, "there is no time that it could have kept"),
            ] {
                let patience = waiting(half_time, since);
                assert_eq!(patience.has_lasted_since_half_time(&[]), rests, "{why}");
                assert_eq!(patience.next_look(&[]), end, "{why}");
            }
            let mut patience = waiting(Some(at(500)), 400);
            assert!(!patience.has_lasted_since_half_time(&[&near]), "nobody has looked");
            assert_eq!(patience.next_look(&[&near]), at(500));
            patience.untaken_at_half_time = Some(untaken(&[&near]));
            assert_eq!(patience.next_look(&[&near]), end);
            assert!(patience.has_lasted_since_half_time(&[&near]), "it takes nothing");
            far.read_exact(&mut vec![0; untaken(&[&near])]).unwrap();
            let takes_some = (0..1000).any(|_| {
                std::thread::sleep(Duration::from_millis(1));
                !patience.has_lasted_since_half_time(&[&near])
            });
            assert!(takes_some);
        });
    }

    #[test]
    fn a_client_may_be_given_up_that_takes_next_to_nothing_for_ten_seconds() {
        const MIB: u64 = 1024 * 1024;
        let waits = |taken, since| (taken, true, since);
        for (looks, ends_at, expected, why) in [
            (&[waits(0, 0), (MIB, false, 10_000)][..], MIB, true, "it was waited for, and then took some"),
            (&[waits(0, 0), (MIB, false, 9_999)], MIB, false, "not for long"),
            (
                &[waits(0, 0), waits(MIB, 8_000), (2 * MIB, false, 16_000)],
                2 * MIB,
                false,
                "it has taken some meanwhile",
            ),
            (
                &[waits(0, 0), waits(MIB - 1, 8_000), (MIB, false, 16_000)],
                MIB,
                true,
                "that was next to nothing",
            ),
            (&[waits(0, 0), (MIB, false, 12_000)], 17 * MIB, true, "that may have been written before"),
            (&[waits(0, 0), (MIB, false, 12_000)], 18 * MIB, false, "the endpoint has written since"),
            (&[(0, false, 0), (MIB, false, 13_000)], MIB, false, "the endpoint was waited for"),
        ] {
            let mut reader = SlowReader::default();
            for (taken, is_waited_for, millis) in looks {
                reader.note(*taken, *is_waited_for, at(*millis));
            }
            assert_eq!(reader.may_be_given_up(ends_at), expected, "{why}");
        }
    }

    #[test]
    fn a_silent_client_has_ten_seconds() {
        let mut arrears = Arrears::default();
        assert_eq!(arrears.wait(at(0), 0, 1000), Some(ARREARS_MAX));
        assert_eq!(arrears.wait(at(9_000), 0, 1000), Some(Duration::from_secs(1)));
        assert_eq!(arrears.wait(at(10_000), 0, 1000), None);
    }

    #[test]
    fn what_was_sent_ahead_is_not_saved_up() {
        let mut arrears = Arrears::default();
        assert_eq!(arrears.wait(at(0), 1 << 40, 1000), Some(ARREARS_MAX));
        assert_eq!(arrears.wait(at(10_000), 1 << 40, 1000), None);
    }

    #[test]
    fn time_in_which_the_endpoint_was_waited_for_does_not_count() {
        let mut body = SlowBody::default();
        assert_eq!(body.arrears.wait(at(0), 0, 1000), Some(ARREARS_MAX));
        body.rest();
        assert_eq!(body.arrears.wait(at(60_000), 0, 1000), Some(ARREARS_MAX));
    }

    proptest! {
        /// A law of the limit: a client is let go if and only if, over some stretch of the time in which it was waited
        /// for, it sent ten seconds' worth less than the rate.
        #[test]
        fn exactly_those_who_fall_ten_seconds_behind_are_let_go(
            rate in 1u64..100_000,
            pieces in prop::collection::vec((0u64..8_000, 0u64..400_000), 1..40),
        ) {
            let (mut arrears, mut time, mut total) = (Arrears::default(), 0, 0);
            arrears.wait(at(0), 0, rate);
            let mut behind: Vec<i128> = vec![0]; // of every stretch that ends here, in bytes times 1000
            for (millis, bytes) in pieces {
                (time, total) = (time + millis, total + bytes);
                let change = i128::from(rate) * i128::from(millis) - i128::from(bytes) * 1000;
                for stretch in &mut behind {
                    *stretch += change;
                }
                let worst = behind.iter().copied().max().unwrap_or(0);
                behind.push(0);
                let limit = i128::from(rate) * 10_000;
                let slack = 1000 + i128::from(rate) / 1000 * 40; // nanoseconds lost in division
                match arrears.wait(at(time), total, rate) {
                    None => {
                        prop_assert!(worst >= limit - slack, "let go {worst} behind of {limit}");
                        break;
                    }
                    Some(_) => prop_assert!(worst < limit + slack, "kept {worst} behind of {limit}"),
                }
            }
        }
    }
}
