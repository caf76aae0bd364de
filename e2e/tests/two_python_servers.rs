//! The main job: balancing over two servers that no one here wrote.

use std::ops::RangeInclusive;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tidegate_testkit::{Port, Proxy, Tidegate, eventually};

/// `python3 -m http.server` of a folder with one file in it.
struct PythonServer {
    port: Port,
    child: Child,
    _folder: tempfile::TempDir,
}

impl PythonServer {
    /// On all addresses that `localhost` may mean, or on one of them.
    fn start(name: &str, bind: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("name.txt"), name).unwrap();
        let port = Port::free();
        let child = serve(&port, bind, folder.path());
        eventually("the server listens", || std::net::TcpStream::connect((bind, port.number())).is_ok());
        Self { port, child, _folder: folder }
    }

    fn at_localhost(&self) -> String {
        format!("localhost:{}", self.port.number())
    }
}

fn serve(port: &Port, bind: &str, folder: &Path) -> Child {
    let mut command = Command::new("python3");
    command
        .args(["-m", "http.server", "--bind", bind, &port.number().to_string(), "--directory"])
        .arg(folder);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("python3 is installed")
}

impl Drop for PythonServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `shares`: how many of 20 requests, one after the other, the first server may get.
fn expect_balance(proxy: &Proxy, shares: RangeInclusive<usize>) {
    let names: Vec<_> = (0..20).map(|_| proxy.get("/name.txt").text()).collect();
    let one = names.iter().filter(|name| *name == "one").count();
    assert!(shares.contains(&one), "{names:?}");
    assert!(names.iter().all(|name| name == "one" || name == "two"), "{names:?}");
    let missing = proxy.get("/missing.txt");
    assert_eq!(missing.status, 404);
    assert!(missing.field("server").is_some_and(|server| server.contains("Python")), "{missing:?}");
}

/// In turn, but for a moment when the last answer is out and its request still counts as in flight.
const IN_TURN: RangeInclusive<usize> = 8..=12;
/// Somebody who has answered faster may get all that comes while nothing is in flight; everybody is asked before that.
const BOTH: RangeInclusive<usize> = 1..=19;

#[test]
fn the_command_line_alone_balances_two_servers() {
    let (one, two) = (PythonServer::start("one", "127.0.0.1"), PythonServer::start("two", "127.0.0.1"));
    let arguments =
        ["proxy", "--listen", "{listen}", "--to", &one.at_localhost(), "--to", &two.at_localhost()];
    expect_balance(&Proxy::run(&arguments), BOTH);
}

#[test]
fn a_flag_says_that_they_take_turns() {
    let servers = ["one", "two"].map(|name| PythonServer::start(name, "127.0.0.1"));
    let [one, two] = servers.each_ref().map(PythonServer::at_localhost);
    let to = ["proxy", "--listen", "{listen}", "--to", &one, "--to", &two, "--balance", "least_request"];
    expect_balance(&Proxy::run(&to), IN_TURN);
}

#[test]
fn the_file_of_two_lines_balances_two_servers() {
    let (one, two) = (PythonServer::start("one", "127.0.0.1"), PythonServer::start("two", "127.0.0.1"));
    let proxy = Tidegate::with(format!(
        "listen = \"{{listen}}\"\nto = [\"{}\", \"{}\"]\n",
        one.at_localhost(),
        two.at_localhost()
    ));
    expect_balance(&proxy.start(), BOTH);
}

/// `localhost` may resolve to `::1` first while the server listens on `127.0.0.1` only, or the other way round.
#[test]
fn every_address_of_a_name_is_tried() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return; // a machine without IPv6 has one address for localhost
    }
    let (one, two) = (PythonServer::start("one", "127.0.0.1"), PythonServer::start("two", "::1"));
    let resolves_both = ["127.0.0.1", "::1"].iter().all(|address| localhost_means(address));
    let second = if resolves_both { two.at_localhost() } else { format!("[::1]:{}", two.port.number()) };
    let proxy = Tidegate::with(format!("to = [\"{}\", \"{second}\"]\n", one.at_localhost())).start();
    expect_balance(&proxy, BOTH);
}

fn localhost_means(address: &str) -> bool {
    use std::net::ToSocketAddrs;
    ("localhost", 1).to_socket_addrs().is_ok_and(|mut found| found.any(|one| one.ip().to_string() == address))
}
