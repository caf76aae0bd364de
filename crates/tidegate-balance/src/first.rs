//! First: packs requests onto the first endpoints of the list, up to a limit on each. Knows nothing of speed or errors.
//!
//! For fleets that are paid by the running machine: what comes last in the list stays idle while it is not needed and can
//! be switched off (HAProxy's `first`). When everybody is at the limit, the one with the least above it.

use crate::candidates::Candidates;

pub(crate) fn choose(candidates: &Candidates<'_>, in_flight_max: u32) -> Option<usize> {
    let mut least_above = None;
    for (index, seat) in candidates.iter() {
        let in_flight = seat.state.in_flight();
        if in_flight < in_flight_max {
            return Some(index);
        }
        if least_above.is_none_or(|(_, least)| in_flight < least) {
            least_above = Some((index, in_flight));
        }
    }
    least_above.map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use crate::testing::{Fleet, any_weights};
    use crate::{Algorithm, Moment};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn nobody_is_used_before_those_ahead_of_him_are_full(
            weights in any_weights(),
            in_flight_max in 1_u32..10,
            requests in 1_usize..60,
        ) {
            let fleet = Fleet::new(Algorithm::First { in_flight_max }, &weights);
            let _held: Vec<_> = (0..requests).map(|_| fleet.pick_at(Moment(1))).collect();
            let counts = fleet.in_flight();
            let is_over = requests as u32 > in_flight_max * weights.len() as u32;
            for two in counts.windows(2) {
                let is_packed = two[1] == 0 || two[0] == in_flight_max;
                prop_assert!(is_packed || is_over && two[0] >= two[1], "{counts:?}");
            }
            let spread = counts.iter().max().unwrap() - counts.iter().min().unwrap();
            prop_assert!(!is_over || spread <= 1);
        }
    }
}
