//! Where things are: the root of the workspace, its sources, the folder that cargo builds into. Knows no rules.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Folders that hold nothing that a person wrote.
const SKIPPED: [&str; 3] = [".git", "target", "node_modules"];

pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// The cargo that runs us, or the one in PATH.
pub(crate) fn cargo() -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}

/// What `cargo metadata` says of the workspace and of everything it depends on.
pub(crate) fn metadata() -> Result<Value, String> {
    let said = said(&["metadata", "--format-version", "1", "--quiet"])?;
    serde_json::from_slice(&said).map_err(|error| format!("cargo metadata wrote bad JSON: {error}"))
}

/// What is built with every feature on every platform: `NAME vVERSION`, a line each.
pub(crate) fn tree() -> Result<String, String> {
    let said =
        said(&["tree", "--workspace", "--all-features", "--target=all", "--prefix=none", "--format={p}"])?;
    Ok(String::from_utf8_lossy(&said).into_owned())
}

fn said(arguments: &[&str]) -> Result<Vec<u8>, String> {
    let what = format!("cargo {}", arguments.first().unwrap_or(&""));
    let output =
        cargo().args(arguments).output().map_err(|error| format!("{what} does not start: {error}"))?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(format!("{what} failed: {}", String::from_utf8_lossy(&output.stderr).trim()))
    }
}

pub(crate) fn target_folder() -> Result<PathBuf, String> {
    metadata()?["target_directory"]
        .as_str()
        .map(PathBuf::from)
        .ok_or_else(|| "no target_directory".to_owned())
}

/// Every file under `folder`, as paths relative to it, sorted.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).into_iter().flatten().flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            if SKIPPED.iter().any(|name| entry.file_name() == *name) {
                continue;
            }
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                found.extend(entry.path().strip_prefix(folder).map(Path::to_path_buf));
            }
        }
    }
    found.sort();
    found
}
