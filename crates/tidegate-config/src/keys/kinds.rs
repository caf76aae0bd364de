//! Kinds of value that tables of more than one subject take.

use super::Kind;

pub(super) const OFF: Kind = Kind::Words(&["off"]);
pub(super) const DURATION_OR_OFF: Kind = Kind::AnyOf(&[Kind::Duration, OFF]);
pub(super) const CONNECTIONS: Kind = Kind::Integer { min: 1, max: 10_000_000 };
pub(super) const STATUSES: Kind = Kind::AnyOf(&[STATUS, Kind::List(&STATUS)]);
pub(super) const STATUS: Kind =
    Kind::AnyOf(&[Kind::Integer { min: 100, max: 599 }, Kind::Text("a range like \"200-399\"")]);
