//! Socket options and descriptor limits.
//!
//! The only crate that may hold `unsafe`, each with its reason. Knows no HTTP, no runtime, no configuration.
