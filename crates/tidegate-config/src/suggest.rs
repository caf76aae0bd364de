//! Did you mean? Guesses for words that nothing knows.
//!
//! It offers at most one guess, and none that is far off.

use crate::keys::{ROOT, ROUTE, Table};

/// What other proxies call it. Only offered where the right word is known.
const ELSEWHERE: [(&str, &str); 33] = [
    ("address", "bind"),
    ("addr", "address"),
    ("backend", "to"),
    ("backend", "cluster"),
    ("backends", "endpoints"),
    ("bind", "listen"),
    ("check", "health"),
    ("frontend", "listener"),
    ("handler", "to"),
    ("healthcheck", "health"),
    ("health_check", "health"),
    ("hosts", "host"),
    ("keepalive", "keep_alive"),
    ("lb_policy", "balance"),
    ("leastconn", "least_request"),
    ("least_conn", "least_request"),
    ("ip_hash", "hash"),
    ("source", "hash"),
    ("location", "route"),
    ("logs", "log"),
    ("max_connections", "connections"),
    ("path_prefix", "path"),
    ("policy", "balance"),
    ("port", "listen"),
    ("proxy_pass", "to"),
    ("roundrobin", "round_robin"),
    ("server", "listener"),
    ("server_name", "host"),
    ("servers", "endpoints"),
    ("static", "answer"),
    ("targets", "endpoints"),
    ("threads", "workers"),
    ("upstream", "cluster"),
];

/// Longer ones are no slip of the finger, and the distance takes memory in proportion.
const WORD_BYTES_MAX: usize = 64;

/// The nearest of the known words, if it is near.
pub(crate) fn did_you_mean<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    if word.len() > WORD_BYTES_MAX {
        return None;
    }
    let lower = word.to_lowercase().replace('-', "_");
    let elsewhere = |known: &&str| ELSEWHERE.iter().any(|(theirs, ours)| *theirs == lower && ours == known);
    let distance = |known: &str| strsim::damerau_levenshtein(&lower, &known.to_lowercase());
    let nearest = known.iter().map(|known| (distance(known), *known)).min_by_key(|(distance, _)| *distance);
    nearest
        .filter(|(distance, known)| *distance <= allowed(&lower, known))
        .map(|(_, known)| known)
        .or_else(|| known.iter().copied().find(elsewhere))
}

/// A third of the longer word, and at least one letter.
fn allowed(word: &str, known: &str) -> usize {
    (word.len().max(known.len()) / 3).max(1)
}

/// What to do about a key that is unknown in `table`.
pub(crate) fn for_key(name: &str, table: &'static Table) -> String {
    let known: Vec<&str> = table.keys.iter().map(|key| key.name).collect();
    if table.name == ROOT.name && ROUTE.key(name).is_some() {
        return format!("`{name}` belongs in a `[[route]]`");
    }
    let inside = table.keys.iter().find(|key| {
        key.takes.table().is_some_and(|inner| inner.name != table.name && inner.key(name).is_some())
    });
    if let Some(key) = inside {
        return format!("`{name}` belongs in `{}`", key.name);
    }
    if table.name != ROOT.name && ROOT.key(name).is_some() {
        return format!("`{name}` is a top-level key: move it above the first `[table]`");
    }
    match did_you_mean(name, &known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!(
            "known here: {}",
            known.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")
        ),
    }
}

/// What to do about a unit that is close to one that exists.
pub(crate) fn for_unit(unit: &str, number: &str) -> Option<String> {
    let near = match unit.to_lowercase().as_str() {
        "sec" | "secs" | "second" | "seconds" => "s",
        "min" | "mins" | "minute" | "minutes" => "m",
        "hour" | "hours" | "hr" => "h",
        "day" | "days" => "d",
        "msec" | "millis" | "milliseconds" => "ms",
        "byte" | "bytes" | "b" => "B",
        "k" | "kb" | "kib" | "ki" => "KiB",
        "m" | "mb" | "mib" | "mi" => "MiB",
        "g" | "gb" | "gib" | "gi" => "GiB",
        _ => return None,
    };
    Some(format!("did you mean \"{number}{near}\"?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_word_is_offered_and_a_far_one_is_not() {
        let known = ["round_robin", "least_request", "random", "hash"];
        let cases = [
            ("round-robin", Some("round_robin")),
            ("RoundRobin", Some("round_robin")),
            ("leastconn", Some("least_request")),
            ("hsah", Some("hash")),
            ("fastest", None),
            ("", None),
        ];
        for (word, expected) in cases {
            assert_eq!(did_you_mean(word, &known), expected, "{word}");
        }
    }
}
