//! Chance, by a seed. Knows nothing of what it is for.

pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    /// Uniform, from 0 to 1.
    pub(crate) fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as f64 + 0.5) / (1_u64 << 31) as f64
    }

    /// With the mean 1.
    pub(crate) fn exponential(&mut self) -> f64 {
        -self.next().ln()
    }

    /// With the mean 1.
    pub(crate) fn lognormal(&mut self, sigma: f64) -> f64 {
        let normal = (-2.0 * self.next().ln()).sqrt() * (std::f64::consts::TAU * self.next()).cos();
        (sigma * normal - sigma * sigma / 2.0).exp()
    }
}
