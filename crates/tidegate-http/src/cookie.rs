//! One cookie out of the Cookie fields of a request (RFC 6265 §4.2, §5.4). Knows nothing of Set-Cookie.

use crate::{Field, FieldKind};

/// The value of the first cookie of exactly this name, as sent.
pub fn find<'a>(fields: &[Field], buffer: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    all(fields, buffer, name).next()
}

/// The values of all cookies of exactly this name, as sent: a client sends one for each path and domain that set it, and their
/// order says little of which is meant (RFC 6265 §5.4).
pub fn all<'a>(fields: &[Field], buffer: &'a [u8], name: &[u8]) -> impl Iterator<Item = &'a [u8]> {
    fields
        .iter()
        .filter(|field| field.kind == FieldKind::Cookie)
        .flat_map(|field| field.value.of(buffer).split(|byte| *byte == b';'))
        .filter_map(move |pair| value_of(pair, name))
}

/// Appends the Cookie fields without the cookies of this name; a field that held nothing else is left out.
pub(crate) fn put_all_but(fields: &[Field], buffer: &[u8], name: &[u8], out: &mut Vec<u8>) {
    for field in fields.iter().filter(|field| field.kind == FieldKind::Cookie) {
        let pairs = field.value.of(buffer).split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let mut before: &[u8] = b"Cookie: ";
        let start = out.len();
        for pair in pairs.filter(|pair| !pair.is_empty() && value_of(pair, name).is_none()) {
            out.extend_from_slice(before);
            out.extend_from_slice(pair);
            before = b"; "; // RFC 6265 §4.2.1
        }
        if out.len() > start {
            out.extend_from_slice(b"\r\n");
        }
    }
}

fn value_of<'a>(pair: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    pair.trim_ascii().strip_prefix(name)?.strip_prefix(b"=")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{RequestHead, RequestParser};
    use crate::{HeadLimits, Progress};

    #[test]
    fn a_cookie_is_found_by_its_whole_name_in_any_cookie_field() {
        const LIMITS: HeadLimits =
            HeadLimits { head_bytes_max: 1024, target_bytes_max: 100, field_count_max: 10 };
        let bytes = b"GET / HTTP/1.1\r\nHost: a\r\nX: id=no\r\nCookie: a=1; xid=2;id=3 ; e=\r\nCookie: id=4; b=c=d\r\n\r\n";
        let mut head = RequestHead::default();
        let progress = RequestParser::default().parse(bytes, &LIMITS, &mut head);
        assert_eq!(progress, Ok(Progress::Complete { head_bytes: bytes.len() }));
        let cases: [(&str, Option<&str>, &str); 8] = [
            ("a", Some("1"), "the first pair"),
            ("id", Some("3"), "the first of that name, not the end of another"),
            ("e", Some(""), "empty"),
            ("b", Some("c=d"), "the first equals sign counts"),
            ("i", None, "not the beginning of another"),
            ("ID", None, "case matters"),
            ("", None, "nothing"),
            ("c", None, "not a value"),
        ];
        for (name, value, why) in cases {
            assert_eq!(find(&head.fields, bytes, name.as_bytes()), value.map(str::as_bytes), "{name}: {why}");
        }
        assert_eq!(all(&head.fields, bytes, b"id").collect::<Vec<_>>(), [b"3", b"4"], "of both fields");
    }
}
