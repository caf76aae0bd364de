//! Certificates that an authority hands out by itself: asked for in time, again after a pause when it has none, and shown
//! what it wants to see. What comes lies in files, which are looked after as all others are.

use super::age::Validity;
use super::files::CertificateError;
use super::keeper::{Keeper, now};
use super::progress::Progress;
use super::real_path::real_path;
use super::renewal::{Due, Renewal};
use crate::chance;
use crate::overview::Overview;
use crate::state::state_folder;
use crate::voice::Voice;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ServerConfig;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use tidegate_acme::{
    AcmeError, Answer, Answers, Authority, ChallengeKind, Dealings, Dns, Failures, Folder, Pause, Proof,
    Terms, Through, Turn,
};
use tidegate_config::{Acme, AcmeChallenge, AcmeDns, CertificateFiles, DnsThrough};
use tidegate_proxy::tls::challenges::{ACME_TLS, Challenges, Shown};
use tidegate_telemetry::families::ACME_ORDERS;
use tidegate_telemetry::registry::CONTROL;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// A certificate that an authority is to be asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Wanted {
    pub(super) files: CertificateFiles,
    /// The one on the disk: whatever leads to it is the same.
    pub(super) place: PathBuf,
    host: String,
    terms: Terms,
    folder: Folder,
    /// The folder on the disk.
    home: PathBuf,
    challenge: Option<AcmeChallenge>,
    dns: Option<Dns>,
}

impl Wanted {
    pub(super) fn of(acme: &Acme) -> impl Iterator<Item = Self> {
        let folder = acme.folder.clone().unwrap_or_else(|| state_folder().join("acme"));
        let home = real_path(&folder);
        let folder = Folder::new(folder);
        let terms =
            Terms { directory: acme.ca.clone(), root: acme.ca_root.clone(), email: acme.email.clone() };
        let (challenge, dns) = (acme.challenge, acme.dns.as_ref().map(dns));
        let real = real_path(&folder.certificates());
        acme.hosts.iter().map(move |host| {
            let file = folder.certificate(host);
            let place = file.file_name().map(|name| real.join(name)).unwrap_or_default();
            let files = CertificateFiles { cert: file.clone(), key: file };
            Self {
                files,
                place,
                host: host.clone(),
                terms: terms.clone(),
                folder: folder.clone(),
                home: home.clone(),
                challenge,
                dns: dns.clone(),
            }
        })
    }

    /// This one, if `later` may be kept in the same place: what one authority gives must not be shown as another's.
    pub(super) fn shared_with(&self, later: &Self) -> Result<&Self, CertificateError> {
        let directories = [&self.terms.directory, &later.terms.directory];
        if directories[0] == directories[1] {
            return Ok(self);
        }
        let [first, second] = directories.map(String::clone);
        Err(CertificateError::TwoAuthorities {
            host: later.host.clone(),
            place: later.place.clone(),
            first,
            second,
        })
    }

    /// Where nothing is said: by records if there can be any, else one way after the other, beginning with the listener that the
    /// certificate is for.
    fn proof<'a>(&'a self, failures: u32, answers: &'a dyn Answers) -> Proof<'a> {
        let by_turns =
            if failures.is_multiple_of(2) { ChallengeKind::TlsAlpn01 } else { ChallengeKind::Http01 };
        match (&self.dns, self.challenge) {
            (Some(dns), None | Some(AcmeChallenge::Dns01)) => Proof::Dns(dns),
            (Some(dns), _) if self.host.starts_with("*.") => Proof::Dns(dns),
            (_, Some(AcmeChallenge::Http01)) => Proof::Shown(ChallengeKind::Http01, answers),
            (_, Some(AcmeChallenge::TlsAlpn01)) => Proof::Shown(ChallengeKind::TlsAlpn01, answers),
            (None, None | Some(AcmeChallenge::Dns01)) => Proof::Shown(by_turns, answers),
        }
    }
}

/// As the other crate has it.
fn dns(configured: &AcmeDns) -> Dns {
    let through = match &configured.through {
        DnsThrough::Command(words) => Through::Command(words.clone()),
        DnsThrough::Server { address, key } => Through::Server { address: address.clone(), key: key.clone() },
    };
    let AcmeDns { resolvers, timeout, wait, .. } = configured;
    Dns { through, resolvers: resolvers.clone(), timeout: *timeout, wait: *wait }
}

/// One task for each certificate, and one account for each authority and folder.
#[derive(Debug, Default)]
pub(crate) struct Automatic {
    tasks: HashMap<Wanted, Task>,
    /// By the authority's directory and the folder on the disk. They stay: nothing that counts there is forgotten by a reload.
    dealings: HashMap<(String, PathBuf), Arc<Dealings>>,
    turns: Arc<Turns>,
}

/// Ends when it is dropped.
#[derive(Debug)]
struct Task {
    renews: JoinHandle<()>,
    /// Somebody may have done something about what failed.
    nudge: Arc<Notify>,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.renews.abort();
    }
}

/// What a task needs besides.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) keeper: Arc<Keeper>,
    pub(crate) overview: Arc<Overview>,
    pub(crate) challenges: Arc<Challenges>,
    pub(crate) voice: Voice,
}

impl Automatic {
    /// Asks for what is wanted now, and for nothing else any more. What goes on is not disturbed; where it has failed, it is tried
    /// again now.
    pub(crate) fn follow(&mut self, surroundings: &Surroundings) {
        let wanted = surroundings.keeper.wanted();
        let all: HashSet<_> = wanted.iter().collect();
        self.tasks.retain(|known, _| all.contains(known));
        for wanted in wanted {
            let dealings = self.dealings(&wanted);
            let surroundings = surroundings.clone();
            let answers =
                Door { challenges: Arc::clone(&surroundings.challenges), turns: Arc::clone(&self.turns) };
            let task = self.tasks.entry(wanted).or_insert_with_key(|wanted| {
                let nudge = Arc::<Notify>::default();
                let authority = Authority::new(wanted.terms.clone(), wanted.folder.clone(), now, dealings);
                let renews = renew(wanted.clone(), authority, surroundings, answers, Arc::clone(&nudge));
                Task { renews: tokio::spawn(renews), nudge }
            });
            task.nudge.notify_waiters(); // nothing is kept for a failure that is yet to come
        }
    }

    fn dealings(&mut self, wanted: &Wanted) -> Arc<Dealings> {
        let with = (wanted.terms.directory.clone(), wanted.home.clone());
        Arc::clone(self.dealings.entry(with).or_default())
    }

    /// Asks for nothing more; orders that are under way are given up, and what they have shown in the DNS is taken away.
    pub(crate) async fn end(&mut self) {
        for (_, mut task) in self.tasks.drain() {
            task.renews.abort();
            let _ = (&mut task.renews).await; // what it had shown is being taken away when it has ended
        }
        for dealings in self.dealings.values() {
            dealings.withdrawn().await;
        }
    }
}

/// Keeps one certificate fresh for as long as the task lives.
async fn renew(
    wanted: Wanted,
    authority: Authority,
    surroundings: Surroundings,
    answers: Door,
    nudge: Arc<Notify>,
) {
    let Surroundings { keeper, overview, voice, .. } = surroundings;
    let file = wanted.files.cert.as_path();
    let (mut renewal, mut failures, mut why) = (Renewal::default(), 0, None);
    let mut in_a_row = Failures::default();
    loop {
        let validity = keeper.validity(file);
        let other = validity.and_then(|_| authority.other(&wanted.host));
        if other.is_some() && authority.puts_back(&wanted.host) {
            keeper.look(&overview, &voice);
            continue;
        }
        let own = validity.filter(|_| other.is_none());
        if let Some(own) = own {
            consult(&mut renewal, own, &wanted, &authority).await;
        }
        let due = renewal.due(own);
        if now() < due.at {
            keeper.stands(file, Progress::fresh(due), &overview);
            tokio::time::sleep(renewal.looks_again_after()).await;
            continue;
        }
        if let Some(reason) = reason(other.as_deref(), due, &renewal).filter(|_| failures == 0) {
            voice.note(format_args!("{} gets another certificate, {reason}", wanted.host));
        }
        keeper.stands(file, Progress::asking(failures, why.as_deref()), &overview);
        let asked = authority.obtain(&wanted.host, wanted.proof(failures, &answers)).await;
        if let Some(news) = authority.news() {
            voice.warning(news);
        }
        let is_resting = matches!(asked, Err(AcmeError::Resting { .. }));
        if !is_resting {
            let outcome = if asked.is_ok() { "obtained" } else { "failed" };
            let counter = overview.registry.counter(CONTROL, &ACME_ORDERS, &[outcome]);
            counter.add_from_any_thread(1);
        }
        match asked {
            Ok(left) => {
                (failures, why, in_a_row) = (0, None, Failures::default());
                renewal.comes(now());
                if let Some(why) = left {
                    let host = &wanted.host;
                    voice.warning(format_args!(
                        "the record in the DNS for {host} could not be taken away: {why}"
                    ));
                }
                keeper.look(&overview, &voice);
            }
            Err(error) => {
                let mut nudged = pin!(nudge.notified());
                nudged.as_mut().enable(); // from before it is said to wait
                failures += u32::from(!is_resting);
                let pause = in_a_row.pause(&error, chance::fraction());
                let said = error.to_string();
                why = Some(said.clone());
                let progress = Progress::waiting(failures, said, now() + pause.whole.as_secs().cast_signed());
                if keeper.stands(file, progress, &overview) {
                    let kept = if validity.is_some() { "; the one before is kept" } else { "" };
                    voice.error(format_args!("no new certificate for {}{kept}: {error}", wanted.host));
                }
                wait(pause, nudged).await;
            }
        }
    }
}

/// Why a certificate is replaced that would still do.
fn reason(other: Option<&str>, due: Due, renewal: &Renewal) -> Option<String> {
    if let Some(other) = other {
        return Some(format!("as the one before was given by another authority, {other}"));
    }
    let page = renewal.why().map(|page| format!(": {page}")).unwrap_or_default();
    due.is_suggested.then(|| format!("as its authority suggests{page}"))
}

/// Until it is over, or somebody wants it sooner; but what the authority asks for is not cut short.
async fn wait(pause: Pause, nudged: impl Future<Output = ()>) {
    tokio::time::sleep(pause.asked).await;
    let _ = tokio::time::timeout(pause.whole.saturating_sub(pause.asked), nudged).await;
}

/// Asks the authority when it would like a certificate to be replaced, if it is time to.
async fn consult(renewal: &mut Renewal, validity: Validity, wanted: &Wanted, authority: &Authority) {
    if !renewal.wants_to_ask(validity, now()) {
        return;
    }
    if let Ok(suggestion) = authority.suggestion(&wanted.host).await {
        renewal.hears(suggestion.as_ref(), now(), chance::fraction());
    } else {
        // No reason to say anything: it will be asked for a certificate in time, and told of if that fails.
        renewal.hears_nothing(now());
    }
}

/// What the workers show.
struct Door {
    challenges: Arc<Challenges>,
    turns: Arc<Turns>,
}

/// Hosts for which something is shown, or is to be.
#[derive(Debug, Default)]
struct Turns(Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>);

impl Turns {
    fn of(&self, host: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| Arc::strong_count(turn) > 1); // somebody has it, or waits for it
        Arc::clone(turns.entry(host.to_owned()).or_default())
    }
}

impl Answers for Door {
    fn turn(&self, host: &str) -> Pin<Box<dyn Future<Output = Turn> + Send>> {
        Box::pin(self.turns.of(host).lock_owned())
    }

    fn show(&self, host: &str, answer: Answer) {
        let shown = match answer {
            Answer::Http { token, text } => Some(Shown::Text { token, text: text.into_bytes().into() }),
            Answer::Tls { certificate, key } => proof(certificate, key).map(Shown::Certificate),
        };
        if let Some(shown) = shown {
            self.challenges.show(host, &shown);
        }
    }

    fn forget(&self, host: &str) {
        self.challenges.forget(host);
    }
}

/// RFC 8737 §3: nothing but this certificate and this protocol.
fn proof(certificate: Vec<u8>, key: Vec<u8>) -> Option<Arc<ServerConfig>> {
    let key = aws_lc_rs::sign::any_supported_type(&PrivateKeyDer::try_from(key).ok()?).ok()?;
    // Not checked against each other: the extension that says it all is critical, and unknown to whoever would check.
    let proof = CertifiedKey::new(vec![CertificateDer::from(certificate)], key);
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .ok()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(proof)));
    config.alpn_protocols = vec![ACME_TLS.to_vec()];
    Some(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn dealings_are_those_with_one_authority_in_one_place_whatever_else_is_said() {
        let scratch = tempfile::tempdir().unwrap();
        symlink(scratch.path().join("acme"), scratch.path().join("link")).unwrap();
        let acme = |folder: &str, ca: &str, email: Option<&str>| Acme {
            hosts: vec!["app.test".to_owned()],
            ca: format!("https://{ca}.test/dir"),
            email: email.map(str::to_owned),
            folder: Some(scratch.path().join(folder)),
            ..Acme::default()
        };
        let mut automatic = Automatic::default();
        let mut with = |acme: Acme| automatic.dealings(&Wanted::of(&acme).next().unwrap());
        let first = with(acme("acme", "one", None));
        for (other, same, why) in [
            (acme("acme", "one", Some("ops@app.test")), true, "another email"),
            (Acme { ca_root: Some("root.pem".into()), ..acme("acme", "one", None) }, true, "another root"),
            (acme("link", "one", None), true, "a link"),
            (acme("x/../acme/.", "one", None), true, "a detour"),
            (acme("acme", "two", None), false, "another authority"),
            (acme("beside", "one", None), false, "another folder"),
        ] {
            assert_eq!(Arc::ptr_eq(&first, &with(other)), same, "{why}");
        }
    }
}
