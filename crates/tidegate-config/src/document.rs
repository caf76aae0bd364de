//! A document as a tree of values that know their place, in the order of the text.
//!
//! The seam between a syntax and the schema: TOML and the command line both become this tree. It does not know
//! any key.

use std::fmt;

use toml::de::{DeTable, DeValue};

use crate::duplicates::{duplicates, is_duplicate};
use crate::expand::{Environment, expand};
use crate::problem::{Problem, Span};

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) value: Value,
}

/// What stands there.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Boolean(bool),
    Date,
    Float(String),
    /// Saturated at the ends.
    Integer(i128),
    List(Vec<Node>),
    Table(Vec<Entry>),
    Text {
        text: String,
        written: Written,
    },
}

/// Where a text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// Behind a flag, where only text can be: it may stand for a number, but nothing there can be a table or a list.
    Argument,
    /// Between quotes: it is text and nothing else.
    Quoted,
    /// In a variable, where only text can be: it may stand for a number.
    Variable,
}

/// A key, its place and its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Span,
    pub(crate) node: Node,
}

/// Reads TOML. Every problem found goes to `problems`; `None` when what is left is not worth checking further.
pub(crate) fn read_toml(text: &str, env: Environment<'_>, problems: &mut Vec<Problem>) -> Option<Node> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let only_duplicates = errors.iter().all(is_duplicate);
    let others = errors.iter().filter(|error| !is_duplicate(error));
    problems.extend(others.map(|error| not_toml(error.message(), error.span().unwrap_or_default())));
    if errors.iter().any(is_duplicate) {
        problems.extend(duplicates(text, &errors, table.get_ref()));
    }
    if !only_duplicates {
        return None;
    }
    let span = table.span();
    let value = table_value(table.into_inner(), env, problems);
    Some(Node { span, value })
}

fn not_toml(message: &str, span: Span) -> Problem {
    let first = message.lines().next().unwrap_or_default();
    let (found, expected) = first.split_once(", expected ").unwrap_or((first, ""));
    let problem = Problem::error(span, format!("this is not TOML: {found}"));
    if found.contains("must be quoted") {
        return problem.label("a text without quotes").help("put it in quotes: \"...\"");
    }
    if expected.is_empty() { problem } else { problem.label(format!("expected {expected}")) }
}

fn table_value(table: DeTable<'_>, env: Environment<'_>, problems: &mut Vec<Problem>) -> Value {
    let mut entries: Vec<Entry> = table
        .into_iter()
        .map(|(key, value)| Entry {
            key_span: key.span(),
            key: key.into_inner().into_owned(),
            node: Node {
                span: value.span(),
                value: plain_value(value.span(), value.into_inner(), env, problems),
            },
        })
        .collect();
    entries.sort_by_key(|entry| entry.key_span.start);
    Value::Table(entries)
}

fn plain_value(span: Span, value: DeValue<'_>, env: Environment<'_>, problems: &mut Vec<Problem>) -> Value {
    match value {
        DeValue::Array(items) => Value::List(
            items
                .into_iter()
                .map(|item| Node {
                    span: item.span(),
                    value: plain_value(item.span(), item.into_inner(), env, problems),
                })
                .collect(),
        ),
        DeValue::Boolean(value) => Value::Boolean(value),
        DeValue::Datetime(_) => Value::Date,
        DeValue::Float(value) => Value::Float(value.to_string()),
        DeValue::Integer(value) => Value::Integer(saturated(value.as_str(), value.radix())),
        DeValue::String(text) => text_value(span, text.into_owned(), env, problems),
        DeValue::Table(table) => table_value(table, env, problems),
    }
}

fn saturated(digits: &str, radix: u32) -> i128 {
    let limit = if digits.starts_with('-') { i128::MIN } else { i128::MAX };
    i128::from_str_radix(digits, radix).unwrap_or(limit)
}

fn text_value(span: Span, text: String, env: Environment<'_>, problems: &mut Vec<Problem>) -> Value {
    match expand(&text, env) {
        Ok(None) => Value::Text { text, written: Written::Quoted },
        Ok(Some(text)) => Value::Text { text, written: Written::Variable },
        Err(error) => {
            problems.push(Problem::error(span, error.to_string()).help(error.help()));
            Value::Text { text, written: Written::Variable }
        }
    }
}

impl Value {
    pub(crate) fn as_text(&self) -> Option<&str> {
        if let Self::Text { text, .. } = self { Some(text) } else { None }
    }

    /// A text that may stand for something else.
    pub(crate) fn as_untyped(&self) -> Option<&str> {
        match self {
            Self::Text { text, written: Written::Argument | Written::Variable } => Some(text),
            _ => None,
        }
    }

    pub(crate) fn is_argument(&self) -> bool {
        matches!(self, Self::Text { written: Written::Argument, .. })
    }
}

/// What was found, for people.
impl fmt::Display for Value {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => write!(out, "`{value}`"),
            Self::Date => write!(out, "a date"),
            Self::Float(value) => write!(out, "the number {value}"),
            Self::Integer(value) => write!(out, "the number {value}"),
            Self::List(items) if items.is_empty() => write!(out, "an empty list"),
            Self::List(_) => write!(out, "a list"),
            Self::Table(_) => write!(out, "a table"),
            Self::Text { text, .. } if text.is_empty() => write!(out, "an empty text"),
            Self::Text { text, .. } => write!(out, "{text:?}"),
        }
    }
}
