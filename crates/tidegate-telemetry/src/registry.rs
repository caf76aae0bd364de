//! Where series live: cells with a single writer each, merged when read. Knows no values and no requests.

use crate::families::Kind;
use crate::{Distribution, Family, Histogram};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use crate::value::{Counter, Gauge};

/// The writer number of everything that is not a worker.
pub const CONTROL: usize = usize::MAX;

/// All series of the process. Handles are resolved when a worker takes a snapshot, never per request; the same
/// (writer, family, label values) gives the same handle again, so counts go on across reloads.
#[derive(Debug, Default)]
pub struct Registry {
    families: Mutex<BTreeMap<&'static str, Group>>,
}

/// One family with its series by label values.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) family: &'static Family,
    pub(crate) series: BTreeMap<LabelValues, Series>,
}

pub(crate) type LabelValues = Box<[Box<str>]>;

/// The cells of one series: one per writer, except for a gauge. Few have more than one, and there may be many series.
#[derive(Debug)]
pub(crate) enum Series {
    Counter(Cells<Counter>),
    Gauge(Arc<Gauge>),
    Histogram(Cells<Histogram>),
}

/// By writer.
#[derive(Debug)]
pub(crate) struct Cells<T>(Vec<(usize, Arc<T>)>);

/// The labels of one series, for deciding whether it stays.
#[derive(Clone, Copy, Debug)]
pub struct Labels<'a> {
    names: &'static [&'static str],
    values: &'a [Box<str>],
}

impl Registry {
    /// `writer`: the worker's number, or `CONTROL`.
    pub fn counter(&self, writer: usize, family: &'static Family, labels: &[&str]) -> Arc<Counter> {
        debug_assert_eq!(family.kind, Kind::Counter, "kind of {}", family.name);
        self.with_series(family, labels, |series| match series {
            Series::Counter(cells) => cells.of(writer),
            Series::Gauge(_) | Series::Histogram(_) => Arc::default(),
        })
    }

    pub fn gauge(&self, family: &'static Family, labels: &[&str]) -> Arc<Gauge> {
        debug_assert!(matches!(family.kind, Kind::Fraction | Kind::Gauge), "kind of {}", family.name);
        self.with_series(family, labels, |series| match series {
            Series::Gauge(cell) => Arc::clone(cell),
            Series::Counter(_) | Series::Histogram(_) => Arc::default(),
        })
    }

    /// `writer`: as for `counter`.
    pub fn histogram(&self, writer: usize, family: &'static Family, labels: &[&str]) -> Arc<Histogram> {
        debug_assert_eq!(family.kind, Kind::Histogram, "kind of {}", family.name);
        self.with_series(family, labels, |series| match series {
            Series::Histogram(cells) => cells.of(writer),
            Series::Counter(_) | Series::Gauge(_) => Arc::default(),
        })
    }

    /// A counter's value over all writers; 0 when nobody has a handle.
    pub fn total(&self, family: &'static Family, labels: &[&str]) -> u64 {
        self.read(family, labels, Series::total).unwrap_or(0)
    }

    /// A gauge's value; 0 when nobody has a handle.
    pub fn level(&self, family: &'static Family, labels: &[&str]) -> i64 {
        self.read(family, labels, Series::level).unwrap_or(0)
    }

    /// A histogram merged over all writers; empty when nobody has a handle.
    pub fn distribution(&self, family: &'static Family, labels: &[&str]) -> Distribution {
        self.read(family, labels, Series::distribution).unwrap_or_default()
    }

    /// Removes the series that `keep` says no to: those of clusters, endpoints and routes that a reload removed. Handles
    /// that are still held go on counting, unseen.
    pub fn retain(&self, mut keep: impl FnMut(&'static Family, Labels<'_>) -> bool) {
        for group in self.lock().values_mut() {
            let family = group.family;
            group.series.retain(|values, _| keep(family, Labels { names: family.labels, values }));
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Group>> {
        // Nothing under the lock panics half-way through a change that matters.
        self.families.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_series<T>(
        &self,
        family: &'static Family,
        labels: &[&str],
        take: impl FnOnce(&mut Series) -> T,
    ) -> T {
        debug_assert_eq!(labels.len(), family.labels.len(), "label values of {}", family.name);
        let mut families = self.lock();
        let group = families.entry(family.name).or_insert_with(|| Group { family, series: BTreeMap::new() });
        take(group.series.entry(owned(labels)).or_insert_with(|| Series::new(family.kind)))
    }

    fn read<T>(
        &self,
        family: &'static Family,
        labels: &[&str],
        value: impl FnOnce(&Series) -> T,
    ) -> Option<T> {
        self.lock().get(family.name)?.series.get(&owned(labels)).map(value)
    }
}

fn owned(labels: &[&str]) -> LabelValues {
    labels.iter().map(|&value| value.into()).collect()
}

impl Series {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Counter => Self::Counter(Cells(Vec::new())),
            Kind::Fraction | Kind::Gauge => Self::Gauge(Arc::default()),
            Kind::Histogram => Self::Histogram(Cells(Vec::new())),
        }
    }

    pub(crate) fn total(&self) -> u64 {
        match self {
            Self::Counter(cells) => cells.values().map(Counter::value).sum(),
            Self::Gauge(_) | Self::Histogram(_) => 0,
        }
    }

    pub(crate) fn level(&self) -> i64 {
        match self {
            Self::Gauge(cell) => cell.value(),
            Self::Counter(_) | Self::Histogram(_) => 0,
        }
    }

    pub(crate) fn distribution(&self) -> Distribution {
        let mut merged = Distribution::default();
        if let Self::Histogram(cells) = self {
            for histogram in cells.values() {
                merged.merge(histogram);
            }
        }
        merged
    }
}

impl<T: Default> Cells<T> {
    fn of(&mut self, writer: usize) -> Arc<T> {
        if let Some(cell) = self.0.iter().find(|cell| cell.0 == writer) {
            return Arc::clone(&cell.1);
        }
        let cell = Arc::<T>::default();
        self.0.reserve_exact(1);
        self.0.push((writer, Arc::clone(&cell)));
        cell
    }

    fn values(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|cell| &*cell.1)
    }
}

impl<'a> Labels<'a> {
    /// The value of the label, if the family has it.
    pub fn value(self, name: &str) -> Option<&'a str> {
        let position = self.names.iter().position(|known| *known == name)?;
        self.values.get(position).map(|value| &**value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::families::{CONNECT_DURATION, LISTENER_CONNECTIONS, LISTENER_CONNECTIONS_ACCEPTED};
    use std::time::Duration;

    #[test]
    fn the_same_key_gives_the_same_handle_so_counts_go_on_across_reloads() {
        let registry = Registry::default();
        registry.counter(0, &LISTENER_CONNECTIONS_ACCEPTED, &["web"]).add(2);
        registry.counter(0, &LISTENER_CONNECTIONS_ACCEPTED, &["web"]).add(3);
        assert_eq!(registry.total(&LISTENER_CONNECTIONS_ACCEPTED, &["web"]), 5);
    }

    #[test]
    fn writers_have_cells_of_their_own_and_are_added_up_when_read() {
        let registry = Registry::default();
        let writers =
            [0, 1, CONTROL].map(|writer| registry.counter(writer, &LISTENER_CONNECTIONS_ACCEPTED, &["web"]));
        for counter in &writers {
            counter.increment();
        }
        assert_eq!(registry.total(&LISTENER_CONNECTIONS_ACCEPTED, &["web"]), 3);
        assert_eq!(writers.map(|counter| counter.value()), [1, 1, 1]);
        assert_eq!(registry.total(&LISTENER_CONNECTIONS_ACCEPTED, &["other"]), 0);
    }

    #[test]
    fn histograms_of_all_writers_are_merged_when_read() {
        let registry = Registry::default();
        for writer in 0..3 {
            registry.histogram(writer, &CONNECT_DURATION, &["app", "a:1"]).record(Duration::from_millis(1));
        }
        assert_eq!(registry.distribution(&CONNECT_DURATION, &["app", "a:1"]).count(), 3);
    }

    #[test]
    fn a_gauge_is_one_cell_for_everybody() {
        let registry = Registry::default();
        registry.gauge(&LISTENER_CONNECTIONS, &["web"]).add(2);
        registry.gauge(&LISTENER_CONNECTIONS, &["web"]).add(-1);
        assert_eq!(registry.level(&LISTENER_CONNECTIONS, &["web"]), 1);
    }

    #[test]
    fn series_of_removed_endpoints_go_and_others_stay() {
        let registry = Registry::default();
        for endpoint in ["a:1", "b:1"] {
            registry.histogram(0, &CONNECT_DURATION, &["app", endpoint]).record(Duration::from_millis(1));
        }
        registry.gauge(&LISTENER_CONNECTIONS, &["web"]).set(7);
        registry.retain(|_, labels| labels.value("endpoint").is_none_or(|endpoint| endpoint == "b:1"));
        let count = |endpoint| registry.distribution(&CONNECT_DURATION, &["app", endpoint]).count();
        assert_eq!((count("a:1"), count("b:1")), (0, 1));
        assert_eq!(registry.level(&LISTENER_CONNECTIONS, &["web"]), 7);
    }
}
