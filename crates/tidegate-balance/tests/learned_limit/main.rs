//! The learned limit on requests in flight, on made-up endpoints in virtual time. Through the public interface alone.

#[path = "../cluster/mod.rs"]
mod cluster;
#[path = "../noise/mod.rs"]
mod noise;

mod beside;
mod by_hand;
mod changes;
mod scene;
