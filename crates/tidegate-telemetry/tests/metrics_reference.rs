//! docs/metrics.md is what the table of families says; `UPDATE_DOCS=1 cargo test -p tidegate-telemetry` rewrites it.

use std::fmt::Write as _;
use std::path::Path;
use tidegate_telemetry::families::{ALL, Family, Kind};
use tidegate_telemetry::histogram::BOUNDARIES;

const OPENING: &str = "\
# Metrics

Generated from the table in `crates/tidegate-telemetry/src/families.rs`.

The admin listener serves all metrics at `/metrics`: as OpenMetrics 1.0 when the scraper asks for it, as Prometheus does,
else in the older Prometheus text format. The names of series and labels are the same in both. Tidegate's own begin with `tidegate_`; those of the process are named as everywhere.

Values are summed over all workers when scraped. Series of a route, cluster or endpoint go when a reload removes it; a
reload that keeps it keeps its counts. Every label has a bounded set of values: names from the configuration, or words
from a closed list. `code` is the class of a status: `1xx`, `2xx`, `3xx`, `4xx` or `5xx`. A metric that has no series yet is not
shown.

";

fn page() -> String {
    let mut page = OPENING.to_owned();
    page.push_str("| metric | kind | labels | meaning |\n|---|---|---|---|\n");
    for family in ALL {
        let labels: Vec<_> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        let (name, kind, help) = (family.name, kind(family), family.help);
        let _ = writeln!(page, "| `{name}` | {kind} | {} | {help} |", labels.join(", "));
    }
    page.push_str(&closing());
    page
}

fn kind(family: &Family) -> &'static str {
    match family.kind {
        Kind::Counter => "counter",
        Kind::Fraction | Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    }
}

fn closing() -> String {
    let bounds: Vec<_> = BOUNDARIES.iter().map(|(_, seconds)| format!("`{seconds}`")).collect();
    format!(
        "
A counter's series end in `_total`, a histogram's in `_bucket`, `_sum` and `_count`. The buckets of every histogram, in
seconds: {}, `+Inf`. Counts in them are exact; inside, durations are kept to within 1/16.

## Questions and their queries

| question | PromQL |
|---|---|
| requests a second, by route | `sum by (route) (rate(tidegate_requests_total[1m]))` |
| share of requests that got a server error | `sum(rate(tidegate_requests_total{{code=\"5xx\"}}[5m])) / sum(rate(tidegate_requests_total[5m]))` |
| the 99th percentile of a route's durations | `histogram_quantile(0.99, sum by (le) (rate(tidegate_request_duration_seconds_bucket{{route=\"shop\"}}[5m])))` |
| why requests fail | `topk(5, sum by (blame, stage, cause) (increase(tidegate_failures_total[15m])))` |
| endpoints that are down, and why | `tidegate_endpoint_health{{state!=\"up\"}} == 1` |
| share of attempts that needed no new connection | `rate(tidegate_endpoint_connections_reused_total[5m]) / rate(tidegate_endpoint_attempts_total[5m])` |
| limits that are hit | `increase(tidegate_limit_hits_total[15m]) > 0` |
| the configuration on disk was refused | `tidegate_config_last_reload_ok == 0` |
",
        bounds.join(", ")
    )
}

#[test]
fn the_reference_in_docs_is_generated_from_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    let expected = page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, expected, "run `UPDATE_DOCS=1 cargo test -p tidegate-telemetry`");
}
