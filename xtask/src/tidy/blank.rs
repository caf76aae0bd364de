//! Rust source with comments and literals blanked, so that a rule sees code only. Knows tokens, not grammar.

/// The same text, line for line, with spaces where comments, strings and characters were.
pub(super) fn code_only(source: &str) -> String {
    let mut rest = source;
    let mut code = String::with_capacity(source.len());
    while let Some(next) = rest.chars().next() {
        let continues_a_name = code.ends_with(|last: char| last.is_alphanumeric() || last == '_');
        let hidden = if continues_a_name { 0 } else { hidden_bytes(rest) }.max(string_bytes(rest));
        let (taken, remainder) = rest.split_at(if hidden > 0 { hidden } else { next.len_utf8() });
        if hidden > 0 {
            code.extend(taken.chars().map(blank));
        } else {
            code.push_str(taken);
        }
        rest = remainder;
    }
    code
}

fn blank(character: char) -> char {
    if character == '\n' { '\n' } else { ' ' }
}

/// How many bytes at the start of `text` are a comment, a raw string or a character; 0 when it starts with code.
fn hidden_bytes(text: &str) -> usize {
    comment_bytes(text).max(raw_string_bytes(text)).max(character_bytes(text))
}

fn comment_bytes(text: &str) -> usize {
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return text.find("*/").map_or(text.len(), |end| end + 2);
    }
    0
}

fn raw_string_bytes(text: &str) -> usize {
    let body = text.trim_start_matches(['b', 'c']);
    let Some(after) = body.strip_prefix('r') else { return 0 };
    let hashes = after.len() - after.trim_start_matches('#').len();
    if text.len() - body.len() > 1 || !after[hashes..].starts_with('"') {
        return 0;
    }
    let opening = text.len() - after.len() + hashes + 1;
    let closing = format!("\"{}", "#".repeat(hashes));
    text[opening..].find(&closing).map_or(text.len(), |end| opening + end + closing.len())
}

fn string_bytes(text: &str) -> usize {
    if text.starts_with('"') { quoted_bytes(text, '"') } else { 0 }
}

/// A character literal, not a lifetime: `'a'` and `'\n'` close, `'a` does not.
fn character_bytes(text: &str) -> usize {
    let Some(inside) = text.strip_prefix('\'') else { return 0 };
    let mut characters = inside.chars();
    match (characters.next(), characters.next()) {
        (Some('\\'), _) => quoted_bytes(text, '\''),
        (Some(one), Some('\'')) => 2 + one.len_utf8(),
        _ => 0,
    }
}

fn quoted_bytes(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if character == '\\' {
            escaped = true;
        } else if character == quote {
            return at + 1;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blank_and_lines_stay() {
        for (source, expected, why) in [
            ("a // b\nc", "a     \nc", "a line comment ends with its line"),
            ("a /* b\n */ c", "a     \n    c", "a block comment keeps its line breaks"),
            (r#"a "b \" c" d"#, "a          d", "an escaped quote does not close"),
            ("a r#\"b \" c\"# d", "a            d", "a raw string closes with its hashes"),
            ("f('\"') + g", "f(   ) + g", "a quote as a character opens no string"),
            ("f('\\'') + g", "f(    ) + g", "an escaped character"),
            ("<'a> b", "<'a> b", "a lifetime is code"),
            ("br\"x\" b", "      b", "a raw byte string"),
            ("for x", "for x", "a name that ends in r opens nothing"),
        ] {
            assert_eq!(code_only(source), expected, "{why}");
        }
    }
}
