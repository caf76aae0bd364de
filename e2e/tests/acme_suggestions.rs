//! An authority that says when it would like to be asked again: for a certificate that it refused, and for the next one
//! (RFC 9773), which `pebble` of Debian does not; and one that sends something else than a certificate. Tidegate stands before it, and
//! what it cannot answer goes to an endpoint of ours.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};
use tidegate_testkit::pebble::Pebble;
use tidegate_testkit::tls::{Authority, TlsClient};
use tidegate_testkit::{Endpoint, Port, Proxy, Script, Then, Tidegate, Visit, eventually};

const DAY: i64 = 24 * 60 * 60;

/// What the authority suggests, in seconds from now, and which certificates were to be replaced.
#[derive(Debug, Default)]
struct Opinion {
    window: Mutex<(i64, i64)>,
    replaced: Mutex<Vec<String>>,
}

impl Opinion {
    fn answers(&self, visit: &mut Visit<'_>, pebble: SocketAddr, client: &TlsClient) -> Then {
        visit.read_body();
        let request = visit.request().clone();
        let host = request.field("host").unwrap().to_owned();
        let body = if request.target == "/dir" {
            directory(&host).to_string()
        } else if request.target.starts_with("/ari/") {
            let (start, end) = *self.window.lock().unwrap();
            json!({ "suggestedWindow": { "start": date(start), "end": date(end) }, "explanationURL": "https://why.test" })
                .to_string()
        } else {
            return self.orders(visit, &host, pebble, client);
        };
        let head = format!("HTTP/1.1 200 OK\r\nRetry-After: 7200\r\nContent-Length: {}\r\n\r\n", body.len());
        visit.write(head + &body);
        Then::KeepAlive
    }

    /// Orders are passed on, and say which certificate they replace as the request did.
    fn orders(&self, visit: &mut Visit<'_>, host: &str, pebble: SocketAddr, client: &TlsClient) -> Then {
        let request = &visit.request().body;
        let signed: Value = serde_json::from_slice(request).unwrap();
        let payload = BASE64_URL_SAFE_NO_PAD.decode(signed["payload"].as_str().unwrap()).unwrap();
        let payload: Value = serde_json::from_slice(&payload).unwrap();
        let mut connection = client.connect(pebble, "localhost").unwrap();
        let head = format!(
            "POST /order-plz HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/jose+json\r\nConnection: close\r\n\
             Content-Length: {}\r\n\r\n",
            request.len()
        );
        connection.stream.write_all(&[head.as_bytes(), request].concat()).unwrap();
        let mut answer = Vec::new();
        let _ = connection.stream.read_to_end(&mut answer);
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let mut order: Value = serde_json::from_str(body).unwrap();
        if let Some(replaces) = payload["replaces"].as_str() {
            self.replaced.lock().unwrap().push(replaces.to_owned());
            order["replaces"] = replaces.into();
        }
        let kept = head.split("\r\n").filter(|line| !line.to_ascii_lowercase().starts_with("content-length"));
        let (head, body) = (kept.collect::<Vec<_>>().join("\r\n"), order.to_string());
        visit.write(format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        Then::Close
    }
}

/// Of `pebble`, but for the last.
fn directory(host: &str) -> Value {
    let at = |path: &str| format!("https://{host}{path}");
    json!({
        "newNonce": at("/nonce-plz"),
        "newAccount": at("/sign-me-up"),
        "newOrder": at("/order-plz"),
        "revokeCert": at("/revoke-cert"),
        "keyChange": at("/rollover-account-key"),
        "renewalInfo": at("/ari"),
    })
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed()
}

/// So many seconds from now, as RFC 3339 has it.
fn date(from_now: i64) -> String {
    let at = format!("@{}", now() + from_now);
    let output = Command::new("date").args(["-u", "-d", &at, "+%FT%TZ"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn status(proxy: &Proxy) -> Value {
    let status: Value = serde_json::from_str(&proxy.admin("/status").text()).unwrap();
    status["certificates"][0].clone()
}

/// Tidegate before an authority, with an endpoint that answers at some paths in its place.
fn before(pebble: &Pebble, paths: &[&str], oracle: &Endpoint) -> Proxy {
    let to = oracle.address();
    let own = paths.iter().map(|path| format!("[[route]]\npath = \"{path}\"\nto = \"{to}\"\n"));
    Tidegate::with(own.collect::<String>() + &authority_alone(pebble)).start()
}

/// The same without the endpoint.
fn authority_alone(pebble: &Pebble) -> String {
    let authority = pebble.authority();
    format!(
        "[[route]]\nto = \"https://{}\"\ntls = {{ ca = '{}' }}\n\
         [[listener]]\nbind = \"{{listen}}\"\ntls = {{ {} }}\n",
        pebble.address(),
        authority.cert().display(),
        authority.issue("front", &["127.0.0.1"]).keys(),
    )
}

/// Whoever wants a certificate from there.
fn site(
    hosts: &[&str],
    app: &Endpoint,
    ports: [SocketAddr; 2],
    folder: &Path,
    front: &Proxy,
    pebble: &Pebble,
) -> Proxy {
    Tidegate::with(site_config(hosts, app, ports, folder, front, pebble)).start()
}

fn site_config(
    hosts: &[&str],
    app: &Endpoint,
    [plain, tls]: [SocketAddr; 2],
    folder: &Path,
    front: &Proxy,
    pebble: &Pebble,
) -> String {
    format!(
        "to = \"{}\"\n[[listener]]\nbind = \"{plain}\"\n[[listener]]\nbind = \"{{listen}}\"\n[[listener]]\nbind = \"{tls}\"\n\
         [listener.tls.acme]\nhosts = {hosts:?}\nfolder = '{}'\nca = 'https://{}/dir'\nca_root = '{}'\n",
        app.address(),
        folder.display(),
        front.address(),
        pebble.authority().cert().display(),
    )
}

#[test]
fn an_authority_that_is_asked_too_often_is_not_asked_before_it_says() {
    let (plain, tls, folder) = (Port::free(), Port::free(), tempfile::tempdir().unwrap());
    let mut pebble = Pebble::looking_at(plain.number(), tls.number());
    pebble.start();
    let problem =
        json!({ "type": "urn:ietf:params:acme:error:rateLimited", "detail": "not before tea" }).to_string();
    let refusal = format!(
        "HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/problem+json\r\nRetry-After: 7200\r\n\
         Content-Length: {}\r\n\r\n{problem}",
        problem.len()
    );
    let oracle = Endpoint::start(Script::writes(refusal, Then::KeepAlive));
    let (front, app) = (before(&pebble, &["/order-plz"], &oracle), Endpoint::answering("hello"));
    let hosts = ["app.test", "other.test", "third.test"];
    let proxy = site(&hosts, &app, [plain.address(), tls.address()], folder.path(), &front, &pebble);
    let certificates = || {
        let status: Value = serde_json::from_str(&proxy.admin("/status").text()).unwrap();
        status["certificates"].as_array().unwrap().clone()
    };
    let all_wait = || certificates().iter().all(|one| one["acme"]["state"] == "waiting");
    eventually("it was refused", all_wait);
    proxy.signal(Signal::HUP); // which must not bring anybody to ask
    let mut next: Vec<_> = certificates()
        .iter()
        .inspect(|one| assert!(one["problem"].as_str().unwrap().contains("not before tea")))
        .map(|one| {
            (one["acme"]["next_order"].as_i64().unwrap() - now(), one["acme"]["failures_in_a_row"].as_i64())
        })
        .collect();
    next.sort_unstable();
    // What one of them was refused for may be its own name: the others ask once more, in a while.
    let [(second, Some(0)), (third, Some(0)), (first, Some(1))] = next[..] else { panic!("{next:?}") };
    assert!((7140..=7200).contains(&first), "{first}");
    assert!((540..=600).contains(&second) && (540..=600).contains(&third), "{second} {third}");
    proxy.wait_for_metric("tidegate_acme_orders_total", &[("outcome", "failed")], 1.0);
    assert_eq!(oracle.request_count(), 1, "the others have waited");
}

/// Of the one host, and whatever the reload changes but the authority and the folder on the disk.
#[test]
fn a_reload_does_not_forget_when_the_authority_wants_to_be_asked_again() {
    for kind in ["rateLimited", "rejectedIdentifier"] {
        let (plain, tls, folder) = (Port::free(), Port::free(), tempfile::tempdir().unwrap());
        let mut pebble = Pebble::looking_at(plain.number(), tls.number());
        pebble.start();
        let refusal = problem(kind).replacen("\r\n", "\r\nRetry-After: 7200\r\n", 1);
        let oracle = Endpoint::start(Script::writes(refusal, Then::KeepAlive));
        let (front, app) = (before(&pebble, &["/order-plz"], &oracle), Endpoint::answering("hello"));
        let config = |folder: &Path| {
            site_config(&["app.test"], &app, [plain.address(), tls.address()], folder, &front, &pebble)
        };
        let proxy = Tidegate::with(config(folder.path())).start();
        let waits = |words: &str| {
            let one = status(&proxy);
            let next = one["acme"]["next_order"].as_i64().unwrap_or_default() - now();
            let is_told = one["problem"].as_str().is_some_and(|problem| problem.contains(words));
            one["acme"]["state"] == "waiting" && is_told && (7000..=7200).contains(&next)
        };
        eventually("it was refused", || waits("the authority refused"));
        let beside = folder.path().join("certificates/..");
        for (generation, folder, more) in [
            (2, folder.path(), "email = 'ops@app.test'\n"),
            (3, folder.path(), "challenge = 'http-01'\n"),
            (4, beside.as_path(), "challenge = 'http-01'\n"),
        ] {
            proxy.reload(&(config(folder) + more));
            let read = format!("\"generation\":{generation}");
            eventually("it is read", || proxy.admin("/status").text().contains(&read));
            eventually("it is not asked", || waits("the authority is not asked for now") && waits(kind));
        }
        assert_eq!(oracle.request_count(), 1, "{kind}");
    }
}

/// At the first start, both listeners want one.
#[test]
fn one_authority_has_one_account_in_one_folder_on_whatever_terms_it_is_asked() {
    let scratch = tempfile::tempdir().unwrap();
    let mut pebble = Pebble::looking_at(1, 1);
    pebble.start();
    let own = format!(
        "[[route]]\nname = 'accounts'\npath = '/sign-me-up'\nto = 'https://{}'\ntls = {{ ca = '{}' }}\n",
        pebble.address(),
        pebble.authority().cert().display()
    );
    let front = Tidegate::with(own + &authority_alone(&pebble)).start();
    let (app, root) = (Endpoint::answering("hello"), pebble.authority().cert().display().to_string());
    let listener = |folder: &Path, host: &str, email: &str| {
        format!(
            "[[listener]]\nbind = '{{listen}}'\ntls = {{ acme = {{ hosts = ['{host}'], email = '{email}', ca = 'https://{}/dir', \
             ca_root = '{root}', folder = '{}' }} }}\n",
            front.address(),
            folder.display()
        )
    };
    let opened = || front.metrics().sum("tidegate_requests_total", &[("route", "accounts"), ("code", "2xx")]);
    for (accounts, second, email) in [(1.0, "one", "other@app.test"), (2.0, "two/../two", "ops@app.test")] {
        let first = scratch.path().join(second.split('/').next().unwrap());
        let config = format!("to = '{}'\n", app.address())
            + &listener(&first, "app.test", "ops@app.test")
            + &listener(&scratch.path().join(second), "other.test", email).replace("{listen}", "127.0.0.1:0");
        let proxy = Tidegate::with(config).start();
        // Nobody is there for it to look at, so it refuses both.
        proxy.wait_for_metric("tidegate_acme_orders_total", &[("outcome", "failed")], 2.0);
        assert!(!proxy.output().all().contains("cannot be kept"), "{}", proxy.output().all());
        assert!((opened() - accounts).abs() < 0.1, "{}: {second}, {email}", opened());
    }
}

#[test]
fn of_what_an_authority_says_a_paragraph_is_told_on_one_line() {
    let (plain, tls, folder) = (Port::free(), Port::free(), tempfile::tempdir().unwrap());
    let mut pebble = Pebble::looking_at(plain.number(), tls.number());
    pebble.start();
    let kind = "urn:ietf:params:acme:error:rejectedIdentifier";
    let body = json!({ "type": kind, "detail": "\u{1}\u{202e}\u{2028}".repeat(30_000) }).to_string();
    let refusal = format!("HTTP/1.1 400 Bad Request\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let oracle = Endpoint::start(Script::writes(refusal, Then::KeepAlive));
    let (front, app) = (before(&pebble, &["/order-plz"], &oracle), Endpoint::answering("hello"));
    let proxy = site(&["app.test"], &app, [plain.address(), tls.address()], folder.path(), &front, &pebble);
    let line = proxy.output().wait_for_stderr(&["no new certificate for app.test", "…"]);
    assert!(line.len() < 8 * 1024 && line.contains(r"\u{1}\u{202e}\u{2028}"), "{} bytes", line.len());
    let told = status(&proxy)["problem"].as_str().unwrap().len();
    assert!(told < 2 * 1024, "{told} bytes");
}

#[test]
fn a_page_in_the_place_of_a_directory_is_told_of_once_as_what_it_is() {
    let (plain, tls, folder) = (Port::free(), Port::free(), tempfile::tempdir().unwrap());
    let pebble = Pebble::looking_at(plain.number(), tls.number());
    let page = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>";
    let oracle = Endpoint::start(Script::writes(page, Then::KeepAlive));
    let (front, app) = (before(&pebble, &["/dir"], &oracle), Endpoint::answering("hello"));
    let proxy = site(&["app.test"], &app, [plain.address(), tls.address()], folder.path(), &front, &pebble);
    let words = "/dir gave no ACME directory: it answered text/html with status 200";
    proxy.output().wait_for_stderr(&["no new certificate for app.test", words]);
    let problem = status(&proxy)["problem"].as_str().unwrap().to_owned();
    assert!(problem.ends_with(words) && problem.matches("text/html").count() == 1, "{problem}");
}

/// RFC 8555 §6.7.
fn problem(kind: &str) -> String {
    let problem = json!({ "type": format!("urn:ietf:params:acme:error:{kind}"), "detail": kind }).to_string();
    format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: application/problem+json\r\nContent-Length: {}\r\n\r\n{problem}",
        problem.len()
    )
}

/// Some authorities say that of an account that they do not know (RFC 8555 §7.3.1 says how to find out), and all of much else.
#[test]
fn an_account_is_registered_anew_only_where_the_authority_does_not_know_it() {
    let (plain, tls, folder) = (Port::free(), Port::free(), tempfile::tempdir().unwrap());
    let mut pebble = Pebble::looking_at(plain.number(), tls.number());
    pebble.start();
    let said = Arc::new(Mutex::new("unauthorized"));
    let saying = Arc::clone(&said);
    let oracle = Endpoint::start(Script::new(move |visit| {
        visit.read_body();
        visit.write(problem(*saying.lock().unwrap()));
        Then::KeepAlive
    }));
    let (front, app) = (before(&pebble, &["/order-plz"], &oracle), Endpoint::answering("hello"));
    let proxy = site(&["app.test"], &app, [plain.address(), tls.address()], folder.path(), &front, &pebble);
    let refused = |failures: usize, kind: &str| {
        eventually("it was refused", || {
            let one = status(&proxy);
            one["acme"]["failures_in_a_row"] == failures
                && one["acme"]["state"] == "waiting"
                && one["problem"].as_str().unwrap().contains(kind)
        });
    };
    let account = || {
        let file = std::fs::read_dir(folder.path().join("accounts")).unwrap().next().unwrap().unwrap().path();
        let account: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        account["id"].clone()
    };
    refused(1, "unauthorized");
    let first = account();
    proxy.signal(Signal::HUP);
    refused(2, "unauthorized");
    assert_eq!(account(), first, "it is known");
    assert_eq!(oracle.request_count(), 2, "so nothing is asked for again at once");

    pebble.forget_everything();
    *said.lock().unwrap() = "rejectedIdentifier";
    proxy.signal(Signal::HUP);
    refused(3, "rejectedIdentifier");
    assert_eq!(account(), first, "nothing was said of it");
    *said.lock().unwrap() = "malformed";
    proxy.signal(Signal::HUP);
    refused(4, "malformed");
    assert_ne!(account(), first);
    proxy.output().wait_for_stderr(&["no longer knows our account"]);
    assert_eq!(oracle.request_count(), 5, "and the order was asked for again");
}

#[test]
fn a_reload_asks_again_at_once_where_the_authority_has_refused() {
    let (plain, tls, folder) = (Port::free(), Port::free(), tempfile::tempdir().unwrap());
    let mut pebble = Pebble::looking_at(plain.number(), tls.number());
    pebble.start();
    let oracle = Endpoint::start(Script::writes(problem("rejectedIdentifier"), Then::KeepAlive));
    let (front, app) = (before(&pebble, &["/order-plz"], &oracle), Endpoint::answering("hello"));
    let proxy = site(&["app.test"], &app, [plain.address(), tls.address()], folder.path(), &front, &pebble);
    // By itself, it would come for the fourth time after more than four minutes.
    for failures in 1..=4 {
        eventually("it was refused", || {
            let acme = &status(&proxy)["acme"];
            acme["state"] == "waiting" && acme["failures_in_a_row"] == failures
        });
        proxy.signal(Signal::HUP);
    }
}

#[test]
fn an_authority_that_was_down_and_loses_its_thread_has_refused_nothing() {
    let (plain, tls, folder) = (Port::free(), Port::free(), tempfile::tempdir().unwrap());
    let mut pebble = Pebble::looking_at(plain.number(), tls.number());
    let visits = AtomicUsize::new(0);
    let oracle = Endpoint::start(Script::new(move |visit| {
        visit.read_body();
        // Each is tried three times at once; so the authority loses its thread twice, and then says no.
        let lost = visits.fetch_add(1, Ordering::Relaxed) < 2 * 3;
        visit.write(problem(if lost { "badNonce" } else { "rejectedIdentifier" }));
        Then::KeepAlive
    }));
    let (front, app) = (before(&pebble, &["/order-plz"], &oracle), Endpoint::answering("hello"));
    let proxy = site(&["app.test"], &app, [plain.address(), tls.address()], folder.path(), &front, &pebble);
    proxy.output().wait_for_stderr(&["no new certificate for app.test"]);
    pebble.start();
    proxy.output().wait_for_stderr(&["does not know what it has just handed out"]);
    eventually("it has refused", || {
        let acme = &status(&proxy);
        acme["problem"].as_str().is_some_and(|problem| problem.contains("the authority refused"))
            && acme["acme"]["state"] == "waiting"
    });
    let next = status(&proxy)["acme"]["next_order"].as_i64().unwrap() - now();
    assert!((0..=19).contains(&next), "{next}");
}

/// What comes in the place of a certificate (RFC 8555 §7.4.2).
fn page(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn what_cannot_be_used_is_a_failure_and_the_certificate_before_is_kept() {
    let (plain, tls, folder) = (Port::free(), Port::free(), tempfile::tempdir().unwrap());
    let mut pebble = Pebble::looking_at(plain.number(), tls.number());
    pebble.start();
    let own = Authority::new();
    let pem = |path: &Path| std::fs::read_to_string(path).unwrap();
    let old = own.issue_for_days("old", &["app.test"], -70..=20);
    let file = folder.path().join("certificates/app.test.pem");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let kept = pem(&old.cert) + &pem(&old.key);
    std::fs::write(&file, &kept).unwrap();
    let said = Arc::new(Mutex::new(page("<html>502</html>")));
    let saying = Arc::clone(&said);
    let oracle = Endpoint::start(Script::new(move |visit| {
        visit.read_body();
        visit.write(saying.lock().unwrap().clone());
        Then::KeepAlive
    }));
    let (front, app) = (before(&pebble, &["/certZ/"], &oracle), Endpoint::answering("hello"));
    let (plain, tls) = (plain.address(), tls.address());
    let mut proxy = site(&["app.test"], &app, [plain, tls], folder.path(), &front, &pebble);
    let failed = |proxy: &Proxy, failures: usize, words: &str| {
        eventually("it has failed", || {
            let one = status(proxy);
            let problem = one["problem"].as_str().unwrap_or_default();
            one["acme"]["failures_in_a_row"] == failures
                && one["acme"]["state"] == "waiting"
                && problem.contains("gave no certificate that can be used")
                && problem.contains(words)
        });
        assert_eq!(pem(&file), kept);
    };
    failed(&proxy, 1, "holds no certificate");
    proxy.output().wait_for_stderr(&["no new certificate for app.test; the one before is kept"]);
    assert_eq!(oracle.request_count(), 3, "it is fetched again before another one is ordered");
    let orders = |outcome| proxy.metrics().sum("tidegate_acme_orders_total", &[("outcome", outcome)]);
    assert!(orders("obtained") < 0.5 && orders("failed") > 0.5);

    let other = own.issue("other", &["other.test"]);
    *said.lock().unwrap() = page(&pem(&other.cert));
    proxy.signal(Signal::HUP);
    for _ in 0..20 {
        assert!(status(&proxy)["problem"].is_string(), "a reload does not hide it");
    }
    failed(&proxy, 2, "is for other.test, and not for app.test");
    proxy.kill();
    proxy.restart();
    assert_eq!(own.client().connect(tls, "app.test").unwrap().leaf(), old.der(), "kept over a restart");
    failed(&proxy, 1, "other.test");

    front.reload(&authority_alone(&pebble));
    eventually("the authority is well again", || {
        proxy.signal(Signal::HUP);
        status(&proxy)["acme"]["state"] == "fresh"
    });
    assert_ne!(pem(&file), kept);
}

#[test]
fn a_certificate_is_replaced_when_its_authority_suggests_and_only_once() {
    let (plain, tls, folder) = (Port::free(), Port::free(), tempfile::tempdir().unwrap());
    let mut pebble = Pebble::looking_at(plain.number(), tls.number());
    pebble.start();
    let opinion = Arc::new(Opinion::default());
    *opinion.window.lock().unwrap() = (-2 * DAY, -DAY);
    let (holder, at, client) = (Arc::clone(&opinion), pebble.address(), pebble.authority().client());
    let oracle = Endpoint::start(Script::new(move |visit| holder.answers(visit, at, &client)));
    let front = before(&pebble, &["/dir", "/ari/", "/order-plz"], &oracle);
    let app = Endpoint::answering("hello");
    let (plain, tls) = (plain.address(), tls.address());
    let mut proxy = site(&["app.test"], &app, [plain, tls], folder.path(), &front, &pebble);
    let file = folder.path().join("certificates/app.test.pem");
    eventually("there is a certificate", || status(&proxy)["acme"]["state"] == "fresh");
    let first = std::fs::read(&file).unwrap();
    assert!(opinion.replaced.lock().unwrap().is_empty(), "there was none before");

    proxy.kill();
    proxy.restart();
    proxy
        .output()
        .wait_for_stderr(&["app.test gets another certificate, as its authority suggests: https://why.test"]);
    proxy.wait_for_metric("tidegate_acme_orders_total", &[("outcome", "obtained")], 1.0);
    eventually("there is another one", || status(&proxy)["acme"]["state"] == "fresh");
    assert_ne!(std::fs::read(&file).unwrap(), first);
    let asked: Vec<_> = oracle
        .requests()
        .into_iter()
        .filter_map(|one| one.target.strip_prefix("/ari/").map(str::to_owned))
        .collect();
    assert_eq!(*opinion.replaced.lock().unwrap(), asked, "the order says which certificate was asked about");
    assert!(asked.len() == 1 && asked[0].contains('.'), "a new one is not asked about at once: {asked:?}");

    *opinion.window.lock().unwrap() = (10 * DAY, 11 * DAY);
    proxy.kill();
    proxy.restart();
    eventually("the window is heard of", || status(&proxy)["acme"]["suggested"] == true);
    let next = status(&proxy)["acme"]["next_order"].as_i64().unwrap() - now();
    assert!((10 * DAY - 60..=11 * DAY).contains(&next), "{next}");
}
