//! Every certificate of a configuration, once for each pair of files, and which listener shows which. Files that have
//! changed are read again; what cannot be used changes nothing.

use super::files::{CertificateError, Loaded, Stamp, load};
use super::terminator::server_config;
use rustls::server::ProducesTickets;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tidegate_config::{CertificateFiles, Config, Tls};
use tidegate_proxy::tls::Terminator;
use tidegate_proxy::tls::certificates::{Certificates, SharedCertificates};

/// A pair of files, and what they held when they last made sense.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) files: CertificateFiles,
    pub(super) loaded: Loaded,
    /// Why what the files hold now is not used.
    pub(super) problem: Option<String>,
    stamp: Stamp,
}

/// What became of files that were looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// What they hold now is shown from now on.
    Replaced,
    /// They cannot be used; `Item::problem` says why, and has not said so before.
    Refused,
}

/// What each listener encrypts with, by its position in the configuration.
#[derive(Debug, Default)]
pub(crate) struct Stock {
    pub(super) items: Vec<Item>,
    listeners: Vec<Option<Showcase>>,
}

/// What one listener shows: items by their position.
#[derive(Debug)]
struct Showcase {
    items: Vec<usize>,
    certificates: Arc<SharedCertificates>,
    terminator: Arc<Terminator>,
}

impl Stock {
    /// Reads everything that a configuration names.
    pub(crate) fn load(
        config: &Config,
        ticketer: &Arc<dyn ProducesTickets>,
    ) -> Result<Self, CertificateError> {
        let mut stock = Self::default();
        for listener in &config.listeners {
            let showcase = match &listener.tls {
                Some(tls) => Some(stock.showcase(tls, listener.http2, config.timeout.handshake, ticketer)?),
                None => None,
            };
            stock.listeners.push(showcase);
        }
        Ok(stock)
    }

    pub(crate) fn terminator(&self, listener: usize) -> Option<Arc<Terminator>> {
        let showcase = self.listeners.get(listener)?.as_ref()?;
        Some(Arc::clone(&showcase.terminator))
    }

    /// Reads what has changed, and shows it. Says of each item that was touched what came of it.
    pub(super) fn refresh(&mut self) -> Vec<(usize, Found)> {
        let found = self.items.iter_mut().enumerate();
        let found: Vec<_> = found.filter_map(|(index, item)| Some((index, item.refresh()?))).collect();
        let is_new = |index: &usize| found.contains(&(*index, Found::Replaced));
        for showcase in self.listeners.iter().flatten() {
            if showcase.items.iter().any(is_new) {
                showcase.certificates.replace(self.certificates(&showcase.items));
            }
        }
        found
    }

    fn showcase(
        &mut self,
        tls: &Tls,
        http2: bool,
        handshake_timeout: Duration,
        ticketer: &Arc<dyn ProducesTickets>,
    ) -> Result<Showcase, CertificateError> {
        let items = tls.certificates.iter().map(|files| self.item(files)).collect::<Result<Vec<_>, _>>()?;
        let certificates = Arc::new(SharedCertificates::new(self.certificates(&items)));
        let config = Arc::new(server_config(tls, http2, &certificates, ticketer)?);
        let terminator =
            Arc::new(Terminator { config, certificates: Arc::clone(&certificates), handshake_timeout });
        Ok(Showcase { items, certificates, terminator })
    }

    /// The position of the item for these files.
    fn item(&mut self, files: &CertificateFiles) -> Result<usize, CertificateError> {
        if let Some(known) = self.items.iter().position(|item| item.files == *files) {
            return Ok(known);
        }
        let stamp = Stamp::of(paths(files)); // before reading: what changes meanwhile is then read again
        self.items.push(Item { files: files.clone(), loaded: load(files)?, problem: None, stamp });
        Ok(self.items.len() - 1)
    }

    fn certificates(&self, items: &[usize]) -> Certificates {
        let shown = items.iter().filter_map(|index| self.items.get(*index));
        Certificates::new(&shown.map(|item| Arc::clone(&item.loaded.certificate)).collect::<Vec<_>>())
    }
}

impl Item {
    fn refresh(&mut self) -> Option<Found> {
        let stamp = Stamp::of(paths(&self.files));
        // Whoever was met half way through writing may end within the same tick of the clock: looked at until it is whole.
        if stamp == self.stamp && self.problem.is_none() {
            return None;
        }
        self.stamp = stamp;
        match load(&self.files) {
            Ok(loaded) => {
                (self.loaded, self.problem) = (loaded, None);
                Some(Found::Replaced)
            }
            Err(error) => {
                let problem = Some(error.to_string());
                let is_new = self.problem != problem;
                self.problem = problem;
                is_new.then_some(Found::Refused)
            }
        }
    }
}

fn paths(files: &CertificateFiles) -> [&Path; 2] {
    [&files.cert, &files.key]
}
