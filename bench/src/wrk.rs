//! Load from wrk: as many requests as come back on a number of connections. Knows how to read its report.

use crate::peers::Running;
use crate::process::{Core, Scratch, pinned};
use crate::scenario::{Sample, Scenario, Sends};
use serde_json::Value;
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub(crate) struct Wrk {
    report: PathBuf,
    upload: PathBuf,
    tiny_chunks: PathBuf,
}

/// What wrk says of one run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Report {
    pub(crate) requests: f64,
    seconds: f64,
    p50_us: f64,
    p99_us: f64,
    errors: f64,
}

impl Wrk {
    pub(crate) fn prepare(scratch: &Scratch) -> Result<Self, String> {
        let report = include_str!("../wrk/report.lua");
        let upload = include_str!("../wrk/upload.lua");
        let tiny_chunks = include_str!("../wrk/tiny-chunks.lua");
        Ok(Self {
            report: scratch.write("report.lua", report)?,
            upload: scratch.write("upload.lua", &format!("{report}{upload}"))?,
            tiny_chunks: scratch.write("tiny-chunks.lua", &format!("{report}{tiny_chunks}"))?,
        })
    }

    /// Loads the subject and takes the CPU time that it used meanwhile.
    pub(crate) fn measure(
        &self,
        scenario: &Scenario,
        running: &Running,
        seconds: u64,
    ) -> Result<Sample, String> {
        let before = running.process.cpu_ns();
        let report = self.load(scenario, running, seconds)?;
        let used_ns = running.process.cpu_ns() - before;
        let cpu_us = used_ns as f64 / 1000.0 / report.requests;
        Ok(Sample {
            requests_per_second: report.requests / report.seconds,
            p50_us: report.p50_us,
            p99_us: report.p99_us,
            cpu_us,
            cpu_us_range: (cpu_us, cpu_us),
            errors: report.errors,
        })
    }

    pub(crate) fn load(
        &self,
        scenario: &Scenario,
        running: &Running,
        seconds: u64,
    ) -> Result<Report, String> {
        let script = match scenario.sends {
            Sends::Nothing => &self.report,
            Sends::Body => &self.upload,
            Sends::TinyChunks => &self.tiny_chunks,
        };
        let output = pinned(Core::Loading, Path::new("wrk"))
            .args(["-t1", "--timeout", "10s", "-c", &scenario.connections.to_string()])
            .args(["-d", &format!("{seconds}s"), "-s"])
            .arg(script)
            .arg(format!("http://{}{}", running.address, scenario.path))
            .output()
            .map_err(|error| format!("wrk does not start: {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        parse(&text).ok_or_else(|| {
            let complaint = String::from_utf8_lossy(&output.stderr);
            format!("wrk measured nothing on {} ({}): {}", running.subject, scenario.name, complaint.trim())
        })
    }
}

fn parse(text: &str) -> Option<Report> {
    let line = text.lines().find_map(|line| line.strip_prefix("REPORT "))?;
    let value: Value = serde_json::from_str(line).ok()?;
    let number = |name: &str| value[name].as_f64();
    let report = Report {
        requests: number("requests")?,
        seconds: number("duration_us")? / 1e6,
        p50_us: number("p50_us")?,
        p99_us: number("p99_us")?,
        errors: number("errors")?,
    };
    (report.requests > 0.0 && report.seconds > 0.0).then_some(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_among_what_wrk_prints_for_people() {
        let text = "Running 1s test\nREPORT {\"requests\":10,\"duration_us\":2000000,\"p50_us\":5,\"p99_us\":9,\"errors\":1}\n";
        let report = parse(text).unwrap();
        let expected = Report { requests: 10.0, seconds: 2.0, p50_us: 5.0, p99_us: 9.0, errors: 1.0 };
        assert_eq!(report, expected);
    }

    #[test]
    fn a_run_without_a_single_answer_measures_nothing() {
        let text = "REPORT {\"requests\":0,\"duration_us\":1,\"p50_us\":0,\"p99_us\":0,\"errors\":9}";
        assert_eq!(parse(text), None);
    }
}
