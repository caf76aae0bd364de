//! Where the system keeps what a program has to remember.

use std::path::PathBuf;

/// By what systemd says, by who we are, or by the conventions of desktops.
pub(crate) fn state_folder() -> PathBuf {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    if let Some(folders) = variable("STATE_DIRECTORY") {
        return folders.split(':').next().unwrap_or_default().into();
    }
    if rustix::process::geteuid().is_root() {
        return "/var/lib/tidegate".into();
    }
    let home = || PathBuf::from(variable("HOME").unwrap_or_default()).join(".local/state");
    variable("XDG_STATE_HOME").map_or_else(home, PathBuf::from).join("tidegate")
}
