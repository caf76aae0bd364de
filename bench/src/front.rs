//! The front door compared: HTTP/2 in the clear to HTTP/1.1 behind it, TLS handshakes, full and resumed, and large bodies over TLS.
//! Knows the order and the page; each peer and the client are files of their own.

mod peers;
mod tls;

use crate::process::{Core, Process, pinned};
use crate::run::{answer, progress, raise_descriptor_limit};
use peers::{AccessLog, Peer, Running, Stage};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tls::{Call, Caller};

pub(crate) const USAGE: &str = "\
Measures HTTP/2 and TLS with clients side by side: Tidegate, nginx, HAProxy, nghttpx.

  --tidegate PATH   the binary to measure (`cargo xtask bench` builds and passes it)
  --rounds N        rounds, in which the peers take turns (3)
  --requests N      HTTP/2 requests a round (60000); a hundredth as many handshakes
  --out FOLDER      where the results are kept (bench/results); --no-out keeps none";

const IDLE_CONNECTIONS: u32 = 500;

#[derive(Debug)]
struct Options {
    tidegate: PathBuf,
    rounds: u32,
    requests: u32,
    out: Option<PathBuf>,
}

/// What is measured, in the order of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Load {
    Http2,
    /// The same, with a line in a log for each request.
    Http2Logged,
    Full,
    Resumed,
    Large,
}

impl Load {
    const ALL: [Self; 5] = [Self::Http2, Self::Http2Logged, Self::Full, Self::Resumed, Self::Large];

    fn is_http2(self) -> bool {
        matches!(self, Self::Http2 | Self::Http2Logged)
    }

    fn title(self) -> &'static str {
        match self {
            Self::Http2 => "HTTP/2 to HTTP/1.1, 128-byte answers, 16 connections x 32 streams",
            Self::Http2Logged => "The same with an access log",
            Self::Full => "TLS 1.3, full handshake and one request",
            Self::Resumed => "TLS 1.3, resumed handshake and one request",
            Self::Large => "1 MiB answers over TLS 1.3, 16 connections",
        }
    }
}

pub(crate) fn command(words: &[&str]) -> Result<ExitCode, String> {
    if words.iter().any(|word| matches!(*word, "--help" | "-h")) {
        println!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    }
    let options = parse(words)?;
    raise_descriptor_limit();
    let page = measure(&options)?;
    println!("{page}");
    if let Some(folder) = &options.out {
        let name = format!(
            "{}-{}-front.md",
            answer("date", &["-u", "+%Y-%m-%d"]),
            answer("git", &["rev-parse", "--short", "HEAD"])
        );
        let failed = |error| format!("cannot keep the results in {}: {error}", folder.display());
        std::fs::create_dir_all(folder).map_err(failed)?;
        std::fs::write(folder.join(name), &page).map_err(failed)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn parse(words: &[&str]) -> Result<Options, String> {
    let (mut tidegate, mut rounds, mut requests) = (None, 3, 60_000);
    let mut out = Some(PathBuf::from("bench/results"));
    let mut words = words.iter().copied();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        let number = |text: &str| text.parse().map_err(|_| format!("{word}: `{text}` is no number"));
        match word {
            "--tidegate" => tidegate = Some(PathBuf::from(value()?)),
            "--rounds" => rounds = number(value()?)?,
            "--requests" => requests = number(value()?)?,
            "--out" => out = Some(PathBuf::from(value()?)),
            "--no-out" => out = None,
            _ => return Err(format!("`{word}` is not understood\n\n{USAGE}")),
        }
    }
    let tidegate = tidegate.filter(|path| path.is_file()).ok_or("--tidegate PATH has to name a binary")?;
    Ok(Options { tidegate, rounds: rounds.max(1), requests: requests.max(1000), out })
}

fn measure(options: &Options) -> Result<String, String> {
    let stage = Stage::set(options.tidegate.clone())?;
    let _serving = stage.start_endpoints()?;
    let all = |log| Peer::ALL.into_iter().map(|peer| stage.start(peer, log)).collect::<Result<Vec<_>, _>>();
    let (running, logging) = (all(AccessLog::Off)?, all(AccessLog::On)?);
    let mut page = String::new();
    let _ = writeln!(
        page,
        "# The front door\n\nOne worker each on core 0, load and endpoints on core 1; loopback. CPU time of the subject from \
         /proc, for one request (and its handshake), in microseconds: the median of {} rounds in which all take turns, with \
         the lowest and the highest, and the kernel's part of all rounds, by its ticks. The ratio is to Tidegate: above 1, Tidegate needs less.\n",
        options.rounds
    );
    for load in Load::ALL {
        let running = if load == Load::Http2Logged { &logging } else { &running };
        table(&mut page, load, running, options, &stage.caller)?;
    }
    drop((running, logging));
    idle(&mut page, &stage)?;
    Ok(page)
}

fn table(
    page: &mut String,
    load: Load,
    running: &[Running],
    options: &Options,
    caller: &Caller,
) -> Result<(), String> {
    let compared: Vec<&Running> =
        running.iter().filter(|one| load.is_http2() || one.peer.is_compared_by_http1()).collect();
    let mut rounds: Vec<Vec<f64>> = vec![Vec::new(); compared.len()];
    for one in &compared {
        once(load, one, options.requests / 10, caller)?; // warm
    }
    let before: Vec<_> = compared.iter().map(|one| one.process.cpu_ticks()).collect();
    for round in 1..=options.rounds {
        progress(&format!("{}: round {round} of {}", load.title(), options.rounds));
        for (one, samples) in compared.iter().zip(&mut rounds) {
            samples.push(once(load, one, options.requests, caller)?);
        }
    }
    let medians: Vec<f64> = rounds.iter_mut().map(|samples| median(samples)).collect();
    let kernels = compared.iter().zip(before).map(|(one, before)| {
        let (program, kernel) = one.process.cpu_ticks();
        let (program, kernel) = (program - before.0, kernel - before.1);
        kernel as f64 / (program + kernel).max(1) as f64
    });
    let kernels: Vec<f64> = kernels.collect();
    let ours = medians.first().copied().unwrap_or(f64::NAN);
    let _ = writeln!(
        page,
        "## {}\n\n| | CPU µs | lowest–highest | kernel | x Tidegate |\n|---|---|---|---|---|",
        load.title()
    );
    for (((one, samples), median), kernel) in compared.iter().zip(&rounds).zip(&medians).zip(kernels) {
        let (low, high) = (samples[0], samples[samples.len() - 1]); // sorted by the median
        let name = one.peer.name();
        let _ = writeln!(
            page,
            "| {name} | {median:.1} | {low:.1}–{high:.1} | {:.1} | {:.2} |",
            median * kernel,
            median / ours
        );
    }
    page.push('\n');
    Ok(())
}

/// CPU time for one, in microseconds.
fn once(load: Load, one: &Running, requests: u32, caller: &Caller) -> Result<f64, String> {
    let before = one.process.cpu_ns();
    let count = match load {
        Load::Http2 | Load::Http2Logged => http2(one, requests)?,
        Load::Full => handshakes(one, requests / 100, &caller.forgetful(), false)?,
        Load::Resumed => handshakes(one, requests / 100, &caller.mindful(), true)?,
        Load::Large => large(one, requests / 60)?,
    };
    Ok((one.process.cpu_ns() - before) as f64 / 1000.0 / f64::from(count))
}

fn http2(one: &Running, requests: u32) -> Result<u32, String> {
    let output = pinned(Core::Loading, Path::new("h2load"))
        .args(["-n", &requests.to_string(), "-c", "16", "-m", "32", "-t", "1"])
        .arg(format!("http://{}/small", one.clear))
        .output()
        .map_err(|error| format!("h2load does not start: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let all_well = text.contains(&format!("status codes: {requests} 2xx"));
    if all_well {
        Ok(requests)
    } else {
        Err(format!("{} does not serve HTTP/2 well:\n{text}", one.peer.name()))
    }
}

fn handshakes(one: &Running, count: u32, caller: &Caller, expects_resumed: bool) -> Result<u32, String> {
    let config = caller.config();
    for number in 0..count {
        let (_, resumed) = Caller::call(&config, one.tls)?;
        if number > 1 && resumed != expects_resumed {
            return Err(format!("{}: resumed is {resumed}", one.peer.name()));
        }
    }
    Ok(count)
}

/// By HTTP/1.1 over connections of curl's.
fn large(one: &Running, count: u32) -> Result<u32, String> {
    let urls = count.div_ceil(16).max(1);
    let target = format!("https://localhost:{}/large?[1-{urls}]", one.tls.port());
    let mut curls: Vec<_> = (0..16)
        .map(|_| {
            pinned(Core::Loading, Path::new("curl"))
                .args(["-s", "-k", "--http1.1", "--resolve"])
                .args([
                    &format!("localhost:{}:127.0.0.1", one.tls.port()),
                    &target,
                    "-o",
                    "/dev/null",
                    "--fail",
                ])
                .spawn()
                .map_err(|error| format!("curl does not start: {error}"))
        })
        .collect::<Result<_, _>>()?;
    for curl in &mut curls {
        let status = curl.wait().map_err(|error| error.to_string())?;
        if !status.success() {
            return Err(format!("{}: curl ended with {status}", one.peer.name()));
        }
    }
    Ok(urls * 16)
}

/// By HTTP/1.1 and by HTTP/2, each once asked for something.
fn idle(page: &mut String, stage: &Stage) -> Result<(), String> {
    let _ = writeln!(
        page,
        "## Memory of an idle TLS connection, after one request\n\n| | HTTP/1.1, KiB | HTTP/2, KiB |\n|---|---|---|"
    );
    let caller = stage.caller.forgetful();
    let (http1, http2) = (caller.config(), caller.by_http2().config());
    for peer in Peer::ALL {
        progress(&format!("{}: idle TLS connections", peer.name()));
        let by_http1 = if peer.is_compared_by_http1() {
            format!("{:.1}", each_kib(stage, peer, |to| Ok(Caller::call(&http1, to)?.0))?)
        } else {
            String::new()
        };
        let by_http2 = each_kib(stage, peer, |to| Caller::call_by_http2(&http2, to))?;
        let _ = writeln!(page, "| {} | {by_http1} | {by_http2:.1} |", peer.name());
    }
    Ok(())
}

fn each_kib(
    stage: &Stage,
    peer: Peer,
    call: impl Fn(SocketAddr) -> Result<Call, String>,
) -> Result<f64, String> {
    let one = stage.start(peer, AccessLog::Off)?; // afresh: what others left in its heap would hide these
    drop(call(one.tls)?);
    let before = settled_kib(&one.process);
    let calls: Vec<_> = (0..IDLE_CONNECTIONS).map(|_| call(one.tls)).collect::<Result<_, _>>()?;
    let after = settled_kib(&one.process);
    drop(calls);
    Ok(after.saturating_sub(before) as f64 / f64::from(IDLE_CONNECTIONS))
}

/// Resident memory two seconds later: what is kept for a moment is gone.
fn settled_kib(process: &Process) -> u64 {
    std::thread::sleep(Duration::from_secs(2));
    process.resident_kib()
}

/// Sorts them.
fn median(samples: &mut [f64]) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied().unwrap_or(f64::NAN)
}
