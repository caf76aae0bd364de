//! Certificates by records in the DNS: through a command, and by updates that BIND takes; wildcards need them.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use tidegate_testkit::named::Named;
use tidegate_testkit::pebble::Pebble;
use tidegate_testkit::{Endpoint, Port, Proxy, Tidegate, apart, eventually};

/// A site that wants certificates, and can show records only.
struct Site {
    tls: Port,
    endpoint: Endpoint,
    pebble: Pebble,
    folder: tempfile::TempDir,
}

impl Site {
    fn new(pebble: impl FnOnce(Pebble) -> Pebble) -> Self {
        let unused = Port::free();
        let pebble = pebble(Pebble::looking_at(unused.number(), unused.number()));
        let (tls, folder) = (Port::free(), tempfile::tempdir().unwrap());
        Self { tls, endpoint: Endpoint::answering("hello"), pebble, folder }
    }

    fn proxy(&self, hosts: &str, dns: &str) -> Proxy {
        Tidegate::with(format!(
            "to = \"{}\"\n[[listener]]\nbind = \"{{listen}}\"\n[[listener]]\nbind = \"{}\"\n\
             [listener.tls.acme]\nhosts = {hosts}\nfolder = '{}'\n{}\ndns = {{ {dns} }}\n",
            self.endpoint.address(),
            self.tls.address(),
            self.folder.path().join("acme").display(),
            self.pebble.keys().replace(", ", "\n"),
        ))
        .start()
    }

    fn is_served(&self, host: &str) {
        let mut connection = self.pebble.client().connect(self.tls.address(), host).unwrap();
        assert_eq!(connection.get(host, "/").unwrap().0, 200);
    }
}

/// A command that tells the DNS server of `pebble`, and remembers what it was told.
fn hook(site: &Site) -> PathBuf {
    let (file, to) = (site.folder.path().join("hook"), site.pebble.records());
    let log = log(site);
    let script = format!(
        "set -e\necho \"$* ${{TIDEGATE_ACME_HOST}}\" >> '{}'\ncase $2 in present) do=set-txt;; cleanup) do=clear-txt;; esac\n\
         curl -sSf -d \"{{\\\"host\\\":\\\"$3\\\",\\\"value\\\":\\\"$4\\\"}}\" http://{to}/$do\n",
        log.display()
    );
    std::fs::write(&file, script).unwrap();
    file
}

fn log(site: &Site) -> PathBuf {
    site.folder.path().join("log")
}

fn text(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_default()
}

#[test]
fn a_command_shows_a_record_for_a_wildcard_and_takes_it_away() {
    let mut site = Site::new(|pebble| pebble);
    site.pebble.start();
    let hook = hook(&site);
    let dns = format!("command = ['sh', '{}', 'mine'], resolver = '{}'", hook.display(), site.pebble.names());
    let proxy = site.proxy("['*.app.test']", &dns);
    proxy.wait_for_metric("tidegate_acme_orders_total", &[("outcome", "obtained")], 1.0);
    site.is_served("any.app.test");
    let told = text(&log(&site));
    let lines: Vec<Vec<_>> = told.lines().map(|line| line.split(' ').collect()).collect();
    let [shown, taken] = &lines[..] else { panic!("{told}") };
    assert_eq!(shown[..3], ["mine", "present", "_acme-challenge.app.test."]);
    assert_eq!(taken[..3], ["mine", "cleanup", "_acme-challenge.app.test."]);
    assert_eq!(shown[3..], taken[3..], "the value, and the host");
    assert_eq!(shown[4], "*.app.test");
}

#[test]
fn a_command_that_fails_is_told_of_in_its_own_words() {
    let mut site = Site::new(|pebble| pebble);
    site.pebble.start();
    let dns = format!(
        "command = ['sh', '-c', 'echo \"no such zone\" >&2; exit 3'], resolver = '{}'",
        site.pebble.names()
    );
    let proxy = site.proxy("['app.test']", &dns);
    let said = proxy.output().wait_for_stderr(&["no new certificate for app.test", "cannot be shown"]);
    assert!(said.contains("`sh` ended with 3: no such zone"), "{said}");
    assert!(proxy.admin("/status").text().contains("no such zone"));
    proxy.wait_for_metric("tidegate_acme_orders_total", &[("outcome", "failed")], 1.0);
}

#[test]
fn a_reload_that_wants_no_certificate_any_more_takes_away_what_is_shown_for_it() {
    let mut site = Site::new(|pebble| pebble);
    site.pebble.start();
    let script = format!("echo \"$1\" >> '{}'; test \"$1\" = cleanup || sleep 1000", log(&site).display());
    let file = site.folder.path().join("hook");
    std::fs::write(&file, script).unwrap();
    let dns = format!("command = ['sh', '{}'], resolver = '{}'", file.display(), site.pebble.names());
    let proxy = site.proxy("['app.test']", &dns);
    eventually("a record is shown", || text(&log(&site)) == "present\n");
    proxy.reload(&format!("to = \"{}\"\n", site.endpoint.address()));
    eventually("and taken away", || text(&log(&site)) == "present\ncleanup\n");
}

/// In the middle of an order, and within the time that a drain has.
#[test]
fn a_proxy_that_is_told_to_end_takes_away_what_it_shows() {
    let mut site = Site::new(|pebble| pebble);
    site.pebble.start();
    // To take a record away takes longer than to end without.
    let script = format!(
        "echo \"$1\" >> '{0}'; test \"$1\" = cleanup || sleep 1000; sleep 2; echo done >> '{0}'",
        log(&site).display()
    );
    let file = site.folder.path().join("hook");
    std::fs::write(&file, script).unwrap();
    let dns = format!("command = ['sh', '{}'], resolver = '{}'", file.display(), site.pebble.names());
    let mut proxy = site.proxy("['app.test']", &dns);
    eventually("a record is shown", || text(&log(&site)) == "present\n");
    proxy.drain();
    assert!(proxy.wait().success());
    assert_eq!(text(&log(&site)), "present\ncleanup\ndone\n");
}

#[test]
fn a_record_has_its_time_where_those_who_serve_the_zone_cannot_be_asked() {
    let mut site = Site::new(|pebble| pebble);
    site.pebble.start();
    let dns = |command| format!("command = ['{command}'], wait = '1s', resolver = '{}'", site.pebble.names());
    let proxy = site.proxy("['app.test']", &dns("true"));
    // Who would have seen it is the authority.
    proxy.output().wait_for_stderr(&["no new certificate for app.test", "the authority refused"]);
}

const FIRST: Ipv4Addr = Ipv4Addr::LOCALHOST;
const SECOND: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

const ONE_SERVER: &str = "@ NS ns1\nns1 A 127.0.0.1";

#[test]
fn updates_that_are_signed_show_records_also_where_an_alias_leads() {
    apart("acme_dns::updates_that_are_signed_show_records_also_where_an_alias_leads", |_| {
        let records = format!("{ONE_SERVER}\n_acme-challenge.alias CNAME elsewhere");
        let named = Named::serving(FIRST, &[("app.test", &records)]);
        let mut site = Site::new(|pebble| pebble.asking(named.address()));
        site.pebble.start();
        let dns = format!("server = '127.0.0.1', key = '{}', resolver = '127.0.0.1'", named.key().display());
        let proxy = site.proxy("['*.app.test', 'app.test', 'alias.app.test']", &dns);
        proxy.wait_for_metric("tidegate_acme_orders_total", &[("outcome", "obtained")], 3.0);
        for host in ["any.app.test", "app.test", "alias.app.test"] {
            site.is_served(host);
        }
        for name in ["_acme-challenge.app.test", "elsewhere.app.test"] {
            let left = Command::new("dig").args(["+short", "@127.0.0.1", "TXT", name]).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&left.stdout), "", "nothing is left at {name}");
        }
    });
}

#[test]
fn an_authority_is_not_told_to_look_before_every_server_of_the_zone_shows_the_record() {
    apart(
        "acme_dns::an_authority_is_not_told_to_look_before_every_server_of_the_zone_shows_the_record",
        |network| {
            network.add_address(SECOND);
            let two = "@ NS ns1\n@ NS ns2\nns1 A 127.0.0.1\nns2 A 127.0.0.2";
            let first = Named::serving(FIRST, &[("app.test", two)]);
            let second = Named::serving(SECOND, &[("app.test", two)]); // and never hears of a change
            let mut site = Site::new(|pebble| pebble.asking(first.address()));
            site.pebble.start();
            let dns = |wait| {
                let key = first.key();
                format!(
                    "server = '127.0.0.1', key = '{}', resolver = '127.0.0.1', wait = '{wait}'",
                    key.display()
                )
            };
            let mut proxy = site.proxy("['app.test']", &dns("2s"));
            let said = proxy.output().wait_for_stderr(&["no new certificate for app.test", "not to be seen"]);
            assert!(said.contains("to be seen at 127.0.0.2:53 after 2s"), "only who lacks it: {said}");
            proxy.kill();
            drop(second); // who does not answer is not waited for
            let proxy = site.proxy("['app.test']", &dns("2s"));
            proxy.wait_for_metric("tidegate_acme_orders_total", &[("outcome", "obtained")], 1.0);
        },
    );
}

#[test]
fn a_server_that_knows_another_key_is_told_of() {
    apart("acme_dns::a_server_that_knows_another_key_is_told_of", |_| {
        let named = Named::serving(FIRST, &[("app.test", ONE_SERVER)]);
        let mut site = Site::new(|pebble| pebble.asking(named.address()));
        site.pebble.start();
        let key = site.folder.path().join("other.key");
        for (name, why) in
            [("acme", "its key of that name is another one"), ("other", "it knows no such key")]
        {
            let text = format!("key \"{name}\" {{ algorithm hmac-sha256; secret \"b3RoZXI=\"; }};");
            std::fs::write(&key, text).unwrap();
            let dns = format!("server = '127.0.0.1', key = '{}', resolver = '127.0.0.1'", key.display());
            let proxy = site.proxy("['app.test']", &dns);
            let said = proxy.output().wait_for_stderr(&["no new certificate for app.test"]);
            let expected = format!("127.0.0.1:53 refused to change app.test.: Not authorized: {why}");
            assert!(said.contains(&expected), "{said}");
        }
    });
}
