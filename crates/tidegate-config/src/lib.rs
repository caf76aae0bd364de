//! Text to a checked [`Config`], with errors that teach.
//!
//! One file, one schema: [`Config::parse`] walks the TOML document and reports every problem at once, each with
//! its line underlined; [`Config::from_flags`] feeds the command line through the same checks. What comes out
//! is complete: every default is filled in and every inherited value resolved, so a reader needs no logic.
//!
//! ```text
//! text ─ document ─ walk ─ read ─ check ─ Config ─ show
//!        (syntax)   (keys)         (as a whole)
//! ```
//!
//! This crate refuses to know sockets, name resolution, workers and the machine it runs on: addresses stay
//! parsed but unresolved, and the environment and what files hold are arguments.

#![allow(clippy::option_option, reason = "absent, off and given are three things a key can be")]

mod address;
mod automatic;
mod balance;
mod check;
mod cluster;
mod config;
mod document;
mod duplicates;
mod endpoint_tls;
mod expand;
mod files;
mod flags;
mod keys;
mod parse;
mod passage;
mod problem;
mod rate_limit;
mod read;
mod reference;
mod route;
mod schema;
mod scheme;
mod shared_cookies;
mod show;
mod sticky;
mod suggest;
mod tls;
mod units;
mod walk;

pub use address::{Address, AddressError, Bind, Host};
pub use balance::{Balance, Bound, BoundBy, HashKey, Hashing};
pub use cluster::{
    Breaker, Cluster, ClusterLimits, Endpoint, EndpointRequests, HealthCheck, PassiveHealth, Probe,
    StatusRange,
};
pub use config::{Config, Limits, Listener, Log, LogFormat, LogTarget, RequestLimit, Timeouts, Workers};
pub use endpoint_tls::{EndpointTls, Trust};
pub use files::{Holds, Look};
pub use flags::Flag;
pub use passage::{Course, Passage};
pub use problem::{Diagnostic, Report, Severity, Style, Warning};
pub use rate_limit::{RateKey, RateLimit, RouteRate};
pub use reference::reference;
pub use route::{
    Action, Answer, Forward, GrpcStatus, HeaderMatch, Hedge, HostPattern, Matcher, PathMatch, Priority,
    Redirect, RedirectPart, Retry, RetryBudget, RetryOn, Route, RouteLimits, RouteTimeouts,
};
pub use schema::schema;
pub use sticky::{Secret, Sticky};
pub use tls::{
    Acme, AcmeChallenge, AcmeDns, CertificateFiles, ClientAuth, ClientDemand, DnsThrough, Hsts, Internal,
    Tls, TlsVersion,
};
