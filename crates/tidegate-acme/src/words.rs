//! What others say, for people: as much of it as is worth telling. Knows nobody who says it.

/// As long as a paragraph: what is longer is a page, or an attack on whoever reads.
const WORDS_BYTES_MAX: usize = 1024;

/// The beginning, where it goes on.
pub(crate) fn cut(mut said: String) -> String {
    if said.len() > WORDS_BYTES_MAX {
        said.truncate(said.floor_char_boundary(WORDS_BYTES_MAX));
        said.shrink_to_fit();
        said.push('…');
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_cut_between_two_letters() {
        for (said, expected) in [
            ("no".to_owned(), "no".to_owned()),
            ("x".repeat(1024), "x".repeat(1024)),
            ("x".repeat(1025), "x".repeat(1024) + "…"),
            ("é".repeat(60_000), "é".repeat(512) + "…"),
            ("日".repeat(60_000), "日".repeat(341) + "…"),
        ] {
            assert_eq!(cut(said), expected);
        }
    }
}
