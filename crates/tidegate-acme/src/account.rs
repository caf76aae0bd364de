//! Our account at an authority: the one that is kept, a new one, and the same again where the authority has forgotten it.

use crate::caller::Caller;
use crate::folder::Room;
use crate::reading::{CERTIFICATE_MAX, read_file};
use instant_acme::{Account, AccountBuilder, AccountCredentials, Error, Key, NewAccount};
use rustls::pki_types::PrivateKeyDer;
use std::io;
use std::path::Path;

/// RFC 8555 §6.7.
const UNKNOWN: &str = "urn:ietf:params:acme:error:accountDoesNotExist";

/// What some say instead: that what it was signed by is no account of theirs, or that nobody is allowed that; but then, it may be about
/// something else.
const DOUBTFUL: [&str; 2] =
    ["urn:ietf:params:acme:error:malformed", "urn:ietf:params:acme:error:unauthorized"];

/// Why there is no account.
#[derive(Debug)]
pub(crate) enum AccountError {
    Folder(io::Error),
    /// Nothing new was asked for.
    Asked(Error),
    /// A new one was.
    Registered(Error),
    /// There is one, and it could not be written.
    Unkept(io::Error),
}

/// What a refusal means for the account that it was said to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recognition {
    /// It is as good as it was.
    Known,
    /// The authority has to be asked.
    Doubtful,
    Forgotten,
}

impl Recognition {
    pub(crate) fn after(refusal: &Error) -> Self {
        let Error::Api(problem) = refusal else { return Self::Known };
        match problem.r#type.as_deref() {
            Some(UNKNOWN) => Self::Forgotten,
            Some(kind) if DOUBTFUL.contains(&kind) => Self::Doubtful,
            _ => Self::Known,
        }
    }
}

/// An account at one authority, and the file that it is kept in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) directory: &'a str,
    pub(crate) email: Option<&'a str>,
    pub(crate) file: &'a Path,
}

impl Place<'_> {
    /// The account of before, or a new one.
    pub(crate) async fn open(self, caller: Caller) -> Result<Account, AccountError> {
        match credentials(self.file) {
            Some(kept) => builder(caller).from_credentials(kept).await.map_err(AccountError::Asked),
            None => self.create(caller).await,
        }
    }

    async fn create(self, caller: Caller) -> Result<Account, AccountError> {
        let room = self.room()?;
        let contact = self.contact();
        let contact: Vec<_> = contact.iter().map(String::as_str).collect();
        let wanted =
            NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let created = builder(caller).create(&wanted, self.directory.to_owned(), None).await;
        keep(room, created.map_err(AccountError::Registered)?)
    }

    /// After it was said that `known` is no account: another one of the same key, or of a new one where none is kept. `None`: it is
    /// one after all, or it cannot be told.
    pub(crate) async fn again(
        self,
        caller: &Caller,
        known: &Account,
        recognition: Recognition,
    ) -> Result<Option<Account>, AccountError> {
        let key = || {
            let kept = credentials(self.file)?.private_key().clone_key();
            Some((Key::from_pkcs8_der(kept.clone_key()).ok()?, PrivateKeyDer::Pkcs8(kept)))
        };
        let directory = || self.directory.to_owned();
        if recognition == Recognition::Known {
            return Ok(None);
        }
        let Some(one) = key() else {
            let is_over = recognition == Recognition::Forgotten;
            return if is_over { self.create(caller.clone()).await.map(Some) } else { Ok(None) };
        };
        if recognition == Recognition::Doubtful {
            // RFC 8555 §7.3.1: whose key this is, and no new account. Who has been shut out (§7.3.6) is told so, and stays so.
            match builder(caller.clone()).from_key(one, directory()).await {
                Ok(found) if found.0.id() == known.id() => return Ok(None),
                Ok(found) => return keep(self.room()?, found).map(Some),
                Err(error) if Recognition::after(&error) == Recognition::Forgotten => {}
                Err(_) => return Ok(None),
            }
        }
        let Some(one) = key() else { return Ok(None) };
        let room = self.room()?;
        let created = builder(caller.clone()).create_from_key(one, directory()).await;
        let account = keep(room, created.map_err(AccountError::Registered)?)?;
        let contact = self.contact();
        if !contact.is_empty() {
            // It has no say in whether there are certificates.
            let _ = account.update_contacts(&contact.iter().map(String::as_str).collect::<Vec<_>>()).await;
        }
        Ok(Some(account))
    }

    fn room(self) -> Result<Room, AccountError> {
        Room::beside(self.file).map_err(AccountError::Folder)
    }

    fn contact(self) -> Vec<String> {
        self.email.iter().map(|email| format!("mailto:{email}")).collect()
    }
}

/// What was kept before is there until this is.
fn keep(room: Room, (account, credentials): (Account, AccountCredentials)) -> Result<Account, AccountError> {
    let text = serde_json::to_vec_pretty(&credentials);
    let kept = text.map_err(io::Error::from).and_then(|text| room.fill(&text));
    kept.map(|()| account).map_err(AccountError::Unkept)
}

fn builder(caller: Caller) -> AccountBuilder {
    Account::builder_with_http(Box::new(caller))
}

/// A file that makes no sense is like none: there will be a new account.
fn credentials(path: &Path) -> Option<AccountCredentials> {
    serde_json::from_slice(&read_file(path, CERTIFICATE_MAX).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use instant_acme::Problem;

    #[test]
    fn only_what_is_said_of_the_account_makes_it_doubtful() {
        for (said, expected) in [
            (Some("accountDoesNotExist"), Recognition::Forgotten),
            (Some("unauthorized"), Recognition::Doubtful),
            (Some("malformed"), Recognition::Doubtful),
            (Some("rateLimited"), Recognition::Known),
            (Some("rejectedIdentifier"), Recognition::Known),
            (None, Recognition::Known),
        ] {
            let r#type = said.map(|kind| format!("urn:ietf:params:acme:error:{kind}"));
            let problem = Problem { r#type, detail: None, status: None, subproblems: Vec::new() };
            assert_eq!(Recognition::after(&Error::Api(problem)), expected, "{said:?}");
        }
        assert_eq!(Recognition::after(&Error::Str("gone")), Recognition::Known);
    }
}
