//! A comparison as a table of text that is Markdown as well. Knows outcomes, not how they came about.

use crate::outcome::{Comparison, Outcome, Verdict};
use std::fmt::Write as _;

pub(crate) const COLUMNS: [&str; 9] =
    ["algorithm", "p50 ms", "p99 ms", "p99.9 ms", "x99 ms", "errors", "mean ms", "utilised", "busiest/mean"];

impl Comparison {
    pub fn to_table(&self) -> String {
        let mut text = String::new();
        let _ = writeln!(text, "## {}: {}\n", self.scenario, self.title);
        let _ = writeln!(text, "{}\n", self.setting());
        text.push_str(&table(&self.outcomes));
        if !self.verdicts.is_empty() {
            text.push('\n');
        }
        for verdict in &self.verdicts {
            let _ = writeln!(text, "- {}", verdict.sentence());
        }
        text
    }

    pub(crate) fn setting(&self) -> String {
        let requests = self.outcomes.iter().map(|outcome| outcome.requests).max().unwrap_or_default();
        let proxies = if self.proxies > 1 { format!(", {} proxies", self.proxies) } else { String::new() };
        format!(
            "{} endpoints with {} slots{proxies}; {requests} requests measured in {:.0} s after {:.0} s of warm-up; seed {}.",
            self.endpoints,
            self.slots,
            self.seconds - self.warm_up_seconds,
            self.warm_up_seconds,
            self.seed
        )
    }
}

impl Verdict {
    pub fn sentence(&self) -> String {
        let word = if self.holds { "holds" } else { "DOES NOT HOLD" };
        format!("{word}: {} ({} against {})", self.goal, number(self.value), number(self.at_most))
    }
}

fn table(outcomes: &[Outcome]) -> String {
    let rows: Vec<[String; 9]> = outcomes.iter().map(cells).collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or_default().max(COLUMNS[column].chars().count())
    };
    let widths: Vec<usize> = (0..COLUMNS.len()).map(width).collect();
    let mut text = line(&COLUMNS.map(str::to_owned), &widths);
    let rule = |(column, width): (usize, &usize)| match column {
        0 => format!(" {} |", "-".repeat(*width)),
        _ => format!(" {}: |", "-".repeat(width - 1)),
    };
    let _ = writeln!(text, "|{}", widths.iter().enumerate().map(rule).collect::<String>());
    text.extend(rows.iter().map(|row| line(row, &widths)));
    text
}

fn line(cells: &[String; 9], widths: &[usize]) -> String {
    let cell = |(column, (text, width)): (usize, (&String, &usize))| match column {
        0 => format!(" {text:<width$} |"),
        _ => format!(" {text:>width$} |"),
    };
    format!("|{}\n", cells.iter().zip(widths).enumerate().map(cell).collect::<String>())
}

/// What stands in the columns.
pub(crate) fn cells(outcome: &Outcome) -> [String; 9] {
    let (latency, utilisation) = (&outcome.latency_ms, &outcome.utilisation);
    // Where nothing succeeded there is no latency, and a log knows no slots.
    let time = |value| if outcome.failed < outcome.requests { milliseconds(value) } else { "–".to_owned() };
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

/// Less than a microsecond is nothing.
fn milliseconds(value: f64) -> String {
    if value < 0.001 { "0".to_owned() } else { number(value) }
}

/// Four significant digits, as they say all that a run can say.
pub(crate) fn number(value: f64) -> String {
    let digits = match value.abs() {
        0.0 => return "0".to_owned(),
        value if value > 1e12 => return "never".to_owned(),
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

    #[test]
    fn numbers_have_four_digits_that_count() {
        for (value, expected) in [(0.0, "0"), (63.456, "63.46"), (1234.5, "1234"), (0.001_234_5, "0.001234")]
        {
            assert_eq!(number(value), expected);
        }
        assert_eq!(percent(0.000_01), "0.0010 %");
    }
}
