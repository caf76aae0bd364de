//! The JSON Schema of the configuration, made from the tables of keys, for editors.
//!
//! It says what a value looks like; what values mean together only the checks know.

use serde_json::{Map, Value, json};

use crate::keys::{ALL, Default, Key, Kind, ROOT, Table};

/// A text that holds a variable may become anything.
const VARIABLE: &str = r"\$\{";

/// JSON Schema, draft 2020-12, of the whole file.
pub fn schema() -> Value {
    let mut schema = table(&ROOT);
    schema.insert("$schema".into(), "https://json-schema.org/draft/2020-12/schema".into());
    schema.insert("title".into(), "Tidegate configuration".into());
    let others = ALL.iter().filter(|other| other.name != ROOT.name);
    let definitions: Map<String, Value> =
        others.map(|other| (other.name.to_owned(), Value::Object(table(other)))).collect();
    schema.insert("$defs".into(), Value::Object(definitions));
    Value::Object(schema)
}

fn table(table: &Table) -> Map<String, Value> {
    let required = |key: &&Key| key.default == Default::Required;
    let properties: Map<String, Value> =
        table.keys.iter().map(|key| (key.name.to_owned(), property(key))).collect();
    let required: Vec<&str> = table.keys.iter().filter(required).map(|key| key.name).collect();
    let mut schema = Map::new();
    schema.insert("type".into(), "object".into());
    schema.insert("description".into(), table.doc.into());
    schema.insert("properties".into(), Value::Object(properties));
    schema.insert("additionalProperties".into(), false.into());
    if !required.is_empty() {
        schema.insert("required".into(), required.into());
    }
    schema
}

fn property(key: &Key) -> Value {
    let mut schema = kind(&key.takes);
    if let Value::Object(schema) = &mut schema {
        schema.insert("description".into(), key.doc.into());
        if let Default::Value(toml) = key.default
            && let Some(value) = plain(toml)
        {
            schema.insert("default".into(), value);
        }
    }
    schema
}

/// The defaults in the tables are so simple that their TOML is JSON, too.
fn plain(toml: &str) -> Option<Value> {
    serde_json::from_str(toml).ok()
}

fn kind(takes: &Kind) -> Value {
    match takes {
        Kind::AnyOf(kinds) => json!({ "anyOf": kinds.iter().map(kind).collect::<Vec<_>>() }),
        Kind::Boolean => json!({ "anyOf": [{ "type": "boolean" }, variable()] }),
        Kind::Duration => json!({ "type": "string", "pattern": unit_pattern("ms|s|m|h|d") }),
        Kind::Integer { min, max } => {
            json!({ "anyOf": [{ "type": "integer", "minimum": min, "maximum": max }, variable()] })
        }
        Kind::List(items) => json!({ "type": "array", "items": kind(items) }),
        Kind::MapOf(values) => json!({ "type": "object", "additionalProperties": kind(values) }),
        Kind::Size { .. } => json!({ "type": "string", "pattern": unit_pattern("B|KiB|MiB|GiB") }),
        Kind::Table(table) => json!({ "$ref": format!("#/$defs/{}", table.name) }),
        Kind::Text(words) => json!({ "type": "string", "title": words }),
        Kind::Words(words) => json!({ "anyOf": [{ "enum": words }, variable()] }),
    }
}

fn variable() -> Value {
    json!({ "type": "string", "pattern": VARIABLE })
}

fn unit_pattern(units: &str) -> String {
    format!(r"^\s*\d+\s*({units})\s*$|{VARIABLE}")
}
