//! Every metric family and every configuration key is in docs/. Knows where both are declared, not what they mean.

use super::Problem;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const FAMILIES: &str = "crates/tidegate-telemetry/src/families.rs";
const SCHEMA: &str = "docs/tidegate.schema.json";

pub(super) fn problems(texts: &[(PathBuf, String)]) -> Vec<Problem> {
    let pages: Vec<&str> =
        texts.iter().filter(|(path, _)| is_page(path)).map(|(_, text)| text.as_str()).collect();
    let mut problems = undocumented(FAMILIES, "metric", &metrics(text_of(texts, FAMILIES)), &pages);
    match serde_json::from_str(text_of(texts, SCHEMA)) {
        Ok(schema) => problems.extend(undocumented(SCHEMA, "key", &keys(&schema), &pages)),
        Err(error) => {
            problems.push(Problem::new(Path::new(SCHEMA), 0, format!("it is no JSON Schema: {error}")));
        }
    }
    problems
}

fn is_page(path: &Path) -> bool {
    path.starts_with("docs") && path.extension().is_some_and(|extension| extension == "md")
}

fn text_of<'texts>(texts: &'texts [(PathBuf, String)], wanted: &str) -> &'texts str {
    texts.iter().find(|(path, _)| path == Path::new(wanted)).map_or("", |(_, text)| text)
}

/// Every string literal of the table of families that names one.
fn metrics(source: &str) -> BTreeSet<String> {
    let prefixes = ["process_", "tidegate_"];
    let is_name =
        |text: &&str| prefixes.iter().any(|prefix| text.len() > prefix.len() && text.starts_with(prefix));
    source.split('"').skip(1).step_by(2).filter(is_name).map(str::to_owned).collect()
}

/// Every name under a `properties` of the schema, however deep.
fn keys(schema: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut pending = vec![schema];
    while let Some(value) = pending.pop() {
        match value {
            Value::Array(items) => pending.extend(items),
            Value::Object(fields) => {
                if let Some(properties) = fields.get("properties").and_then(Value::as_object) {
                    found.extend(properties.keys().cloned());
                }
                pending.extend(fields.values());
            }
            _ => {}
        }
    }
    found
}

fn undocumented(declared: &str, kind: &str, names: &BTreeSet<String>, pages: &[&str]) -> Vec<Problem> {
    if names.is_empty() {
        return vec![Problem::new(Path::new(declared), 0, format!("no {kind} is declared here"))];
    }
    let missing = names.iter().filter(|name| !pages.iter().any(|page| mentions(page, name)));
    missing
        .map(|name| Problem::new(Path::new(declared), 0, format!("the {kind} {name} is not in docs/")))
        .collect()
}

/// Whether the page has the name as a whole word.
fn mentions(page: &str, name: &str) -> bool {
    page.split(|character: char| !character.is_alphanumeric() && character != '_').any(|word| word == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(families: &str, schema: &str, page: &str) -> Vec<(PathBuf, String)> {
        [(FAMILIES, families), (SCHEMA, schema), ("docs/reference.md", page)]
            .map(|(path, text)| (PathBuf::from(path), text.to_owned()))
            .to_vec()
    }

    fn complaint(families: &str, schema: &str, page: &str) -> String {
        problems(&tree(families, schema, page)).iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }

    const ONE_METRIC: &str = r#"Family { name: "tidegate_requests", help: "…" }"#;
    const ONE_KEY: &str = r#"{ "$defs": { "Route": { "properties": { "host": {} } } } }"#;

    #[test]
    fn what_is_declared_and_documented_is_fine() {
        assert_eq!(complaint(ONE_METRIC, ONE_KEY, "`tidegate_requests` and `host`"), "");
    }

    #[test]
    fn a_metric_or_a_key_that_no_page_has_as_a_word_is_found() {
        let found = complaint(ONE_METRIC, ONE_KEY, "tidegate_requests_total, hosts");
        assert!(found.contains("the metric tidegate_requests is not in docs/"), "{found}");
        assert!(found.contains("the key host is not in docs/"), "{found}");
    }

    #[test]
    fn tables_that_moved_elsewhere_are_found() {
        let found = complaint("", "", "");
        assert!(found.contains("no metric is declared here"), "{found}");
        assert!(found.contains("it is no JSON Schema"), "{found}");
    }
}
