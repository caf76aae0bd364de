//! The data plane: one worker and what flows through it.
