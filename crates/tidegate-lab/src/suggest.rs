//! What somebody may have meant who wrote a name that is not there. Knows no names of its own.

/// ` (did you mean …?)`, or nothing where no known name is close.
pub(crate) fn did_you_mean<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> String {
    known
        .map(|known| (known, strsim::jaro_winkler(known, name)))
        .filter(|(_, likeness)| *likeness > 0.8)
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(known, _)| format!(" (did you mean `{known}`?)"))
        .unwrap_or_default()
}
