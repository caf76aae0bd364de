//! Logs that tests make up.

#![allow(clippy::unwrap_used, reason = "in tests")]

use super::{AccessLog, ReplayOptions};
use crate::comparison::Progress;
use crate::contender::Contender;
use crate::outcome::Comparison;
use std::fmt::Write as _;

/// With these algorithms.
pub(super) fn options(names: &[&str]) -> ReplayOptions {
    let contenders = names.iter().map(|name| Contender::parse(name).unwrap()).collect();
    ReplayOptions {
        contenders,
        slots: None,
        endpoints: None,
        restarts: false,
        weights: Vec::new(),
        times: 1.0,
        seed: 1,
        jobs: 1,
    }
}

pub(super) fn replay(log: &AccessLog, options: &ReplayOptions) -> Comparison {
    log.replay(options, &Progress::of_replay(log, options)).unwrap()
}

/// A request: when it came and how long it took, in milliseconds, whose it was, and which endpoint had it.
pub(super) type Line = (f64, f64, u64, usize);

pub(super) fn log(lines: impl IntoIterator<Item = Line>) -> AccessLog {
    log_with(lines.into_iter().map(|line| (line, 200)))
}

/// With the status of each.
pub(super) fn log_with(lines: impl IntoIterator<Item = (Line, u16)>) -> AccessLog {
    AccessLog::read(text(lines).as_bytes()).unwrap()
}

pub(super) fn text(lines: impl IntoIterator<Item = (Line, u16)>) -> String {
    lines.into_iter().fold(String::new(), |mut text, ((ms, took, client, endpoint), status)| {
        let _ = writeln!(
            text,
            r#"{{"time":"2026-10-10T13:{:02}:{:09.6}Z","client":"c{client}","endpoint":"e{endpoint}","status":{status},"queue_ms":0,"first_byte_ms":{took:.3}}}"#,
            ms as u64 / 60_000,
            ms % 60_000.0 / 1e3,
        );
        text
    })
}
