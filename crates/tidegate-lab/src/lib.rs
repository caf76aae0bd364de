//! The laboratory: drives the very balancing code that the proxy runs, on made-up fleets and recorded traffic, in virtual
//! time. Knows no sockets, no files and no clock; the same seed gives the same numbers.
//!
//! A [`Scenario`] (a text, or one of [`builtin::ALL`]) becomes a [`Plan`], which runs once for each [`Contender`]; what comes
//! out is a [`Comparison`] of plain numbers.

mod again;
mod agenda;
pub mod builtin;
mod comparison;
mod contender;
mod demand;
mod effort;
mod excerpt;
mod goal;
mod histogram;
pub mod html;
mod least_request_lru;
mod least_time;
mod machine;
mod numbers;
mod oracle;
mod outcome;
mod proxy;
mod random;
mod recorder;
mod replay;
mod reports;
mod scenario;
mod server;
mod simulation;
mod span;
mod spells;
mod suggest;
mod table;
mod traffic;

pub use again::{Again, Hedge, Reason, Retry};
pub use comparison::Progress;
pub use contender::{Contender, UnknownContender};
pub use goal::{Goal, Measure};
pub use machine::{Cold, Discipline, Failing, Fails, Machine, Part, Positive, Slow, Stalls};
pub use outcome::{
    Comparison, EndpointOutcome, Explained, ExtraAttempts, Outcome, Point, Quantiles, Series, Timeline,
    Utilisation, Verdict,
};
pub use replay::{AccessLog, Flaw, ReplayError, ReplayOptions};
pub use scenario::{Scenario, ScenarioError};
pub use simulation::Plan;
pub use span::{About, Span};
pub use traffic::{Kind, Made, Recorded, Shape, Step, Traffic};
