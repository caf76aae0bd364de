//! What others are vouched for by has its time, too: authorities that have all expired, a revocation list that another one should
//! have followed. Whether that is worth a word. Reads no clock.

use super::age::from_now;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use std::path::{Path, PathBuf};
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};

/// When a file that vouches for others has had its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lapse {
    path: PathBuf,
    vouches_by: VouchesBy,
    at: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum VouchesBy {
    Authorities,
    Revocations,
}

impl Lapse {
    /// When the last of them expires; `None`: that cannot be told.
    pub(super) fn of_authorities(path: &Path, authorities: &[CertificateDer<'_>]) -> Option<Self> {
        let ends = |authority: &CertificateDer<'_>| {
            let (_, parsed) = X509Certificate::from_der(authority).ok()?;
            Some(parsed.validity().not_after.timestamp())
        };
        let at = authorities.iter().map(ends).collect::<Option<Vec<_>>>()?.into_iter().max()?;
        Some(Self { path: path.to_owned(), vouches_by: VouchesBy::Authorities, at })
    }

    /// When the first of them should be followed by another; `None`: none says so.
    pub(super) fn of_revocations(path: &Path, lists: &[CertificateRevocationListDer<'_>]) -> Option<Self> {
        let next = |list: &CertificateRevocationListDer<'_>| {
            let (_, parsed) = CertificateRevocationList::from_der(list).ok()?;
            Some(parsed.next_update()?.timestamp())
        };
        let at = lists.iter().filter_map(next).min()?;
        Some(Self { path: path.to_owned(), vouches_by: VouchesBy::Revocations, at })
    }

    pub(super) fn has_come(&self, now: i64) -> bool {
        self.at < now
    }

    /// What is to be said of that.
    pub(super) fn remark(&self, now: i64) -> Option<String> {
        let (path, since) = (self.path.display(), from_now(self.at, now));
        self.has_come(now).then(|| match self.vouches_by {
            VouchesBy::Authorities => {
                format!("{path} holds only certificates that have expired, the last one {since}")
            }
            VouchesBy::Revocations => {
                format!(
                    "revocation list {path} should have been followed by another one {since}; it counts all the same"
                )
            }
        })
    }
}
