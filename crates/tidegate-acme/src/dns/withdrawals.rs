//! Records that are taken away when nobody waits for their order any more: it was given up. Knows no records.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

#[derive(Debug, Default)]
pub(crate) struct Withdrawals(Mutex<JoinSet<()>>);

impl Withdrawals {
    /// Goes on by itself. Outside of a runtime nothing does.
    pub(crate) fn begin(&self, withdrawal: impl Future<Output = ()> + Send + 'static) {
        let Ok(runtime) = Handle::try_current() else { return };
        let mut begun = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while begun.try_join_next().is_some() {} // those that have ended
        begun.spawn_on(withdrawal, &runtime);
    }

    /// Waits for those that have begun.
    pub(crate) async fn ended(&self) {
        let mut begun = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        while begun.join_next().await.is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    #[tokio::test]
    async fn who_waits_for_them_finds_all_done() {
        let (withdrawals, done) = (Withdrawals::default(), Arc::<AtomicUsize>::default());
        for _ in 0..3 {
            let done = Arc::clone(&done);
            withdrawals.begin(async move {
                tokio::task::yield_now().await;
                done.fetch_add(1, Relaxed);
            });
        }
        withdrawals.ended().await;
        assert_eq!(done.load(Relaxed), 3);
        withdrawals.ended().await;
    }

    #[test]
    fn nothing_begins_where_nothing_can_go_on() {
        Withdrawals::default().begin(async { unreachable!() });
    }
}
