//! Who got how much and when: a map for each algorithm, an endpoint a row, darker for more. Knows series of numbers; colours
//! are the style sheet's.

use super::escape;
use crate::outcome::{Comparison, Outcome, Series};
use std::fmt::{self, Write};

const LEFT: f64 = 96.0;
const WIDTH: f64 = 420.0;
const ROW: f64 = 11.0;
const BOTTOM: f64 = 18.0;
/// Characters that stay legible beside a row, and those that fit there as they are.
const NAME_MAX: usize = 20;
const NAME_WIDE: usize = 15;
const SQUEEZED: &str = " textLength=\"90\" lengthAdjust=\"spacingAndGlyphs\"";
/// Shades, from nothing to twice the mean and more; the middle one is the mean.
const SHADES: usize = 9;

pub(super) fn maps(to: &mut impl Write, comparison: &Comparison) -> fmt::Result {
    to.write_str("<p class=\"quiet\">Requests a second for each slot, relative to the mean: <span class=\"shades\">none")?;
    (0..SHADES).try_for_each(|shade| write!(to, " <i class=\"h{shade}\"></i>"))?;
    to.write_str(" twice the mean and more</span></p>\n<div class=\"plots\">\n")?;
    comparison.outcomes.iter().try_for_each(|outcome| map(to, outcome))?;
    to.write_str("</div>\n")
}

fn map(to: &mut impl Write, outcome: &Outcome) -> fmt::Result {
    let series = &outcome.timeline.load;
    let height = series.len() as f64 * ROW + BOTTOM;
    let steps = series.first().map_or(1, |series| series.values.len().max(1));
    let mean = mean(series);
    write!(
        to,
        "<figure><figcaption>{}</figcaption>\n<svg class=\"map\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-label=\"load of the endpoints over time\">\n<g class=\"grid\">",
        escape(&outcome.algorithm)
    )?;
    for (row, series) in series.iter().enumerate() {
        let y = row as f64 * ROW + ROW - 2.5;
        let (whole, short) = (escape(&series.name), shortened(&series.name));
        let squeezed = if short.chars().count() > NAME_WIDE { SQUEEZED } else { "" };
        write!(
            to,
            "<text class=\"row\" x=\"{}\" y=\"{y}\"{squeezed}><title>{whole}</title>{}</text>",
            LEFT - 5.0,
            escape(&short)
        )?;
    }
    let seconds = outcome.timeline.step_seconds * steps as f64;
    write!(
        to,
        "<text class=\"first\" x=\"{LEFT}\" y=\"{y}\">0 s</text><text class=\"row\" x=\"{WIDTH}\" y=\"{y}\">{seconds:.0} s</text></g>\n\
         <g transform=\"translate({LEFT} 0) scale({:.4} {ROW})\">",
        (WIDTH - LEFT) / steps as f64,
        y = height - 4.0
    )?;
    for shade in 0..SHADES {
        write!(to, "<path class=\"h{shade}\" d=\"{}\"/>", runs(series, shade, mean))?;
    }
    to.write_str("</g></svg></figure>\n")
}

/// What there is room for beside a row: names of one fleet differ at their beginning (hosts) or at their end (addresses).
fn shortened(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    if letters.len() <= NAME_MAX {
        return name.to_owned();
    }
    let (first, last) = (&letters[..NAME_MAX / 2], &letters[letters.len() - NAME_MAX / 2..]);
    first.iter().chain(['…'].iter()).chain(last).collect()
}

/// Neighbours of one shade as one rectangle.
fn runs(series: &[Series], shade: usize, mean: f64) -> String {
    let mut path = String::new();
    for (row, series) in series.iter().enumerate() {
        let mut start = 0;
        for run in series.values.chunk_by(|&a, &b| shade_of(a, mean) == shade_of(b, mean)) {
            if run.first().is_some_and(|&value| shade_of(value, mean) == shade) {
                let _ = write!(path, "M{start} {row}h{length}v.9h-{length}z", length = run.len());
            }
            start += run.len();
        }
    }
    path
}

fn shade_of(value: f64, mean: f64) -> usize {
    let part = if mean > 0.0 { value / (2.0 * mean) } else { 0.0 };
    ((part * (SHADES - 1) as f64).round() as usize).min(SHADES - 1)
}

fn mean(series: &[Series]) -> f64 {
    let count = series.iter().map(|series| series.values.len()).sum::<usize>().max(1);
    series.iter().flat_map(|series| &series.values).sum::<f64>() / count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_keep_what_tells_them_apart() {
        assert_eq!(shortened("10.0.0.1:8001"), "10.0.0.1:8001");
        assert_eq!(shortened("app1.internal.example:8001"), "app1.inter…ample:8001");
        assert_eq!(shortened("[2001:db8::aaaa:1]:8443"), "[2001:db8:…aa:1]:8443");
    }

    #[test]
    fn neighbours_of_one_shade_are_one_rectangle() {
        let series = [Series { name: "a".into(), values: vec![1.0, 1.0, 0.0, 1.0, 5.0] }];
        assert_eq!(runs(&series, 4, 1.0), "M0 0h2v.9h-2zM3 0h1v.9h-1z");
        assert_eq!(runs(&series, 0, 1.0), "M2 0h1v.9h-1z");
        assert_eq!(runs(&series, 8, 1.0), "M4 0h1v.9h-1z");
    }
}
