//! How much each key has used of what it may, for a bounded number of keys and without a lock: the generic cell rate
//! algorithm over a set-associative table. Knows no requests and no clock.
//!
//! An account is one moment, the theoretical arrival time (ITU-T I.371, annex A): until when what was taken has been paid
//! for at the steady rate. A moment in the past says as much as no account at all, so nothing ever has to be cleaned up.
//!
//! When the bucket of a new key is full, the key takes over the account that is nearest to being paid off, debts included
//! (as in Space-Saving; Metwally, Agrawal, El Abbadi: Efficient computation of frequent and top-k elements, 2005). So
//! however many keys come, no key ever gets more than its rate, and whoever uses up its own keeps its account. What a table
//! that is too small costs is strictness: a new key may inherit debts that others made.
//!
//! Two threads that meet the same new key, or two new keys that want the same account, at the same instant may lose track of
//! one request each: that is what having no lock costs.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tidegate_balance::Moment;

/// Accounts in one bucket: two cache lines.
const WAYS: usize = 8;

/// How often one account may be taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// From one taking to the next, at the steady rate; at least a nanosecond.
    pub interval: Duration,
    /// How many may be taken at once by somebody who has taken none for long; at least 1.
    pub burst: u32,
}

/// Accounts of many keys.
#[derive(Debug)]
pub(crate) struct Accounts {
    interval: u64,
    /// How far an account may be ahead of now.
    ahead_max: u64,
    buckets: Box<[Bucket]>,
    /// Drawn anew for each table: nobody can choose keys that share a bucket.
    hasher: RandomState,
}

/// The ordering of all accesses is relaxed: each account is a number by itself, and which key holds it does not matter to
/// its arithmetic.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Bucket([Account; WAYS]);

#[derive(Debug, Default)]
struct Account {
    /// The hash of the key that holds it; 0: nobody.
    holder: AtomicU64,
    /// In nanoseconds: until when what was taken is paid for.
    paid_until: AtomicU64,
}

/// What came of taking one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    Granted,
    /// As [`Taken::Granted`], and somebody's account had to go who still owed.
    GrantedByCrowding,
    /// The next one can be had after this long.
    Refused(Duration),
}

impl Accounts {
    /// Room for about `keys` keys, 16 bytes each.
    pub(crate) fn new(rate: Rate, keys: usize) -> Self {
        let interval = u64::try_from(rate.interval.as_nanos()).unwrap_or(u64::MAX).max(1);
        let buckets = keys.div_ceil(WAYS).next_power_of_two();
        Self {
            interval,
            ahead_max: interval.saturating_mul(u64::from(rate.burst.max(1))),
            buckets: std::iter::repeat_with(Bucket::default).take(buckets).collect(),
            hasher: RandomState::new(),
        }
    }

    /// Takes one from the account of `key`, if it may.
    pub(crate) fn take(&self, key: impl Hash, now: Moment) -> Taken {
        let hash = self.hasher.hash_one(key).max(1);
        // The low bits choose the bucket; the holder is told by all of them.
        let position = hash as usize & (self.buckets.len() - 1);
        let Some(bucket) = self.buckets.get(position) else { return Taken::Granted };
        loop {
            if let Some(account) = bucket.held_by(hash) {
                return account.charge(self, now).map_or_else(Taken::Refused, |()| Taken::Granted);
            }
            let (account, holder) = bucket.nearest_to_paid_off();
            let paid_until = account.paid_until.load(Relaxed);
            if let Err(wait) = self.charged(paid_until, now) {
                return Taken::Refused(wait); // it would have to wait, and so keeps nobody out
            }
            // Taken before it is charged: a charged one would send others with the same key on to another account.
            if account.holder.compare_exchange(holder, hash, Relaxed, Relaxed).is_ok() {
                let granted = if paid_until > now.0 { Taken::GrantedByCrowding } else { Taken::Granted };
                return account.charge(self, now).map_or_else(Taken::Refused, |()| granted);
            }
        }
    }

    /// What is to be paid until when with one more, or how long until that may be.
    fn charged(&self, paid_until: u64, now: Moment) -> Result<u64, Duration> {
        let charged = paid_until.max(now.0).saturating_add(self.interval);
        let latest = now.0.saturating_add(self.ahead_max);
        if charged > latest { Err(Duration::from_nanos(charged - latest)) } else { Ok(charged) }
    }
}

impl Bucket {
    fn held_by(&self, hash: u64) -> Option<&Account> {
        self.0.iter().find(|account| account.holder.load(Relaxed) == hash)
    }

    fn nearest_to_paid_off(&self) -> (&Account, u64) {
        let [first, rest @ ..] = &self.0;
        let paid_until = |account: &Account| account.paid_until.load(Relaxed);
        let account = rest.iter().fold(first, |nearest, account| {
            if paid_until(account) < paid_until(nearest) { account } else { nearest }
        });
        (account, account.holder.load(Relaxed))
    }
}

impl Account {
    /// Adds one to what is to be paid for, or says how long until that may be done.
    fn charge(&self, accounts: &Accounts, now: Moment) -> Result<(), Duration> {
        let mut known = self.paid_until.load(Relaxed);
        loop {
            let charged = accounts.charged(known, now)?;
            // Only the losers of a race for the same account go round again, and somebody has won each.
            match self.paid_until.compare_exchange_weak(known, charged, Relaxed, Relaxed) {
                Ok(_) => return Ok(()),
                Err(other) => known = other,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    /// Clocks do not begin at zero.
    const START: u64 = 1000 * SECOND;

    fn accounts(per_second: u32, burst: u32, keys: usize) -> Accounts {
        Accounts::new(Rate { interval: Duration::from_secs(1) / per_second, burst }, keys)
    }

    fn granted(accounts: &Accounts, key: impl Hash, now: u64) -> bool {
        !matches!(accounts.take(key, Moment(now)), Taken::Refused(_))
    }

    #[test]
    fn a_key_gets_its_burst_at_once_and_its_rate_from_then_on() {
        let accounts = accounts(10, 5, 1000);
        let at_once = (0..20).filter(|_| granted(&accounts, "a", START)).count();
        assert_eq!(at_once, 5);
        let wait = Taken::Refused(Duration::from_millis(100));
        assert_eq!(accounts.take("a", Moment(START)), wait, "one is paid off after a tenth of a second");
        let ten_seconds =
            (0..1000).filter(|tick| granted(&accounts, "a", START + tick * SECOND / 100)).count();
        assert_eq!(ten_seconds, 99, "ten a second, the first after a tenth");
        let later = START + 100 * SECOND;
        assert_eq!(
            (0..20).filter(|_| granted(&accounts, "a", later)).count(),
            5,
            "no more than a burst is saved up"
        );
    }

    #[test]
    fn keys_do_not_share_their_accounts_while_there_is_room() {
        let accounts = accounts(1, 2, 8 * 1024);
        let granted = (0..1000).flat_map(|key| [key; 3]).filter(|key| granted(&accounts, key, START)).count();
        assert_eq!(granted, 2000);
    }

    /// G5: a million keys that come once each, as from a walk through IPv6 prefixes.
    #[test]
    fn a_million_other_keys_do_not_make_the_table_forget_a_key_that_uses_up_its_rate() {
        let accounts = accounts(10, 20, 64 * 1024);
        let hot = (0..100).filter(|_| granted(&accounts, "hot", START)).count();
        assert_eq!(hot, 20);
        let (mut now, mut hot, mut others) = (START, 0, 0);
        for key in 0..1_000_000 {
            now += SECOND / 100_000; // ten seconds in all
            others += u32::from(granted(&accounts, key, now));
            hot += u32::from(key % 100 == 0 && granted(&accounts, "hot", now));
        }
        assert!((99..=100).contains(&hot), "{hot} instead of ten a second");
        assert_eq!(others, 1_000_000, "the table is far from exhausted: nobody else is refused");
    }

    #[test]
    fn a_table_that_is_far_too_small_is_strict_and_never_generous() {
        let accounts = accounts(1, 3, 8); // one bucket, for any number of keys
        let mut granted_to = [0; 100];
        for round in 0..1000 {
            let key = round % granted_to.len();
            granted_to[key] += u32::from(granted(&accounts, key, START));
        }
        assert!(granted_to.iter().all(|granted| *granted <= 3), "{granted_to:?}");
        assert_eq!(granted_to.iter().sum::<u32>(), 8 * 3, "as much as eight keys may have together");
        assert_eq!(accounts.take("new", Moment(START + SECOND)), Taken::GrantedByCrowding);
        assert_eq!(accounts.take("newer", Moment(START + 100 * SECOND)), Taken::Granted);
    }

    /// What one account with all the room in the world would grant, exactly, in the same order of events.
    #[test]
    fn many_keys_get_what_each_would_get_alone() {
        let table = accounts(5, 4, 4096);
        let alone: Vec<_> = (0..50).map(|_| accounts(5, 4, 1)).collect();
        let mut random = 1_u64;
        let mut now = START;
        for _ in 0..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let key = (random >> 40) as usize % alone.len();
            now += (random >> 20) % (SECOND / 100);
            assert_eq!(table.take(key, Moment(now)), alone[key].take(key, Moment(now)));
        }
    }

    #[test]
    fn threads_together_get_no_more_than_one_would() {
        let accounts = accounts(1, 1000, 64);
        let take_all = || (0..1000).filter(|_| granted(&accounts, "shared", START)).count();
        let taken: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(take_all)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(taken, 1000);
    }

    #[test]
    fn rates_at_both_ends_of_what_can_be_configured_do_not_overflow() {
        let slow = Accounts::new(Rate { interval: Duration::from_hours(24 * 365), burst: u32::MAX }, 1);
        assert_eq!(slow.take(1, Moment(u64::MAX - 1)), Taken::Granted);
        let fast = Accounts::new(Rate { interval: Duration::from_nanos(0), burst: 0 }, 0);
        assert_eq!(fast.take(1, Moment(1)), Taken::Granted);
    }
}
