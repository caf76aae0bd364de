//! Comparisons as one page of HTML that needs nothing else: no script, no font, no network. Knows outcomes, not how they
//! came about.

mod heat;
mod plot;

use crate::outcome::{Comparison, Outcome, Verdict};
use crate::table::columns_and_rows;
use plot::{Axis, Curve, Plot};
use std::fmt::{self, Write};

const STYLE: &str = include_str!("html/style.css");

/// Colours that can be told apart; more algorithms than that are drawn dashed, from the first colour on.
const COLOURS: usize = 8;

/// One page for several comparisons.
pub fn page(comparisons: &[Comparison]) -> String {
    let mut page = String::new();
    // Writing to a string cannot fail.
    let _ = write_page(&mut page, comparisons);
    page
}

fn write_page(to: &mut impl Write, comparisons: &[Comparison]) -> fmt::Result {
    write!(
        to,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Tidegate laboratory</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <header><h1>Tidegate laboratory</h1>\n<p>The balancing code of the proxy in virtual time. The same seed gives the \
         same numbers; every algorithm sees the same requests.</p></header>\n"
    )?;
    if comparisons.len() > 1 {
        contents(to, comparisons)?;
    }
    for (number, comparison) in comparisons.iter().enumerate() {
        section(to, number, comparison)?;
    }
    to.write_str("</body>\n</html>\n")
}

fn contents(to: &mut impl Write, comparisons: &[Comparison]) -> fmt::Result {
    to.write_str("<nav><ul>\n")?;
    for (number, comparison) in comparisons.iter().enumerate() {
        let name = escape(&comparison.scenario);
        let mark = mark(comparison.holds(), comparison.verdicts.is_empty());
        writeln!(
            to,
            "<li><a href=\"#s{number}\">{name}</a>, seed {}{mark}: {}</li>",
            comparison.seed,
            escape(&comparison.title)
        )?;
    }
    to.write_str("</ul></nav>\n")
}

fn section(to: &mut impl Write, number: usize, comparison: &Comparison) -> fmt::Result {
    writeln!(
        to,
        "<section id=\"s{number}\">\n<h2>{}: {}</h2>\n<p class=\"setting\">{}</p>",
        escape(&comparison.scenario),
        escape(&comparison.title),
        escape(&comparison.setting())
    )?;
    if !comparison.verdicts.is_empty() {
        to.write_str("<ul class=\"verdicts\">\n")?;
        comparison.verdicts.iter().try_for_each(|verdict| verdict_item(to, verdict))?;
        to.write_str("</ul>\n")?;
    }
    table(to, &comparison.outcomes)?;
    granted(to, comparison)?;
    to.write_str("<div class=\"plots\">\n")?;
    distribution(to, &comparison.outcomes)?;
    course(to, &comparison.outcomes)?;
    errors(to, &comparison.outcomes)?;
    to.write_str("</div>\n<h3>Load of each endpoint over time</h3>\n")?;
    heat::maps(to, comparison)?;
    to.write_str("</section>\n")
}

fn verdict_item(to: &mut impl Write, verdict: &Verdict) -> fmt::Result {
    let class = if verdict.holds { "holds" } else { "misses" };
    writeln!(to, "<li class=\"{class}\">{}</li>", escape(&verdict.sentence()))
}

fn granted(to: &mut impl Write, comparison: &Comparison) -> fmt::Result {
    let sentences = comparison.granted();
    if sentences.is_empty() {
        return Ok(());
    }
    to.write_str("<h3>Taken for granted</h3>\n<ul>\n")?;
    sentences.iter().try_for_each(|sentence| writeln!(to, "<li>{}</li>", escape(sentence)))?;
    to.write_str("</ul>\n")
}

/// The table is the legend as well: each name has the colour of its lines.
fn table(to: &mut impl Write, outcomes: &[Outcome]) -> fmt::Result {
    to.write_str("<div class=\"wide\"><table>\n<thead><tr>")?;
    let (columns, rows) = columns_and_rows(outcomes);
    columns.iter().try_for_each(|column| write!(to, "<th scope=\"col\">{column}</th>"))?;
    to.write_str("</tr></thead>\n<tbody>\n")?;
    for (index, cells) in rows.iter().enumerate() {
        let (name, numbers) = cells.split_at(1);
        let name = name.iter().map(|name| escape(name)).collect::<String>();
        write!(to, "<tr><th scope=\"row\"><i class=\"key {}\"></i>{name}</th>", colour(outcomes, index))?;
        numbers.iter().try_for_each(|cell| write!(to, "<td>{cell}</td>"))?;
        to.write_str("</tr>\n")?;
    }
    to.write_str("</tbody></table></div>\n")
}

/// Latency at each part of the requests, with as much room for the last thousandth as for the first nine tenths.
fn distribution(to: &mut impl Write, outcomes: &[Outcome]) -> fmt::Result {
    let nines = |part: f64| -(1.0 - part).log10();
    // The quickest tenth says nothing, and would take half of the height.
    let points = |outcome: &Outcome| {
        let told = outcome.distribution.iter().filter(|point| point.part > 0.1);
        told.map(|point| (nines(point.part), point.ms)).collect()
    };
    let plot = Plot {
        title: "Latency by part of the requests",
        unit: "ms",
        across: Axis::Nines,
        up: Axis::Logarithmic,
        curves: curves(outcomes, points),
    };
    plot.write(to)
}

fn course(to: &mut impl Write, outcomes: &[Outcome]) -> fmt::Result {
    let points = |outcome: &Outcome| over_time(outcome, outcome.timeline.p99_ms.iter().copied());
    let plot = Plot {
        title: "99th percentile of latency over time",
        unit: "ms",
        across: Axis::Seconds,
        up: Axis::Logarithmic,
        curves: curves(outcomes, points),
    };
    plot.write(to)
}

/// Left out when nobody had any.
fn errors(to: &mut impl Write, outcomes: &[Outcome]) -> fmt::Result {
    if outcomes.iter().all(|outcome| outcome.timeline.failed.iter().all(|&failed| failed == 0)) {
        return to.write_str("<p class=\"quiet\">No request failed with any algorithm.</p>\n");
    }
    let points = |outcome: &Outcome| {
        let parts = outcome.timeline.failed.iter().zip(&outcome.timeline.requests);
        over_time(outcome, parts.map(|(&failed, &all)| 100.0 * failed as f64 / all.max(1) as f64))
    };
    let plot = Plot {
        title: "Failed requests over time",
        unit: "%",
        across: Axis::Seconds,
        up: Axis::Linear,
        curves: curves(outcomes, points),
    };
    plot.write(to)
}

/// A curve for each algorithm, in its colour.
fn curves(outcomes: &[Outcome], points: impl Fn(&Outcome) -> Vec<(f64, f64)>) -> Vec<Curve<'_>> {
    let mut curves = Vec::with_capacity(outcomes.len());
    for (index, outcome) in outcomes.iter().enumerate() {
        curves.push(Curve {
            name: &outcome.algorithm,
            class: colour(outcomes, index),
            points: points(outcome),
        });
    }
    curves
}

/// One value for each step of the timeline.
fn over_time(outcome: &Outcome, values: impl Iterator<Item = f64>) -> Vec<(f64, f64)> {
    let step = outcome.timeline.step_seconds;
    (0_u32..).zip(values).map(|(at, value)| (f64::from(at) * step, value)).collect()
}

fn mark(holds: bool, has_no_goals: bool) -> &'static str {
    match (has_no_goals, holds) {
        (true, _) => "",
        (false, true) => " <b class=\"holds\">holds</b>",
        (false, false) => " <b class=\"misses\">does not hold</b>",
    }
}

/// By its place among the algorithms; what a log itself says is none of them.
fn colour(outcomes: &[Outcome], index: usize) -> String {
    if outcomes[index].is_recorded() {
        return "recorded dashed".to_owned();
    }
    let place = outcomes[..index].iter().filter(|outcome| !outcome.is_recorded()).count();
    let dashed = if place < COLOURS { "" } else { " dashed" };
    format!("c{}{dashed}", place % COLOURS)
}

/// Names come from files that anybody wrote.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Progress, Scenario};

    fn page_of(text: &str) -> String {
        let scenario = Scenario::parse(text).unwrap();
        page(&[scenario.compare(1, 1, &Progress::of(&scenario))])
    }

    const TEXT: &str = "name = 'a<b>'\ntitle = 'x & y'\nlasts = '3s'\nwarm_up = '1s'\nload = 0.5\n\
                        [[endpoints]]\ncount = 3\n[[endpoints]]\nfails = { part = 0.5 }\n";

    #[test]
    fn a_page_needs_nothing_else_and_forges_nothing() {
        let page = page_of(TEXT);
        for outside in ["http:", "https:", "<script", "@import", "url(", "a<b>"] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(page.contains("a&lt;b&gt;: x &amp; y"));
    }

    #[test]
    fn every_algorithm_has_its_line_in_every_plot_and_its_map() {
        let page = page_of(TEXT);
        assert_eq!(page.matches("<polyline").count(), 3 * 8);
        assert_eq!(page.matches("class=\"map\"").count(), 8);
        for tag in ["svg", "figure", "table", "section", "g", "div"] {
            let closed = page.matches(&format!("</{tag}>")).count();
            let open = page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
            assert_eq!(open, closed, "{tag}");
        }
    }

    #[test]
    fn without_failures_the_page_says_so() {
        assert!(page_of(&TEXT.replace("fails = { part = 0.5 }", "")).contains("No request failed"));
    }
}
