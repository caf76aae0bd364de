//! Who may be picked for one request: the one place that asks health and the endpoints already tried. Knows no
//! algorithm.

use crate::entropy::{Stream, below};
use crate::room::Rooms;
use crate::seat::Seat;
use crate::{Moment, Pick};

/// Whom a look over the endpoints accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standard {
    /// Of the open ones, those whose failures cost something.
    Failing,
    /// Endpoints out by quickly failing connects alone.
    LastResort,
    /// Endpoints whose last connect was refused, marked for it or not, and which have not been asked for a moment.
    LeftAlone,
    /// Endpoints that are up, and marked ones whose trial is due.
    Open,
    /// Endpoints that are up, and whose last connect did not fail.
    Reachable,
    /// Endpoints out by quickly failing connects alone, which have not been asked for a moment.
    Refusing,
    /// Marked ones whose trial is due.
    Trial,
    /// Endpoints out by connects that took long to fail, and by nothing else, which have not been asked for a moment.
    Unreached,
    Up,
}

impl Standard {
    /// Whether a request that this finds nobody for may still wait for one that is full.
    pub(crate) fn may_wait(self) -> bool {
        matches!(self, Self::Open | Self::Reachable | Self::Up)
    }

    #[inline]
    pub(crate) fn accepts(self, seat: &Seat, now: Moment) -> bool {
        match self {
            Self::LastResort => seat.state.is_last_resort(),
            Self::LeftAlone => seat.state.is_left_alone(now),
            Self::Failing => seat.state.is_open(now) && seat.state.standing().error_cost.get() > 0.0,
            Self::Open => seat.state.is_open(now),
            Self::Reachable => seat.state.is_up() && seat.state.connect_failures_in_a_row() == 0,
            Self::Refusing => seat.state.may_be_asked(now),
            Self::Trial => seat.state.is_due(now),
            Self::Unreached => seat.state.is_unreached(now),
            Self::Up => seat.state.is_up(),
        }
    }
}

/// The endpoints of a cluster through the eyes of one pick.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidates<'a> {
    seats: &'a [Seat],
    tried: &'a [usize],
    now: Moment,
    standard: Standard,
    tier: Option<u8>,
    rooms: Option<&'a Rooms>,
    /// Nothing tried, any tier, no limits, open ones only: the first pick of nearly every request.
    is_plain: bool,
}

impl<'a> Candidates<'a> {
    /// `tier`: only this one, when there are several. `rooms`: only those with room for one more.
    pub(crate) fn new(
        seats: &'a [Seat],
        pick: &Pick<'a>,
        standard: Standard,
        tier: Option<u8>,
        rooms: Option<&'a Rooms>,
    ) -> Self {
        let is_plain =
            pick.tried.is_empty() && tier.is_none() && rooms.is_none() && standard == Standard::Open;
        Self { seats, tried: pick.tried, now: pick.now, standard, tier, rooms, is_plain }
    }

    pub(crate) fn now(&self) -> Moment {
        self.now
    }

    /// The only tier that they are of; `None`: of any.
    pub(crate) fn tier(&self) -> Option<u8> {
        self.tier
    }

    /// Positions there are, whether they may be picked or not.
    pub(crate) fn positions(&self) -> usize {
        self.seats.len()
    }

    /// The endpoint at this position, when it may be picked.
    pub(crate) fn get(&self, index: usize) -> Option<&'a Seat> {
        self.seats.get(index).filter(|seat| self.accepts(index, seat))
    }

    /// With those that are full as well.
    #[must_use]
    pub(crate) fn full_or_not(&self) -> Self {
        let is_plain = self.tried.is_empty() && self.tier.is_none() && self.standard == Standard::Open;
        Self { rooms: None, is_plain, ..*self }
    }

    /// All that may be picked, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &'a Seat)> {
        self.seats.iter().enumerate().filter(|&(index, seat)| self.accepts(index, seat))
    }

    /// Visits all that may be picked, once each, starting at a random position: whoever is met first wins the ties that an
    /// algorithm leaves, and workers that scan at the same time touch different cache lines. `visit` is told whether the
    /// endpoint is plainly open, with nothing to know but its counts and costs. Plain loops with one call of `visit`, so that
    /// it is inlined: a chained iterator costs three times as much.
    pub(crate) fn visit_from_random(&self, random: u64, mut visit: impl FnMut(usize, &'a Seat, bool)) {
        let offset = below(random, self.seats.len() as u64) as usize;
        let (before, after) = self.seats.split_at(offset);
        let is_plain = self.is_plain;
        for (first, part) in [(offset, after), (0, before)] {
            for (index, seat) in (first..).zip(part) {
                let is_plain = is_plain && seat.state.is_unremarkable();
                if is_plain || self.accepts_with_care(index, seat) {
                    visit(index, seat, is_plain);
                }
            }
        }
    }

    /// One drawn from all positions, when it may be picked.
    pub(crate) fn at_random(&self, stream: &mut Stream) -> Option<(usize, &'a Seat)> {
        let index = stream.next_below(self.seats.len() as u64) as usize;
        Some((index, self.get(index)?))
    }

    /// One that may be picked and suits, with a probability in proportion to its weight, in one look over all of them.
    pub(crate) fn by_weight(&self, random: u64, suits: impl Fn(&Seat) -> bool) -> Option<usize> {
        let suiting = || self.iter().filter(|(_, seat)| suits(seat));
        let total = suiting().map(|(_, seat)| u64::from(seat.share)).sum();
        let mut left = below(random, total);
        let mut last = None;
        for (index, seat) in suiting() {
            last = Some(index);
            match left.checked_sub(u64::from(seat.share)) {
                Some(rest) => left = rest,
                None => break,
            }
        }
        last
    }

    #[inline]
    fn accepts(&self, index: usize, seat: &Seat) -> bool {
        (self.is_plain && seat.state.is_unremarkable()) || self.accepts_with_care(index, seat)
    }

    /// Apart, so that the plain loop stays small.
    #[inline(never)]
    fn accepts_with_care(&self, index: usize, seat: &Seat) -> bool {
        self.standard.accepts(seat, self.now)
            && self.tier.is_none_or(|tier| tier == seat.tier)
            && !self.tried.contains(&index)
            && self.rooms.is_none_or(|rooms| rooms.has_room(index, seat, self.now))
    }
}
