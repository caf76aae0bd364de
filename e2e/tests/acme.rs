//! Certificates that an authority hands out by itself: `pebble`, a real one for tests.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tidegate_testkit::pebble::Pebble;
use tidegate_testkit::proxy::program;
use tidegate_testkit::tls::Authority;
use tidegate_testkit::{Endpoint, Port, Proxy, Tidegate, apart, eventually};

/// A site that wants a certificate.
struct Site {
    plain: Port,
    tls: Port,
    endpoint: Endpoint,
    pebble: Pebble,
    folder: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let (plain, tls) = (Port::free(), Port::free());
        let pebble = Pebble::looking_at(plain.address().port(), tls.address().port());
        let folder = tempfile::tempdir().unwrap();
        Self { plain, tls, endpoint: Endpoint::answering("hello"), pebble, folder }
    }

    fn proxy(&self, more: &str) -> Proxy {
        Tidegate::with(self.config(more)).start()
    }

    fn config(&self, more: &str) -> String {
        format!(
            "[[route]]\nhost = \"app.test\"\nto = \"{}\"\n\
             [[listener]]\nbind = \"{}\"\nredirect_https = true\n[[listener]]\nbind = \"{{listen}}\"\n\
             [[listener]]\nbind = \"{}\"\n[listener.tls]\nacme = {{ {}, folder = '{}'{more} }}\n",
            self.endpoint.address(),
            self.plain.address(),
            self.tls.address(),
            self.pebble.keys(),
            self.folder.path().join("acme").display(),
        )
    }

    fn certificate(&self) -> PathBuf {
        self.folder.path().join("acme/certificates/app.test.pem")
    }

    fn wait_for_certificate(&self, proxy: &Proxy) {
        proxy.wait_for_metric("tidegate_acme_orders_total", &[("outcome", "obtained")], 1.0);
        let mut connection = self.pebble.client().connect(self.tls.address(), "app.test").unwrap();
        assert_eq!(connection.get("app.test", "/").unwrap().0, 200);
    }
}

/// What `/status` says of the one certificate.
fn status(proxy: &Proxy) -> serde_json::Value {
    let status: serde_json::Value = serde_json::from_str(&proxy.admin("/status").text()).unwrap();
    status["certificates"][0].clone()
}

fn acme(proxy: &Proxy) -> serde_json::Value {
    assert_eq!(status(proxy)["source"], "acme");
    status(proxy)["acme"].clone()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn each_challenge_gets_a_certificate_that_is_kept_where_nobody_else_reads_it() {
    for challenge in ["http-01", "tls-alpn-01"] {
        let mut site = Site::new();
        site.pebble.start();
        let mut proxy = site.proxy(&format!(", challenge = \"{challenge}\", email = \"ops@app.test\""));
        site.wait_for_certificate(&proxy);
        let seen = proxy.metrics().sum("tidegate_tls_handshakes_total", &[("outcome", "challenge")]);
        assert_eq!(seen > 0.5, challenge == "tls-alpn-01", "{challenge}: served nothing else");
        let acme = site.folder.path().join("acme");
        assert_eq!((mode(&acme), mode(&site.certificate())), (0o700, 0o600), "{challenge}");
        let accounts = acme.join("accounts");
        let account = std::fs::read_dir(&accounts).unwrap().next().unwrap().unwrap().path();
        assert_eq!((mode(&accounts), mode(&account)), (0o700, 0o600));

        let before = std::fs::read(site.certificate()).unwrap();
        proxy.kill();
        proxy.restart();
        let mut connection = site.pebble.client().connect(site.tls.address(), "app.test").unwrap();
        assert_eq!(connection.get("app.test", "/").unwrap().0, 200, "shown from the start on");
        assert_eq!(std::fs::read(site.certificate()).unwrap(), before, "and not asked for again");
    }
}

#[test]
fn an_authority_that_is_down_at_the_start_stops_nothing_and_is_asked_again() {
    let mut site = Site::new();
    let proxy = site.proxy("");
    proxy.wait_for_metric("tidegate_acme_orders_total", &[("outcome", "failed")], 1.0);
    proxy.output().wait_for_stderr(&["no new certificate for app.test", "cannot be reached"]);
    let asked = || acme(&proxy);
    assert!(proxy.admin("/status").text().contains("cannot be reached"));
    eventually("it waits to try again", || {
        asked()["state"] == "waiting" && asked()["failures_in_a_row"].as_u64() > Some(0)
    });
    let state = |state| proxy.metrics().sum("tidegate_acme_state", &[("state", state)]);
    eventually("metrics say so", || state("waiting") > 0.5 && state("fresh") < 0.5);
    assert_eq!(tidegate_testkit::Client::connect(site.plain.address()).get("/").status, 308);
    assert!(
        Authority::new().client().connect(site.tls.address(), "app.test").is_err(),
        "nothing to show yet"
    );
    site.pebble.start();
    site.wait_for_certificate(&proxy);
    assert!(!proxy.admin("/status").text().contains("cannot be reached"));
    let in_years = |seconds: f64| seconds / (365.0 * 24.0 * 3600.0);
    eventually("nothing until two thirds of its five years", || asked()["state"] == "fresh");
    let (next, ends) =
        (asked()["next_order"].as_f64().unwrap(), status(&proxy)["not_after"].as_f64().unwrap());
    assert!((in_years(ends - next) - 5.0 / 3.0).abs() < 0.01, "{next} {ends}");
    let metric = proxy.metrics().sum("tidegate_acme_next_order_timestamp_seconds", &[]);
    assert!((metric - next).abs() < 1.0, "{metric}");
    assert!(proxy.metrics().sum("tidegate_acme_failures_in_a_row", &[]) < 0.5);
    assert!(state("fresh") > 0.5 && state("waiting") < 0.5);
}

#[test]
fn a_certificate_past_two_thirds_of_its_life_is_shown_until_another_has_come() {
    let mut site = Site::new();
    let own = Authority::new();
    let old = own.issue_for_days("old", &["app.test"], -70..=20);
    let pair = [std::fs::read(&old.cert).unwrap(), std::fs::read(&old.key).unwrap()].concat();
    std::fs::create_dir_all(site.certificate().parent().unwrap()).unwrap();
    std::fs::write(site.certificate(), pair).unwrap();
    let proxy = site.proxy("");
    proxy.output().wait_for_stderr(&["no new certificate for app.test; the one before is kept"]);
    let shown = own.client().connect(site.tls.address(), "app.test").unwrap().leaf();
    assert_eq!(shown, old.der());
    site.pebble.start();
    site.wait_for_certificate(&proxy);
}

/// The account's file, and the certificate that is kept replaced by one that is old.
fn age(site: &Site, own: &Authority) -> PathBuf {
    let old = own.issue_for_days("old", &["app.test"], -70..=20);
    let pair = [std::fs::read(&old.cert).unwrap(), std::fs::read(&old.key).unwrap()].concat();
    std::fs::write(site.certificate(), pair).unwrap();
    let mut accounts = std::fs::read_dir(site.folder.path().join("acme/accounts")).unwrap();
    accounts.next().unwrap().unwrap().path()
}

fn account(file: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

#[test]
fn an_account_that_the_authority_has_forgotten_is_registered_anew_with_the_key_that_it_had() {
    let mut site = Site::new();
    site.pebble.start();
    let email = ", email = 'ops@app.test'";
    let mut proxy = site.proxy(email);
    site.wait_for_certificate(&proxy);
    let file = age(&site, &Authority::new());
    let before = account(&file);
    proxy.kill();
    site.pebble.forget_everything();
    proxy.restart();
    site.wait_for_certificate(&proxy);
    proxy.output().wait_for_stderr(&["no longer knows our account: another one has taken its place"]);
    let after = account(&file);
    assert_ne!(after["id"], before["id"]);
    assert_eq!(after["key_pkcs8"], before["key_pkcs8"]);
    assert_eq!(mode(&file), 0o600);
    assert!(proxy.metrics().sum("tidegate_acme_orders_total", &[("outcome", "failed")]) < 0.5);

    // While it runs, as well: the account is at hand then, and was good a moment ago.
    site.pebble.forget_everything();
    let route = format!("[[route]]\nhost = \"other.test\"\nto = \"{}\"\n", site.endpoint.address());
    proxy.reload(&format!("{route}{}", site.config(email)));
    proxy.wait_for_metric("tidegate_acme_orders_total", &[("outcome", "obtained")], 2.0);
    assert_ne!(account(&file)["id"], after["id"]);
}

#[test]
fn a_life_that_is_shorter_than_a_minute_is_renewed_in_time() {
    let mut site = Site::new();
    site.pebble = site.pebble.giving(9);
    site.pebble.start();
    let proxy = site.proxy("");
    let obtained = || proxy.metrics().sum("tidegate_acme_orders_total", &[("outcome", "obtained")]);
    eventually("another one has come", || obtained() > 1.5);
}

#[test]
fn what_is_kept_and_makes_no_sense_is_told_of_until_another_has_come_and_a_reload_does_not_hide_it() {
    let mut site = Site::new();
    std::fs::create_dir_all(site.certificate().parent().unwrap()).unwrap();
    std::fs::write(site.certificate(), "<html>502</html>").unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let (asked, never) = (site.pebble.address().to_string(), silent.local_addr().unwrap().to_string());
    let config = site.config("").replace(&asked, &never);
    let proxy = Tidegate::with(&config).start();
    let is_told =
        || status(&proxy)["problem"].as_str().is_some_and(|problem| problem.contains("holds no certificate"));
    assert!(is_told());
    proxy.reload(&config);
    eventually("it is read again", || proxy.admin("/status").text().contains("\"generation\":2"));
    assert!(is_told());
    site.pebble.start();
    proxy.reload(&site.config(""));
    site.wait_for_certificate(&proxy);
    assert!(status(&proxy)["problem"].is_null());
}

#[test]
fn a_certificate_of_another_authority_is_replaced_and_put_back_when_its_own_is_wanted_again() {
    let mut site = Site::new();
    let mut production = Pebble::looking_at(site.plain.address().port(), site.tls.address().port());
    site.pebble.start();
    production.start();
    let mut proxy = site.proxy("");
    site.wait_for_certificate(&proxy);
    let obtained =
        |proxy: &Proxy| proxy.metrics().sum("tidegate_acme_orders_total", &[("outcome", "obtained")]);
    let stored = || std::fs::read(site.certificate()).unwrap();
    let staged = stored();

    // As it was kept before there were notes: of whoever is asked now.
    let note = site.certificate().with_extension("from");
    proxy.kill();
    std::fs::remove_file(&note).unwrap();
    proxy.restart();
    eventually("a note is written", || note.exists() && acme(&proxy)["state"] == "fresh");
    assert_eq!(stored(), staged);
    assert!(obtained(&proxy) < 0.5 && !proxy.output().all().contains("another"));

    let staging = site.config("");
    let switched = staging.replace(&site.pebble.keys(), &production.keys());
    proxy.reload(&switched);
    let said = format!(
        "app.test gets another certificate, as the one before was given by another authority, https://{}/dir",
        site.pebble.address()
    );
    proxy.output().wait_for_stderr(&[&said]);
    let clients = [site.pebble.client(), production.client()];
    let is_shown = |of: usize| clients[of].connect(site.tls.address(), "app.test").is_ok();
    eventually("the other one is shown", || is_shown(1) && acme(&proxy)["state"] == "fresh");
    assert!((obtained(&proxy) - 1.0).abs() < 0.1);
    let given = stored();

    for (config, client, expected) in [(&staging, 0, &staged), (&switched, 1, &given)] {
        proxy.reload(config);
        eventually("the one of before is back", || is_shown(client) && acme(&proxy)["state"] == "fresh");
        assert_eq!(stored(), *expected);
    }
    assert!((obtained(&proxy) - 1.0).abs() < 0.1, "nobody was asked for it");
}

/// Each wants to see the host while the other one looks at it.
#[test]
fn two_authorities_are_asked_for_one_host_at_once_and_each_listener_shows_what_its_own_one_gave() {
    for challenge in ["http-01", "tls-alpn-01"] {
        let mut site = Site::new();
        let mut staging = Pebble::looking_at(site.plain.address().port(), site.tls.address().port());
        let beside = Port::free();
        let listener = |folder: &str| {
            format!(
                "[[listener]]\nbind = '{}'\ntls = {{ acme = {{ {}, challenge = '{challenge}', folder = '{}' }} }}\n",
                beside.address(),
                staging.keys(),
                site.folder.path().join(folder).display(),
            )
        };
        let config =
            format!("{}{}", site.config(&format!(", challenge = '{challenge}'")), listener("staging"));
        let shared = site.config("") + &listener("acme");
        site.pebble.start();
        staging.start();
        let proxy = Tidegate::with(config).start();
        proxy.wait_for_metric("tidegate_acme_orders_total", &[("outcome", "obtained")], 2.0);
        let failed = proxy.metrics().sum("tidegate_acme_orders_total", &[("outcome", "failed")]);
        assert!(failed < 0.5, "{challenge}: {}", proxy.output().all());
        let shows =
            |pebble: &Pebble, port: &Port| pebble.client().connect(port.address(), "app.test").is_ok();
        eventually("each shows its own", || shows(&site.pebble, &site.tls) && shows(&staging, &beside));
        assert!(!shows(&staging, &site.tls) && !shows(&site.pebble, &beside), "{challenge}");

        let file = site.folder.path().join("shared.toml");
        std::fs::write(&file, shared.replace("{listen}", "127.0.0.1:0")).unwrap();
        let refused = Command::new(program()).arg("check").arg(&file).output().unwrap();
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(said.contains("two authorities are asked for certificates for \"app.test\""), "{said}");
    }
}

/// `check` cannot know what is written differently and leads there.
#[test]
fn two_authorities_are_not_asked_for_one_host_whose_certificates_would_lie_in_one_place() {
    let (scratch, endpoint) = (tempfile::tempdir().unwrap(), Endpoint::answering("hello"));
    let folder = scratch.path().join("acme");
    symlink(&folder, scratch.path().join("link")).unwrap();
    let listener = |ca: &str, folder: &Path| {
        let (port, folder) = (Port::free(), folder.display());
        let acme = format!("hosts = ['app.test'], ca = 'https://127.0.0.1:9/{ca}', folder = '{folder}'");
        format!("[[listener]]\nbind = '{}'\ntls = {{ acme = {{ {acme} }} }}\n", port.address())
    };
    let config = |ca: &str, beside: &Path| {
        let plain = format!("listen = '{{listen}}'\nto = '{}'\n", endpoint.address());
        plain + &listener("one", &folder) + &listener(ca, beside)
    };
    let count = |proxy: &Proxy| {
        let status: serde_json::Value = serde_json::from_str(&proxy.admin("/status").text()).unwrap();
        status["certificates"].as_array().map(Vec::len)
    };
    let told =
        ["two authorities are asked for certificates for \"app.test\"", "/one and https", "/two; give"];
    for beside in ["link", "acme/../acme", "new/../acme"] {
        let said = Tidegate::with(config("two", &scratch.path().join(beside))).refuses_to_start();
        assert!(told.iter().all(|words| said.contains(words)), "{beside}: {said}");
    }
    let proxy = Tidegate::with(config("two", &scratch.path().join("other"))).start();
    proxy.reload(&config("two", &scratch.path().join("link")));
    proxy.output().wait_for_stderr(&told);
    assert_eq!(count(&proxy), Some(2), "the one before is in force");
    proxy.reload(&config("one", &scratch.path().join("link")));
    eventually("one authority gives one certificate", || count(&proxy) == Some(1));
}

#[test]
fn a_root_or_a_key_that_is_none_is_refused_beside_the_line_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("poem"), "Shall I compare thee").unwrap();
    let config = "to = 'localhost:8001'\n[[listener]]\nbind = ':0'\n[listener.tls.acme]\nhosts = ['app.example.com']\n\
                  ca_root = 'poem'\ndns = { server = 'ns.test', key = 'nowhere' }\n";
    std::fs::write(folder.path().join("tidegate.toml"), config).unwrap();
    for command in ["check", "run"] {
        let output = Command::new(program()).arg(command).current_dir(folder.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(78), "{command}");
        let said = String::from_utf8(output.stderr).unwrap();
        for words in [
            "tidegate.toml:6:11",
            "poem holds no certificate",
            "tidegate.toml:7:35",
            "nowhere cannot be read",
        ] {
            assert!(said.contains(words), "{command}, {words}: {said}");
        }
    }
}

/// Ended when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_authority_that_is_not_believed_is_told_of_in_words() {
    let mut site = Site::new();
    site.pebble.start();
    let stranger = Authority::new();
    let proxy = Tidegate::with(format!(
        "to = \"{}\"\n[[listener]]\nbind = \"{{listen}}\"\n[listener.tls]\nacme = {{ {}, hosts = ['app.test'], folder = '{}' }}\n",
        site.endpoint.address(),
        site.pebble.keys().replace(
            &site.pebble.authority().cert().display().to_string(),
            &stranger.cert().display().to_string()
        ),
        site.folder.path().join("acme").display(),
    ))
    .start();
    proxy.output().wait_for_stderr(&["cannot be reached: its certificate"]);
}

#[test]
fn a_public_host_and_no_listener_is_served_on_the_ports_of_the_web() {
    apart("acme::a_public_host_and_no_listener_is_served_on_the_ports_of_the_web", |_| {
        let (own, endpoint) = (Authority::new(), Endpoint::answering("hello"));
        let issued = own.issue_for_days("app", &["app.example.com"], 0..=90);
        let pair = [std::fs::read(&issued.cert).unwrap(), std::fs::read(&issued.key).unwrap()].concat();
        let folder = tempfile::tempdir().unwrap();
        let certificates = folder.path().join("acme/certificates");
        std::fs::create_dir_all(&certificates).unwrap();
        std::fs::write(certificates.join("app.example.com.pem"), pair).unwrap();
        let config = format!("[[route]]\nhost = \"app.example.com\"\nto = \"{}\"\n", endpoint.address());
        std::fs::write(folder.path().join("tidegate.toml"), config).unwrap();
        let mut command = Command::new(program());
        command.arg("run").current_dir(folder.path()).env("STATE_DIRECTORY", folder.path());
        let _running = Running(command.stdin(Stdio::null()).spawn().unwrap());

        let addresses = ["127.0.0.1", "::1"].map(|ip| ip.parse::<IpAddr>().unwrap());
        for ip in addresses {
            eventually("both ports are served", || {
                [80, 443].iter().all(|port| TcpStream::connect((ip, *port)).is_ok())
            });
            let mut plain = TcpStream::connect((ip, 80)).unwrap();
            plain
                .write_all(b"GET /a HTTP/1.1\r\nHost: app.example.com\r\nConnection: close\r\n\r\n")
                .unwrap();
            let mut answer = String::new();
            plain.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 308"), "{answer}");
            assert!(
                answer.to_ascii_lowercase().contains("location: https://app.example.com/a\r\n"),
                "{answer}"
            );
            let mut https = own.client().connect((ip, 443).into(), "app.example.com").unwrap();
            assert_eq!(https.get("app.example.com", "/").unwrap().0, 200);
        }
    });
}

/// What an authority gives counts there, so nothing is asked for that could not be kept.
#[test]
fn an_authority_is_not_asked_where_what_it_gives_could_not_be_kept() {
    let site = Site::new(); // whose authority would not answer
    std::fs::write(site.folder.path().join("acme"), "a file, not a folder").unwrap();
    let proxy = site.proxy("");
    proxy.wait_for_metric("tidegate_acme_orders_total", &[("outcome", "failed")], 1.0);
    assert!(status(&proxy).to_string().contains("cannot be kept"), "{}", status(&proxy));
}

/// A full disk takes empty files.
#[test]
fn an_authority_is_not_asked_while_the_disk_has_no_room_for_what_it_gives() {
    apart("acme::an_authority_is_not_asked_while_the_disk_has_no_room_for_what_it_gives", |machine| {
        let mut site = Site::new();
        let folder = site.folder.path().join("acme");
        std::fs::create_dir(&folder).unwrap();
        let disk = machine.mount_disk(&folder, 256 * 1024);
        let fill = disk.fill();
        let proxy = site.proxy(""); // whose authority would not answer
        proxy.wait_for_metric("tidegate_acme_orders_total", &[("outcome", "failed")], 2.0);
        let said = status(&proxy).to_string();
        assert!(said.contains("cannot be kept: No space left on device"), "{said}");
        site.pebble.start();
        std::fs::remove_file(fill).unwrap();
        site.wait_for_certificate(&proxy);
        let kept = std::fs::read_dir(site.certificate().parent().unwrap()).unwrap();
        let mut kept: Vec<_> = kept.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        kept.sort();
        assert_eq!(kept, ["app.test.from", "app.test.pem"], "no room is left taken");
    });
}

/// Its folder takes it after all when the authority is gone, so that another order would be in vain.
#[test]
fn what_could_not_be_written_is_written_later_whatever_a_reload_changes_of_the_terms() {
    let mut site = Site::new();
    site.pebble.start();
    std::fs::create_dir_all(site.certificate()).unwrap(); // a folder, which no file takes the place of
    let proxy = site.proxy("");
    let is_told = || status(&proxy)["problem"].as_str().is_some_and(|said| said.contains("cannot be kept"));
    eventually("there was no place for it", is_told);
    let (root, elsewhere) = (site.pebble.authority().cert(), site.folder.path().join("root.pem"));
    std::fs::copy(&root, &elsewhere).unwrap();
    let changed = site.config(", email = 'ops@app.test'");
    let changed = changed.replace(&root.display().to_string(), &elsewhere.display().to_string());
    let certificate = site.certificate();
    drop(site.pebble);
    proxy.reload(&changed);
    eventually("it is read", || proxy.admin("/status").text().contains("\"generation\":2"));
    eventually("there is still no place for it", is_told);
    std::fs::remove_dir(&certificate).unwrap();
    proxy.reload(&changed.replace("/acme'", "/acme/../acme'"));
    eventually("it is shown", || acme(&proxy)["state"] == "fresh");
    assert!(certificate.is_file());
    assert!(!proxy.output().all().contains("cannot be reached"), "{}", proxy.output().all());
}
