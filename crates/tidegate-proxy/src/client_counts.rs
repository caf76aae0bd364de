//! How many connections each client has open, over all workers. Knows no connection.
//!
//! The one lock that workers share: held for a look-up when a connection is accepted and when it ends, never during a
//! request, and only while the limit is on.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// So that workers seldom meet at the same one.
const SHARDS: usize = 64;

/// What of an address makes a client: all of an IPv4 address, or the network of an IPv6 address, within which a client
/// has as many addresses as it likes.
type ClientKey = u64;

/// Holds as many entries as there are clients with a connection.
#[derive(Debug)]
pub struct ClientCounts {
    shards: [Mutex<HashMap<ClientKey, u32>>; SHARDS],
}

impl Default for ClientCounts {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()) }
    }
}

impl ClientCounts {
    /// Counts one more connection, unless the client has `max` already.
    pub(crate) fn admit(self: &Arc<Self>, client: IpAddr, max: u32) -> Option<CountedClient> {
        let key = key(client);
        let mut shard = self.shard(key)?;
        let count = shard.entry(key).or_default();
        if *count >= max {
            return None;
        }
        *count += 1;
        Some(CountedClient { counts: Arc::clone(self), key })
    }

    fn shard(&self, key: ClientKey) -> Option<MutexGuard<'_, HashMap<ClientKey, u32>>> {
        // Neighbours differ in their low bits, so a multiplication spreads them (Knuth's, by the golden ratio).
        let position = key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let shard = self.shards.get(position as usize % SHARDS)?;
        Some(shard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One connection of a client, for as long as it lives.
#[derive(Debug)]
pub(crate) struct CountedClient {
    counts: Arc<ClientCounts>,
    key: ClientKey,
}

impl Drop for CountedClient {
    fn drop(&mut self) {
        let Some(mut shard) = self.counts.shard(self.key) else { return };
        if let Entry::Occupied(mut count) = shard.entry(self.key) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// IPv4 addresses lie where IPv6 has nothing but the loopback address.
fn key(client: IpAddr) -> ClientKey {
    match client.to_canonical() {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => (u128::from(address) >> 64) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admit(counts: &Arc<ClientCounts>, client: &str, max: u32) -> Option<CountedClient> {
        counts.admit(client.parse().unwrap(), max)
    }

    #[test]
    fn a_client_has_its_share_and_gets_room_back_and_others_have_theirs() {
        let counts = Arc::new(ClientCounts::default());
        let mut held: Vec<_> = (0..3).map(|_| admit(&counts, "192.0.2.1", 3).unwrap()).collect();
        assert!(admit(&counts, "192.0.2.1", 3).is_none());
        assert!(admit(&counts, "::ffff:192.0.2.1", 3).is_none(), "the same client");
        assert!(admit(&counts, "192.0.2.2", 3).is_some(), "another one");
        held.pop();
        held.push(admit(&counts, "192.0.2.1", 3).unwrap());
        assert!(admit(&counts, "192.0.2.1", 2).is_none(), "a limit that was lowered since");
        drop(held);
        assert!(counts.shards.iter().all(|shard| shard.lock().unwrap().is_empty()), "nothing is left behind");
    }

    #[test]
    fn an_ipv6_network_is_one_client() {
        let counts = Arc::new(ClientCounts::default());
        let _held = admit(&counts, "2001:db8::1", 1).unwrap();
        assert!(admit(&counts, "2001:db8::ffff:2", 1).is_none());
        assert!(admit(&counts, "2001:db8:0:1::1", 1).is_some());
    }
}
