//! The endpoints that the laws are tested with, named by their position. Knows no algorithm and no law.

use std::sync::Arc;
use tidegate_balance::{Endpoint, EndpointId};

pub(crate) fn endpoints(weights: &[u32]) -> Vec<Endpoint> {
    let endpoint = |(index, &weight): (usize, &u32)| Endpoint {
        id: EndpointId { cluster: "app".into(), address: format!("10.0.0.{index}:80").into() },
        weight,
        state: Arc::default(),
    };
    weights.iter().enumerate().map(endpoint).collect()
}
