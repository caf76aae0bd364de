//! What each command does, one file a command.

pub(crate) mod check;
pub(crate) mod config;
pub(crate) mod lab;
pub(crate) mod run;
