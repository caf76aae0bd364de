//! Randomness from a seed: the same for every proxy and on every machine. Knows distributions, not what they stand for.

/// `SplitMix64` (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
#[derive(Clone, Debug)]
pub(super) struct Chance {
    state: u64,
}

impl Chance {
    pub(super) fn from_seed(seed: u64) -> Self {
        Self { state: seed }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Uniform, above 0 and at most 1: a logarithm can be taken of it.
    pub(super) fn unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// The gap between two arrivals of a Poisson process.
    pub(super) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * self.unit().ln()
    }

    /// Lognormal with this mean; `sigma` is the standard deviation of the logarithm.
    pub(super) fn lognormal(&mut self, mean: f64, sigma: f64) -> f64 {
        let normal = (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos();
        mean * (sigma * normal - sigma * sigma / 2.0).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNT: u32 = 100_000;

    fn mean(mut draw: impl FnMut(&mut Chance) -> f64) -> f64 {
        let mut chance = Chance::from_seed(7);
        (0..COUNT).map(|_| draw(&mut chance)).sum::<f64>() / f64::from(COUNT)
    }

    #[test]
    fn draws_have_the_mean_that_was_asked_for() {
        assert!((mean(Chance::unit) - 0.5).abs() < 0.01);
        assert!((mean(|chance| chance.exponential(3.0)) - 3.0).abs() < 0.05);
        assert!((mean(|chance| chance.lognormal(50.0, 1.0)) - 50.0).abs() < 1.0);
    }

    #[test]
    fn half_of_a_lognormal_lies_below_its_median() {
        let median = 50.0 * (-0.5_f64).exp();
        let below = mean(|chance| f64::from(u8::from(chance.lognormal(50.0, 1.0) < median)));
        assert!((below - 0.5).abs() < 0.01, "{below}");
    }
}
