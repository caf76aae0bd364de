//! Starts what is compared at the front door: Tidegate, nginx, HAProxy and nghttpx, each with a listener for HTTP/2 in the
//! clear and one for HTTPS, by HTTP/1.1 and HTTP/2, with the same key. Knows their configuration files, not what is measured.

use super::tls::Caller;
use crate::address::{self, Reserved};
use crate::peers::{installed, ourselves};
use crate::process::{Core, Process, Scratch, pinned};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

const START_MAX: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Tidegate,
    Nginx,
    Haproxy,
    Nghttpx,
}

impl Peer {
    pub(crate) const ALL: [Self; 4] = [Self::Tidegate, Self::Nginx, Self::Haproxy, Self::Nghttpx];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tidegate => "tidegate",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Nghttpx => "nghttpx",
        }
    }

    /// Not compared by HTTP/2 alone.
    pub(crate) fn is_compared_by_http1(self) -> bool {
        self != Self::Nghttpx
    }
}

/// Whether there is a line in a log for each request, kept as each peer is usually made to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AccessLog {
    Off,
    On,
}

#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) scratch: Scratch,
    endpoints: [Reserved; 2],
    tidegate: PathBuf,
    pub(crate) caller: Caller,
    /// Where HAProxy's lines go: nobody reads them, and what there is no room for is dropped.
    syslog: UdpSocket,
}

#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) peer: Peer,
    pub(crate) process: Process,
    pub(crate) clear: SocketAddr,
    pub(crate) tls: SocketAddr,
}

impl Stage {
    pub(crate) fn set(tidegate: PathBuf) -> Result<Self, String> {
        let scratch = Scratch::create()?;
        let (caller, cert, key) = Caller::with_certificate()?;
        scratch.write("cert.pem", &cert)?;
        scratch.write("key.pem", &key)?;
        scratch.write("both.pem", &format!("{cert}{key}"))?;
        let syslog = UdpSocket::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
        Ok(Self { scratch, endpoints: [address::reserve()?, address::reserve()?], tidegate, caller, syslog })
    }

    pub(crate) fn start_endpoints(&self) -> Result<Process, String> {
        let mut command = pinned(Core::Loading, &ourselves()?);
        let addresses = self.endpoints.each_ref().map(|one| one.address.to_string());
        command.arg("endpoints").args(&addresses).stdout(Stdio::piped());
        let mut serving = Process::start(&mut command, self.scratch.path("endpoints.log"))?;
        let lines = BufReader::new(serving.take_stdout().ok_or("the endpoints have no output")?).lines();
        if lines.take(addresses.len()).map_while(Result::ok).count() < addresses.len() {
            return Err("the endpoints do not listen".to_owned());
        }
        Ok(serving)
    }

    pub(crate) fn start(&self, peer: Peer, log: AccessLog) -> Result<Running, String> {
        let [clear, tls, admin] = address::free()?;
        let words = self.command_line(peer, log, clear, tls, admin)?;
        let (program, arguments) = words.split_first().ok_or("an empty command")?;
        let mut command = pinned(Core::Measured, Path::new(program));
        command.args(arguments).stdout(Stdio::null());
        let log = self.scratch.path(&format!("{}.log", peer.name()));
        let mut process = Process::start(&mut command, log)?;
        let deadline = Instant::now() + START_MAX;
        while std::net::TcpStream::connect(clear).is_err() {
            if let Some(why) = process.ended() {
                return Err(format!("{} did not start: {why}", peer.name()));
            }
            if Instant::now() > deadline {
                return Err(format!("{} does not listen", peer.name()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Running { peer, process, clear, tls })
    }

    /// What makes the peer keep such a log, in its own words.
    fn log_lines(&self, peer: Peer, log: AccessLog) -> Result<String, String> {
        let file = self.scratch.path(&format!("{}-access.log", peer.name()));
        let file = file.display();
        Ok(match (peer, log) {
            (Peer::Tidegate, AccessLog::On) => format!("[log]\naccess = \"{file}\""),
            (Peer::Nginx, AccessLog::On) => format!("access_log {file} combined buffer=64k flush=1s;"),
            (Peer::Haproxy, AccessLog::On) => {
                let syslog = self.syslog.local_addr().map_err(|error| error.to_string())?;
                format!("log {syslog} local0\n    option httplog")
            }
            (Peer::Nghttpx, AccessLog::On) => format!("--accesslog-file={file}"),
            (Peer::Tidegate | Peer::Haproxy, AccessLog::Off) => String::new(),
            (Peer::Nginx, AccessLog::Off) => "access_log off;".into(),
            (Peer::Nghttpx, AccessLog::Off) => "--accesslog-file=/dev/null".into(),
        })
    }

    fn command_line(
        &self,
        peer: Peer,
        log: AccessLog,
        clear: SocketAddr,
        tls: SocketAddr,
        admin: SocketAddr,
    ) -> Result<Vec<String>, String> {
        let [a, b] = self.endpoints.each_ref().map(|one| one.address);
        let log = self.log_lines(peer, log)?;
        let configured = |name: &str, template: &str| -> Result<String, String> {
            let scratch = self.scratch.path("");
            let text = template
                .replace("@SCRATCH@", scratch.to_string_lossy().trim_end_matches('/'))
                .replace("@LOG@", &log)
                .replace("@CLEAR@", &clear.to_string())
                .replace("@TLS@", &tls.to_string())
                .replace("@ADMIN@", &admin.to_string())
                .replace("@ENDPOINT_A@", &a.to_string())
                .replace("@ENDPOINT_B@", &b.to_string());
            Ok(self.scratch.write(name, &text)?.to_string_lossy().into_owned())
        };
        let words: Vec<String> = match peer {
            Peer::Tidegate => {
                let file = configured("front.toml", include_str!("../../peers/front/tidegate.toml"))?;
                vec![self.tidegate.to_string_lossy().into_owned(), "run".into(), "-c".into(), file]
            }
            Peer::Nginx => {
                let file = configured("front-nginx.conf", include_str!("../../peers/front/nginx.conf"))?;
                vec![installed("nginx"), "-e".into(), "stderr".into(), "-c".into(), file]
            }
            Peer::Haproxy => {
                let file = configured("front-haproxy.cfg", include_str!("../../peers/front/haproxy.cfg"))?;
                vec![installed("haproxy"), "-db".into(), "-f".into(), file]
            }
            Peer::Nghttpx => {
                let host = |address: SocketAddr| format!("{},{}", address.ip(), address.port());
                let backend = |address| format!("--backend={};;proto=http/1.1", host(address));
                let mut words = vec![installed("nghttpx"), format!("--frontend={};no-tls", host(clear))];
                words.extend([format!("--frontend={}", host(tls)), backend(a), backend(b)]);
                words.extend(
                    ["--workers=1", "--single-process", "--no-ocsp", "--conf=/dev/null"].map(str::to_owned),
                );
                words.extend([log, "--errorlog-file=/dev/null".to_owned()]);
                words.extend(
                    ["key.pem", "cert.pem"]
                        .map(|file| self.scratch.path(file).to_string_lossy().into_owned()),
                );
                words
            }
        };
        Ok(words)
    }
}
