//! Random numbers that depend on a seed alone. Knows no source of randomness, and not what is drawn with it.

/// A stream of numbers (`SplitMix64`: Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(mix(seed))
    }

    /// The stream of one thing among many: what request 17 draws does not depend on what happened before it.
    pub(crate) fn of(seed: u64, number: u64) -> Self {
        Self(mix(seed ^ mix(number.wrapping_add(0x9e37_79b9_7f4a_7c15))))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Uniform in [0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform in `0..bound` (Lemire 2019).
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// With a mean of 1.
    pub(crate) fn exponential(&mut self) -> f64 {
        -(1.0 - self.unit()).ln()
    }

    /// Standard normal (Box and Muller 1958).
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (2.0 * self.exponential()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}

/// The finaliser of `SplitMix64`: every input bit changes every output bit with probability one half.
pub(crate) const fn mix(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_draws_have_the_moments_they_should() {
        let mut random = Random::new(7);
        let count = 200_000;
        let mean = |draws: Vec<f64>| draws.iter().sum::<f64>() / f64::from(count);
        let unit = mean((0..count).map(|_| random.unit()).collect());
        let exponential = mean((0..count).map(|_| random.exponential()).collect());
        let square = mean((0..count).map(|_| random.normal().powi(2)).collect());
        assert!((unit - 0.5).abs() < 0.01 && (exponential - 1.0).abs() < 0.01 && (square - 1.0).abs() < 0.02);
    }

    #[test]
    fn neighbouring_requests_draw_unrelated_numbers() {
        let same = (0..1_000)
            .filter(|&number| Random::of(3, number).below(10) == Random::of(3, number + 1).below(10));
        assert!((60..140).contains(&same.count()));
    }
}
