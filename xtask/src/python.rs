//! Packages of Python that the end-to-end tests speak through: real clients and servers that no one here wrote. They go into
//! a folder of their own below the target folder, and nowhere else.

use crate::workspace;
use std::path::Path;
use std::process::Command;

/// Pinned, so that the tests see the same ones everywhere.
const PACKAGES: &[&str] = &["grpcio==1.85.3", "websockets==17.4"];

/// Where they are, below the target folder; the tests look there as well.
const FOLDER: &str = "python-packages";

/// Installs what is missing; says what it does before it does it.
pub(crate) fn ensure() -> Result<(), String> {
    let folder = workspace::target_folder()?.join(FOLDER);
    let missing: Vec<&str> = PACKAGES.iter().copied().filter(|package| !is_there(&folder, package)).collect();
    if missing.is_empty() {
        println!("python: nothing is missing");
        return Ok(());
    }
    println!("python: installing {} with pip, below the target folder", missing.join(", "));
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade", "--target"]);
    let status = pip.arg(&folder).args(&missing).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("pip install {} ended with {status}", missing.join(" "))),
        Err(error) => Err(format!("python3 does not start: {error}")),
    }
}

/// `NAME==VERSION` leaves a folder that says so.
fn is_there(folder: &Path, package: &str) -> bool {
    package
        .split_once("==")
        .is_some_and(|(name, version)| folder.join(format!("{name}-{version}.dist-info")).is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_there_in_this_version_or_not_at_all() {
        let folder = std::env::temp_dir().join(format!("tidegate-xtask-python-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("thing-1.2.dist-info")).expect("a scratch folder");
        assert!(is_there(&folder, "thing==1.2"));
        assert!(!is_there(&folder, "thing==1.3"));
        assert!(!is_there(&folder, "thing"));
        std::fs::remove_dir_all(&folder).expect("it was there");
    }
}
