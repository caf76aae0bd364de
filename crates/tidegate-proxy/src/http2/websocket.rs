//! What a WebSocket begins with in HTTP/1.1 and does without in HTTP/2 (RFC 8441 §5): a key, and the proof that it was read.

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// RFC 6455 §1.3.
const WEBSOCKET: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Sixteen random bytes in base64 (RFC 6455 §4.1); nobody but an endpoint looks at them.
pub(super) fn key(random: [u64; 2]) -> String {
    STANDARD.encode(random.map(u64::to_be_bytes).as_flattened())
}

/// What a server says that has read this key (RFC 6455 §4.2.2). It keeps no secret: it tells a WebSocket from an accident.
pub(super) fn accept(key: &[u8]) -> String {
    let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    context.update(key);
    context.update(WEBSOCKET);
    STANDARD.encode(context.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proof_is_that_of_the_standard() {
        assert_eq!(accept(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_key_is_sixteen_bytes() {
        for random in [[0; 2], [1, 2], [u64::MAX; 2]] {
            assert_eq!((key(random).len(), STANDARD.decode(key(random)).unwrap().len()), (24, 16));
        }
    }
}
