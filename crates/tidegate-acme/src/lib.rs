//! Certificates from an authority that hands them out to whoever shows that a host is theirs (ACME, RFC 8555).
//!
//! Keeps an account and the certificates in a folder, and asks its caller to show what the authority wants to see. For development,
//! it is an authority itself. Opens no listening socket, and decides nothing about when.

#![forbid(unsafe_code)]

mod account; // the one that is kept, and another when it is forgotten
mod authority; // orders
mod caller; // requests, each with a deadline
mod challenge; // what the authority wants to see
mod dealings; // what there is between it and us, whatever the terms
mod distrust; // why its own certificate is not believed
mod dns; // records, and whoever can change a zone
mod folder; // where it is kept
mod internal; // an authority of our own
mod origin; // who gave the certificates in it
mod reading; // files that people name
mod schedule; // when to ask for the next one, and when to ask again
mod words; // of others, and how many of them
mod worth; // what an authority gave, before it is kept

pub use authority::{AcmeError, Authority, Clock, Suggestion, Terms};
pub use caller::{RootError, look_at_root};
pub use challenge::{Answer, Answers, ChallengeKind, Proof, Turn};
pub use dealings::Dealings;
pub use dns::{Dns, DnsError, KeyError, Through, look_at_key};
pub use folder::Folder;
pub use internal::{Internal, InternalError};
pub use reading::{BUNDLE_MAX, CERTIFICATE_MAX, read_file};
pub use schedule::{Failures, Pause, renewal_due};
