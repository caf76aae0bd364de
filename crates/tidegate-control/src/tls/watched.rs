//! What a few files held when they last made sense. Knows nothing of what that is.

use super::files::CertificateError;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What files held, and whether they have been touched since.
#[derive(Debug)]
pub(super) struct Watched<T> {
    pub(super) held: T,
    /// Why what the files hold now is not used.
    pub(super) problem: Option<String>,
    paths: Vec<PathBuf>,
    stamp: Stamp,
}

/// What became of files that were touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// What they hold now is in use.
    Replaced,
    /// They cannot be used, for this reason; it has not been said before.
    Refused(String),
}

/// Files that were touched, and what became of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Touched {
    /// The one that stands for all of them.
    pub(super) file: String,
    /// What they hold, in words that people have for it.
    pub(super) what: String,
    pub(super) change: Change,
}

impl Touched {
    pub(super) fn certificate(file: &Path, change: Change) -> Self {
        let file = file.display().to_string();
        Self { what: format!("certificate {file}"), file, change }
    }

    /// Authorities, and what they have taken back.
    pub(super) fn vouching<'a>(whom: &str, files: impl Iterator<Item = &'a PathBuf>, change: Change) -> Self {
        let files: Vec<_> = files.map(|file| file.display().to_string()).collect();
        let what = format!("what {whom} are vouched for by ({})", files.join(", "));
        Self { file: files.into_iter().next().unwrap_or_default(), what, change }
    }
}

impl<T> Watched<Option<T>> {
    /// Of files that something usable is still awaited in.
    pub(super) fn awaiting<'a>(
        paths: impl IntoIterator<Item = &'a PathBuf>,
        problem: &CertificateError,
    ) -> Self {
        let paths: Vec<_> = paths.into_iter().cloned().collect();
        let stamp = Stamp::of(&paths);
        Self { held: None, problem: Some(problem.to_string()), paths, stamp }
    }
}

impl<T> Watched<T> {
    pub(super) fn new<'a>(
        paths: impl IntoIterator<Item = &'a PathBuf>,
        read: impl FnOnce() -> Result<T, CertificateError>,
    ) -> Result<Self, CertificateError> {
        let paths: Vec<_> = paths.into_iter().cloned().collect();
        let stamp = Stamp::of(&paths); // before reading: what changes meanwhile is then read again
        Ok(Self { held: read()?, problem: None, paths, stamp })
    }

    /// Reads again if something may have changed.
    pub(super) fn refresh(&mut self, read: impl FnOnce() -> Result<T, CertificateError>) -> Option<Change> {
        let stamp = Stamp::of(&self.paths);
        // Whoever was met half way through writing may end within the same tick of the clock: looked at until it is whole.
        if stamp == self.stamp && self.problem.is_none() {
            return None;
        }
        self.stamp = stamp;
        self.replace(read())
    }

    /// Takes what was read, unless it makes no sense.
    pub(super) fn replace(&mut self, read: Result<T, CertificateError>) -> Option<Change> {
        match read {
            Ok(held) => {
                (self.held, self.problem) = (held, None);
                Some(Change::Replaced)
            }
            Err(error) => {
                let problem = error.to_string();
                let is_new = self.problem.as_ref() != Some(&problem);
                self.problem = Some(problem.clone());
                is_new.then_some(Change::Refused(problem))
            }
        }
    }
}

/// What tells files from what they were before, without reading them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp(Vec<Option<[i64; 7]>>);

impl Stamp {
    fn of(paths: &[PathBuf]) -> Self {
        let facts = |path: &Path| {
            let found = std::fs::metadata(path).ok()?; // of what a link leads to: links are how tools swap files
            Some([
                found.dev().cast_signed(),
                found.ino().cast_signed(),
                found.size().cast_signed(),
                found.mtime(),
                found.mtime_nsec(),
                // Whoever copies a file with its times (`cp -p`) sets the one above, but nobody this one.
                found.ctime(),
                found.ctime_nsec(),
            ])
        };
        Self(paths.iter().map(|path| facts(path)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::time::{Duration, SystemTime};

    /// In place, as `cp -p` does of what is as long and as old.
    fn overwrite(path: &Path, contents: &str) {
        std::fs::write(path, contents).unwrap();
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
    }

    #[test]
    fn what_is_overwritten_in_place_and_is_as_long_and_as_old_is_read_again() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("app.pem");
        overwrite(&path, "one");
        let read = || Ok(std::fs::read_to_string(&path).unwrap());
        let mut watched = Watched::new([&path], read).unwrap();
        let changed = || {
            let found = std::fs::metadata(&path).unwrap();
            (found.ctime(), found.ctime_nsec())
        };
        let before = changed();
        while changed() == before {
            overwrite(&path, "two"); // the clock of files moves in steps
        }
        assert_eq!(watched.refresh(read), Some(Change::Replaced));
        assert_eq!(watched.held, "two");
        assert_eq!(watched.refresh(read), None, "once");
    }
}
