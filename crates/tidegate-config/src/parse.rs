//! The two ways in: a text, or flags. Both become one document and pass the same checks.
//!
//! It does not open files and does not read the environment.

use std::sync::Arc;

use crate::check::check;
use crate::document::{Node, read_toml};
use crate::files::{self, Look};
use crate::flags::{self, Flag};
use crate::problem::{Diagnostic, Problem, Report, Source};
use crate::read::read;
use crate::walk::Walk;
use crate::{Config, Warning};

impl Config {
    /// Reads and checks a file.
    ///
    /// `name` is what errors call the file; `env` looks a variable up for `${NAME}`. All errors come at once. No file that is
    /// named is looked into.
    pub fn parse(
        name: &str,
        text: &str,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(Self, Vec<Warning>), Report> {
        parse(name, text, env, &|_| Ok(None))
    }

    /// As [`Self::parse`], of bytes that should be UTF-8; and has those files looked into that have to hold something.
    pub fn parse_bytes(
        name: &str,
        bytes: &[u8],
        env: &dyn Fn(&str) -> Option<String>,
        look: Look<'_>,
    ) -> Result<(Self, Vec<Warning>), Report> {
        match std::str::from_utf8(bytes) {
            Ok(text) => parse(name, text, env, look),
            Err(error) => Err(not_utf8(name, bytes, error.valid_up_to())),
        }
    }

    /// Checks what the command line says; errors underline the flag.
    pub fn from_flags(flags: &[Flag<'_>]) -> Result<(Self, Vec<Warning>), Report> {
        let (text, document) = flags::document(flags);
        let source = Arc::new(Source::new("command line", text));
        finish(&source, Vec::new(), |walk| {
            let config = read_and_check(walk, Some(&document));
            for flag in flags.iter().filter(|flag| !flag.name.is_empty()) {
                walk.problems.iter_mut().for_each(|problem| problem.rename(flag.key, flag.name));
            }
            config
        })
    }
}

fn parse(
    name: &str,
    text: &str,
    env: &dyn Fn(&str) -> Option<String>,
    look: Look<'_>,
) -> Result<(Config, Vec<Warning>), Report> {
    let source = Arc::new(Source::new(name, text.to_owned()));
    let mut problems = Vec::new();
    let document = read_toml(text, env, &mut problems);
    finish(&source, problems, |walk| {
        let config = read_and_check(walk, document.as_ref());
        files::look(walk, look);
        config
    })
}

fn read_and_check(walk: &mut Walk, document: Option<&Node>) -> Option<Config> {
    let draft = read(walk, document?)?;
    Some(check(walk, draft))
}

fn finish(
    source: &Arc<Source>,
    problems: Vec<Problem>,
    config: impl FnOnce(&mut Walk) -> Option<Config>,
) -> Result<(Config, Vec<Warning>), Report> {
    let mut walk = Walk::new(problems);
    match config(&mut walk) {
        Some(config) if walk.error_count() == 0 => {
            walk.problems.sort_by_key(|problem| problem.span().start);
            let warnings =
                walk.problems.into_iter().map(|problem| Diagnostic::new(source, problem)).collect();
            Ok((config, warnings))
        }
        _ => Err(Report::new(source, walk.problems)),
    }
}

fn not_utf8(name: &str, bytes: &[u8], valid: usize) -> Report {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let source = Arc::new(Source::new(name, text));
    let problem = Problem::error(valid..valid, "this is not UTF-8")
        .label(format!("the byte {:#04x}", bytes.get(valid).copied().unwrap_or_default()))
        .help("save the file as UTF-8");
    Report::new(&source, vec![problem])
}
