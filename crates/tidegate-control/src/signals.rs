//! What the operator asks for while the proxy runs: TERM, INT and QUIT end it, HUP reads the configuration again, USR1
//! opens the access log anew. Knows no files; reading is a function it is given.

use crate::control::Control;
use crate::core::Core;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tidegate_config::Config;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How often the workers are looked at.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// A configuration that was read again.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    /// What the reader found legal but surprising, each ready to be printed.
    pub warnings: Vec<String>,
}

/// Reads the configuration again. The error is the whole report, ready to be printed. `None`: there is no file to read.
pub type Source = Option<Box<dyn Fn() -> Result<Loaded, String> + Send>>;

/// The signals that are listened to; made before anything is bound, so that none gets lost.
#[derive(Debug)]
pub(crate) struct Signals {
    hangup: Signal,
    interrupt: Signal,
    quit: Signal,
    reopen: Signal,
    terminate: Signal,
}

enum Asked {
    End(&'static str),
    LookAtWorkers,
    /// Nobody asked: files have changed.
    TakeOriginations,
    Reload,
    ReopenLogs,
}

/// Why a proxy ended that nobody told to.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("a worker has ended unexpectedly")]
    WorkerLost,
}

impl Control {
    /// Serves until a signal says to end, then finishes what is open.
    pub fn serve(mut self, source: &Source) -> Result<(), ServeError> {
        self.core.announce();
        let served = self.runtime.block_on(serve(&mut self.core, &mut self.signals, source));
        self.end();
        served
    }

    /// Waits for a signal to end, or until the time is over; says whether there was one. A hang-up is one, too: there is nothing to
    /// read again, and whoever looked on has gone.
    pub fn is_told_to_end_within(&mut self, patience: Duration) -> bool {
        let ended = async { while !matches!(self.signals.next().await, Asked::End(_) | Asked::Reload) {} };
        self.runtime.block_on(async { tokio::time::timeout(patience, ended).await.is_ok() })
    }
}

async fn serve(core: &mut Core, signals: &mut Signals, source: &Source) -> Result<(), ServeError> {
    loop {
        let certificates = Arc::clone(&core.certificates);
        let asked = tokio::select! {
            asked = signals.next() => asked,
            () = certificates.originations_changed.notified() => Asked::TakeOriginations,
        };
        match asked {
            Asked::End(why) => {
                core.voice.note(format_args!("{why}: finishing what is open"));
                core.drain(signals.ended_again()).await;
                return Ok(());
            }
            Asked::LookAtWorkers if core.has_lost_a_worker() => return Err(ServeError::WorkerLost),
            Asked::LookAtWorkers => {}
            Asked::Reload => reload(core, source).await,
            Asked::TakeOriginations => core.take_originations().await,
            Asked::ReopenLogs => core.reopen_logs(),
        }
    }
}

async fn reload(core: &mut Core, source: &Source) {
    let Some(read) = source else {
        core.voice.warning("nothing to read again: this proxy was started from the command line");
        return;
    };
    match read() {
        Err(report) => {
            core.voice.report(&report);
            core.refuse_reload();
        }
        Ok(loaded) => {
            loaded.warnings.iter().for_each(|warning| core.voice.report(warning));
            match core.reload(loaded.config).await {
                Ok(()) => {
                    core.count_reload();
                    core.voice.note("the configuration was read again and is in force");
                }
                Err(error) => {
                    core.voice.error(error);
                    core.refuse_reload();
                }
            }
        }
    }
}

impl Signals {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            reopen: signal(SignalKind::user_defined1())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.hangup.recv() => Asked::Reload,
            _ = self.interrupt.recv() => Asked::End("interrupted"),
            _ = self.quit.recv() => Asked::End("told to quit"),
            _ = self.reopen.recv() => Asked::ReopenLogs,
            _ = self.terminate.recv() => Asked::End("told to end"),
            () = tokio::time::sleep(WATCH_INTERVAL) => Asked::LookAtWorkers,
        }
    }

    /// Asked a second time: no more waiting.
    async fn ended_again(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.quit.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
