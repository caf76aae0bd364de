//! Problems in a configuration, and how a person sees them: the line, underlined, and what to do.
//!
//! It does not know what is wrong; it only shows it.

use std::fmt::{self, Write as _};
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

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

/// The text that the problems are in.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) text: String,
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
        let before = self.source.text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        (before.matches('\n').count() + 1, column)
    }

    /// As a person reads it, without a final newline.
    pub fn render(&self, style: Style) -> String {
        let text = &self.source.text;
        let problem = &self.problem;
        let primary = AnnotationKind::Primary.span(clamp(text, problem.span.clone())).label(&problem.label);
        let contexts = problem
            .contexts
            .iter()
            .map(|(span, label)| AnnotationKind::Context.span(clamp(text, span.clone())).label(label));
        let snippet = Snippet::source(text).path(&self.source.name).annotation(primary).annotations(contexts);
        let level = match problem.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = level.primary_title(&problem.title).element(snippet);
        if let Some(help) = &problem.help {
            group = group.element(Level::HELP.message(help));
        }
        let renderer = match style {
            Style::Coloured => Renderer::styled(),
            Style::Plain => Renderer::plain(),
        };
        renderer.render(&[group])
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
