//! What of a request consistent hashing is done on. Knows no endpoints.

use crate::request::Call;
use crate::snapshot::HashKey;
use tidegate_http::{cookie, field};

/// The hash of the request's key; `None` when the request has none, and any endpoint will do. A field or cookie without a value is none:
/// all whose key is empty have nothing in common.
pub(crate) fn affinity(call: &Call<'_>, key: &HashKey) -> Option<u64> {
    let request = &call.workspace.request;
    let bytes = call.workspace.input.pinned();
    match key {
        HashKey::None => None,
        HashKey::ClientAddress => client_hash(call),
        HashKey::Cookie(name) => hash_of_any(cookie::find(&request.fields, bytes, name.as_bytes())),
        HashKey::Header(name) => hash_of_any(field::find(&request.fields, bytes, name.as_bytes())),
        HashKey::Path => Some(stable_hash(call.path())),
    }
}

fn hash_of_any(value: Option<&[u8]>) -> Option<u64> {
    value.filter(|value| !value.trim_ascii().is_empty()).map(stable_hash)
}

/// Behind trusted proxies, the client that they saw. `None`: it came by a Unix socket, and nobody says where from.
fn client_hash(call: &Call<'_>) -> Option<u64> {
    match call.forwarded_client() {
        Some(address) => Some(stable_hash(address.to_string().as_bytes())),
        None => call.address.ip().map(|_| stable_hash(call.address.text())),
    }
}

/// FNV-1a with a final mix (splitmix64's): the same on every machine and in every version, so that several proxies, and
/// the same one after an upgrade, agree.
fn stable_hash(bytes: &[u8]) -> u64 {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
