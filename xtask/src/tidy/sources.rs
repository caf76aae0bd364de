//! Rules about single files: headers, length, names, `unsafe`, ignored tests, paths of somebody's machine.
//! Knows one file at a time.

use super::Problem;
use super::blank::code_only;
use std::path::Path;

const LINES_MAX: usize = 999;
const HEADER_WORDS_MIN: usize = 4;
const NAMELESS: [&str; 6] = ["common", "globals", "helpers", "misc", "types", "utils"];
const LIFTING: [&str; 2] = ["allow(unsafe_code", "expect(unsafe_code"];
/// Written in two halves, so that this file obeys the rule too.
const MACHINE_PATHS: [&str; 4] =
    [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!(".py", "env"), concat!("/target-", "helpers")];

pub(super) fn problems(path: &Path, text: &str) -> Vec<Problem> {
    let mut problems = machine_paths(path, text);
    if path.extension().is_some_and(|extension| extension == "rs") {
        let code = code_only(text);
        problems.extend(header(path, text));
        problems.extend(length(path, text));
        problems.extend(name(path));
        problems.extend(unsafe_code(path, &code));
        problems.extend(ignored_tests(path, &code));
    }
    problems
}

fn header(path: &Path, text: &str) -> Option<Problem> {
    let mut lines = text.lines().take_while(|line| line.starts_with("//!")).peekable();
    if lines.peek().is_none() {
        return Some(Problem::new(path, 1, "the first line is no `//!` header: say what the file does"));
    }
    let words = lines.flat_map(str::split_whitespace).filter(|word| *word != "//!").count();
    (words < HEADER_WORDS_MIN).then(|| Problem::new(path, 1, "the `//!` header says nothing"))
}

fn length(path: &Path, text: &str) -> Option<Problem> {
    let lines = text.lines().count();
    (lines > LINES_MAX)
        .then(|| Problem::new(path, 0, format!("{lines} lines: there is a missing noun in it")))
}

fn name(path: &Path) -> Option<Problem> {
    let stems = || path.iter().filter_map(|part| Path::new(part).file_stem());
    let name = NAMELESS.iter().find(|name| stems().any(|stem| stem == **name))?;
    Some(Problem::new(path, 0, format!("`{name}` names nothing: what is in it?")))
}

fn unsafe_code(path: &Path, code: &str) -> Vec<Problem> {
    if path.starts_with("crates/tidegate-sys") {
        return Vec::new();
    }
    let words = lines_with(code, |line| has_word(line, concat!("unsa", "fe")));
    let lifted = lines_with(code, |line| LIFTING.iter().any(|lint| line.contains(lint)));
    words
        .chain(lifted)
        .map(|line| Problem::new(path, line, "only tidegate-sys may hold unsafe code"))
        .collect()
}

fn ignored_tests(path: &Path, code: &str) -> Vec<Problem> {
    lines_with(code, |line| line.contains("#[ignore]"))
        .map(|line| Problem::new(path, line, "an ignored test needs its reason: #[ignore = \"…\"]"))
        .collect()
}

fn machine_paths(path: &Path, text: &str) -> Vec<Problem> {
    let ours = |line: &str| MACHINE_PATHS.iter().any(|machine| line.contains(machine));
    lines_with(text, ours).map(|line| Problem::new(path, line, "a path of somebody's machine")).collect()
}

fn lines_with(text: &str, wanted: impl Fn(&str) -> bool) -> impl Iterator<Item = usize> {
    text.lines().enumerate().filter(move |(_, line)| wanted(line)).map(|(index, _)| index + 1)
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(|character: char| !character.is_alphanumeric() && character != '_').any(|part| part == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "//! Says what it does here.\n";

    fn complaint(path: &str, text: &str) -> String {
        problems(Path::new(path), text).iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn a_file_that_obeys_has_no_problem() {
        let text = format!("{HEADER}fn f() {{}} // unsafe is only a word here: \"unsafe\"\n");
        assert_eq!(complaint("crates/tidegate-http/src/head.rs", &text), "");
    }

    #[test]
    fn each_rule_can_fail() {
        let long = format!("{HEADER}{}", "\n".repeat(LINES_MAX));
        for (path, text, expected) in [
            ("src/a.rs", "fn f() {}\n", "no `//!` header"),
            ("src/a.rs", "//! Placeholder.\n", "says nothing"),
            ("src/a.rs", long.as_str(), "missing noun"),
            ("src/utils.rs", HEADER, "`utils` names nothing"),
            ("src/helpers/a.rs", HEADER, "`helpers` names nothing"),
            (
                "src/a.rs",
                "//! Says what it does here.\nfn f() { unsafe { g() } }\n",
                "a.rs:2: only tidegate-sys",
            ),
            (
                "src/a.rs",
                "//! Says what it does here.\n#![allow(unsafe_code)]\n",
                "a.rs:2: only tidegate-sys",
            ),
            ("src/a.rs", "//! Says what it does here.\n#[ignore]\nfn f() {}\n", "needs its reason"),
            ("README.md", concat!("see /wo", "rk/somewhere"), "somebody's machine"),
        ] {
            let found = complaint(path, text);
            assert!(found.contains(expected), "{path} {expected:?}: {found:?}");
        }
    }

    #[test]
    fn unsafe_code_is_welcome_in_tidegate_sys_only() {
        let text = format!("{HEADER}fn f() {{ unsafe {{ g() }} }}\n");
        assert_eq!(complaint("crates/tidegate-sys/src/lib.rs", &text), "");
        assert!(complaint("crates/tidegate-system/src/lib.rs", &text).contains("unsafe"));
    }

    #[test]
    fn an_ignored_test_with_a_reason_is_fine() {
        assert_eq!(complaint("src/a.rs", &format!("{HEADER}#[ignore = \"needs root\"]\n")), "");
    }
}
