//! Lines for the person at the terminal: on standard error, coloured only there, and never when `NO_COLOR` is set.

use std::io::{self, IsTerminal, Write};
use tidegate_config::Style;
use tidegate_control::{Level, Voice};

/// What the control plane says, said here.
pub(crate) fn voice() -> Voice {
    Voice::new(say)
}

pub(crate) fn say(level: Level, line: &str) {
    let (word, colour) = match level {
        Level::Error => ("error", "\x1b[1;31m"),
        Level::Note | Level::Report => return print_error(line),
        Level::Warning => ("warning", "\x1b[1;33m"),
    };
    match style() {
        Style::Coloured => print_error(&format!("{colour}{word}\x1b[0m: {line}")),
        Style::Plain => print_error(&format!("{word}: {line}")),
    }
}

/// Whoever closed standard error does not want to hear it.
pub(crate) fn print_error(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// To standard output, for people and scripts alike. Whoever stops reading (`| head`) has read enough.
pub(crate) fn print(text: &str) -> io::Result<()> {
    print_to_reader(text).map(|_| ())
}

/// The same, where more is to come; `false`: nobody reads it.
pub(crate) fn print_to_reader(text: &str) -> io::Result<bool> {
    match write_out(text) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        written => written.map(|()| true),
    }
}

fn write_out(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// See <https://no-color.org>.
pub(crate) fn style() -> Style {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if !unwanted && io::stderr().is_terminal() { Style::Coloured } else { Style::Plain }
}
