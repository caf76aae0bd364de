//! Debian packages that cargo cannot bring: named first, then installed, only those that are missing.
//! Knows no test; never starts a service that a package brings.

use std::path::Path;
use std::process::Command;

/// A command that something here runs, and the Debian package that brings it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Needed {
    pub(crate) command: &'static str,
    pub(crate) package: &'static str,
}

const fn needed(command: &'static str, package: &'static str) -> Needed {
    Needed { command, package }
}

pub(crate) const FOR_TESTS: &[Needed] = &[
    needed("chromium", "chromium"),
    needed("curl", "curl"),
    needed("dig", "bind9-dnsutils"),
    needed("faketime", "faketime"),
    needed("pebble", "pebble"),
    needed("haproxy", "haproxy"),
    needed("ip", "iproute2"),
    needed("named", "bind9"),
    needed("nft", "nftables"),
    needed("nghttp", "nghttp2-client"),
    needed("nginx", "nginx-light"),
    needed("openssl", "openssl"),
    needed("promtool", "prometheus"),
    needed("pip3", "python3-pip"),
    needed("python3", "python3"),
    needed("testssl", "testssl.sh"),
];

pub(crate) const FOR_MEASURING: &[Needed] = &[
    needed("haproxy", "haproxy"),
    needed("nginx", "nginx-light"),
    needed("curl", "curl"),
    needed("h2load", "nghttp2-client"),
    needed("nghttpx", "nghttp2-proxy"),
    needed("strace", "strace"),
    needed("valgrind", "valgrind"),
    needed("wrk", "wrk"),
];

pub(crate) const FOR_THE_DUEL: &[Needed] = &[needed("haproxy", "haproxy"), needed("nginx", "nginx-light")];

/// Installs `"$@"` without starting a service, and without leaving one enabled for the next boot.
const INSTALL: &str = r#"
set -eu
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "$@"
for service in "$@" named; do # what bind9 brings goes by its own name
    systemctl disable --quiet "${service%-light}.service" 2>/dev/null || true
done
"#;

/// Installs what is missing of `needed`; says what it does before it does it.
pub(crate) fn ensure(needed: &[Needed]) -> Result<(), String> {
    let missing = missing(needed, &folders());
    if missing.is_empty() {
        println!("packages: nothing is missing");
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|one| one.package).collect();
    println!("packages: installing {} with apt-get; no service is started", names.join(", "));
    let status = installer()?.args(["sh", "-c", INSTALL, "sh"]).args(&names).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("apt-get install {} ended with {status}", names.join(" "))),
        Err(error) => Err(format!("apt-get install {} does not start: {error}", names.join(" "))),
    }
}

fn missing(needed: &[Needed], folders: &[String]) -> Vec<Needed> {
    let present = |command: &str| folders.iter().any(|folder| Path::new(folder).join(command).is_file());
    needed.iter().copied().filter(|one| !present(one.command)).collect()
}

/// PATH, and where Debian puts servers, which is not in the PATH of ordinary people.
fn folders() -> Vec<String> {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':').chain(["/usr/sbin", "/sbin"]).map(str::to_owned).collect()
}

/// `env` as root: directly, or through a sudo that does not ask.
fn installer() -> Result<Command, String> {
    let apt = Path::new("/usr/bin/apt-get").is_file();
    if apt && answers("id", &["-u"]).is_some_and(|uid| uid.trim() == "0") {
        return Ok(Command::new("env"));
    }
    if apt && answers("sudo", &["-n", "true"]).is_some() {
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", "env"]);
        return Ok(sudo);
    }
    Err("they cannot be installed from here: that takes apt-get, and root or a sudo that asks nothing.\n  \
         Install them by hand and run this again."
        .to_owned())
}

fn answers(command: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(command).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_commands_that_are_in_no_folder_are_missing() {
        let wanted = [needed("sh", "dash"), needed("no-such-command-anywhere", "nothing")];
        let missing = missing(&wanted, &["/bin".to_owned(), "/usr/bin".to_owned()]);
        assert_eq!(missing.iter().map(|one| one.package).collect::<Vec<_>>(), ["nothing"]);
    }
}
