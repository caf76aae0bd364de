//! Who takes part: each proxy with each of its ways to balance, as a configuration in front of given endpoints. Knows
//! how they are started, asked for a late endpoint, and stopped; nothing of what they are measured by.

use super::scenario::Scenario;
use crate::address;
use crate::client::Client;
use crate::peers::{Subject, installed};
use crate::process::{Core, Process, pinned};
use rustix::process::Signal;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

const START_MAX: Duration = Duration::from_secs(20);
/// How long requests may take to be counted as gone after their answers have come.
const SETTLE_MAX: Duration = Duration::from_secs(5);

/// A proxy with one way to balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Contestant {
    pub(super) name: &'static str,
    pub(super) subject: Subject,
    /// In the words of its configuration.
    balance: &'static str,
    care: Care,
}

/// How much was said about the endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Care {
    /// What a careful administrator switches on who does not know how much each endpoint can take.
    Best,
    Defaults,
    /// The defaults, and a second attempt beside one that a stalled endpoint keeps waiting.
    Hedging,
    /// As `Best`, and each endpoint's slots are known: as its weight, and as the most it is given at once.
    Told,
}

const fn plain(name: &'static str, subject: Subject, balance: &'static str) -> Contestant {
    Contestant { name, subject, balance, care: Care::Defaults }
}

pub(super) const CONTESTANTS: [Contestant; 14] = [
    plain(OURS, Subject::Tidegate, "adaptive"),
    Contestant { care: Care::Best, ..plain("tidegate best", Subject::Tidegate, "adaptive") },
    Contestant { care: Care::Hedging, ..plain("tidegate hedging", Subject::Tidegate, "adaptive") },
    plain("tidegate least_request", Subject::Tidegate, "least_request"),
    plain("tidegate round_robin", Subject::Tidegate, "round_robin"),
    plain("haproxy roundrobin", Subject::Haproxy, "roundrobin"),
    plain(REFERENCE, Subject::Haproxy, "leastconn"),
    plain("haproxy random(2)", Subject::Haproxy, "random(2)"),
    Contestant { care: Care::Best, ..plain("haproxy best", Subject::Haproxy, "leastconn") },
    Contestant { care: Care::Told, ..plain("haproxy told", Subject::Haproxy, "leastconn") },
    plain("nginx round robin", Subject::Nginx, ""),
    plain("nginx least_conn", Subject::Nginx, "least_conn;"),
    plain("nginx random two", Subject::Nginx, "random two least_conn;"),
    Contestant { care: Care::Best, ..plain("nginx best", Subject::Nginx, "least_conn;") },
];

/// Whom ratios are taken to.
pub(super) const REFERENCE: &str = "haproxy leastconn";
pub(super) const OURS: &str = "tidegate adaptive";
/// Whoever picks the better of two random endpoints.
pub(super) const TWO_CHOICES: &str = "haproxy random(2)";
/// Enough for a first impression.
pub(super) const QUICK: [&str; 6] =
    [OURS, "tidegate least_request", REFERENCE, "haproxy best", "nginx least_conn", "nginx best"];

/// The endpoints that a contestant is put in front of, and what it may do.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) endpoints: Vec<(SocketAddr, usize)>,
    /// Whether the last of them is kept from it at first.
    pub(super) last_joins_late: bool,
    pub(super) retries: bool,
    /// Where its files go.
    pub(super) folder: PathBuf,
    /// The Tidegate to run.
    pub(super) tidegate: PathBuf,
}

/// A contestant that answers.
#[derive(Debug)]
pub(super) struct Contender {
    pub(super) contestant: Contestant,
    pub(super) process: Process,
    pub(super) address: SocketAddr,
    admin: SocketAddr,
    task: Task,
}

impl Contestant {
    /// A Tidegate at its best is `adaptive` with more that it tries again: another one only where somebody fails. What fails
    /// is not for second attempts.
    pub(super) fn takes_part(self, scenario: &Scenario) -> bool {
        match (self.subject, self.care) {
            (Subject::Tidegate, Care::Best) => scenario.retries && scenario.somebody_fails(),
            (Subject::Tidegate, Care::Hedging) => !scenario.somebody_fails(),
            _ => true,
        }
    }

    /// Starts it and waits until a request passes through it. `probe` is what is asked for.
    pub(super) fn start(self, task: Task, probe: &str) -> Result<Contender, String> {
        let [address, admin] = address::free()?;
        std::fs::create_dir_all(&task.folder)
            .map_err(|error| format!("cannot create {}: {error}", task.folder.display()))?;
        let file = self.write_configuration(&task, address, admin, !task.last_joins_late)?;
        let (program, arguments) = match self.subject {
            Subject::Haproxy => (installed("haproxy"), vec!["-db", "-f"]),
            Subject::Nginx => (installed("nginx"), vec!["-e", "stderr", "-c"]),
            _ => (task.tidegate.to_string_lossy().into_owned(), vec!["run", "-c"]),
        };
        let mut command = pinned(Core::Any, Path::new(&program));
        command.args(arguments).arg(file).stdout(Stdio::null());
        let process = Process::start(&mut command, task.folder.join("log"))?;
        let mut contender = Contender { contestant: self, process, address, admin, task };
        contender.wait_until_it_answers(probe)?;
        Ok(contender)
    }

    fn write_configuration(
        self,
        task: &Task,
        address: SocketAddr,
        admin: SocketAddr,
        complete: bool,
    ) -> Result<PathBuf, String> {
        let (name, template) = match (self.subject, self.care) {
            (Subject::Haproxy, Care::Defaults) => {
                ("haproxy.cfg", include_str!("../../peers/duel/haproxy.cfg"))
            }
            (Subject::Haproxy, _) => ("haproxy.cfg", include_str!("../../peers/duel/haproxy-best.cfg")),
            (Subject::Nginx, _) => ("nginx.conf", include_str!("../../peers/duel/nginx.conf")),
            _ => ("tidegate.toml", include_str!("../../peers/duel/tidegate.toml")),
        };
        let text = template
            .replace("@SCRATCH@", &task.folder.to_string_lossy())
            .replace("@LISTEN@", &address.to_string())
            .replace("@ADMIN@", &admin.to_string())
            .replace("@BALANCE@", self.balance)
            .replace("@RETRIES@", if task.retries { "3" } else { "0" })
            .replace("@RETRY@", self.retry(task.retries))
            .replace("@ENDPOINTS@", &self.endpoints(task, complete));
        let file = task.folder.join(name);
        std::fs::write(&file, text).map_err(|error| format!("cannot write {}: {error}", file.display()))?;
        Ok(file)
    }

    /// What says whether it may try again. With one try nginx still learns who cannot be connected to, but not who
    /// answers with a failing status: that it counts only when it goes on to another endpoint.
    fn retry(self, retries: bool) -> &'static str {
        const NGINX_FAILURES: &str = "proxy_next_upstream error timeout http_500 http_502 http_503 http_504; proxy_next_upstream_tries 3;";
        const NGINX_FAILURES_ONCE: &str = "proxy_next_upstream error timeout http_500 http_502 http_503 http_504; proxy_next_upstream_tries 1;";
        match (self.subject, self.care, retries) {
            (Subject::Nginx, Care::Defaults, false) => "proxy_next_upstream off;",
            (Subject::Nginx, Care::Best | Care::Told, true) => NGINX_FAILURES,
            (Subject::Nginx, Care::Best | Care::Told, false) => NGINX_FAILURES_ONCE,
            (Subject::Tidegate, Care::Hedging, true) => "hedge = true",
            (Subject::Tidegate, Care::Hedging, false) => "retry = \"off\"\nhedge = true",
            (Subject::Tidegate, _, false) => "retry = \"off\"",
            (Subject::Tidegate, Care::Best, true) => {
                "retry = { on = [\"connect\", \"reset\", 500, \"502-504\"] }"
            }
            _ => "",
        }
    }

    /// The endpoints in the words of its configuration; without the last one unless it is `complete`.
    fn endpoints(self, task: &Task, complete: bool) -> String {
        let known = task.endpoints.len() - usize::from(!complete);
        let line = |(index, (address, slots)): (usize, &(SocketAddr, usize))| match (self.subject, self.care)
        {
            (Subject::Haproxy, care) => {
                let told = if care == Care::Told {
                    format!(" weight {slots} maxconn {slots}")
                } else {
                    String::new()
                };
                // It is told of a late one from the start, as one that is not in use.
                let late = if index < known { "" } else { " disabled" };
                Some(format!("    server s{index} {address}{told}{late}\n"))
            }
            _ if index >= known => None,
            (Subject::Nginx, Care::Defaults) => Some(format!("        server {address};\n")),
            (Subject::Nginx, _) => Some(format!("        server {address} max_fails=3 fail_timeout=10s;\n")),
            _ => Some(format!("\"{address}\", ")),
        };
        let text: String = task.endpoints.iter().enumerate().filter_map(line).collect();
        text.trim_end_matches([',', ' ', '\n']).to_owned()
    }
}

impl Contender {
    fn wait_until_it_answers(&mut self, probe: &str) -> Result<(), String> {
        let (name, deadline) = (self.contestant.name, Instant::now() + START_MAX);
        loop {
            if let Some(why) = self.process.ended() {
                return Err(format!("{name} did not start: {why}"));
            }
            let answer = Client::connect(self.address).and_then(|mut client| client.get(probe));
            match answer {
                Ok(answer) if answer.status == 200 => return Ok(()),
                _ if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(20)),
                Ok(answer) => return Err(format!("{name} answers with {}", answer.status)),
                Err(error) => return Err(format!("{name} does not answer: {error}")),
            }
        }
    }

    /// Makes the late endpoint known, the way its operator would.
    pub(super) fn admit_the_last(&self) -> Result<(), String> {
        if self.contestant.subject == Subject::Haproxy {
            return self.enable_the_last();
        }
        self.contestant.write_configuration(&self.task, self.address, self.admin, true)?;
        self.process.signal(Signal::HUP);
        Ok(())
    }

    fn enable_the_last(&self) -> Result<(), String> {
        let last = self.task.endpoints.len() - 1;
        let ask = || {
            let mut socket = UnixStream::connect(self.task.folder.join("haproxy.sock"))?;
            socket.write_all(format!("set server app/s{last} state ready\n").as_bytes())?;
            let mut answer = String::new();
            socket.read_to_string(&mut answer).map(|_| answer)
        };
        match ask() {
            Ok(answer) if answer.trim().is_empty() => Ok(()),
            Ok(complaint) => Err(format!("haproxy does not take the late endpoint: {}", complaint.trim())),
            Err(error) => Err(format!("haproxy does not take the late endpoint: {error}")),
        }
    }

    /// Once every request has had its answer, nothing may be in flight: a count that leaks is an endpoint that is
    /// shunned for ever. Only Tidegate says.
    pub(super) fn check_that_nothing_is_in_flight(&self) -> Result<(), String> {
        if self.contestant.subject != Subject::Tidegate {
            return Ok(());
        }
        let deadline = Instant::now() + SETTLE_MAX;
        loop {
            match self.in_flight()? {
                0 => return Ok(()),
                left if Instant::now() > deadline => {
                    return Err(format!(
                        "{}: {left} still in flight after the last answer",
                        self.contestant.name
                    ));
                }
                _ => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    fn in_flight(&self) -> Result<i64, String> {
        let answer = Client::connect(self.admin).and_then(|mut client| client.get("/metrics"));
        let page = answer.map_err(|error| format!("{} shows no metrics: {error}", self.contestant.name))?;
        in_flight(&String::from_utf8_lossy(&page.body))
            .ok_or_else(|| "the metrics name nothing in flight".to_owned())
    }
}

/// The sum over all endpoints; none when the page does not tell.
fn in_flight(page: &str) -> Option<i64> {
    let lines = page.lines().filter(|line| line.starts_with("tidegate_endpoint_in_flight{"));
    let values: Option<Vec<f64>> = lines.map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
    values.filter(|values| !values.is_empty()).map(|values| values.iter().sum::<f64>() as i64)
}

#[cfg(test)]
mod tests {
    use super::super::scenario::SCENARIOS;
    use super::*;

    fn named(name: &str) -> Contestant {
        CONTESTANTS.into_iter().find(|one| one.name == name).unwrap()
    }

    fn task(last_joins_late: bool) -> Task {
        let endpoint = |port| (SocketAddr::from(([127, 0, 0, 1], port)), usize::from(port));
        let (folder, tidegate) = (PathBuf::new(), PathBuf::new());
        Task { endpoints: vec![endpoint(2), endpoint(4)], last_joins_late, retries: true, folder, tidegate }
    }

    #[test]
    fn each_is_told_of_the_endpoints_in_its_own_words() {
        for (name, expected) in [
            (OURS, "\"127.0.0.1:2\", \"127.0.0.1:4\""),
            (REFERENCE, "    server s0 127.0.0.1:2\n    server s1 127.0.0.1:4"),
            (
                "haproxy told",
                "    server s0 127.0.0.1:2 weight 2 maxconn 2\n    server s1 127.0.0.1:4 weight 4 maxconn 4",
            ),
            ("nginx least_conn", "        server 127.0.0.1:2;\n        server 127.0.0.1:4;"),
        ] {
            assert_eq!(named(name).endpoints(&task(false), true), expected);
        }
    }

    #[test]
    fn a_tidegate_at_its_best_takes_part_where_it_is_another_one() {
        let scenarios = |name| SCENARIOS.iter().filter(move |one| named(name).takes_part(one)).count();
        assert_eq!((scenarios("tidegate best"), scenarios("haproxy best")), (7, SCENARIOS.len()));
    }

    #[test]
    fn second_attempts_are_for_endpoints_that_are_late_not_for_such_as_fail() {
        let hedging = named("tidegate hedging");
        let late: Vec<_> =
            SCENARIOS.iter().filter(|one| hedging.takes_part(one)).map(|one| one.name).collect();
        assert!(
            late.contains(&"equal") && late.contains(&"stalls") && !late.contains(&"refuses"),
            "{late:?}"
        );
        assert_eq!(hedging.retry(false), "retry = \"off\"\nhedge = true");
    }

    #[test]
    fn a_late_endpoint_is_unknown_or_not_in_use() {
        assert_eq!(named(OURS).endpoints(&task(true), false), "\"127.0.0.1:2\"");
        assert!(named(REFERENCE).endpoints(&task(true), false).ends_with("s1 127.0.0.1:4 disabled"));
    }

    #[test]
    fn in_flight_is_the_sum_over_the_endpoints() {
        let page = "# TYPE x gauge\ntidegate_endpoint_in_flight{endpoint=\"a\"} 2\n\
                    tidegate_endpoint_in_flight{endpoint=\"b\"} 1\n";
        assert_eq!(in_flight(page), Some(3));
        assert_eq!(in_flight("tidegate_workers 1\n"), None);
    }
}
