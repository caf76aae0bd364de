//! `tidegate demo`: endpoints of its own, one slow and one flaky, behind the real proxy, with load and a live view.
//!
//! Everything runs in this process, on loopback, at free ports. The numbers shown are those of the proxy's own metrics.

mod algorithms; // what a viewer can switch between
mod endpoints; // servers that behave, dawdle and fail
mod live; // the view in the terminal
mod load; // clients that keep asking
mod reading; // numbers, read off the metrics
mod report; // lines, the table at the end, JSON
mod screen; // what the view looks like

use crate::arguments::DemoArguments;
use crate::outcome::Failure;
use crate::terminal;
use endpoints::{Endpoint, Temper};
use load::Load;
use reading::{Meter, Reading};
use report::Summary;
use screen::Left;
use std::io::{self, IsTerminal};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tidegate_config::{Config, Flag};
use tidegate_control::{AdminChoice, Control, Options, Voice};

/// The servers behind the proxy, in the order of the table.
const CAST: [(&str, Temper); 4] = [
    ("steady-1", Temper::Steady),
    ("steady-2", Temper::Steady),
    ("slow", Temper::Slow),
    ("flaky", Temper::Flaky),
];

/// Where the proxy listens unless told.
const ANY_PORT: &str = "127.0.0.1:0";

/// What the proxy said last, for the live view.
type LastWord = Arc<Mutex<String>>;

/// The proxy with its servers and its clients.
struct Stage {
    arguments: DemoArguments,
    addresses: Vec<String>,
    control: Control,
    load: Load,
    meter: Meter,
    started: Instant,
}

pub(crate) fn demo(arguments: &DemoArguments) -> Result<(), Failure> {
    let live = !arguments.json && io::stdout().is_terminal();
    let last_word = LastWord::default();
    let voice = match (live, arguments.json) {
        (true, _) => remembering(&last_word),
        (false, true) => Voice::silent(),
        (false, false) => terminal::voice(),
    };
    let mut stage = Stage::set(arguments, voice)?;
    let left = if live {
        live::show(&mut stage, &last_word)?
    } else {
        report::progress(&mut stage, arguments.json)?;
        Left::AsFound
    };
    let summary = stage.strike();
    if left == Left::Gone {
        return Ok(()); // nobody to tell it to
    }
    terminal::print(&if arguments.json { summary.to_json() } else { summary.to_text() })?;
    Ok(())
}

fn remembering(last_word: &LastWord) -> Voice {
    let last_word = Arc::clone(last_word);
    Voice::new(move |_, line| line.clone_into(&mut last_word.lock().unwrap_or_else(PoisonError::into_inner)))
}

impl Stage {
    fn set(arguments: &DemoArguments, voice: Voice) -> Result<Self, Failure> {
        let endpoints = CAST.iter().map(|(name, temper)| Endpoint::start(name, *temper));
        let endpoints = endpoints.collect::<io::Result<Vec<_>>>()?;
        let addresses: Vec<_> = endpoints.iter().map(|endpoint| endpoint.address.clone()).collect();
        let (config, _) = Config::from_flags(&flags(arguments, &addresses))?;
        let admin = if arguments.admin.is_some() { AdminChoice::Exactly } else { AdminChoice::OrAnyPort };
        let control = Control::start(config, Options { voice, admin })?;
        let status = control.status();
        let proxy = status.listeners.first().map(|listener| listener.address.clone()).unwrap_or_default();
        let load = Load::start(&proxy)?;
        let meter = Meter::new(Arc::clone(control.registry()), endpoints);
        Ok(Self { arguments: arguments.clone(), addresses, control, load, meter, started: clock() })
    }

    /// The algorithm in force, as the status calls it.
    fn algorithm(&self) -> &'static str {
        self.control.status().clusters.first().map_or("none", |cluster| cluster.balance)
    }

    /// Puts another algorithm in force, as a reload of a file would.
    fn switch_to(&mut self, algorithm: &str) -> Result<(), Failure> {
        self.arguments.balance = Some(algorithm.to_owned());
        let (config, _) = Config::from_flags(&flags(&self.arguments, &self.addresses))?;
        self.control.reload(config)?;
        Ok(())
    }

    /// Where to look on with other tools.
    fn addresses(&self) -> String {
        let status = self.control.status();
        let proxy = status.listeners.first().map(|listener| listener.address.as_str()).unwrap_or_default();
        match self.control.admin_address() {
            Some(admin) => format!("proxy http://{proxy}, admin http://{admin} (/metrics, /status)"),
            None => format!("proxy http://{proxy}"),
        }
    }

    fn elapsed(&self) -> Duration {
        clock().saturating_duration_since(self.started)
    }

    fn is_over(&self) -> bool {
        self.left() == Duration::ZERO
    }

    /// Until the time is over.
    fn left(&self) -> Duration {
        self.arguments.ends_after.map_or(Duration::MAX, |end| end.saturating_sub(self.elapsed()))
    }

    fn read(&self) -> Reading {
        self.meter.read(self.elapsed(), &self.control.status())
    }

    /// Ends everything; what happened until the end is the summary.
    fn strike(self) -> Summary {
        self.load.stop();
        let last = self.read();
        let summary = Summary::new(&last, self.load.broken());
        self.control.stop();
        summary
    }
}

/// What is not named is the demo's own: whoever mistyped a flag did not type these.
fn flags<'a>(arguments: &'a DemoArguments, addresses: &'a [String]) -> Vec<Flag<'a>> {
    let own = |key, value| Flag { name: "", key, value };
    let to = addresses.iter().map(|address| own("to", address));
    let listen = arguments.listen.is_none().then(|| own("listen", ANY_PORT));
    let optional = [
        ("--listen", "listen", &arguments.listen),
        ("--balance", "balance", &arguments.balance),
        ("--workers", "workers", &arguments.workers),
        ("--admin", "admin", &arguments.admin),
    ];
    let given = optional
        .into_iter()
        .filter_map(|(name, key, value)| value.as_deref().map(|value| Flag { name, key, value }));
    given.chain(listen).chain(to).chain([own("health", "tcp")]).collect()
}

#[allow(clippy::disallowed_methods, reason = "the program reads the clock")]
fn clock() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_quotes_what_was_typed_and_nothing_else() {
        let arguments = DemoArguments {
            ends_after: None,
            json: true,
            balance: Some("fastest".to_owned()),
            listen: None,
            workers: Some("2".to_owned()),
            admin: None,
        };
        let Err(Failure::Wrong(report)) = Stage::set(&arguments, Voice::silent()) else { panic!("it holds") };
        let said = report.to_string();
        assert!(said.contains("1 | --balance fastest --workers 2\n"), "{said}");
        assert!(!said.contains("--to") && !said.contains("--health"), "{said}");
    }

    #[test]
    fn every_algorithm_of_the_demo_can_be_switched_to_while_clients_keep_asking() {
        let arguments = DemoArguments {
            ends_after: None,
            json: true,
            balance: None,
            listen: None,
            workers: Some("1".to_owned()),
            admin: Some("off".to_owned()),
        };
        let mut stage = Stage::set(&arguments, Voice::silent()).unwrap();
        assert_eq!(stage.algorithm(), "adaptive");
        for (_, name) in algorithms::ALGORITHMS.iter().rev() {
            stage.switch_to(name).unwrap();
            assert_eq!(stage.algorithm(), *name);
        }
        assert!(stage.load.broken() == 0);
        stage.strike();
    }
}
