//! Where a panic ends.

use std::future::{Future, poll_fn};
use std::ops::DerefMut;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;

/// A mistake in our own code ends the request that met it, visibly, and nothing else. What it leaves behind is dropped
/// with it: guards give back what was counted, and nothing that other requests use is changed in more than one step.
pub(crate) async fn unless_it_panics<P, F>(mut busy: Pin<P>) -> Option<F::Output>
where
    P: DerefMut<Target = F>,
    F: Future,
{
    poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| busy.as_mut().poll(cx)));
        polled.map_or(Poll::Ready(None), |polled| polled.map(Some))
    })
    .await
}
