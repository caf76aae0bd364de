//! A test in a network of its own, where ports can run out, packets get lost and disks are full without anybody else noticing.
//!
//! The test program runs itself again, for that one test, in a network namespace (`unshare` of util-linux) with nothing but
//! a loopback interface, where what is mounted is for itself, too: as root directly, else as the root of a user namespace. Knows how
//! to break that network, not what is sent over it.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::proxy::program;

/// Set in the inner run.
const INSIDE: &str = "TIDEGATE_TEST_APART";

/// `name`: the whole name of the calling test, as the harness knows it.
///
/// # Panics
/// When the body did, when there is no test of that name, or when this machine allows no network namespaces.
pub fn apart(name: &str, body: impl FnOnce(&Network)) {
    if std::env::var_os(INSIDE).is_some() {
        return body(&Network(()));
    }
    let own = std::env::current_exe().expect("a test knows where it is");
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount"]);
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["sh", "-c", "ip link set lo up && exec \"$@\"", "sh"]).arg(own);
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]);
    command.env(INSIDE, "1").env("TIDEGATE_BIN", program()).stdin(Stdio::null());
    let output = command.output().expect("unshare of util-linux is installed");
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let ran = said[0].contains("1 passed");
    assert!(
        output.status.success() && ran,
        "{name} in a network of its own (this takes root, or a kernel that gives user namespaces to everyone) ended \
         with {}:\n{}{}",
        output.status,
        said[0],
        said[1]
    );
}

/// The network that a test has for itself; gone with the inner run.
#[derive(Debug)]
pub struct Network(());

/// What lies on it is gone when it is dropped.
#[derive(Debug)]
pub struct Disk(PathBuf);

impl Disk {
    /// Leaves no room on it. Gives the file that takes it.
    ///
    /// # Panics
    /// When there is no end of it.
    pub fn fill(&self) -> PathBuf {
        let file = self.0.join("fill");
        let filled = std::fs::write(&file, vec![1; 64 * 1024 * 1024]);
        assert!(filled.is_err(), "it is no small disk");
        file
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// What becomes of packets to and from a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Every one of them is lost: nobody answers, nobody refuses.
    All,
    /// So many of a hundred, at random.
    Percent(u32),
}

impl Network {
    /// Lets the kernel take only so many ports for outgoing connections, to each address they go to.
    ///
    /// # Panics
    /// When the kernel refuses.
    pub fn limit_outgoing_ports(&self, count: u16) {
        let range = format!("40000 {}", 40_000 + count - 1);
        std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", range).expect("it is our own network");
    }

    /// Makes an address one of this machine.
    ///
    /// # Panics
    /// When the kernel refuses.
    pub fn add_address(&self, address: Ipv4Addr) {
        let status = Command::new("ip").args(["addr", "add", &format!("{address}/8"), "dev", "lo"]).status();
        assert!(status.is_ok_and(|status| status.success()), "{address} cannot be had");
    }

    /// A small disk, of so many bytes, in an empty folder.
    ///
    /// # Panics
    /// When the kernel refuses.
    pub fn mount_disk(&self, at: &Path, bytes: u64) -> Disk {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={bytes},mode=700"), "tmpfs"]).arg(at);
        assert!(
            mount.status().is_ok_and(|status| status.success()),
            "no disk can be had at {}",
            at.display()
        );
        Disk(at.to_owned())
    }

    /// Loses packets from now on, in both directions, until [`Network::heal`].
    ///
    /// # Panics
    /// When nft does.
    pub fn lose(&self, loss: Loss, ports: &[u16]) {
        let chance = match loss {
            Loss::All => String::new(),
            Loss::Percent(percent) => format!("numgen random mod 100 < {percent} "),
        };
        let list = ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
        let rule = |side: &str| format!("add rule inet faults out tcp {side} {{ {list} }} {chance}drop\n");
        nft(&format!(
            "add table inet faults\nadd chain inet faults out {{ type filter hook output priority 0; }}\n{}{}",
            rule("dport"),
            rule("sport")
        ));
    }

    /// Loses no more packets.
    ///
    /// # Panics
    /// When nft does.
    pub fn heal(&self) {
        nft("delete table inet faults\n");
    }
}

fn nft(rules: &str) {
    let output = Command::new("nft").arg(rules).output().expect("nft of nftables is installed");
    assert!(output.status.success(), "nft {rules}: {}", String::from_utf8_lossy(&output.stderr));
}
