//! Where the account and the certificates are kept: readable by nobody else, and never half written.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What a key, a certificate and its chain take, and more: 4 to 8 KiB as a rule.
const ROOM_BYTES: usize = 32 * 1024;

/// A folder of our own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Certificate, chain and key of a host, in one file, so that they are replaced together.
    pub fn certificate(&self, host: &str) -> PathBuf {
        self.certificates().join(format!("{}.pem", file_name(host)))
    }

    /// Where those are.
    pub fn certificates(&self) -> PathBuf {
        self.0.join("certificates")
    }

    /// The same of an authority that is not asked for now.
    pub(crate) fn aside(&self, directory: &str, host: &str) -> PathBuf {
        self.0.join("aside").join(place(directory)).join(format!("{}.pem", file_name(host)))
    }

    /// An authority of our own: its certificate and its key.
    pub(crate) fn authority(&self) -> PathBuf {
        self.0.join("authority.pem")
    }

    /// The certificate of that alone, for people.
    pub(crate) fn root(&self) -> PathBuf {
        self.0.join("root.pem")
    }

    /// The account at the authority with this directory.
    pub(crate) fn account(&self, directory: &str) -> PathBuf {
        self.0.join("accounts").join(format!("{}.json", place(directory)))
    }

    /// Replaces a file whole.
    pub(crate) fn write(path: &Path, contents: &[u8]) -> io::Result<()> {
        let staged = path.with_extension("new");
        stage(&staged, contents)?;
        std::fs::rename(&staged, path)
    }
}

/// Room on the disk for a file that is yet to come: what an authority gives must not be lost, since it counts.
#[derive(Debug)]
pub(crate) struct Room {
    path: PathBuf,
    staged: PathBuf,
}

impl Room {
    /// Takes it, where the file is to be.
    pub(crate) fn beside(path: &Path) -> io::Result<Self> {
        let room = Self { path: path.to_owned(), staged: path.with_extension("room") };
        stage(&room.staged, &vec![b'\n'; ROOM_BYTES])?;
        Ok(room)
    }

    /// Puts this into it, and that in the place of what was there.
    pub(crate) fn fill(self, contents: &[u8]) -> io::Result<()> {
        // Written over, not anew. It may be gone, if another process has the same folder.
        let mut room = OpenOptions::new();
        let mut file = room.write(true).create(true).truncate(false).mode(0o600).open(&self.staged)?;
        file.write_all(contents)?;
        file.set_len(contents.len() as u64)?;
        file.sync_all()?;
        std::fs::rename(&self.staged, &self.path)
    }
}

impl Drop for Room {
    /// Nothing has come, or it lies where it belongs.
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.staged);
    }
}

/// Beside where it is to be.
fn stage(staged: &Path, contents: &[u8]) -> io::Result<()> {
    if let Some(folder) = staged.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    match std::fs::remove_file(staged) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {} // of an earlier attempt: its permissions would stay
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(staged)?;
    let written = file.write_all(contents).and_then(|()| file.sync_all());
    if written.is_err() {
        let _ = std::fs::remove_file(staged); // others need what there is
    }
    written
}

fn place(directory: &str) -> String {
    file_name(directory.trim_start_matches("https://"))
}

/// Letters that mean nothing to a file system.
fn file_name(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c } else { '_' };
    text.chars().map(plain).collect::<String>().trim_start_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    #[test]
    fn nobody_else_may_read_it_even_where_an_earlier_attempt_was_open_to_all() {
        let scratch = tempfile::tempdir().unwrap();
        let path = Folder::new(scratch.path().join("acme")).certificate("app.test");
        Folder::write(&path, b"one").unwrap();
        std::fs::write(path.with_extension("new"), b"half").unwrap();
        Folder::write(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    }

    #[test]
    fn what_cannot_be_taken_away_is_told_with_its_own_reason() {
        let scratch = tempfile::tempdir().unwrap();
        let path = Folder::new(scratch.path().join("acme")).certificate("app.test");
        std::fs::create_dir_all(path.with_extension("room")).unwrap();
        let reason = std::fs::remove_file(path.with_extension("room")).unwrap_err().to_string();
        assert_eq!(Room::beside(&path).unwrap_err().to_string(), reason, "and not that it exists");
    }

    #[test]
    fn what_comes_takes_the_room_that_was_kept_for_it_and_none_is_left_taken() {
        let scratch = tempfile::tempdir().unwrap();
        let path = Folder::new(scratch.path().join("acme")).certificate("app.test");
        let names = || {
            let entries = std::fs::read_dir(path.parent().unwrap()).unwrap();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
        };
        drop(Room::beside(&path).unwrap());
        assert!(names().is_empty(), "nothing came");
        let room = Room::beside(&path).unwrap();
        let staged = std::fs::metadata(&room.staged).unwrap();
        assert_eq!(staged.len(), ROOM_BYTES as u64);
        Folder::write(&path.with_extension("from"), b"a note of it").unwrap();
        room.fill(b"one").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        assert_eq!(std::fs::metadata(&path).unwrap().ino(), staged.ino(), "the very room");
        std::fs::remove_file(path.with_extension("from")).unwrap();
        let (first, second) = (Room::beside(&path).unwrap(), Room::beside(&path).unwrap());
        second.fill(b"two").unwrap();
        first.fill(b"three").unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!((std::fs::read(&path).unwrap(), mode), (b"three".to_vec(), 0o600));
        assert_eq!(names(), ["app.test.pem"]);
    }

    #[test]
    fn no_name_leads_out_of_the_folder() {
        let folder = Folder::new("/state");
        assert_eq!(folder.certificate("../../etc/x").to_str(), Some("/state/certificates/_.._etc_x.pem"));
        let account = folder.account("https://ca.test:14000/dir");
        assert_eq!(account.to_str(), Some("/state/accounts/ca.test_14000_dir.json"));
        let aside = folder.aside("https://../dir", "*.test");
        assert_eq!(aside.to_str(), Some("/state/aside/_dir/_.test.pem"));
    }
}
