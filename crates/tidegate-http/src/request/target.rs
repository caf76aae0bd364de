//! Request targets and authorities (RFC 9112 §3.2, RFC 3986 §3.2). Knows no fields.

use std::net::Ipv6Addr;

use super::{Method, RequestHead, TargetForm};
use crate::Span;
use crate::scan::HOST_NAME;

/// Splits a target without forbidden bytes into `head`; false if it has none of the forms. `question` is the offset of
/// its first `?`, or its end.
#[inline]
pub(super) fn split(bytes: &[u8], target: Span, question: usize, head: &mut RequestHead) -> bool {
    head.query = Span { start: question as u32, end: target.end };
    head.path = Span { start: target.start, end: question as u32 };
    match target.of(bytes) {
        [b'/', ..] => {
            head.form = TargetForm::Origin;
            true
        }
        [b'*'] => {
            head.form = TargetForm::Asterisk;
            head.method == Method::Options // RFC 9112 §3.2.4
        }
        _ => split_absolute(bytes, head).is_some(),
    }
}

/// RFC 9112 §3.2.2. `head.path` still holds everything before the query.
fn split_absolute(bytes: &[u8], head: &mut RequestHead) -> Option<()> {
    let whole = head.path.of(bytes);
    let scheme = ["http://", "https://"].into_iter().find(|scheme| {
        whole.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme.as_bytes()))
    })?;
    let after = whole.get(scheme.len()..)?;
    let authority_bytes = after.iter().position(|byte| *byte == b'/').unwrap_or(after.len());
    let start = head.path.start as usize + scheme.len();
    head.authority = Span::new(start, start + authority_bytes);
    let host_bytes = host_bytes(bytes, head.authority)?;
    head.host = Span::new(start, start + host_bytes);
    head.path.start = head.authority.end;
    head.form = TargetForm::Absolute;
    Some(())
}

/// How many bytes of the authority there are the host: a name or address as RFC 3986 §3.2.2 has it, without user
/// information, followed by nothing or by a port.
#[inline]
pub(super) fn host_bytes(bytes: &[u8], authority: Span) -> Option<usize> {
    let text = authority.of(bytes);
    let host = match text {
        [b'[', ..] => literal_bytes(text)?,
        [b'.', ..] => return None, // no name begins with an empty label, and `.` and `..` are none at all
        _ => HOST_NAME
            .end(bytes, authority.start as usize)
            .saturating_sub(authority.start as usize)
            .min(text.len()),
    };
    let port_is_good = match text.get(host..)? {
        [] => true,
        [b':', port @ ..] => is_port(port),
        _ => false,
    };
    (host > 0 && port_is_good).then_some(host)
}

fn literal_bytes(authority: &[u8]) -> Option<usize> {
    let close = authority.iter().position(|byte| *byte == b']')?;
    let address = std::str::from_utf8(authority.get(1..close)?).ok()?;
    address.parse::<Ipv6Addr>().ok().map(|_| close + 1)
}

fn is_port(digits: &[u8]) -> bool {
    let port = digits.iter().try_fold(0u32, |port, digit| {
        let port = port * 10 + u32::from(digit.wrapping_sub(b'0'));
        (digit.is_ascii_digit() && u16::try_from(port).is_ok()).then_some(port)
    });
    !digits.is_empty() && port.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_a_host_and_perhaps_a_port() {
        let cases: [(&str, Option<usize>, &str); 20] = [
            ("example.com", Some(11), "a name"),
            ("a_b.example:80", Some(11), "with a port"),
            ("127.0.0.1:65535", Some(9), "an address"),
            ("[::1]", Some(5), "an IPv6 literal"),
            ("[2001:db8::1]:443", Some(13), "with a port"),
            ("", None, "empty"),
            (":80", None, "a port alone"),
            ("a:", None, "an empty port"),
            ("a:65536", None, "beyond 16 bits"),
            ("a:8o", None, "not digits"),
            ("a:80:80", None, "two ports"),
            ("user@a", None, "user information"),
            ("a/b", None, "a path"),
            ("a,b", None, "a list"),
            ("a b", None, "two words"),
            ("a.example.", Some(10), "the root's dot"),
            (".", None, "a dot alone"),
            ("..:80", None, "two of them"),
            ("[::1", None, "unclosed"),
            ("[zz]", None, "not an address"),
        ];
        for (authority, host, why) in cases {
            let whole = Span::new(1, 1 + authority.len());
            for behind in ["", " ", "/", "\r\n", "more"] {
                let bytes = format!(" {authority}{behind}");
                assert_eq!(host_bytes(bytes.as_bytes(), whole), host, "{authority} before {behind:?}: {why}");
            }
        }
    }
}
