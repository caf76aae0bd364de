//! What somebody may have meant who wrote a name that is not there, and names as they can be typed. Knows no names of its own.

use std::borrow::Cow;

/// ` (did you mean …?)`, or nothing where no known name is close.
pub(crate) fn did_you_mean<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> String {
    known
        .map(|known| (known, strsim::jaro_winkler(known, name)))
        .filter(|(_, likeness)| *likeness > 0.8)
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(known, _)| format!(" (did you mean `{known}`?)"))
        .unwrap_or_default()
}

/// An option with its value as a shell takes it (POSIX.1-2024, "Shell Command Language" §2.2): between quotes where
/// something in the value means more to it than itself.
pub(crate) fn option(name: &str, value: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_-./:@%+,=".contains(letter);
    let quoted = if !value.is_empty() && value.chars().all(is_plain) {
        value.to_owned()
    } else {
        format!("'{}'", value.replace('\'', r"'\''"))
    };
    // Else it would be taken for another option.
    let between = if value.starts_with('-') { '=' } else { ' ' };
    format!("{name}{between}{quoted}")
}

/// A name as it may be shown: what a log calls something does not reach a terminal that obeys it.
pub(crate) fn shown(name: &str) -> Cow<'_, str> {
    if name.contains(char::is_control) { name.escape_default().to_string().into() } else { name.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_typed_between_quotes_where_a_shell_would_read_more_into_it() {
        for (value, typed) in [
            ("shop", "--cluster shop"),
            ("10.0.0.1:80", "--cluster 10.0.0.1:80"),
            ("*.example", "--cluster '*.example'"),
            ("/api GET", "--cluster '/api GET'"),
            ("it's", r"--cluster 'it'\''s'"),
            ("$HOME", "--cluster '$HOME'"),
            ("-x", "--cluster=-x"),
            ("- y", "--cluster='- y'"),
        ] {
            assert_eq!(option("--cluster", value), typed);
        }
    }

    #[test]
    fn a_name_that_a_terminal_would_obey_is_shown_and_not_done() {
        assert_eq!((shown("shöp").as_ref(), shown("a\u{1b}[2J").as_ref()), ("shöp", "a\\u{1b}[2J"));
    }
}
