//! Endpoints that were picked though they are not up, or not the best by what is known: counted, and noted for the log. Knows
//! not why that was wise: the balancer says what for.

use crate::request::Call;
use crate::view::ClusterView;
use tidegate_balance::{Lease, Occasion};

pub(crate) const ALL: [Occasion; 3] = [Occasion::LastResort, Occasion::Probe, Occasion::Trial];

/// The word in logs and metrics.
pub(crate) fn word(occasion: Occasion) -> &'static str {
    match occasion {
        Occasion::LastResort => "last_resort",
        Occasion::Probe => "probe",
        Occasion::Trial => "trial",
    }
}

/// What a request's endpoint was picked for.
pub(crate) fn note(call: &mut Call<'_>, view: &ClusterView, lease: &Lease<'_>) {
    call.journal.picked_as = lease.occasion();
    if let Some(occasion) = lease.occasion() {
        view.metrics().exceptional_pick(occasion);
    }
}
