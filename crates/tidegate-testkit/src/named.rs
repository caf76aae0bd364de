//! BIND, the DNS server of Debian's `bind9`, for zones that a test makes up. It serves on the port of the DNS, so it wants a
//! network of its own.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::patience::eventually;

/// Serves until it is dropped.
#[derive(Debug)]
pub struct Named {
    address: SocketAddr,
    folder: TempDir,
    running: Child,
}

/// `acme`, and what it signs with, as the program for that prints it.
fn generate_key() -> String {
    let output = Command::new("tsig-keygen").arg("acme").output().expect("bind9-utils is installed");
    String::from_utf8(output.stdout).expect("text")
}

impl Named {
    /// Serves these zones on an address of this machine, each with its records; who has the key may change what an
    /// authority looks for, and what an alias named `elsewhere` stands for.
    ///
    /// # Panics
    /// When `named` is not installed, or does not start.
    pub fn serving(ip: Ipv4Addr, zones: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let at = folder.path().display();
        let key = generate_key();
        let mut config = format!(
            "{key}controls {{}};\noptions {{ directory \"{at}\"; listen-on {{ {ip}; }}; listen-on-v6 {{ none; }}; \
             pid-file none; session-keyfile \"{at}/session.key\"; recursion no; dnssec-validation no; notify no; }};\n"
        );
        for (zone, records) in zones {
            let soa = format!("$TTL 60\n@ SOA ns1.{zone}. ops.{zone}. 1 60 60 600 60\n{records}\n");
            write(folder.path().join(zone), &soa);
        }
        let zones = zones.iter().map(|(zone, _)| {
            format!(
                "zone \"{zone}\" {{ type primary; file \"{zone}\"; update-policy {{ \
                 grant acme name _acme-challenge.{zone}. TXT; grant acme name elsewhere.{zone}. TXT; }}; }};\n"
            )
        });
        config.extend(zones);
        write(folder.path().join("acme.key"), &key);
        write(folder.path().join("named.conf"), &config);
        // A copy: AppArmor lets the one of the package read nothing but the files of the package.
        let program = folder.path().join("named");
        let copied =
            Command::new("sh").args(["-c", "cp \"$(command -v named)\" \"$0\""]).arg(&program).status();
        assert!(copied.is_ok_and(|status| status.success()), "bind9 is installed");
        let mut command = Command::new(program);
        command.arg("-f").arg("-c").arg(folder.path().join("named.conf"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let running = command.spawn().expect("a program");
        let named = Self { address: SocketAddr::from((ip, 53)), folder, running };
        eventually("the zones are served", || TcpStream::connect(named.address).is_ok());
        named
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The file with the key that it knows.
    pub fn key(&self) -> PathBuf {
        self.folder.path().join("acme.key")
    }
}

fn write(path: PathBuf, contents: &str) {
    std::fs::write(path, contents).expect("the scratch folder is writable");
}

impl Drop for Named {
    fn drop(&mut self) {
        let _ = self.running.kill();
        let _ = self.running.wait();
    }
}
