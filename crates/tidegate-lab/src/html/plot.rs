//! Lines over two axes as an SVG picture. Knows numbers and classes, not what they mean; colours are the style sheet's.
//!
//! Pictures are drawn 420 wide, so that their text can be read on a phone and two fit beside each other on a desk.

use super::escape;
use std::fmt::{self, Write};

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 270.0;
const LEFT: f64 = 48.0;
const RIGHT: f64 = 10.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 26.0;

pub(super) struct Plot<'p> {
    pub(super) title: &'p str,
    /// Of what goes up; what goes across is in seconds, or in parts of the requests.
    pub(super) unit: &'p str,
    pub(super) across: Axis,
    pub(super) up: Axis,
    pub(super) curves: Vec<Curve<'p>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Axis {
    Linear,
    Logarithmic,
    /// The number of nines of a part: 1 is 90 %, 2 is 99 %.
    Nines,
    /// Linear, from 0.
    Seconds,
}

pub(super) struct Curve<'p> {
    pub(super) name: &'p str,
    pub(super) class: String,
    pub(super) points: Vec<(f64, f64)>,
}

/// From values to places.
struct Scale {
    axis: Axis,
    from: f64,
    to: f64,
    start: f64,
    end: f64,
}

impl Plot<'_> {
    pub(super) fn write(&self, to: &mut impl Write) -> fmt::Result {
        let points = || self.curves.iter().flat_map(|curve| &curve.points);
        let across = Scale::new(self.across, points().map(|point| point.0), LEFT, WIDTH - RIGHT);
        let up = Scale::new(self.up, points().map(|point| point.1), HEIGHT - BOTTOM, TOP);
        write!(
            to,
            "<figure><figcaption>{} <small>{}</small></figcaption>\n\
             <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n<g class=\"grid\">",
            self.title, self.unit, self.title
        )?;
        for (value, label) in up.marks() {
            let y = up.place(value);
            write!(
                to,
                "<path d=\"M{LEFT} {y:.1}H{}\"/><text class=\"up\" x=\"{}\" y=\"{:.1}\">{label}</text>",
                WIDTH - RIGHT,
                LEFT - 5.0,
                y + 4.0
            )?;
        }
        for (value, label) in across.marks() {
            let x = across.place(value);
            write!(
                to,
                "<path d=\"M{x:.1} {TOP}V{}\"/><text class=\"across\" x=\"{x:.1}\" y=\"{}\">{label}</text>",
                HEIGHT - BOTTOM,
                HEIGHT - BOTTOM + 16.0
            )?;
        }
        to.write_str("</g>\n")?;
        self.curves.iter().try_for_each(|curve| curve.write(to, &across, &up))?;
        to.write_str("</svg></figure>\n")
    }
}

impl Curve<'_> {
    fn write(&self, to: &mut impl Write, across: &Scale, up: &Scale) -> fmt::Result {
        // The default is what a reader came for.
        let strong = if self.name.starts_with("adaptive") { " strong" } else { "" };
        write!(to, "<polyline class=\"{}{strong}\" points=\"", self.class)?;
        for &(x, y) in self.points.iter().filter(|point| up.shows(point.1)) {
            write!(to, "{:.1},{:.1} ", across.place(x), up.place(y))?;
        }
        writeln!(to, "\"><title>{}</title></polyline>", escape(self.name))
    }
}

impl Scale {
    fn new(axis: Axis, values: impl Iterator<Item = f64>, start: f64, end: f64) -> Self {
        // What is never stands at the border, and says nothing of where that is.
        let shown = values.filter(|&value| value.is_finite() && (axis != Axis::Logarithmic || value > 0.0));
        let (low, high) =
            shown.fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
        let (from, to) = match axis {
            // A line along the border is none.
            Axis::Linear | Axis::Seconds => (0.0, if high > 0.0 { high } else { 1.0 }),
            Axis::Logarithmic if low.is_finite() => (low, high.max(low * 2.0)),
            Axis::Logarithmic => (1.0, 10.0),
            Axis::Nines => (0.0, high.max(1.0)),
        };
        Self { axis, from, to, start, end }
    }

    fn shows(&self, value: f64) -> bool {
        self.axis != Axis::Logarithmic || value > 0.0
    }

    fn place(&self, value: f64) -> f64 {
        let part = match self.axis {
            Axis::Logarithmic => (value / self.from).ln() / (self.to / self.from).ln(),
            Axis::Linear | Axis::Nines | Axis::Seconds => (value - self.from) / (self.to - self.from),
        };
        self.start + part.clamp(0.0, 1.0) * (self.end - self.start)
    }

    fn marks(&self) -> Vec<(f64, String)> {
        match self.axis {
            Axis::Linear => self.round_steps(),
            Axis::Seconds => {
                self.round_steps().into_iter().map(|(at, label)| (at, format!("{label} s"))).collect()
            }
            Axis::Logarithmic => self.decades(),
            Axis::Nines => {
                let named = [
                    (0.301, "50 %"),
                    (1.0, "90 %"),
                    (2.0, "99 %"),
                    (3.0, "99.9 %"),
                    (4.0, "99.99 %"),
                    (5.0, "99.999 %"),
                ];
                let within = named.into_iter().filter(|(value, _)| *value <= self.to);
                within.map(|(value, label)| (value, label.to_owned())).collect()
            }
        }
    }

    /// About five steps of 1, 2 or 5 times a power of ten.
    fn round_steps(&self) -> Vec<(f64, String)> {
        let rough = (self.to - self.from) / 5.0;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|times| times * power).into_iter().find(|step| *step >= rough);
        let step = step.unwrap_or(rough);
        let first = (self.from / step).ceil();
        let marks = (0_u32..8).map(|turn| (first + f64::from(turn)) * step);
        marks.filter(|value| *value <= self.to).map(|value| labelled(value, step)).collect()
    }

    /// 1, 2 and 5 of every power of ten, or the powers alone when there are many; even steps when there is hardly one.
    fn decades(&self) -> Vec<(f64, String)> {
        if self.to < 5.0 * self.from {
            return self.round_steps();
        }
        let (first, last) = (self.from.log10().floor() as i32, self.to.log10().ceil() as i32);
        let times: &[f64] = if last - first <= 3 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let marks =
            (first..=last).flat_map(|power| times.iter().map(move |times| times * 10_f64.powi(power)));
        let shown = marks.filter(|value| (self.from..=self.to).contains(value));
        shown.map(|value| labelled(value, value)).collect()
    }
}

/// With as many decimals as steps of this size need.
fn labelled(value: f64, step: f64) -> (f64, String) {
    let digits = if value == 0.0 { 0 } else { (-step.log10().floor()).max(0.0) as usize };
    (value, format!("{value:.digits$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: Axis, values: &[f64]) -> String {
        let marks = Scale::new(axis, values.iter().copied(), 0.0, 100.0).marks();
        marks.into_iter().map(|(_, label)| label).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn marks_stand_at_round_numbers() {
        assert_eq!(labels(Axis::Linear, &[3.0, 57.0]), "0 20 40");
        assert_eq!(labels(Axis::Linear, &[0.0, 0.004]), "0 0.001 0.002 0.003 0.004");
        assert_eq!(labels(Axis::Linear, &[2.1]), "0 0.5 1.0 1.5 2.0");
        assert_eq!(labels(Axis::Logarithmic, &[90.0, 310.0]), "100 150 200 250 300");
        assert_eq!(labels(Axis::Logarithmic, &[0.0, 3.0, 240.0]), "5 10 20 50 100 200");
        assert_eq!(labels(Axis::Logarithmic, &[0.5, 80_000.0]), "1 10 100 1000 10000");
        assert_eq!(labels(Axis::Seconds, &[0.0, 60.0]), "0 s 20 s 40 s 60 s");
        assert_eq!(labels(Axis::Nines, &[0.0, 3.2]), "50 % 90 % 99 % 99.9 %");
    }

    #[test]
    fn what_is_never_stands_at_the_border() {
        let scale = Scale::new(Axis::Logarithmic, [1.0, 100.0, f64::INFINITY].into_iter(), 0.0, 50.0);
        for value in [100.0, f64::INFINITY] {
            assert!((scale.place(value) - 50.0).abs() < 1e-9, "{value}");
        }
    }

    #[test]
    fn nothing_at_all_is_drawn_as_an_empty_plot() {
        assert_eq!(labels(Axis::Logarithmic, &[]), "1 2 5 10");
        assert_eq!(labels(Axis::Linear, &[0.0]), "0 0.2 0.4 0.6 0.8 1.0");
    }
}
