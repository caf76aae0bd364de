//! Bytes from the network as text that is safe in a log: no line breaks, no terminal escapes, no text that runs
//! backwards. Knows two notations, not the fields.

use std::io::Write as _;

/// How what cannot be written plainly is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notation {
    /// Inside a JSON string: `\u001b` for characters, `\\xff` (a backslash, an `x`, two digits) for bytes that are no UTF-8.
    Json,
    /// One word of a line: `\u{1b}`, `\xff`, and spaces too.
    Word,
}

pub(super) fn put_escaped(out: &mut Vec<u8>, bytes: &[u8], notation: Notation) {
    // Nearly always nothing is to be escaped. No early end, so that the compiler looks at many bytes at once.
    if bytes.iter().fold(true, |plain, &byte| plain & is_plain(byte, notation)) {
        out.extend_from_slice(bytes);
    } else {
        put_with_care(out, bytes, notation);
    }
}

/// Printable ASCII without the signs that the notation uses itself.
fn is_plain(byte: u8, notation: Notation) -> bool {
    let first = if notation == Notation::Word { b'!' } else { b' ' };
    (first..=b'~').contains(&byte) && byte != b'"' && byte != b'\\'
}

#[cold]
fn put_with_care(out: &mut Vec<u8>, bytes: &[u8], notation: Notation) {
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            put_char(out, c, notation);
        }
        for &byte in chunk.invalid() {
            put_invalid(out, byte, notation);
        }
    }
}

fn put_char(out: &mut Vec<u8>, c: char, notation: Notation) {
    match (c, notation) {
        ('"' | '\\', _) => out.extend_from_slice(&[b'\\', c as u8]),
        (' ', Notation::Word) => put_code(out, c, notation),
        (c, _) if is_deceptive(c) => put_code(out, c, notation),
        (c, _) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

/// Characters that a terminal or a reader may take for something else than text: controls, line separators, and the ones
/// that change the direction of writing (<https://trojansource.codes>).
fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn put_code(out: &mut Vec<u8>, c: char, notation: Notation) {
    let code = u32::from(c); // all deceptive ones are below 0x10000: one JSON escape is enough
    // Writing to a vector does not fail.
    let _ = match notation {
        Notation::Json => write!(out, "\\u{code:04x}"),
        Notation::Word => write!(out, "\\u{{{code:x}}}"),
    };
}

fn put_invalid(out: &mut Vec<u8>, byte: u8, notation: Notation) {
    let _ = match notation {
        Notation::Json => write!(out, "\\\\x{byte:02x}"),
        Notation::Word => write!(out, "\\x{byte:02x}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn escaped(bytes: &[u8], notation: Notation) -> String {
        let mut out = Vec::new();
        put_escaped(&mut out, bytes, notation);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_could_be_mistaken_is_escaped_and_all_else_kept() {
        for (bytes, json, word, why) in [
            (&b"/a?b=%20"[..], "/a?b=%20", "/a?b=%20", "plain"),
            ("/gr\u{fc}\u{df}e".as_bytes(), "/gr\u{fc}\u{df}e", "/gr\u{fc}\u{df}e", "UTF-8 stays readable"),
            (b"a b", "a b", r"a\u{20}b", "a space would end the word"),
            (b"a\"b\\c", r#"a\"b\\c"#, r#"a\"b\\c"#, "the notation's own signs"),
            (b"a\nb\r\0", r"a\u000ab\u000d\u0000", r"a\u{a}b\u{d}\u{0}", "a forged line"),
            (b"\x1b[31m\x7f", r"\u001b[31m\u007f", r"\u{1b}[31m\u{7f}", "terminal escapes"),
            (b"a\xffb\xc3", r"a\\xffb\\xc3", r"a\xffb\xc3", "no UTF-8"),
            ("\u{9b}31m".as_bytes(), r"\u009b31m", r"\u{9b}31m", "the one-character CSI"),
            ("gpj.\u{202e}exe".as_bytes(), r"gpj.\u202eexe", r"gpj.\u{202e}exe", "text that runs backwards"),
        ] {
            assert_eq!(escaped(bytes, Notation::Json), json, "{why}");
            assert_eq!(escaped(bytes, Notation::Word), word, "{why}");
        }
    }

    proptest! {
        #[test]
        fn utf8_survives_json_unchanged(text in any::<String>()) {
            let json = format!("\"{}\"", escaped(text.as_bytes(), Notation::Json));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }

        #[test]
        fn no_bytes_make_a_control_character_or_a_second_word(bytes in any::<Vec<u8>>()) {
            let word = escaped(&bytes, Notation::Word);
            prop_assert!(!word.chars().any(|c| c.is_control() || c == ' '), "{word}");
        }
    }
}
