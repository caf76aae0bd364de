//! Recorded traffic: the arrivals and the work of an access log, on a fleet that is told from the same log. Knows lines as
//! bytes; no files.

mod alike;
mod assumed;
mod away;
mod beginning;
mod capacity;
mod clusters;
mod cut;
mod date;
mod explained;
mod fleet;
mod guessed;
mod line;
#[cfg(test)]
mod made;
mod own_times;
mod presence;

mod scan;
mod stays;
mod streams;
mod turns;
mod unconnected;
mod weights;
mod whole_seconds;

use crate::comparison::{Progress, compared, run_all};
use crate::contender::Contender;
use crate::outcome::{Comparison, ExtraAttempts, Outcome, RECORDED};
use crate::random::mix;
use crate::recorder::{Done, Recorder};
use crate::scenario::Scenario;
use crate::simulation::Plan;
use crate::traffic::Traffic;
use clusters::Clusters;
use fleet::Fleet;
use line::{Earlier, Line, Reached, Told, Unanswered, is_failure};
use stays::SECOND;
use std::io::{self, BufRead};
use std::mem;
use std::num::NonZeroU32;

pub use scan::Flaw;

/// Of the time of the log, so that algorithms that learn have learned something; at most `WARM_UP_MAX`.
const WARM_UP_PART: u64 = 10;
const WARM_UP_MAX: u64 = 10_000_000_000;
/// Where less than one of so many lines lacks `$msec`, it is the line that is odd, and not the log that has none.
const FEW_LACK: usize = 10;
/// Further from the middle of the log than this, a line's clock was wrong: a year, in nanoseconds.
const AWAY_MAX: u64 = 366 * 86_400 * SECOND;
/// Requests of a replay come for at most so long, in nanoseconds: ten years. What algorithms do now and then they do all that time.
const LASTS_MAX: f64 = 10.0 * 365.0 * 86_400e9;
/// Of an answer that begins a tunnel, which lasts as long as client and endpoint like, and holds no slot.
const SWITCHING_PROTOCOLS: u16 = 101;

/// What an access log tells.
#[derive(Clone, Debug, Default)]
pub struct AccessLog {
    /// In order of arrival.
    entries: Vec<Entry>,
    endpoints: Vec<String>,
    clusters: Clusters,
    pub lines: u64,
    /// Lines of requests that no endpoint answered.
    pub unanswered: u64,
    /// Lines of connections that became tunnels.
    pub tunnels: u64,
    /// Lines that could not be read.
    pub bad: u64,
    /// The first of them: its number, and what is wrong.
    pub first_bad: Option<(u64, Flaw)>,
    /// Of entries of which only the second is known in which they ended: that, and their position. While the log is read.
    ends: Vec<(u64, usize)>,
    /// How few have no exact end, in a log that has.
    lack_msec: usize,
    /// Attempts that others followed, where the log says of which endpoints.
    given_up: Vec<GivenUp>,
    /// Of the requests that no endpoint answered, those that failed.
    errors: Vec<OwnError>,
    /// Whether its proxy may have asked somebody no more for a while because it failed.
    may_leave_out: bool,
    /// Requests that were left out for a replay, because they last for as long as somebody likes.
    streams: usize,
}

/// What the proxy told a client itself, because it had nobody to ask.
#[derive(Clone, Debug)]
struct OwnError {
    at: u64,
    /// Empty where the log does not say.
    cluster: Box<str>,
}

/// An attempt that another one followed.
#[derive(Clone, Copy, Debug)]
struct GivenUp {
    /// From its request's arrival, while the log is read.
    at: u64,
    took: u64,
    endpoint: u32,
    key: u64,
    reached: Reached,
    /// The position of its request, while the log is read.
    entry: usize,
    in_second: Option<NonZeroU32>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    at: u64,
    /// From the arrival to the answer.
    latency: u64,
    /// The part of it that it waited in the proxy.
    queued: u64,
    /// The part of it before the endpoint had it: that, and earlier attempts.
    before: u64,
    /// Attempts after the first.
    retries: u32,
    key: u64,
    endpoint: u32,
    line: u64,
    failed: bool,
    reached: Reached,
    /// Where of its end only the second is known, how many ended in it.
    in_second: Option<NonZeroU32>,
}

impl Entry {
    /// What earlier attempts took.
    fn attempted(&self) -> u64 {
        self.before - self.queued
    }

    /// When it was answered, or failed.
    fn end(&self) -> u64 {
        self.at + self.latency
    }

    /// How long the endpoint had it.
    fn at_endpoint(&self) -> u64 {
        self.latency - self.before
    }
}

/// How a log is replayed.
#[derive(Clone, Debug)]
pub struct ReplayOptions {
    pub contenders: Vec<Contender>,
    /// Of each endpoint; told from the log when not given.
    pub slots: Option<u32>,
    /// How many there are, when the log does not name them.
    pub endpoints: Option<u32>,
    /// Who was asked no more for a while after a failure was not there; otherwise the proxy left it out, if it is one that does.
    pub restarts: bool,
    /// Of endpoints by their names, those of the others are 1; told from the log where it tells them when none is given.
    pub weights: Vec<(String, u32)>,
    /// The same requests so many times as densely.
    pub times: f64,
    pub seed: u64,
    pub jobs: usize,
}

/// Why a log cannot be replayed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    #[error("no line of it could be read; line {line}, column {}: expected {}", .flaw.column, .flaw.expected)]
    AllBad { line: u64, flaw: Flaw },
    #[error("it is empty")]
    Empty,
    #[error("it does not name clusters, so that none can be chosen: split it by upstream instead")]
    Clusterless,
    #[error(
        "at --times {times} its requests would come for more than ten years, and no more is replayed: take at least \
             --times {least}"
    )]
    Lasts { times: String, least: String },
    #[error("no request in it was answered by an endpoint")]
    Nothing,
    #[error(
        "it does not name endpoints: log $upstream_addr behind $upstream_response_time, or say how many there are \
             with --endpoints 4"
    )]
    Nameless,
    #[error(
        "its requests went to {count} clusters, and a replay is of one: {listed}; choose it with {}", .option
    )]
    SeveralClusters { count: usize, listed: String, option: String },
    #[error("no endpoint `{name}`{near} is in it, for --weight; there are {known}")]
    UnknownEndpoint { name: String, near: String, known: String },
    #[error("no endpoint of a cluster `{name}`{near} answered a request in it; there are {known}")]
    UnknownCluster { name: String, near: String, known: String },
}

impl AccessLog {
    /// Reads line after line; lines that cannot be read are counted and passed over.
    pub fn read(mut from: impl BufRead) -> io::Result<Self> {
        if let Some(complaint) = beginning::complaint(from.fill_buf()?) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, complaint));
        }
        let mut log = Self::default();
        let mut line = Vec::new();
        loop {
            line.clear();
            if from.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            log.lines += 1;
            let line = if log.lines == 1 { beginning::without_mark(&line) } else { &line };
            log.take(line.trim_ascii());
        }
        log.tell_ends_apart();
        for attempt in &mut log.given_up {
            let entry = &log.entries[attempt.entry];
            (attempt.at, attempt.in_second) = (attempt.at + entry.at, entry.in_second);
        }
        log.given_up.sort_by_key(|attempt| attempt.at);
        log.entries.sort_by_key(|entry| entry.at);
        log.leave_out_other_years();
        log.number_by_first_request();
        Ok(log)
    }

    /// Lines are in the order of the answers, and a proxy that takes its endpoints by turns has asked them in the order of its configuration.
    fn number_by_first_request(&mut self) {
        let mut first = vec![u64::MAX; self.endpoints.len()];
        let answered = self.entries.iter().map(|entry| (entry.endpoint, entry.at + entry.before));
        let given_up = self.given_up.iter().map(|attempt| (attempt.endpoint, attempt.at));
        for (endpoint, at) in answered.chain(given_up) {
            let first = &mut first[endpoint as usize];
            *first = at.min(*first);
        }
        let mut order: Vec<usize> = (0..first.len()).collect();
        order.sort_by_key(|endpoint| first[*endpoint]);
        let mut numbers = vec![0; order.len()];
        for (number, endpoint) in (0..).zip(&order) {
            numbers[*endpoint] = number;
        }
        self.endpoints = order.iter().map(|endpoint| mem::take(&mut self.endpoints[*endpoint])).collect();
        self.clusters.renumber(&numbers);
        self.entries.iter_mut().for_each(|entry| entry.endpoint = numbers[entry.endpoint as usize]);
        self.given_up.iter_mut().for_each(|attempt| attempt.endpoint = numbers[attempt.endpoint as usize]);
    }

    /// One line of 1970 would make a log of an hour one of decades.
    fn leave_out_other_years(&mut self) {
        let Some(middle) = self.entries.get(self.entries.len() / 2).map(|entry| entry.at) else { return };
        let is_away = |entry: &Entry| entry.at.abs_diff(middle) > AWAY_MAX;
        for entry in self.entries.iter().filter(|entry| is_away(entry)) {
            self.bad += 1;
            if self.first_bad.as_ref().is_none_or(|(line, _)| entry.line < *line) {
                let expected = "a time within a year of the other lines'".to_owned();
                self.first_bad = Some((entry.line, Flaw { column: 1, expected }));
            }
        }
        self.entries.retain(|entry| !is_away(entry));
        self.given_up.retain(|attempt| attempt.at.abs_diff(middle) <= AWAY_MAX);
        self.errors.retain(|error| error.at.abs_diff(middle) <= AWAY_MAX);
    }

    fn take(&mut self, line: &[u8]) {
        match line::read(line) {
            Ok(Line::Told(told)) if told.status == SWITCHING_PROTOCOLS => self.tunnels += 1,
            Ok(Line::Told(told)) => self.add(&told),
            Ok(Line::Unanswered(unanswered)) => self.add_unanswered(unanswered),
            Err(flaw) => {
                self.bad += 1;
                self.first_bad.get_or_insert((self.lines, flaw));
            }
        }
    }

    fn add(&mut self, told: &Told<'_>) {
        let name = told.endpoint.as_deref().unwrap_or_default();
        let cluster = told.cluster.as_deref().unwrap_or_default();
        let endpoint = self.clusters.count(cluster, name);
        self.name(endpoint, name);
        let entry = self.entries.len();
        self.may_leave_out |= told.may_leave_out;
        if let Some(second) = told.ended_in {
            self.ends.push((second, entry));
        }
        let key = mix(told.client.bytes().fold(1, |hash: u64, byte| mix(hash ^ u64::from(byte))));
        for attempt in &told.earlier {
            let endpoint = self.clusters.endpoint(cluster, &attempt.endpoint);
            self.name(endpoint, &attempt.endpoint);
            let &Earlier { after: at, took, reached, .. } = attempt;
            self.given_up.push(GivenUp { at, took, endpoint, key, reached, entry, in_second: None });
        }
        self.entries.push(Entry {
            at: told.at,
            latency: told.latency,
            queued: told.queued,
            before: told.before,
            retries: told.retries,
            key,
            endpoint,
            line: self.lines,
            failed: is_failure(told.status),
            reached: told.reached,
            in_second: None,
        });
    }

    fn add_unanswered(&mut self, Unanswered { at, status, cluster }: Unanswered<'_>) {
        self.unanswered += 1;
        if status.is_some_and(is_failure) {
            let cluster = cluster.as_deref().unwrap_or_default().into();
            self.errors.push(OwnError { at, cluster });
        }
    }

    /// Endpoints are numbered as they come.
    fn name(&mut self, endpoint: u32, name: &str) {
        if endpoint as usize == self.endpoints.len() {
            self.endpoints.push(name.to_owned());
        }
    }

    /// Those that ended in one second did so in the order of their lines: at even distances, as far as anybody knows. Lines of other seconds may
    /// be between them, where several processes write.
    fn tell_ends_apart(&mut self) {
        let mut ends = mem::take(&mut self.ends);
        if ends.len() * FEW_LACK < self.entries.len() {
            self.lack_msec = ends.len();
            return self.place_behind_others(&ends);
        }
        ends.sort_by_key(|end| end.0);
        for ended in ends.chunk_by(|one, other| one.0 == other.0) {
            let count = ended.len() as u64;
            for (place, &(_, entry)) in (0..count).zip(ended) {
                let entry = &mut self.entries[entry];
                entry.at += SECOND / 2 * (2 * place + 1) / count;
                entry.in_second = u32::try_from(count).ok().and_then(NonZeroU32::new);
            }
        }
    }

    /// Those few end where the line before them does, as far as their second allows: lines are in the order of the ends.
    fn place_behind_others(&mut self, ends: &[(u64, usize)]) {
        for &(second, place) in ends {
            let before = place
                .checked_sub(1)
                .map_or(0, |before| self.entries[before].at + self.entries[before].latency);
            self.entries[place].at += before.clamp(second, second + SECOND - 1) - second;
        }
    }

    /// How many requests an endpoint answered.
    pub fn requests(&self) -> usize {
        self.entries.len()
    }

    /// What of it went to one cluster.
    pub fn of_cluster(mut self, name: &str) -> Result<Self, ReplayError> {
        if let Some(complaint) = self.complaint() {
            return Err(complaint);
        }
        let belongs = self.clusters.membership(name)?;
        let (entries, endpoints) = (mem::take(&mut self.entries), mem::take(&mut self.endpoints));
        let given_up = mem::take(&mut self.given_up);
        let mut only = Self { clusters: Clusters::default(), ..self };
        for entry in entries.into_iter().filter(|entry| belongs[entry.endpoint as usize]) {
            let endpoint = &endpoints[entry.endpoint as usize];
            let number = only.clusters.count(name, endpoint);
            only.name(number, endpoint);
            only.entries.push(Entry { endpoint: number, ..entry });
        }
        only.errors.retain(|error| *error.cluster == *name);
        for attempt in given_up.into_iter().filter(|attempt| belongs[attempt.endpoint as usize]) {
            let endpoint = &endpoints[attempt.endpoint as usize];
            let number = only.clusters.endpoint(name, endpoint);
            only.name(number, endpoint);
            only.given_up.push(GivenUp { endpoint: number, ..attempt });
        }
        Ok(only)
    }

    /// Requests that failed and fail with nobody in a replay, because the log does not name whose they were.
    pub fn failures_of_nobody(&self) -> usize {
        if self.names_endpoints() { 0 } else { self.entries.iter().filter(|entry| entry.failed).count() }
    }

    /// What each algorithm would have made of it. The first outcome is the log's own.
    pub fn replay(&self, options: &ReplayOptions, progress: &Progress) -> Result<Comparison, ReplayError> {
        self.is_replayable(options)?;
        match streams::left_out(self, options) {
            Some(others) => Ok(others.replayed(options, progress)),
            None => Ok(self.replayed(options, progress)),
        }
    }

    fn is_replayable(&self, options: &ReplayOptions) -> Result<(), ReplayError> {
        if let Some(complaint) = self.complaint().or_else(|| self.clusters.complaint()) {
            return Err(complaint);
        }
        if !self.names_endpoints() && options.endpoints.is_none() {
            return Err(ReplayError::Nameless);
        }
        weights::check(&self.endpoint_names(options), options)?;
        self.lasts_not_too_long(options.times)
    }

    /// Those of a replay.
    fn endpoint_names(&self, options: &ReplayOptions) -> Vec<String> {
        if self.names_endpoints() {
            return self.endpoints.clone();
        }
        (1..=self.endpoints(options).max(1)).map(|number| format!("e{number}")).collect()
    }

    fn replayed(&self, options: &ReplayOptions, progress: &Progress) -> Comparison {
        let fleet = Fleet::of(self, options);
        let (assumed, explained) = (assumed::sentences(&fleet, self, options), fleet.explained(self));
        let plan = fleet.plan(self, options);
        let mut outcomes = vec![self.as_it_was(&plan, options)];
        outcomes.extend(run_all(&plan, &options.contenders, options.jobs, progress));
        let at_once = presence::at_once(&plan.machines, plan.until.0);
        if at_once.is_some() {
            for outcome in &mut outcomes[1..] {
                presence::utilised_while_there(outcome, &plan.machines, plan.warm_up.0, plan.until.0);
            }
        }
        Comparison { at_once, assumed, explained, ..compared(&plan, outcomes) }
    }

    fn lasts_not_too_long(&self, times: f64) -> Result<(), ReplayError> {
        let lasts = self.entries.last().map_or(0, |last| last.at - self.first_at()) as f64;
        if lasts / times <= LASTS_MAX {
            return Ok(());
        }
        // Rounded up to three digits, so that it will do.
        let (least, digits) = (lasts / LASTS_MAX, (lasts / LASTS_MAX).log10().floor() - 2.0);
        let least = (least / 10_f64.powf(digits)).ceil() * 10_f64.powf(digits);
        Err(ReplayError::Lasts { times: times.to_string(), least: format!("{least:.2e}") })
    }

    fn complaint(&self) -> Option<ReplayError> {
        match (&self.first_bad, self.entries.is_empty()) {
            _ if self.lines == 0 => Some(ReplayError::Empty),
            (_, false) => None,
            (Some((line, flaw)), true) if self.unanswered == 0 => {
                Some(ReplayError::AllBad { line: *line, flaw: flaw.clone() })
            }
            (_, true) => Some(ReplayError::Nothing),
        }
    }

    /// In nanoseconds, at least 1.
    fn mean_latency(&self) -> f64 {
        let total: f64 = self.entries.iter().map(|entry| entry.at_endpoint() as f64).sum();
        (total / self.entries.len().max(1) as f64).max(1.0)
    }

    fn first_at(&self) -> u64 {
        self.entries.first().map_or(0, |entry| entry.at)
    }

    /// From the first arrival to just behind the last.
    fn lasts(&self) -> u64 {
        self.entries.last().map_or(0, |last| last.at - self.first_at()) + 1
    }

    /// The places of each one's entries.
    fn by_endpoint(&self) -> Vec<Vec<usize>> {
        let mut places = vec![Vec::new(); self.endpoints.len()];
        for (place, entry) in self.entries.iter().enumerate() {
            places[entry.endpoint as usize].push(place);
        }
        places
    }

    /// How many a replay has.
    pub(crate) fn endpoints(&self, options: &ReplayOptions) -> usize {
        match options.endpoints {
            Some(given) if !self.names_endpoints() => given as usize,
            _ => self.endpoints.len(),
        }
    }

    fn given_up_by_endpoint(&self) -> Vec<Vec<GivenUp>> {
        let mut given_up = vec![Vec::new(); self.endpoints.len()];
        for attempt in &self.given_up {
            given_up[attempt.endpoint as usize].push(*attempt);
        }
        given_up
    }

    /// How many requests were tried again after a failure.
    pub fn retried(&self) -> usize {
        self.entries.iter().filter(|entry| entry.retries > 0).count()
    }

    /// Whoever is usually compared, and tries again where the log's own proxy did so.
    pub fn usual_contenders(&self) -> Vec<Contender> {
        let usual = Scenario::usual_algorithms();
        if self.given_up.is_empty() { usual } else { usual.into_iter().map(Contender::retrying).collect() }
    }

    /// As many as were given. A nameless log is one endpoint with everybody's slots.
    fn slots_of_one(&self, options: &ReplayOptions) -> Option<u32> {
        let all = if self.names_endpoints() { 1 } else { options.endpoints.unwrap_or(1) };
        options.slots.map(|slots| slots.saturating_mul(all))
    }

    fn names_endpoints(&self) -> bool {
        self.endpoints.iter().any(|name| !name.is_empty())
    }

    /// What the log itself says of its latencies.
    fn as_it_was(&self, plan: &Plan, options: &ReplayOptions) -> Outcome {
        let mut recorder = Recorder::new(self.endpoints.len(), plan.warm_up.0, plan.until.0);
        let Traffic::Recorded(requests) = &plan.traffic else { return Outcome::default() };
        for (entry, request) in self.entries.iter().zip(requests.iter()) {
            let endpoint = entry.endpoint as usize;
            recorder.sent(endpoint, request.at);
            recorder.record(&Done {
                endpoint,
                arrived: request.at,
                latency: entry.latency,
                work: request.work,
                failed: entry.failed,
                extra: ExtraAttempts { retries: entry.retries, ..ExtraAttempts::default() },
            });
        }
        for error in &self.errors {
            recorder.refused((error.at.saturating_sub(self.first_at()) as f64 / options.times) as u64);
        }
        let names: Vec<&str> = self.endpoints.iter().map(String::as_str).collect();
        let one_each = vec![options.slots.unwrap_or(1); names.len()];
        Outcome {
            algorithm: RECORDED.to_owned(),
            requests: recorder.requests(),
            failed: recorder.failed(),
            extra: recorder.extra(),
            latency_ms: recorder.latency(),
            excess_ms: recorder.excess(),
            endpoints: recorder.endpoints(&names, &vec![0.0; names.len()]),
            timeline: recorder.timeline(&names, &one_each),
            distribution: recorder.distribution(),
            ..Outcome::default()
        }
    }
}

fn warm_up(until: u64) -> u64 {
    (until / WARM_UP_PART).min(WARM_UP_MAX)
}

/// How far a replay is.
impl Progress {
    pub fn of_replay(log: &AccessLog, options: &ReplayOptions) -> Self {
        let (first, last) = (log.entries.first(), log.entries.last());
        let span = first.zip(last).map_or(0, |(first, last)| last.at - first.at);
        Self::new(options.contenders.len(), (span as f64 / options.times) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::made::options;
    use super::*;
    use crate::random::Random;
    use std::fmt::Write as _;

    fn replay(text: &str, options: &ReplayOptions) -> Result<Comparison, ReplayError> {
        let log = AccessLog::read(text.as_bytes()).unwrap();
        log.replay(options, &Progress::of_replay(&log, options))
    }

    /// Requests every 2 ms to four endpoints in turn, 5 ms each but 20 ms at the last one.
    fn log() -> String {
        (0..8_000).fold(String::new(), |mut text, number| {
            let (ms, endpoint) = (number * 2, number % 4);
            let latency = if endpoint == 3 { 20 } else { 5 };
            let _ = writeln!(
                text,
                r#"{{"time":"2026-10-10T13:00:{:02}.{:03}Z","client":"c","endpoint":"e{endpoint}","status":200,"queue_ms":0,"first_byte_ms":{latency}}}"#,
                ms / 1_000,
                ms % 1_000
            );
            text
        })
    }

    #[test]
    fn a_slow_endpoint_is_told_from_the_log_and_given_less() {
        let replay = replay(&log(), &options(&["round_robin", "adaptive"])).unwrap();
        assert!(
            replay.assumed[3].contains("e3") && replay.assumed[3].contains("speed 0.25"),
            "{:?}",
            replay.assumed
        );
        let [log, robin, adaptive] = replay.outcomes.as_slice() else { panic!("three") };
        assert!((log.latency_ms.p99 - 20.0).abs() < 0.1 && (robin.latency_ms.p99 - 20.0).abs() < 0.1);
        assert!(adaptive.share(3) < 0.1 && adaptive.latency_ms.p50 < 5.1, "{}", adaptive.share(3));
    }

    #[test]
    fn bad_lines_are_counted_and_the_first_is_shown() {
        let text = format!("{}garbage\n{{\"time\":1}}\n", log());
        let log = AccessLog::read(text.as_bytes()).unwrap();
        assert_eq!((log.lines, log.bad, log.requests()), (8_002, 2, 8_000));
        let (line, flaw) = log.first_bad.unwrap();
        assert_eq!((line, flaw.column), (8_001, 1));
    }

    #[test]
    fn a_line_of_another_year_is_left_out_like_one_that_cannot_be_read() {
        let stray = log().lines().nth(7).unwrap().replace("2026-10-10", "1970-01-01");
        let log = AccessLog::read(format!("{}{stray}\n{}", log(), log()).as_bytes()).unwrap();
        assert_eq!((log.lines, log.bad, log.requests()), (16_001, 1, 16_000));
        let (line, flaw) = log.first_bad.as_ref().unwrap();
        assert!(*line == 8_001 && flaw.expected.contains("within a year"), "{line}: {flaw:?}");
        let comparison =
            log.replay(&options(&["round_robin"]), &Progress::of_replay(&log, &options(&[]))).unwrap();
        assert!(comparison.seconds < 20.0, "{}", comparison.seconds);
    }

    #[test]
    fn what_would_come_for_more_than_ten_years_is_refused_with_what_would_do() {
        let thin = |times| replay(&log(), &ReplayOptions { times, ..options(&["round_robin"]) });
        let error = thin(1e-9).unwrap_err().to_string();
        assert!(error.contains("--times 0.000000001") && error.ends_with("--times 5.08e-8"), "{error}");
        assert!(thin(5.08e-8).is_ok());
    }

    #[test]
    fn a_compressed_log_is_refused_with_what_unpacks_it() {
        let error = AccessLog::read([0x1f, 0x8b, 8, 0].as_slice()).unwrap_err();
        assert!(error.to_string().contains("zcat FILE |"), "{error}");
    }

    #[test]
    fn a_log_of_nothing_but_bad_lines_is_refused_with_the_first() {
        let error = replay("garbage\n", &options(&["adaptive"])).unwrap_err();
        assert!(error.to_string().contains("line 1, column 1: expected JSON"), "{error}");
        assert_eq!(replay("", &options(&["adaptive"])).unwrap_err(), ReplayError::Empty);
    }

    #[test]
    fn a_mark_before_the_first_line_is_no_part_of_it() {
        let log = AccessLog::read(format!("\u{feff}{}", log()).as_bytes()).unwrap();
        assert_eq!((log.bad, log.requests()), (0, 8_000));
    }

    #[test]
    fn a_name_that_a_terminal_would_obey_is_shown_and_not_done() {
        let text = log().replace("\"e1\"", r#""e\u001b[2J""#);
        let table = replay(&text, &options(&["round_robin"])).unwrap().to_table();
        assert!(table.contains(r"- e\u{1b}[2J: ") && !table.contains('\u{1b}'), "{table}");
    }

    /// A queue before four slots, busy for nine tenths of the time: as nginx logs it, in whole seconds and the order of the ends, and exactly.
    #[test]
    fn as_many_slots_are_found_in_a_log_of_whole_seconds() {
        let mut random = Random::new(5);
        let (mut free, mut now) = ([0.0_f64; 4], 0.0);
        let mut requests: Vec<_> = (0..20_000)
            .map(|_| {
                now += 0.01 / 3.6 * random.exponential();
                let slot = free.iter_mut().min_by(|one, other| one.total_cmp(other)).unwrap();
                *slot = slot.max(now) + 0.01 * random.exponential();
                (now, *slot)
            })
            .collect();
        requests.sort_by(|one, other| one.1.total_cmp(&other.1));
        let (mut nginx, mut exact) = (String::new(), String::new());
        for (began, ended) in requests {
            let took = ended - began;
            let _ = writeln!(
                nginx,
                "c - - [10/Oct/2026:13:{:02}:{:02} +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"x\" {took:.3} {took:.3} e:1",
                ended as u64 / 60,
                ended as u64 % 60
            );
            let _ = writeln!(
                exact,
                r#"{{"time":"2026-10-10T13:{:02}:{:09.6}Z","client":"c","endpoint":"e:1","status":200,"queue_ms":0,"first_byte_ms":{}}}"#,
                began as u64 / 60,
                began % 60.0,
                1e3 * took
            );
        }
        let told = |text: &str| {
            let replay = replay(text, &options(&["least_request"])).unwrap();
            let slots = replay.assumed[0].split(' ').nth(1).unwrap().parse::<u32>().unwrap();
            (slots, replay.explained.unwrap())
        };
        let ((nginx, _), (exact, explained)) = (told(&nginx), told(&exact));
        assert!(exact == 4 && nginx.abs_diff(exact) <= 1, "{nginx}, and {exact} by exact times");
        assert!((explained.model_ms.p99 / explained.log_ms.p99 - 1.0).abs() < 0.01, "{explained:?}");
        assert!(
            (explained.waited_work.unwrap() - 1.0).abs() < 0.1 && explained.too_soon < 0.01,
            "{explained:?}"
        );
    }

    #[test]
    fn turns_begin_with_who_was_asked_first_and_not_with_who_answered_first() {
        let line = |ms: f64, took: f64, endpoint| made::text([((ms, took, 7, endpoint), 200)]);
        let lines = [line(2.0, 5.0, 2), line(1.0, 7.0, 1), line(0.0, 20.0, 0), line(3.0, 30.0, 1)];
        let log = AccessLog::read(lines.concat().as_bytes()).unwrap();
        assert_eq!(log.endpoint_names(&options(&["round_robin"])), ["e0", "e1", "e2"]);
        let asked: Vec<u32> = log.entries.iter().map(|entry| entry.endpoint).collect();
        assert_eq!(asked, [0, 1, 2, 1]);
    }

    #[test]
    fn a_log_without_names_needs_a_number_of_endpoints() {
        let text = "c - - [10/Oct/2026:13:55:36 +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"x\" 0.010 0.010\n"
            .repeat(500);
        assert_eq!(replay(&text, &options(&["adaptive"])).unwrap_err(), ReplayError::Nameless);
        let given = ReplayOptions { endpoints: Some(4), ..options(&["adaptive"]) };
        assert_eq!(replay(&text, &given).unwrap().endpoints, 4);
    }

    #[test]
    fn failures_are_nobodys_where_nobody_is_named() {
        let line = |address: &str, status| {
            format!(
                "c - - [10/Oct/2026:13:55:36 +0000] \"GET / HTTP/1.1\" {status} 5 \"-\" \"x\" 0.010 0.010{address}\n"
            )
        };
        for (address, expected) in [("", 3), (" 10.0.0.1:80", 0)] {
            let text = line(address, 200).repeat(500) + &line(address, 502).repeat(3);
            let log = AccessLog::read(text.as_bytes()).unwrap();
            assert_eq!(log.failures_of_nobody(), expected, "{address}");
        }
    }

    /// Requests every 5 ms, two of three to the quick endpoints of one cluster, the others to a slow one of the same name in another.
    fn log_of_two_clusters() -> String {
        (0..8_000).fold(String::new(), |mut text, number| {
            let (cluster, endpoint, latency) = [("shop", 0, 5), ("reports", 0, 100), ("shop", 1, 5)][number % 3];
            let _ = writeln!(
                text,
                r#"{{"time":"2026-10-10T13:00:{:02}.{:03}Z","client":"c","cluster":"{cluster}","endpoint":"e{endpoint}","status":200,"queue_ms":0,"first_byte_ms":{latency}}}"#,
                number * 5 / 1_000,
                number * 5 % 1_000
            );
            text
        })
    }

    #[test]
    fn clusters_are_not_mixed_and_the_chosen_one_is_replayed_alone() {
        let text = log_of_two_clusters();
        let mixed = replay(&text, &options(&["adaptive"])).unwrap_err().to_string();
        assert!(mixed.contains("shop (5333 requests), reports (2667); choose"), "{mixed}");
        let only = |cluster: &str| AccessLog::read(text.as_bytes()).unwrap().of_cluster(cluster);
        for (cluster, endpoints, p99) in [("shop", 2, 5.0), ("reports", 1, 100.0)] {
            let (log, options) = (only(cluster).unwrap(), options(&["round_robin"]));
            let comparison = log.replay(&options, &Progress::of_replay(&log, &options)).unwrap();
            assert_eq!(comparison.endpoints, endpoints);
            for outcome in &comparison.outcomes {
                assert!((outcome.latency_ms.p99 / p99 - 1.0).abs() < 0.05, "{cluster}: {outcome:?}");
            }
        }
        assert!(matches!(only("report").unwrap_err(), ReplayError::UnknownCluster { .. }));
        let garbage = AccessLog::read("garbage\n".as_bytes()).unwrap();
        assert!(matches!(garbage.of_cluster("shop").unwrap_err(), ReplayError::AllBad { .. }));
    }

    #[test]
    fn denser_traffic_meets_the_same_endpoints() {
        let dense = ReplayOptions { times: 4.0, slots: Some(4), ..options(&["round_robin"]) };
        let comparison = replay(&log(), &dense).unwrap();
        assert!((comparison.seconds - 4.0).abs() < 0.1 && comparison.slots == 16);
        assert!(comparison.outcomes[1].latency_ms.p99 > 100.0, "the slow one cannot follow");
    }

    #[test]
    fn an_endpoint_that_failed_at_once_fails_at_once_again() {
        let mut text = log();
        text = text.replace(
            r#""endpoint":"e1","status":200,"queue_ms":0,"first_byte_ms":5"#,
            r#""endpoint":"e1","status":503,"queue_ms":0,"first_byte_ms":0.2"#,
        );
        let comparison = replay(&text, &options(&["least_request", "adaptive"])).unwrap();
        assert!((comparison.outcomes[0].errors() - 0.25).abs() < 0.01);
        assert!(comparison.outcomes[1].errors() >= 0.25 && comparison.outcomes[2].errors() < 0.01);
    }

    /// One of four endpoints fails, and takes as long as the others for it.
    #[test]
    fn an_endpoint_of_which_the_log_has_only_failures_is_as_fast_as_others() {
        let text = log()
            .replace(r#""first_byte_ms":20"#, r#""first_byte_ms":5"#)
            .replace(r#""endpoint":"e1","status":200"#, r#""endpoint":"e1","status":500"#);
        let calm = replay(&text, &options(&["oracle", "adaptive"])).unwrap();
        let told = "e1: 1 slot, the most that were in flight, speed 1.00 for want of answers";
        assert!(calm.assumed[1].starts_with(told), "{:?}", calm.assumed);
        assert!(calm.outcomes[1..].iter().all(|outcome| outcome.errors() < 0.01));
        // Twice as many as all four can do: whoever failed in no time would be sent whatever is too much.
        let dense = ReplayOptions { times: 2.0, ..options(&["oracle"]) };
        let errors = replay(&text, &dense).unwrap().outcomes[1].errors();
        assert!((0.2..0.3).contains(&errors), "{errors}");
    }

    /// Three of four requests fail at once, and one of a hundred of the others takes forty times as long.
    #[test]
    fn a_failed_request_is_as_much_work_as_others_of_all_sizes() {
        let text = (0..8_000).fold(String::new(), |mut text, number| {
            let (endpoint, status, latency) = match number {
                _ if number % 4 != 0 => (0, 500, 0.1),
                _ if number % 400 == 0 => (1, 200, 200.0),
                _ => (1, 200, 5.0),
            };
            let ms = number * 5;
            let _ = writeln!(
                text,
                r#"{{"time":"2026-10-10T13:00:{:02}.{:03}Z","client":"c","endpoint":"e{endpoint}","status":{status},"queue_ms":0,"first_byte_ms":{latency}}}"#,
                ms / 1_000,
                ms % 1_000
            );
            text
        });
        let given = ReplayOptions { slots: Some(50), ..options(&["adaptive"]) };
        let [first, again] = [(), ()].map(|()| replay(&text, &given).unwrap());
        let adaptive = &first.outcomes[1];
        assert!(adaptive.errors() < 0.01 && (adaptive.latency_ms.mean - 6.95).abs() < 0.7, "{adaptive:?}");
        assert_eq!(adaptive.distribution, again.outcomes[1].distribution);
    }

    /// In turn, where the last of four endpoints gives up so many of ten after `lost_ms`, and the next one answers those.
    fn retried(of_ten: u32, lost_ms: u32) -> String {
        (0..8_000_u32).fold(String::new(), |mut text, number| {
            let ms = number * 5;
            let given_up = format!(r#"[{{"endpoint":"e3","status":500,"ms":{lost_ms}}}]"#);
            let (endpoint, given_up, queue_ms) = match number % 4 {
                3 if number / 4 * 7 % 10 < of_ten => (number / 4 % 3, given_up.as_str(), lost_ms),
                endpoint => (endpoint, "null", 0),
            };
            let _ = writeln!(
                text,
                r#"{{"time":"2026-10-10T13:00:{:02}.{:03}Z","client":"c","endpoint":"e{endpoint}","status":200,"queue_ms":{queue_ms},"first_byte_ms":20,"given_up":{given_up}}}"#,
                ms / 1_000,
                ms % 1_000
            );
            text
        })
    }

    #[test]
    fn attempts_that_others_followed_are_failures_of_their_endpoints_and_time_of_their_clients() {
        // After the work, and by a client that waits no longer.
        for lost_ms in [20, 1_000] {
            let asked = options(&["round_robin+retry", "round_robin", "adaptive+retry"]);
            let replay = replay(&retried(3, lost_ms), &asked).unwrap();
            let [log, again, once, adaptive] = replay.outcomes.as_slice() else { panic!("four") };
            let mean = 20.0 + 0.3 / 4.0 * f64::from(lost_ms);
            for outcome in [log, again] {
                let times = outcome.latency_ms.mean / mean;
                assert!((0.93..1.07).contains(&times), "{lost_ms}: {times} {outcome:?}");
                let part = f64::from(outcome.extra.retries) / outcome.requests as f64;
                assert!((part - 0.075).abs() < 0.01 && outcome.failed == 0, "{lost_ms}: {part}");
            }
            assert!((once.errors() - 0.075).abs() < 0.01, "{lost_ms}: {}", once.errors());
            assert!(adaptive.extra.retries < again.extra.retries / 4, "{lost_ms}: {:?}", adaptive.extra);
            let said = &replay.assumed[4];
            assert!(said.starts_with("600 of 8000 requests were tried again: 600 attempts"), "{said}");
            assert!(said.ends_with("what the log's row has none of"), "{said}");
        }
        let log = AccessLog::read(retried(3, 20).as_bytes()).unwrap();
        assert!(log.usual_contenders().iter().all(|contender| contender.name.ends_with("+retry")));
    }

    #[test]
    fn however_many_are_given_up_the_first_attempt_after_that_is_free() {
        let replay = replay(&retried(9, 2), &options(&["round_robin+retry"])).unwrap();
        let again = &replay.outcomes[1];
        let part = f64::from(again.extra.retries) / again.requests as f64;
        assert!(part > 0.2 && again.failed == 0, "{part}, {}", again.failed);
    }

    #[test]
    fn a_log_of_nothing_but_failures_is_replayed_as_that() {
        let text = log().replace(r#""status":200"#, r#""status":503"#);
        let comparison = replay(&text, &options(&["oracle", "adaptive"])).unwrap();
        assert!(comparison.outcomes.iter().all(|outcome| outcome.errors() > 0.999));
    }
}
