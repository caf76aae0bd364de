//! The loads under which the subjects are compared, and what one round of one of them measured.
//! Knows neither the subjects nor how load is made.

/// One kind of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) path: &'static str,
    pub(crate) connections: u32,
    pub(crate) sends: Sends,
}

/// What requests bring along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sends {
    Nothing,
    /// 64 KiB in one piece.
    Body,
    /// As many bytes on the wire, in chunks of one byte: six bytes each.
    TinyChunks,
}

const fn answers(name: &'static str, title: &'static str, path: &'static str, connections: u32) -> Scenario {
    Scenario { name, title, path, connections, sends: Sends::Nothing }
}

pub(crate) const SCENARIOS: [Scenario; 6] = [
    answers("small-1", "128-byte answers, 1 connection", "/small", 1),
    answers("small-64", "128-byte answers, 64 connections", "/small", 64),
    answers("small-512", "128-byte answers, 512 connections", "/small", 512),
    answers("large", "1 MiB answers, 16 connections", "/large", 16),
    Scenario {
        name: "upload",
        title: "64 KiB uploads, 16 connections",
        path: "/upload",
        connections: 16,
        sends: Sends::Body,
    },
    Scenario {
        name: "tiny-chunks",
        title: "Uploads in chunks of one byte, 64 KiB on the wire, 16 connections",
        path: "/upload",
        connections: 16,
        sends: Sends::TinyChunks,
    },
];

/// What one subject did in one round.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sample {
    pub(crate) requests_per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// CPU time of the subject for one request, in microseconds.
    pub(crate) cpu_us: f64,
    /// The lowest and the highest of all rounds: how far the machine lets the median be trusted.
    pub(crate) cpu_us_range: (f64, f64),
    pub(crate) errors: f64,
}

impl Sample {
    pub(crate) fn requests_per_cpu_second(&self) -> f64 {
        if self.cpu_us > 0.0 { 1e6 / self.cpu_us } else { 0.0 }
    }

    /// Each number's median over the rounds; the errors of all rounds together.
    pub(crate) fn median(rounds: &[Self]) -> Self {
        let of = |number: fn(&Self) -> f64| median(rounds.iter().map(number).collect());
        let range = rounds.iter().map(|sample| sample.cpu_us_range);
        let (lowest, highest) =
            range.reduce(|one, other| (one.0.min(other.0), one.1.max(other.1))).unwrap_or_default();
        Self {
            requests_per_second: of(|sample| sample.requests_per_second),
            p50_us: of(|sample| sample.p50_us),
            p99_us: of(|sample| sample.p99_us),
            cpu_us: of(|sample| sample.cpu_us),
            cpu_us_range: (lowest, highest),
            errors: rounds.iter().map(|sample| sample.errors).sum(),
        }
    }
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    match numbers.len() {
        0 => 0.0,
        count if count % 2 == 1 => numbers[middle],
        _ => f64::midpoint(numbers[middle - 1], numbers[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle_or_between_the_two_in_the_middle() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(vec![4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
        assert!(median(vec![]).abs() < 1e-9);
    }

    #[test]
    fn the_range_is_that_of_all_rounds() {
        let rounds =
            [3.0, 1.0, 2.0].map(|cpu| Sample { cpu_us: cpu, cpu_us_range: (cpu, cpu), ..Sample::default() });
        assert_eq!(Sample::median(&rounds).cpu_us_range, (1.0, 3.0));
    }

    #[test]
    fn errors_are_added_and_never_hidden_by_a_median() {
        let rounds = [0.0, 7.0, 0.0].map(|errors| Sample { errors, ..Sample::default() });
        assert!((Sample::median(&rounds).errors - 7.0).abs() < 1e-9);
    }
}
