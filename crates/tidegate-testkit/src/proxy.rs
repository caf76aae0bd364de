//! The real program in a scratch folder, ended with the value.
//!
//! Knows how to start it, where it listens, and how to ask it; knows no configuration beyond the addresses it fills
//! in.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::client::Client;
use crate::clock::WallClock;
use crate::metrics::Metrics;
use crate::patience::{PATIENCE, comes_true, eventually};
use crate::port::Port;
use crate::process;
use crate::reply::Reply;
use crate::wire::Gone;

/// How a proxy is to be started.
#[derive(Debug)]
pub struct Tidegate {
    config: String,
    descriptors: Option<u64>,
    data_bytes: Option<u64>,
    environment: Vec<(&'static str, String)>,
    deaf: bool,
}

/// A running proxy.
#[derive(Debug)]
pub struct Proxy {
    child: Child,
    folder: TempDir,
    listen: Port,
    admin: Port,
    output: Output,
}

/// What the program printed so far.
#[derive(Clone, Debug, Default)]
pub struct Output {
    stdout: Lines,
    stderr: Lines,
}

type Lines = Arc<Mutex<Vec<String>>>;

impl Tidegate {
    /// From a configuration in which `{listen}` and `{admin}` stand for addresses that are filled in. When it names
    /// no listener, no workers or no admin listener, they are added.
    pub fn with(config: impl Into<String>) -> Self {
        let config = config.into();
        Self { config, descriptors: None, data_bytes: None, environment: Vec::new(), deaf: false }
    }

    /// The short form: these endpoints, and more configuration after it.
    pub fn to(endpoints: &[&crate::Endpoint], more: &str) -> Self {
        let list: Vec<_> = endpoints.iter().map(|endpoint| format!("{:?}", endpoint.address())).collect();
        Self::with(format!("to = [{}]\n{more}", list.join(", ")))
    }

    /// With so many descriptors at most.
    #[must_use]
    pub fn descriptors(mut self, most: u64) -> Self {
        self.descriptors = Some(most);
        self
    }

    /// With so much memory for its data at most (`RLIMIT_DATA`: heap, stacks, all that is private and writable). Beyond it the
    /// kernel gives none, wherever the test runs, and the process ends.
    #[must_use]
    pub fn data_bytes(mut self, most: u64) -> Self {
        self.data_bytes = Some(most);
        self
    }

    /// With this clock for the time of day.
    #[must_use]
    pub fn clock(mut self, clock: &WallClock) -> Self {
        self.environment.extend(clock.environment());
        self
    }

    /// On a machine that trusts the authorities of this PEM file and no others.
    #[must_use]
    pub fn trusting(mut self, authorities: &Path) -> Self {
        self.environment.push(("SSL_CERT_FILE", authorities.display().to_string()));
        self
    }

    /// On a machine that keeps the state of programs in this folder.
    #[must_use]
    pub fn keeping(mut self, folder: &Path) -> Self {
        self.environment.push(("STATE_DIRECTORY", folder.display().to_string()));
        self
    }

    /// With a standard output that is closed at its other end.
    #[must_use]
    pub fn deaf(mut self) -> Self {
        self.deaf = true;
        self
    }

    /// Starts it and waits until it serves.
    ///
    /// # Panics
    /// When it does not start; the message holds what it printed.
    pub fn start(self) -> Proxy {
        let (listen, admin) = (Port::free(), Port::free());
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("tidegate.toml");
        std::fs::write(&path, fill_in(&self.config, &listen, &admin))
            .expect("the scratch folder is writable");
        let mut command = self.data_bytes.map_or_else(|| Command::new(program()), program_within);
        command.arg("run").arg("-c").arg(&path).current_dir(folder.path());
        command.envs(self.environment);
        let mut proxy = Proxy::spawn(command, folder, listen, admin, self.deaf);
        if let Some(most) = self.descriptors {
            process::limit_descriptors(proxy.id(), most);
        }
        proxy.wait_until_alive();
        proxy
    }

    /// Has to end by itself, and badly: what it says about that.
    ///
    /// # Panics
    /// When it ends well.
    pub fn refuses_to_start(self) -> String {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("tidegate.toml");
        let text = fill_in(&self.config, &Port::free(), &Port::free());
        std::fs::write(&path, text).expect("the scratch folder is writable");
        let output = Command::new(program()).arg("run").arg("-c").arg(&path).output();
        let output = output.expect("the program starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "it ended well: {said}");
        said
    }
}

impl Proxy {
    /// Runs with these arguments instead of a file; `{listen}` and `{admin}` in them are filled in.
    ///
    /// # Panics
    /// When it does not start.
    pub fn run(arguments: &[&str]) -> Self {
        let (listen, admin) = (Port::free(), Port::free());
        let folder = tempfile::tempdir().expect("a scratch folder");
        let mut command = Command::new(program());
        for argument in arguments {
            command.arg(name_addresses(argument, &listen, &admin));
        }
        command.current_dir(folder.path());
        let mut proxy = Self::spawn(command, folder, listen, admin, false);
        proxy.wait_until_listening();
        proxy
    }

    fn spawn(command: Command, folder: TempDir, listen: Port, admin: Port, deaf: bool) -> Self {
        let (child, output) = launch(command, deaf);
        Self { child, folder, listen, admin, output }
    }

    fn wait_until_alive(&mut self) {
        let admin = self.admin_address();
        self.wait_until("answers /livez", || ask(admin, "/livez").is_some_and(|reply| reply.status == 200));
        self.wait_until_listening();
    }

    fn wait_until_listening(&mut self) {
        let listen = self.address();
        self.wait_until("accepts connections", || {
            // Leaves no connection behind that a test would count: it waits until the proxy has let go of it.
            let client = Client::try_connect(listen).ok();
            client.is_some_and(|mut client| {
                client.finish();
                client.rest().1 != Gone::Silent
            })
        });
    }

    fn wait_until(&mut self, what: &str, mut ready: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !ready() {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                // Its last words may still be on their way through the pipe.
                std::thread::sleep(Duration::from_millis(50));
                panic!("the program ended with {status}:\n{}", self.output.all());
            }
            assert!(Instant::now() < deadline, "the program never {what}:\n{}", self.output.all());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listen.address()
    }

    pub fn admin_address(&self) -> SocketAddr {
        self.admin.address()
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The scratch folder, where relative paths of the configuration lie.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A new connection.
    pub fn client(&self) -> Client {
        Client::connect(self.address())
    }

    /// A GET on a new connection.
    pub fn get(&self, target: &str) -> Reply {
        self.client().get(target)
    }

    /// A GET on the admin listener, when it answers.
    pub fn try_admin(&self, target: &str) -> Option<Reply> {
        ask(self.admin_address(), target)
    }

    /// # Panics
    /// When the admin listener does not answer.
    pub fn admin(&self, target: &str) -> Reply {
        self.try_admin(target).expect("the admin listener answers")
    }

    pub fn metrics(&self) -> Metrics {
        Metrics { text: self.admin("/metrics").text() }
    }

    /// Waits until a metric, summed over all other labels, reaches a value; counters are merged now and then.
    ///
    /// # Panics
    /// When it does not; the message holds what the page says of that name.
    pub fn wait_for_metric(&self, name: &str, labels: &[(&str, &str)], at_least: f64) {
        let reached = comes_true(Duration::from_secs(5), || self.metrics().sum(name, labels) >= at_least);
        if !reached {
            let page = self.metrics().text;
            let near: Vec<_> =
                page.lines().filter(|line| line.contains(name) && !line.starts_with('#')).collect();
            panic!("{name} {labels:?} never reached {at_least}:\n{}", near.join("\n"));
        }
    }

    /// Replaces the configuration file, not yet loaded.
    pub fn rewrite(&self, config: &str) {
        let text = fill_in(config, &self.listen, &self.admin);
        std::fs::write(self.folder().join("tidegate.toml"), text).expect("the scratch folder is writable");
    }

    pub fn signal(&self, signal: Signal) {
        process::signal(self.id(), signal);
    }

    /// Replaces the configuration and tells it to read it.
    pub fn reload(&self, config: &str) {
        self.rewrite(config);
        self.signal(Signal::HUP);
    }

    /// Asks it to finish what is open and go.
    pub fn drain(&self) {
        self.signal(Signal::TERM);
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_none()
    }

    /// SIGKILL: it gets no chance to say goodbye.
    ///
    /// # Panics
    /// When it is gone already.
    pub fn kill(&mut self) {
        self.child.kill().expect("it is running");
        self.child.wait().expect("it is our child");
    }

    /// Starts it again, by the same file and at the same addresses.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&mut self) {
        let path = self.folder().join("tidegate.toml");
        let mut command = Command::new(program());
        command.arg("run").arg("-c").arg(&path).current_dir(self.folder());
        (self.child, self.output) = launch(command, false);
        self.wait_until_alive();
    }

    /// Waits until it has ended by itself.
    ///
    /// # Panics
    /// When it does not.
    pub fn wait(&mut self) -> ExitStatus {
        eventually("the program ended", || !self.is_running());
        self.child.wait().expect("it is our child")
    }

    pub fn output(&self) -> &Output {
        &self.output
    }

    pub fn open_descriptors(&self) -> usize {
        process::open_descriptors(self.id())
    }

    pub fn resident_bytes(&self) -> u64 {
        process::resident_bytes(self.id())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            // The test harness shows it under the failed test.
            #[allow(clippy::print_stderr, reason = "a failing test tells what the program said")]
            {
                eprintln!("--- the program said:\n{}---", self.output.all());
            }
        }
    }
}

impl Output {
    pub fn stdout(&self) -> Vec<String> {
        self.stdout.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn stderr(&self) -> Vec<String> {
        self.stderr.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn all(&self) -> String {
        let mut text = String::new();
        for line in self.stdout().iter().chain(&self.stderr()) {
            let _ = writeln!(text, "{line}");
        }
        text
    }

    /// Waits for a line on standard output that holds all these words.
    ///
    /// # Panics
    /// When it does not come.
    pub fn wait_for_stdout(&self, words: &[&str]) -> String {
        wait_for_line(words, || self.stdout())
    }

    /// Waits for a line on standard error that holds all these words.
    ///
    /// # Panics
    /// When it does not come.
    pub fn wait_for_stderr(&self, words: &[&str]) -> String {
        wait_for_line(words, || self.stderr())
    }
}

fn wait_for_line(words: &[&str], lines: impl Fn() -> Vec<String>) -> String {
    let mut found = None;
    let came = comes_true(Duration::from_secs(8), || {
        found = lines().into_iter().find(|line| words.iter().all(|word| line.contains(word)));
        found.is_some()
    });
    assert!(came, "no line holds {words:?}; these came:\n{}", lines().join("\n"));
    found.unwrap_or_default()
}

fn launch(mut command: Command, deaf: bool) -> (Child, Output) {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).env("NO_COLOR", "1");
    let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let output = Output::default();
    let stdout = child.stdout.take().expect("it is piped");
    if !deaf {
        gather(stdout, output.stdout.clone());
    }
    gather(child.stderr.take().expect("it is piped"), output.stderr.clone());
    (child, output)
}

fn gather(stream: impl Read + Send + 'static, lines: Lines) {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    });
}

/// One GET of the admin listener, or nothing.
fn ask(admin: SocketAddr, target: &str) -> Option<Reply> {
    let mut client = Client::try_connect(admin).ok()?;
    client.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"));
    client.try_reply().ok()
}

fn name_addresses(text: &str, listen: &Port, admin: &Port) -> String {
    text.replace("{listen}", &listen.address().to_string()).replace("{admin}", &admin.address().to_string())
}

/// Adds what a test left out, where it belongs: plain keys before the first table, tables at the end.
fn fill_in(config: &str, listen: &Port, admin: &Port) -> String {
    let mut text = String::new();
    if !config.contains("{listen}") {
        text.push_str("listen = \"{listen}\"\n");
    }
    if !config.contains("workers =") {
        text.push_str("workers = 1\n");
    }
    text.push_str(config);
    if !config.contains("{admin}") {
        text.push_str("\n[admin]\nbind = \"{admin}\"\n");
    }
    name_addresses(&text, listen, admin)
}

/// The program under test: `TIDEGATE_BIN`, or the one beside this test, brought up to date once.
///
/// # Panics
/// When there is none and it does not build.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| match std::env::var_os("TIDEGATE_BIN") {
        Some(path) => path.into(),
        None => build(),
    })
}

/// The program, started with a limit that it can see. `ulimit` counts in KiB.
fn program_within(data_bytes: u64) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -d $0 && exec \"$@\"", &(data_bytes / 1024).to_string()]).arg(program());
    command
}

/// Cargo gives a test only the programs of its own package, so this one asks for it.
fn build() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows where it is");
    let folder = test.parent().and_then(Path::parent).expect("tests lie in target/profile/deps");
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--package", "tidegate", "--profile", profile]);
    command.arg("--target-dir").arg(folder.parent().expect("a profile lies in target"));
    let status = command.status().expect("cargo runs");
    assert!(status.success(), "the program does not build");
    folder.join("tidegate")
}
