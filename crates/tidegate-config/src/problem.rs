//! Problems in a configuration, and how a person sees them: the line, underlined, and what to do.
//!
//! It does not know what is wrong; it only shows it.

use std::fmt::{self, Write as _};
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{Annotation, AnnotationKind, Level, Renderer, Snippet};

/// Bytes of the source.
pub(crate) type Span = Range<usize>;

/// More problems than this are counted, not shown.
const SHOWN_MAX: usize = 50;

/// Whether a report may use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// ANSI colours.
    Coloured,
    /// Plain text.
    #[default]
    Plain,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The configuration does not hold.
    Error,
    /// It holds, but may surprise.
    Warning,
}

/// Places that are further apart are shown one after the other, not as one piece of text.
const LINES_APART_MAX: usize = 1000;

/// The text that the problems are in.
#[derive(Debug)]
pub(crate) struct Source {
    name: String,
    text: String,
    /// Where lines begin: thousands of problems are not each looked for from the top.
    lines: Vec<usize>,
}

impl Source {
    pub(crate) fn new(name: &str, text: String) -> Self {
        let begins = |(newline, _): (usize, &str)| newline + 1;
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(begins)).collect();
        Self { name: name.to_owned(), text, lines }
    }

    /// Which line that is, from 0.
    fn line(&self, at: usize) -> usize {
        self.lines.partition_point(|begin| *begin <= at).saturating_sub(1)
    }

    fn begin(&self, line: usize) -> usize {
        self.lines.get(line).copied().unwrap_or(self.text.len())
    }

    fn are_near(&self, one: &Span, other: &Span) -> bool {
        let (first, last) = (self.line(one.start.min(other.start)), self.line(one.end.max(other.end)));
        last - first <= LINES_APART_MAX
    }

    /// The lines of these places, with the one behind, where the last place may end; and which line is the first.
    fn excerpt<'s>(&self, spans: impl Iterator<Item = &'s Span>) -> (Span, usize) {
        let around = spans.cloned().reduce(|one, other| one.start.min(other.start)..one.end.max(other.end));
        let around = around.unwrap_or_default();
        let (first, last) = (self.line(around.start), self.line(around.end));
        (self.begin(first)..self.begin(last + 2), first)
    }

    fn snippet<'s>(&'s self, places: &[(AnnotationKind, Span, &'s str)]) -> Snippet<'s, Annotation<'s>> {
        let (excerpt, first) = self.excerpt(places.iter().map(|(_, span, _)| span));
        let shown = places.iter().map(|(kind, span, label)| {
            kind.span(span.start - excerpt.start..span.end - excerpt.start).label(*label)
        });
        let text = self.text.get(excerpt.clone()).unwrap_or_default();
        Snippet::source(text).line_start(first + 1).path(&self.name).annotations(shown)
    }
}

/// One thing that is wrong, before it is bound to its source.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    severity: Severity,
    title: String,
    span: Span,
    label: String,
    contexts: Vec<(Span, String)>,
    help: Option<String>,
}

impl Problem {
    pub(crate) fn error(span: Span, title: impl Into<String>) -> Self {
        let title = title.into();
        Self {
            severity: Severity::Error,
            title,
            span,
            label: String::new(),
            contexts: Vec::new(),
            help: None,
        }
    }

    pub(crate) fn warning(span: Span, title: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(span, title) }
    }

    /// What stands beside the underlined text.
    pub(crate) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Another place that has to do with it.
    pub(crate) fn context(mut self, span: Span, label: impl Into<String>) -> Self {
        self.contexts.push((span, label.into()));
        self
    }

    /// What to do.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Calls a key by the flag that set it.
    pub(crate) fn rename(&mut self, key: &str, flag: &str) {
        let (key, flag) = (format!("`{key}`"), format!("`{flag}`"));
        self.title = self.title.replace(&key, &flag);
    }

    pub(crate) fn span(&self) -> Span {
        self.span.clone()
    }

    pub(crate) fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// One problem, bound to its source.
#[derive(Clone)]
pub struct Diagnostic {
    source: Arc<Source>,
    problem: Problem,
}

/// Something legal but surprising.
pub type Warning = Diagnostic;

impl Diagnostic {
    pub(crate) fn new(source: &Arc<Source>, problem: Problem) -> Self {
        Self { source: Arc::clone(source), problem }
    }

    /// How bad it is.
    pub fn severity(&self) -> Severity {
        self.problem.severity
    }

    /// What is wrong, in one line.
    pub fn title(&self) -> &str {
        &self.problem.title
    }

    /// What was found or expected at the place itself; may be empty.
    pub fn label(&self) -> &str {
        &self.problem.label
    }

    /// What to do about it.
    pub fn help(&self) -> Option<&str> {
        self.problem.help.as_deref()
    }

    /// The file, or "command line".
    pub fn file(&self) -> &str {
        &self.source.name
    }

    /// Line and column, both from 1; the column counts characters.
    pub fn position(&self) -> (usize, usize) {
        let start = clamp(&self.source.text, self.problem.span.clone()).start;
        let line = self.source.line(start);
        let before = self.source.text.get(self.source.begin(line)..start).unwrap_or_default();
        (line + 1, before.chars().count() + 1)
    }

    /// As a person reads it, without a final newline.
    pub fn render(&self, style: Style) -> String {
        let (source, problem) = (&self.source, &self.problem);
        let place = |kind, span: &Span, label| (kind, clamp(&source.text, span.clone()), label);
        let primary = place(AnnotationKind::Primary, &problem.span, problem.label.as_str());
        let contexts =
            problem.contexts.iter().map(|(span, label)| place(AnnotationKind::Context, span, label));
        let (near, far): (Vec<_>, Vec<_>) =
            contexts.partition(|context| source.are_near(&primary.1, &context.1));
        let level = match problem.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let together: Vec<_> = std::iter::once(primary).chain(near).collect();
        let mut group = level.primary_title(&problem.title).element(source.snippet(&together));
        for context in &far {
            group = group.element(source.snippet(std::slice::from_ref(context)));
        }
        if let Some(help) = &problem.help {
            group = group.element(Level::HELP.message(help));
        }
        renderer(style).render(&[group])
    }

    fn to_json(&self) -> serde_json::Value {
        let (line, column) = self.position();
        serde_json::json!({
            "severity": match self.severity() { Severity::Error => "error", Severity::Warning => "warning" },
            "file": self.file(),
            "line": line,
            "column": column,
            "message": self.title(),
            "label": self.label(),
            "help": self.help(),
        })
    }
}

fn renderer(style: Style) -> Renderer {
    match style {
        Style::Coloured => Renderer::styled(),
        Style::Plain => Renderer::plain(),
    }
}

impl fmt::Debug for Diagnostic {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.position();
        write!(out, "{:?} at {}:{line}:{column}: {}", self.severity(), self.file(), self.title())
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.render(Style::Plain))
    }
}

/// Inside the text, on character boundaries, and at least one character wide where there is one.
fn clamp(text: &str, span: Span) -> Span {
    let start = text.floor_char_boundary(span.start.min(text.len()));
    let end = text.ceil_char_boundary(span.end.clamp(start, text.len()));
    if start < end {
        return start..end;
    }
    match text.get(start..).and_then(|rest| rest.chars().next()) {
        Some(next) if next != '\n' && next != '\r' => start..start + next.len_utf8(),
        _ => start..start,
    }
}

/// Everything wrong with a configuration, in the order of the text.
#[derive(Clone, Debug)]
pub struct Report {
    diagnostics: Vec<Diagnostic>,
}

impl Report {
    pub(crate) fn new(source: &Arc<Source>, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| (problem.severity == Severity::Warning, problem.span.start));
        Self { diagnostics: problems.into_iter().map(|problem| Diagnostic::new(source, problem)).collect() }
    }

    /// Errors first, then warnings; each in the order of the text. At least one error.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// How many of them are errors.
    pub fn error_count(&self) -> usize {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.severity() == Severity::Error).count()
    }

    /// As a person reads it, with a last line that counts.
    pub fn render(&self, style: Style) -> String {
        let mut text = String::new();
        for diagnostic in self.diagnostics.iter().take(SHOWN_MAX) {
            let _ = writeln!(text, "{}\n", diagnostic.render(style));
        }
        let hidden = self.diagnostics.len().saturating_sub(SHOWN_MAX);
        if hidden > 0 {
            let _ = writeln!(text, "... and {hidden} more\n");
        }
        let _ = write!(text, "{}", self.count());
        text
    }

    /// A list of objects: severity, file, line, column, message, label, help.
    pub fn to_json(&self) -> serde_json::Value {
        self.diagnostics.iter().map(Diagnostic::to_json).collect()
    }

    fn count(&self) -> String {
        let file = self.diagnostics.first().map_or("", Diagnostic::file);
        let errors = self.error_count();
        let warnings = self.diagnostics.len() - errors;
        let mut text = format!("{file}: {errors} error{}", plural(errors));
        if warnings > 0 {
            let _ = write!(text, ", {warnings} warning{}", plural(warnings));
        }
        text
    }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.render(Style::Plain))
    }
}

impl std::error::Error for Report {}

#[cfg(test)]
mod tests {
    use super::*;

    fn diagnostic(text: &str, span: Span, context: Span) -> Diagnostic {
        let problem = Problem::error(span, "wrong").label("here").context(context, "there").help("mend it");
        Diagnostic::new(&Arc::new(Source::new("test.toml", text.to_owned())), problem)
    }

    #[test]
    fn what_is_shown_does_not_depend_on_what_stands_around_it() {
        let text = "one\ntwö\r\n\n[four]\nfive = 5\nsix\n\neight";
        for start in 0..=text.len() {
            for end in start..=text.len() {
                let found = diagnostic(text, start..end, 5..7);
                let place = |kind: AnnotationKind, span, label| kind.span(clamp(text, span)).label(label);
                let annotations = [
                    place(AnnotationKind::Primary, start..end, "here"),
                    place(AnnotationKind::Context, 5..7, "there"),
                ];
                let whole = Snippet::source(text).path("test.toml").annotations(annotations);
                let group = Level::ERROR.primary_title("wrong").element(whole);
                let expected =
                    renderer(Style::Plain).render(&[group.element(Level::HELP.message("mend it"))]);
                assert_eq!(found.render(Style::Plain), expected, "{start}..{end}");
                let before = &text[..clamp(text, start..end).start];
                assert_eq!(found.position().0, before.matches('\n').count() + 1, "{start}..{end}");
            }
        }
    }

    #[test]
    fn a_problem_takes_its_own_lines_of_a_long_text_and_no_others() {
        let text = "line\n".repeat(100_000);
        let source = Source::new("test.toml", text.clone());
        assert_eq!(source.excerpt(std::iter::once(&(250_001..250_003))), (250_000..250_010, 50_000));
        let shown = diagnostic(&text, 250_001..250_003, 0..4).to_string();
        for words in ["test.toml:50001:2", "here", "test.toml:1:1", "there", "mend it"] {
            assert!(shown.contains(words), "{words}: {shown}");
        }
        assert!(shown.lines().count() < 15, "{shown}");
    }
}
