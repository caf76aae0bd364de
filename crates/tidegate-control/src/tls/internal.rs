//! Certificates made here, for development: which root they lead to, and whether that will be known tomorrow.

use super::files::{CertificateError, Loaded, loaded};
use super::keeper::now;
use crate::state::state_folder;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tidegate_acme::{Folder, Internal};
use tidegate_config::{self as config, CertificateFiles};

/// The authorities that were asked for, each with the root that it had first: a reload keeps it even where it cannot be kept.
#[derive(Debug, Default)]
pub(super) struct Internals(Mutex<HashMap<Folder, Arc<Internal>>>);

/// A certificate that is made here as often as there has to be another.
#[derive(Clone, Debug)]
pub(super) struct Made {
    authority: Arc<Internal>,
    hosts: Vec<String>,
}

impl Internals {
    pub(super) fn made(&self, wanted: &config::Internal) -> Result<Made, CertificateError> {
        let folder = Folder::new(wanted.folder.clone().unwrap_or_else(|| state_folder().join("internal")));
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let authority = match known.get(&folder) {
            Some(authority) => Arc::clone(authority),
            None => Arc::new(Internal::open(folder.clone(), now())?),
        };
        known.insert(folder, Arc::clone(&authority));
        Ok(Made { authority, hosts: wanted.hosts.clone() })
    }
}

impl Made {
    /// Where it is, if it can be kept.
    pub(super) fn files(&self) -> CertificateFiles {
        let file = self.authority.file(&self.hosts);
        CertificateFiles { cert: file.clone(), key: file }
    }

    pub(super) fn load(&self, now: i64) -> Result<Loaded, CertificateError> {
        let pem = self.authority.certificate(&self.hosts, now)?;
        loaded(pem.as_bytes(), pem.as_bytes(), &self.files())
    }

    /// What browsers have to be told to believe; or why they will have to be told again.
    pub(super) fn root(&self) -> Result<PathBuf, &str> {
        self.authority.not_kept().map_or_else(|| Ok(self.authority.root()), Err)
    }
}
