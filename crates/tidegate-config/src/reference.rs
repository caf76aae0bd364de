//! The reference of all keys as Markdown, made from the tables: docs/configuration.md is this text.
//!
//! It knows no values of a running proxy.

use std::fmt::Write as _;

use crate::keys::{ALL, Default, Key, Table};

const INTRODUCTION: &str = r#"# Configuration

One TOML file says everything. The smallest one that does something:

```toml
listen = ":8888"
to = ["localhost:8001", "localhost:8002"]
```

and one that says more:

```toml
listen = ":8080"
trusted_proxies = ["10.0.0.0/8"]

[log]
access = "stdout"

[[route]]
host = "example.com"
path = "/api/"
to = "app"
timeout = { total = "30s" }

[[route]]
path = { exact = "/ping" }
answer = { status = 200, body = "pong" }

[[route]]
host = "old.example.com"
redirect = { to = "https://example.com{path}{query}" }

[cluster.app]
endpoints = ["10.0.0.1:8001", { address = "10.0.0.2:8001", weight = 2 }]
balance = "round_robin"
health = { path = "/healthz", interval = "5s" }
```

- `tidegate check FILE` finds every mistake at once, also in files that it names; `tidegate config show -c FILE` prints the
  configuration with every default written out, and looks into no other file; `tidegate config schema` prints a JSON Schema for editors.
- A key that is not listed here is an error, and so is a key that would have no effect.
- Durations and sizes are texts with a unit: `"500ms"`, `"2s"`, `"1h"` (ms, s, m, h, d) and `"64KiB"` (B, KiB, MiB, GiB).
  `"off"` stands for no limit where that is allowed.
- `${NAME}` in a text is replaced by the variable of the environment, `${NAME:-default}` by the default when that is
  not set or empty; a variable that is not set and has no default is an error. `$${` stands for a plain `${`. A text
  with a variable may stand for a number or a boolean: `workers = "${WORKERS:-2}"`.
- Addresses are `host:port`, `[::1]:port` or `unix:/path`; to listen on every address of the machine, `:port`.
- Endpoints written on the spot (`to = ["..."]` in a route or at the top) become a cluster that is named after the
  route, as `tidegate config show` shows it.

This page is made from the tables that the program itself reads by.
"#;

/// All keys, table by table, as Markdown.
pub fn reference() -> String {
    let mut text = INTRODUCTION.to_owned();
    for table in ALL {
        section(&mut text, table);
    }
    text
}

fn section(text: &mut String, table: &Table) {
    let _ = write!(text, "\n## {}\n\n{}\n\n", table.title, table.doc);
    text.push_str("| key | takes | default | example |\n|---|---|---|---|\n");
    for key in table.keys {
        let cells = [format!("`{}`", key.name), cell(&key.takes.describe()), default(key), code(key.example)];
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    text.push('\n');
    for key in table.keys {
        let _ = writeln!(text, "- `{}`: {}{}", key.name, key.doc, range(key));
    }
}

fn default(key: &Key) -> String {
    match key.default {
        Default::Inherited(from) => format!("as {}", cell(from)),
        Default::Required => "required".into(),
        Default::Value(toml) => code(toml),
        Default::Words(words) => cell(words),
    }
}

fn range(key: &Key) -> String {
    key.takes.describe_range().map(|range| format!(" From {range}.")).unwrap_or_default()
}

fn code(toml: &str) -> String {
    format!("`{}`", cell(toml))
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
