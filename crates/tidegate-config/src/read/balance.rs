//! How endpoints share the load: an algorithm by name, or a table with its parameters.
//!
//! It knows which parameter belongs to which algorithm, and nothing of endpoints.

use crate::problem::Problem;
use crate::read::is_table;
use crate::read::matcher::is_field_name;
use crate::walk::{Field, Section, Walk, set};
use crate::{Balance, Bound, BoundBy, HashKey, Hashing};

/// Each parameter, and the algorithms that know it.
const PARAMETERS: [(&str, &[&str]); 7] = [
    ("bound_by", HASHING),
    ("bound_percent", HASHING),
    ("choices", &["random"]),
    ("in_flight_max", &["first"]),
    ("key", HASHING),
    ("peers", &["adaptive"]),
    ("zone_cost_percent", &["adaptive"]),
];
const HASHING: &[&str] = &["rendezvous", "maglev", "hash"];

/// The `balance` of a section; `None` when it says nothing.
pub(super) fn balance(walk: &mut Walk, section: &Section<'_>) -> Option<Balance> {
    let field = section.field("balance")?;
    if !is_table(field.node) {
        if field.text() == Some("first") {
            walk.report(first_needs_a_limit(&field));
            return Some(plain("first"));
        }
        return field.word(walk).map(plain);
    }
    let table = field.section(walk)?;
    let word = match table.field("algorithm") {
        Some(field) => field.word(walk)?,
        None => Balance::default().word(),
    };
    refuse_parameters_of_others(walk, &table, word);
    let mut balance = plain(word);
    match &mut balance {
        Balance::Adaptive { peers, zone_cost_percent } => {
            set(peers, table.integer(walk, "peers"));
            set(zone_cost_percent, table.integer(walk, "zone_cost_percent"));
        }
        Balance::First { in_flight_max } => match table.field("in_flight_max") {
            Some(limit) => set(in_flight_max, limit.integer(walk)),
            None => walk.report(first_needs_a_limit(&field)),
        },
        Balance::Maglev(hashing) | Balance::Rendezvous(hashing) => read_hashing(walk, &table, hashing),
        Balance::Random { choices } => set(choices, table.integer(walk, "choices")),
        Balance::LeastRequest
        | Balance::PeakEwma
        | Balance::Prequal
        | Balance::ReportedLoad
        | Balance::RoundRobin => {}
    }
    Some(balance)
}

/// With the defaults of its parameters. `hash` is the plain word for the hashing that is right for most.
fn plain(word: &str) -> Balance {
    match word {
        "first" => Balance::First { in_flight_max: 1 },
        "hash" | "rendezvous" => Balance::Rendezvous(Hashing::default()),
        "least_request" => Balance::LeastRequest,
        "maglev" => Balance::Maglev(Hashing::default()),
        "peak_ewma" => Balance::PeakEwma,
        "prequal" => Balance::Prequal,
        "random" => Balance::Random { choices: 2 },
        "reported_load" => Balance::ReportedLoad,
        "round_robin" => Balance::RoundRobin,
        _ => Balance::default(),
    }
}

/// No number fits everybody.
fn first_needs_a_limit(field: &Field<'_>) -> Problem {
    let title = "`first` needs to know how many requests fill an endpoint";
    let table = "`balance = { algorithm = \"first\", in_flight_max = 50 }`, with a number that suits it";
    let help = if field.node.value.is_argument() {
        format!("only a file says so: {table}, and tidegate run -c FILE")
    } else {
        format!("write {table}")
    };
    Problem::error(field.span(), title).help(help)
}

fn refuse_parameters_of_others(walk: &mut Walk, table: &Section<'_>, algorithm: &str) {
    for (name, owners) in PARAMETERS {
        let Some(field) = table.field(name).filter(|_| !owners.contains(&algorithm)) else { continue };
        let title = format!("`{}` has no effect with the algorithm {algorithm:?}", field.path);
        let owners: Vec<_> = owners.iter().map(|owner| format!("{owner:?}")).collect();
        let help = format!("leave it out, or set `algorithm = {}`", owners.join("` or `"));
        walk.report(Problem::error(field.key_span.clone(), title).help(help));
    }
}

fn read_hashing(walk: &mut Walk, table: &Section<'_>, hashing: &mut Hashing) {
    if let Some(field) = table.field("key") {
        set(&mut hashing.key, hash_key(walk, &field));
    }
    hashing.bound = bound(walk, table);
}

/// `bound_percent` and `bound_by` of a table.
pub(super) fn bound(walk: &mut Walk, table: &Section<'_>) -> Option<Bound> {
    let percent = table.integer_or_off(walk, "bound_percent").flatten();
    let by = table.field("bound_by");
    if let (Some(by), None) = (&by, percent) {
        let title = format!("`{}` has no effect without a bound", by.path);
        walk.report(Problem::error(by.key_span.clone(), title).help("add `bound_percent = 125`"));
    }
    let by = match by.and_then(|field| field.word(walk)) {
        Some("requests") => BoundBy::Requests,
        _ => BoundBy::DrainTime,
    };
    percent.map(|percent| Bound { percent, by })
}

fn hash_key(walk: &mut Walk, field: &Field<'_>) -> Option<HashKey> {
    if !is_table(field.node) {
        return match field.word(walk)? {
            "path" => Some(HashKey::Path),
            _ => Some(HashKey::ClientAddress),
        };
    }
    let section = field.section(walk)?;
    match (section.field("header"), section.field("cookie")) {
        (Some(header), None) => token(walk, &header).map(|name| HashKey::Header(name.to_ascii_lowercase())),
        (None, Some(cookie)) => token(walk, &cookie).map(|name| HashKey::Cookie(name.to_owned())),
        _ => {
            let title = format!("`{}` takes exactly one of `header` and `cookie`", field.path);
            walk.report(Problem::error(section.span.clone(), title));
            None
        }
    }
}

/// The name of a field (RFC 9110 §5.6.2), which names of cookies are like (RFC 6265 §4.1.1).
pub(super) fn token<'a>(walk: &mut Walk, field: &Field<'a>) -> Option<&'a str> {
    let Some(text) = field.text() else { return field.refuse(walk) };
    if is_field_name(text) { Some(text) } else { field.refuse(walk) }
}
