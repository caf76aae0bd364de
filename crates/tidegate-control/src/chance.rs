//! Random numbers of the control plane: seeds of workers and jitter. Not for secrets.

use std::hash::{BuildHasher, RandomState};

/// Uniform bits, from the keys that std draws for its hash maps.
pub(crate) fn bits() -> u64 {
    RandomState::new().hash_one(0_u8)
}

/// From 0 up to, and without, 1.
pub(crate) fn fraction() -> f64 {
    (bits() >> 11) as f64 / (1_u64 << 53) as f64
}
