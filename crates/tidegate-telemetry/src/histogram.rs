//! A mergeable latency histogram with a single writing thread, and what is read from it. Knows no names.
//!
//! Log-linear: each power of two of nanoseconds, from 2^13 (8 µs) to 2^37 (137 s), is cut into eight cells of equal
//! width, so that a value read back is off by at most 1/16. A cell that holds one of the exposed boundaries is cut again
//! exactly there, which makes the exposed counts exact at round numbers.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The exposed upper boundaries, inclusive: nanoseconds, and the same in seconds as OpenMetrics writes them.
pub const BOUNDARIES: [(u64, &str); 20] = [
    (50_000, "5e-05"),
    (100_000, "0.0001"),
    (250_000, "0.00025"),
    (500_000, "0.0005"),
    (1_000_000, "0.001"),
    (2_500_000, "0.0025"),
    (5_000_000, "0.005"),
    (10_000_000, "0.01"),
    (25_000_000, "0.025"),
    (50_000_000, "0.05"),
    (100_000_000, "0.1"),
    (250_000_000, "0.25"),
    (500_000_000, "0.5"),
    (1_000_000_000, "1.0"),
    (2_500_000_000, "2.5"),
    (5_000_000_000, "5.0"),
    (10_000_000_000, "10.0"),
    (25_000_000_000, "25.0"),
    (50_000_000_000, "50.0"),
    (100_000_000_000, "100.0"),
];

const FLOOR_BITS: u32 = 13;
const CEILING_BITS: u32 = 37;
const STEP_BITS: u32 = 3;
/// Steps of the logarithmic grid: one below the floor, eight for each power of two, one from the ceiling on.
const STEPS: usize = 2 + (((CEILING_BITS - FLOOR_BITS) as usize) << STEP_BITS);
const CELLS: usize = STEPS + BOUNDARIES.len();

/// One step of the grid: its first cell, and the boundary above which values go to the cell after that.
#[derive(Clone, Copy)]
struct Step {
    split: u64,
    cell: usize,
}

static GRID: [Step; STEPS] = grid();

const fn grid() -> [Step; STEPS] {
    let mut steps = [Step { split: u64::MAX, cell: 0 }; STEPS];
    let (mut step, mut boundary) = (0, 0);
    while step < STEPS {
        steps[step].cell = step + boundary;
        if boundary < BOUNDARIES.len() && step_of(BOUNDARIES[boundary].0) == step {
            steps[step].split = BOUNDARIES[boundary].0;
            boundary += 1;
        }
        step += 1;
    }
    assert!(
        boundary == BOUNDARIES.len(),
        "no step holds two boundaries, and all are between floor and ceiling"
    );
    steps
}

#[inline]
const fn step_of(nanos: u64) -> usize {
    if nanos < 1 << FLOOR_BITS {
        return 0;
    }
    if nanos >= 1 << CEILING_BITS {
        return STEPS - 1;
    }
    let bits = nanos.ilog2();
    // The top bit and the three below it: 8..16 in each power of two.
    let mantissa = (nanos >> (bits - STEP_BITS)) as usize;
    (((bits - FLOOR_BITS) as usize) << STEP_BITS) + mantissa - (1 << STEP_BITS) + 1
}

/// The smallest value of a step.
const fn step_start(step: usize) -> u64 {
    if step == 0 {
        return 0;
    }
    let above_floor = step - 1;
    let mantissa = ((above_floor & ((1 << STEP_BITS) - 1)) + (1 << STEP_BITS)) as u64;
    mantissa << (FLOOR_BITS - STEP_BITS + (above_floor >> STEP_BITS) as u32)
}

/// Durations counted by one thread.
#[derive(Debug)]
#[repr(align(64))]
pub struct Histogram {
    sum_nanos: AtomicU64,
    cells: [AtomicU64; CELLS],
}

impl Default for Histogram {
    fn default() -> Self {
        Self { sum_nanos: AtomicU64::new(0), cells: [const { AtomicU64::new(0) }; CELLS] }
    }
}

impl Histogram {
    #[inline]
    pub fn record(&self, elapsed: Duration) {
        let nanos =
            elapsed.as_secs().saturating_mul(1_000_000_000).saturating_add(elapsed.subsec_nanos().into());
        let step = GRID[step_of(nanos)];
        // Single writer: relaxed loads and stores, as in `Counter`.
        let cell = &self.cells[step.cell + usize::from(nanos > step.split)];
        cell.store(cell.load(Relaxed) + 1, Relaxed);
        self.sum_nanos.store(self.sum_nanos.load(Relaxed).wrapping_add(nanos), Relaxed);
    }

    /// What has been recorded until now.
    pub fn distribution(&self) -> Distribution {
        let mut distribution = Distribution::default();
        distribution.merge(self);
        distribution
    }
}

/// Durations counted by any number of histograms: what is read, compared and exposed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    sum_nanos: u64,
    cells: Box<[u64]>,
}

impl Default for Distribution {
    fn default() -> Self {
        Self { sum_nanos: 0, cells: vec![0; CELLS].into() }
    }
}

impl Distribution {
    pub fn merge(&mut self, histogram: &Histogram) {
        for (total, cell) in self.cells.iter_mut().zip(&histogram.cells) {
            *total += cell.load(Relaxed);
        }
        self.sum_nanos = self.sum_nanos.wrapping_add(histogram.sum_nanos.load(Relaxed));
    }

    /// What was added since an earlier reading of the same histograms.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let added = self.cells.iter().zip(&earlier.cells).map(|(now, then)| now.saturating_sub(*then));
        Self { sum_nanos: self.sum_nanos.wrapping_sub(earlier.sum_nanos), cells: added.collect() }
    }

    pub fn count(&self) -> u64 {
        self.cells.iter().sum()
    }

    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum_nanos)
    }

    /// The duration that the share `q` (0 to 1) of all stayed below, within 1/16; `None` when nothing was recorded.
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        let rank = (q.clamp(0.0, 1.0) * self.count() as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        let reached = self.cells.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        Some(Duration::from_nanos(middle_of_cell(reached)))
    }

    /// For each of `BOUNDARIES`, how many durations were not longer.
    pub fn cumulative(&self) -> [u64; BOUNDARIES.len()] {
        let (mut below, mut next) = (0, 0);
        BOUNDARIES.map(|(boundary, _)| {
            let last = GRID[step_of(boundary)].cell;
            below += self.cells[next..=last].iter().sum::<u64>();
            next = last + 1;
            below
        })
    }
}

fn middle_of_cell(cell: usize) -> u64 {
    let step = GRID.partition_point(|step| step.cell <= cell) - 1;
    let Step { split, cell: first } = GRID[step];
    let (start, end) = (step_start(step), step_start(step + 1));
    match (split, cell) {
        _ if step == STEPS - 1 => start,
        (u64::MAX, _) => u64::midpoint(start, end),
        (_, cell) if cell == first => u64::midpoint(start, split),
        _ => u64::midpoint(split, end),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn recorded(nanos: &[u64]) -> Histogram {
        let histogram = Histogram::default();
        for &nanos in nanos {
            histogram.record(Duration::from_nanos(nanos));
        }
        histogram
    }

    /// Spread evenly over the powers of two from 8 µs to 137 s.
    fn nanos() -> impl Strategy<Value = u64> {
        (13.0..36.99).prop_map(|bits: f64| bits.exp2() as u64)
    }

    proptest! {
        #[test]
        fn a_quantile_is_within_a_sixteenth_of_the_exact_one(
            mut values in prop::collection::vec(nanos(), 1..300), q in 0.0..=1.0,
        ) {
            let read = recorded(&values).distribution().quantile(q).unwrap().as_nanos() as f64;
            values.sort_unstable();
            let rank = ((q * values.len() as f64).ceil() as usize).max(1);
            let exact = values[rank - 1] as f64;
            prop_assert!((read - exact).abs() <= exact / 16.0 + 1.0, "read {read}, exact {exact}");
        }

        #[test]
        fn exposed_counts_are_exact_at_their_boundaries(
            mut values in prop::collection::vec(nanos(), 0..100), nudges in prop::collection::vec((0..20usize, 0..3u64), 0..100),
        ) {
            values.extend(nudges.iter().map(|&(i, nudge)| BOUNDARIES[i].0 + nudge - 1));
            let counts = recorded(&values).distribution().cumulative();
            for (count, (boundary, _)) in counts.iter().zip(BOUNDARIES) {
                prop_assert_eq!(*count, values.iter().filter(|&&value| value <= boundary).count() as u64);
            }
        }

        #[test]
        fn merging_two_workers_equals_recording_on_one(
            left in prop::collection::vec(any::<u64>(), 0..100), right in prop::collection::vec(any::<u64>(), 0..100),
        ) {
            let mut merged = recorded(&left).distribution();
            merged.merge(&recorded(&right));
            prop_assert_eq!(merged, recorded(&[left, right].concat()).distribution());
        }

        #[test]
        fn every_duration_is_counted_once(values in prop::collection::vec(any::<u64>(), 0..200)) {
            prop_assert_eq!(recorded(&values).distribution().count(), values.len() as u64);
        }
    }

    #[test]
    fn the_steps_meet_without_gap_or_overlap() {
        for step in 1..STEPS {
            assert_eq!(step_of(step_start(step)), step);
            assert_eq!(step_of(step_start(step) - 1), step - 1);
        }
    }

    #[test]
    fn boundaries_in_seconds_say_the_same_as_in_nanoseconds() {
        for (nanos, seconds) in BOUNDARIES {
            assert_eq!((seconds.parse::<f64>().unwrap() * 1e9).round() as u64, nanos);
        }
    }

    #[test]
    fn nothing_recorded_has_no_quantile() {
        assert_eq!(Histogram::default().distribution().quantile(0.5), None);
    }

    #[test]
    fn what_was_added_since_an_earlier_reading_stands_alone() {
        let histogram = recorded(&[1_000_000; 10]);
        let earlier = histogram.distribution();
        histogram.record(Duration::from_secs(2));
        let added = histogram.distribution().since(&earlier);
        assert_eq!((added.count(), added.sum()), (1, Duration::from_secs(2)));
        assert!(added.quantile(0.5).unwrap() > Duration::from_millis(1870));
    }

    #[test]
    fn absurd_durations_are_counted_above_the_last_boundary() {
        let distribution = recorded(&[u64::MAX, 1 << 40]).distribution();
        assert_eq!((distribution.count(), distribution.cumulative()[19]), (2, 0));
        assert_eq!(distribution.quantile(1.0), Some(Duration::from_nanos(1 << 37)));
    }
}
