//! The command line as a document: each flag is a key, and its place is where it stands among the arguments.
//!
//! It does not parse arguments; the program does, and hands over which flag sets which key.

use crate::document::{Entry, Node, Value, Written};
use crate::keys::{Kind, ROOT, Table};
use crate::problem::Span;

/// A flag that sets a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flag<'a> {
    /// As the user wrote it: `--listen`. Empty: nobody wrote it, and no error quotes it.
    pub name: &'a str,
    /// The key it sets: `listen`, `timeout.connect`. The same key again adds to a list.
    pub key: &'a str,
    /// What follows it.
    pub value: &'a str,
}

/// The arguments as one line, and the tree of keys whose places point into it.
pub(crate) fn document(flags: &[Flag<'_>]) -> (String, Node) {
    let mut text = String::new();
    let mut root = Vec::new();
    for flag in flags {
        let (flag_span, span) = write(&mut text, flag);
        let value = Value::Text { text: flag.value.to_owned(), written: Written::Argument };
        insert(&mut root, &ROOT, flag.key, &flag_span, Node { span, value });
    }
    let span = 0..text.len();
    (text, Node { span, value: Value::Table(root) })
}

/// The places of the flag and of its value.
fn write(text: &mut String, flag: &Flag<'_>) -> (Span, Span) {
    if flag.name.is_empty() {
        return (text.len()..text.len(), text.len()..text.len());
    }
    if !text.is_empty() {
        text.push(' ');
    }
    let start = text.len();
    text.push_str(flag.name);
    let flag_span = start..text.len();
    text.push(' ');
    let start = text.len();
    text.push_str(flag.value);
    (flag_span, start..text.len())
}

fn insert(entries: &mut Vec<Entry>, table: &Table, path: &str, flag: &Span, node: Node) {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let takes = table.key(name).map(|key| &key.takes);
    let index = entries.iter().position(|entry| entry.key == name).unwrap_or(entries.len());
    if index == entries.len() {
        let empty = Node { span: flag.clone(), value: empty(takes, rest.is_some()) };
        entries.push(Entry { key: name.to_owned(), key_span: flag.clone(), node: empty });
    }
    let Some(entry) = entries.get_mut(index) else { return };
    match (&mut entry.node.value, rest, takes.and_then(Kind::table)) {
        (Value::Table(inner), Some(rest), Some(table)) => insert(inner, table, rest, flag, node),
        (Value::List(items), None, _) => items.push(node),
        _ => entry.node = node,
    }
}

fn empty(takes: Option<&Kind>, inside: bool) -> Value {
    let list = takes.is_some_and(|kind| kind.alternatives().iter().any(|kind| matches!(kind, Kind::List(_))));
    if list && !inside { Value::List(Vec::new()) } else { Value::Table(Vec::new()) }
}
