//! Starts what is compared: the floor, Tidegate, nginx, HAProxy, each on a port of its own in front of the same
//! endpoints. Knows their configuration files, not what is measured.

use crate::address::{self, Reserved};
use crate::client::Client;
use crate::process::{Core, Process, Scratch, pinned};
use std::fmt;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const START_MAX: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    Floor,
    Tidegate,
    Nginx,
    Haproxy,
}

impl Subject {
    pub(crate) const ALL: [Self; 4] = [Self::Floor, Self::Tidegate, Self::Nginx, Self::Haproxy];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Tidegate => "tidegate",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
        }
    }

    pub(crate) fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|subject| subject.name() == name)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// The endpoints, and where their programs and files are.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) scratch: Scratch,
    endpoints: [Reserved; 2],
    pub(crate) tidegate: Option<PathBuf>,
    /// Its configuration, with places for addresses.
    tidegate_file: &'static str,
}

/// A subject that answers.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) subject: Subject,
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
}

impl Stage {
    pub(crate) fn set(tidegate: Option<PathBuf>, tidegate_file: &'static str) -> Result<Self, String> {
        let endpoints = [address::reserve()?, address::reserve()?];
        Ok(Self { scratch: Scratch::create()?, endpoints, tidegate, tidegate_file })
    }

    /// Both endpoints in one process, which serves as long as it lives.
    pub(crate) fn start_endpoints(&self) -> Result<Process, String> {
        self.serve(&self.endpoints.each_ref().map(|one| one.address), "endpoints.log")
    }

    /// One endpoint in a process of its own, which can be killed alone.
    pub(crate) fn start_endpoint(&self, index: usize) -> Result<Process, String> {
        self.serve(&[self.endpoints[index].address], &format!("endpoint-{index}.log"))
    }

    fn serve(&self, addresses: &[SocketAddr], log: &str) -> Result<Process, String> {
        let mut command = pinned(Core::Loading, &ourselves()?);
        command.arg("endpoints").args(addresses.iter().map(ToString::to_string)).stdout(Stdio::piped());
        let mut serving = Process::start(&mut command, self.scratch.path(log))?;
        let lines = BufReader::new(serving.take_stdout().ok_or("the endpoints have no output")?).lines();
        if lines.take(addresses.len()).map_while(Result::ok).count() < addresses.len() {
            let why = serving.ended().unwrap_or_else(|| "no reason given".to_owned());
            return Err(format!("the endpoints do not listen: {why}"));
        }
        Ok(serving)
    }

    pub(crate) fn start(&self, subject: Subject) -> Result<Running, String> {
        self.start_under(subject, &[])
    }

    /// Starts the subject as the last argument of another program, if `wrapper` names one.
    pub(crate) fn start_under(&self, subject: Subject, wrapper: &[&str]) -> Result<Running, String> {
        let [address, admin] = address::free()?;
        let own = self.command_line(subject, address, admin)?;
        let words: Vec<String> = wrapper.iter().map(|word| (*word).to_owned()).chain(own).collect();
        let (program, arguments) = words.split_first().ok_or("an empty command")?;
        let mut command = pinned(Core::Measured, Path::new(program));
        command.args(arguments).stdout(Stdio::null());
        let process = Process::start(&mut command, self.scratch.path(&format!("{subject}.log")))?;
        let mut running = Running { subject, process, address, admin };
        running.wait_until_it_answers()?;
        Ok(running)
    }

    fn command_line(
        &self,
        subject: Subject,
        address: SocketAddr,
        admin: SocketAddr,
    ) -> Result<Vec<String>, String> {
        let [a, b] = self.endpoints.each_ref().map(|one| one.address.to_string());
        let configured = |name: &str, template: &str| -> Result<String, String> {
            let text = template
                .replace("@SCRATCH@", &self.scratch.path("").to_string_lossy())
                .replace("@LISTEN@", &address.to_string())
                .replace("@ADMIN@", &admin.to_string())
                .replace("@ENDPOINT_A@", &a)
                .replace("@ENDPOINT_B@", &b);
            Ok(self.scratch.write(name, &text)?.to_string_lossy().into_owned())
        };
        let words = match subject {
            Subject::Floor => {
                vec![
                    ourselves()?.to_string_lossy().into_owned(),
                    "floor".to_owned(),
                    address.to_string(),
                    a,
                    b,
                ]
            }
            Subject::Tidegate => {
                let binary =
                    self.tidegate.as_ref().ok_or("there is no tidegate to measure: --tidegate PATH")?;
                let file = configured("tidegate.toml", self.tidegate_file)?;
                vec![binary.to_string_lossy().into_owned(), "run".to_owned(), "-c".to_owned(), file]
            }
            Subject::Nginx => {
                let file = configured("nginx.conf", include_str!("../peers/nginx.conf"))?;
                vec![installed("nginx"), "-e".to_owned(), "stderr".to_owned(), "-c".to_owned(), file]
            }
            Subject::Haproxy => {
                let file = configured("haproxy.cfg", include_str!("../peers/haproxy.cfg"))?;
                vec![installed("haproxy"), "-db".to_owned(), "-f".to_owned(), file]
            }
        };
        Ok(words)
    }
}

impl Running {
    fn wait_until_it_answers(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + START_MAX;
        loop {
            if let Some(why) = self.process.ended() {
                return Err(format!("{} did not start: {why}", self.subject));
            }
            let answer = Client::connect(self.address).and_then(|mut client| client.get("/small"));
            match answer {
                Ok(answer) if answer.status == 200 => return Ok(()),
                _ if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(20)),
                Ok(answer) => return Err(format!("{} answers with {}", self.subject, answer.status)),
                Err(error) => return Err(format!("{} does not answer: {error}", self.subject)),
            }
        }
    }
}

pub(crate) fn ourselves() -> Result<PathBuf, String> {
    std::env::current_exe().map_err(|error| format!("where is this program? {error}"))
}

/// Debian keeps servers where the PATH of ordinary people does not look.
pub(crate) fn installed(program: &str) -> String {
    let system = format!("/usr/sbin/{program}");
    if Path::new(&system).is_file() { system } else { program.to_owned() }
}

/// The first line of what a peer says of its version.
pub(crate) fn version(subject: Subject) -> Option<String> {
    let output = Command::new(installed(subject.name())).arg("-v").output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).lines().next().map(str::to_owned)
}
