//! Spreads bits: a stable hash for endpoint names and a stream of random numbers from one seed. Knows no source of
//! randomness; seeds are arguments.

/// The finaliser of `SplitMix64` (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014): every input
/// bit changes every output bit with probability one half.
pub(crate) const fn mix(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// A hash of a name that is the same in every process and every release, so that several proxies agree: FNV-1a, mixed.
pub(crate) fn stable_hash(name: &str) -> u64 {
    let fnv = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    mix(fnv)
}

/// Maps uniform bits to `0..bound` without a division (Lemire 2019); the bias is below `bound / 2^64`.
pub(crate) fn below(bits: u64, bound: u64) -> u64 {
    ((u128::from(bits) * u128::from(bound)) >> 64) as u64
}

/// As many uniform numbers as a pick needs, from the one it was given.
pub(crate) struct Stream(u64);

impl Stream {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next_bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    pub(crate) fn next_below(&mut self, bound: u64) -> u64 {
        below(self.next_bits(), bound)
    }
}

#[cfg(test)]
impl Stream {
    /// Uniform in [0, 1).
    pub(crate) fn next_unit(&mut self) -> f64 {
        self.next_below(1 << 53) as f64 / (1_u64 << 53) as f64
    }

    /// Standard normal (Box and Muller 1958).
    pub(crate) fn next_normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.next_unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.next_unit()).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_a_name_never_changes() {
        // Several proxies, perhaps of different releases, must agree on where a key lives.
        assert_eq!(stable_hash("localhost:8001"), stable_hash("localhost:8001"));
        assert_eq!(stable_hash(""), mix(0xcbf2_9ce4_8422_2325));
        assert_ne!(stable_hash("a"), stable_hash("b"));
    }

    #[test]
    fn numbers_below_a_bound_reach_all_of_it_evenly() {
        let mut stream = Stream::new(7);
        let mut seen = [0_u32; 10];
        for _ in 0..100_000 {
            seen[stream.next_below(10) as usize] += 1;
        }
        assert!(seen.iter().all(|count| (9_500..10_500).contains(count)), "{seen:?}");
    }
}
