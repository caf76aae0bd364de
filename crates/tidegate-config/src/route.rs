//! Routes: what a request must look like, and what is done about it.
//!
//! It does not know how matching is made fast; it only says what matching means.

use std::time::Duration;

use crate::RouteRate;

use crate::StatusRange;

/// What matches, and what to do about it.
///
/// Of all routes that match a request the most specific wins: an exact host before a wildcard, a longer wildcard
/// before a shorter one, any host last; then an exact path before a prefix, a longer prefix before a shorter one;
/// then the one with more conditions on method and header; then the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Unique; made from the matchers when the file gives none. Shown in logs and metrics.
    pub name: String,
    /// What a request must look like.
    pub matcher: Matcher,
    /// What is done with a request that does.
    pub action: Action,
    /// How often somebody may ask.
    pub rate_limit: RouteRate,
}

/// What a request must look like; all parts must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matcher {
    /// One of these hosts; empty: any.
    pub hosts: Vec<HostPattern>,
    /// The path, without the query.
    pub path: PathMatch,
    /// One of these methods, sorted; empty: any.
    pub methods: Vec<String>,
    /// All of these header fields, sorted by name.
    pub headers: Vec<HeaderMatch>,
}

/// A host, without a port, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostPattern {
    /// `example.com`, an IPv4 address, or an IPv6 address in brackets.
    Exact(String),
    /// `*.example.com`, held as `example.com`: any number of labels in front of it, at least one.
    Wildcard(String),
}

/// A path, compared without the query and in canonical form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathMatch {
    /// The whole path.
    Exact(String),
    /// Whole segments: `/api` matches `/api` and `/api/x` and not `/apix`; `/api/` matches `/api/` and `/api/x`
    /// and not `/api`; `/` matches everything.
    Prefix(String),
}

impl Default for PathMatch {
    fn default() -> Self {
        Self::Prefix("/".into())
    }
}

/// A header field that must be there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HeaderMatch {
    /// In lower case.
    pub name: String,
    /// The exact value; `None`: any.
    pub value: Option<String>,
}

/// What is done with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "there are few, and they are read once")]
pub enum Action {
    /// The proxy answers by itself.
    Answer(Answer),
    /// One endpoint of a cluster answers.
    Forward(Forward),
    /// The proxy sends the client elsewhere.
    Redirect(Redirect),
}

/// A fixed answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// 200 to 599.
    pub status: u16,
    /// Empty for 204 and 304.
    pub body: String,
    /// A valid field value.
    pub content_type: String,
}

/// Hand the request to a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The name of one of [`crate::Config::clusters`].
    pub cluster: String,
    /// Pass the client's `Host`; otherwise send the endpoint's address.
    pub preserve_host: bool,
    /// How long each stage may take.
    pub timeout: RouteTimeouts,
    /// How much may pass.
    pub limit: RouteLimits,
    /// When another endpoint is tried.
    pub retry: Retry,
    /// Second attempts beside a first that waits on a stalled endpoint; `None`: there are none.
    pub hedge: Option<Hedge>,
    /// Whose turn it is first when requests wait.
    pub priority: Priority,
}

/// How soon a waiting request has its turn, compared with those of other routes. Of 21 turns that all wait for, `High` gets
/// 16, `Normal` 4 and `Low` 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Priority {
    High,
    Low,
    #[default]
    Normal,
}

/// Send the client elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The `Location`, in pieces to be joined.
    pub to: Vec<RedirectPart>,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
}

/// A piece of a `Location`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedirectPart {
    /// `{host}`: the request's host, without its port.
    Host,
    /// These bytes.
    Literal(String),
    /// `{path}`: the request's path in canonical form.
    Path,
    /// `{query}`: the request's query with its `?`, or nothing.
    Query,
}

/// How long the stages of a forwarded request may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteTimeouts {
    /// An endpoint that may have one more request, when none does.
    pub queue: Duration,
    /// A connection to one endpoint.
    pub connect: Duration,
    /// From the pick of an endpoint to the first byte of its answer; `None`: as long as `total` allows.
    pub attempt: Option<Duration>,
    /// From the whole request sent to the first byte of the answer; `None`: as long as `total` allows.
    pub first_byte: Option<Duration>,
    /// No byte of a body moved, in either direction.
    pub body_idle: Duration,
    /// From the request's head to the answer's last byte, all attempts together; `None`: no such limit.
    pub total: Option<Duration>,
    /// No byte moved in either direction of an upgraded connection; `None`: no such limit.
    pub tunnel_idle: Option<Duration>,
}

impl Default for RouteTimeouts {
    fn default() -> Self {
        Self {
            queue: Duration::from_secs(5),
            connect: Duration::from_secs(3),
            attempt: None,
            first_byte: Some(Duration::from_mins(1)),
            body_idle: Duration::from_secs(30),
            total: None,
            tunnel_idle: Some(Duration::from_hours(1)),
        }
    }
}

/// How much of a forwarded request may pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteLimits {
    /// A request body; `None`: any size.
    pub body_bytes: Option<u64>,
    /// Bytes a second that a client must send of it at least; `None`: as slow as it likes.
    pub body_rate: Option<u64>,
}

/// When a request is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Tries in all, the first one included; 1: never again.
    pub attempts: u32,
    /// After what.
    pub on: RetryOn,
    /// What pays for retries; `None`: nobody counts.
    pub budget: Option<RetryBudget>,
    /// Before the third try, and before any at an endpoint that the request has been at; doubled before each later one.
    pub backoff: Duration,
    /// Bytes of a request body kept for another try; 0: none.
    pub body_bytes: u64,
}

/// What a request is tried again after. All but `connect` only where RFC 9110 §9.2.2 allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryOn {
    /// A connect that failed.
    pub connect: bool,
    /// A connection that died before the first byte of an answer.
    pub reset: bool,
    /// An answer that did not begin in time.
    pub timeout: bool,
    /// Statuses from 400 to 599, sorted, without overlaps.
    pub statuses: Vec<StatusRange>,
    /// A gRPC call that ended at once with one of these statuses: nothing was done. Sorted, each once.
    pub grpc: Vec<GrpcStatus>,
}

/// A status of gRPC that says that another endpoint may do better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GrpcStatus {
    /// 8
    ResourceExhausted,
    /// 14
    Unavailable,
}

impl GrpcStatus {
    pub(crate) const ALL: [Self; 2] = [Self::ResourceExhausted, Self::Unavailable];

    /// As configured.
    pub fn word(self) -> &'static str {
        match self {
            Self::ResourceExhausted => "grpc_resource_exhausted",
            Self::Unavailable => "grpc_unavailable",
        }
    }

    /// The number on the wire.
    pub fn code(self) -> u8 {
        match self {
            Self::ResourceExhausted => 8,
            Self::Unavailable => 14,
        }
    }
}

/// Second attempts beside a first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hedge {
    /// At most so many for each hundred requests.
    pub percent: u32,
}

impl Default for Hedge {
    fn default() -> Self {
        Self { percent: 2 }
    }
}

/// How many retries a cluster has to bear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryBudget {
    /// For each hundred requests.
    pub percent: u32,
    /// A second, whatever the requests.
    pub per_second: u32,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 3,
            on: RetryOn {
                connect: true,
                reset: true,
                timeout: false,
                statuses: Vec::new(),
                grpc: Vec::new(),
            },
            budget: Some(RetryBudget::default()),
            backoff: Duration::from_millis(25),
            body_bytes: 64 * 1024,
        }
    }
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { percent: 10, per_second: 3 }
    }
}
