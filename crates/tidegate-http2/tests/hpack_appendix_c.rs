//! The examples of RFC 7541 Appendix C, one connection each: every block in turn, and what the table then holds.

use std::ops::ControlFlow;

use tidegate_http2::hpack::{Decoder, Malformed};

/// A block, its fields, and the table after it: newest first.
struct Example {
    block: &'static str,
    fields: &'static [(&'static str, &'static str)],
    table: &'static [(&'static str, &'static str)],
}

type Fields = Vec<(String, String)>;

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("examples are text")
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(&text(pair), 16).expect("hexadecimal");
    digits.chunks(2).map(byte).collect()
}

fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Fields, Malformed> {
    let mut fields = Vec::new();
    decoder.decode(block, |name, value| {
        fields.push((text(name), text(value)));
        ControlFlow::Continue(())
    })?;
    Ok(fields)
}

fn owned(fields: &[(&str, &str)]) -> Fields {
    fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn check(table_bytes: usize, examples: &[Example]) {
    let mut decoder = Decoder::new(table_bytes);
    for example in examples {
        assert_eq!(decode(&mut decoder, &bytes(example.block)), Ok(owned(example.fields)));
        for (age, expected) in example.table.iter().enumerate() {
            let indexed = [0x80 | (62 + age) as u8];
            assert_eq!(decode(&mut decoder, &indexed), Ok(owned(&[*expected])));
        }
        let past_the_end = [0x80 | (62 + example.table.len()) as u8];
        assert_eq!(decode(&mut decoder, &past_the_end), Err(Malformed::Index));
    }
}

#[test]
fn c_2_1_a_literal_that_is_put_in_the_table() {
    let field = &[("custom-key", "custom-header")];
    let block = "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572";
    check(4096, &[Example { block, fields: field, table: field }]);
}

#[test]
fn c_2_2_a_literal_that_is_not() {
    let block = "040c 2f73 616d 706c 652f 7061 7468";
    check(4096, &[Example { block, fields: &[(":path", "/sample/path")], table: &[] }]);
}

#[test]
fn c_2_3_a_literal_that_never_is() {
    let block = "1008 7061 7373 776f 7264 0673 6563 7265 74";
    check(4096, &[Example { block, fields: &[("password", "secret")], table: &[] }]);
}

#[test]
fn c_2_4_an_indexed_field() {
    check(4096, &[Example { block: "82", fields: &[(":method", "GET")], table: &[] }]);
}

fn requests(blocks: [&'static str; 3]) -> [Example; 3] {
    let [first, second, third] = blocks;
    [
        Example {
            block: first,
            fields: &[
                (":method", "GET"),
                (":scheme", "http"),
                (":path", "/"),
                (":authority", "www.example.com"),
            ],
            table: &[(":authority", "www.example.com")],
        },
        Example {
            block: second,
            fields: &[
                (":method", "GET"),
                (":scheme", "http"),
                (":path", "/"),
                (":authority", "www.example.com"),
                ("cache-control", "no-cache"),
            ],
            table: &[("cache-control", "no-cache"), (":authority", "www.example.com")],
        },
        Example {
            block: third,
            fields: &[
                (":method", "GET"),
                (":scheme", "https"),
                (":path", "/index.html"),
                (":authority", "www.example.com"),
                ("custom-key", "custom-value"),
            ],
            table: &[
                ("custom-key", "custom-value"),
                ("cache-control", "no-cache"),
                (":authority", "www.example.com"),
            ],
        },
    ]
}

#[test]
fn c_3_requests_in_plain_text() {
    check(
        4096,
        &requests([
            "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            "8286 84be 5808 6e6f 2d63 6163 6865",
            "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
        ]),
    );
}

#[test]
fn c_4_requests_in_huffman_code() {
    check(
        4096,
        &requests([
            "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
            "8286 84be 5886 a8eb 1064 9cbf",
            "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
        ]),
    );
}

fn responses(blocks: [&'static str; 3]) -> [Example; 3] {
    const COOKIE: &str = "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";
    let [first, second, third] = blocks;
    [
        Example {
            block: first,
            fields: &[
                (":status", "302"),
                ("cache-control", "private"),
                ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
                ("location", "https://www.example.com"),
            ],
            table: &[
                ("location", "https://www.example.com"),
                ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
                ("cache-control", "private"),
                (":status", "302"),
            ],
        },
        Example {
            block: second,
            fields: &[
                (":status", "307"),
                ("cache-control", "private"),
                ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
                ("location", "https://www.example.com"),
            ],
            table: &[
                (":status", "307"),
                ("location", "https://www.example.com"),
                ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
                ("cache-control", "private"),
            ],
        },
        Example {
            block: third,
            fields: &[
                (":status", "200"),
                ("cache-control", "private"),
                ("date", "Mon, 21 Oct 2013 20:13:22 GMT"),
                ("location", "https://www.example.com"),
                ("content-encoding", "gzip"),
                ("set-cookie", COOKIE),
            ],
            table: &[
                ("set-cookie", COOKIE),
                ("content-encoding", "gzip"),
                ("date", "Mon, 21 Oct 2013 20:13:22 GMT"),
            ],
        },
    ]
}

#[test]
fn c_5_responses_in_plain_text() {
    check(
        256,
        &responses([
            "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133
             3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            "4803 3330 37c1 c0bf",
            "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a
             6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d
             6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
        ]),
    );
}

#[test]
fn c_6_responses_in_huffman_code() {
    check(
        256,
        &responses([
            "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d
             29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
            "4883 640e ffc1 c0bf",
            "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d
             d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106
             3d50 07",
        ]),
    );
}
