//! What an authority looks for in the DNS (RFC 8555 §8.4): a record that is put there, waited for until the servers of its zone
//! show it, and taken away again. Knows no orders.

mod command; // whoever else can change the zone
mod key; // what changes are signed with
mod question; // what the DNS says
mod update; // by RFC 2136
mod withdrawals; // of records that nobody waits for

use crate::Clock;
use hickory_proto::rr::Name;
use question::Zone;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

pub use key::{KeyError, look_at_key};
pub(crate) use withdrawals::Withdrawals;

/// The pauses between two looks at the servers of a zone.
const LOOKS: [u64; 4] = [1, 1, 2, 5];

/// How records come into the DNS.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Dns {
    pub through: Through,
    /// Who is asked where a zone is served; none: whom this machine asks.
    pub resolvers: Vec<SocketAddr>,
    /// How long a change may take, until it is accepted.
    pub timeout: Duration,
    /// How long it may take from there until it is seen.
    pub wait: Duration,
}

/// Who changes a zone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Through {
    /// A program and its arguments; more are appended.
    Command(Vec<String>),
    /// A server that takes updates (RFC 2136): a host and a port; and the file with the key that they are signed with (RFC 8945).
    Server { address: String, key: Option<PathBuf> },
}

/// Why a record is not seen.
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    #[error("`{command}` ended with {status}{said}", status = ending(*status))]
    CommandFailed { command: String, status: ExitStatus, said: String },
    #[error("`{command}` took longer than {limit:?}{said}")]
    CommandSlow { command: String, limit: Duration, said: String },
    #[error("{server} answers what cannot be understood: {reason}")]
    Garbled { server: String, reason: String },
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("`{0}` is no name in the DNS")]
    NoName(String),
    #[error("nobody says which zone {name} belongs to")]
    NoZone { name: String },
    #[error("{name} is not to be seen at {servers} after {limit:?}")]
    NotSeen { name: String, servers: String, limit: Duration },
    #[error("{server} refused to change {zone}: {code}")]
    Refused { server: String, zone: String, code: String },
    #[error("`{command}` cannot be run: {error}")]
    Unrunnable { command: String, error: io::Error },
    #[error("{server} does not answer: {error}")]
    Unreachable { server: String, error: io::Error },
}

/// `exit status: 1`, but shorter.
fn ending(status: ExitStatus) -> String {
    status.code().map_or_else(|| status.to_string(), |code| code.to_string())
}

/// A record of the type TXT, where it belongs.
#[derive(Debug)]
pub(crate) struct Record {
    /// What the certificate is for.
    host: String,
    /// Where the record is, when all aliases have been followed.
    name: Name,
    value: String,
    /// `None`: nobody says.
    zone: Option<Zone>,
}

/// A record that stands in the DNS, or may do so: it is taken away when nobody needs it any more.
#[derive(Debug)]
pub(crate) struct Standing {
    dns: Dns,
    /// `None`: it has been taken away.
    record: Option<Arc<Record>>,
    clock: Clock,
    withdrawals: Arc<Withdrawals>,
}

impl Standing {
    pub(crate) fn new(dns: &Dns, record: Record, clock: Clock, withdrawals: &Arc<Withdrawals>) -> Self {
        let withdrawals = Arc::clone(withdrawals);
        Self { dns: dns.clone(), record: Some(Arc::new(record)), clock, withdrawals }
    }

    pub(crate) async fn show(&self) -> Result<(), DnsError> {
        match &self.record {
            Some(record) => self.dns.show(record, now(self.clock)).await,
            None => Ok(()),
        }
    }

    pub(crate) async fn withdraw(mut self) -> Result<(), DnsError> {
        let Some(record) = self.record.clone() else { return Ok(()) };
        let withdrawn = self.dns.change(Change::CleanUp, &record, now(self.clock)).await;
        self.record = None;
        withdrawn
    }
}

/// Whoever waits for a certificate may be sent away in the middle.
impl Drop for Standing {
    fn drop(&mut self) {
        let Some(record) = self.record.take() else { return };
        let (dns, clock) = (self.dns.clone(), self.clock);
        self.withdrawals.begin(async move {
            let _ = dns.change(Change::CleanUp, &record, now(clock)).await; // there is nobody to tell
        });
    }
}

fn now(clock: Clock) -> u64 {
    clock().try_into().unwrap_or_default()
}

/// What is to become of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Present,
    CleanUp,
}

impl Dns {
    /// Where the record for `host` belongs.
    pub(crate) async fn locate(&self, host: &str, value: String) -> Result<Record, DnsError> {
        let named = format!("_acme-challenge.{}.", host.trim_start_matches("*."));
        let name = Name::from_ascii(&named).map_err(|_| DnsError::NoName(named))?;
        let resolvers = self.resolvers();
        let located = tokio::time::timeout(self.timeout, question::locate(&resolvers, name.clone())).await;
        let (name, zone) = located.unwrap_or_else(|_| Err(DnsError::NoZone { name: name.to_ascii() }))?;
        Ok(Record { host: host.to_owned(), name, value, zone })
    }

    /// Puts it there, and waits until it is seen. `now` is in seconds since the Unix epoch.
    async fn show(&self, record: &Record, now: u64) -> Result<(), DnsError> {
        self.change(Change::Present, record, now).await?;
        let resolvers = self.resolvers();
        let mut lacking = Vec::new();
        let seen = async {
            let servers = match &record.zone {
                Some(zone) => question::servers(&resolvers, &zone.apex).await,
                None => Vec::new(),
            };
            let mut pauses = LOOKS.into_iter();
            let mut pause = 0;
            loop {
                let shown = match question::lacking(&servers, &record.name, &record.value).await {
                    Some(lack) => {
                        lacking = lack;
                        lacking.is_empty()
                    }
                    // Whoever is asked for everything may remember for long that there was nothing: no reason to give up.
                    None => question::lacking(&resolvers, &record.name, &record.value)
                        .await
                        .is_some_and(|lack| lack.is_empty()),
                };
                if shown {
                    return;
                }
                pause = pauses.next().unwrap_or(pause);
                tokio::time::sleep(Duration::from_secs(pause)).await;
            }
        };
        let seen = tokio::time::timeout(self.wait, seen).await;
        if seen.is_ok() || lacking.is_empty() {
            return Ok(()); // also where none of those who serve the zone can be asked: then it has had its time
        }
        let servers = lacking.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        Err(DnsError::NotSeen { name: record.name.to_ascii(), servers, limit: self.wait })
    }

    async fn change(&self, change: Change, record: &Record, now: u64) -> Result<(), DnsError> {
        match &self.through {
            Through::Command(words) => command::run(words, change, record, self.timeout).await,
            Through::Server { address, key } => {
                let key = key.as_deref().map(key::read).transpose()?;
                let update = update::send(address, key, change, record, now);
                tokio::time::timeout(self.timeout, update).await.unwrap_or_else(|_| {
                    Err(DnsError::Unreachable {
                        server: address.clone(),
                        error: io::ErrorKind::TimedOut.into(),
                    })
                })
            }
        }
    }

    fn resolvers(&self) -> Vec<SocketAddr> {
        if self.resolvers.is_empty() { question::resolvers_of_this_machine() } else { self.resolvers.clone() }
    }
}
