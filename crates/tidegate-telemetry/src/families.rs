//! Every metric that Tidegate exposes, in one table: the reference in docs/ is generated from it. Knows no values.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    /// In seconds.
    Histogram,
}

/// One metric family: its OpenMetrics name without suffix, its labels in order, one sentence of help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}
