//! Every certificate of a configuration, once for each pair of files, and which listener shows which; and whom clients need
//! to be vouched for by. Files that have changed are read again; what cannot be used changes nothing.

use super::automatic::Wanted;
use super::clients::Clients;
use super::files::{CertificateError, Loaded, load};
use super::internal::{Internals, Made};
use super::keeper::now;
use super::terminator::server_config;
use super::tickets::Tickets;
use super::watched::{Change, Touched, Watched};
use arc_swap::ArcSwap;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tidegate_acme::renewal_due;
use tidegate_config::{self as config, CertificateFiles, ClientAuth, Config, Listener, Tls};
use tidegate_proxy::tls::Terminator;
use tidegate_proxy::tls::certificates::{Certificates, SharedCertificates};
use tidegate_proxy::tls::challenges::Challenges;

/// What is kept when another configuration comes: for clients that come back, authorities that look, and people who have been
/// told of a root.
#[derive(Debug, Default)]
pub(crate) struct Lasting {
    pub(crate) challenges: Arc<Challenges>,
    pub(super) internals: Internals,
    tickets: Tickets,
}

/// What each listener encrypts with, by its position in the configuration.
#[derive(Debug, Default)]
pub(crate) struct Stock {
    pub(super) certificates: Vec<Item>,
    pub(super) clients: Vec<(ClientAuth, Watched<Clients>)>,
    listeners: Vec<Option<Showcase>>,
    /// Which of the certificates somebody has to be asked for.
    pub(super) automatic: Vec<Wanted>,
    known: Known,
    lasting: Arc<Lasting>,
}

/// Where what is given again is found: by position, or ten thousand hosts would take a minute.
#[derive(Debug, Default)]
struct Known {
    certificates: HashMap<CertificateFiles, usize>,
    /// By the place on the disk, however its path is written.
    automatic: HashMap<PathBuf, usize>,
}

/// A pair of files, and what they held when they last made sense.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) files: CertificateFiles,
    /// `None`: there are none yet, and somebody is asked for them.
    pub(super) watched: Watched<Option<Loaded>>,
    /// It is made here, whatever the files say.
    pub(super) made: Option<Made>,
    /// An authority is asked for it.
    pub(super) is_automatic: bool,
}

/// What one listener shows and demands, by positions.
#[derive(Debug)]
struct Showcase {
    tls: Tls,
    protocols: &'static [&'static [u8]],
    certificates: Vec<usize>,
    clients: Option<usize>,
    terminator: Arc<Terminator>,
}

impl Item {
    fn refresh(&mut self, now: i64) -> Option<Change> {
        let Self { files, watched, made, .. } = self;
        let Some(made) = made else {
            let is_awaited = watched.held.is_none();
            return watched.refresh(|| load_awaited(files, is_awaited));
        };
        let is_due = |held: &Loaded| renewal_due(held.validity.not_before, held.validity.not_after) <= now;
        let is_due = watched.held.as_ref().is_none_or(is_due);
        is_due.then(|| watched.replace(made.load(now).map(Some))).flatten()
    }
}

/// What can be agreed on (RFC 7301). Whoever passes on what he decrypts does not know what his endpoints speak, and agrees
/// on nothing.
fn protocols(listener: &Listener) -> &'static [&'static [u8]] {
    match (listener.speaks_http(), listener.http2) {
        (false, _) => &[],
        (true, false) => &[b"http/1.1", b"http/1.0"],
        (true, true) => &[b"h2", b"http/1.1", b"http/1.0"],
    }
}

impl Stock {
    /// Reads everything that a configuration names.
    pub(crate) fn load(config: &Config, lasting: &Arc<Lasting>) -> Result<Self, CertificateError> {
        let mut stock = Self { lasting: Arc::clone(lasting), ..Self::default() };
        for listener in &config.listeners {
            let showcase = match &listener.tls {
                Some(tls) => Some(stock.showcase(tls, protocols(listener), config.timeout.handshake)?),
                None => None,
            };
            stock.listeners.push(showcase);
        }
        Ok(stock)
    }

    pub(crate) fn challenges(&self) -> Arc<Challenges> {
        Arc::clone(&self.lasting.challenges)
    }

    pub(crate) fn terminator(&self, listener: usize) -> Option<Arc<Terminator>> {
        let showcase = self.listeners.get(listener)?.as_ref()?;
        Some(Arc::clone(&showcase.terminator))
    }

    /// Reads what has changed, and puts it in force. Says of each file that was touched what came of it.
    pub(super) fn refresh(&mut self, now: i64) -> Vec<Touched> {
        let mut changes = Vec::new();
        let (mut new_certificates, mut new_clients) = (Vec::new(), Vec::new());
        for (index, item) in self.certificates.iter_mut().enumerate() {
            let files = item.files.clone();
            if let Some(change) = item.refresh(now) {
                new_certificates.extend((change == Change::Replaced).then_some(index));
                changes.push(Touched::certificate(&files.cert, change));
            }
        }
        for (index, (auth, watched)) in self.clients.iter_mut().enumerate() {
            if let Some(change) = watched.refresh(|| Clients::load(auth)) {
                new_clients.extend((change == Change::Replaced).then_some(index));
                let files = std::iter::once(&auth.ca).chain(&auth.crls);
                changes.push(Touched::vouching("clients", files, change));
            }
        }
        for showcase in self.listeners.iter().flatten() {
            if showcase.certificates.iter().any(|index| new_certificates.contains(index)) {
                showcase.terminator.certificates.replace(self.shown(&showcase.certificates));
            }
            if showcase.clients.is_some_and(|index| new_clients.contains(&index)) {
                self.demand_anew(showcase);
            }
        }
        changes
    }

    fn demand_anew(&self, showcase: &Showcase) {
        let clients = self.demanded(showcase.clients);
        let made = self.lasting.tickets.of(clients.demanded).and_then(|ticketer| {
            server_config(
                &showcase.tls,
                showcase.protocols,
                &showcase.terminator.certificates,
                &clients.verifier,
                ticketer,
            )
        });
        // What worked at the start works again, but for a machine without randomness: then it stays as it is.
        if let Ok(config) = made {
            showcase.terminator.config.store(Arc::new(config));
        }
    }

    fn showcase(
        &mut self,
        tls: &Tls,
        protocols: &'static [&'static [u8]],
        handshake_timeout: Duration,
    ) -> Result<Showcase, CertificateError> {
        let certificates = tls.certificates.iter().map(|files| self.certificate(files, false));
        let mut certificates = certificates.collect::<Result<Vec<_>, _>>()?;
        for wanted in tls.acme.iter().flat_map(Wanted::of) {
            certificates.push(self.asked_for(wanted)?);
        }
        if let Some(wanted) = &tls.internal {
            certificates.push(self.made(wanted)?);
        }
        let clients = tls.client_auth.as_ref().map(|auth| self.client_auth(auth)).transpose()?;
        let shown = Arc::new(SharedCertificates::new(self.shown(&certificates)));
        let demanded = self.demanded(clients);
        let ticketer = self.lasting.tickets.of(demanded.demanded)?;
        let config = server_config(tls, protocols, &shown, &demanded.verifier, ticketer)?;
        let terminator = Arc::new(Terminator {
            config: ArcSwap::from_pointee(config),
            certificates: shown,
            challenges: Arc::clone(&self.lasting.challenges),
            handshake_timeout,
            tells_client_chain: tls.client_auth.as_ref().is_some_and(|auth| auth.chain),
        });
        Ok(Showcase { tls: tls.clone(), protocols, certificates, clients, terminator })
    }

    /// The position of one that an authority gives.
    fn asked_for(&mut self, wanted: Wanted) -> Result<usize, CertificateError> {
        let first = self.known.automatic.get(&wanted.place).and_then(|known| self.automatic.get(*known));
        // The first listener says how, or two would ask for the same.
        let files = match first {
            Some(first) => first.shared_with(&wanted)?.files.clone(),
            None => wanted.files.clone(),
        };
        let is_first = first.is_none();
        let position = self.certificate(&files, true)?;
        if is_first {
            self.known.automatic.insert(wanted.place.clone(), self.automatic.len());
            self.automatic.push(wanted);
        }
        if let Some(item) = self.certificates.get_mut(position) {
            item.is_automatic = true;
        }
        Ok(position)
    }

    /// The position of these files.
    fn certificate(&mut self, files: &CertificateFiles, is_awaited: bool) -> Result<usize, CertificateError> {
        if let Some(known) = self.known.certificates.get(files) {
            return Ok(*known);
        }
        let paths = [&files.cert, &files.key];
        let watched = match Watched::new(paths, || load_awaited(files, is_awaited)) {
            Err(problem) if is_awaited => Watched::awaiting(paths, &problem), // a new one will come
            read => read?,
        };
        Ok(self.push(Item { files: files.clone(), watched, made: None, is_automatic: false }))
    }

    fn push(&mut self, item: Item) -> usize {
        let position = self.certificates.len();
        self.known.certificates.insert(item.files.clone(), position);
        self.certificates.push(item);
        position
    }

    /// The position of one that is made here.
    fn made(&mut self, wanted: &config::Internal) -> Result<usize, CertificateError> {
        let made = self.lasting.internals.made(wanted)?;
        let files = made.files();
        if let Some(known) = self.known.certificates.get(&files) {
            return Ok(*known);
        }
        let watched = Watched::new([], || made.load(now()).map(Some))?;
        Ok(self.push(Item { files, watched, made: Some(made), is_automatic: false }))
    }

    /// The same for those who vouch for clients.
    fn client_auth(&mut self, auth: &ClientAuth) -> Result<usize, CertificateError> {
        if let Some(known) = self.clients.iter().position(|(known, _)| known == auth) {
            return Ok(known);
        }
        let watched = Watched::new([&auth.ca].into_iter().chain(&auth.crls), || Clients::load(auth))?;
        self.clients.push((auth.clone(), watched));
        Ok(self.clients.len() - 1)
    }

    fn shown(&self, positions: &[usize]) -> Certificates {
        let shown = positions.iter().filter_map(|index| self.certificates.get(*index));
        let held = shown.filter_map(|item| item.watched.held.as_ref());
        Certificates::new(&held.map(|loaded| Arc::clone(&loaded.certificate)).collect::<Vec<_>>())
    }

    fn demanded(&self, position: Option<usize>) -> Clients {
        let found = position.and_then(|position| self.clients.get(position));
        found.map_or_else(Clients::anybody, |(_, watched)| watched.held.clone())
    }
}

/// Files that are awaited need not be there.
fn load_awaited(files: &CertificateFiles, is_awaited: bool) -> Result<Option<Loaded>, CertificateError> {
    if is_awaited && !files.cert.exists() { Ok(None) } else { load(files).map(Some) }
}
