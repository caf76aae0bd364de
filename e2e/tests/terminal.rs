//! The demo at a terminal: it ends when it should, whatever becomes of that.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use tidegate_testkit::proxy::program;

/// What a terminal emulator holds, and what programs write to.
struct Terminal {
    emulator: File,
    path: PathBuf,
}

impl Terminal {
    fn new() -> Self {
        let emulator = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&emulator).unwrap();
        unlockpt(&emulator).unwrap();
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&emulator, size).unwrap();
        let name = ptsname(&emulator, Vec::new()).unwrap();
        let path = PathBuf::from(std::ffi::OsStr::from_bytes(name.as_bytes()));
        Self { emulator: emulator.into(), path }
    }

    fn open(&self, flags: OFlags) -> File {
        let flags = (OFlags::NOCTTY | flags).bits().cast_signed();
        OpenOptions::new().read(true).write(true).custom_flags(flags).open(&self.path).unwrap()
    }

    /// Nobody reads, and it takes no more.
    fn fill(&self) {
        let mut line = self.open(OFlags::NONBLOCK);
        while line.write(&[b'x'; 1024]).is_ok_and(|written| written > 0) {}
    }

    fn demo(&self, arguments: &[&str]) -> Child {
        let line = || self.open(OFlags::empty());
        let mut command = Command::new(program());
        command.args(["demo", "--admin", "off", "--listen", "127.0.0.1:0"]).args(arguments);
        command.stdin(line()).stdout(line()).stderr(line()).spawn().unwrap()
    }

    /// Reads what is shown until there is a number of requests.
    fn sees_a_picture(&mut self) {
        let mut seen = Vec::new();
        let mut piece = [0; 4096];
        while !String::from_utf8_lossy(&seen).contains("requests/s") {
            let read = self.emulator.read(&mut piece).unwrap();
            seen.extend_from_slice(&piece[..read]);
        }
    }
}

/// How it ended by itself; `None` when it had to be killed.
fn end(mut child: Child, patience: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + patience;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    None
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// Whether it would not be killed by that.
fn catches(child: &Child, signal: Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    u64::from_str_radix(caught.trim(), 16).unwrap() >> (signal.as_raw() - 1) & 1 == 1
}

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn the_demo_ends_with_its_terminal() {
    let mut terminal = Terminal::new();
    let demo = terminal.demo(&[]);
    terminal.sees_a_picture();
    drop(terminal);
    assert_eq!(end(demo, PATIENCE).and_then(|status| status.code()), Some(0));
}

#[test]
fn the_demo_ends_on_each_key_that_asks_for_it() {
    for keys in [&b"q"[..], b"Q", b"RQ", b"\x03", b"\x1b"] {
        let mut terminal = Terminal::new();
        let demo = terminal.demo(&[]);
        terminal.sees_a_picture();
        terminal.emulator.write_all(keys).unwrap();
        let mut emulator = terminal.emulator.try_clone().unwrap();
        let reader = thread::spawn(move || std::io::copy(&mut emulator, &mut std::io::sink()));
        assert_eq!(end(demo, PATIENCE).and_then(|status| status.code()), Some(0), "{keys:?}");
        let _ = reader.join(); // an error says that the demo has closed it
    }
}

#[test]
fn the_demo_ends_on_each_signal_that_asks_for_it() {
    for asked in [Signal::HUP, Signal::INT, Signal::TERM] {
        let mut terminal = Terminal::new();
        let demo = terminal.demo(&[]);
        terminal.sees_a_picture();
        signal(&demo, asked);
        let mut emulator = terminal.emulator.try_clone().unwrap();
        let reader = thread::spawn(move || std::io::copy(&mut emulator, &mut std::io::sink()));
        assert_eq!(end(demo, PATIENCE).and_then(|status| status.code()), Some(0), "{asked:?}");
        let _ = reader.join(); // an error says that the demo has closed it
    }
}

#[test]
fn a_terminal_that_takes_nothing_holds_up_neither_the_end_of_the_time_nor_a_signal() {
    for (arguments, asked) in [(&["--for", "1s"][..], None), (&[], Some(Signal::TERM))] {
        let terminal = Terminal::new();
        terminal.fill();
        let demo = terminal.demo(arguments);
        if let Some(asked) = asked {
            while !catches(&demo, asked) {
                thread::sleep(Duration::from_millis(10));
            }
            signal(&demo, asked);
        }
        let code = end(demo, PATIENCE).and_then(|status| status.code());
        assert_eq!(code, Some(0), "{arguments:?}, {asked:?}");
    }
}
