//! Bytes that wait in the h2 crate until the other side takes them, and what they keep meanwhile: the place of their request, so
//! that an answer that is not taken counts as one in service, though all of it has been written. Knows no frames.

use crate::workspace::Place;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use std::sync::Arc;

/// What lives until the bytes have left.
pub(super) type Holder<'a> = Option<&'a Arc<Place>>;

struct Unsent {
    bytes: Box<[u8]>,
    _place: Arc<Place>,
}

impl AsRef<[u8]> for Unsent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A copy of `bytes`. It is enough that what a stream sends last has a holder: all else has left before.
pub(super) fn unsent(bytes: &[u8], holder: Holder<'_>) -> Bytes {
    match holder {
        None => Bytes::copy_from_slice(bytes),
        Some(place) => Bytes::from_owner(Unsent { bytes: bytes.into(), _place: Arc::clone(place) }),
    }
}

/// The same for a head, or trailers: in one of the values. The other side is told not to keep that one in its table (RFC 7541
/// §6.2.3), because ours would keep it as well, and the holder with it, for as long as the connection stands.
pub(super) fn hold(fields: &mut HeaderMap, holder: Holder<'_>) {
    if holder.is_none() {
        return;
    }
    let Some(shortest) = fields.values_mut().min_by_key(|value| value.len()) else { return };
    if let Ok(mut value) = HeaderValue::from_maybe_shared(unsent(shortest.as_bytes(), holder)) {
        value.set_sensitive(true);
        *shortest = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::WorkspaceLimits;
    use crate::workspace::Workspaces;
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering::Relaxed;

    const LIMITS: WorkspaceLimits = WorkspaceLimits {
        lent_max: 1,
        spare_max: 0,
        oversized_max: 0,
        kept_bodies_max: 0,
        http2_connections_max: 1,
        wide_windows_max: 0,
    };

    #[test]
    fn a_request_is_in_service_until_the_last_of_its_answer_has_left() {
        let count = Arc::<AtomicUsize>::default();
        let workspaces = Workspaces::new(Arc::clone(&count), LIMITS);
        let mut lent = workspaces.lend().unwrap();
        let place = lent.place();
        let last = unsent(b"the end", Some(&place));
        let mut fields = HeaderMap::new();
        fields.append("date", HeaderValue::from_static("Thu, 26 Nov 2026 00:00:00 GMT"));
        fields.append("age", HeaderValue::from_static("7"));
        hold(&mut fields, Some(&place));
        assert!(fields["age"].is_sensitive() && !fields["date"].is_sensitive());
        assert_eq!((&last[..], fields["age"].as_bytes()), (&b"the end"[..], &b"7"[..]));
        drop((place, lent));
        for held in [Box::new(fields) as Box<dyn std::any::Any>, Box::new(last)] {
            assert_eq!(count.load(Relaxed), 1);
            drop(held);
        }
        assert_eq!(count.load(Relaxed), 0);
    }
}
