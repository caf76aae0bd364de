//! What endpoints say of their own load, about once a second, for algorithms that listen. Knows the machines' side only.

use crate::server::Server;
use crate::span::SECOND;
use tidegate_balance::{Balancer, LoadReport, Moment};

/// From one report of an endpoint to its next.
const PERIOD: u64 = 1_000_000_000;

#[derive(Debug)]
pub(crate) struct Reports<'b> {
    balancers: &'b [Option<Balancer>],
    endpoints: Vec<Since>,
}

/// Counted since the last report.
#[derive(Clone, Copy, Debug, Default)]
struct Since {
    at: u64,
    busy: f64,
    answers: u32,
    errors: u32,
}

impl<'b> Reports<'b> {
    pub(crate) fn new(balancers: &'b [Option<Balancer>], endpoints: usize) -> Self {
        Self { balancers, endpoints: vec![Since::default(); endpoints] }
    }

    /// An endpoint answers, and reports with this answer when it is time.
    pub(crate) fn answered(&mut self, endpoint: usize, server: &mut Server<'_>, failed: bool, now: u64) {
        let since = &mut self.endpoints[endpoint];
        since.answers += 1;
        since.errors += u32::from(failed);
        if now < since.at + PERIOD {
            return;
        }
        let (busy, seconds) = (server.busy(now), (now - since.at) as f64 / SECOND);
        let slots = f64::from(server.machine().slots);
        let report = LoadReport {
            requests_per_second: (f64::from(since.answers) / seconds) as f32,
            errors_per_second: (f64::from(since.errors) / seconds) as f32,
            utilisation: ((busy - since.busy) / SECOND / seconds / slots) as f32,
        };
        *since = Since { at: now, busy, answers: 0, errors: 0 };
        for balancer in self.balancers.iter().flatten() {
            balancer.endpoints()[endpoint].state.report_load(&report, Moment(now));
        }
    }
}
