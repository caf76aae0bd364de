//! What an encoder writes, and when: byte for byte.

use tidegate_http2::hpack::Encoder;

fn block(encoder: &mut Encoder, fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    encoder.begin(&mut out);
    for (name, value) in fields {
        encoder.field(name, value, &mut out);
    }
    out
}

/// `x: y`, and the bytes of it: neither is shorter in Huffman code.
const FIELD: (&[u8], &[u8]) = (b"x", b"y");

#[test]
fn statuses_are_one_byte_where_the_static_table_has_them() {
    let mut encoder = Encoder::new();
    let mut out = Vec::new();
    for code in [b"200", b"204", b"206", b"304", b"400", b"404", b"500"] {
        encoder.status(*code, &mut out);
    }
    assert_eq!(out, [0x88, 0x89, 0x8a, 0x8b, 0x8c, 0x8d, 0x8e]);
    out.clear();
    encoder.status(*b"302", &mut out);
    assert_eq!(out, [0x08, 0x82, 0x64, 0x02]);
}

#[test]
fn the_first_request_of_appendix_c_4_is_written_as_there_but_for_what_comes_by_once() {
    let fields: [(&[u8], &[u8]); 4] =
        [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"www.example.com")];
    let written = block(&mut Encoder::new(), &fields);
    assert_eq!(written, b"\x82\x86\x84\x01\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff");
}

#[test]
fn the_second_time_a_field_is_put_in_the_table_and_the_third_it_is_one_byte() {
    let mut encoder = Encoder::new();
    assert_eq!(block(&mut encoder, &[FIELD]), [0x00, 1, b'x', 1, b'y']);
    assert_eq!(block(&mut encoder, &[FIELD]), [0x40, 1, b'x', 1, b'y']);
    assert_eq!(block(&mut encoder, &[FIELD, (b"X", b"y")]), [0xbe, 0xbe]);
}

#[test]
fn a_name_that_no_table_has_is_put_there_the_second_time_whatever_the_value() {
    let mut encoder = Encoder::new();
    assert_eq!(block(&mut encoder, &[FIELD]), [0x00, 1, b'x', 1, b'y']);
    assert_eq!(block(&mut encoder, &[(b"x", b"z")]), [0x40, 1, b'x', 1, b'z']);
    assert_eq!(block(&mut encoder, &[(b"x", b"w")]), [0x0f, 47, 1, b'w']);
    // `etag` is in the static table.
    assert_eq!(
        block(&mut encoder, &[(b"etag", b"1"), (b"etag", b"2")]),
        [0x0f, 19, 1, b'1', 0x0f, 19, 1, b'2']
    );
}

#[test]
fn secrets_are_marked_as_such_each_time() {
    let mut encoder = Encoder::new();
    for _ in 0..3 {
        assert_eq!(block(&mut encoder, &[(b"Set-Cookie", b"a")]), [0x1f, 40, 1, b'a']);
    }
}

#[test]
fn names_are_written_in_lower_case_however_long_they_are() {
    let mut out = Vec::new();
    Encoder::new().field(&[b'Z'; 65], b"V", &mut out);
    Encoder::new().field(&[b'Z'; 64], b"V", &mut out);
    // 65 times seven bits are 57 bytes, and 64 times are 56.
    assert_eq!(out[..2], [0x00, 0x80 + 57]);
    // `z` is 1111011, and so is no byte of `Z`.
    assert_eq!(out[2], 0b1111_0111);
    assert_eq!(out[2 + 57 + 2..][..3], [0x00, 0x80 + 56, 0b1111_0111]);
}

#[test]
fn fields_of_more_than_half_the_table_are_left_out_of_it() {
    for (length, first_bytes) in [(2048 - 33, [0x00, 0x40, 0xbe]), (2048 - 32, [0x00, 0x00, 0x00])] {
        let (mut encoder, value) = (Encoder::new(), vec![b'~'; length]);
        assert_eq!(first_bytes.map(|_| block(&mut encoder, &[(b"l", &value)])[0]), first_bytes);
    }
}

#[test]
fn a_change_of_size_is_told_once_at_the_next_block_with_the_smallest_in_between() {
    let updates = |limits: &[usize]| {
        let mut encoder = Encoder::new();
        for limit in limits {
            encoder.limit_table(*limit);
        }
        let told = block(&mut encoder, &[]);
        assert_eq!(block(&mut encoder, &[]), []);
        told
    };
    assert_eq!(updates(&[]), []);
    assert_eq!(updates(&[4096]), [], "as it was");
    assert_eq!(updates(&[65_536]), [], "no more than the own limit is used");
    assert_eq!(updates(&[0]), [0x20]);
    assert_eq!(updates(&[100, 50]), [0x3f, 19]);
    assert_eq!(updates(&[50, 100]), [0x3f, 19, 0x3f, 69]);
    assert_eq!(updates(&[0, 65_536]), [0x20, 0x3f, 0xe1, 0x1f]);
}

#[test]
fn what_a_smaller_table_lost_is_spelled_out_again() {
    let mut encoder = Encoder::new();
    assert_eq!(block(&mut encoder, &[FIELD, FIELD, FIELD])[5 + 5..], [0xbe]);
    encoder.limit_table(0);
    encoder.limit_table(4096);
    assert_eq!(block(&mut encoder, &[FIELD]), [0x20, 0x3f, 0xe1, 0x1f, 0x40, 1, b'x', 1, b'y']);
    assert_eq!(block(&mut encoder, &[FIELD]), [0xbe]);
}
