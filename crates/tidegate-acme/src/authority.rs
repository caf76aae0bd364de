//! An authority, our account there, and orders of certificates.

use crate::challenge::{Answer, Answers, ChallengeKind, proof};
use crate::folder::Folder;
use instant_acme::{
    Account, AccountCredentials, AuthorizationHandle, AuthorizationStatus, ChallengeType, Error, Identifier,
    NewAccount, NewOrder, Order, OrderStatus, RetryPolicy,
};
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::Mutex;

/// How long an authority may take to look at what is shown, and to sign.
const PATIENCE: Duration = Duration::from_secs(90);

/// Why there is no certificate.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AcmeError {
    #[error("it cannot be kept: {0}")]
    Folder(String),
    #[error("the authority refused: {0}")]
    Refused(String),
    #[error("the authority cannot be reached: {0}")]
    Unreachable(String),
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

/// An authority. One order at a time.
#[derive(Debug)]
pub struct Authority {
    terms: Terms,
    folder: Folder,
    account: Mutex<Option<Known>>,
}

/// An account that is ready.
struct Known(Account);

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Known")
    }
}

impl Authority {
    pub fn new(terms: Terms, folder: Folder) -> Self {
        Self { terms, folder, account: Mutex::default() }
    }

    /// Gets a certificate for `host`, with a new key, and puts both into the folder.
    pub async fn obtain(
        &self,
        host: &str,
        kind: ChallengeKind,
        answers: &dyn Answers,
    ) -> Result<(), AcmeError> {
        let mut account = self.account.lock().await;
        let known = match account.take() {
            Some(known) => known,
            None => Known(self.register().await?),
        };
        let ordered = order(&known.0, host, kind, answers).await;
        answers.forget(host);
        if !matches!(ordered, Err(AcmeError::Refused(_))) {
            *account = Some(known); // an account that the authority has forgotten is asked for again
        }
        let pem = ordered?;
        Folder::write(&self.folder.certificate(host), pem.as_bytes()).map_err(folder)
    }

    /// The account of before, or a new one.
    async fn register(&self) -> Result<Account, AcmeError> {
        let builder = match &self.terms.root {
            Some(root) => Account::builder_with_root(root),
            None => Account::builder(),
        };
        let builder = builder.map_err(said)?;
        let path = self.folder.account(&self.terms.directory);
        if let Some(credentials) = credentials(&path) {
            return builder.from_credentials(credentials).await.map_err(said);
        }
        let contact: Vec<_> = self.terms.email.iter().map(|email| format!("mailto:{email}")).collect();
        let contact: Vec<_> = contact.iter().map(String::as_str).collect();
        let wanted =
            NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let (account, credentials) =
            builder.create(&wanted, self.terms.directory.clone(), None).await.map_err(said)?;
        let text = serde_json::to_vec_pretty(&credentials).map_err(|error| folder(error.into()))?;
        Folder::write(&path, &text).map_err(folder)?;
        Ok(account)
    }
}

/// A file that makes no sense is like none: there will be a new account.
fn credentials(path: &std::path::Path) -> Option<AccountCredentials> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// Certificate, chain and key.
async fn order(
    account: &Account,
    host: &str,
    kind: ChallengeKind,
    answers: &dyn Answers,
) -> Result<String, AcmeError> {
    let identifiers = [Identifier::Dns(host.to_owned())];
    let mut order = account.new_order(&NewOrder::new(&identifiers)).await.map_err(said)?;
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(said)?;
        if authorization.status != AuthorizationStatus::Valid {
            answer(&mut authorization, host, kind, answers).await?;
        }
    }
    let retries = RetryPolicy::default().timeout(PATIENCE);
    if order.poll_ready(&retries).await.map_err(said)? != OrderStatus::Ready {
        return Err(AcmeError::Refused(what_was_wrong(&mut order).await));
    }
    let key = order.finalize().await.map_err(said)?;
    let chain = order.poll_certificate(&retries).await.map_err(said)?;
    Ok(format!("{chain}\n{key}"))
}

/// Shows what the authority wants to see, and tells it to look.
async fn answer<'a>(
    authorization: &'a mut AuthorizationHandle<'a>,
    host: &str,
    kind: ChallengeKind,
    answers: &dyn Answers,
) -> Result<(), AcmeError> {
    let (wanted, word) = match kind {
        ChallengeKind::Http01 => (ChallengeType::Http01, "http-01"),
        ChallengeKind::TlsAlpn01 => (ChallengeType::TlsAlpn01, "tls-alpn-01"),
    };
    let Some(mut challenge) = authorization.challenge(wanted) else {
        return Err(AcmeError::Refused(format!("it does not offer {word} for {host}")));
    };
    let key = challenge.key_authorization();
    let shown = match kind {
        ChallengeKind::Http01 => {
            Answer::Http { token: challenge.token.clone(), text: key.as_str().to_owned() }
        }
        ChallengeKind::TlsAlpn01 => proof(host, key.digest().as_ref())
            .map_err(|error| AcmeError::Refused(format!("nothing can be shown for {host}: {error}")))?,
    };
    answers.show(host, shown);
    challenge.set_ready().await.map_err(said)
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

fn said(error: Error) -> AcmeError {
    match error {
        Error::Api(problem) => AcmeError::Refused(problem.to_string()),
        error => {
            let mut text = error.to_string();
            let mut cause = std::error::Error::source(&error);
            while let Some(deeper) = cause {
                text = format!("{text}: {deeper}");
                cause = deeper.source();
            }
            AcmeError::Unreachable(text)
        }
    }
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn folder(error: std::io::Error) -> AcmeError {
    AcmeError::Folder(error.to_string())
}
