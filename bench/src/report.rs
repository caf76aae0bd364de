//! Results as tables that read well in a terminal and in Markdown. Knows layout, computes nothing but ratios.

use crate::goals::goals;
use crate::peers::Subject;
use crate::results::{Results, find};
use crate::scenario::{Sample, Scenario};
use std::fmt::Write;

pub(crate) fn markdown(results: &Results) -> String {
    let mut page = String::new();
    let _ = writeln!(page, "# Measured {} at {}\n\n{}\n", results.date, results.commit, results.method);
    let [before, after] = &results.load;
    let _ = writeln!(page, "Load average of the machine before and after: {before}, {after}.\n");
    for (subject, version) in &results.versions {
        let _ = writeln!(page, "- {subject}: {version}");
    }
    for (scenario, samples) in &results.loads {
        page.push_str(&load(scenario, samples));
    }
    page.push_str(&extras(results));
    page.push_str(&goal_table(results));
    for failure in &results.failures {
        let _ = writeln!(page, "\nNot measured: {failure}");
    }
    page
}

fn load(scenario: &Scenario, samples: &[(Subject, Sample)]) -> String {
    let floor = find(samples, Subject::Floor).map(|sample| sample.cpu_us);
    let rows = samples.iter().map(|(subject, sample)| {
        vec![
            subject.to_string(),
            format!("{:.0}", sample.requests_per_second),
            format!("{:.0}", sample.p50_us),
            format!("{:.0}", sample.p99_us),
            format!("{:.2}", sample.cpu_us),
            format!("{:.1} – {:.1}", sample.cpu_us_range.0, sample.cpu_us_range.1),
            floor.map_or_else(String::new, |floor| format!("{:.2} ×", sample.cpu_us / floor)),
            format!("{:.0}", sample.requests_per_cpu_second()),
            format!("{:.0}", sample.errors),
        ]
    });
    let columns = [
        "",
        "requests/s",
        "p50 µs",
        "p99 µs",
        "CPU µs/request",
        "all rounds",
        "of the floor",
        "requests/CPU s",
        "errors",
    ];
    format!("\n## {}\n\n{}", scenario.title, table(&columns, rows.collect()))
}

fn extras(results: &Results) -> String {
    let number = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"));
    let rows: Vec<Vec<String>> = Subject::ALL
        .into_iter()
        .filter(|subject| {
            find(&results.idle, *subject).is_some() || find(&results.syscalls, *subject).is_some()
        })
        .map(|subject| {
            let idle = find(&results.idle, subject);
            let own = |value: Option<f64>| if subject == Subject::Tidegate { value } else { None };
            vec![
                subject.to_string(),
                number(find(&results.syscalls, subject).copied()),
                number(idle.map(|idle| idle.served)),
                number(idle.map(|idle| idle.fresh)),
                number(own(instructions(results, 1))),
                number(own(instructions(results, 64))),
                number(own(results.allocations)),
            ]
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let columns = [
        "",
        "system calls/request",
        "KiB/idle connection, used once",
        "KiB/idle connection, fresh",
        "user instructions/request",
        "64 at once",
        "heap allocations/request",
    ];
    format!("\n## Per request and per connection\n\n{}", table(&columns, rows))
}

fn instructions(results: &Results, at_once: usize) -> Option<f64> {
    results.instructions.iter().find(|(connections, _)| *connections == at_once).map(|(_, count)| *count)
}

fn goal_table(results: &Results) -> String {
    let rows: Vec<Vec<String>> = goals(results)
        .into_iter()
        .map(|goal| {
            let verdict = if goal.reached { "reached" } else { "NOT reached" };
            let attainable = goal.attainable.map_or_else(String::new, |ratio| format!("{ratio:.2}"));
            vec![goal.what, goal.wanted, format!("{:.2}", goal.measured), attainable, verdict.to_owned()]
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    format!("\n## Goals\n\n{}", table(&["goal", "wanted", "measured", "the floor reaches", ""], rows))
}

/// A Markdown table whose columns also line up in a terminal; numbers to the right.
pub(crate) fn table(columns: &[&str], rows: Vec<Vec<String>>) -> String {
    let head: Vec<String> = columns.iter().map(|&column| column.to_owned()).collect();
    let width = |index: usize| {
        let cells = rows.iter().chain([&head]).filter_map(|row| row.get(index));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0).max(3)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let rule: Vec<String> = widths
        .iter()
        .enumerate()
        .map(|(index, width)| if index == 0 { "-".repeat(*width) } else { "-".repeat(width - 1) + ":" })
        .collect();
    let mut text = String::new();
    for row in [head, rule].into_iter().chain(rows) {
        for (index, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let padding = " ".repeat(width.saturating_sub(cell.chars().count()));
            let _ = if index == 0 {
                write!(text, "| {cell}{padding} ")
            } else {
                write!(text, "| {padding}{cell} ")
            };
        }
        text.push_str("|\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_however_wide_their_cells_are() {
        let text = table(&["", "µs"], vec![vec!["tidegate".to_owned(), "7".to_owned()]]);
        assert_eq!(text, "|          |  µs |\n| -------- | --: |\n| tidegate |   7 |\n");
    }
}
