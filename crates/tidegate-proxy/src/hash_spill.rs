//! Keys that a hash takes elsewhere than where they belong, because that endpoint has enough to do: counted, and noted for the
//! log. Knows no hash: the balancer says what was in the way.

use crate::request::Call;
use crate::view::ClusterView;
use tidegate_balance::{Lease, Spilled};

pub(crate) const ALL: [Spilled; 2] = [Spilled::Bound, Spilled::Full];

/// The word in logs and metrics.
pub(crate) fn word(spilled: Spilled) -> &'static str {
    match spilled {
        Spilled::Bound => "bound",
        Spilled::Full => "full",
    }
}

/// What became of the key of the request that was picked for.
pub(crate) fn note(call: &mut Call<'_>, view: &ClusterView, lease: &Lease<'_>) {
    call.journal.hash_spilled = lease.spilled();
    if let (Some(spilled), Some(metrics)) = (lease.spilled(), &view.metrics().hash_spills) {
        metrics.count(spilled);
    }
}
