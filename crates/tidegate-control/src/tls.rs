//! What connections are encrypted with. Of listeners: certificates read from files, and read again when those change. Of
//! endpoints: whom to believe and what to show, the same.

mod age; // how long a certificate still holds
mod automatic; // those that an authority is asked for
mod clients; // who vouches for clients
mod files; // PEM files become certificates
mod internal; // those made here
mod keeper; // looks after the files, tells about them
mod lapse; // when what others are vouched for by has had its time
mod look; // into files, before anything starts
mod originators; // what the endpoints of a cluster are spoken TLS with
mod progress; // where asking for a certificate stands
mod real_path; // one place on the disk, however it is written
mod renewal; // when the next one is asked for
mod stock; // every certificate of a configuration, and who shows it
mod terminator; // what one listener is given
mod tickets; // by which clients come back
mod watched; // files, and what they held

pub(crate) use automatic::{Automatic, Surroundings};
pub(crate) use files::CertificateError;
pub(crate) use keeper::{CertificateFacts, Keeper, now};
pub(crate) use look::look;
pub(crate) use originators::{Origination, Originations, Originators};
pub(crate) use progress::Progress;
pub(crate) use stock::{Lasting, Stock};
