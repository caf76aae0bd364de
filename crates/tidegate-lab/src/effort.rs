//! How long a comparison takes where that is long, said before it begins. Knows what a look at an endpoint costs, and no algorithm.

use crate::contender::Contender;
use crate::demand::Demand;
use crate::replay::{AccessLog, ReplayOptions};
use crate::scenario::Scenario;
use crate::simulation::Plan;
use crate::traffic::Traffic;

/// Measured with ten thousand endpoints, whose states do not stay in the cache: 4 to 100, by the algorithm.
const LOOK_SECONDS: f64 = 30e-9;
/// Whoever waits for less needs no warning.
const LONG_SECONDS: f64 = 60.0;

impl Scenario {
    /// Who will take long with it, and what takes less; `None` where nobody does.
    pub fn warning(&self) -> Option<String> {
        let plan = self.plan(0);
        let takes_less = "`--seconds`, fewer endpoints, or other algorithms with `--algorithm`";
        warning(requests(&plan), plan.machines.len(), &self.algorithms, takes_less)
    }
}

impl AccessLog {
    /// As [`Scenario::warning`], of a replay.
    pub fn warning(&self, options: &ReplayOptions) -> Option<String> {
        let takes_less = "a part of the log, or other algorithms with `--algorithm`";
        warning(self.requests() as f64, self.endpoints(options), &options.contenders, takes_less)
    }
}

/// That will come, on the average.
fn requests(plan: &Plan) -> f64 {
    match &plan.traffic {
        Traffic::Made(made) => Demand::of(made.rate, made.rate, &made.steps, plan.until).requests,
        Traffic::Recorded(requests) => requests.len() as f64,
    }
}

fn warning(requests: f64, endpoints: usize, contenders: &[Contender], takes_less: &str) -> Option<String> {
    let seconds = requests * endpoints as f64 * LOOK_SECONDS;
    let slow = contenders.iter().filter(|contender| contender.looks_at_all());
    let slow: Vec<&str> = slow.map(|contender| contender.name.as_str()).collect();
    if slow.is_empty() || seconds < LONG_SECONDS {
        return None;
    }
    let look = if slow.len() == 1 { "looks" } else { "look" };
    Some(format!(
        "{requests:.1e} requests to {endpoints} endpoints: {} {look} at every endpoint for each request, which may take {}{}; \
         what takes less: {takes_less}",
        slow.join(", "),
        if slow.len() == 1 { "" } else { "each of them " },
        about(seconds),
    ))
}

/// A time that nobody should set a clock by.
fn about(seconds: f64) -> String {
    let (minutes, hours) = (seconds / 60.0, seconds / 3600.0);
    match minutes.round() {
        1.0 => "a minute".to_owned(),
        _ if minutes < 90.0 => format!("{minutes:.0} minutes"),
        _ => format!("{hours:.0} hours"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(count: u32, lasts: &str, algorithms: &str) -> Option<String> {
        let text = format!(
            "name = 'x'\ntitle = 'x'\nload = 0.5\nlasts = '{lasts}'\nwarm_up = '1s'\n{algorithms}\n[[endpoints]]\ncount = {count}"
        );
        Scenario::parse(&text).unwrap().warning()
    }

    #[test]
    fn who_looks_at_ten_thousand_endpoints_for_each_of_millions_of_requests_is_told_of() {
        let usual = said(10_000, "10s", "").unwrap();
        assert!(
            usual.starts_with(
                "2.0e7 requests to 10000 endpoints: least_request, least_time, oracle look at every endpoint for each \
                 request, which may take each of them 2 hours; what takes less: `--seconds`"
            ),
            "{usual}"
        );
        let one = said(10_000, "2s", "algorithms = ['random', 'rendezvous']").unwrap();
        assert!(
            one.contains("rendezvous looks at every endpoint for each request, which may take 20 minutes"),
            "{one}"
        );
    }

    #[test]
    fn nobody_is_told_of_what_does_not_take_long() {
        assert_eq!(
            said(10_000, "10s", "algorithms = ['random', 'round_robin', 'adaptive:3', 'first']"),
            None
        );
        assert_eq!(said(100, "60s", ""), None);
        for (name, _) in crate::builtin::ALL {
            assert_eq!(crate::builtin::scenario(name).unwrap().warning(), None, "{name}");
        }
    }

    #[test]
    fn a_replay_is_told_of_by_the_endpoints_that_it_will_have() {
        let line = r#"{"time":"2026-11-23T01:14:19.123Z","endpoint":"","status":200,"first_byte_ms":5.0}"#;
        let log = AccessLog::read(format!("{line}\n").repeat(40_000).as_bytes()).unwrap();
        let options = |endpoints| ReplayOptions {
            contenders: vec![Contender::parse("rendezvous_drain_time:150").unwrap()],
            slots: None,
            endpoints: Some(endpoints),
            restarts: false,
            weights: Vec::new(),
            times: 1.0,
            seed: 1,
            jobs: 1,
        };
        assert!(
            log.warning(&options(100_000)).unwrap().contains("2 minutes; what takes less: a part of the log")
        );
        assert_eq!(log.warning(&options(100)), None);
    }
}
