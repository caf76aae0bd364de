//! What `adaptive` believes about endpoints, and so decides by, in words and numbers for people. Believes nothing itself.

use serde::Serialize;
use tidegate_balance::{Balancer, Health, Moment, Warning};

/// Of one endpoint, each to three decimals.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct BeliefStatus {
    /// What an unhurried request takes to its answer's head; `None` before the first answer.
    pub service_ms: Option<f32>,
    /// How much of that is the way there and back; `None` before the first connection.
    pub round_trip_ms: Option<f32>,
    /// Requests that it serves at once before they queue, for each unit of weight.
    pub parallelism: f32,
    /// The part of its last attempts that failed.
    pub error_rate: f32,
    /// What one more request costs there, in units of the cluster's typical endpoint.
    pub cost: f32,
    /// What its failing adds: it is chosen as if so many more requests were under way there.
    pub error_cost: f32,
    /// How many times all of that counts because answers are overdue or the last ones came late; 1 where nothing is wrong.
    pub warning: f32,
}

impl BeliefStatus {
    /// Of the endpoint at this position; `None` where beliefs do not decide.
    pub(crate) fn read(balancer: &Balancer, index: usize, now: Moment) -> Option<Self> {
        let (state, warning) = (&balancer.endpoints().get(index)?.state, balancer.warning(index, now)?);
        let beliefs = state.beliefs();
        let service = beliefs.service;
        // An endpoint that is tried again after it was taken out is tried whatever it costs.
        let error_cost = if state.trial_due().is_some() { 0.0 } else { beliefs.error_cost };
        Some(Self {
            service_ms: (!service.is_zero()).then(|| rounded(service.as_secs_f32() * 1e3)),
            round_trip_ms: beliefs.round_trip.map(|round_trip| rounded(round_trip.as_secs_f32() * 1e3)),
            parallelism: rounded(beliefs.parallelism),
            error_rate: rounded(state.error_rate(now)),
            cost: rounded(beliefs.cost),
            error_cost: rounded(error_cost),
            warning: rounded(warning.factor()),
        })
    }

    /// Why an endpoint that may be picked is hardly picked, if its failing is why: from one request on, another one has to be as
    /// busy as that before this one gets anything. Or why not, though it fails often.
    fn failing(&self) -> Option<String> {
        let (percent, more) = (self.error_rate * 100.0, self.error_cost);
        if more >= 1.0 && percent > 0.0 {
            let share = format!("{percent:.1} % of its attempts failed lately");
            Some(format!("{share}: it is chosen as if {more:.0} more requests were under way there"))
        } else if self.error_rate >= FAILS_OFTEN && more <= 0.0 {
            Some(format!(
                "{percent:.1} % of its attempts failed lately, no more than is normal here: it is chosen as before"
            ))
        } else {
            None
        }
    }
}

/// As a part of all attempts: people are told of it whatever follows from it.
const FAILS_OFTEN: f32 = 0.2;

/// Why `adaptive` hardly picks an endpoint that is up.
pub(crate) fn reason(beliefs: &BeliefStatus, warning: &Warning, health: Health) -> Option<String> {
    let reasons = || [silent(warning), beliefs.failing(), late(warning)].into_iter().flatten();
    (health == Health::Up)
        .then(|| reasons().collect::<Vec<_>>().join("; "))
        .filter(|reason| !reason.is_empty())
}

/// From twice its cost on, as where one more request is under way at an idle one.
fn silent(warning: &Warning) -> Option<String> {
    let (seconds, requests) = (warning.silent_for.as_secs_f64(), warning.unanswered);
    let noun = if requests == 1 { "request" } else { "requests" };
    (warning.by_silence >= 2.0).then(|| {
        format!("silent for {seconds:.1} s with {requests} {noun} unanswered: hardly asked until it answers")
    })
}

fn late(warning: &Warning) -> Option<String> {
    let factor = warning.by_lateness;
    (factor >= 2.0)
        .then(|| format!("its last answers came late: it is chosen as if it were {factor:.1} times as busy"))
}

/// A thousandth is more than is known.
fn rounded(value: f32) -> f32 {
    (value * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const FINE: Warning = Warning {
        by_silence: 1.0,
        by_lateness: 1.0,
        silent_for: Duration::from_millis(1_240),
        unanswered: 3,
    };

    fn assert_said(reason: Option<&str>, says: Option<&str>) {
        let as_said = match (reason, says) {
            (Some(reason), Some(says)) => reason.starts_with(says),
            (reason, says) => reason.is_none() && says.is_none(),
        };
        assert!(as_said, "{reason:?} instead of {says:?}");
    }

    fn belief(error_cost: f32, error_rate: f32) -> BeliefStatus {
        BeliefStatus {
            service_ms: None,
            round_trip_ms: None,
            parallelism: 1.0,
            error_rate,
            cost: 1.0,
            error_cost,
            warning: 1.0,
        }
    }

    #[test]
    fn failing_that_outweighs_a_request_or_is_frequent_is_a_reason() {
        for (error_cost, error_rate, health, says) in [
            (
                84.2,
                0.873,
                Health::Up,
                Some("87.3 % of its attempts failed lately: it is chosen as if 84 more"),
            ),
            (0.4, 0.02, Health::Up, None),
            (
                0.0,
                0.93,
                Health::Up,
                Some("93.0 % of its attempts failed lately, no more than is normal here"),
            ),
            (84.2, 0.0, Health::Up, None), // nothing has come since, and it is forgotten with the next request
            (84.2, 0.873, Health::Draining, None), // it has another reason
        ] {
            assert_said(reason(&belief(error_cost, error_rate), &FINE, health).as_deref(), says);
        }
    }

    #[test]
    fn silence_and_lateness_that_double_a_cost_are_reasons() {
        let said = Some("silent for 1.2 s with 3 requests unanswered: hardly asked until it answers");
        let late = Some("its last answers came late: it is chosen as if it were 2.4 times as busy");
        for (by_silence, by_lateness, says) in
            [(1.9, 1.9, None), (2.0, 1.0, said), (1.0, 2.4, late), (40.0, 2.4, said)]
        {
            let warning = Warning { by_silence, by_lateness, ..FINE };
            assert_said(reason(&belief(0.0, 0.0), &warning, Health::Up).as_deref(), says);
        }
        let both = reason(&belief(3.0, 0.5), &Warning { by_silence: 9.0, ..FINE }, Health::Up).unwrap();
        assert!(both.contains("until it answers; 50.0 % of its attempts failed lately"), "{both}");
        assert_eq!(
            reason(&belief(0.0, 0.0), &Warning { by_silence: 9.0, ..FINE }, Health::DownByCheck),
            None
        );
    }
}
