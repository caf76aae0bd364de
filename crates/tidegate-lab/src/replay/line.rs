//! One line of an access log: Tidegate's own JSON, nginx's combined format with times behind it, or `HAProxy`'s HTTP format.
//! Knows the formats, not what is made of them.

use super::date;
use super::scan::{Flaw, List, Scan};
use serde::Deserialize;
use std::borrow::Cow;

/// An attempt that was given up for another one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Earlier<'l> {
    pub(super) endpoint: Cow<'l, str>,
    /// From the request's arrival in the proxy, in nanoseconds.
    pub(super) after: u64,
    /// Until it was given up, in nanoseconds.
    pub(super) took: u64,
    pub(super) reached: Reached,
}

/// Whether an attempt reached its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reached {
    Yes,
    /// Nothing listened, or no way led there.
    Refused,
    /// The connect timed out.
    Silent,
    /// It failed, and the log does not say how.
    Unknown,
}

impl Reached {
    pub(super) fn is_unconnected(self) -> bool {
        matches!(self, Self::Refused | Self::Silent)
    }

    /// By the cause in Tidegate's log.
    fn by_cause(cause: &str) -> Self {
        match cause {
            "connect_refused" | "connect_unreachable" => Self::Refused,
            "connect_timeout" => Self::Silent,
            _ => Self::Yes,
        }
    }
}

/// What a line tells of a request that an endpoint answered.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Told<'l> {
    /// When it came to the proxy, in nanoseconds since 1970.
    pub(super) at: u64,
    /// The whole second in which it ended, where the log says no more. Its lines are in the order of the ends.
    pub(super) ended_in: Option<u64>,
    /// How long it waited in the proxy, in nanoseconds.
    pub(super) queued: u64,
    /// From its arrival to the attempt that was answered: what it waited and what earlier attempts took, in nanoseconds.
    pub(super) before: u64,
    /// From its arrival to its answer, all that is before included, in nanoseconds.
    pub(super) latency: u64,
    /// In their order.
    pub(super) earlier: Vec<Earlier<'l>>,
    /// Attempts after the first.
    pub(super) retries: u32,
    /// Which one the endpoint is of, where the log says so.
    pub(super) cluster: Option<Cow<'l, str>>,
    pub(super) endpoint: Option<Cow<'l, str>>,
    pub(super) client: Cow<'l, str>,
    pub(super) status: u16,
    pub(super) reached: Reached,
    /// Whether the proxy may ask somebody no more for a while because it failed.
    pub(super) may_leave_out: bool,
}

/// What a line is about.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Line<'l> {
    Told(Told<'l>),
    /// A request that no endpoint answered: a redirect, a file of the proxy's own, an error.
    Unanswered(Unanswered<'l>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Unanswered<'l> {
    /// When it came to the proxy, in nanoseconds since 1970.
    pub(super) at: u64,
    /// What the client was told, if anything.
    pub(super) status: Option<u16>,
    pub(super) cluster: Option<Cow<'l, str>>,
}

pub(super) fn read(line: &[u8]) -> Result<Line<'_>, Flaw> {
    let is_nginx = || line.windows(3).any(|window| window == b"] \"");
    match line.first() {
        Some(b'{') => ours(line),
        _ if is_nginx() => nginx(line),
        _ => haproxy(line),
    }
}

/// No request takes eleven days; what does has overflowed somewhere.
const TIMES_MS: std::ops::Range<f64> = 0.0..1e9;

/// The fields of docs/access-log.md that matter here.
#[derive(Deserialize)]
struct Ours<'l> {
    #[serde(borrow)]
    time: Cow<'l, str>,
    #[serde(borrow)]
    client: Option<Cow<'l, str>>,
    #[serde(borrow)]
    cluster: Option<Cow<'l, str>>,
    #[serde(borrow)]
    endpoint: Option<Cow<'l, str>>,
    status: Option<u16>,
    queue_ms: Option<f64>,
    connect_ms: Option<f64>,
    first_byte_ms: Option<f64>,
    total_ms: Option<f64>,
    #[serde(borrow)]
    cause: Option<Cow<'l, str>>,
    #[serde(borrow)]
    given_up: Option<Vec<GivenUp<'l>>>,
    /// Then what was before is no sequence of attempts.
    hedged: Option<bool>,
}

#[derive(Deserialize)]
struct GivenUp<'l> {
    #[serde(borrow)]
    endpoint: Option<Cow<'l, str>>,
    #[serde(borrow)]
    cause: Option<Cow<'l, str>>,
    ms: Option<f64>,
}

/// One after the other, until the next one was made.
fn given_up(attempts: Vec<GivenUp<'_>>, before: u64) -> Vec<Earlier<'_>> {
    let (mut until, mut earlier) = (before, Vec::with_capacity(attempts.len()));
    for GivenUp { endpoint, cause, ms } in attempts.into_iter().rev() {
        let reached = cause.as_deref().map_or(Reached::Unknown, Reached::by_cause);
        let took = nanoseconds(ms.unwrap_or_default().clamp(TIMES_MS.start, TIMES_MS.end)).min(until);
        until -= took;
        earlier.extend(endpoint.map(|endpoint| Earlier { endpoint, after: until, took, reached }));
    }
    earlier.reverse();
    earlier
}

fn ours(line: &[u8]) -> Result<Line<'_>, Flaw> {
    let read = serde_json::from_slice::<Ours<'_>>(line);
    let ours =
        read.map_err(|error| Flaw { column: error.column().max(1), expected: without_place(&error) })?;
    let began = date::rfc3339(&ours.time).ok_or_else(|| {
        let column = line.windows(6).position(|window| window == b"\"time\"").unwrap_or_default() + 1;
        Flaw { column, expected: "a `time` like 2026-11-23T01:14:19.123Z".to_owned() }
    })?;
    let queue_ms = ours.queue_ms.unwrap_or_default();
    // An endpoint that fails without an answer has had the request all the time.
    let failed_after = ours
        .total_ms
        .filter(|_| ours.status.is_some_and(is_failure))
        .map(|total_ms| (total_ms - queue_ms).max(0.0));
    let (connect_ms, first_byte_ms) = match (ours.first_byte_ms, failed_after) {
        (Some(first_byte_ms), _) => (ours.connect_ms.unwrap_or_default(), Some(first_byte_ms)),
        (None, failed_after) => (0.0, failed_after),
    };
    let (Some(endpoint), Some(first_byte_ms), Some(status)) = (ours.endpoint, first_byte_ms, ours.status)
    else {
        return Ok(Line::Unanswered(Unanswered { at: began, status: ours.status, cluster: ours.cluster }));
    };
    let times = [("queue_ms", queue_ms), ("connect_ms", connect_ms), ("first_byte_ms", first_byte_ms)];
    for (name, time) in times {
        if !TIMES_MS.contains(&time) {
            let column = line.windows(name.len()).position(|window| window == name.as_bytes());
            let column = column.unwrap_or_default() + 1;
            return Err(Flaw { column, expected: format!("a `{name}` of less than 1000000 s") });
        }
    }
    let before = nanoseconds(queue_ms);
    let is_sequence = ours.hedged != Some(true);
    let earlier = given_up(ours.given_up.filter(|_| is_sequence).unwrap_or_default(), before);
    Ok(Line::Told(Told {
        at: began,
        ended_in: None,
        queued: before - earlier.iter().map(|attempt| attempt.took).sum::<u64>(),
        before,
        latency: nanoseconds(queue_ms + connect_ms + first_byte_ms),
        retries: earlier.len() as u32,
        earlier,
        cluster: ours.cluster,
        endpoint: Some(endpoint),
        client: ours.client.unwrap_or_default(),
        status,
        reached: ours.cause.as_deref().filter(|_| is_failure(status)).map_or(Reached::Yes, Reached::by_cause),
        may_leave_out: true,
    }))
}

/// `combined`, then `$request_time $upstream_response_time` and, if wanted, `$upstream_addr` and `$msec` behind it. The time is that of the
/// end, in whole seconds where there is no `$msec`.
fn nginx(line: &[u8]) -> Result<Line<'_>, Flaw> {
    let mut scan = Scan::new(line);
    let client = scan.word().unwrap_or_default();
    scan.until(b"[", "a time in brackets")?;
    let moment = scan.until(b"]", "a `]` behind the time")?;
    let ended = std::str::from_utf8(moment).ok().and_then(date::common);
    let ended = ended.ok_or_else(|| scan.flaw("a time like [10/Oct/2026:13:55:36 +0000] before here"))?;
    scan.until(b"\"", "the request in quotes")?;
    scan.until(b"\"", "a closing quote behind the request")?;
    let status = scan.read("a status", |word| word.parse().ok())?;
    for quote in ["the referrer in quotes", "a closing quote behind the referrer", "the user agent in quotes"]
    {
        scan.until(b"\"", quote)?;
    }
    scan.until(b"\"", "a closing quote behind the user agent")?;
    let request_time = scan.read("$request_time behind the user agent, in seconds", seconds)?;
    let times = upstream_times(&mut scan)?;
    let exactly = |word: &str| since_1970(word).filter(|exactly| exactly.abs_diff(ended) < 2_000_000_000);
    let ends_here = scan.peek().and_then(exactly);
    let endpoints = if ends_here.is_none() { upstream_addresses(&mut scan) } else { Vec::new() };
    let exactly = ends_here.or_else(|| scan.word().and_then(exactly));
    let at = exactly.unwrap_or(ended).saturating_sub(request_time);
    let Some(attempts) = Attempts::of(&times, &endpoints, request_time) else {
        return Ok(Line::Unanswered(Unanswered { at, status: Some(status), cluster: None }));
    };
    Ok(Line::Told(Told {
        at,
        ended_in: Some(ended).filter(|_| exactly.is_none()),
        queued: 0,
        before: attempts.before,
        latency: attempts.latency,
        cluster: None,
        endpoint: attempts.endpoint.map(Cow::Borrowed),
        client: Cow::Borrowed(client),
        status,
        reached: if attempts.was_in_vain { Reached::Unknown } else { Reached::Yes },
        retries: attempts.retries,
        earlier: attempts.earlier,
        may_leave_out: true,
    }))
}

/// One of nginx's attempts.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    time: Option<u64>,
    /// It was answered, by a redirect inside of nginx to whom the next one is of.
    is_redirected: bool,
}

/// `0.120`, `-`, or several attempts: `0.001, 0.120`, of which the last one was answered. Groups of endpoints that an
/// internal redirect went through are put apart by ` : `.
fn upstream_times(scan: &mut Scan<'_>) -> Result<Vec<Attempt>, Flaw> {
    const EXPECTED: &str = "$upstream_response_time behind $request_time, in seconds";
    let mut attempts = Vec::with_capacity(1);
    loop {
        let time = scan.read(EXPECTED, |word| match word.trim_end_matches(',') {
            "-" => Some(None),
            one => seconds(one).map(Some),
        })?;
        let goes_on = scan.goes_on();
        attempts.push(Attempt { time, is_redirected: goes_on == Some(List::Divided) });
        if goes_on.is_none() {
            return Ok(attempts);
        }
    }
}

/// As many as there were attempts, written like their times.
fn upstream_addresses<'l>(scan: &mut Scan<'l>) -> Vec<&'l str> {
    let mut addresses = Vec::with_capacity(1);
    while let Some(word) = scan.word() {
        addresses.push(word.trim_end_matches(','));
        if scan.goes_on().is_none() {
            break;
        }
    }
    addresses
}

/// What they were together.
struct Attempts<'l> {
    endpoint: Option<&'l str>,
    before: u64,
    latency: u64,
    retries: u32,
    earlier: Vec<Earlier<'l>>,
    /// After the last one that an endpoint had, nobody else was left to ask.
    was_in_vain: bool,
}

impl<'l> Attempts<'l> {
    /// Of which the last one that an endpoint had was answered; `None`: none was. Where no endpoint was left to ask, nginx writes the upstream's name for an address, and
    /// no time.
    fn of(attempts: &[Attempt], addresses: &[&'l str], request_time: u64) -> Option<Self> {
        let are_named = attempts.len() == addresses.len();
        let is_endpoint = |place: &usize| {
            !are_named || attempts[*place].time.is_none_or(|time| time > 0) || addresses[*place].contains(':')
        };
        let last = (0..attempts.len()).rev().find(is_endpoint)?;
        let took = attempts[last].time?;
        let named = |place: usize| if are_named { addresses.get(place) } else { addresses.last() };
        let named = |place: usize| named(place).copied().filter(|address| *address != "-");
        let (mut before, mut retries, mut earlier) = (0, 0, Vec::new());
        for (place, attempt) in attempts.iter().enumerate().take(last) {
            let took = attempt.time.unwrap_or_default();
            if !attempt.is_redirected && is_endpoint(&place) {
                let endpoint = named(place).filter(|_| are_named).map(Cow::Borrowed);
                earlier.extend(endpoint.map(|endpoint| Earlier {
                    endpoint,
                    after: before,
                    took,
                    reached: Reached::Unknown,
                }));
                retries += 1;
            }
            before += took;
        }
        // An attempt without a time took what is left.
        let is_known = attempts[..last].iter().all(|attempt| attempt.time.is_some());
        let before = if is_known { before } else { before.max(request_time.saturating_sub(took)) };
        let was_in_vain = last + 1 < attempts.len();
        Some(Self { endpoint: named(last), before, latency: before + took, retries, earlier, was_in_vain })
    }
}

/// `client:port [date] frontend backend/server TR/Tw/Tc/Tr/Ta status …`, behind whatever the system log puts first.
fn haproxy(line: &[u8]) -> Result<Line<'_>, Flaw> {
    let mut scan = Scan::new(line);
    if is_our_text(line) {
        return Err(scan.flaw("JSON, and not Tidegate's text: set `format = \"json\"` in `[log]`"));
    }
    let before = scan.until(b" [", "JSON, or a time in brackets")?;
    let moment = scan.until(b"] ", "a `]` behind the time")?;
    let at = std::str::from_utf8(moment).ok().and_then(date::common);
    let at = at.ok_or_else(|| scan.flaw("a time like [10/Oct/2026:13:55:36.655] before here"))?;
    scan.read("the frontend", |_| Some(()))?;
    let (backend, server) = scan.read("backend/server", |word| {
        word.split_once('/').map(|(backend, server)| (backend.to_owned(), server.to_owned()))
    })?;
    let times = scan.read("five times like 10/0/30/69/109", |word| {
        let times: Vec<i64> =
            word.split('/').map_while(|time| time.trim_start_matches('+').parse().ok()).collect();
        <[i64; 5]>::try_from(times).ok()
    })?;
    let status = scan.read("a status", |word| word.parse::<i32>().ok())?;
    // Behind the bytes and two cookies: how it ended, connections of all kinds, and the retries, with a `+` where one went elsewhere.
    let mut words = (0..5).filter_map(|_| scan.word()).skip(3);
    // Ended by the server, or by silence, while it connected.
    let reached = match words.next() {
        Some(state) if state.starts_with("SC") => Reached::Refused,
        Some(state) if state.starts_with("sC") => Reached::Silent,
        _ => Reached::Yes,
    };
    let counts = words.next().and_then(|counts| counts.split('/').nth(4));
    let retries = counts.and_then(|retries| retries.trim_start_matches('+').parse().ok()).unwrap_or_default();
    let [head, waited, connect, response, total] = times;
    if times.iter().any(|time| *time as f64 >= TIMES_MS.end) {
        return Err(scan.flaw("times of less than 1000000 s before here"));
    }
    let (at, status) = (at + milliseconds(head), u16::try_from(status).ok());
    // Nobody was there, or the proxy answers by itself: `<NOSRV>`, `<CACHE>`, `<STATS>`, `<PROMEX>`.
    let is_server = !server.starts_with('<');
    // A server that fails without an answer has had the request all the time.
    let failed_after = (is_server && status.is_some_and(is_failure))
        .then(|| total - head.max(0) - waited.max(0) - connect.max(0));
    let response = if response >= 0 { Some(response) } else { failed_after };
    let (Some(response), Some(status)) = (response.filter(|_| is_server), status) else {
        return Ok(Line::Unanswered(Unanswered { at, status, cluster: Some(Cow::Owned(backend)) }));
    };
    let client = before.rsplit(|byte| *byte == b' ').next().and_then(|word| std::str::from_utf8(word).ok());
    let client = client.and_then(|word| word.rsplit_once(':')).map_or("", |(address, _)| address);
    Ok(Line::Told(Told {
        at,
        ended_in: None,
        queued: milliseconds(waited),
        // Where it connected more than once, what that took was a wait for somebody to be there.
        before: milliseconds(waited) + if retries > 0 { milliseconds(connect) } else { 0 },
        retries,
        earlier: Vec::new(),
        latency: milliseconds(waited) + milliseconds(connect) + milliseconds(response),
        cluster: Some(Cow::Owned(backend)),
        endpoint: Some(Cow::Owned(server)),
        client: Cow::Borrowed(client),
        status,
        reached: if is_failure(status) { reached } else { Reached::Yes },
        // A server is out by its checks.
        may_leave_out: false,
    }))
}

/// Whether that status says that an endpoint could not do its work.
pub(super) fn is_failure(status: u16) -> bool {
    [500, 502, 503, 504].contains(&status)
}

/// docs/access-log.md: a time, a status, and no brackets.
fn is_our_text(line: &[u8]) -> bool {
    let mut words = line.split(|byte| *byte == b' ').map(std::str::from_utf8);
    let is_moment = words.next().and_then(Result::ok).is_some_and(|word| date::rfc3339(word).is_some());
    is_moment
        && words.next().and_then(Result::ok).is_some_and(|word| word == "-" || word.parse::<u16>().is_ok())
}

fn seconds(text: &str) -> Option<u64> {
    let seconds: f64 = text.parse().ok()?;
    TIMES_MS.contains(&(seconds * 1e3)).then(|| nanoseconds(seconds * 1e3))
}

/// As `$msec` has it: `1791640536.655`.
fn since_1970(text: &str) -> Option<u64> {
    let (whole, thousandths) = text.split_once('.').filter(|(_, thousandths)| thousandths.len() == 3)?;
    let milliseconds = whole.parse::<u64>().ok()?.checked_mul(1000)? + thousandths.parse::<u64>().ok()?;
    milliseconds.checked_mul(1_000_000)
}

/// -1 where it did not come to that.
fn milliseconds(time: i64) -> u64 {
    time.max(0).unsigned_abs() * 1_000_000
}

fn nanoseconds(milliseconds: f64) -> u64 {
    (milliseconds * 1e6) as u64
}

/// Line and column are told apart from it.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    // Most say themselves what they expected: "invalid type: floating point `1e-7`, expected u16".
    match text.rsplit_once("expected ") {
        Some((_, expected)) => expected.to_owned(),
        None => format!("sound JSON, which this is not: {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = r#"{"time":"2026-10-10T13:55:36.655Z","client":"203.0.113.9","path":"/\u001b","cluster":"app","endpoint":"10.0.0.1:8001","status":200,"attempts":1,"queue_ms":0.5,"connect_ms":0.2,"first_byte_ms":11.9,"total_ms":12.3}"#;
    const NGINX: &str = r#"203.0.113.9 - - [10/Oct/2026:13:55:36 +0000] "GET /a HTTP/1.1" 200 512 "-" "curl/8 (x)" 0.123 0.120 10.0.0.1:8001"#;
    const HAPROXY: &str = "Oct 10 13:55:36 host haproxy[14389]: 203.0.113.9:33317 [10/Oct/2026:13:55:36.655] web app/s1 10/2/30/69/109 200 2750 - - ---- 1/1/1/1/0 0/0 {x} \"GET / HTTP/1.1\"";
    const BEGAN: u64 = 1_791_640_536_655_000_000;

    fn told(line: &str) -> Told<'_> {
        match read(line.as_bytes()).unwrap() {
            Line::Told(told) => told,
            Line::Unanswered(unanswered) => panic!("{line}: {unanswered:?}"),
        }
    }

    /// The status of a request that no endpoint answered.
    fn unanswered(line: &str) -> Option<u16> {
        match read(line.as_bytes()).unwrap() {
            Line::Told(told) => panic!("{line}: {told:?}"),
            Line::Unanswered(unanswered) => unanswered.status,
        }
    }

    #[test]
    fn each_format_tells_when_where_and_how_long() {
        let ours = told(OURS);
        assert_eq!((ours.at, ours.queued, ours.latency), (BEGAN, 500_000, 12_600_000));
        assert_eq!((ours.endpoint.as_deref(), ours.status), (Some("10.0.0.1:8001"), 200));
        let nginx = told(NGINX);
        assert_eq!((nginx.at, nginx.latency), (BEGAN - 655_000_000 - 123_000_000, 120_000_000));
        assert_eq!((nginx.endpoint.as_deref(), nginx.ended_in.is_some()), (Some("10.0.0.1:8001"), true));
        let haproxy = told(HAPROXY);
        assert_eq!(
            (haproxy.at, haproxy.queued, haproxy.latency),
            (BEGAN + 10_000_000, 2_000_000, 101_000_000)
        );
        assert_eq!((haproxy.endpoint.as_deref(), haproxy.status), (Some("s1"), 200));
        let clusters = [&ours, &nginx, &haproxy].map(|told| told.cluster.as_deref());
        assert_eq!(clusters, [Some("app"), None, Some("app")]);
        for told in [ours, nginx, haproxy] {
            assert_eq!(told.client, "203.0.113.9");
        }
    }

    #[test]
    fn nginx_may_tell_the_time_of_the_end_exactly() {
        let exact = format!("{NGINX} 1791640536.655");
        assert_eq!((told(&exact).at, told(&exact).ended_in), (BEGAN - 123_000_000, None));
        for other in ["1791640539.655", "1791640536", "x.655", "99999999999999999999.655", "\"x\""] {
            assert_eq!(told(&format!("{NGINX} {other}")), told(NGINX), "{other}");
        }
    }

    /// Where, from when on and for how long, in milliseconds.
    fn earlier(told: &Told<'_>) -> Vec<(String, u64, u64)> {
        let one = |one: &Earlier<'_>| (one.endpoint.to_string(), one.after / 1_000_000, one.took / 1_000_000);
        told.earlier.iter().map(one).collect()
    }

    #[test]
    fn of_several_attempts_the_client_had_all_and_the_last_one_was_answered() {
        let at = |endpoint: &str, after, took| (endpoint.to_owned(), after, took);
        for (times, endpoints, latency, endpoint, before) in [
            (
                "0.001, 0.050, 0.110",
                "10.1.0.3:80, 10.1.0.2:80, 10.1.0.1:80",
                161,
                Some("10.1.0.1:80"),
                vec![at("10.1.0.3:80", 0, 1), at("10.1.0.2:80", 1, 50)],
            ),
            (
                "0.001, 0.120",
                "10.1.0.2:80, unix:/run/a.sock",
                121,
                Some("unix:/run/a.sock"),
                vec![at("10.1.0.2:80", 0, 1)],
            ),
            // The first one was answered, with where to go instead.
            ("0.001 : 0.120", "10.1.0.2:80 : 10.1.0.1:80", 121, Some("10.1.0.1:80"), vec![]),
            ("-, 0.120", "10.1.0.2:80, 10.1.0.1:80", 123, Some("10.1.0.1:80"), vec![at("10.1.0.2:80", 0, 0)]),
            ("0.001, 0.120", "", 121, None, vec![]),
        ] {
            let line = NGINX.replace("0.120 10.0.0.1:8001", &format!("{times} {endpoints}"));
            let told = told(&line);
            assert_eq!((told.latency, told.endpoint.as_deref()), (latency * 1_000_000, endpoint), "{line}");
            assert_eq!(
                told.before + if latency == 161 { 110 } else { 120 } * 1_000_000,
                told.latency,
                "{line}"
            );
            assert_eq!(earlier(&told), before, "{line}");
        }
    }

    #[test]
    fn attempts_that_we_gave_up_are_no_wait_and_end_where_the_next_one_begins() {
        let given_up = r#""given_up":[{"endpoint":"10.0.0.2:80","stage":"await","cause":"answer_refused","status":500,"ms":30},{"endpoint":"10.0.0.3:80","ms":5.5}],"#;
        let line = OURS.replace("\"queue_ms\":0.5", &format!("{given_up}\"queue_ms\":40"));
        let told = told(&line);
        assert_eq!((told.queued, told.before, told.latency), (4_500_000, 40_000_000, 52_100_000));
        assert_eq!((told.retries, told.endpoint.as_deref()), (2, Some("10.0.0.1:8001")));
        let after = |place: usize| (told.earlier[place].after, told.earlier[place].took);
        assert_eq!((after(0), after(1)), ((4_500_000, 30_000_000), (34_500_000, 5_500_000)));
        // Of attempts beside each other nobody knows what was a wait.
        let hedged = line.replace("\"queue_ms\"", "\"hedged\":true,\"queue_ms\"");
        assert!(self::told(&hedged).earlier.is_empty());
    }

    #[test]
    fn that_no_connection_came_about_is_told() {
        let haproxy = |state| {
            let failed = HAPROXY.replace("10/2/30/69/109 200", "10/2/-1/-1/3012 503");
            told(&failed.replace("----", state)).reached
        };
        assert_eq!(["SC--", "sC--", "SH--"].map(haproxy), [Reached::Refused, Reached::Silent, Reached::Yes]);
        let ours = |cause| {
            let failed = format!("\"status\":503,\"cause\":{cause:?}");
            told(&OURS.replace("\"status\":200", &failed)).reached
        };
        let causes = ["connect_refused", "connect_unreachable", "connect_timeout", "endpoint_closed"];
        assert_eq!(causes.map(ours), [Reached::Refused, Reached::Refused, Reached::Silent, Reached::Yes]);
    }

    #[test]
    fn haproxy_tells_how_many_retries_there_were() {
        let retried = HAPROXY.replace("1/1/1/1/0", "1/1/1/1/+2");
        assert_eq!([HAPROXY, &retried].map(|line| told(line).retries), [0, 2]);
        // Each connect but the last was in vain.
        assert_eq!([HAPROXY, &retried].map(|line| told(line).before / 1_000_000), [2, 32]);
    }

    #[test]
    fn the_name_of_an_upstream_of_which_all_are_out_is_no_endpoint() {
        let nobody = NGINX.replace(" 200 ", " 502 ").replace("0.123 0.120 10.0.0.1:8001", "0.000 0.000 app");
        assert_eq!(unanswered(&nobody), Some(502));
        let last = NGINX.replace("0.120 10.0.0.1:8001", "0.050, 0.110, 0.000 10.0.0.2:80, 10.0.0.1:80, app");
        assert_eq!(
            (told(&last).latency, told(&last).endpoint.as_deref(), told(&last).retries),
            (160_000_000, Some("10.0.0.1:80"), 1)
        );
        assert_eq!((told(&last).reached, told(NGINX).reached), (Reached::Unknown, Reached::Yes));
    }

    #[test]
    fn the_time_of_the_end_is_no_address() {
        let line = NGINX.replace("10.0.0.1:8001", "1791640536.655");
        let told = told(&line);
        assert_eq!((told.endpoint, told.at, told.ended_in), (None, BEGAN - 123_000_000, None));
    }

    #[test]
    fn requests_that_no_endpoint_answered_are_those_of_the_proxy() {
        for (line, status) in [
            (OURS.replace("\"10.0.0.1:8001\"", "null").replace(":200", ":503"), Some(503)),
            (OURS.replace("11.9", "null"), Some(200)),
            (OURS.replace("11.9", "null").replace(":200", ":null"), None),
            (NGINX.replace("0.120 10.0.0.1:8001", "- -"), Some(200)),
            (HAPROXY.replace("app/s1 10/2/30/69/109 200", "app/<NOSRV> 10/-1/-1/-1/109 503"), Some(503)),
            (HAPROXY.replace("app/s1 10/2/30/69/109", "app/<CACHE> 10/0/0/0/10"), Some(200)),
            (HAPROXY.replace("10/2/30/69/109 200", "10/2/30/-1/109 -1"), None),
        ] {
            assert_eq!(unanswered(&line), status, "{line}");
        }
    }

    #[test]
    fn an_endpoint_that_failed_without_an_answer_had_the_request_until_then() {
        let ours = OURS.replace("11.9", "null").replace(":200", ":504").replace("12.3}", "60000.5}");
        assert_eq!((told(&ours).latency, told(&ours).status), (60_000_500_000, 504));
        let haproxy = HAPROXY.replace("10/2/30/69/109 200", "10/2/30/-1/1042 504");
        let told = told(&haproxy);
        assert_eq!((told.queued, told.latency, told.status), (2_000_000, 1_032_000_000, 504));
    }

    #[test]
    fn a_flaw_says_where_and_what_should_stand_there() {
        for (line, stands_at, expected) in [
            ("hello".to_owned(), "hello", "JSON, or a time in brackets"),
            (
                "2026-11-23T01:14:19.123Z 200 GET shop.example/items 12.345ms app/10.0.0.1:8001".to_owned(),
                "2026",
                "set `format = \"json\"`",
            ),
            (OURS.replace("11.9", "x"), "x,", "value"),
            (OURS.replace("200", "1e-7"), "7,\"attempts", "u16"),
            (OURS.replace("\"time\"", "\"then\""), "}", "not: missing field `time`"),
            (OURS.replace("11.9", "1e308"), "first_byte_ms", "a `first_byte_ms` of less than"),
            (OURS.replace("2026-10", "2026/10"), "\"time\"", "a `time` like"),
            (NGINX.replace("0.123 0.120 10.0.0.1:8001", "?"), "?", "$request_time behind the user agent"),
            (NGINX.replace("0.120", "fast"), "fast", "$upstream_response_time"),
            (NGINX.replace("Oct", "Okt"), " \"GET", "[10/Oct/2026:13:55:36 +0000] before here"),
            (HAPROXY.replace("10/2/30/69/109", "10/2/30"), "10/2/30", "five times like"),
        ] {
            let flaw = read(line.as_bytes()).unwrap_err();
            let column = line.find(stands_at).unwrap() + 1;
            assert!(flaw.expected.contains(expected) && flaw.column == column, "{line}: {flaw:?}");
        }
    }
}
