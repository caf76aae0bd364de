//! Socket options, listening sockets, descriptor limits and cores: what std does not offer, behind safe functions.
//!
//! The only crate that may hold `unsafe`, each with its reason; rustix and socket2 leave it with two system calls, and the
//! allocator that counts, which is for measurements. Knows no HTTP, no runtime, no configuration. Linux.

mod allocations;
mod clock;
mod cores;
mod descriptors;
mod listen;
mod memory;
mod tcp;
mod transfer;

pub use allocations::heap_allocations;
pub use clock::{monotonic_nanos, set_timer, timer_descriptor};
pub use cores::{pin_current_thread, usable_core_count, usable_cores};
pub use descriptors::{
    DescriptorLimit, descriptor_limit, is_out_of_descriptors, is_out_of_ports, lowest_free_descriptor,
    raise_descriptor_limit,
};
pub use listen::{ListenError, PortUse, listen_tcp, listen_tcp_group, listen_unix};
pub use memory::usable_memory;
pub use tcp::{
    Keepalive, Presence, reset_on_close, round_trip, set_nodelay, set_presence, shutdown_write,
    unacknowledged_bytes,
};
pub use transfer::{is_quiet, receive, transmit, transmit_gathered};
