//! Walking a document against the tables of keys: sections, fields, typed values, and a problem for each mistake.
//!
//! It reports what does not fit its table and goes on. It does not know what a key means.

use std::collections::HashSet;
use std::str::FromStr;
use std::time::Duration;

use crate::document::{Entry, Node, Value, Written};
use crate::files::{Holds, Named};
use crate::keys::{Key, Kind, Table};
use crate::problem::{Problem, Span};
use crate::suggest::{self, did_you_mean};
use crate::units::{self, DURATION_MAX, UnitError};

/// Unknown keys remembered; with more than these, an echo of one of them does no more harm.
const UNKNOWN_MAX: usize = 32;

/// The problems found so far.
#[derive(Debug)]
pub(crate) struct Walk {
    pub(crate) problems: Vec<Problem>,
    /// Files that have to hold something, to be looked into at the end.
    pub(crate) files: Vec<Named>,
    /// Where errors are already: a second one at the same place is only the echo of the first.
    places: HashSet<Span>,
    /// Keys that nothing knew; what they were meant to be is then not missing.
    unknown: Vec<String>,
}

impl Walk {
    pub(crate) fn new(problems: Vec<Problem>) -> Self {
        let places = problems.iter().map(Problem::span).collect();
        Self { problems, files: Vec::new(), places, unknown: Vec::new() }
    }

    pub(crate) fn report(&mut self, problem: Problem) {
        if !problem.is_error() || self.places.insert(problem.span()) {
            self.problems.push(problem);
        }
    }

    pub(crate) fn error_count(&self) -> usize {
        self.places.len()
    }

    /// Whether an unknown key was probably meant to be one of these.
    pub(crate) fn has_misplaced(&self, keys: &[&str]) -> bool {
        self.unknown.iter().any(|unknown| did_you_mean(unknown, keys).is_some())
    }
}

/// A table of the document, and what may stand in it.
#[derive(Clone, Debug)]
pub(crate) struct Section<'a> {
    pub(crate) table: &'static Table,
    /// `cluster.app`; empty at the top.
    pub(crate) path: String,
    pub(crate) span: Span,
    entries: &'a [Entry],
}

/// A key of a section that is given.
#[derive(Clone, Debug)]
pub(crate) struct Field<'a> {
    pub(crate) key: &'static Key,
    pub(crate) path: String,
    pub(crate) key_span: Span,
    pub(crate) node: &'a Node,
}

impl<'a> Section<'a> {
    /// `None` when `node` is no table, which is then for the caller to report. Unknown keys are reported here.
    pub(crate) fn open(walk: &mut Walk, table: &'static Table, path: &str, node: &'a Node) -> Option<Self> {
        let Value::Table(entries) = &node.value else { return None };
        let section = Self { table, path: path.to_owned(), span: node.span.clone(), entries };
        for entry in entries.iter().filter(|entry| table.key(&entry.key).is_none()) {
            walk.report(section.unknown(entry));
            if walk.unknown.len() < UNKNOWN_MAX {
                walk.unknown.push(entry.key.clone());
            }
        }
        Some(section)
    }

    fn unknown(&self, entry: &Entry) -> Problem {
        let place =
            if self.path.is_empty() { "at the top level".to_owned() } else { format!("in `{}`", self.path) };
        Problem::error(entry.key_span.clone(), format!("unknown key `{}` {place}", entry.key))
            .label("nothing knows this key")
            .help(suggest::for_key(&entry.key, self.table))
    }

    pub(crate) fn field(&self, name: &'static str) -> Option<Field<'a>> {
        let key = self.table.key(name);
        debug_assert!(key.is_some(), "`{name}` is missing in the table {}", self.table.name);
        let entry = self.entries.iter().find(|entry| entry.key == name)?;
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        Some(Field { key: key?, path, key_span: entry.key_span.clone(), node: &entry.node })
    }

    /// The table under this key; anything else is reported.
    pub(crate) fn section(&self, walk: &mut Walk, name: &'static str) -> Option<Section<'a>> {
        let field = self.field(name)?;
        let section = field.section(walk);
        if section.is_none() {
            walk.report(field.wrong());
        }
        section
    }

    /// A value with a unit.
    pub(crate) fn duration(&self, walk: &mut Walk, name: &'static str) -> Option<Duration> {
        self.field(name)?.duration(walk)
    }

    /// A value with a unit, or `Some(None)` for `"off"`.
    pub(crate) fn duration_or_off(&self, walk: &mut Walk, name: &'static str) -> Option<Option<Duration>> {
        let field = self.field(name)?;
        if field.is_off() { Some(None) } else { field.duration(walk).map(Some) }
    }

    pub(crate) fn size(&self, walk: &mut Walk, name: &'static str) -> Option<u64> {
        self.field(name)?.size(walk)
    }

    pub(crate) fn size_or_off(&self, walk: &mut Walk, name: &'static str) -> Option<Option<u64>> {
        let field = self.field(name)?;
        if field.is_off() { Some(None) } else { field.size(walk).map(Some) }
    }

    pub(crate) fn integer(&self, walk: &mut Walk, name: &'static str) -> Option<u32> {
        self.field(name)?.integer(walk)
    }

    pub(crate) fn integer_or_off(&self, walk: &mut Walk, name: &'static str) -> Option<Option<u32>> {
        let field = self.field(name)?;
        if field.is_off() { Some(None) } else { field.integer(walk).map(Some) }
    }

    pub(crate) fn boolean(&self, walk: &mut Walk, name: &'static str) -> Option<bool> {
        let field = self.field(name)?;
        match (&field.node.value, field.node.value.as_untyped()) {
            (Value::Boolean(value), _) => Some(*value),
            (_, Some("true")) => Some(true),
            (_, Some("false")) => Some(false),
            _ => field.refuse(walk),
        }
    }

    pub(crate) fn text(&self, walk: &mut Walk, name: &'static str) -> Option<&'a str> {
        let field = self.field(name)?;
        field.text().or_else(|| field.refuse(walk))
    }
}

impl<'a> Field<'a> {
    pub(crate) fn span(&self) -> Span {
        self.node.span.clone()
    }

    pub(crate) fn text(&self) -> Option<&'a str> {
        self.node.value.as_text()
    }

    pub(crate) fn is_off(&self) -> bool {
        matches!(self.text(), Some("off"))
    }

    /// `"off"` or `false`.
    pub(crate) fn is_refused(&self) -> bool {
        self.is_off() || matches!(self.node.value, Value::Boolean(false))
    }

    /// The table that stands here, if one does.
    pub(crate) fn section(&self, walk: &mut Walk) -> Option<Section<'a>> {
        Section::open(walk, self.key.takes.table()?, &self.path, self.node)
    }

    /// One value, or each of a list.
    pub(crate) fn one_or_many(&self) -> &'a [Node] {
        match &self.node.value {
            Value::List(items) => items,
            _ => std::slice::from_ref(self.node),
        }
    }

    /// Each of a list, which must not be empty.
    pub(crate) fn items(&self, walk: &mut Walk) -> &'a [Node] {
        if let Value::List(items) = &self.node.value {
            return items;
        }
        let tables = matches!(self.key.takes, Kind::List(Kind::Table(_)));
        let problem = self.wrong();
        walk.report(if tables { problem.help(format!("write `[[{}]]`", self.path)) } else { problem });
        &[]
    }

    /// The problem of a value of the wrong type.
    pub(crate) fn wrong(&self) -> Problem {
        self.wrong_at(self.node)
    }

    pub(crate) fn wrong_at(&self, node: &Node) -> Problem {
        let takes = &self.key.takes;
        let takes = if node.value.is_argument() { takes.describe_argument() } else { takes.describe() };
        Problem::error(node.span.clone(), format!("`{}` takes {takes}", self.path))
            .label(format!("found {}", node.value))
    }

    /// Has the files that it names, with those beside it, looked into.
    pub(crate) fn has_to_hold(&self, walk: &mut Walk, holds: Holds) {
        walk.files.push(Named { holds, key: self.path.clone(), span: self.span() });
    }

    /// Reports [`Self::wrong`].
    pub(crate) fn refuse<T>(&self, walk: &mut Walk) -> Option<T> {
        walk.report(self.wrong());
        None
    }

    pub(crate) fn duration(&self, walk: &mut Walk) -> Option<Duration> {
        let example = |number: &str| format!("write \"{number}s\"; the units are ms, s, m, h and d");
        let duration = self.with_unit(walk, units::parse_duration, &example)?;
        if !duration.is_zero() && duration <= DURATION_MAX {
            return Some(duration);
        }
        let off = self.key.takes.words().contains(&"off");
        let help = if off { "for no limit write \"off\"" } else { "it cannot be switched off" };
        let problem = Problem::error(self.span(), format!("`{}` goes from 1ms to 365d", self.path));
        walk.report(problem.label("out of range").help(help));
        None
    }

    pub(crate) fn size(&self, walk: &mut Walk) -> Option<u64> {
        let example = |number: &str| format!("write \"{number}KiB\"; the units are B, KiB, MiB and GiB");
        let size = self.with_unit(walk, units::parse_size, &example)?;
        let (min, max) = self.key.takes.size_range().unwrap_or((0, u64::MAX));
        if (min..=max).contains(&size) {
            return Some(size);
        }
        let range = self.key.takes.describe_range().unwrap_or_default();
        walk.report(
            Problem::error(self.span(), format!("`{}` goes from {range}", self.path)).label("out of range"),
        );
        None
    }

    fn with_unit<T>(
        &self,
        walk: &mut Walk,
        parse: fn(&str) -> Result<T, UnitError>,
        example: &dyn Fn(&str) -> String,
    ) -> Option<T> {
        let text = match &self.node.value {
            Value::Text { text, .. } => text,
            Value::Integer(number) if *number > 0 => {
                walk.report(self.wrong().label("the unit is missing").help(example(&number.to_string())));
                return None;
            }
            _ => return self.refuse(walk),
        };
        let error = match parse(text) {
            Ok(value) => return Some(value),
            Err(_) if text == "off" => {
                walk.report(self.wrong().label("this cannot be switched off"));
                return None;
            }
            Err(error) => error,
        };
        let digits: String = text.trim().chars().take_while(char::is_ascii_digit).collect();
        let is_zero = !digits.is_empty() && digits.bytes().all(|digit| digit == b'0');
        let number = if digits.is_empty() || is_zero { "10" } else { &digits };
        let help = match &error {
            UnitError::UnitMissing if is_zero && self.key.takes.words().contains(&"off") => {
                "for no limit write \"off\"".to_owned()
            }
            UnitError::UnitUnknown(unit) => {
                suggest::for_unit(unit, number).unwrap_or_else(|| example(number))
            }
            UnitError::Fraction => error.to_string(),
            UnitError::Several(in_one) => format!("write \"{in_one}\""),
            _ => example(number),
        };
        let label = if matches!(error, UnitError::NumberMissing | UnitError::Fraction) {
            format!("found {}", self.node.value)
        } else {
            error.to_string()
        };
        walk.report(self.wrong().label(label).help(help));
        None
    }

    pub(crate) fn integer(&self, walk: &mut Walk) -> Option<u32> {
        self.integer_at(walk, self.node)
    }

    pub(crate) fn integer_at(&self, walk: &mut Walk, node: &Node) -> Option<u32> {
        let (min, max) = self.key.takes.integer_range().unwrap_or((0, u32::MAX));
        let number = match &node.value {
            Value::Integer(number) => Some(*number),
            other => other.as_untyped().and_then(|text| text.trim().parse::<i128>().ok()),
        };
        let fits = |number: &u32| (min..=max).contains(number);
        if let Some(number) = number.and_then(|number| u32::try_from(number).ok()).filter(fits) {
            return Some(number);
        }
        let mut problem = self.wrong_at(node);
        if let Value::Text { text, written: Written::Quoted } = &node.value
            && text.trim().parse::<u32>().is_ok_and(|number| fits(&number))
        {
            problem = problem.help(format!("write it without quotes: {}", text.trim()));
        }
        walk.report(problem);
        None
    }

    /// One of the words of this key.
    pub(crate) fn word(&self, walk: &mut Walk) -> Option<&'static str> {
        self.word_at(walk, self.node)
    }

    pub(crate) fn word_at(&self, walk: &mut Walk, node: &Node) -> Option<&'static str> {
        let Some(text) = node.value.as_text() else {
            walk.report(self.wrong_at(node));
            return None;
        };
        let words = words_in(&self.key.takes);
        if let Some(word) = words.iter().find(|word| **word == text) {
            return Some(word);
        }
        let mut problem = self.wrong_at(node);
        if let Some(word) = did_you_mean(text, &words) {
            problem = problem.help(format!("did you mean {word:?}?"));
        }
        walk.report(problem);
        None
    }

    /// The problem of a text that is not what `noun` says, where a list of them may stand.
    pub(crate) fn is_no(&self, noun: &str, node: &Node) -> Problem {
        if node.value.as_text().is_none() {
            return self.wrong_at(node);
        }
        Problem::error(node.span.clone(), format!("`{}`: {} is no {noun}", self.path, node.value))
    }

    /// A text that reads as `T`, whose error says what is wrong with it.
    pub(crate) fn parse_at<T>(&self, walk: &mut Walk, noun: &str, node: &Node) -> Option<T>
    where
        T: FromStr<Err: std::fmt::Display>,
    {
        let Some(text) = node.value.as_text() else {
            walk.report(self.wrong_at(node));
            return None;
        };
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                walk.report(self.is_no(noun, node).label(error.to_string()));
                None
            }
        }
    }

    pub(crate) fn parse<T>(&self, walk: &mut Walk, noun: &str) -> Option<T>
    where
        T: FromStr<Err: std::fmt::Display>,
    {
        self.parse_at(walk, noun, self.node)
    }
}

/// The words of this kind, or of the items of its list.
fn words_in(kind: &Kind) -> Vec<&'static str> {
    match kind {
        Kind::List(items) => items.words(),
        _ => kind.words(),
    }
}

/// Puts `value` in place of a default, when there is one.
pub(crate) fn set<T>(slot: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *slot = value;
    }
}
