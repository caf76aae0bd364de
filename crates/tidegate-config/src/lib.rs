//! Text to a checked [`Config`], with errors that teach.
//!
//! One file, one schema: [`Config::parse`] walks the TOML document and reports every problem at once, each with
//! its line underlined; [`Config::from_flags`] feeds the command line through the same checks. What comes out
//! is complete: every default is filled in and every inherited value resolved, so a reader needs no logic.
//!
//! This crate refuses to know sockets, name resolution, workers and the machine it runs on: addresses stay
//! parsed but unresolved, and the environment is an argument.

mod address;
mod cluster;
mod config;
mod route;

pub use address::{Address, AddressError, Bind, Host};
pub use cluster::{
    Balance, Cluster, ClusterLimits, Endpoint, HashKey, HealthCheck, PassiveHealth, Probe, StatusRange,
};
pub use config::{Config, Limits, Listener, Log, LogFormat, LogTarget, Timeouts, Workers};
pub use route::{
    Action, Answer, Forward, HeaderMatch, HostPattern, Matcher, PathMatch, Redirect, RedirectPart, Retry,
    Route, RouteLimits, RouteTimeouts,
};
