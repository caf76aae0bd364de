//! One canonical path for matching, logging and forwarding (RFC 3986 §6.2.2). Knows nothing of routes.

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    #[error("the path has an encoded slash")]
    EncodedSlash,
}

/// `Ok(false)`: `raw` is canonical as it is (the common case, decided in one pass without writing).
/// `Ok(true)`: the canonical form was appended to `out`.
pub fn canonical(_raw: &[u8], _out: &mut Vec<u8>) -> Result<bool, PathError> {
    Ok(false)
}
