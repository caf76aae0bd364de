//! All tables, by subject in files of their own, to be read like lists.
//!
//! They refuse to know how values are read; [`crate::keys`] says what the parts mean.

use super::Table;
use super::balance::{BALANCE, HASH_KEY, STICKY};
use super::cluster::{CLUSTER, ENDPOINT};
use super::endpoint_tls::ENDPOINT_TLS;
use super::health::{BREAKER, HEALTH, PASSIVE};
use super::limit::{CLUSTER_LIMIT, LIMIT, ROUTE_LIMIT};
use super::passage::{COURSE, COURSE_TIMEOUT};
use super::rate_limit::{RATE_KEY, RATE_LIMIT};
use super::retry::{HEDGE, RETRY, RETRY_BUDGET};
use super::root::{ADMIN, LISTENER, LOG, ROOT};
use super::route::{ANSWER, PATH, REDIRECT, ROUTE};
use super::timeout::{ROUTE_TIMEOUT, TIMEOUT};
use super::tls::{ACME, CERTIFICATE, DNS, HSTS, INTERNAL, TLS};

/// All tables, in the order of the reference.
pub(crate) static ALL: [&Table; 35] = [
    &ROOT,
    &LISTENER,
    &COURSE,
    &COURSE_TIMEOUT,
    &TLS,
    &ACME,
    &DNS,
    &HSTS,
    &INTERNAL,
    &CERTIFICATE,
    &ROUTE,
    &PATH,
    &ANSWER,
    &REDIRECT,
    &CLUSTER,
    &ENDPOINT,
    &ENDPOINT_TLS,
    &BALANCE,
    &HASH_KEY,
    &STICKY,
    &HEALTH,
    &PASSIVE,
    &BREAKER,
    &TIMEOUT,
    &ROUTE_TIMEOUT,
    &RATE_LIMIT,
    &RATE_KEY,
    &LIMIT,
    &ROUTE_LIMIT,
    &CLUSTER_LIMIT,
    &RETRY,
    &RETRY_BUDGET,
    &HEDGE,
    &LOG,
    &ADMIN,
];
