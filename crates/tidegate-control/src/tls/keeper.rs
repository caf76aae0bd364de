//! Looks after the certificates in force: whether their files have changed, and how long they still hold. Says so, and
//! counts it.

use super::age::{Age, Validity};
use super::automatic::Wanted;
use super::stock::Stock;
use super::watched::Change;
use crate::overview::Overview;
use crate::voice::Voice;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tidegate_telemetry::families::CERTIFICATE_READS;
use tidegate_telemetry::registry::CONTROL;

/// How often the files are looked at: two system calls each.
const INTERVAL: Duration = Duration::from_secs(1);

/// What there is to know of one certificate.
#[derive(Clone, Debug)]
pub(crate) struct CertificateFacts {
    /// The file that it comes from.
    pub(crate) certificate: String,
    pub(crate) names: Vec<String>,
    /// `None`: it is still awaited; or it vouches for clients, and there may be many in the file.
    pub(crate) validity: Option<Validity>,
    /// Why what the file holds now is not used.
    pub(crate) problem: Option<String>,
}

/// The certificates in force, and what was said of them.
#[derive(Debug, Default)]
pub(crate) struct Keeper(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    stock: Stock,
    said: HashMap<String, Age>,
    /// Why an authority has given no new one, by the file that it is awaited in.
    refused: HashMap<String, String>,
    /// Roots made here that people have been told of.
    roots: HashSet<PathBuf>,
}

impl Keeper {
    /// Looks after these from now on.
    pub(crate) fn take(&self, stock: Stock, overview: &Overview, voice: &Voice) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.stock = stock;
        kept.publish(overview);
        kept.tell_roots(voice);
        kept.tell_ages(now(), voice);
    }

    pub(crate) async fn run(self: Arc<Self>, overview: Arc<Overview>, voice: Voice) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            let (keeper, overview, voice) = (Arc::clone(&self), Arc::clone(&overview), voice.clone());
            // Files may lie on something slow.
            if tokio::task::spawn_blocking(move || keeper.look(&overview, &voice)).await.is_err() {
                return; // the process ends
            }
        }
    }

    /// How long the certificate in this file holds, if there is one.
    pub(super) fn validity(&self, file: &Path) -> Option<Validity> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let item = kept.stock.certificates.iter().find(|item| item.files.cert == file)?;
        item.watched.held.as_ref().map(|held| held.validity)
    }

    /// What came of asking an authority for this file. `true`: that is news.
    pub(super) fn asked(&self, file: &Path, refused: Option<&str>, overview: &Overview) -> bool {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let certificate = file.display().to_string();
        let before = match refused {
            Some(why) => kept.refused.insert(certificate, why.to_owned()),
            None => kept.refused.remove(&certificate),
        };
        kept.publish(overview);
        before.as_deref() != refused
    }

    pub(super) fn wanted(&self) -> Vec<Wanted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).stock.automatic.clone()
    }

    pub(super) fn look(&self, overview: &Overview, voice: &Voice) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let changes = kept.stock.refresh(now());
        if !changes.is_empty() {
            kept.publish(overview);
        }
        for (certificate, change) in changes {
            tell(&certificate, &change, overview, voice);
        }
        kept.tell_ages(now(), voice);
    }
}

fn tell(certificate: &str, change: &Change, overview: &Overview, voice: &Voice) {
    let facts = overview.certificates();
    let facts = facts.iter().find(|facts| facts.certificate == certificate);
    let validity = facts.and_then(|facts| facts.validity);
    let outcome = match change {
        Change::Replaced => {
            let expires = validity.map(|validity| format!("; it expires {}", validity.expires(now())));
            voice.note(format_args!(
                "certificate {certificate} was read again{}",
                expires.unwrap_or_default()
            ));
            "replaced"
        }
        Change::Refused(problem) => {
            voice.error(format_args!(
                "certificate {certificate} has changed, and the one before is kept: {problem}"
            ));
            "refused"
        }
    };
    let counter = overview.registry.counter(CONTROL, &CERTIFICATE_READS, &[certificate, outcome]);
    counter.add_from_any_thread(1);
}

impl Kept {
    fn publish(&self, overview: &Overview) {
        let shown = self.stock.certificates.iter().map(|item| {
            let (certificate, held) = (item.files.cert.display().to_string(), item.watched.held.as_ref());
            let refused = self.refused.get(&certificate).cloned();
            CertificateFacts {
                certificate,
                names: held.map(|held| held.names.clone()).unwrap_or_default(),
                validity: held.map(|held| held.validity),
                problem: item.watched.problem.clone().or(refused),
            }
        });
        let vouching = self.stock.clients.iter().map(|(auth, watched)| CertificateFacts {
            certificate: auth.ca.display().to_string(),
            names: Vec::new(),
            validity: None,
            problem: watched.problem.clone(),
        });
        overview.shows(shown.chain(vouching).collect());
    }

    /// Once for each.
    fn tell_roots(&mut self, voice: &Voice) {
        for made in self.stock.certificates.iter().filter_map(|item| item.made.as_ref()) {
            match made.root() {
                Ok(root) if self.roots.insert(root.clone()) => {
                    voice.note(format_args!(
                        "browsers believe the internal certificates once they are told to believe {}",
                        root.display()
                    ));
                }
                Ok(_) => {}
                Err(why) => {
                    voice.warning(format_args!(
                        "the root of the internal certificates ends with this process: {why}"
                    ));
                }
            }
        }
    }

    /// Once for each change.
    fn tell_ages(&mut self, now: i64, voice: &Voice) {
        let mut said = HashMap::new();
        for item in &self.stock.certificates {
            let Some(held) = &item.watched.held else { continue };
            let certificate = item.files.cert.display().to_string();
            let validity = held.validity;
            let (age, expires) = (validity.age(now), validity.expires(now));
            if self.said.get(&certificate).copied().unwrap_or_default() != age {
                match age {
                    Age::Fresh => {}
                    Age::Expiring => {
                        voice.warning(format_args!("certificate {certificate} expires {expires}"));
                    }
                    Age::Expired => {
                        voice.error(format_args!("certificate {certificate} expired {expires}"));
                    }
                    Age::Unborn => voice.warning(format_args!(
                        "certificate {certificate} does not hold yet: is the clock right?"
                    )),
                }
            }
            said.insert(certificate, age);
        }
        self.said = said;
    }
}

#[allow(clippy::disallowed_methods, reason = "the control plane reads the clock")]
pub(super) fn now() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since_epoch.as_secs().cast_signed()
}
