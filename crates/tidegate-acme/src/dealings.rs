//! What there is between us and one authority in one folder, whoever asks it and on whatever terms: the account, one order at a
//! time, when it wants to be left alone, and what it gave that is not written yet. Asks nobody anything.

use crate::AcmeError;
use crate::caller::Later;
use crate::dns::Withdrawals;
use crate::schedule::ASKED_MAX;
use instant_acme::Account;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Outlives the terms: a reload that changes those forgets nothing.
#[derive(Debug, Default)]
pub struct Dealings {
    /// Whoever has it is the only one to ask for an account or an order.
    pub(crate) account: tokio::sync::Mutex<Option<Known>>,
    pub(crate) later: Arc<Later>,
    pub(crate) withdrawals: Arc<Withdrawals>,
    /// Of one host, or of all.
    rests: Mutex<HashMap<Option<String>, Rest>>,
    /// What was given for a host and could not be written: certificate, chain and key.
    unkept: Mutex<HashMap<String, Given>>,
}

/// An account that is ready.
pub(crate) struct Known {
    pub(crate) account: Account,
    /// What the authority's own certificate has to lead to wherever the account is used.
    pub(crate) root: Option<PathBuf>,
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Known")
    }
}

/// Wants to be left alone, and why it says so. In seconds, since the Unix epoch.
#[derive(Debug)]
struct Rest {
    until: i64,
    asked: i64,
    why: String,
}

struct Given(String);

impl std::fmt::Debug for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Given")
    }
}

impl Dealings {
    /// Waits until what orders have shown that were given up is taken away.
    pub async fn withdrawn(&self) {
        self.withdrawals.ended().await;
    }

    /// Whether the time that it has asked for is over.
    pub(crate) fn may_be_asked(&self, host: &str, now: i64) -> Result<(), AcmeError> {
        let mut rests = locked(&self.rests);
        rests.retain(|_, rest| {
            rest.until = rest.until.min(now.saturating_add(rest.asked)); // the clock may have been set back
            rest.until > now
        });
        let own = [rests.get(&None), rests.get(&Some(host.to_owned()))];
        let Some(longest) = own.into_iter().flatten().max_by_key(|rest| rest.until) else { return Ok(()) };
        let left = Duration::from_secs(longest.until.abs_diff(now));
        Err(AcmeError::Resting { why: longest.why.clone(), left })
    }

    /// Nobody asks for `host` again, or for anything where it is `None`, until so much time has passed.
    pub(crate) fn rest(&self, host: Option<&str>, asked: Duration, why: &str, now: i64) {
        let asked = asked.min(ASKED_MAX).as_secs().cast_signed();
        let rest = Rest { until: now.saturating_add(asked), asked, why: why.to_owned() };
        locked(&self.rests).insert(host.map(str::to_owned), rest);
    }

    /// It is at hand for the next time: another order would count again.
    pub(crate) fn keep_at_hand(&self, host: &str, pem: String) {
        locked(&self.unkept).insert(host.to_owned(), Given(pem));
    }

    pub(crate) fn take_at_hand(&self, host: &str) -> Option<String> {
        locked(&self.unkept).remove(host).map(|Given(pem)| pem)
    }
}

fn locked<T>(one: &Mutex<T>) -> MutexGuard<'_, T> {
    one.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn left(dealings: &Dealings, host: &str, now: i64) -> u64 {
        match dealings.may_be_asked(host, now) {
            Err(AcmeError::Resting { left, .. }) => left.as_secs(),
            _ => 0,
        }
    }

    #[test]
    fn a_host_waits_for_as_long_as_was_said_to_it_or_to_all() {
        let dealings = Dealings::default();
        dealings.rest(Some("app.test"), Duration::from_mins(2), "not before tea", NOW);
        let said = dealings.may_be_asked("app.test", NOW).unwrap_err().to_string();
        assert!(said.contains("not before tea"), "{said}");
        assert_eq!(["app.test", "other.test"].map(|host| left(&dealings, host, NOW + 50)), [70, 0]);
        dealings.rest(None, Duration::from_mins(1), "", NOW + 90);
        assert_eq!(["app.test", "other.test"].map(|host| left(&dealings, host, NOW + 90)), [60, 60]);
        assert_eq!(left(&dealings, "app.test", NOW + 150), 0);
        dealings.rest(None, Duration::MAX, "", NOW);
        assert_eq!(left(&dealings, "app.test", NOW), ASKED_MAX.as_secs());
    }

    #[test]
    fn a_clock_that_was_set_back_makes_no_wait_longer_than_it_was_asked_for() {
        let dealings = Dealings::default();
        dealings.rest(None, Duration::from_mins(2), "", NOW);
        let back = NOW - 1_000_000;
        assert_eq!([0, 60, 120].map(|passed| left(&dealings, "app.test", back + passed)), [120, 60, 0]);
    }
}
