//! Exact quantiles of everything that was measured. Knows numbers, not what they are.

/// Numbers in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Sorted {
    numbers: Vec<f64>,
}

impl Sorted {
    pub(super) fn of(numbers: impl IntoIterator<Item = f64>) -> Self {
        let mut numbers: Vec<f64> = numbers.into_iter().collect();
        numbers.sort_by(f64::total_cmp);
        Self { numbers }
    }

    pub(super) fn numbers(&self) -> &[f64] {
        &self.numbers
    }

    /// The smallest number that at least this share of all does not exceed; 0 when there is none.
    pub(super) fn quantile(&self, share: f64) -> f64 {
        let rank = (share * self.numbers.len() as f64).ceil() as usize;
        self.numbers.get(rank.saturating_sub(1)).or(self.numbers.last()).copied().unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_one_of_the_numbers() {
        let hundred = Sorted::of((1..=100).rev().map(f64::from));
        for (share, expected) in [(0.0, 1.0), (0.5, 50.0), (0.99, 99.0), (0.991, 100.0), (1.0, 100.0)] {
            assert!((hundred.quantile(share) - expected).abs() < 1e-9, "{share}");
        }
        assert!(Sorted::default().quantile(0.5).abs() < 1e-9);
    }
}
