//! The results of a duel as a page, and kept beside those of the same day. Knows layout, computes nothing but ratios.

use super::goals::{Goal, goals};
use super::standing::{Standing, Standings};
use crate::peers::{Subject, version};
use crate::report::table;
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

const METHOD: &str = "\
Endpoints sleep: each request keeps one of an endpoint's slots for its work (lognormal, mean 50 ms, σ = 1), the others
wait their turn. The client is open-loop: Poisson arrivals, latency from the moment a request was due. Every contestant
has endpoints of its own and, by seed, the same arrivals and work; they take turns, a few at a time, and all rounds are
put together. One worker each; Tidegate, and the others unless they are called best or told, with their defaults but
for upstream connections, which all keep and share (http-reuse always, keepalive). Best is leastconn with active checks, observed answers, retries, redispatch and slow start
(HAProxy), least_conn with max_fails=3 and every failing status tried again (nginx), adaptive with every failing status
tried again (Tidegate); hedging is adaptive with hedge = true; told is best with each endpoint's slots as its weight and as its limit. Quantiles are of good
answers and of clients that waited 10 s in vain, in milliseconds; x99 is the 99th percentile of the time beyond a
request's own work. A request whose kept connection the proxy closes without an answer is sent once more, as browsers
do. Ratios are to HAProxy leastconn, in parentheses those of the rounds.";

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Results {
    date: String,
    versions: Vec<String>,
    pub(super) scenarios: Vec<Standings>,
}

impl Results {
    pub(super) fn of(date: String) -> Self {
        let versions = [Subject::Nginx, Subject::Haproxy].into_iter().filter_map(version).collect();
        Self { date, versions, scenarios: Vec::new() }
    }

    /// Adds a scenario, in place of what was measured of it before.
    pub(super) fn add(&mut self, standings: Standings) {
        match self.scenarios.iter_mut().find(|one| one.scenario == standings.scenario) {
            Some(before) => *before = standings,
            None => self.scenarios.push(standings),
        }
    }

    /// Writes the results, beside the scenarios that were measured earlier this day.
    pub(super) fn keep(self, folder: &Path) -> Result<PathBuf, String> {
        let stem = folder.join(format!("{}-duel", self.date));
        let failed = |error| format!("cannot keep the results in {}: {error}", folder.display());
        let earlier = fs::read_to_string(stem.with_extension("json")).ok();
        let mut all: Self = earlier.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        (all.date, all.versions) = (self.date, self.versions);
        self.scenarios.into_iter().for_each(|one| all.add(one));
        fs::create_dir_all(folder).map_err(failed)?;
        fs::write(stem.with_extension("md"), all.page()).map_err(failed)?;
        fs::write(stem.with_extension("json"), all.to_json()? + "\n").map_err(failed)?;
        Ok(stem)
    }

    pub(super) fn to_json(&self) -> Result<String, String> {
        serde_json::to_string_pretty(self).map_err(|error| format!("no JSON: {error}"))
    }

    pub(super) fn page(&self) -> String {
        let mut page = format!("# The duel of {}\n\n{METHOD}\n\n", self.date);
        for version in &self.versions {
            let _ = writeln!(page, "- {version}");
        }
        page.push_str(&goal_table(&self.scenarios));
        for standings in &self.scenarios {
            page.push_str(&section(standings));
        }
        page
    }
}

fn goal_table(scenarios: &[Standings]) -> String {
    let rows: Vec<Vec<String>> = scenarios
        .iter()
        .flat_map(|standings| goals(standings).into_iter().map(move |goal| (standings, goal)))
        .map(|(standings, goal)| {
            let (measured, verdict) = (optional(goal.measured, 3), verdict(&goal));
            vec![standings.scenario.clone(), goal.what.to_owned(), goal.wanted, measured, verdict.to_owned()]
        })
        .collect();
    let columns = ["scenario", "goal of Tidegate's adaptive", "wanted", "measured", ""];
    if rows.is_empty() { String::new() } else { format!("\n## Goals\n\n{}", table(&columns, rows)) }
}

fn verdict(goal: &Goal) -> &'static str {
    match (goal.reached, goal.must_hold) {
        (true, _) => "reached",
        (false, false) => "NOT reached",
        (false, true) => "NOT reached, and must hold",
    }
}

fn section(standings: &Standings) -> String {
    let odd = standings.odd.map(|_| "% to the odd one");
    let somebody_warmed = standings.contestants.iter().any(|one| !one.warm_after_seconds.is_empty());
    let cold = somebody_warmed.then_some("warm after s");
    // A hundredth of the requests: less is the odd connection that ended as the next request set out.
    let again =
        standings.contestants.iter().any(|one| one.sent_again_percent() > 1.0).then_some("sent again %");
    let columns: Vec<&str> =
        ["", "p50", "p99", "p99.9", "x99", "p99 ratio", "p99.9 ratio", "client errors %", "busiest/mean"]
            .into_iter()
            .chain(again)
            .chain(odd)
            .chain(cold)
            .chain(["CPU %"])
            .collect();
    let rows = standings.contestants.iter().map(|standing| {
        let mut row = row(standing, standings.reference());
        row.extend(again.map(|_| format!("{:.2}", standing.sent_again_percent())));
        row.extend(standings.odd.map(|odd| optional(standing.percent_to(odd), 2)));
        row.extend(cold.map(|_| optional(standing.warm_after(), 1)));
        row.push(format!("{:.0}", 100.0 * standing.cpu_share));
        row
    });
    let mut text = format!(
        "\n## {}: {}\n\nAt {}. {} Endpoints and client of one contestant took {:.0} % of a core and were late by \
         {:.2} ms (p99), {:.2} ms (p99.9).\n\n{}",
        standings.scenario,
        standings.title,
        standings.commit,
        standings.conditions,
        100.0 * standings.lane_share,
        standings.late_ms_p99,
        standings.late_ms_p999,
        table(&columns, rows.collect()),
    );
    for failure in &standings.failures {
        let _ = writeln!(text, "\nFailed: {failure}");
    }
    text
}

fn row(standing: &Standing, reference: Option<&Standing>) -> Vec<String> {
    let ratio = |number: fn(&Standing) -> f64, rounds: fn(&Standing) -> &[f64]| {
        reference.map_or_else(String::new, |reference| {
            let each = rounds(standing).iter().zip(rounds(reference));
            let each: Vec<String> = each.map(|(one, other)| format!("{:.2}", one / other)).collect();
            format!("{:.2} ({})", number(standing) / number(reference), each.join(" "))
        })
    };
    let time = |number: f64| if number < 1_000.0 { format!("{number:.1}") } else { format!("{number:.0}") };
    vec![
        standing.contestant.clone(),
        time(standing.p50),
        time(standing.p99),
        time(standing.p999),
        time(standing.x99),
        ratio(|one| one.p99, |one| &one.p99_of_rounds),
        ratio(|one| one.p999, |one| &one.p999_of_rounds),
        format!("{:.3}", standing.errors_percent()),
        format!("{:.2}", standing.busiest_over_mean),
    ]
}

fn optional(number: Option<f64>, digits: usize) -> String {
    number.map_or_else(|| "–".to_owned(), |number| format!("{number:.digits$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(scenario: &str, commit: &str) -> Standings {
        let (scenario, commit) = (scenario.to_owned(), commit.to_owned());
        Standings { scenario, commit, ..Standings::default() }
    }

    #[test]
    fn what_is_measured_again_takes_the_place_of_what_was() {
        let folder = std::env::temp_dir().join(format!("tidegate-duel-page-{}", std::process::id()));
        let results = |scenarios| Results { date: "2026-01-01".to_owned(), versions: Vec::new(), scenarios };
        results(vec![named("equal", "a"), named("cores", "a")]).keep(&folder).unwrap();
        let stem = results(vec![named("cores", "b")]).keep(&folder).unwrap();
        let kept: Results =
            serde_json::from_str(&fs::read_to_string(stem.with_extension("json")).unwrap()).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(kept.scenarios, [named("equal", "a"), named("cores", "b")]);
    }
}
