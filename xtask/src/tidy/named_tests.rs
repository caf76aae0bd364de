//! The table of hostile inputs names tests, and each of them exists. Knows how a test is written, not what it says.

use super::Problem;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const TABLE: &str = "docs/design/hostile-inputs.md";

pub(super) fn problems(texts: &[(PathBuf, String)]) -> Vec<Problem> {
    let sources =
        texts.iter().filter(|(path, _)| path.extension().is_some_and(|extension| extension == "rs"));
    let known: BTreeSet<&str> = sources.flat_map(|(_, text)| functions(text)).collect();
    let table = texts.iter().find(|(path, _)| path == Path::new(TABLE)).map_or("", |(_, text)| text);
    let mut problems = Vec::new();
    for (number, line) in table.lines().enumerate() {
        for name in names(line).filter(|name| !known.contains(name)) {
            problems.push(Problem::new(Path::new(TABLE), number + 1, format!("there is no test {name}")));
        }
    }
    problems
}

fn functions(source: &str) -> impl Iterator<Item = &str> {
    source.lines().filter_map(|line| line.trim_start().strip_prefix("fn ")?.split('(').next())
}

/// What stands in backticks and reads like the sentence that a test's name is.
fn names(line: &str) -> impl Iterator<Item = &str> {
    let is_name = |text: &&str| {
        text.matches('_').count() >= 3
            && text.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    line.split('`').skip(1).step_by(2).filter(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_no_test_has_is_a_problem() {
        let test = (PathBuf::from("e2e/tests/a.rs"), "#[test]\nfn it_is_as_it_should_be() {}\n".to_owned());
        let row = |name: &str| (PathBuf::from(TABLE), format!("| A1 | `a_key` `limit.x` | `{name}` |\n"));
        assert_eq!(problems(&[test.clone(), row("it_is_as_it_should_be")]), []);
        let problems = problems(&[test, row("it_is_as_it_was_before")]);
        assert_eq!(problems.len(), 1);
        assert!(problems[0].what.contains("it_is_as_it_was_before"));
    }
}
