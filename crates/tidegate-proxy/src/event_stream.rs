//! Which answers are streams of server-sent events (HTML Living Standard, 9.2). Reads heads only.

use tidegate_http::response::ResponseHead;
use tidegate_http::{BodyLength, field};

const TYPE: &[u8] = b"text/event-stream";

/// Nobody knows when it begins how long it will be.
pub(crate) fn is_one(answer: &ResponseHead, bytes: &[u8]) -> bool {
    matches!(answer.body, BodyLength::Chunked | BodyLength::UntilClose)
        && field::find(&answer.fields, bytes, b"content-type").is_some_and(is_of_events)
}

/// Behind the type may be parameters (RFC 9110 §8.3.1).
fn is_of_events(content_type: &[u8]) -> bool {
    let kind = content_type.split(|&byte| byte == b';').next().unwrap_or_default();
    kind.trim_ascii().eq_ignore_ascii_case(TYPE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_of_events_is_known_by_its_type() {
        for (content_type, expected) in [
            ("text/event-stream", true),
            ("Text/Event-Stream ; charset=utf-8", true),
            ("text/event-stream2", false),
            ("text/plain; text/event-stream", false),
            ("", false),
        ] {
            assert_eq!(is_of_events(content_type.as_bytes()), expected, "{content_type}");
        }
    }
}
