//! What a text gives twice, and where it gave it first. Knows TOML, and no key by name.

use toml::de::{DeTable, DeValue, Error};

use crate::problem::{Problem, Span};

pub(crate) fn is_duplicate(error: &Error) -> bool {
    error.message().starts_with("duplicate key")
}

/// A problem for each key that was given before.
pub(crate) fn duplicates(text: &str, errors: &[Error], table: &DeTable<'_>) -> Vec<Problem> {
    let problem = |(again, first): (Span, Option<Span>)| {
        let key = key_at(text, &again);
        let problem = Problem::error(again, format!("`{key}` is given twice"))
            .label("given a second time here")
            .help("keep one of them");
        match first {
            Some(first) => problem.context(first, "first given here"),
            None => problem,
        }
    };
    places(text, errors, table).into_iter().map(problem).collect()
}

/// Where each key is given again, and where it was given first.
fn places(text: &str, errors: &[Error], table: &DeTable<'_>) -> Vec<(Span, Option<Span>)> {
    let again: Vec<Span> =
        errors.iter().filter(|error| is_duplicate(error)).filter_map(Error::span).collect();
    let headers: Vec<usize> = again.iter().filter_map(|span| header_at(text, span)).collect();
    let without = without(text, &headers);
    let firsts = DeTable::parse_recoverable(&without).0;
    let place = |again: Span| {
        let header = header_at(text, &again).and_then(|at| text.get(at..));
        let first = header.and_then(|header| first_header(header, firsts.get_ref()));
        let first = first.or_else(|| nearest_before(table, key_at(text, &again), again.start));
        (again, first)
    };
    again.into_iter().map(place).collect()
}

fn key_at<'a>(text: &'a str, span: &Span) -> &'a str {
    text.get(span.clone()).unwrap_or_default().trim_matches(['"', '\''])
}

/// Where the line begins that has this key, if that is one of `[tables]`.
fn header_at(text: &str, key: &Span) -> Option<usize> {
    let line = text.get(..key.start)?.rfind('\n').map_or(0, |end| end + 1);
    let before = text.get(line..key.start)?;
    before.trim_start().starts_with('[').then(|| line + before.len() - before.trim_start().len())
}

/// The same text without these headers, all else where it was: of a table that is given again the parser forgets where it
/// was given first.
fn without(text: &str, headers: &[usize]) -> String {
    let mut headers = headers.iter().peekable();
    let keep = |(at, letter): (usize, char)| {
        if headers.next_if(|header| **header == at).is_some() { '#' } else { letter }
    };
    text.char_indices().map(keep).collect()
}

/// Where `table` has what the header at the front of `text` names.
fn first_header(text: &str, table: &DeTable<'_>) -> Option<Span> {
    let (header, errors) = DeTable::parse_recoverable(text.lines().next()?);
    if !errors.is_empty() {
        return None;
    }
    let (mut wanted, mut there) = (header.get_ref(), table);
    loop {
        let (name, below) = wanted.iter().next()?;
        let (found, value) = there.iter().find(|(key, _)| key.get_ref() == name.get_ref())?;
        wanted = last_table(below.get_ref())?;
        if wanted.is_empty() {
            return Some(found.span());
        }
        there = last_table(value.get_ref())?;
    }
}

/// What headers below this value go on in.
fn last_table<'a, 'i>(value: &'a DeValue<'i>) -> Option<&'a DeTable<'i>> {
    match value {
        DeValue::Array(items) => last_table(items.last()?.get_ref()),
        DeValue::Table(table) => Some(table),
        _ => None,
    }
}

/// The last place before `end` where this key stands. Two of one key stand in one table, so that is the first.
fn nearest_before(table: &DeTable<'_>, key: &str, end: usize) -> Option<Span> {
    let here = table.iter().filter(|(name, _)| name.get_ref() == key).map(|(name, _)| name.span());
    let below = table.iter().filter_map(|(_, value)| nearest_in(value.get_ref(), key, end));
    here.chain(below).filter(|span| span.start < end).max_by_key(|span| span.start)
}

fn nearest_in(value: &DeValue<'_>, key: &str, end: usize) -> Option<Span> {
    match value {
        DeValue::Array(items) => {
            items.iter().filter_map(|item| nearest_in(item.get_ref(), key, end)).max_by_key(|span| span.start)
        }
        DeValue::Table(table) => nearest_before(table, key, end),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines, from 1, on which a key is given again and first.
    type Lines = (usize, usize);

    fn lines_of(text: &str) -> Vec<Lines> {
        let (table, errors) = DeTable::parse_recoverable(text);
        let line = |span: Span| text[..span.start].matches('\n').count() + 1;
        let places = places(text, &errors, table.get_ref());
        places.into_iter().map(|(again, first)| (line(again), line(first.expect("a first place")))).collect()
    }

    #[test]
    fn a_table_that_is_given_again_was_given_first_where_its_own_name_stands() {
        let cases: [(&str, &[Lines], &str); 8] = [
            ("a = 1\nb = 2\na = 3\n", &[(3, 1)], "no table"),
            ("[a]\nx = 1\n[b]\na = 1\n[a]\ny = 2\n", &[(5, 1)], "a key of the same name elsewhere"),
            ("[a]\n[a]\n[a]\n", &[(2, 1), (3, 1)], "three times"),
            ("[a]\n[b]\n[a]\n[b]\n", &[(3, 1), (4, 2)], "two of them"),
            ("a.x = 1\n[a]\n", &[(2, 1)], "dotted before"),
            ("a = { x = 1 }\n[ 'a' ] # again\n", &[(2, 1)], "in one line before"),
            ("[[r]]\n[r.t]\n[[r]]\n[r.t]\n[r.t]\n", &[(5, 4)], "in the last of a list"),
            ("é = 1\n[a]\n[[a]]\n", &[(3, 2)], "a list after a table"),
        ];
        for (text, expected, why) in cases {
            assert_eq!(lines_of(text), expected, "{why}");
        }
    }
}
