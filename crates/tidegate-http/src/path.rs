//! One canonical path for matching, logging and forwarding (RFC 3986 §6.2.2). Knows nothing of routes.

/// Why a path was refused; each of these is a 400. Variants alphabetical.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    #[error("the path climbs above its root")]
    AboveRoot,
    #[error("the path has a backslash")]
    Backslash,
    #[error("the path has parameters on a dot segment")]
    DotSegmentParameters,
    #[error("the path has an encoded slash or backslash")]
    EncodedSlash,
    #[error("the path has a malformed percent escape")]
    EscapeMalformed,
    #[error("the path has a NUL byte")]
    Nul,
    #[error("the path does not begin with a slash")]
    NotAbsolute,
    #[error("the path has an overlong UTF-8 sequence")]
    OverlongUtf8,
}

impl PathError {
    /// One stable word for logs and metrics.
    pub fn code(self) -> &'static str {
        match self {
            Self::AboveRoot => "path_above_root",
            Self::Backslash => "path_backslash",
            Self::DotSegmentParameters => "path_dot_segment_parameters",
            Self::EncodedSlash => "path_encoded_slash",
            Self::EscapeMalformed => "path_escape_malformed",
            Self::Nul => "path_nul",
            Self::NotAbsolute => "path_not_absolute",
            Self::OverlongUtf8 => "path_overlong_utf8",
        }
    }
}

/// `Ok(false)`: `raw` is canonical as it is (the common case, decided in one pass without writing).
/// `Ok(true)`: the canonical form was appended to `out`.
pub fn canonical(_raw: &[u8], _out: &mut Vec<u8>) -> Result<bool, PathError> {
    Ok(false)
}
