//! A running proxy, seen from above: start, reload, stop. Decides nothing about requests.

use crate::core::Core;
use crate::places::PlaceError;
use crate::secrets::SecretError;
use crate::signals::Signals;
use crate::status::Status;
use crate::tls::CertificateError;
use crate::voice::Voice;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tidegate_config::Config;
use tidegate_sys::ListenError;
use tidegate_telemetry::Registry;
use tidegate_telemetry::access_log::OpenError;
use tokio::runtime::Runtime;

/// Threads that resolve names, check health and answer the admin listener.
const CONTROL_THREADS: usize = 2;
/// How long the end waits for what cannot be interrupted: a name being looked up, the last lines of an old access log.
const LAST_TASKS: Duration = Duration::from_millis(1500);

/// What a proxy is started with besides its configuration.
#[derive(Clone, Debug)]
pub struct Options {
    pub voice: Voice,
    pub admin: AdminChoice,
}

/// Whether the admin listener must have the address that is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminChoice {
    Exactly,
    /// When it is taken, any free port of the same address does.
    OrAnyPort,
}

/// Why a proxy did not start, or a reload was refused.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    AccessLog(#[from] OpenError),
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Place(#[from] PlaceError),
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

/// A running proxy. Dropping it ends it at once; `stop` lets it finish.
#[derive(Debug)]
pub struct Control {
    pub(crate) core: Core,
    pub(crate) signals: Signals,
    pub(crate) runtime: Runtime,
}

impl Control {
    /// Binds everything, starts the workers and serves.
    pub fn start(config: Config, options: Options) -> Result<Self, StartError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(CONTROL_THREADS)
            .thread_name("control")
            .enable_all()
            .build()?;
        let start = async { Ok::<_, StartError>((Signals::new()?, Core::start(config, options).await?)) };
        match runtime.block_on(start) {
            Ok((signals, core)) => Ok(Self { core, signals, runtime }),
            Err(error) => {
                runtime.shutdown_background(); // a look-up that hangs must not hold the answer back
                Err(error)
            }
        }
    }

    /// Puts another configuration in force, whole or not at all.
    pub fn reload(&mut self, config: Config) -> Result<(), StartError> {
        self.runtime.block_on(self.core.reload(config))
    }

    pub fn registry(&self) -> &Arc<Registry> {
        &self.core.overview.registry
    }

    /// Where metrics and status are served.
    pub fn admin_address(&self) -> Option<String> {
        self.core.admin_address()
    }

    /// The state of everything now.
    pub fn status(&self) -> Status {
        Status::read(&self.core.overview)
    }

    /// Finishes what is open, for as long as the configuration allows, and ends.
    pub fn stop(mut self) {
        self.runtime.block_on(self.core.drain(std::future::pending()));
        self.end();
    }

    pub(crate) fn end(mut self) {
        self.core.end();
        self.runtime.shutdown_timeout(LAST_TASKS);
    }
}
