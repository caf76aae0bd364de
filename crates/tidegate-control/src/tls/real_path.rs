//! One place on the disk, however its path is written, and though it may not be there yet.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// As many as Linux follows: those that lead in a circle lead nowhere.
const LINKS_MAX: usize = 40;

/// Without links, `.` and `..`. What is not there is taken as it is written.
pub(super) fn real_path(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut there = path.clone();
    let mut rest: Vec<Option<OsString>> = Vec::new();
    let mut links = 0;
    let mut real = loop {
        if let Ok(real) = there.canonicalize() {
            break real;
        }
        // It may lead to what is yet to come.
        if let Ok(target) = there.read_link()
            && links < LINKS_MAX
        {
            links += 1;
            there.pop();
            there.push(target);
            continue;
        }
        match there.components().next_back() {
            Some(Component::Normal(name)) => rest.push(Some(name.to_owned())),
            Some(Component::ParentDir) => rest.push(None),
            _ => return path,
        }
        there.pop();
    };
    for name in rest.into_iter().rev() {
        match name {
            Some(name) => real.push(name),
            None => {
                real.pop();
            }
        }
    }
    real
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_place_is_one_however_it_is_written() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        symlink(root.join("a/b"), root.join("link")).unwrap();
        symlink(root.join("gone"), root.join("dangling")).unwrap();
        let here = std::env::current_dir().unwrap().canonicalize().unwrap();
        let up = "../".repeat(here.components().count() - 1);
        let relative = format!("{up}{}", root.join("a").display().to_string().trim_start_matches('/'));
        for (written, real, why) in [
            ("a/b", "a/b", "as it is"),
            ("a/b/../b/.", "a/b", "there and back"),
            ("link", "a/b", "a link"),
            ("link/../x", "a/x", "from where the link leads"),
            ("link/new/er", "a/b/new/er", "not there yet"),
            ("new/../a/b", "a/b", "a detour that is not there yet"),
            ("dangling/new", "gone/new", "a link to what is not there yet"),
            (&relative, "a", "from where we are"),
        ] {
            let written = if why == "from where we are" { written.into() } else { root.join(written) };
            assert_eq!(real_path(&written), root.join(real), "{why}");
        }
    }
}
