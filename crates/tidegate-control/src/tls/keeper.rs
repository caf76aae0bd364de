//! Looks after the certificates in force: whether their files have changed, and how long they still hold. Says so, and
//! counts it.

use super::age::{Age, Validity};
use super::automatic::Wanted;
use super::lapse::Lapse;
use super::originators::{Originations, Originators};
use super::progress::Progress;
use super::stock::Stock;
use super::watched::{Change, Touched};
use crate::overview::Overview;
use crate::voice::Voice;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tidegate_telemetry::families::CERTIFICATE_READS;
use tidegate_telemetry::registry::CONTROL;
use tokio::sync::Notify;

/// How often the files are looked at: two system calls each.
const INTERVAL: Duration = Duration::from_secs(1);

/// What there is to know of one certificate.
#[derive(Clone, Debug)]
pub(crate) struct CertificateFacts {
    /// The file that it comes from.
    pub(crate) certificate: String,
    pub(crate) names: Vec<String>,
    /// `None`: it is still awaited; or it vouches for others, and there may be many in the file.
    pub(crate) validity: Option<Validity>,
    /// Why what the file holds now is not used.
    pub(crate) problem: Option<String>,
    /// Of those who vouch for others: when that has had its time.
    pub(crate) lapses: Vec<Lapse>,
    /// `file`, `acme` or `internal`.
    pub(crate) source: &'static str,
    /// Of those that an authority is asked for.
    pub(crate) progress: Option<Progress>,
}

impl CertificateFacts {
    /// What somebody should look into: what cannot be used, or is used though it has had its time.
    pub(crate) fn to_look_into(&self, now: i64) -> Option<String> {
        let aged = || match self.validity?.age(now) {
            Age::Expired | Age::Unborn => self.validity?.remark(now),
            Age::Fresh | Age::Expiring => None,
        };
        let lapsed = || self.lapses.iter().find_map(|lapse| lapse.remark(now));
        self.problem.clone().or_else(aged).or_else(lapsed)
    }
}

/// The certificates in force, and what was said of them.
#[derive(Debug, Default)]
pub(crate) struct Keeper {
    kept: Mutex<Kept>,
    /// What endpoints are spoken TLS with has changed.
    pub(crate) originations_changed: Notify,
}

#[derive(Debug, Default)]
struct Kept {
    stock: Stock,
    originators: Originators,
    said: HashMap<String, Age>,
    /// What has had its time, and was told of.
    lapsed: Vec<Lapse>,
    /// Where asking an authority stands, by the file that the answer is awaited in.
    progress: HashMap<String, Progress>,
    /// Roots made here that people have been told of.
    roots: HashSet<PathBuf>,
}

impl Keeper {
    /// Looks after these from now on.
    pub(crate) fn take(&self, stock: Stock, originators: Originators, overview: &Overview, voice: &Voice) {
        let mut kept = self.kept();
        (kept.stock, kept.originators) = (stock, originators);
        kept.publish(overview);
        kept.tell_roots(voice);
        kept.tell_ages(now(), voice);
        kept.tell_lapses(now(), voice);
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

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What endpoints are to be spoken TLS with from now on.
    pub(crate) fn originations(&self) -> Originations {
        self.kept().originators.held()
    }

    /// How long the certificate in this file holds, if there is one.
    pub(super) fn validity(&self, file: &Path) -> Option<Validity> {
        let kept = self.kept();
        let item = kept.stock.certificates.iter().find(|item| item.files.cert == file)?;
        item.watched.held.as_ref().map(|held| held.validity)
    }

    /// Where asking an authority for this file stands now. `true`: it fails, and that is news.
    pub(super) fn stands(&self, file: &Path, progress: Progress, overview: &Overview) -> bool {
        let mut kept = self.kept();
        let certificate = file.display().to_string();
        let before = kept.progress.get(&certificate);
        if before == Some(&progress) {
            return false;
        }
        let is_news = progress.why.is_some() && before.is_none_or(|before| before.why != progress.why);
        kept.progress.insert(certificate, progress);
        kept.publish(overview);
        is_news
    }

    pub(super) fn wanted(&self) -> Vec<Wanted> {
        self.kept().stock.automatic.clone()
    }

    pub(super) fn look(&self, overview: &Overview, voice: &Voice) {
        let mut kept = self.kept();
        let mut changes = kept.stock.refresh(now());
        let of_endpoints = kept.originators.refresh();
        if of_endpoints.iter().any(|touched| touched.change == Change::Replaced) {
            self.originations_changed.notify_one();
        }
        changes.extend(of_endpoints);
        if !changes.is_empty() {
            kept.publish(overview);
        }
        for touched in &changes {
            tell(touched, overview, voice);
        }
        kept.tell_ages(now(), voice);
        kept.tell_lapses(now(), voice);
    }
}

fn tell(touched: &Touched, overview: &Overview, voice: &Voice) {
    let Touched { file: certificate, what, change } = touched;
    let facts = overview.certificates();
    let facts = facts.iter().find(|facts| facts.certificate == *certificate);
    let validity = facts.and_then(|facts| facts.validity);
    let outcome = match change {
        Change::Replaced => {
            let expires = validity.map(|validity| format!("; it expires {}", validity.expires(now())));
            voice.note(format_args!("{what} was read again{}", expires.unwrap_or_default()));
            "replaced"
        }
        Change::Refused(problem) => {
            voice.error(format_args!("{what} has changed, and the one before is kept: {problem}"));
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
            let is_automatic = item.is_automatic;
            let progress = self.progress.get(&certificate).filter(|_| is_automatic);
            let refused = progress.and_then(|progress| progress.why.clone());
            CertificateFacts {
                certificate,
                names: held.map(|held| held.names.clone()).unwrap_or_default(),
                validity: held.map(|held| held.validity),
                problem: refused.or_else(|| item.watched.problem.clone()),
                lapses: Vec::new(),
                source: match &item.made {
                    Some(_) => "internal",
                    None if is_automatic => "acme",
                    None => "file",
                },
                progress: progress.cloned(),
            }
        });
        let vouching = self.stock.clients.iter().map(|(auth, watched)| CertificateFacts {
            certificate: auth.ca.display().to_string(),
            names: Vec::new(),
            validity: None,
            problem: watched.problem.clone(),
            lapses: watched.held.lapses.clone(),
            source: "file",
            progress: None,
        });
        let of_endpoints = self.originators.files().map(|file| CertificateFacts {
            certificate: file.path.display().to_string(),
            names: file.shown.map(|shown| shown.names.clone()).unwrap_or_default(),
            validity: file.shown.map(|shown| shown.validity),
            problem: file.problem.map(str::to_owned),
            lapses: file.lapse.cloned().into_iter().collect(),
            source: "file",
            progress: None,
        });
        let mut facts: Vec<CertificateFacts> = Vec::new();
        for one in shown.chain(vouching).chain(of_endpoints) {
            match facts.iter_mut().find(|known| known.certificate == one.certificate) {
                Some(known) => {
                    known.problem = known.problem.take().or(one.problem);
                    known.lapses.extend(one.lapses);
                }
                None => facts.push(one),
            }
        }
        overview.shows(facts);
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
        let to_clients = self.stock.certificates.iter().filter_map(|item| {
            let held = item.watched.held.as_ref()?;
            Some((item.files.cert.display().to_string(), held.validity))
        });
        let to_endpoints = self.originators.files().filter_map(|file| {
            let shown = file.shown?;
            Some((file.path.display().to_string(), shown.validity))
        });
        for (certificate, validity) in to_clients.chain(to_endpoints) {
            if said.contains_key(&certificate) {
                continue; // used more than once
            }
            let age = validity.age(now);
            if self.said.get(&certificate).copied().unwrap_or_default() != age
                && let Some(remark) = validity.remark(now)
            {
                let line = format_args!("certificate {certificate} {remark}");
                if age == Age::Expired { voice.error(line) } else { voice.warning(line) }
            }
            said.insert(certificate, age);
        }
        self.said = said;
    }

    /// Once for each, until another one is there.
    fn tell_lapses(&mut self, now: i64, voice: &Voice) {
        let mut lapsed: Vec<Lapse> = Vec::new();
        let of_clients = self.stock.clients.iter().flat_map(|(_, watched)| &watched.held.lapses);
        for lapse in of_clients.chain(self.originators.lapses()).filter(|lapse| lapse.has_come(now)) {
            if lapsed.contains(lapse) {
                continue; // used more than once
            }
            if !self.lapsed.contains(lapse)
                && let Some(remark) = lapse.remark(now)
            {
                voice.warning(remark);
            }
            lapsed.push(lapse.clone());
        }
        self.lapsed = lapsed;
    }
}

#[allow(clippy::disallowed_methods, reason = "the control plane reads the clock")]
/// In seconds since the Unix epoch.
pub(crate) fn now() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since_epoch.as_secs().cast_signed()
}
