//! What somebody may have meant who wrote a name that is not there, and names as they can be typed. Knows no names of its own.

use std::borrow::Cow;

/// ` (did you mean …?)`, or nothing where no known name is close.
pub(crate) fn did_you_mean<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> String {
    let plain = |name: &str| name.to_ascii_lowercase().replace('-', "_");
    let meant = plain(name);
    let likeness = |known: &str| {
        let known = plain(known);
        let is_part = meant.len() >= PART_LETTERS_MIN && known.contains(&meant);
        strsim::jaro_winkler(&known, &meant).max(if is_part { LIKE_ENOUGH } else { 0.0 })
    };
    known
        .map(|known| (known, likeness(known)))
        .filter(|(_, likeness)| *likeness >= LIKE_ENOUGH)
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(known, _)| format!(" (did you mean `{known}`?)"))
        .unwrap_or_default()
}

/// Below this, names that have nothing to do with each other begin to be offered.
const LIKE_ENOUGH: f64 = 0.8;
/// `hash` means `consistent_hash`; less is in too many names.
const PART_LETTERS_MIN: usize = 4;

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
    fn a_name_is_offered_that_is_like_the_one_that_was_typed_or_has_it_in_it() {
        let known = ["adaptive", "consistent_hash", "least_request", "G2-shared"];
        for (typed, meant) in [
            ("ADAPTIVE", " (did you mean `adaptive`?)"),
            ("least-requests", " (did you mean `least_request`?)"),
            ("hash", " (did you mean `consistent_hash`?)"),
            ("g2_shared", " (did you mean `G2-shared`?)"),
            ("xyz", ""),
            ("", ""),
        ] {
            assert_eq!(did_you_mean(typed, known.into_iter()), meant, "{typed}");
        }
    }

    #[test]
    fn a_name_that_a_terminal_would_obey_is_shown_and_not_done() {
        assert_eq!((shown("shöp").as_ref(), shown("a\u{1b}[2J").as_ref()), ("shöp", "a\\u{1b}[2J"));
    }
}
