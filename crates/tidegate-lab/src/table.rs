//! A comparison as a table of text that is Markdown as well. Knows outcomes, not how they came about.

use crate::outcome::{AtOnce, Comparison, Explained, Outcome, Verdict};
use crate::suggest::shown;
use std::fmt::Write as _;

const COLUMNS: [&str; 9] =
    ["algorithm", "p50 ms", "p99 ms", "p99.9 ms", "x99 ms", "errors", "mean ms", "utilised", "busiest/mean"];
/// Only where there were such attempts or such requests.
const EXTRA: [&str; 4] = ["retried", "hedged (won)", "spilled", "unanswered"];

impl Comparison {
    pub fn to_table(&self) -> String {
        let mut text = String::new();
        let _ = writeln!(text, "## {}: {}\n", shown(&self.scenario), shown(&self.title));
        let _ = writeln!(text, "{}\n", self.setting());
        text.push_str(&table(&self.outcomes));
        if !self.verdicts.is_empty() {
            text.push('\n');
        }
        for verdict in &self.verdicts {
            let _ = writeln!(text, "- {}", verdict.sentence());
        }
        let assumed = self.granted();
        if !assumed.is_empty() {
            text.push_str("\nTaken for granted:\n\n");
        }
        for sentence in assumed {
            let _ = writeln!(text, "- {sentence}");
        }
        text
    }

    /// What is taken for granted, and how far that is to be believed.
    pub(crate) fn granted(&self) -> Vec<String> {
        self.assumed.iter().cloned().chain(self.explained.as_ref().map(Explained::sentence)).collect()
    }

    pub(crate) fn setting(&self) -> String {
        // A log's own row may have errors that nobody else is asked for.
        let replayed = self.outcomes.iter().filter(|outcome| !outcome.is_recorded());
        let requests = replayed.map(|outcome| outcome.requests).max().unwrap_or_default();
        let at_once = self.at_once.map_or_else(String::new, |at_once| format!(", {}", at_once.phrase()));
        let proxies = if self.proxies > 1 { format!(", {} proxies", self.proxies) } else { String::new() };
        format!(
            "{} with {}{at_once}{proxies}; {requests} requests measured in {} s after {} s of warm-up; seed {}.",
            counted(self.endpoints as u64, "endpoint"),
            counted(self.slots, "slot"),
            seconds(self.seconds - self.warm_up_seconds),
            seconds(self.warm_up_seconds),
            self.seed
        )
    }
}

impl AtOnce {
    fn phrase(&self) -> String {
        format!("{} with {} at a time", range(self.endpoints), range(self.slots))
    }
}

fn counted(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn range((least, most): (u64, u64)) -> String {
    if least == most { least.to_string() } else { format!("{least} to {most}") }
}

impl Explained {
    pub fn sentence(&self) -> String {
        let (model, log) = (&self.model_ms, &self.log_ms);
        let again = format!(
            "so the log's own choices come out with a p50 of {} ms and a p99 of {}, and were {} and {}",
            number(model.p50),
            number(model.p99),
            number(log.p50),
            number(log.p99)
        );
        let waited = match self.waited_work.zip(self.waited_work_doubt) {
            Some((work, doubt)) => format!(
                "{} waited, and were {work:.2} ± {doubt:.2} times the work of others (1 where the waiting is right)",
                percent(self.waited)
            ),
            None => "too few waited, or too few did not, to say whether the waiting is right".to_owned(),
        };
        format!("{again}; {waited}; {} came sooner than the slots allow", percent(self.too_soon))
    }
}

impl Verdict {
    pub fn sentence(&self) -> String {
        let word = if self.holds { "holds" } else { "DOES NOT HOLD" };
        format!("{word}: {} ({})", self.goal, self.measured())
    }

    fn measured(&self) -> String {
        match (self.value, self.at_most) {
            (None, _) => "nothing was measured".to_owned(),
            (Some(value), None) => {
                format!("{}, and nothing was measured to compare it with", number(value))
            }
            (Some(value), Some(at_most)) if is_never(value) && is_never(at_most) => {
                "never, and neither what it is compared with".to_owned()
            }
            (Some(value), Some(at_most)) if is_never(value) || is_never(at_most) => {
                format!("{}, against {}", number(value), number(at_most))
            }
            (Some(value), Some(at_most)) => format!("{} against {}", number(value), number(at_most)),
        }
    }
}

/// Thirty years in milliseconds are no time that anybody measures.
fn is_never(value: f64) -> bool {
    value.abs() > 1e12
}

fn table(outcomes: &[Outcome]) -> String {
    let (columns, rows) = columns_and_rows(outcomes);
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or_default().max(columns[column].chars().count())
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let mut text = line(&columns, &widths);
    let rule = |(column, width): (usize, &usize)| match column {
        0 => format!(" {} |", "-".repeat(*width)),
        _ => format!(" {}: |", "-".repeat(width - 1)),
    };
    let _ = writeln!(text, "|{}", widths.iter().enumerate().map(rule).collect::<String>());
    text.extend(rows.iter().map(|row| line(row, &widths)));
    text
}

fn line(cells: &[String], widths: &[usize]) -> String {
    let cell = |(column, (text, width)): (usize, (&String, &usize))| match column {
        0 => format!(" {text:<width$} |"),
        _ => format!(" {text:>width$} |"),
    };
    format!("|{}\n", cells.iter().zip(widths).enumerate().map(cell).collect::<String>())
}

/// The heads, and as many cells for each algorithm.
pub(crate) fn columns_and_rows(outcomes: &[Outcome]) -> (Vec<String>, Vec<Vec<String>>) {
    let shown = [
        outcomes.iter().any(|outcome| outcome.extra.retries > 0),
        outcomes.iter().any(|outcome| outcome.extra.hedges + outcome.extra.hedges_unpaid > 0),
        outcomes.iter().any(|outcome| outcome.extra.spilled > 0),
        outcomes.iter().any(|outcome| outcome.unanswered > 0),
    ];
    let with = |always: Vec<String>, extra: [String; 4]| {
        let extra = extra.into_iter().zip(shown).filter_map(|(cell, shown)| shown.then_some(cell));
        always.into_iter().chain(extra).collect::<Vec<String>>()
    };
    let columns = with(COLUMNS.map(str::to_owned).into(), EXTRA.map(str::to_owned));
    let rows = outcomes.iter().map(|outcome| with(cells(outcome).into(), extra_cells(outcome)));
    (columns, rows.collect())
}

/// Attempts as parts of the requests; how many were not answered is a number, because every one is too many.
fn extra_cells(outcome: &Outcome) -> [String; 4] {
    let part = |count: u32| percent(f64::from(count) / outcome.requests.max(1) as f64);
    let extra = &outcome.extra;
    let hedged = match extra.hedges {
        0 => part(0),
        hedges => format!("{} ({})", part(hedges), part(extra.hedges_won)),
    };
    [part(extra.retries), hedged, part(extra.spilled), outcome.unanswered.to_string()]
}

/// What stands in the columns that are always there.
fn cells(outcome: &Outcome) -> [String; 9] {
    let (latency, utilisation) = (&outcome.latency_ms, &outcome.utilisation);
    // Where nothing succeeded there is no latency, and a log knows no slots.
    let time = |value| if outcome.has_latency() { milliseconds(value) } else { "–".to_owned() };
    let used = |text: String| if utilisation.mean > 0.0 { text } else { "–".to_owned() };
    [
        outcome.algorithm.clone(),
        time(latency.p50),
        time(latency.p99),
        time(latency.p99_9),
        time(outcome.excess_ms.p99),
        percent(outcome.errors()),
        time(latency.mean),
        used(format!("{:.1} %", utilisation.mean * 100.0)),
        used(format!("{:.3}", utilisation.unevenness())),
    ]
}

/// Whole ones where there are many, so that half a second is neither none nor one.
fn seconds(value: f64) -> String {
    if value >= 10.0 { format!("{value:.0}") } else { ((value * 10.0).round() / 10.0).to_string() }
}

/// Less than a microsecond is nothing.
fn milliseconds(value: f64) -> String {
    if value < 0.001 { "0".to_owned() } else { number(value) }
}

/// Four significant digits, as they say all that a run can say.
pub(crate) fn number(value: f64) -> String {
    let digits = match value.abs() {
        0.0 => return "0".to_owned(),
        value if is_never(value) => return "never".to_owned(),
        value => (3 - value.log10().floor() as i32).clamp(0, 8) as usize,
    };
    format!("{value:.digits$}")
}

pub(crate) fn percent(part: f64) -> String {
    match part {
        0.0 => "0".to_owned(),
        part if part < 0.001 => format!("{:.4} %", part * 100.0),
        part => format!("{:.2} %", part * 100.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::ExtraAttempts;

    #[test]
    fn numbers_have_four_digits_that_count() {
        for (value, expected) in [(0.0, "0"), (63.456, "63.46"), (1234.5, "1234"), (0.001_234_5, "0.001234")]
        {
            assert_eq!(number(value), expected);
        }
        assert_eq!(percent(0.000_01), "0.0010 %");
        for (value, expected) in [(59.96, "60"), (4.49, "4.5"), (0.499, "0.5"), (2.0, "2"), (0.0, "0")] {
            assert_eq!(seconds(value), expected);
        }
    }

    #[test]
    fn attempts_beyond_the_first_have_columns_where_somebody_made_them() {
        let extra = ExtraAttempts { hedges: 20, hedges_won: 10, ..ExtraAttempts::default() };
        let plain = Outcome { algorithm: "a".to_owned(), requests: 1_000, ..Outcome::default() };
        let hedged = Outcome { extra, ..plain.clone() };
        let both = [plain, hedged];
        let heads = |outcomes: &[Outcome]| columns_and_rows(outcomes).0.len();
        assert_eq!((heads(&both[..1]), heads(&both)), (9, 10));
        let text = table(&both);
        let hung = [Outcome { unanswered: 7, ..both[0].clone() }];
        assert!(heads(&hung) == 10 && table(&hung).contains("|          7 |"), "{}", table(&hung));
        assert!(text.contains("| 2.00 % (1.00 %) |") && text.contains("|               0 |"), "{text}");
    }
}
