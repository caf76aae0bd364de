//! Laws of field compression, for whatever fields and bytes there are; and a second opinion on both ends, the httlib-hpack
//! crate.

use std::ops::ControlFlow;

use proptest::collection::vec;
use proptest::prelude::*;
use tidegate_http2::hpack::{Decoder, Encoder, Malformed};

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Fields, Malformed> {
    let mut fields = Vec::new();
    decoder.decode(block, |name, value| {
        fields.push((name.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    })?;
    Ok(fields)
}

fn encode(encoder: &mut Encoder, fields: &Fields) -> Vec<u8> {
    let mut out = Vec::new();
    encoder.begin(&mut out);
    for (name, value) in fields {
        encoder.field(name, value, &mut out);
    }
    out
}

fn in_lower_case(fields: &Fields) -> Fields {
    fields.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect()
}

const NAMES: [&str; 9] =
    [":status", ":method", "accept-encoding", "Date", "ETag", "content-type", "Set-Cookie", "x", "X-Y"];

const VALUES: [&str; 7] = ["", "200", "GET", "gzip, deflate", "a", "bc", "text/html"];

fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => proptest::sample::select(&NAMES[..]).prop_map(|name| name.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..100),
    ]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => proptest::sample::select(&VALUES[..]).prop_map(|value| value.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..60),
        1 => (any::<u8>(), 0..3000_usize).prop_map(|(byte, length)| vec![byte; length]),
    ]
}

fn fields() -> impl Strategy<Value = Fields> {
    vec((name(), value()), 0..20)
}

/// Limits told since the block before, and the block.
fn blocks() -> impl Strategy<Value = Vec<(Vec<usize>, Fields)>> {
    let limit = prop_oneof![Just(0), 0..300_usize, 0..10_000_usize];
    vec((prop_oneof![3 => Just(Vec::new()), 1 => vec(limit, 1..4)], fields()), 1..20)
}

/// Bytes that are often fields.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let literal =
        (any::<u8>(), vec(any::<u8>(), 0..10), vec(any::<u8>(), 0..10)).prop_map(|(first, name, value)| {
            [&[first & 0x50, name.len() as u8], &name[..], &[value.len() as u8], &value[..]].concat()
        });
    let piece = prop_oneof![vec(any::<u8>(), 0..4), literal, (0x80..=0xc8_u8).prop_map(|index| vec![index])];
    vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn what_was_encoded_is_decoded_whatever_the_limits_do(blocks in blocks()) {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(10_000));
        for (limits, fields) in blocks {
            for limit in limits {
                encoder.limit_table(limit);
            }
            let block = encode(&mut encoder, &fields);
            prop_assert_eq!(decode(&mut decoder, &block), Ok(in_lower_case(&fields)));
        }
    }

    #[test]
    fn the_second_opinion_reads_what_was_encoded(blocks in blocks()) {
        let mut encoder = Encoder::new();
        let mut second = httlib_hpack::Decoder::with_dynamic_size(4096);
        for (limits, fields) in blocks {
            for limit in limits {
                encoder.limit_table(limit);
            }
            let mut block = encode(&mut encoder, &fields);
            let mut read = Vec::new();
            second.decode(&mut block, &mut read).expect("a block");
            let read: Fields = read.into_iter().map(|(name, value, _)| (name, value)).collect();
            prop_assert_eq!(read, in_lower_case(&fields));
        }
    }

    #[test]
    fn what_the_second_opinion_encoded_is_decoded(blocks in vec((fields(), vec(0..32_u8, 20)), 1..20)) {
        let mut second = httlib_hpack::Encoder::with_dynamic_size(4096);
        let mut decoder = Decoder::new(4096);
        for (fields, flags) in blocks {
            let mut block = Vec::new();
            for ((name, value), flags) in fields.iter().zip(flags) {
                // That crate refuses nothing that is written here, but does not know that secrets are not to be put in.
                let flags = if flags & 0x8 != 0 { flags & !0x4 } else { flags };
                second.encode((name.clone(), value.clone(), flags), &mut block).expect("fields");
            }
            prop_assert_eq!(decode(&mut decoder, &block), Ok(fields));
        }
    }

    #[test]
    fn bytes_are_fields_or_an_error_and_the_same_twice(blocks in vec(noise(), 1..10)) {
        let (mut one, mut other) = (Decoder::new(200), Decoder::new(200));
        for block in blocks {
            let read = decode(&mut one, &block);
            prop_assert_eq!(&read, &decode(&mut other, &block));
            if let Ok(fields) = read {
                // An entry is 168 bytes at most, and takes a byte.
                let bytes: usize = fields.iter().map(|(name, value)| name.len() + value.len()).sum();
                prop_assert!(bytes <= 168 * block.len());
            }
        }
    }

    #[test]
    fn a_block_that_is_cut_off_is_an_error_or_fewer_fields(fields in fields()) {
        let block = encode(&mut Encoder::new(), &fields);
        let whole = in_lower_case(&fields);
        for end in 0..block.len() {
            match decode(&mut Decoder::new(4096), &block[..end]) {
                Ok(read) => prop_assert!(read.len() < whole.len() && whole.starts_with(&read)),
                Err(error) => prop_assert_eq!(error, Malformed::Truncated),
            }
        }
    }
}

#[test]
fn the_code_of_each_byte_is_that_of_the_second_opinion() {
    for byte in 0..=u8::MAX {
        for value in [vec![byte; 8], vec![b'0', byte, b'0', byte, b'0', b'0', b'0', b'0', b'0']] {
            let mut coded = Vec::new();
            httlib_hpack::Encoder::default()
                .encode((b"x".to_vec(), value.clone(), 0x2), &mut coded)
                .expect("a field");
            let read = decode(&mut Decoder::new(4096), &coded);
            assert_eq!(read, Ok(vec![(b"x".to_vec(), value)]));
        }
    }
}
