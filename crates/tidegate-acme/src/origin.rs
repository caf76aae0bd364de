//! By which authority the certificate of a host was given: written beside it, with what it is said of. Those of other authorities are
//! set aside for when they are wanted again. Knows not how one is asked for.

use crate::folder::{Folder, Room};
use crate::reading::{CERTIFICATE_MAX, read_file};
use crate::schedule::renewal_due;
use crate::worth;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};

/// The certificate of a host, seen from one authority.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin<'a> {
    pub(crate) folder: &'a Folder,
    pub(crate) directory: &'a str,
    pub(crate) host: &'a str,
}

impl Origin<'_> {
    /// Which other authority has given the certificate, if it was another one. One of which nothing is said, or that has come by
    /// another way, counts as this one's from now on.
    pub(crate) fn other(self) -> Option<String> {
        let file = self.folder.certificate(self.host);
        let pem = read_file(&file, CERTIFICATE_MAX).ok()?;
        let Some(directory) = giver(&file, &pem) else {
            let _ = sign(&file, self.directory, &pem); // else the next time
            return None;
        };
        (directory != self.directory).then_some(directory)
    }

    /// Room for what this authority is yet to give.
    pub(crate) fn room(self) -> io::Result<Room> {
        Room::beside(&self.folder.certificate(self.host))
    }

    /// Puts what this authority gave in the place of what was there.
    pub(crate) fn keep(self, room: Room, pem: &[u8]) -> io::Result<()> {
        let file = self.folder.certificate(self.host);
        if let Some(other) = self.other() {
            // Else it is asked for anew when it is wanted again.
            let _ = read_file(&file, CERTIFICATE_MAX).and_then(|before| {
                let aside = self.folder.aside(&other, self.host);
                Folder::write(&aside, &before)?;
                sign(&aside, &other, &before)
            });
        }
        // Before it is there: what nothing is said of counts as given by whoever asks next.
        let _ = sign(&file, self.directory, pem);
        room.fill(pem)
    }

    /// Puts back what this authority gave before another one did, unless it is time to replace that.
    pub(crate) fn put_back(self, now: i64) -> bool {
        let aside = self.folder.aside(self.directory, self.host);
        let Ok(pem) = read_file(&aside, CERTIFICATE_MAX) else { return false };
        let is_good = giver(&aside, &pem).as_deref() == Some(self.directory) && self.is_fresh(&pem, now);
        let is_back = is_good && self.room().and_then(|room| self.keep(room, &pem)).is_ok();
        if is_back || !is_good {
            let _ = std::fs::remove_file(note(&aside));
            let _ = std::fs::remove_file(aside);
        }
        is_back
    }

    /// It is for the host, and it is not time to replace it.
    pub(crate) fn is_fresh(self, pem: &[u8], now: i64) -> bool {
        let Ok(text) = std::str::from_utf8(pem) else { return false };
        worth::look(text, text, self.host, now).is_ok_and(|(from, to)| now < renewal_due(from, to))
    }
}

/// Who is said to have given what is in a file, if it is said of just that.
fn giver(file: &Path, pem: &[u8]) -> Option<String> {
    let of = digest(pem);
    let said = notes(file);
    let found = said.lines().filter_map(|line| line.rsplit_once(' ')).find(|(_, digest)| *digest == of);
    found.map(|(directory, _)| directory.to_owned())
}

/// The newest first, and behind it the one that is there until that is.
fn sign(file: &Path, directory: &str, pem: &[u8]) -> io::Result<()> {
    let newest = format!("{directory} {}", digest(pem));
    let before = notes(file).lines().find(|line| **line != newest).map(|line| format!("{line}\n"));
    let said = format!("{newest}\n{}", before.unwrap_or_default());
    Folder::write(&note(file), said.as_bytes())
}

fn notes(file: &Path) -> String {
    let said = read_file(&note(file), CERTIFICATE_MAX).ok();
    said.and_then(|said| String::from_utf8(said).ok()).unwrap_or_default()
}

fn note(file: &Path) -> PathBuf {
    file.with_extension("from")
}

fn digest(pem: &[u8]) -> String {
    Sha256::digest(pem).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};
    use time::OffsetDateTime;

    const NOW: i64 = 1_800_000_000;
    const LIFE: i64 = 90 * 24 * 60 * 60;
    const STAGING: &str = "https://staging.test/dir";
    const PRODUCTION: &str = "https://ca.test/dir";

    fn pem() -> String {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["app.test".to_owned()]).unwrap();
        params.not_before = OffsetDateTime::from_unix_timestamp(NOW).unwrap();
        params.not_after = OffsetDateTime::from_unix_timestamp(NOW + LIFE).unwrap();
        format!("{}{}", params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    fn at<'a>(folder: &'a Folder, directory: &'a str) -> Origin<'a> {
        Origin { folder, directory, host: "app.test" }
    }

    #[test]
    fn another_authority_is_known_and_what_is_unsigned_or_was_put_there_counts_as_the_asking_ones() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = Folder::new(scratch.path());
        let [staging, production] = [STAGING, PRODUCTION].map(|directory| at(&folder, directory));
        assert_eq!(production.other(), None, "there is none");
        let file = folder.certificate("app.test");
        Folder::write(&file, pem().as_bytes()).unwrap();
        assert_eq!(staging.other(), None, "of before there were notes");
        assert_eq!(production.other().as_deref(), Some(STAGING), "which is remembered");
        production.keep(production.room().unwrap(), pem().as_bytes()).unwrap();
        assert_eq!((production.other(), staging.other().as_deref()), (None, Some(PRODUCTION)));
        std::fs::write(&file, pem()).unwrap();
        assert_eq!(staging.other(), None, "the note is about another one");
        sign(&file, PRODUCTION, b"on its way").unwrap();
        assert_eq!(production.other().as_deref(), Some(STAGING), "until it is there");
        std::fs::write(&file, "on its way").unwrap();
        assert_eq!(production.other(), None, "as soon as it is there");
    }

    #[test]
    fn what_another_one_has_replaced_is_put_back_until_a_third_of_its_life_is_left() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = Folder::new(scratch.path());
        let [staging, production] = [STAGING, PRODUCTION].map(|directory| at(&folder, directory));
        let (first, second) = (pem(), pem());
        let kept = || std::fs::read_to_string(folder.certificate("app.test")).unwrap();
        staging.keep(staging.room().unwrap(), first.as_bytes()).unwrap();
        assert!(!production.put_back(NOW));
        production.keep(production.room().unwrap(), second.as_bytes()).unwrap();
        assert!(staging.put_back(NOW));
        assert_eq!((kept(), staging.other()), (first, None));
        assert!(!staging.put_back(NOW), "it is no longer aside");
        assert!(!production.put_back(NOW + LIFE * 2 / 3));
        assert!(!production.put_back(NOW), "and forgotten when it is of no use");
    }
}
