//! Every way to fail, and what follows from it: status, word for the log, and whether another attempt may help.
//!
//! Adding a cause does not compile until all of these exist for it. The words are documented in docs/failures.md.

use crate::http2::{Breach, Misconduct};
use crate::tls::{Handshake, OriginateError};
use std::io::{self, ErrorKind};
use tidegate_http::chunked::ChunkError;
use tidegate_http::path::PathError;
use tidegate_http::proxy_protocol::ProxyHeaderError;
use tidegate_http::request::RequestError;
use tidegate_http::response::ResponseError;

/// Who is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    Admin,
    Downstream,
    Proxy,
    Upstream,
}

impl Blame {
    pub fn word(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Downstream => "downstream",
            Self::Proxy => "proxy",
            Self::Upstream => "upstream",
        }
    }
}

/// How far the request had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Head,
    Route,
    Policy,
    Pick,
    Connect,
    Send,
    Await,
    Body,
    Tunnel,
}

impl Stage {
    pub fn word(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Route => "route",
            Self::Policy => "policy",
            Self::Pick => "pick",
            Self::Connect => "connect",
            Self::Send => "send",
            Self::Await => "await",
            Self::Body => "body",
            Self::Tunnel => "tunnel",
        }
    }
}

/// One way to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The answer broke off, or its framing did, after its head had been passed on.
    AnswerBroken,
    /// The same, where the client had taken next to nothing of it for ten seconds or longer.
    AnswerGivenUp,
    /// The endpoint closed the connection in the middle of its answer's head.
    AnswerHeadCut,
    /// The endpoint answered with a status that `retry.on` takes for a failure.
    AnswerRefused(u16),
    /// The endpoint's answer stood still for longer than `timeout.body_idle`.
    AnswerStalled,
    /// No answer began within `timeout.attempt`.
    AttemptTimeout,
    /// The same, where the endpoint alone was not waited for in half of that time, to its end: it had been taking the body, or there was no
    /// connection for the request.
    AttemptTooShort,
    /// The endpoint closed or reset the connection while the client, who had long sent next to nothing, owed it the body. It may have given it
    /// up, or have ended by itself: nobody knows.
    BodyGivenUp,
    /// The request body is longer than `limit.body_bytes`.
    BodyTooLarge,
    /// The client sent its body more slowly than `limit.body_rate`.
    BodyTooSlow,
    /// The client stopped sending the body for longer than `timeout.body_idle`.
    BodyStalled,
    /// The chunked framing of the request body is malformed.
    Chunk(ChunkError),
    /// The client went away before it had its answer.
    ClientGone,
    /// The client took nothing of the answer for longer than `timeout.body_idle`.
    ClientStalled,
    ConnectRefused,
    ConnectTimeout,
    ConnectUnreachable,
    /// No file descriptor was left for a connection to an endpoint.
    DescriptorsExhausted,
    /// The time to drain was over before the request was.
    DrainDeadline,
    /// Every connection that the endpoint may have was in use for as long as `timeout.connect`.
    EndpointBusy,
    /// The endpoint closed or reset the connection before its answer's head was complete.
    EndpointClosed,
    /// The endpoint took nothing of the request for longer than `timeout.body_idle`.
    EndpointStalled,
    FirstByteTimeout,
    /// The client and we did not agree on keys.
    Handshake(Handshake),
    /// The head did not arrive within `timeout.head`.
    HeadTimeout,
    /// What the client does is no HTTP/2, or too much of it.
    Http2(Misconduct),
    /// What the endpoint does is no HTTP/2, or no answer.
    Http2Breach(Breach),
    /// A mistake in our own code: it panicked.
    InternalError,
    /// The endpoint sent more interim (1xx) answers than anyone needs.
    InterimFlood,
    /// The time of the request was over, and for half of it, to its end, the endpoint alone had been waited for.
    KeptWaiting,
    /// The host is not one that the certificate of this connection is for.
    Misdirected,
    NoEndpoint,
    NoEndpointUp,
    NoRoute,
    Path(PathError),
    PendingLimit,
    /// No local port was left for one more connection to this endpoint.
    PortsExhausted,
    /// What the connection began with is not the header that it must, or must not, begin with.
    ProxyHeader(ProxyHeaderError),
    /// As many requests wait for an endpoint with room as `limit.queued_requests` allows.
    QueueFull,
    /// No endpoint had room within `timeout.queue`.
    QueueTimeout,
    /// Asked more often than `rate_limit` allows; after this long it may ask again.
    RateLimited {
        retry_seconds: u32,
    },
    Request(RequestError),
    /// As many requests are in service as `limit.requests` allows.
    RequestLimit,
    Response(ResponseError),
    /// The wait for an endpoint with room would be longer than the request can wait.
    Shed,
    /// The endpoint cannot be spoken TLS with.
    Tls(OriginateError),
    /// The endpoint gave the request back unread, though it was within its limits.
    StreamRefused,
    /// The endpoint said goodbye before it had looked at the request, or its connection ended before that was sent.
    StreamUnseen,
    TotalTimeout,
    /// The client reset its side of a tunnel.
    TunnelClientGone,
    /// The endpoint did.
    TunnelEndpointGone,
    TunnelIdle,
    /// The endpoint answered an upgrade that was no offer with this success, as it may answer offers (RFC 9110 §7.8): there is no tunnel.
    UpgradeIgnored(u16),
    /// The endpoint switched protocols unasked.
    UpgradeUnasked,
    /// The endpoint speaks HTTP/2 without tunnels, and is not known to speak anything else.
    UpgradeUnsupported,
}

impl Cause {
    /// Why nothing came of an answer.
    pub(crate) fn of_silence(read: &io::Result<usize>) -> Self {
        let Err(error) = read else { return Self::EndpointClosed };
        match error.kind() {
            ErrorKind::ConnectionRefused => Self::StreamRefused,
            ErrorKind::NotConnected => Self::StreamUnseen,
            _ => Breach::behind(error).map_or(Self::EndpointClosed, Self::Http2Breach),
        }
    }
}

/// Whether another attempt, on another endpoint, may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Nothing was sent: any request.
    Always,
    /// Decided when the answer came, and paid for.
    Decided,
    Never,
    /// Nothing was sent that the endpoint would understand, and others are likely to be alike: any request, until another one has shown that.
    Once,
    /// The connection broke before a byte of an answer came: what RFC 9110 §9.2.2 allows.
    Reset,
    /// No answer came in time: what RFC 9110 §9.2.2 allows.
    Timeout,
}

/// A cause with its place in the life of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    pub stage: Stage,
    pub cause: Cause,
}

impl Failure {
    pub fn new(stage: Stage, cause: Cause) -> Self {
        Self { stage, cause }
    }

    /// The same where the endpoint alone has been waited for in half of the time that there was, to its end.
    #[must_use]
    pub(crate) fn of_the_endpoint(self) -> Self {
        match self.cause {
            Cause::TotalTimeout => Self { cause: Cause::KeptWaiting, ..self },
            Cause::AttemptTooShort => Self { cause: Cause::AttemptTimeout, ..self },
            _ => self,
        }
    }

    /// The same where the endpoint alone was not waited for in half of its time: it was still taking the body, whose length is the client's to
    /// say, or there had been no connection for it.
    #[must_use]
    pub(crate) fn of_too_short_a_time(self) -> Self {
        match self.cause {
            Cause::AttemptTimeout => Self { cause: Cause::AttemptTooShort, ..self },
            _ => self,
        }
    }

    /// The same where the client owed its body and had been silent when the endpoint ended the wait for it, which may be why.
    #[must_use]
    pub(crate) fn of_a_silent_client(self) -> Self {
        match self.cause {
            Cause::EndpointClosed | Cause::Http2Breach(_) => Self::new(Stage::Send, Cause::BodyGivenUp),
            _ => self,
        }
    }

    pub fn blame(&self) -> Blame {
        self.facts().blame
    }

    /// The status to answer with, if an answer can still be given; 499 stands for none at all.
    pub fn status(&self) -> u16 {
        self.facts().status
    }

    /// The word in logs, metrics and Proxy-Status `details`.
    pub fn word(&self) -> &'static str {
        self.facts().word
    }

    /// The error type of Proxy-Status (RFC 9209 §2.3).
    pub fn proxy_error(&self) -> &'static str {
        self.facts().proxy_error
    }

    /// What tells failures apart in metrics.
    pub fn kind(&self) -> [&'static str; 3] {
        [self.blame().word(), self.stage.word(), self.word()]
    }

    /// The name of the configured limit that this failure comes from.
    pub fn limit(&self) -> Option<&'static str> {
        match self.cause {
            Cause::BodyTooLarge => Some("body_bytes"),
            Cause::BodyTooSlow => Some("body_rate"),
            Cause::EndpointBusy => Some("upstream_connections"),
            Cause::ProxyHeader(ProxyHeaderError::TooLong { .. }) => Some("proxy_header_bytes"),
            Cause::QueueFull => Some("queued_requests"),
            Cause::QueueTimeout | Cause::Shed => Some("endpoint_requests"),
            Cause::RateLimited { .. } => Some("rate_limit"),
            Cause::RequestLimit => Some("requests"),
            Cause::Request(RequestError::HeadTooLarge { .. })
            | Cause::Response(ResponseError::HeadTooLarge { .. }) => Some("head_bytes"),
            Cause::Request(RequestError::TargetTooLong { .. }) => Some("target_bytes"),
            Cause::Request(RequestError::TooManyFields { .. })
            | Cause::Response(ResponseError::TooManyFields { .. }) => Some("field_count"),
            _ => None,
        }
    }

    pub fn retry(&self) -> Retry {
        self.facts().retry
    }

    fn facts(&self) -> Facts {
        use Blame::{Admin, Downstream, Proxy, Upstream};
        use Retry::{Always, Decided, Never, Once, Reset, Timeout};
        let facts =
            |blame, status, word, proxy_error, retry| Facts { blame, status, word, proxy_error, retry };
        match self.cause {
            Cause::AnswerBroken => facts(Upstream, 502, "answer_broken", "http_response_incomplete", Never),
            Cause::AnswerGivenUp => {
                facts(Downstream, 502, "answer_given_up", "http_response_incomplete", Never)
            }
            Cause::AnswerHeadCut => {
                facts(Upstream, 502, "answer_head_cut", "http_response_incomplete", Never)
            }
            Cause::AnswerRefused(status) => {
                facts(Upstream, status, "answer_refused", "destination_unavailable", Decided)
            }
            Cause::AttemptTimeout => {
                facts(Upstream, 504, "attempt_timeout", "http_response_timeout", Timeout)
            }
            Cause::AttemptTooShort => facts(Proxy, 504, "attempt_timeout", "http_response_timeout", Timeout),
            Cause::AnswerStalled => facts(Upstream, 504, "answer_stalled", "connection_read_timeout", Never),
            Cause::BodyGivenUp => facts(Proxy, 502, "body_given_up", "connection_terminated", Reset),
            Cause::BodyTooLarge => facts(Downstream, 413, "body_too_large", "http_request_error", Never),
            Cause::BodyTooSlow => facts(Downstream, 408, "body_too_slow", "http_request_error", Never),
            Cause::BodyStalled => facts(Downstream, 408, "body_stalled", "http_request_error", Never),
            Cause::Chunk(error) => {
                facts(Downstream, error.status(), error.code(), "http_request_error", Never)
            }
            Cause::ClientGone => facts(Downstream, 499, "client_gone", "http_request_error", Never),
            Cause::ClientStalled => facts(Downstream, 499, "client_stalled", "http_request_error", Never),
            Cause::ConnectRefused => facts(Upstream, 503, "connect_refused", "connection_refused", Always),
            Cause::ConnectTimeout => facts(Upstream, 504, "connect_timeout", "connection_timeout", Always),
            Cause::ConnectUnreachable => {
                facts(Upstream, 503, "connect_unreachable", "destination_ip_unroutable", Always)
            }
            Cause::DescriptorsExhausted => {
                facts(Proxy, 503, "descriptors_exhausted", "connection_limit_reached", Never)
            }
            Cause::DrainDeadline => facts(Admin, 503, "drain_deadline", "proxy_internal_response", Never),
            Cause::EndpointBusy => facts(Upstream, 503, "endpoint_busy", "connection_limit_reached", Always),
            Cause::EndpointClosed => facts(Upstream, 502, "endpoint_closed", "connection_terminated", Reset),
            Cause::EndpointStalled => {
                facts(Upstream, 504, "endpoint_stalled", "connection_write_timeout", Never)
            }
            Cause::FirstByteTimeout => {
                facts(Upstream, 504, "first_byte_timeout", "http_response_timeout", Timeout)
            }
            // Nothing that the client could understand is answered.
            Cause::Handshake(ended) => facts(Downstream, 499, ended.code(), "tls_protocol_error", Never),
            Cause::HeadTimeout => facts(Downstream, 408, "head_timeout", "http_request_error", Never),
            // Nothing is answered: the connection, or the stream, ends.
            Cause::Http2(misconduct) => {
                facts(Downstream, 499, misconduct.code(), "http_request_error", Never)
            }
            Cause::Http2Breach(breach) => {
                // Of an answer that is malformed something has come.
                let retry = if breach == Breach::Answer { Never } else { Reset };
                facts(Upstream, 502, breach.code(), "http_protocol_error", retry)
            }
            Cause::InternalError => facts(Proxy, 500, "internal_error", "proxy_internal_error", Never),
            Cause::InterimFlood => facts(Upstream, 502, "interim_flood", "http_protocol_error", Never),
            Cause::KeptWaiting => facts(Upstream, 504, "total_timeout", "http_response_timeout", Never),
            Cause::Misdirected => facts(Downstream, 421, "misdirected", "http_request_error", Never),
            Cause::NoEndpoint => facts(Admin, 503, "no_endpoint", "destination_not_found", Never),
            Cause::NoEndpointUp => facts(Upstream, 503, "no_endpoint_up", "destination_unavailable", Never),
            Cause::NoRoute => facts(Downstream, 404, "no_route", "destination_not_found", Never),
            Cause::Path(error) => facts(Downstream, 400, error.code(), "http_request_error", Never),
            Cause::PortsExhausted => facts(Proxy, 503, "ports_exhausted", "connection_limit_reached", Always),
            Cause::PendingLimit => facts(Proxy, 503, "pending_limit", "connection_limit_reached", Never),
            // Whoever sent it would not understand an answer.
            Cause::ProxyHeader(error) => facts(Downstream, 499, error.code(), "http_request_error", Never),
            Cause::QueueFull => facts(Proxy, 503, "queue_full", "connection_limit_reached", Never),
            Cause::QueueTimeout => facts(Proxy, 503, "queue_timeout", "connection_limit_reached", Never),
            Cause::RateLimited { .. } => facts(Downstream, 429, "rate_limited", "http_request_denied", Never),
            Cause::Request(error) => {
                facts(Downstream, error.status(), error.code(), "http_request_error", Never)
            }
            Cause::RequestLimit => facts(Proxy, 503, "request_limit", "connection_limit_reached", Never),
            Cause::Response(error) => facts(Upstream, 502, error.code(), "http_protocol_error", Never),
            Cause::Shed => facts(Proxy, 503, "shed", "connection_limit_reached", Never),
            Cause::Tls(error) => {
                let retry = if error == OriginateError::Refused { Reset } else { Always };
                facts(Upstream, error.status(), error.code(), error.proxy_error(), retry)
            }
            Cause::StreamRefused => facts(Upstream, 503, "stream_refused", "connection_terminated", Always),
            Cause::StreamUnseen => facts(Upstream, 503, "stream_unseen", "connection_terminated", Always),
            Cause::TotalTimeout => facts(Proxy, 504, "total_timeout", "http_response_timeout", Never),
            Cause::TunnelClientGone => {
                facts(Downstream, 499, "tunnel_client_gone", "connection_terminated", Never)
            }
            Cause::TunnelEndpointGone => {
                facts(Upstream, 502, "tunnel_endpoint_gone", "connection_terminated", Never)
            }
            Cause::TunnelIdle => facts(Proxy, 504, "tunnel_idle", "connection_read_timeout", Never),
            // RFC 9220 §3: the status where a :protocol is not supported.
            Cause::UpgradeIgnored(_) => {
                facts(Downstream, 501, "upgrade_ignored", "http_upgrade_failed", Never)
            }
            Cause::UpgradeUnasked => facts(Upstream, 502, "upgrade_unasked", "http_upgrade_failed", Never),
            Cause::UpgradeUnsupported => {
                facts(Upstream, 502, "upgrade_unsupported", "http_upgrade_failed", Once)
            }
        }
    }
}

struct Facts {
    blame: Blame,
    status: u16,
    word: &'static str,
    proxy_error: &'static str,
    retry: Retry,
}
