//! The metrics page: OpenMetrics 1.0 text, or the older Prometheus text for scrapers that do not ask for it. Knows how
//! to write series, not what they count.

use crate::families::{ALL, Family, Kind};
use crate::histogram::BOUNDARIES;
use crate::process::Process;
use crate::registry::{Group, LabelValues, Registry, Series};
use std::fmt::Write as _;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// <https://prometheus.io/docs/specs/om/open_metrics_spec/>
    OpenMetrics,
    /// Prometheus text format 0.0.4.
    Prometheus,
}

impl Format {
    /// OpenMetrics when the scraper's `Accept` names it with a weight above zero.
    pub fn negotiate(accept: Option<&str>) -> Self {
        let asks = |range: &str| {
            let mut parts = range.split(';').map(str::trim);
            let named =
                parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/openmetrics-text"));
            named && !parts.any(is_zero_weight)
        };
        match accept {
            Some(accept) if accept.split(',').any(asks) => Self::OpenMetrics,
            _ => Self::Prometheus,
        }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// `q=0`, `q=0.0` …: "not acceptable" (RFC 9110 section 12.4.2).
fn is_zero_weight(parameter: &str) -> bool {
    parameter.strip_prefix("q=").is_some_and(|weight| weight.parse() == Ok(0.0))
}

/// The whole page: every family that has series, in the order of the reference, and the process's own numbers.
pub fn render(registry: &Registry, process: Option<&Process>, format: Format) -> String {
    let mut page = Page { text: String::with_capacity(64 * 1024), format };
    for family in ALL {
        // Locked a family at a time: a worker that meets a new kind of failure resolves a series in between.
        if let Some(group) = registry.lock().get(family.name) {
            page.group(group);
        } else if let Some(value) = process.and_then(|process| process.value(family)) {
            page.head(family);
            page.line(family, family_suffix(family), &[], None, &value);
        }
    }
    page.finish()
}

struct Page {
    text: String,
    format: Format,
}

impl Page {
    fn group(&mut self, group: &Group) {
        if group.series.is_empty() {
            return;
        }
        self.head(group.family);
        for (values, series) in &group.series {
            self.series(group.family, values, series);
        }
    }

    fn head(&mut self, family: &Family) {
        let (name, text) = (family.name, &mut self.text);
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Fraction | Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        // OpenMetrics names the family, the older format the sample.
        let suffix = match self.format {
            Format::OpenMetrics => "",
            Format::Prometheus => family_suffix(family),
        };
        let _ = writeln!(text, "# TYPE {name}{suffix} {kind}");
        if let (Format::OpenMetrics, Some(unit)) = (self.format, family.unit()) {
            let _ = writeln!(text, "# UNIT {name} {unit}");
        }
        let _ = writeln!(text, "# HELP {name}{suffix} {}", family.help);
    }

    fn series(&mut self, family: &Family, values: &LabelValues, series: &Series) {
        match series {
            Series::Counter(_) => self.line(family, family_suffix(family), values, None, &series.total()),
            Series::Gauge(_) if family.kind == Kind::Fraction => {
                self.line(family, "", values, None, &Thousandths(series.level()));
            }
            Series::Gauge(_) => self.line(family, "", values, None, &series.level()),
            Series::Histogram(_) => {
                let distribution = series.distribution();
                let count = distribution.count();
                for (below, (_, boundary)) in distribution.cumulative().iter().zip(BOUNDARIES) {
                    self.line(family, "_bucket", values, Some(boundary), below);
                }
                self.line(family, "_bucket", values, Some("+Inf"), &count);
                self.line(family, "_sum", values, None, &Seconds(distribution.sum()));
                self.line(family, "_count", values, None, &count);
            }
        }
    }

    fn line(
        &mut self,
        family: &Family,
        suffix: &str,
        values: &[Box<str>],
        boundary: Option<&str>,
        value: &dyn std::fmt::Display,
    ) {
        self.text.push_str(family.name);
        self.text.push_str(suffix);
        let mut open = '{';
        for (name, value) in family.labels.iter().zip(values) {
            let _ = write!(self.text, "{open}{name}=\"");
            self.escaped(value);
            self.text.push('"');
            open = ',';
        }
        if let Some(boundary) = boundary {
            let _ = write!(self.text, "{open}le=\"{boundary}\"");
            open = ',';
        }
        if open == ',' {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }

    fn escaped(&mut self, value: &str) {
        for c in value.chars() {
            match c {
                '"' => self.text.push_str("\\\""),
                '\\' => self.text.push_str("\\\\"),
                '\n' => self.text.push_str("\\n"),
                c => self.text.push(c),
            }
        }
    }

    fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

fn family_suffix(family: &Family) -> &'static str {
    match family.kind {
        Kind::Counter => "_total",
        Kind::Fraction | Kind::Gauge | Kind::Histogram => "",
    }
}

/// So many of them, as a decimal number.
struct Thousandths(i64);

impl std::fmt::Display for Thousandths {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (sign, size) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        write!(f, "{sign}{}.{:03}", size / 1_000, size % 1_000)
    }
}

/// Seconds with all digits that nanoseconds have.
pub(crate) struct Seconds(pub(crate) Duration);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:09}", self.0.as_secs(), self.0.subsec_nanos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::families::{
        BUILD_INFO, CONNECT_DURATION, ENDPOINT_COST, LISTENER_CONNECTIONS_ACCEPTED, REQUEST_BODY_BYTES,
    };

    fn sample() -> Registry {
        let registry = Registry::default();
        registry.counter(0, &LISTENER_CONNECTIONS_ACCEPTED, &["web"]).add(2);
        registry.counter(1, &LISTENER_CONNECTIONS_ACCEPTED, &["web"]).add(3);
        registry.counter(0, &REQUEST_BODY_BYTES, &["a\"b\\c\nd"]).add(7);
        let connects = registry.histogram(0, &CONNECT_DURATION, &["app", "[::1]:8001"]);
        for micros in [1, 40, 2_000_000] {
            connects.record(Duration::from_micros(micros));
        }
        registry.gauge(&BUILD_INFO, &["1.2.3"]).set(1);
        registry
    }

    #[test]
    fn the_openmetrics_page_reads_as_the_specification_says() {
        let page = render(&sample(), None, Format::OpenMetrics);
        let expected = "\
# TYPE tidegate_listener_connections_accepted counter
# HELP tidegate_listener_connections_accepted Connections accepted from clients.
tidegate_listener_connections_accepted_total{listener=\"web\"} 5
# TYPE tidegate_request_body_bytes counter
# UNIT tidegate_request_body_bytes bytes
# HELP tidegate_request_body_bytes Bytes of request bodies received from clients.
tidegate_request_body_bytes_total{route=\"a\\\"b\\\\c\\nd\"} 7
";
        assert!(page.starts_with(expected), "{page}");
        assert!(page.ends_with("# EOF\n"), "{page}");
    }

    #[test]
    fn a_histogram_has_cumulative_buckets_a_sum_in_seconds_and_a_count() {
        let page = render(&sample(), None, Format::OpenMetrics);
        for line in [
            "tidegate_endpoint_connect_seconds_bucket{cluster=\"app\",endpoint=\"[::1]:8001\",le=\"5e-05\"} 2",
            "tidegate_endpoint_connect_seconds_bucket{cluster=\"app\",endpoint=\"[::1]:8001\",le=\"1.0\"} 2",
            "tidegate_endpoint_connect_seconds_bucket{cluster=\"app\",endpoint=\"[::1]:8001\",le=\"2.5\"} 3",
            "tidegate_endpoint_connect_seconds_bucket{cluster=\"app\",endpoint=\"[::1]:8001\",le=\"+Inf\"} 3",
            "tidegate_endpoint_connect_seconds_sum{cluster=\"app\",endpoint=\"[::1]:8001\"} 2.000041000",
            "tidegate_endpoint_connect_seconds_count{cluster=\"app\",endpoint=\"[::1]:8001\"} 3",
        ] {
            assert!(page.lines().any(|found| found == line), "{line}\nnot in\n{page}");
        }
    }

    #[test]
    fn a_fraction_is_a_gauge_with_three_decimals() {
        let registry = sample();
        registry.gauge(&ENDPOINT_COST, &["app", "a:1"]).set(1_062);
        let page = render(&registry, None, Format::OpenMetrics);
        assert!(page.contains("# TYPE tidegate_endpoint_cost gauge\n"), "{page}");
        assert!(
            page.contains("\ntidegate_endpoint_cost{cluster=\"app\",endpoint=\"a:1\"} 1.062\n"),
            "{page}"
        );
        assert_eq!(Thousandths(-5).to_string(), "-0.005");
    }

    #[test]
    fn the_prometheus_page_names_the_sample_and_has_no_end_mark() {
        let page = render(&sample(), None, Format::Prometheus);
        assert!(page.contains("# TYPE tidegate_request_body_bytes_total counter\n"), "{page}");
        assert!(!page.contains("# UNIT") && !page.contains("# EOF"), "{page}");
    }

    #[test]
    fn the_scraper_chooses_the_format() {
        let prometheus_2 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                            text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (accept, format) in [
            (None, Format::Prometheus),
            (Some("*/*"), Format::Prometheus),
            (Some("text/plain"), Format::Prometheus),
            (Some("application/openmetrics-text; q=0"), Format::Prometheus),
            (Some("text/html, Application/OpenMetrics-Text"), Format::OpenMetrics),
            (Some(prometheus_2), Format::OpenMetrics),
        ] {
            assert_eq!(Format::negotiate(accept), format, "{accept:?}");
        }
    }
}
