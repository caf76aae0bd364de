//! An endpoint as a scan sees it: what does not change while a snapshot lives, beside the state that does. Small, so that
//! two of them share a cache line. Knows no algorithm.

use crate::adaptive::{SILENCE_STALLED, error_cost};
use crate::{Endpoint, EndpointState, Moment, Place};
use std::sync::Arc;

#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) state: Arc<EndpointState>,
    /// The weight, at least 1.
    pub(crate) share: u32,
    /// The smallest weight of the cluster over this one: at most 1, and exactly 1 where all weights are equal.
    pub(crate) lightness: f32,
    /// What a request costs a typical endpoint: `lightness` times the cost of the zone.
    pub(crate) price: f32,
    /// What a request costs a typical endpoint that is alone there, in the same zone.
    pub(crate) fare: f32,
    pub(crate) tier: u8,
}

impl Seat {
    /// Endpoints beyond the end of `places` have the default place.
    pub(crate) fn all(endpoints: &[Endpoint], places: &[Place]) -> Box<[Seat]> {
        let smallest = endpoints.iter().map(|endpoint| endpoint.weight.max(1)).min().unwrap_or(1);
        let places = places.iter().copied().chain(std::iter::repeat(Place::default()));
        let typical = smallest as f32 / typical_weight(endpoints) as f32;
        let seat = |(endpoint, place)| Seat::new(endpoint, place, smallest, typical);
        endpoints.iter().zip(places).map(seat).collect()
    }

    fn new(endpoint: &Endpoint, place: Place, smallest: u32, typical: f32) -> Self {
        let share = endpoint.weight.max(1);
        let lightness = smallest as f32 / share as f32;
        let zone_cost = place.zone_cost_percent.max(1) as f32 / 100.0;
        Self {
            state: Arc::clone(&endpoint.state),
            share,
            lightness,
            price: lightness * zone_cost,
            fare: typical * zone_cost,
            tier: place.tier,
        }
    }

    /// In a zone that costs more than the proxy's own.
    pub(crate) fn is_far(&self) -> bool {
        self.price > self.lightness
    }

    /// One more request would be served at once, by what `adaptive` has learned.
    pub(crate) fn has_free_slot(&self) -> bool {
        self.state.at_work() as f32 + 1.0 <= self.slots()
    }

    /// Requests that are served at once, by what `adaptive` has learned. No fewer than one for each unit of weight are believed where weights tell no speed, which for a
    /// large weight beside a small one may be many more than there are: then what has been seen not to wait says more.
    pub(crate) fn slots(&self) -> f32 {
        let believed = self.state.published().log_parallelism.get().exp();
        let unhurried = self.state.published().unhurried.get();
        let believed = if believed <= 1.0 && unhurried > 0.0 { unhurried.min(believed) } else { believed };
        (believed / self.lightness).max(1.0)
    }

    /// Requests that have not been seen to wait. What is believed of slots counts before the first answer only: where a bound holds the load
    /// at what it allows, twice as many slots explain the answers as well, and a belief that says what is allowed would prove itself right.
    pub(crate) fn at_once(&self) -> f32 {
        let unhurried = self.state.published().unhurried.get();
        if unhurried > 0.0 { unhurried / self.lightness } else { self.slots() }
    }

    /// One more request has not been seen to wait among so many; and nothing is wrong with whoever
    /// serves them: it neither fails nor stands still. That it takes longer than others is nothing wrong: it may be its keys that do,
    /// and those would take as long elsewhere, and find nothing warm there.
    pub(crate) fn serves_at_once(&self, now: Moment) -> bool {
        self.state.at_work() as f32 + 1.0 <= self.at_once() && self.is_sound(now)
    }

    /// It is sound, and nobody is there that one more request would wait for, but what is long by itself. How many of these it can have is
    /// not known before they are answered.
    pub(crate) fn has_nobody_waiting(&self, now: Moment) -> bool {
        let usual = self.state.beliefs().service;
        self.is_sound(now) && self.state.has_answered_last(usual, now)
    }

    fn is_sound(&self, now: Moment) -> bool {
        let published = self.state.published();
        error_cost(&self.state, now) <= 0.0
            && self.state.stands_still_for(now) <= SILENCE_STALLED * published.silence.get().max(1.0)
    }

    pub(crate) fn is_even(seats: &[Seat]) -> bool {
        seats.windows(2).all(|two| matches!(two, [a, b] if a.share == b.share))
    }
}

/// Half of all weight is that of endpoints with no more.
fn typical_weight(endpoints: &[Endpoint]) -> u32 {
    let mut weights: Vec<u32> = endpoints.iter().map(|endpoint| endpoint.weight.max(1)).collect();
    weights.sort_unstable();
    let whole: u64 = weights.iter().copied().map(u64::from).sum();
    let mut sum = 0;
    let reached = weights.into_iter().find(|&weight| {
        sum += 2 * u64::from(weight);
        sum >= whole
    });
    reached.unwrap_or(1)
}
