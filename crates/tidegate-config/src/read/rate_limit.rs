//! Rate limits: `"100/s"`, or a table.
//!
//! It does not know which routes a limit is for.

use std::time::Duration;

use crate::document::Value;
use crate::problem::Problem;
use crate::read::matcher::is_field_name;
use crate::units::parse_duration;
use crate::walk::{Field, Section, Walk, set};
use crate::{RateKey, RateLimit};

/// The longest time over which requests are counted.
const PER_MAX: Duration = Duration::from_hours(24);

/// The fastest rate, in requests per second: far beyond what is served.
const PER_SECOND_MAX: u128 = 1_000_000;

/// The `rate_limit` of a section; `None` when it says nothing, `Some(None)` for no limit.
pub(super) fn rate_limit(walk: &mut Walk, section: &Section<'_>) -> Option<Option<RateLimit>> {
    let field = section.field("rate_limit")?;
    if field.is_refused() {
        return Some(None);
    }
    match &field.node.value {
        Value::Text { .. } => rate(walk, &field).map(Some),
        Value::Table(_) => {
            let table = field.section(walk)?;
            table_of(walk, &table).map(Some)
        }
        _ => field.refuse(walk),
    }
}

fn table_of(walk: &mut Walk, table: &Section<'_>) -> Option<RateLimit> {
    let requests = table.field("requests").map(|field| rate(walk, &field));
    if requests.is_none() {
        let problem = Problem::error(table.span.clone(), format!("`{}` has no `requests`", table.path));
        walk.report(problem.help("add `requests = \"100/s\"`"));
    }
    let requests = requests.flatten();
    let is_read = requests.is_some();
    let mut limit = requests.unwrap_or_else(|| RateLimit::new(1, PER_MAX)); // so that the rest is looked at
    set(&mut limit.burst, table.integer(walk, "burst"));
    set(&mut limit.key, table.field("key").and_then(|field| key(walk, &field)));
    set(&mut limit.keys, table.integer(walk, "keys"));
    prefixes(walk, table, &mut limit.key);
    if limit.key == RateKey::All
        && let Some(field) = table.field("keys")
    {
        let title = format!("`{}` has no effect: all requests have the same key", field.path);
        walk.report(Problem::error(field.key_span, title).help("leave it out"));
    }
    is_read.then_some(limit)
}

/// `client_address`, `all`, or a header field.
fn key(walk: &mut Walk, field: &Field<'_>) -> Option<RateKey> {
    if field.text().is_some() {
        return Some(if field.word(walk)? == "all" { RateKey::All } else { RateKey::default() });
    }
    let table = field.section(walk).or_else(|| field.refuse(walk))?;
    let Some(header) = table.field("header") else {
        walk.report(Problem::error(table.span.clone(), format!("`{}` has no `header`", table.path)));
        return None;
    };
    match header.text() {
        Some(name) if is_field_name(name) => Some(RateKey::Header(name.to_ascii_lowercase())),
        _ => header.refuse(walk),
    }
}

fn prefixes(walk: &mut Walk, table: &Section<'_>, key: &mut RateKey) {
    for name in ["ipv4_prefix", "ipv6_prefix"] {
        let Some(field) = table.field(name) else { continue };
        let bits = field.integer(walk).and_then(|bits| u8::try_from(bits).ok());
        match key {
            RateKey::ClientAddress { ipv4_prefix, .. } if name == "ipv4_prefix" => set(ipv4_prefix, bits),
            RateKey::ClientAddress { ipv6_prefix, .. } => set(ipv6_prefix, bits),
            RateKey::All | RateKey::Header(_) => {
                let title =
                    format!("`{}` has no effect: clients are not counted by their address", field.path);
                walk.report(Problem::error(field.key_span, title).help("leave it out, or `key`"));
            }
        }
    }
}

/// `100/s`, `10/m`, `1/5s`.
fn rate(walk: &mut Walk, field: &Field<'_>) -> Option<RateLimit> {
    const HELP: &str = "write \"100/s\", \"10/m\" or \"1/5s\"";
    let Some(text) = field.text() else { return field.refuse(walk) };
    let Some((requests, per)) = text.split_once('/') else {
        walk.report(field.is_no("rate", field.node).label("per how long?").help(HELP));
        return None;
    };
    let (requests, per) = (requests.trim(), per.trim());
    let number = requests.parse::<u32>().ok().filter(|_| requests.bytes().all(|byte| byte.is_ascii_digit()));
    let Some(requests) = number.filter(|number| *number > 0) else {
        walk.report(
            field
                .is_no("rate", field.node)
                .label(format!("`{requests}` is no number of requests"))
                .help(HELP),
        );
        return None;
    };
    let unit_alone = per.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    let per = parse_duration(&if unit_alone { format!("1{per}") } else { per.to_owned() });
    let label = match per {
        Err(error) => error.to_string(),
        Ok(per) if per.is_zero() => "no time at all".to_owned(),
        Ok(per) if per > PER_MAX => "a rate is per day at most".to_owned(),
        Ok(per) if u128::from(requests) * 1_000_000_000 > per.as_nanos() * PER_SECOND_MAX => {
            "more than a million requests per second are no limit".to_owned()
        }
        Ok(per) => return Some(RateLimit::new(requests, per)),
    };
    walk.report(field.is_no("rate", field.node).label(label).help(HELP));
    None
}
