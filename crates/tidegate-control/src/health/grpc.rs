//! The messages of the gRPC health checking protocol (grpc.health.v1), as few as it takes to ask one question.

/// What is called.
pub(super) const PATH: &str = "/grpc.health.v1.Health/Check";

/// What an endpoint says of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Serving {
    Yes,
    No,
    /// What it sent makes no sense.
    Unclear,
}

/// `HealthCheckRequest { service }`, as a message of a call: not compressed, its length, its bytes.
pub(super) fn question(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(0x0a); // field 1, a text
        put_number(service.len(), &mut message);
        message.extend_from_slice(service.as_bytes());
    }
    let mut framed = vec![0];
    framed.extend_from_slice(&(message.len() as u32).to_be_bytes());
    framed.extend_from_slice(&message);
    framed
}

/// Seven bits a byte, the lowest first.
fn put_number(mut number: usize, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Reads `HealthCheckResponse { status }`, of which 1 is SERVING.
pub(super) fn answer(framed: &[u8]) -> Serving {
    let [0, a, b, c, d, message @ ..] = framed else { return Serving::Unclear };
    let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
    match message.get(..length) {
        Some([0x08, 1, ..]) => Serving::Yes,
        Some([] | [0x08, _, ..]) => Serving::No,
        _ => Serving::Unclear,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_names_its_service_and_the_answer_its_status() {
        assert_eq!(question(""), [0, 0, 0, 0, 0]);
        assert_eq!(question("a.B"), b"\0\0\0\0\x05\x0a\x03a.B");
        assert_eq!(question(&"x".repeat(200))[5..8], [0x0a, 0xc8, 0x01]);
        assert_eq!(answer(b"\0\0\0\0\x02\x08\x01"), Serving::Yes);
        assert_eq!(answer(b"\0\0\0\0\x02\x08\x02"), Serving::No);
        assert_eq!(answer(b"\0\0\0\0\0"), Serving::No, "UNKNOWN is not written");
        for unclear in [&b""[..], b"\0\0\0\0\x02\x08", b"\x01\0\0\0\x02\x08\x01", b"\0\0\0\0\x01\xff"] {
            assert_eq!(answer(unclear), Serving::Unclear, "{unclear:?}");
        }
    }
}
