//! Which crate may depend on which, over what cargo resolved. Knows names of crates, not their contents.

use super::Problem;
use serde_json::Value;
use std::path::Path;

/// The arrows of ARCHITECTURE.md: a crate, and all of ours that it may depend on outside its tests.
const ARROWS: [(&str, &[&str]); 14] = [
    ("tidegate-acme", &[]),
    ("tidegate", &["tidegate-control", "tidegate-config", "tidegate-telemetry", "tidegate-lab"]),
    (
        "tidegate-control",
        &[
            "tidegate-acme",
            "tidegate-config",
            "tidegate-proxy",
            "tidegate-balance",
            "tidegate-telemetry",
            "tidegate-sys",
        ],
    ),
    (
        "tidegate-proxy",
        &["tidegate-http", "tidegate-http2", "tidegate-balance", "tidegate-telemetry", "tidegate-sys"],
    ),
    ("tidegate-lab", &["tidegate-balance"]),
    ("tidegate-balance", &[]),
    ("tidegate-config", &["tidegate-http"]),
    ("tidegate-http", &[]),
    ("tidegate-http2", &[]),
    ("tidegate-sys", &[]),
    ("tidegate-telemetry", &[]),
    ("tidegate-testkit", &["tidegate-http", "tidegate-sys"]),
    ("tidegate-e2e", &["tidegate-testkit"]),
    ("tidegate-bench", &["tidegate-sys"]),
];

/// What must not come in, however deep: a second TLS crypto provider beside aws-lc is a panic at run time.
const BANNED: [&str; 1] = ["ring"];

pub(super) fn problems(metadata: &Value) -> Vec<Problem> {
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    packages.iter().flat_map(forbidden_arrows).collect()
}

fn forbidden_arrows(package: &Value) -> Vec<Problem> {
    let name = package["name"].as_str().unwrap_or_default();
    let ours = ARROWS.iter().find(|(from, _)| *from == name);
    let is_local = package["source"].is_null();
    let manifest = Path::new("crates").join(name).join("Cargo.toml");
    match ours {
        None if is_local && name.starts_with("tidegate") => {
            vec![Problem::new(&manifest, 0, format!("tidy knows no arrows for the crate {name}"))]
        }
        None => Vec::new(),
        Some((_, allowed)) => dependencies(package)
            .filter(|to| to.starts_with("tidegate") && !allowed.contains(to))
            .map(|to| {
                Problem::new(&manifest, 0, format!("the arrow {name} → {to} is not in ARCHITECTURE.md"))
            })
            .collect(),
    }
}

/// The names of what a package depends on when it is not being tested.
fn dependencies(package: &Value) -> impl Iterator<Item = &str> {
    let all = package["dependencies"].as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().filter(|one| one["kind"] != "dev").filter_map(|one| one["name"].as_str())
}

/// Over what is built with every feature, one `NAME vVERSION` a line: the lock file also names what nobody asks for.
pub(super) fn banned(tree: &str) -> Vec<Problem> {
    let names = tree.lines().filter_map(|line| line.split(' ').next());
    let banned = BANNED.into_iter().filter(|banned| names.clone().any(|name| name == *banned));
    let problem =
        |name| Problem::new(Path::new("Cargo.lock"), 0, format!("{name} is in the dependency tree"));
    banned.map(problem).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn package(name: &str, dependencies: &Value) -> Value {
        json!({ "packages": [{ "name": name, "source": null, "dependencies": dependencies }] })
    }

    fn complaint(metadata: &Value) -> String {
        problems(metadata).iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn an_arrow_that_is_drawn_is_fine() {
        let metadata = package(
            "tidegate-proxy",
            &json!([{ "name": "tidegate-http", "kind": null }, { "name": "tokio", "kind": null }]),
        );
        assert_eq!(complaint(&metadata), "");
    }

    #[test]
    fn the_data_plane_must_not_see_the_configuration() {
        let metadata = package("tidegate-proxy", &json!([{ "name": "tidegate-config", "kind": null }]));
        assert!(complaint(&metadata).contains("tidegate-proxy → tidegate-config"));
    }

    #[test]
    fn build_dependencies_count_and_dev_dependencies_do_not() {
        let metadata = package(
            "tidegate-http",
            &json!([{ "name": "tidegate-testkit", "kind": "dev" }, { "name": "tidegate-balance", "kind": "build" }]),
        );
        assert_eq!(
            complaint(&metadata),
            "crates/tidegate-http/Cargo.toml: the arrow tidegate-http → tidegate-balance is not in ARCHITECTURE.md"
        );
    }

    #[test]
    fn a_new_crate_needs_its_arrows() {
        assert!(complaint(&package("tidegate-quic", &json!([]))).contains("no arrows"));
    }

    #[test]
    fn ring_is_found_wherever_it_comes_from() {
        assert_eq!(banned("tidegate v0.1.0\nstring v1.0.0 (*)\n").len(), 0);
        let found = banned("tidegate v0.1.0\nring v0.17.14\n");
        assert_eq!(found[0].what, "ring is in the dependency tree");
    }
}
