//! Counts of times, to 0.1 %, in memory that does not grow with their number. Knows nothing of what took so long.
//!
//! A binary exponent and nine bits of mantissa make a bucket, as in HDR histograms (Tene 2013), and a quantile is read at
//! its rank within the bucket.

const MANTISSA_BITS: u32 = 9;
const BUCKETS_PER_OCTAVE: usize = 1 << MANTISSA_BITS;
/// Up to 2^42 ns, more than an hour; longer times count as that.
const OCTAVES: usize = 42;

#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    counts: Vec<u32>,
    /// Those that never ended among them.
    total: u64,
    never: u64,
    sum: f64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS_PER_OCTAVE * (OCTAVES + 1)], total: 0, never: 0, sum: 0.0, max: 0 }
    }
}

impl Histogram {
    pub(crate) fn record(&mut self, nanoseconds: u64) {
        let bucket = bucket_of(nanoseconds).min(self.counts.len() - 1);
        self.counts[bucket] += 1;
        self.total += 1;
        self.sum += nanoseconds as f64;
        self.max = self.max.max(nanoseconds);
    }

    /// What never ended took longer than anything else.
    pub(crate) fn record_never(&mut self) {
        self.total += 1;
        self.never += 1;
    }

    pub(crate) fn count(&self) -> u64 {
        self.total
    }

    /// In milliseconds; 0 when nothing was recorded, infinite when something never ended.
    pub(crate) fn mean_ms(&self) -> f64 {
        match (self.total, self.never) {
            (0, _) => 0.0,
            (total, 0) => self.sum / total as f64 / 1e6,
            _ => f64::INFINITY,
        }
    }

    pub(crate) fn max_ms(&self) -> f64 {
        if self.never > 0 { f64::INFINITY } else { self.longest_ms() }
    }

    /// Of those that ended.
    fn longest_ms(&self) -> f64 {
        self.max as f64 / 1e6
    }

    /// At these parts, which must rise, in milliseconds; 0 when nothing was recorded, infinite among those that never ended.
    pub(crate) fn quantiles_ms(&self, quantiles: &[f64]) -> Vec<f64> {
        let mut found = Vec::with_capacity(quantiles.len());
        let mut below = 0_u64;
        let mut wanted =
            quantiles.iter().map(|quantile| quantile * self.total.saturating_sub(1) as f64).peekable();
        for (bucket, &count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let up_to = below + u64::from(count);
            while let Some(rank) = wanted.next_if(|&rank| rank < up_to as f64) {
                let part = (rank - below as f64 + 0.5) / f64::from(count);
                let (from, to) = (start_of(bucket) as f64, start_of(bucket + 1) as f64);
                found.push(((from + part.min(1.0) * (to - from)) / 1e6).min(self.longest_ms()));
            }
            below = up_to;
        }
        found.resize(quantiles.len(), self.max_ms());
        found
    }
}

fn bucket_of(value: u64) -> usize {
    let Some(octave) = value.checked_ilog2().and_then(|log| log.checked_sub(MANTISSA_BITS)) else {
        return value as usize;
    };
    let mantissa = (value >> octave) as usize - BUCKETS_PER_OCTAVE;
    (octave as usize + 1) * BUCKETS_PER_OCTAVE + mantissa
}

fn start_of(bucket: usize) -> u64 {
    match (bucket / BUCKETS_PER_OCTAVE).checked_sub(1) {
        None => bucket as u64,
        Some(octave) => ((bucket % BUCKETS_PER_OCTAVE + BUCKETS_PER_OCTAVE) as u64) << octave,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn buckets_and_their_starts_agree() {
        for bucket in 0..BUCKETS_PER_OCTAVE * OCTAVES {
            assert_eq!(bucket_of(start_of(bucket)), bucket);
            assert_eq!(bucket_of(start_of(bucket + 1) - 1), bucket);
        }
    }

    #[test]
    fn quantiles_are_within_a_thousandth_of_the_sorted_ones() {
        let mut random = Random::new(1);
        let mut histogram = Histogram::default();
        let mut values: Vec<u64> = (0..50_000).map(|_| (1e7 * random.normal().exp()) as u64).collect();
        for &value in &values {
            histogram.record(value);
        }
        values.sort_unstable();
        for quantile in [0.1, 0.5, 0.9, 0.99, 0.999] {
            let exact = values[(quantile * (values.len() - 1) as f64) as usize] as f64 / 1e6;
            let read = histogram.quantiles_ms(&[quantile])[0];
            assert!((read / exact - 1.0).abs() < 0.001, "{quantile}: {read} for {exact}");
        }
    }

    #[test]
    fn what_never_ends_is_the_slowest() {
        let mut histogram = Histogram::default();
        (0..98).for_each(|_| histogram.record(5_000_000));
        (0..2).for_each(|_| histogram.record_never());
        assert_eq!(
            (histogram.count(), histogram.mean_ms(), histogram.max_ms()),
            (100, f64::INFINITY, f64::INFINITY)
        );
        let read = histogram.quantiles_ms(&[0.5, 0.97, 0.99, 1.0]);
        assert!((read[0] - 5.0).abs() < 0.01 && (read[1] - 5.0).abs() < 0.01, "{read:?}");
        assert_eq!(read[2..], [f64::INFINITY; 2]);
    }

    #[test]
    fn nothing_recorded_is_zero_and_the_longest_time_is_kept() {
        let mut histogram = Histogram::default();
        assert!(histogram.quantiles_ms(&[0.99])[0] < f64::EPSILON && histogram.mean_ms() < f64::EPSILON);
        histogram.record(u64::MAX / 4);
        assert!(histogram.quantiles_ms(&[1.0])[0] > 1e6);
        assert_eq!(histogram.count(), 1);
    }
}
