//! `tidegate run` and `tidegate proxy`: serve, from a file or from flags, until a signal ends it.

use crate::arguments::{ProxyArguments, RunArguments};
use crate::files;
use crate::outcome::Failure;
use crate::terminal;
use std::path::Path;
use tidegate_config::{Config, Flag, Warning};
use tidegate_control::{AdminChoice, Control, Loaded, Options, Source};

pub(crate) fn run(arguments: &RunArguments) -> Result<(), Failure> {
    let path = files::find(arguments.file.path.as_deref())?;
    let (config, warnings) = files::read(&path)?;
    let source: Source = Some(Box::new(move || read_again(&path)));
    serve(config, &warnings, AdminChoice::Exactly, &source)
}

pub(crate) fn proxy(arguments: &ProxyArguments) -> Result<(), Failure> {
    let (config, warnings) = Config::from_flags(&flags(arguments))?;
    let admin = if arguments.admin.is_some() { AdminChoice::Exactly } else { AdminChoice::OrAnyPort };
    serve(config, &warnings, admin, &None)
}

fn serve(config: Config, warnings: &[Warning], admin: AdminChoice, source: &Source) -> Result<(), Failure> {
    for warning in warnings {
        terminal::print_error(&warning.render(terminal::style()));
    }
    let control = Control::start(config, Options { voice: terminal::voice(), admin })?;
    Ok(control.serve(source)?)
}

fn read_again(path: &Path) -> Result<Loaded, String> {
    match files::read(path) {
        Ok((config, warnings)) => {
            let warnings = warnings.iter().map(|warning| warning.render(terminal::style())).collect();
            Ok(Loaded { config, warnings })
        }
        Err(Failure::Wrong(report)) => Err(report.render(terminal::style())),
        Err(other) => Err(format!("error: {other}")),
    }
}

fn flags(arguments: &ProxyArguments) -> Vec<Flag<'_>> {
    let once = [
        ("--balance", "balance", &arguments.balance),
        ("--health", "health", &arguments.health),
        ("--workers", "workers", &arguments.workers),
        ("--access-log", "log.access", &arguments.access_log),
        ("--admin", "admin", &arguments.admin),
    ];
    let listen = arguments.listen.iter().map(|value| Flag { name: "--listen", key: "listen", value });
    let to = arguments.to.iter().map(|value| Flag { name: "--to", key: "to", value });
    let once = once
        .into_iter()
        .filter_map(|(name, key, value)| value.as_deref().map(|value| Flag { name, key, value }));
    listen.chain(to).chain(once).collect()
}
