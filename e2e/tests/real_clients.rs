//! Clients that everybody has: curl, nghttp and a browser. Each is bounded in time.

use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use tidegate_testkit::python::script;
use tidegate_testkit::tls::{Authority, Issued};
use tidegate_testkit::{Endpoint, Port, Proxy, Script, Then, Tidegate, Visit, eventually};

/// A program that is ended after so many seconds at the latest.
fn bounded(seconds: u32, program: &str) -> Command {
    let mut command = Command::new("timeout");
    command.args(["-k", "1", &seconds.to_string(), program]);
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The proxy with a listener for each: HTTPS where `{listen}` is, and the clear.
struct World {
    authority: Authority,
    issued: Issued,
    endpoint: Endpoint,
    clear: Port,
    proxy: Proxy,
}

impl World {
    fn new(script: Script, more: &str) -> Self {
        let (authority, endpoint, clear) = (Authority::new(), Endpoint::start(script), Port::free());
        let issued = authority.issue_for_the_public("app", &["app.test"]);
        let config = format!(
            "to = \"{}\"\n{more}\n[[listener]]\nbind = \"{{listen}}\"\ntls = {{ {}, hsts = true }}\n\
             [[listener]]\nbind = \"{}\"\n",
            endpoint.address(),
            issued.keys(),
            clear.address()
        );
        let proxy = Tidegate::with(config).start();
        Self { authority, issued, endpoint, clear, proxy }
    }

    fn https(&self) -> String {
        format!("https://app.test:{}", self.proxy.address().port())
    }

    fn http(&self) -> String {
        format!("http://app.test:{}", self.clear.number())
    }

    fn curl(&self, arguments: &[&str]) -> Output {
        let mut command = bounded(30, "curl");
        command.args(["--silent", "--show-error", "--cacert"]).arg(self.authority.cert());
        for port in [self.proxy.address().port(), self.clear.number()] {
            command.args(["--resolve", &format!("app.test:{port}:127.0.0.1")]);
        }
        command.args(arguments).output().expect("curl is installed")
    }
}

#[test]
fn curl_gets_and_puts_by_every_version_it_speaks() {
    let world = World::new(Script::echoes(), "");
    let folder = tempfile::tempdir().unwrap();
    let (upload, download) = (folder.path().join("up"), folder.path().join("down"));
    let body: Vec<u8> = (0..5_000_000_u32).map(|byte| (byte % 251) as u8).collect();
    std::fs::write(&upload, &body).unwrap();
    let (https, http) = (world.https(), world.http());
    let ways: [(&[&str], &str, &str, &str); 6] = [
        (&["--http1.0"], &http, "1.1", "1.0 tidegate"),
        (&["--http1.1"], &http, "1.1", "1.1 tidegate"),
        (&["--http2"], &http, "1.1", "1.1 tidegate"), // asks for an upgrade, which nobody grants any more (RFC 9113 §3.1)
        (&["--http2-prior-knowledge"], &http, "2", "2.0 tidegate"),
        (&["--http1.1"], &https, "1.1", "1.1 tidegate"),
        (&["--http2"], &https, "2", "2.0 tidegate"),
    ];
    for (options, to, version, via) in ways {
        let what = format!("{options:?} {to}");
        let (up, down) = (format!("@{}", upload.display()), download.display().to_string());
        let rest =
            ["--data-binary", &up, "--output", &down, "--write-out", "%{response_code} %{http_version}", to];
        let output = world.curl(&[options, &rest].concat());
        assert_eq!(said(&output), format!("200 {version}"), "{what}: {output:?}");
        assert!(std::fs::read(&download).unwrap() == body, "{what}: it came back changed");
        assert_eq!(world.endpoint.last_request().field("via"), Some(via), "{what}");
    }
    let urls: Vec<String> = (0..50).map(|number| format!("{https}/{number}")).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    let options = ["--parallel", "--http2", "--write-out", "%{response_code} %{num_connects}\n"];
    let output = world.curl(&[&options[..], &urls].concat());
    assert_eq!(said(&output).lines().filter(|line| line.starts_with("200 ")).count(), 50, "{output:?}");
}

#[test]
fn nghttp_asks_for_many_at_once() {
    let world = World::new(Script::answers(&"x".repeat(100_000)), "");
    for to in [world.https(), world.http()] {
        let to = to.replace("app.test", "127.0.0.1");
        let mut command = bounded(30, "nghttp");
        command.args([
            "--stat",
            "--null-out",
            "--no-verify-peer",
            "--multiply=60",
            "--header=:authority: app.test",
        ]);
        let output = command.arg(format!("{to}/page")).output().expect("nghttp is installed");
        let served =
            said(&output).lines().filter(|line| line.contains(" 200 ") && line.contains("/page")).count();
        assert_eq!(served, 60, "{output:?}");
    }
    assert_eq!(world.endpoint.malformed(), Vec::<String>::new());
}

const ASSETS: usize = 120;

/// Loads many assets, speaks through a WebSocket, listens to events, and tells what came of it.
const PAGE: &str = r#"<!doctype html><title>page</title><script type="module">
const loaded = await Promise.all([...Array(120).keys()].map(async number => {
    const answer = await fetch(`/asset/${number}`);
    return (await answer.text()).length === 20000 + number;
}));
const protocols = new Set(performance.getEntriesByType("resource").map(entry => entry.nextHopProtocol));
const echoed = await new Promise((resolve, reject) => {
    const socket = new WebSocket(`wss://${location.host}/echo/browser`);
    const heard = [];
    socket.onopen = () => ["one", "two", "x".repeat(100000)].forEach(message => socket.send(message));
    socket.onmessage = event => heard.push(event.data.length) === 3 && socket.close(4000, "enough");
    socket.onclose = event => resolve([...heard, event.code, event.reason, event.wasClean]);
    socket.onerror = () => reject("the socket failed");
}).catch(String);
const events = await new Promise(resolve => {
    const source = new EventSource("/events");
    const heard = [];
    source.onmessage = event => heard.push(event.data) === 6 && (source.close(), resolve(heard));
});
await fetch("/done", { method: "POST", body: JSON.stringify({
    loaded: loaded.filter(Boolean).length, protocols: [...protocols], echoed, events }) });
</script>"#;

fn serve_page(visit: &mut Visit<'_>) -> Then {
    if !visit.read_body() {
        return Then::Close;
    }
    let target = visit.request().target.clone();
    let (kind, body) = match target.strip_prefix("/asset/").and_then(|number| number.parse().ok()) {
        Some(number) => ("text/plain", "a".repeat(20_000 + usize::min(number, ASSETS))),
        None if target == "/" => ("text/html", PAGE.to_owned()),
        None if target == "/events" => return serve_events(visit),
        None => ("text/plain", String::new()),
    };
    let length = body.len();
    visit.write(format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}"));
    Then::KeepAlive
}

/// Three events and an end, after which the browser comes again, and says what it has heard last.
fn serve_events(visit: &mut Visit<'_>) -> Then {
    let last: usize = visit.request().field("last-event-id").and_then(|id| id.parse().ok()).unwrap_or(0);
    visit.write(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n\r\nretry: 50\n\n",
    );
    for number in last + 1..=last + 3 {
        std::thread::sleep(Duration::from_millis(50));
        visit.write(format!("id: {number}\ndata: event {number}\n\n"));
    }
    Then::Close
}

/// Ended with the value, with all the programs that it started.
struct Browser(Child);

impl Browser {
    fn open(url: &str, issued: &Issued, profile: &std::path::Path) -> Self {
        let mut command = bounded(90, "chromium");
        let rules = "--host-resolver-rules=MAP app.test 127.0.0.1";
        command.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", rules]);
        command.args(["--no-first-run", "--disable-background-networking", "--disable-component-update"]);
        command.arg(format!("--ignore-certificate-errors-spki-list={}", fingerprint(issued)));
        command.arg(format!("--user-data-dir={}", profile.display())).arg(url);
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("chromium is installed"))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // `timeout` passes it on to the group that it made.
        tidegate_testkit::process::signal(self.0.id(), rustix::process::Signal::TERM);
        let _ = self.0.wait();
    }
}

/// Of the key of a certificate, as the browser wants it.
fn fingerprint(issued: &Issued) -> String {
    let pipe = "openssl x509 -in \"$0\" -pubkey -noout | openssl pkey -pubin -outform der | \
                openssl dgst -sha256 -binary | openssl enc -base64";
    let output =
        Command::new("sh").args(["-c", pipe]).arg(&issued.cert).output().expect("openssl is installed");
    said(&output).trim().to_owned()
}

#[test]
fn a_browser_loads_a_page_speaks_through_a_websocket_and_hears_events() {
    let port = Port::free();
    let mut server = script("websocket.py").args(["serve", &port.number().to_string()]).spawn().unwrap();
    eventually("the server listens", || std::net::TcpStream::connect(port.address()).is_ok());
    let route =
        format!("[log]\naccess = \"stdout\"\n[[route]]\npath = \"/echo/\"\nto = \"{}\"", port.address());
    let world = World::new(Script::new(serve_page), &route);
    let profile = tempfile::tempdir().unwrap();
    let browser = Browser::open(&world.https(), &world.issued, profile.path());
    let done = || {
        world.endpoint.requests().into_iter().find(|request| request.target == "/done" && request.complete)
    };
    let told = tidegate_testkit::patience::comes_true(Duration::from_secs(80), || done().is_some());
    drop(browser);
    let _ = server.kill();
    let _ = server.wait();
    assert!(told, "the page never told: {:#?}", world.endpoint.requests().len());
    let told: serde_json::Value = serde_json::from_slice(&done().unwrap().body).unwrap();
    let events: Vec<String> = (1..=6).map(|number| format!("event {number}")).collect();
    let expected = serde_json::json!({
        "loaded": ASSETS,
        "protocols": ["h2"],
        "echoed": [3, 3, 100_000, 4000, "enough", true],
        "events": events,
    });
    assert_eq!(told, expected);
    // RFC 8441: the same connection carries the WebSocket.
    world.proxy.output().wait_for_stdout(&["/echo/browser", "\"protocol\":\"HTTP/2\""]);
    assert_eq!(world.endpoint.malformed(), Vec::<String>::new());
}

/// What a page says for its own safety; the rest of what is looked at is the proxy's.
const SAFE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Frame-Options: DENY\r\nX-Content-Type-Options: nosniff\r\n\
                    Content-Security-Policy: default-src 'self'\r\n\r\n";

#[test]
fn testssl_finds_nothing_that_matters() {
    let world = World::new(Script::writes(SAFE, Then::KeepAlive), "");
    let folder = tempfile::tempdir().unwrap();
    let found = folder.path().join("found.json");
    let mut command = bounded(400, "testssl");
    command.args(["--quiet", "--warnings", "off", "--color", "0", "--ip", "127.0.0.1", "--add-ca"]);
    command.arg(world.authority.cert()).arg("--jsonfile").arg(&found);
    // Protocols, ciphers, forward secrecy, preferences, the certificate, headers, and every vulnerability that has a name.
    command.args(["-p", "-s", "-f", "-P", "-S", "-h", "-U"]).arg(world.https());
    let output =
        command.stdin(Stdio::null()).current_dir(folder.path()).output().expect("testssl.sh is installed");
    let found = std::fs::read(&found).unwrap_or_else(|_| panic!("{output:?}"));
    let found: Vec<Finding> =
        serde_json::from_slice(&found).unwrap_or_else(|_| panic!("cut short: {output:?}"));
    let bad: Vec<_> = found.iter().filter(|one| is_bad(one)).collect();
    assert!(bad.is_empty(), "{bad:#?}");
    for looked_at in ["TLS1_3", "cert_chain_of_trust", "HSTS_time", "heartbleed", "cipher_order", "RC4"] {
        assert!(found.iter().any(|one| one["id"] == looked_at), "{looked_at} was not looked at: {found:#?}");
    }
}

type Finding = serde_json::Value;

fn is_bad(finding: &Finding) -> bool {
    let harmless = ["OK", "INFO", "LOW", "WARN", "DEBUG"];
    !harmless.iter().any(|severity| finding["severity"] == *severity)
}
