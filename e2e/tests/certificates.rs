//! Certificates in the course of time: files that change, files that break, days that pass.

use std::fs::File;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};
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
        symlink(to, &staged).unwrap();
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
    let problems = problems(&proxy);
    assert_eq!(problems.iter().flatten().collect::<Vec<_>>(), ["expired 3 days ago"], "{problems:?}");
}

/// Of each certificate, as `/status` has them.
fn problems(proxy: &Proxy) -> Vec<Option<String>> {
    let status: serde_json::Value = serde_json::from_str(&proxy.admin("/status").text()).unwrap();
    let certificates = status["certificates"].as_array().unwrap();
    certificates.iter().map(|one| one["problem"].as_str().map(str::to_owned)).collect()
}

fn make_pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// Ended when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What it says before it ends by itself, because its configuration is no good.
fn refused(command: &str, folder: &Path) -> String {
    let said = folder.join("said");
    let mut tidegate = Command::new(program());
    tidegate.arg(command).current_dir(folder).stdin(Stdio::null()).stderr(File::create(&said).unwrap());
    let mut running = Running(tidegate.spawn().unwrap());
    eventually("it ends", || running.0.try_wait().unwrap().is_some());
    assert_eq!(running.0.wait().unwrap().code(), Some(78), "{command}");
    std::fs::read_to_string(said).unwrap()
}

#[test]
fn what_is_no_file_or_too_large_is_refused_before_anything_starts() {
    let authority = Authority::new();
    let issued = authority.issue("app", &["app.test"]);
    let folder = issued.cert.parent().unwrap();
    make_pipe(&folder.join("pipe"));
    symlink("/dev/zero", folder.join("zero")).unwrap();
    File::create(folder.join("large")).unwrap().set_len(64 * 1024 * 1024 + 1).unwrap();
    let ca = authority.cert().display().to_string();
    for (listener, endpoints, said) in [
        (
            "cert = 'pipe', key = 'app.key'",
            String::new(),
            "pipe cannot be read: it is a named pipe: name a file",
        ),
        ("cert = 'app.pem', key = 'pipe'", String::new(), "pipe cannot be read: it is a named pipe"),
        ("cert = 'app.pem', key = 'large'", String::new(), "large cannot be read: it is larger than 1 MiB"),
        (
            "cert = 'app.pem', key = 'app.key', client_ca = 'zero'",
            String::new(),
            "zero cannot be read: it is a device",
        ),
        (
            &format!("cert = 'app.pem', key = 'app.key', client_ca = '{ca}', client_crl = 'large'"),
            String::new(),
            "large cannot be read: it is larger than 64 MiB",
        ),
        (
            "cert = 'app.pem', key = 'app.key'",
            "tls = { ca = 'pipe' }\n".into(),
            "pipe cannot be read: it is a named pipe",
        ),
    ] {
        let config = format!(
            "[[route]]\nto = 'https://localhost:8001'\n{endpoints}[[listener]]\nbind = ':0'\ntls = {{ {listener} }}\n"
        );
        std::fs::write(folder.join("tidegate.toml"), config).unwrap();
        for command in ["check", "run"] {
            let output = refused(command, folder);
            assert!(output.contains(said), "{command}, {said}: {output}");
        }
    }
}

#[test]
fn a_pipe_in_the_place_of_a_file_holds_nothing_up() {
    let (authority, endpoint) = (Authority::new(), Endpoint::answering("hello"));
    let (one, two) = (authority.issue("one", &["one.test"]), authority.issue("two", &["app.test"]));
    let proxy = https(&endpoint, &[&one, &two]);
    std::fs::remove_file(&one.cert).unwrap();
    make_pipe(&one.cert);
    proxy.output().wait_for_stderr(&["one.pem", "the one before is kept", "it is a named pipe"]);
    let next = authority.issue("two", &["app.test"]).der();
    eventually("the new certificate is shown", || leaf(&authority, &proxy) == next);
}

#[test]
fn what_vouches_for_others_is_told_of_when_it_has_had_its_time() {
    let authority = Authority::new();
    let expired = authority.issue_for_days("expired", &["a.test"], -90..=-3);
    let pem = |path: &Path| std::fs::read(path).unwrap();
    let mixed = expired.cert.with_file_name("mixed.pem");
    std::fs::write(&mixed, [pem(&expired.cert), pem(&authority.cert())].concat()).unwrap();
    let [old, fresh] = [("old.crl", -10..=-3), ("fresh.crl", -4..=3)]
        .map(|(file, days)| authority.revoke_for_days(file, &[], days));
    let issued = authority.issue("app", &["app.test"]);
    let config = |ca: &Path, list: &Path| {
        format!(
            "[[route]]\nto = 'https://localhost:8001'\ntls = {{ ca = '{}' }}\n[[listener]]\nbind = '{{listen}}'\n\
             tls = {{ {}, client_ca = '{}', client_crl = '{}' }}\n",
            ca.display(),
            issued.keys(),
            ca.display(),
            list.display()
        )
    };
    let authorities = "expired.pem holds only certificates that have expired, the last one 3 days ago";
    let list = "old.crl should have been followed by another one 3 days ago; it counts all the same";
    let proxy = Tidegate::with(config(&expired.cert, &old)).start();
    for said in [authorities, list] {
        proxy.output().wait_for_stderr(&["warning: ", said]);
    }
    assert!(problems(&proxy).iter().flatten().any(|problem| problem.contains(authorities)));
    let check = || {
        let checked = Command::new(program()).arg("check").current_dir(proxy.folder()).output().unwrap();
        assert!(checked.status.success());
        String::from_utf8(checked.stderr).unwrap()
    };
    let said = check();
    assert_eq!(said.matches(authorities).count(), 2, "of clients and of endpoints: {said}");
    assert_eq!(said.matches(list).count(), 1, "{said}");

    // Another one that is no better is told of as well, and nothing is said of what is well.
    std::fs::copy(authority.revoke_for_days("next.crl", &[], -9..=-2), &old).unwrap();
    proxy.output().wait_for_stderr(&["old.crl", "another one 2 days ago"]);
    proxy.reload(&config(&mixed, &old));
    let has_problem = |what: &str| problems(&proxy).iter().flatten().any(|problem| problem.contains(what));
    eventually("the list is told of", || {
        has_problem("old.crl should have been") && !has_problem("expired.pem")
    });
    proxy.reload(&config(&mixed, &fresh));
    eventually("nothing is wrong any more", || !has_problem(""));
    let said = check();
    assert!(!said.contains("mixed.pem") && !said.contains("fresh.crl"), "{said}");
    let said = proxy.output().all();
    assert!(!said.contains("mixed.pem holds") && !said.contains("fresh.crl should"), "{said}");
}

/// In place, as `cp -p` does of what is as old.
fn overwrite(from: &Path, to: &Path) {
    std::fs::write(to, std::fs::read(from).unwrap()).unwrap();
    let then = UNIX_EPOCH + Duration::from_secs(1);
    File::options().write(true).open(to).unwrap().set_modified(then).unwrap();
}

#[test]
fn what_is_copied_over_a_file_with_its_times_is_a_change_though_it_is_as_long() {
    let (authority, endpoint) = (Authority::new(), Endpoint::answering("hello"));
    let live = authority.issue("live", &["app.test"]);
    let length = |path: &Path| std::fs::metadata(path).unwrap().len();
    let issued = std::iter::repeat_with(|| authority.issue("next", &["app.test"]));
    let next = issued.take(1000).find(|next| length(&next.cert) == length(&live.cert)).unwrap();
    let expected = next.der();
    let pairs = [(&next.cert, &live.cert), (&next.key, &live.key)];
    assert!(pairs.iter().all(|(from, to)| length(from) == length(to)));
    for file in [&live.cert, &live.key] {
        overwrite(file, file);
    }
    let proxy = https(&endpoint, &[&live]);
    assert_ne!(leaf(&authority, &proxy), expected);
    for (from, to) in pairs {
        overwrite(from, to);
    }
    eventually("the new certificate is shown", || leaf(&authority, &proxy) == expected);
}
