//! What an idle connection costs in resident memory: many are opened, then each is used once, and the difference is
//! divided. Knows connections, not programs.

use crate::client::Client;
use crate::peers::{Stage, Subject};
use crate::process::Process;
use std::time::Duration;

pub(crate) const CONNECTIONS: u32 = 4000;

/// KiB per connection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Idle {
    /// Connected, nothing sent yet.
    pub(crate) fresh: f64,
    /// One request answered, kept alive.
    pub(crate) served: f64,
}

pub(crate) fn measure(stage: &Stage, subject: Subject) -> Result<Idle, String> {
    let running = stage.start(subject)?;
    let failed = |error: std::io::Error| format!("{subject} with {CONNECTIONS} idle connections: {error}");
    // One connection has been through everything already, so that code and tables are in memory.
    let before = settled_kib(&running.process);
    let clients: Result<Vec<Client>, _> =
        (0..CONNECTIONS).map(|_| Client::connect(running.address)).collect();
    let mut clients = clients.map_err(failed)?;
    let fresh = settled_kib(&running.process);
    for client in &mut clients {
        let answer = client.get("/small").map_err(failed)?;
        if answer.status != 200 {
            return Err(format!("{subject} answers {} with {CONNECTIONS} idle connections", answer.status));
        }
    }
    let served = settled_kib(&running.process);
    let each = |after: u64| after.saturating_sub(before) as f64 / f64::from(CONNECTIONS);
    Ok(Idle { fresh: each(fresh), served: each(served) })
}

/// Resident memory once it has stopped changing, within two seconds.
fn settled_kib(process: &Process) -> u64 {
    let mut last = process.resident_kib();
    for _ in 0..8 {
        std::thread::sleep(Duration::from_millis(250));
        let now = process.resident_kib();
        if now == last {
            break;
        }
        last = now;
    }
    last
}
