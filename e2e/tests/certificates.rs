//! Certificates in the course of time: files that change, files that break, days that pass.

use std::path::PathBuf;
use std::process::Command;
use tidegate_testkit::proxy::program;
use tidegate_testkit::tls::{Authority, Issued};
use tidegate_testkit::{Endpoint, Proxy, Tidegate, eventually};

const OK: &str = "tidegate_tls_certificate_ok";

fn https(endpoint: &Endpoint, certificates: &[&Issued]) -> Proxy {
    let list: Vec<_> = certificates.iter().map(|issued| format!("{{ {} }}", issued.keys())).collect();
    let (to, list) = (endpoint.address(), list.join(", "));
    let listener = format!("[[listener]]\nbind = \"{{listen}}\"\ntls = {{ certificates = [{list}] }}\n");
    Tidegate::with(format!("to = \"{to}\"\n{listener}")).start()
}

fn leaf(authority: &Authority, proxy: &Proxy) -> Vec<u8> {
    authority.client().connect(proxy.address(), "app.test").unwrap().leaf()
}

#[test]
fn files_that_change_are_shown_without_a_reload_and_to_new_connections_only() {
    let (authority, endpoint) = (Authority::new(), Endpoint::answering("hello"));
    let proxy = https(&endpoint, &[&authority.issue("app", &["app.test"])]);
    let before = leaf(&authority, &proxy);
    let mut open = authority.client().connect(proxy.address(), "app.test").unwrap();
    let next = authority.issue("app", &["app.test"]);
    let expected = next.der();
    assert_ne!(before, expected);
    eventually("the new certificate is shown", || leaf(&authority, &proxy) == expected);
    assert_eq!(open.get("app.test", "/").unwrap().0, 200, "who was connected stays so");
    proxy.wait_for_metric("tidegate_tls_certificate_reads_total", &[("outcome", "replaced")], 1.0);
    proxy.output().wait_for_stderr(&["app.pem", "was read again"]);
}

#[test]
fn files_that_are_broken_or_half_written_change_nothing_and_are_told_of_once() {
    let (authority, endpoint) = (Authority::new(), Endpoint::answering("hello"));
    let issued = authority.issue("app", &["app.test"]);
    let proxy = https(&endpoint, &[&issued]);
    let before = leaf(&authority, &proxy);
    let other = authority.issue("other", &["app.test"]);
    let file = issued.cert.display().to_string();
    let ok = || proxy.metrics().sum(OK, &[("certificate", &file)]);
    assert!((ok() - 1.0).abs() < 0.1);

    let whole = std::fs::read(&other.cert).unwrap();
    for (contents, complaint) in [
        (&whole[..whole.len() / 2], "app.pem"),
        (&whole[..], "is not the one of the certificate"), // the key is still the one before
    ] {
        std::fs::write(&issued.cert, contents).unwrap();
        proxy.output().wait_for_stderr(&["the one before is kept", complaint]);
        eventually("the metric says so", || ok() < 0.5);
        assert_eq!(leaf(&authority, &proxy), before);
    }
    assert!(proxy.admin("/status").text().contains("is not the one of the certificate"));
    std::fs::copy(&other.key, &issued.key).unwrap();
    eventually("the new pair is shown", || leaf(&authority, &proxy) == other.der());
    eventually("the metric says so", || ok() > 0.5);
    let said = proxy.output().stderr();
    assert_eq!(said.iter().filter(|line| line.contains("the one before is kept")).count(), 2, "{said:?}");
}

#[test]
fn a_link_that_leads_elsewhere_is_a_change() {
    let (authority, endpoint) = (Authority::new(), Endpoint::answering("hello"));
    let (one, two) = (authority.issue("one", &["app.test"]), authority.issue("two", &["app.test"]));
    let folder = one.cert.parent().unwrap();
    let link = |to: &PathBuf, name: &str| {
        let (staged, path) = (folder.join("staged"), folder.join(name));
        std::os::unix::fs::symlink(to, &staged).unwrap();
        std::fs::rename(&staged, &path).unwrap();
        path
    };
    let mut live = one.clone();
    (live.cert, live.key) = (link(&one.cert, "live.pem"), link(&one.key, "live.key"));
    let proxy = https(&endpoint, &[&live]);
    assert_eq!(leaf(&authority, &proxy), one.der());
    link(&two.key, "live.key");
    link(&two.cert, "live.pem");
    eventually("what the link leads to is shown", || leaf(&authority, &proxy) == two.der());
}

#[test]
fn what_expires_soon_or_has_expired_is_told_at_the_start_and_in_metrics_and_status() {
    let (authority, endpoint) = (Authority::new(), Endpoint::answering("hello"));
    let fresh = authority.issue_for_days("fresh", &["a.test"], 0..=90);
    let soon = authority.issue_for_days("soon", &["b.test"], -80..=10);
    let expired = authority.issue_for_days("expired", &["c.test"], -90..=-3);
    let proxy = https(&endpoint, &[&fresh, &soon, &expired]);
    proxy.output().wait_for_stderr(&["soon.pem", "expires in ", " days"]);
    proxy.output().wait_for_stderr(&["expired.pem", "expired 3 days ago"]);
    assert!(!proxy.output().all().contains("fresh.pem"), "nothing is said of what is well");

    // Before a start, beside the lines that name them; what is old is no error, since it may be replaced at any time.
    let checked = Command::new(program()).arg("check").current_dir(proxy.folder()).output().unwrap();
    let said = String::from_utf8(checked.stderr).unwrap();
    assert!(checked.status.success() && !said.contains("fresh.pem"), "{said}");
    assert!(
        said.contains("soon.pem expires in ") && said.contains("expired.pem expired 3 days ago"),
        "{said}"
    );
    assert!(said.contains("warning: ") && said.contains("tidegate.toml:"), "{said}");

    let metrics = proxy.metrics();
    let expiry = |issued: &Issued| {
        let file = issued.cert.display().to_string();
        let name = "tidegate_tls_certificate_not_after_timestamp_seconds";
        metrics.sum(name, &[("certificate", &file)])
    };
    let days = |from: &Issued, to: &Issued| (expiry(to) - expiry(from)) / 86_400.0;
    assert!((days(&soon, &fresh) - 80.0).abs() < 0.01, "{}", days(&soon, &fresh));
    assert!((days(&expired, &soon) - 13.0).abs() < 0.01);
    let status = proxy.admin("/status").text();
    assert!(status.contains("\"names\":[\"c.test\"]") && status.contains("not_after"), "{status}");
}
