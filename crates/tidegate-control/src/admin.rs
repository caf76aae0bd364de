//! The admin listener: is it alive, is it ready, its metrics, its state. Reads only; nothing can be changed here.
//!
//! Whoever reaches it may read names and addresses of the service, so by default only this machine does, and a page in
//! somebody's browser does not: requests for a host name that is not ours are refused.

mod connections;
mod host;
mod pages;

pub(crate) use connections::{AdminServer, AdminSockets};
