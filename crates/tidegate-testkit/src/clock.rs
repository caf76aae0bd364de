//! A clock on the wall that a test can set while the program runs.
//!
//! By the library of Debian's `faketime`, which answers a program's question for the time of day and leaves the monotonic
//! clock alone: setting the real clock would change the day of everything else on the machine. Knows nothing of what is timed.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

/// Right until it is set.
#[derive(Debug)]
pub struct WallClock {
    folder: TempDir,
    library: String,
}

impl WallClock {
    /// # Panics
    /// When `faketime` is not installed.
    pub fn new() -> Self {
        let shown = Command::new("faketime").args(["-f", "+0", "printenv", "LD_PRELOAD"]).output();
        let shown = shown.expect("faketime is installed").stdout;
        let library = String::from_utf8_lossy(&shown).trim().to_owned();
        let clock = Self { folder: tempfile::tempdir().expect("a scratch folder"), library };
        clock.jump("+0");
        clock
    }

    /// Set off from the true time: `+400d`, `-1h`.
    ///
    /// # Panics
    /// When the disk is full.
    pub fn jump(&self, by: &str) {
        // Renamed into place: a program that looks at this moment must not find half of it.
        let (new, file) = (self.folder.path().join("new"), self.file());
        std::fs::write(&new, by)
            .and_then(|()| std::fs::rename(new, file))
            .expect("the scratch folder is writable");
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("now")
    }

    /// The environment of a program that goes by this clock.
    pub(crate) fn environment(&self) -> [(&'static str, String); 5] {
        [
            ("LD_PRELOAD", self.library.clone()),
            ("FAKETIME_TIMESTAMP_FILE", self.file().display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            // The name that newer versions know, and the one that all do.
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
    }
}

impl Default for WallClock {
    fn default() -> Self {
        Self::new()
    }
}
