//! The rules of the house that no compiler checks. Each rule is a function from what it looks at to its problems,
//! and each has a test that shows it failing. Knows no build.

mod arrows;
mod blank;
mod documented;
mod named_tests;
mod sources;

use crate::workspace;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// One place that breaks one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) path: PathBuf,
    /// From 1; 0 when the whole file is meant.
    pub(crate) line: usize,
    pub(crate) what: String,
}

impl Problem {
    fn new(path: &Path, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_path_buf(), line, what: what.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(formatter, "{}: {}", self.path.display(), self.what),
            line => write!(formatter, "{}:{line}: {}", self.path.display(), self.what),
        }
    }
}

pub(crate) fn command() -> ExitCode {
    match check() {
        Ok(()) => {
            println!("tidy");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Every rule over the whole tree; the error lists every problem.
pub(crate) fn check() -> Result<(), String> {
    let problems = problems()?;
    if problems.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    Err(format!("{} untidy places:\n  {}", lines.len(), lines.join("\n  ")))
}

fn problems() -> Result<Vec<Problem>, String> {
    let root = workspace::root();
    let metadata = workspace::metadata()?;
    let mut problems = Vec::new();
    let texts: Vec<(PathBuf, String)> = workspace::files(&root).into_iter().filter_map(read(&root)).collect();
    for (path, text) in &texts {
        problems.extend(sources::problems(path, text));
    }
    problems.extend(arrows::problems(&metadata));
    problems.extend(arrows::banned(&workspace::tree()?));
    problems.extend(documented::problems(&texts));
    problems.extend(named_tests::problems(&texts));
    Ok(problems)
}

/// Reads a file of the tree; what is not text (pictures, a fuzzer's corpus) has no rules.
fn read(root: &Path) -> impl Fn(PathBuf) -> Option<(PathBuf, String)> + '_ {
    |path| std::fs::read_to_string(root.join(&path)).ok().map(|text| (path, text))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_tree_is_tidy() {
        if let Err(error) = super::check() {
            panic!("{error}");
        }
    }
}
