//! What `adaptive` believes about endpoints, and so decides by, in words and numbers for people. Believes nothing itself.

use serde::Serialize;
use tidegate_balance::{EndpointState, Health, Moment};

/// Of one endpoint, each to three decimals.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct BeliefStatus {
    /// What an unhurried request takes to its answer's head; `None` before the first answer.
    pub service_ms: Option<f32>,
    /// Requests that it serves at once before they queue, for each unit of weight.
    pub parallelism: f32,
    /// The part of its last attempts that failed.
    pub error_rate: f32,
    /// What one more request costs there, in units of the cluster's typical endpoint.
    pub cost: f32,
    /// What its failing adds: it is chosen as if so many more requests were under way there.
    pub error_cost: f32,
}

impl BeliefStatus {
    pub(crate) fn read(state: &EndpointState, now: Moment) -> Self {
        let beliefs = state.beliefs();
        let service = beliefs.service;
        // An endpoint that is tried again after it was taken out is tried whatever it costs.
        let error_cost = if state.trial_due().is_some() { 0.0 } else { beliefs.error_cost };
        Self {
            service_ms: (!service.is_zero()).then(|| rounded(service.as_secs_f32() * 1e3)),
            parallelism: rounded(beliefs.parallelism),
            error_rate: rounded(state.error_rate(now)),
            cost: rounded(beliefs.cost),
            error_cost: rounded(error_cost),
        }
    }

    /// Why an endpoint that may be picked is hardly picked, if its failing is why: from one request on, another one has to be as
    /// busy as that before this one gets anything.
    pub(crate) fn reason(&self, health: Health) -> Option<String> {
        let keeps_away = health == Health::Up && self.error_cost >= 1.0 && self.error_rate > 0.0;
        keeps_away.then(|| {
            let (percent, more) = (self.error_rate * 100.0, self.error_cost);
            format!("{percent:.1} % of its last attempts failed: it is chosen as if {more:.0} more requests were under way there")
        })
    }
}

/// A thousandth is more than is known.
fn rounded(value: f32) -> f32 {
    (value * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_failing_that_outweighs_a_request_is_a_reason() {
        let belief = |error_cost, error_rate| BeliefStatus {
            service_ms: None,
            parallelism: 1.0,
            error_rate,
            cost: 1.0,
            error_cost,
        };
        for (error_cost, error_rate, health, says) in [
            (84.2, 0.873, Health::Up, Some("87.3 % of its last attempts failed: it is chosen as if 84 more")),
            (0.4, 0.02, Health::Up, None),
            (84.2, 0.0, Health::Up, None), // nothing has come since, and it is forgotten with the next request
            (84.2, 0.873, Health::Draining, None), // it has another reason
        ] {
            let reason = belief(error_cost, error_rate).reason(health);
            let as_said = match (&reason, says) {
                (Some(reason), Some(says)) => reason.starts_with(says),
                (reason, says) => reason.is_none() && says.is_none(),
            };
            assert!(as_said, "{reason:?} instead of {says:?}");
        }
    }
}
