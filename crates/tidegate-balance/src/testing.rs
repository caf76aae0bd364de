//! What the laws of the algorithms are tested with: a cluster to pick from, in virtual time.

use crate::{Algorithm, Balancer, Endpoint, EndpointId, Lease, Moment, Pick};
use proptest::prelude::*;
use std::ops::Deref;

/// A balancer with endpoints named by their position.
pub(crate) struct Fleet(Balancer);

impl Deref for Fleet {
    type Target = Balancer;

    fn deref(&self) -> &Balancer {
        &self.0
    }
}

impl Fleet {
    pub(crate) fn new(algorithm: Algorithm, weights: &[u32]) -> Self {
        let endpoint = |(index, &weight): (usize, &u32)| Endpoint {
            id: EndpointId { cluster: "app".into(), address: format!("10.0.0.{index}:80").into() },
            weight,
            state: std::sync::Arc::default(),
        };
        Self::of(algorithm, weights.iter().enumerate().map(endpoint).collect())
    }

    pub(crate) fn even(algorithm: Algorithm, endpoints: usize) -> Self {
        Self::new(algorithm, &vec![1; endpoints])
    }

    pub(crate) fn of(algorithm: Algorithm, endpoints: Vec<Endpoint>) -> Self {
        Self(Balancer::new(algorithm, endpoints, None))
    }

    pub(crate) fn pick_at(&self, now: Moment) -> Lease<'_> {
        self.pick_with(now, now.0)
    }

    pub(crate) fn pick_with(&self, now: Moment, random: u64) -> Lease<'_> {
        pick(&self.0, now, random)
    }

    pub(crate) fn pick_for(&self, key: u64) -> Lease<'_> {
        let pick = Pick { now: Moment(0), random: 0, hash: Some(key), tried: &[] };
        self.0.pick(&pick).unwrap()
    }

    /// Holds this many requests on one endpoint.
    pub(crate) fn hold(&self, index: usize, count: usize) -> Vec<Lease<'_>> {
        (0..count).map(|_| self.0.lease(index, Moment(0)).unwrap()).collect()
    }

    pub(crate) fn in_flight(&self) -> Vec<u32> {
        self.0.endpoints().iter().map(|endpoint| endpoint.state.in_flight()).collect()
    }
}

pub(crate) fn pick(balancer: &Balancer, now: Moment, random: u64) -> Lease<'_> {
    balancer.pick(&Pick { now, random, hash: None, tried: &[] }).unwrap()
}

pub(crate) fn any_weights() -> impl Strategy<Value = Vec<u32>> {
    prop::collection::vec(1_u32..8, 1..8)
}

/// Of two endpoints and more.
pub(crate) fn several_weights() -> impl Strategy<Value = Vec<u32>> {
    prop::collection::vec(1_u32..8, 2..8)
}

/// Random shares may differ from their weights by six standard deviations: once in a billion tests.
pub(crate) fn assert_proportional(shares: &[u32], weights: &[u32]) {
    let (rounds, total) = (f64::from(shares.iter().sum::<u32>()), f64::from(weights.iter().sum::<u32>()));
    for (&share, &weight) in shares.iter().zip(weights) {
        let p = f64::from(weight) / total;
        let allowed = 6.0 * (rounds * p * (1.0 - p)).sqrt() + 1.0;
        assert!((f64::from(share) - rounds * p).abs() <= allowed, "{shares:?} of {weights:?}");
    }
}

/// Sends 300 requests for few keys and holds them: nobody ever holds more than his bounded share.
pub(crate) fn assert_bounded(fleet: &Fleet, weights: &[u32], percent: u32, hot_keys: u64) {
    let total: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
    let mut held = Vec::new();
    for request in 1..=300_u64 {
        let lease = fleet.pick_for(crate::entropy::mix(request % hot_keys));
        let (index, now_there) = (lease.index(), lease.endpoint().state.in_flight());
        held.push(lease);
        let share = request as f64 * f64::from(weights[index]) / total;
        assert!(f64::from(now_there) <= (share * f64::from(percent) / 100.0).ceil() + 1e-6);
    }
}
