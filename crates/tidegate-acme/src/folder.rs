//! Where the account and the certificates are kept: readable by nobody else, and never half written.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A folder of our own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Certificate, chain and key of a host, in one file, so that they are replaced together.
    pub fn certificate(&self, host: &str) -> PathBuf {
        self.0.join("certificates").join(format!("{}.pem", file_name(host)))
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
        let staged = stage(path, contents)?;
        std::fs::rename(&staged, path)
    }

    /// Whether that could be done, as far as can be told: what an authority gives must not be lost, since it counts.
    pub(crate) fn may_write(path: &Path) -> io::Result<()> {
        let staged = stage(path, b"")?;
        std::fs::remove_file(staged)
    }
}

/// Beside where it is to be.
fn stage(path: &Path, contents: &[u8]) -> io::Result<PathBuf> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let staged = path.with_extension("new");
    let _ = std::fs::remove_file(&staged); // of an earlier attempt: its permissions would stay
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&staged)?;
    file.write_all(contents)?;
    file.sync_all()?;
    Ok(staged)
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
    use std::os::unix::fs::PermissionsExt;

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
    fn no_name_leads_out_of_the_folder() {
        let folder = Folder::new("/state");
        assert_eq!(folder.certificate("../../etc/x").to_str(), Some("/state/certificates/_.._etc_x.pem"));
        let account = folder.account("https://ca.test:14000/dir");
        assert_eq!(account.to_str(), Some("/state/accounts/ca.test_14000_dir.json"));
        let aside = folder.aside("https://../dir", "*.test");
        assert_eq!(aside.to_str(), Some("/state/aside/_dir/_.test.pem"));
    }
}
