//! What an endpoint says of its own load, in the field `endpoint-load-metrics` of its answers. Knows nothing of balancing.
//!
//! The native HTTP forms of ORCA (Open Request Cost Aggregation, envoyproxy/envoy#6614; the names are those of
//! `xds.data.orca.v3.OrcaLoadReport`): `TEXT cpu_utilization=0.3, rps_fractional=12.5, named_metrics.in_flight=4`, and
//! `JSON {"cpu_utilization": 0.3, …}`. Values are not negative. What is not used here may be said and is passed over. The
//! binary form, base64 of a protocol buffer, is gRPC's and is not read.

use serde::Deserialize;

/// What is used of a report. 0 where nothing was said.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LoadReport {
    pub requests_per_second: f64,
    pub errors_per_second: f64,
    /// 1 is full: the application's own measure, else the processor's (gRFC A58).
    pub utilisation: f64,
    /// `named_metrics.in_flight`: requests that the endpoint holds now, from everybody. Not of ORCA; the name is ours.
    pub in_flight: Option<f64>,
    /// `named_metrics.latency_ms`: what a request takes there now. Not of ORCA; the name is ours.
    pub latency_ms: Option<f64>,
}

impl LoadReport {
    /// `None`: in neither form, or a number that is none, or is negative.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (form, text) = std::str::from_utf8(value).ok()?.trim_ascii().split_once(' ')?;
        let said = match form {
            "TEXT" => Said::from_pairs(text)?,
            // serde would take a list for its fields in order.
            "JSON" if text.trim_ascii_start().starts_with('{') => serde_json::from_str(text).ok()?,
            _ => return None,
        };
        said.numbers().all(|number| number.is_finite() && number >= 0.0).then(|| said.report())
    }
}

/// A report in its own words.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Said {
    #[serde(alias = "applicationUtilization")]
    application_utilization: f64,
    #[serde(alias = "cpuUtilization")]
    cpu_utilization: f64,
    eps: f64,
    #[serde(alias = "namedMetrics")]
    named_metrics: Named,
    #[serde(alias = "rpsFractional")]
    rps_fractional: f64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Named {
    in_flight: Option<f64>,
    latency_ms: Option<f64>,
}

impl Said {
    /// `name=value`, as ORCA writes it, or `name:value`, as Envoy reads it, between commas.
    fn from_pairs(text: &str) -> Option<Self> {
        let mut said = Self::default();
        for pair in text.split(',').filter(|pair| !pair.trim_ascii().is_empty()) {
            let (name, number) = pair.split_once(['=', ':'])?;
            let number: f64 = number.trim_ascii().parse().ok()?;
            match name.trim_ascii() {
                "application_utilization" => said.application_utilization = number,
                "cpu_utilization" => said.cpu_utilization = number,
                "eps" => said.eps = number,
                "named_metrics.in_flight" => said.named_metrics.in_flight = Some(number),
                "named_metrics.latency_ms" => said.named_metrics.latency_ms = Some(number),
                "rps_fractional" => said.rps_fractional = number,
                _ => {}
            }
        }
        Some(said)
    }

    fn numbers(&self) -> impl Iterator<Item = f64> {
        let named = [self.named_metrics.in_flight, self.named_metrics.latency_ms];
        let plain = [self.application_utilization, self.cpu_utilization, self.eps, self.rps_fractional];
        plain.into_iter().chain(named.into_iter().flatten())
    }

    fn report(&self) -> LoadReport {
        let own_measure = self.application_utilization;
        LoadReport {
            requests_per_second: self.rps_fractional,
            errors_per_second: self.eps,
            utilisation: if own_measure > 0.0 { own_measure } else { self.cpu_utilization },
            in_flight: self.named_metrics.in_flight,
            latency_ms: self.named_metrics.latency_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: LoadReport = LoadReport {
        requests_per_second: 12.5,
        errors_per_second: 1.0,
        utilisation: 0.25,
        in_flight: None,
        latency_ms: None,
    };

    #[test]
    fn both_forms_say_the_same() {
        let all = LoadReport { in_flight: Some(4.0), latency_ms: Some(0.5), ..REPORT };
        let cases = [
            ("TEXT cpu_utilization=0.25, rps_fractional=12.5, eps=1", REPORT, "as ORCA writes it"),
            ("TEXT cpu_utilization:0.25,rps_fractional:12.5,eps:1,", REPORT, "as Envoy reads it"),
            (
                "TEXT cpu_utilization=9, application_utilization=0.25, rps_fractional=12.5, eps=1",
                REPORT,
                "the application knows better than the processor",
            ),
            (
                "TEXT cpu_utilization=0.25, rps_fractional=12.5, eps=1, utilization.gpu=1, request_cost.x=3",
                REPORT,
                "what is not used",
            ),
            (
                r#"JSON {"cpu_utilization": 0.25, "rps_fractional": 12.5, "eps": 1, "mem_utilization": 0.1}"#,
                REPORT,
                "the names of the protocol buffer",
            ),
            (
                r#"JSON {"cpuUtilization": 0.25, "rpsFractional": 12.5, "eps": 1.0}"#,
                REPORT,
                "as protobuf prints JSON",
            ),
            (
                "TEXT cpu_utilization=0.25, rps_fractional=12.5, eps=1, named_metrics.in_flight=4, \
                 named_metrics.latency_ms=0.5",
                all,
                "our own names",
            ),
            (
                r#"JSON {"cpu_utilization": 0.25, "rps_fractional": 12.5, "eps": 1,
                     "named_metrics": {"in_flight": 4, "latency_ms": 0.5, "other": 7}}"#,
                all,
                "our own names in JSON",
            ),
            ("TEXT ,", LoadReport::default(), "nothing said"),
        ];
        for (value, expected, why) in cases {
            assert_eq!(LoadReport::parse(value.as_bytes()), Some(expected), "{value}: {why}");
        }
    }

    #[test]
    fn what_is_no_report_is_none() {
        let cases = [
            "",
            "TEXT",
            "cpu_utilization=0.5",
            "BIN CAE=",
            "TEXT cpu_utilization",
            "TEXT cpu_utilization=much",
            "TEXT cpu_utilization=-1",
            "TEXT cpu_utilization=NaN",
            "TEXT rps_fractional=inf",
            "TEXT named_metrics.in_flight=-3",
            "JSON {",
            "JSON [0.5]",
            r#"JSON {"cpu_utilization": "half"}"#,
            r#"JSON {"named_metrics": {"in_flight": -1}}"#,
        ];
        for value in cases {
            assert_eq!(LoadReport::parse(value.as_bytes()), None, "{value}");
        }
        assert_eq!(LoadReport::parse(b"TEXT eps=\xff"), None);
    }
}
