//! What a decoder has to refuse, and what it has to bear (RFC 7541).

use std::ops::ControlFlow;

use tidegate_http2::hpack::{Decoder, Malformed};

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Fields, Malformed> {
    let mut fields = Vec::new();
    decoder.decode(block, |name, value| {
        fields.push((name.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    })?;
    Ok(fields)
}

fn field(name: &[u8], value: &[u8]) -> (Vec<u8>, Vec<u8>) {
    (name.to_vec(), value.to_vec())
}

/// `x: ` and so many bytes, to be put in the table.
fn entry(length: u8) -> Vec<u8> {
    assert!(length < 0x7f);
    [&[0x40, 1, b'x', length][..], &vec![b'v'; usize::from(length)]].concat()
}

#[test]
fn what_is_wrong_with_a_block_has_a_name() {
    for (block, expected, why) in [
        (&[0x80][..], Malformed::Index, "§6.1: the index 0"),
        (&[0xbe], Malformed::Index, "one past the static table, and nothing in the other"),
        (&[0xff, 0xff, 0xff, 0xff, 0xff, 0x0f], Malformed::Integer, "an index past 2^32"),
        (&[0xff, 0x80, 0x80, 0x80, 0x80, 0x08], Malformed::Index, "2^31 and more is one like others"),
        (&[0x7e, 1, b'v'], Malformed::Index, "a name past the tables, put in"),
        (&[0x0f, 0x2f, 1, b'v'], Malformed::Index, "a name past the tables, left out"),
        (&[0x1f, 0x2f, 1, b'v'], Malformed::Index, "a name past the tables, kept out"),
        (&[0xff], Malformed::Truncated, "half an index"),
        (&[0x40], Malformed::Truncated, "no name"),
        (&[0x40, 2, b'n'], Malformed::Truncated, "half a name"),
        (&[0x40, 1, b'n'], Malformed::Truncated, "no value"),
        (&[0x44, 0x7f, 0xff, 0xff, 0xff, 0x7f], Malformed::Truncated, "a value of 256 MiB that is not there"),
        (&[0x44, 0x7f, 0xff, 0xff, 0xff, 0xff, 0x7f], Malformed::Integer, "a length of 35 bits"),
        (&[0x44, 0x81, 0xff], Malformed::Huffman, "§5.2: padding of eight bits"),
        (&[0x40, 0x81, 0x00, 1, b'v'], Malformed::Huffman, "§5.2: padding of zeros, in a name"),
        (&[0x44, 0x84, 0xff, 0xff, 0xff, 0xff], Malformed::Huffman, "§5.2: the end of string"),
        (&[0x3f, 0xe2, 0x1f], Malformed::TableSize, "§6.3: 4097 of 4096"),
        (&[0x82, 0x20], Malformed::TableSize, "§4.2: after a field"),
        (&[0x20, 0x20, 0x20], Malformed::TableSize, "§4.2: three at once"),
    ] {
        assert_eq!(decode(&mut Decoder::new(4096), block), Err(expected), "{why}");
    }
}

#[test]
fn two_size_updates_leave_what_the_smaller_one_leaves() {
    let mut decoder = Decoder::new(4096);
    assert!(decode(&mut decoder, &[entry(10), entry(20)].concat()).is_ok());
    // 60 and 4096: 53 bytes of the newer one stay.
    let fields = decode(&mut decoder, &[0x3f, 29, 0x3f, 0xe1, 0x1f, 0xbe]);
    assert_eq!(fields, Ok(vec![field(b"x", &[b'v'; 20])]));
    assert_eq!(decode(&mut decoder, &[0xbf]), Err(Malformed::Index));
}

#[test]
fn a_table_larger_than_the_default_begins_when_the_other_side_says_so() {
    let fill: Vec<u8> = (0..100).flat_map(|_| entry(31)).collect();
    let mut decoder = Decoder::new(65_536);
    assert!(decode(&mut decoder, &fill).is_ok());
    assert!(decode(&mut decoder, &[0x80 | (61 + 64)]).is_ok(), "64 entries of 64 bytes");
    assert_eq!(decode(&mut decoder, &[0x80 | (61 + 65)]), Err(Malformed::Index));
    // 65 536
    assert!(decode(&mut decoder, &[&[0x3f, 0xe1, 0xff, 0x03], &fill[..]].concat()).is_ok());
    assert!(decode(&mut decoder, &[0x80 | (61 + 65)]).is_ok());
}

#[test]
fn a_field_larger_than_the_table_empties_it_and_is_no_error() {
    let mut decoder = Decoder::new(100);
    assert!(decode(&mut decoder, &entry(20)).is_ok());
    assert_eq!(decode(&mut decoder, &entry(68)), Ok(vec![field(b"x", &[b'v'; 68])]));
    assert_eq!(decode(&mut decoder, &[0xbe]), Err(Malformed::Index));
}

#[test]
fn a_name_may_be_that_of_the_entry_which_falls_out() {
    let mut decoder = Decoder::new(100);
    assert!(decode(&mut decoder, &entry(60)).is_ok());
    let again = [&[0x7e, 50][..], &[b'w'; 50]].concat();
    assert_eq!(decode(&mut decoder, &again), Ok(vec![field(b"x", &[b'w'; 50])]));
    assert_eq!(decode(&mut decoder, &[0xbe]), Ok(vec![field(b"x", &[b'w'; 50])]));
}

#[test]
fn after_enough_nothing_is_handed_out_but_the_table_is_kept() {
    let mut decoder = Decoder::new(4096);
    let mut taken = 0;
    let result = decoder.decode(&[&[0x82, 0x84, 0x87][..], &entry(3), &[0xbe; 1000]].concat(), |_, _| {
        taken += 1;
        if taken == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!((result, taken), (Ok(()), 2));
    assert_eq!(decode(&mut decoder, &[0xbe]), Ok(vec![field(b"x", b"vvv")]));
}

#[test]
fn after_enough_errors_are_still_errors() {
    let result = Decoder::new(4096).decode(&[0x82, 0xbe], |_, _| ControlFlow::Break(()));
    assert_eq!(result, Err(Malformed::Index));
}

#[test]
fn an_empty_block_has_no_fields() {
    assert_eq!(decode(&mut Decoder::new(4096), &[]), Ok(Vec::new()));
    assert_eq!(decode(&mut Decoder::new(4096), &[0x20]), Ok(Vec::new()));
}
