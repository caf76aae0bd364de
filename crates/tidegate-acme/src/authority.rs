//! An authority, and orders of certificates. Which account it knows us by is for others to say.

use crate::account::{AccountError, Place, Recognition};
use crate::caller::Caller;
use crate::challenge::{Answer, ChallengeKind, Proof};
use crate::dealings::{Dealings, Known};
use crate::distrust;
use crate::dns::{DnsError, Standing};
use crate::folder::{Folder, Room};
use crate::origin::Origin;
use crate::reading::{CERTIFICATE_MAX, read_file};
use crate::words::cut;
use crate::worth;
use instant_acme::{
    Account, AuthorizationHandle, AuthorizationStatus, CertificateIdentifier, ChallengeType, Error,
    Identifier, NewOrder, Order, OrderStatus, RenewalInfo, RetryPolicy,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};
use time::OffsetDateTime;

/// How long an authority may take to look at what is shown, and to sign.
const PATIENCE: Duration = Duration::from_secs(90);

/// What has been signed is fetched so often, and as many seconds lie between as it was fetched before: it counts, and another order
/// counts again.
const FETCHES: u64 = 3;

/// RFC 8555 §6.6: whoever asks too often is told so, with whatever it asks for.
const RATE_LIMITED: &str = "urn:ietf:params:acme:error:rateLimited";

/// How long at most everybody's orders wait when one was too many. RFC 8555 §6.6: it is told when that very order may be tried again,
/// and not whether it was one too many of the account, or of its name.
const ORDERS_REST_MAX: Duration = Duration::from_mins(10);

/// RFC 8555 §6.5: says nothing about what was asked for. The library has tried it again, twice.
const BAD_NONCE: &str = "urn:ietf:params:acme:error:badNonce";

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    #[error("the record in the DNS cannot be shown: {0}")]
    Dns(#[from] DnsError),
    /// Nothing that counts is lost: nothing was asked for, or it is at hand for the next time.
    #[error("it cannot be kept: {0}")]
    Folder(io::Error),
    /// Has been tried again at once, and in vain (RFC 8555 §6.5: a client should).
    #[error("the authority does not know what it has just handed out: {0}")]
    Forgetful(String),
    #[error("the authority refused: {why}")]
    Refused {
        why: String,
        /// When it wants to be asked again, if it says so.
        retry_after: Option<Duration>,
    },
    /// Nobody was asked: it has said that it is asked too often, to somebody else, or of this host on other terms.
    #[error("the authority is not asked for now: {why}")]
    Resting { why: String, left: Duration },
    /// There is a new account, and that counts there.
    #[error("the account that the authority has opened cannot be kept: {0}")]
    Unkept(io::Error),
    #[error("the authority cannot be reached: {0}")]
    Unreachable(String),
    /// It has signed one, and that counts there.
    #[error("the authority gave no certificate that can be used: {0}")]
    Unusable(String),
}

/// Which authority, and what it and we agree on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Terms {
    /// The URL that everything begins with.
    pub directory: String,
    /// PEM: what the authority's own HTTPS certificate leads to, where the system does not know.
    pub root: Option<PathBuf>,
    /// Where it writes to when something is wrong.
    pub email: Option<String>,
}

/// When an authority would like a certificate to be replaced (RFC 9773 §4.2). In seconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggestion {
    pub start: i64,
    pub end: i64,
    /// When it wants to be asked the next time.
    pub ask_again: Duration,
    /// A page that says why.
    pub why: Option<String>,
}

/// Seconds since the Unix epoch, now.
pub type Clock = fn() -> i64;

/// An authority, as it is asked on some terms. One order at a time, whoever else has the same dealings with it.
#[derive(Debug)]
pub struct Authority {
    terms: Terms,
    folder: Folder,
    clock: Clock,
    dealings: Arc<Dealings>,
    /// What people have not been told yet.
    news: Mutex<Option<String>>,
}

impl Authority {
    /// The `dealings` are those with this authority in this folder.
    pub fn new(terms: Terms, folder: Folder, clock: Clock, dealings: Arc<Dealings>) -> Self {
        Self { terms, folder, clock, dealings, news: Mutex::default() }
    }

    /// Gets a certificate for `host`, with a new key, and puts both into the folder, where there is room for them before anything is
    /// asked for. Says why what was shown is still there, if it is.
    pub async fn obtain(&self, host: &str, proof: Proof<'_>) -> Result<Option<DnsError>, AcmeError> {
        let mut account = self.dealings.account.lock().await;
        let obtained = self.obtain_with(&mut account, host, proof).await;
        if let Err(AcmeError::Refused { why, retry_after: Some(asked) }) = &obtained {
            self.dealings.rest(Some(host), *asked, why, (self.clock)());
        }
        obtained
    }

    async fn obtain_with(
        &self,
        account: &mut Option<Known>,
        host: &str,
        proof: Proof<'_>,
    ) -> Result<Option<DnsError>, AcmeError> {
        let origin = self.origin(host);
        if let Some(pem) = self.given_before(origin) {
            return self.keep(origin, origin.room(), pem).map(|()| None);
        }
        self.dealings.may_be_asked(host, (self.clock)())?;
        let room = origin.room().map_err(AcmeError::Folder)?;
        let known = self.known(account.take()).await?;
        let (known, order) = self.order(known, host).await?;
        let obtained = self.follow(order, host, proof).await;
        if !matches!(obtained, Err(AcmeError::Refused { .. })) {
            *account = Some(known); // else the directory is asked for again: what it says may have changed
        }
        let (pem, left) = obtained?;
        self.keep(origin, Ok(room), pem)?;
        Ok(left)
    }

    /// What was given and could not be written, unless it has become too old.
    fn given_before(&self, origin: Origin<'_>) -> Option<String> {
        let pem = self.dealings.take_at_hand(origin.host)?;
        origin.is_fresh(pem.as_bytes(), (self.clock)()).then_some(pem)
    }

    fn keep(&self, origin: Origin<'_>, room: io::Result<Room>, pem: String) -> Result<(), AcmeError> {
        let kept = room.and_then(|room| origin.keep(room, pem.as_bytes()));
        kept.map_err(|error| {
            self.dealings.keep_at_hand(origin.host, pem);
            AcmeError::Folder(error)
        })
    }

    fn origin<'a>(&'a self, host: &'a str) -> Origin<'a> {
        Origin { folder: &self.folder, directory: &self.terms.directory, host }
    }

    /// The directory of the authority that has given the certificate for `host` that is in the folder, if that is another one.
    pub fn other(&self, host: &str) -> Option<String> {
        self.origin(host).other()
    }

    /// Whether there is one of its own from before, which is then in the folder again.
    pub fn puts_back(&self, host: &str) -> bool {
        self.origin(host).put_back((self.clock)())
    }

    /// What has happened to the account since this was asked last, for people.
    pub fn news(&self) -> Option<String> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// When it would like the certificate for `host` that is in the folder to be replaced; `None`: it has no opinion.
    pub async fn suggestion(&self, host: &str) -> Result<Option<Suggestion>, AcmeError> {
        let Some(certificate) = self.identifier(host) else { return Ok(None) };
        let account = {
            let mut account = self.dealings.account.lock().await;
            let known = self.known(account.take()).await?;
            account.insert(known).account.clone()
        };
        match account.renewal_info(&certificate).await {
            Ok((RenewalInfo { suggested_window: window, explanation_url: why }, ask_again)) => {
                let [start, end] = [window.start, window.end].map(OffsetDateTime::unix_timestamp);
                Ok(Some(Suggestion { start, end, ask_again, why: why.map(cut) }))
            }
            Err(Error::Unsupported(_)) => Ok(None),
            Err(error) => Err(self.said(error)),
        }
    }

    /// What the authority knows the certificate in the folder by, if there is one that it gave (RFC 9773 §4.1).
    fn identifier(&self, host: &str) -> Option<CertificateIdentifier<'static>> {
        if self.other(host).is_some() {
            return None;
        }
        let kept = read_file(&self.folder.certificate(host), CERTIFICATE_MAX).ok()?;
        let certificate = CertificateDer::from_pem_slice(&kept).ok()?;
        CertificateIdentifier::try_from(&certificate).ok().map(CertificateIdentifier::into_owned)
    }

    /// A new order, of this account; or of the one that takes its place, where the authority has forgotten it.
    async fn order(&self, known: Known, host: &str) -> Result<(Known, Order), AcmeError> {
        let error = match self.begin(&known.account, host).await {
            Ok(order) => return Ok((known, order)),
            Err(error) => error,
        };
        let recognition = Recognition::after(&error);
        let said = self.said_to_all(error, ORDERS_REST_MAX);
        if recognition == Recognition::Known {
            return Err(said);
        }
        let path = self.folder.account(&self.terms.directory);
        let again = self.place(&path).again(&self.caller()?, &known.account, recognition).await;
        let Some(account) = again.map_err(|error| self.without_account(error))? else { return Err(said) };
        let line = format!(
            "{} no longer knows our account: another one has taken its place, kept in {}",
            self.terms.directory,
            path.display()
        );
        *self.news.lock().unwrap_or_else(PoisonError::into_inner) = Some(line);
        let order = self.begin(&account, host).await;
        let order = order.map_err(|error| self.said_to_all(error, ORDERS_REST_MAX))?;
        Ok((Known { account, root: known.root }, order))
    }

    /// An order that says which certificate it replaces, where there is one and the authority cares (RFC 9773 §5).
    async fn begin(&self, account: &Account, host: &str) -> Result<Order, Error> {
        let identifiers = [Identifier::Dns(host.to_owned())];
        let order = NewOrder::new(&identifiers);
        if let Some(replaced) = self.identifier(host) {
            match account.new_order(&NewOrder::new(&identifiers).replaces(replaced)).await {
                Ok(order) => return Ok(order),
                Err(Error::Api(problem))
                    if matches!(problem.r#type.as_deref(), Some(BAD_NONCE | RATE_LIMITED)) =>
                {
                    return Err(Error::Api(problem));
                }
                // It makes no suggestions, knows not that certificate, or has replaced it before.
                Err(_) => {}
            }
        }
        account.new_order(&order).await
    }

    /// The account that is at hand, if it is used with whom is believed here; else that of before, or a new one.
    async fn known(&self, at_hand: Option<Known>) -> Result<Known, AcmeError> {
        if let Some(known) = at_hand.filter(|known| known.root == self.terms.root) {
            return Ok(known);
        }
        let path = self.folder.account(&self.terms.directory);
        let opened = self.place(&path).open(self.caller()?).await;
        let account = opened.map_err(|error| self.without_account(error))?;
        Ok(Known { account, root: self.terms.root.clone() })
    }

    fn place<'a>(&'a self, file: &'a Path) -> Place<'a> {
        Place { directory: &self.terms.directory, email: self.terms.email.as_deref(), file }
    }

    fn caller(&self) -> Result<Caller, AcmeError> {
        let Terms { directory, root, .. } = &self.terms;
        let caller = Caller::new(directory, root.as_deref(), Arc::clone(&self.dealings.later));
        caller.map_err(|error| self.said(error))
    }

    fn without_account(&self, error: AccountError) -> AcmeError {
        match error {
            AccountError::Folder(error) => AcmeError::Folder(error),
            AccountError::Asked(error) => self.said(error),
            // Whoever comes next would ask for the same.
            AccountError::Registered(error) => self.said_to_all(error, Duration::MAX),
            AccountError::Unkept(error) => AcmeError::Unkept(error),
        }
    }

    /// Certificate, chain and key; and why a record is still there, if one is.
    async fn follow(
        &self,
        mut order: Order,
        host: &str,
        proof: Proof<'_>,
    ) -> Result<(String, Option<DnsError>), AcmeError> {
        let turn = match proof {
            Proof::Shown(_, answers) => Some(answers.turn(host).await),
            Proof::Dns(_) => None, // records stand beside each other
        };
        let shown = Forgotten { host, proof };
        let mut records = Vec::new();
        let ready = self.show(&mut order, host, proof, &mut records).await;
        let mut left = None;
        for record in records {
            left = record.withdraw().await.err().or(left);
        }
        drop(shown);
        drop(turn);
        ready?;
        let key = order.finalize().await.map_err(|error| self.said(error))?;
        let mut fetched = self.fetch(&mut order, host, &key).await;
        for before in 1..FETCHES {
            if matches!(fetched, Err(AcmeError::Unusable(_))) {
                tokio::time::sleep(Duration::from_secs(before)).await;
                fetched = self.fetch(&mut order, host, &key).await;
            }
        }
        Ok((fetched?, left))
    }

    /// What the authority has signed, with its key, if it can be used.
    async fn fetch(&self, order: &mut Order, host: &str, key: &str) -> Result<String, AcmeError> {
        let chain = order.poll_certificate(&retries()).await.map_err(|error| match self.said(error) {
            AcmeError::Unreachable(why) => AcmeError::Unusable(why),
            said => said,
        })?;
        let pem = format!("{chain}\n{key}");
        let looked = worth::look(&chain, &pem, host, (self.clock)());
        looked.map(|_| pem).map_err(|unfit| AcmeError::Unusable(cut(unfit.to_string())))
    }

    /// Shows what the authority wants to see, until it has seen it. Records that it put into the DNS are in `records`.
    async fn show(
        &self,
        order: &mut Order,
        host: &str,
        proof: Proof<'_>,
        records: &mut Vec<Standing>,
    ) -> Result<(), AcmeError> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(|error| self.said(error))?;
            if authorization.status != AuthorizationStatus::Valid {
                self.answer(&mut authorization, host, proof, records).await?;
            }
        }
        let status = order.poll_ready(&retries()).await.map_err(|error| self.said(error))?;
        if status == OrderStatus::Ready { Ok(()) } else { Err(refused(what_was_wrong(order).await)) }
    }

    /// Shows it, and tells the authority to look.
    async fn answer<'a>(
        &self,
        authorization: &'a mut AuthorizationHandle<'a>,
        host: &str,
        proof: Proof<'_>,
        records: &mut Vec<Standing>,
    ) -> Result<(), AcmeError> {
        let (wanted, word) = match proof {
            Proof::Dns(_) => (ChallengeType::Dns01, "dns-01"),
            Proof::Shown(ChallengeKind::Http01, _) => (ChallengeType::Http01, "http-01"),
            Proof::Shown(ChallengeKind::TlsAlpn01, _) => (ChallengeType::TlsAlpn01, "tls-alpn-01"),
        };
        let Some(mut challenge) = authorization.challenge(wanted) else {
            return Err(refused(format!("it does not offer {word} for {host}")));
        };
        let key = challenge.key_authorization();
        match proof {
            Proof::Dns(dns) => {
                let record = dns.locate(host, key.dns_value()).await?;
                records.push(Standing::new(dns, record, self.clock, &self.dealings.withdrawals));
                if let Some(record) = records.last() {
                    record.show().await?;
                }
            }
            Proof::Shown(ChallengeKind::Http01, answers) => {
                let (token, text) = (challenge.token.clone(), key.as_str().to_owned());
                answers.show(host, Answer::Http { token, text });
            }
            Proof::Shown(ChallengeKind::TlsAlpn01, answers) => {
                let shown = crate::challenge::proof(host, key.digest().as_ref());
                let why = |error| refused(format!("nothing can be shown for {host}: {error}"));
                answers.show(host, shown.map_err(why)?);
            }
        }
        challenge.set_ready().await.map_err(|error| self.said(error))
    }

    /// As `said`, of something that may be too much of the account: then everybody waits, for so long at most.
    fn said_to_all(&self, error: Error, rest_max: Duration) -> AcmeError {
        let is_limit =
            matches!(&error, Error::Api(problem) if problem.r#type.as_deref() == Some(RATE_LIMITED));
        let said = self.said(error);
        if let (true, AcmeError::Refused { why, retry_after: Some(asked) }) = (is_limit, &said) {
            self.dealings.rest(None, (*asked).min(rest_max), why, (self.clock)());
        }
        said
    }

    /// Whether it refused, and when it wants to be asked again; whether it was not there, or lost its thread.
    fn said(&self, error: Error) -> AcmeError {
        if let Error::Api(problem) = error {
            if problem.r#type.as_deref() == Some(BAD_NONCE) {
                return AcmeError::Forgetful(cut(problem.to_string()));
            }
            let retry_after = self.dealings.later.take().and_then(|said| retry_after(&said, (self.clock)()));
            return AcmeError::Refused { why: cut(problem.to_string()), retry_after };
        }
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(deeper) = cause {
            if let Some(words) = distrust::words(deeper) {
                return AcmeError::Unreachable(words.to_owned());
            }
            let words = deeper.to_string();
            if !text.contains(&words) {
                text = format!("{text}: {words}"); // some say themselves what was behind it
            }
            cause = deeper.source();
        }
        AcmeError::Unreachable(cut(text))
    }
}

/// What is answered to whoever connects is forgotten when nobody needs it any more, also when whoever waits for a certificate is
/// sent away in the middle.
struct Forgotten<'a> {
    host: &'a str,
    proof: Proof<'a>,
}

impl Drop for Forgotten<'_> {
    fn drop(&mut self) {
        if let Proof::Shown(_, answers) = self.proof {
            answers.forget(self.host);
        }
    }
}

fn retries() -> RetryPolicy {
    RetryPolicy::default().timeout(PATIENCE)
}

fn refused(why: String) -> AcmeError {
    AcmeError::Refused { why: cut(why), retry_after: None }
}

/// Seconds, or a date (RFC 9110 §10.2.3).
fn retry_after(said: &str, now: i64) -> Option<Duration> {
    if let Ok(seconds) = said.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(said.trim()).ok()?;
    let now = UNIX_EPOCH + Duration::from_secs(now.try_into().ok()?);
    Some(date.duration_since(now).unwrap_or_default())
}

/// What the authority saw instead.
async fn what_was_wrong(order: &mut Order) -> String {
    let mut authorizations = order.authorizations();
    while let Some(Ok(authorization)) = authorizations.next().await {
        for challenge in &authorization.challenges {
            if let Some(problem) = &challenge.error {
                return problem.to_string();
            }
        }
    }
    "it did not say why".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use instant_acme::Problem;

    #[test]
    fn what_could_not_be_written_is_at_hand_until_it_is_or_has_become_too_old() {
        let given = rcgen::generate_simple_self_signed(["app.test".to_owned()]).unwrap();
        let pem = format!("{}{}", given.cert.pem(), given.signing_key.serialize_pem());
        let scratch = tempfile::tempdir().unwrap();
        std::fs::write(scratch.path().join("certificates"), "in the way").unwrap();
        let terms = Terms { directory: "https://ca.test/dir".to_owned(), root: None, email: None };
        let other = Terms { email: Some("ops@app.test".to_owned()), ..terms.clone() };
        for (clock, expected) in [((|| 1_800_000_000) as Clock, Some(pem.clone())), (|| i64::MAX / 2, None)] {
            let dealings = Arc::<Dealings>::default();
            let [authority, later] = [&terms, &other].map(|terms| {
                Authority::new(terms.clone(), Folder::new(scratch.path()), clock, Arc::clone(&dealings))
            });
            let origin = authority.origin("app.test");
            let failed = authority.keep(origin, origin.room(), pem.clone());
            assert!(matches!(failed, Err(AcmeError::Folder(_))));
            assert_eq!(later.given_before(later.origin("other.test")), None);
            assert_eq!(later.given_before(later.origin("app.test")), expected, "whatever the terms");
        }
    }

    #[test]
    fn of_what_an_authority_says_a_paragraph_is_kept() {
        let terms = Terms { directory: "https://ca.test/dir".to_owned(), root: None, email: None };
        let authority = Authority::new(terms, Folder::new(Path::new("/nowhere")), || 0, Arc::default());
        for kind in [RATE_LIMITED, BAD_NONCE, "urn:ietf:params:acme:error:serverInternal"] {
            let detail = Some("\u{1}".repeat(100 * 1024));
            let problem =
                Problem { r#type: Some(kind.to_owned()), detail, status: None, subproblems: Vec::new() };
            let said = authority.said_to_all(Error::Api(problem), Duration::MAX).to_string();
            assert!(said.len() < 1200 && said.ends_with('…'), "{kind}: {}", said.len());
        }
        let twice =
            authority.said(Error::from(serde_json::from_str::<u8>("<html>").unwrap_err())).to_string();
        assert_eq!(twice.matches("line 1 column 1").count(), 1, "{twice}");
        let said = authority.said(Error::Other("x".repeat(100 * 1024).into())).to_string();
        assert!(said.len() < 1200 && said.ends_with('…'), "{}", said.len());
        assert!(refused("é".repeat(100 * 1024)).to_string().len() < 1200);
    }

    #[test]
    fn an_authority_may_say_when_in_seconds_and_by_date() {
        assert_eq!(retry_after(" 120 ", 0), Some(Duration::from_mins(2)));
        assert_eq!(retry_after("Thu, 01 Jan 1970 00:02:00 GMT", 60), Some(Duration::from_mins(1)));
        assert_eq!(retry_after("Thu, 01 Jan 1970 00:02:00 GMT", 240), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", 0), None);
    }
}
