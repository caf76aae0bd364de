//! docs/tidegate.schema.json, which editors use, is the schema of this build. Knows nothing of what is in it.

use tidegate_config::schema;

#[test]
fn the_schema_in_docs_is_the_one_made_from_the_tables() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/tidegate.schema.json");
    let expected = format!("{:#}\n", schema());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &expected).unwrap();
    }
    let held = std::fs::read_to_string(path).unwrap_or_default();
    assert!(held == expected, "run `UPDATE_DOCS=1 cargo test -p tidegate-config`");
}
