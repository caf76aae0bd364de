//! The life of a configuration: put in force whole, replaced whole, drained at the end. Lives on the control runtime.

use crate::admin::{AdminServer, AdminSockets};
use crate::control::{Options, StartError};
use crate::credentials::Credentials;
use crate::fleet::Fleet;
use crate::gauges;
use crate::health::Checks;
use crate::listening::{Bound, Listening};
use crate::logs::Logs;
use crate::lower::{Lowered, Previous, lower, with_credentials};
use crate::memory::{Shares, shares};
use crate::names;
use crate::overview::Overview;
use crate::places::{Place, places};
use crate::secrets::{MadeSecret, Secrets, without_secret};
use crate::tls::{Automatic, Keeper, Lasting, Originators, Stock, Surroundings};
use crate::voice::Voice;
use crate::watch::Watch;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{SystemTime, UNIX_EPOCH};
use tidegate_balance::States;
use tidegate_config::{Config, RequestLimit, Workers};
use tidegate_proxy::snapshot::Snapshot;
use tidegate_proxy::worker::Command;
use tidegate_telemetry::Registry;
use tidegate_telemetry::families::{CONFIG_RELOAD_OK, CONFIG_RELOADED_AT, CONFIG_RELOADS};
use tidegate_telemetry::registry::CONTROL;

/// Everything that a running proxy consists of.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) voice: Voice,
    pub(crate) overview: Arc<Overview>,
    options: Options,
    states: States,
    /// For sticky cookies without a secret of their own.
    secret: MadeSecret,
    credentials: Credentials,
    /// What TLS needs and no configuration replaces.
    lasting: Arc<Lasting>,
    pub(crate) certificates: Arc<Keeper>,
    automatic: Automatic,
    listening: Vec<Listening>,
    fleet: Fleet,
    logs: Logs,
    admin: Option<AdminServer>,
    checks: Checks,
}

/// What a reload needs and what may not be to be had.
struct Obtained {
    /// Of the new configuration, in force or bound.
    served: Vec<Place>,
    credentials: Credentials,
    originators: Originators,
    certificates: Stock,
    bound: Vec<Bound>,
    admin: Option<AdminSockets>,
    logs: Option<Logs>,
}

impl Core {
    pub(crate) async fn start(config: Config, options: Options) -> Result<Self, StartError> {
        raise_descriptor_limit(&config, &options.voice);
        let (registry, states) = (Arc::new(Registry::default()), States::default());
        let count = worker_count(config.workers);
        let secret = MadeSecret::new()?;
        let originators = Originators::load(&config)?;
        let secrets = Secrets::read(&config, &secret)?;
        let credentials = Credentials { secrets, originations: originators.held() };
        let lasting = Arc::default();
        let certificates = Stock::load(&config, &lasting)?;
        let places = places(&config.listeners).await?;
        let bound = Bound::all(&places, count)?;
        let admin = match &config.admin {
            Some(bind) => Some(AdminServer::bind(bind, options.admin).await?),
            None => None,
        };
        let logs = Logs::open(&config.log, count, &registry)?;

        let Lowered { snapshot, unresolved } = lower(
            &config,
            &bound_places(&places, &bound),
            &states,
            &credentials,
            &certificates,
            room(&config, count),
            None,
        );
        warn_of_lost_cookies(&config, &options.voice);
        names::resolve(unresolved, &options.voice).await;
        let requests = Arc::new(AtomicUsize::new(0));
        come_into_force(&snapshot);
        let fleet = Fleet::start(&snapshot, &registry, logs.ends(), &requests)?;
        let current = Previous { config: Arc::new(config), snapshot };
        let overview = Arc::new(Overview::new(registry, count, requests, current));
        let mut core = Self {
            voice: options.voice.clone(),
            options,
            states,
            secret,
            credentials,
            lasting,
            certificates: Arc::default(),
            automatic: Automatic::default(),
            listening: Vec::new(),
            fleet,
            logs,
            admin: admin.map(|admin| admin.serve(&overview)),
            checks: Checks::default(),
            overview,
        };
        core.certificates.take(certificates, originators, &core.overview, &core.voice);
        core.listen(bound);
        core.ask_for_certificates();
        core.checks.follow(&core.overview).await;
        tokio::spawn(Watch::default().run(Arc::clone(&core.overview), core.voice.clone()));
        let keeper = Arc::clone(&core.certificates);
        tokio::spawn(keeper.run(Arc::clone(&core.overview), core.voice.clone()));
        core.applied();
        Ok(core)
    }

    /// Everything that can fail comes first; then the change is made, whole.
    pub(crate) async fn reload(&mut self, config: Config) -> Result<(), StartError> {
        let Obtained { served, credentials, originators, certificates, bound, admin, logs } =
            self.obtain(&config).await?;
        let current = self.overview.current();
        let Lowered { snapshot, unresolved } = lower(
            &config,
            &served,
            &self.states,
            &credentials,
            &certificates,
            room(&config, self.fleet.len()),
            Some(&current),
        );
        names::resolve(unresolved, &self.voice).await;

        come_into_force(&snapshot);
        self.fleet.tell(|| Command::Publish(Arc::clone(&snapshot)));
        let opened: Vec<_> = bound.iter().map(|bound| Arc::clone(&bound.listening.key)).collect();
        self.listen(bound);
        for gone in self.unlisten(|key| served.iter().all(|place| *place.key != *key)) {
            self.voice.note(format_args!("no longer listening on {}", gone.address));
        }
        self.take_logs(logs);
        self.warn_of_what_stays(&config);
        self.credentials = credentials;
        self.certificates.take(certificates, originators, &self.overview, &self.voice);
        self.ask_for_certificates();
        gauges::forget_removed(&self.overview, &config, &snapshot);
        let wants_admin = config.admin.is_some();
        self.overview.replace(Previous { config: Arc::new(config), snapshot });
        self.announce_listening(|key| opened.iter().any(|opened| **opened == *key));
        self.take_admin(admin, wants_admin);
        self.checks.follow(&self.overview).await;
        self.applied();
        Ok(())
    }

    /// Gets what the configuration needs and what may not be to be had. Dropping it gives everything back.
    async fn obtain(&self, config: &Config) -> Result<Obtained, StartError> {
        let originators = Originators::load(config)?;
        let secrets = Secrets::read(config, &self.secret)?;
        let credentials = Credentials { secrets, originations: originators.held() };
        let certificates = Stock::load(config, &self.lasting)?;
        let places = places(&config.listeners).await?;
        let is_new = |place: &Place| self.listening.iter().all(|listening| listening.key != place.key);
        let (new, kept): (Vec<_>, Vec<_>) = places.into_iter().partition(is_new);
        let bound = Bound::all(&new, self.fleet.len())?;
        let admin = match &config.admin {
            Some(bind) if self.admin.as_ref().is_none_or(|admin| admin.bind != *bind) => {
                Some(AdminServer::bind(bind, self.options.admin).await?)
            }
            _ => None,
        };
        let logs = self.logs.changed(&config.log, &self.overview.registry)?;
        let served = kept.into_iter().chain(bound_places(&new, &bound)).collect();
        Ok(Obtained { served, credentials, originators, certificates, bound, admin, logs })
    }

    /// Files that endpoints are spoken TLS by have changed.
    pub(crate) async fn take_originations(&mut self) {
        self.credentials.originations = self.certificates.originations();
        let current = self.overview.current();
        let Lowered { snapshot, unresolved } = with_credentials(&current, &self.states, &self.credentials);
        names::resolve(unresolved, &self.voice).await;
        come_into_force(&snapshot);
        self.fleet.tell(|| Command::Publish(Arc::clone(&snapshot)));
        self.overview.replace(Previous { config: Arc::clone(&current.config), snapshot });
        self.checks.follow(&self.overview).await;
    }

    fn ask_for_certificates(&mut self) {
        self.automatic.follow(&Surroundings {
            keeper: Arc::clone(&self.certificates),
            overview: Arc::clone(&self.overview),
            challenges: Arc::clone(&self.lasting.challenges),
            voice: self.voice.clone(),
        });
    }

    fn take_logs(&mut self, logs: Option<Logs>) {
        if let Some(logs) = logs {
            self.fleet.tell_each(logs.ends().map(Command::Log));
            std::mem::replace(&mut self.logs, logs).retire();
        }
    }

    fn take_admin(&mut self, admin: Option<AdminSockets>, wanted: bool) {
        if let Some(admin) = admin {
            let admin = admin.serve(&self.overview);
            self.voice.note(format_args!("admin now on {}", url("http", &admin.address)));
            self.admin = Some(admin);
        } else if !wanted {
            self.admin = None;
        }
    }

    fn warn_of_what_stays(&self, config: &Config) {
        warn_of_lost_cookies(config, &self.voice);
        let (running, wanted) = (self.fleet.len(), worker_count(config.workers));
        if running != wanted {
            self.voice.warning(format_args!(
                "workers = {wanted} takes effect at the next start; {running} keep running"
            ));
        }
    }

    /// Nothing has changed; why has been said.
    pub(crate) fn refuse_reload(&self) {
        self.overview.registry.counter(CONTROL, &CONFIG_RELOADS, &["refused"]).add_from_any_thread(1);
        self.overview.registry.gauge(&CONFIG_RELOAD_OK, &[]).set(0);
        self.voice.error("the configuration was not applied: the one before stays in force");
    }

    pub(crate) fn count_reload(&self) {
        self.overview.registry.counter(CONTROL, &CONFIG_RELOADS, &["applied"]).add_from_any_thread(1);
    }

    #[allow(clippy::disallowed_methods, reason = "the control plane reads the clock")]
    fn applied(&self) {
        let registry = &self.overview.registry;
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        registry.gauge(&CONFIG_RELOADED_AT, &[]).set(since_epoch.as_secs().cast_signed());
        registry.gauge(&CONFIG_RELOAD_OK, &[]).set(1);
    }

    pub(crate) fn reopen_logs(&self) {
        if let Err(error) = self.logs.reopen() {
            self.voice.error(error);
        }
    }

    fn listen(&mut self, bound: Vec<Bound>) {
        for (listening, sockets) in bound.into_iter().map(Bound::into_parts) {
            let listen = |socket| Command::Listen(Arc::clone(&listening.key), socket);
            self.fleet.tell_each(sockets.into_iter().map(listen));
            self.listening.push(listening);
        }
        self.overview.listens_on(self.listening.clone());
    }

    fn unlisten(&mut self, is_gone: impl Fn(&str) -> bool) -> Vec<Listening> {
        let gone: Vec<_> = self.listening.extract_if(.., |listening| is_gone(&listening.key)).collect();
        for one in &gone {
            self.fleet.tell(|| Command::Unlisten(Arc::clone(&one.key)));
        }
        self.overview.listens_on(self.listening.clone());
        gone
    }

    pub(crate) fn admin_address(&self) -> Option<String> {
        self.admin.as_ref().map(|admin| admin.address.clone())
    }

    /// What is served, and where.
    pub(crate) fn announce(&self) {
        self.announce_listening(|_| true);
        let current = self.overview.current();
        for cluster in &current.config.clusters {
            let endpoints: Vec<_> =
                cluster.endpoints.iter().map(|endpoint| endpoint.address.to_string()).collect();
            let balance = cluster.balance.word();
            self.voice.note(format_args!("cluster {} ({balance}): {}", cluster.name, endpoints.join(", ")));
        }
        self.announce_little_memory();
        match &self.admin {
            Some(admin) => {
                self.voice
                    .note(format_args!("admin on {} (metrics, health, status)", url("http", &admin.address)));
            }
            None => self.voice.note("admin is off: no metrics"),
        }
    }

    fn announce_listening(&self, is_meant: impl Fn(&str) -> bool) {
        let current = self.overview.current();
        for listening in self.listening.iter().filter(|listening| is_meant(&listening.key)) {
            let listener = current.snapshot.listeners.iter().find(|listener| listener.key == listening.key);
            let scheme = listener.map_or("http", |listener| listener.scheme());
            self.voice.note(format_args!("listening on {}", url(scheme, &listening.address)));
        }
    }

    /// Whoever runs it in a small container hears what that means before clients do.
    fn announce_little_memory(&self) {
        let Previous { config, snapshot } = &*self.overview.current();
        let (requests, connections) = (snapshot.limits.workspaces.lent_max, snapshot.limits.connections_max);
        let memory = tidegate_sys::usable_memory().unwrap_or_default() >> 20;
        if config.limit.requests == RequestLimit::Auto && requests < connections {
            self.voice.note(format_args!(
                "{requests} requests at once (limit.requests), by {memory} MiB of memory"
            ));
        }
        if connections < config.limit.connections as usize {
            self.voice.note(format_args!(
                "{connections} connections at once, fewer than limit.connections, by {memory} MiB of memory"
            ));
        }
    }

    /// Accepts nothing more and waits for what is open: until it has ended, the configured time is over, or `hurry`.
    pub(crate) async fn drain(&mut self, hurry: impl Future<Output = ()>) {
        self.overview.starts_draining();
        self.fleet.tell(|| Command::Drain);
        self.unlisten(|_| true);
        let patience = self.overview.current().config.timeout.drain;
        tokio::select! {
            _ = async { tokio::join!(self.fleet.ended(), self.automatic.end()) } => {}
            () = tokio::time::sleep(patience) => {
                self.voice.warning(format_args!("not everything was finished within {patience:?}: ending it"));
                self.fleet.stop().await;
            }
            () = hurry => self.fleet.stop().await,
        }
        self.checks.end().await;
    }

    /// Only when one has gone that nobody told to.
    pub(crate) fn has_lost_a_worker(&self) -> bool {
        self.fleet.has_lost_one()
    }

    /// Writes the last lines.
    pub(crate) fn end(&mut self) {
        self.admin = None;
        if !self.logs.close() {
            self.voice.warning("the last lines of the access log could not be written");
        }
    }
}

/// Just before workers get it: what it says of breakers counts for requests of earlier ones, too.
fn come_into_force(snapshot: &Snapshot) {
    let now = tidegate_proxy::now();
    snapshot.clusters.iter().for_each(|cluster| cluster.balancer.come_into_force(now));
}

fn warn_of_lost_cookies(config: &Config, voice: &Voice) {
    let clusters = without_secret(config);
    if !clusters.is_empty() {
        voice.warning(format_args!(
            "sticky cookies of {} do not survive a restart and mean nothing to another proxy: set sticky.secret_file",
            clusters.join(", ")
        ));
    }
}

/// How many workers the configuration means here.
pub(crate) fn worker_count(configured: Workers) -> usize {
    match configured {
        Workers::Auto => tidegate_sys::usable_core_count(),
        Workers::Count(count) => count.get() as usize,
    }
}

/// What requests may take, by the memory that there is now.
fn room(config: &Config, workers: usize) -> Shares {
    shares(config, workers, tidegate_sys::usable_memory())
}

/// Those that are bound: a name's address that this machine lacks is not served.
fn bound_places(places: &[Place], bound: &[Bound]) -> Vec<Place> {
    let is_bound = |place: &&Place| bound.iter().any(|one| one.listening.key == place.key);
    places.iter().filter(is_bound).cloned().collect()
}

/// Something to click on.
fn url(scheme: &str, address: &str) -> String {
    let any = ["[::]:", "0.0.0.0:"].into_iter().find_map(|any| address.strip_prefix(any));
    match any {
        _ if address.starts_with("unix:") => address.to_owned(),
        Some(port) => format!("{scheme}://localhost:{port} (every address of this machine)"),
        None => format!("{scheme}://{address}"),
    }
}

/// Each proxied request may need two descriptors: one for the client, one for the endpoint.
fn raise_descriptor_limit(config: &Config, voice: &Voice) {
    let needed = u64::from(config.limit.connections) * 2;
    match tidegate_sys::raise_descriptor_limit() {
        Err(error) => voice.warning(format_args!("cannot raise the limit of open files: {error}")),
        Ok(limit) => {
            if let Some(soft) = limit.soft.filter(|soft| *soft < needed) {
                voice.warning(format_args!(
                    "only {soft} files may be open at once (`ulimit -n`), and {} connections may need {needed}: \
                     raise it, or lower limit.connections",
                    config.limit.connections
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_announced_can_be_clicked_on() {
        for (address, expected) in [
            ("127.0.0.1:80", "http://127.0.0.1:80"),
            ("[::1]:80", "http://[::1]:80"),
            ("[::]:80", "http://localhost:80 (every address of this machine)"),
            ("0.0.0.0:80", "http://localhost:80 (every address of this machine)"),
            ("unix:/run/web.sock", "unix:/run/web.sock"),
        ] {
            assert_eq!(url("http", address), expected);
        }
    }
}
