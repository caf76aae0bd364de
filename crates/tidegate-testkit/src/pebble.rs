//! Debian's `pebble`, an authority that hands out certificates to whoever shows it what it wants to see, and the DNS server
//! that it asks: every name is this machine.

use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::patience::eventually;
use crate::port::Port;
use crate::tls::{Authority, TlsClient};

/// Runs until it is dropped.
#[derive(Debug)]
pub struct Pebble {
    authority: Authority,
    folder: TempDir,
    listen: Port,
    management: Port,
    /// The DNS server that it asks, and where that can be told of records; `None` as soon as it runs.
    names: Option<Port>,
    names_at: SocketAddr,
    records: Port,
    running: Vec<Child>,
}

impl Pebble {
    /// Not started yet. It looks at the hosts that it is asked for at these ports.
    ///
    /// # Panics
    /// When its files cannot be written.
    pub fn looking_at(http: u16, tls: u16) -> Self {
        let (listen, management, names, records) = (Port::free(), Port::free(), Port::free(), Port::free());
        let names_at = names.address();
        let authority = Authority::new();
        let issued = authority.issue("pebble", &["127.0.0.1", "localhost"]);
        let folder = tempfile::tempdir().expect("a scratch folder");
        let config = format!(
            "{{\"pebble\": {{\"listenAddress\": \"{}\", \"managementListenAddress\": \"{}\", \"certificate\": \"{}\", \
             \"privateKey\": \"{}\", \"httpPort\": {http}, \"tlsPort\": {tls}, \"ocspResponderURL\": \"\", \
             \"externalAccountBindingRequired\": false}}}}",
            listen.address(),
            management.address(),
            issued.cert.display(),
            issued.key.display(),
        );
        std::fs::write(folder.path().join("pebble.json"), config).expect("the scratch folder is writable");
        let names = Some(names);
        Self { authority, folder, listen, management, names, names_at, records, running: Vec::new() }
    }

    /// It asks this DNS server instead of one of its own.
    #[must_use]
    pub fn asking(mut self, server: SocketAddr) -> Self {
        (self.names, self.names_at) = (None, server);
        self
    }

    /// Its certificates live so long.
    ///
    /// # Panics
    /// When its files cannot be written.
    #[must_use]
    pub fn giving(self, seconds: u32) -> Self {
        let file = self.folder.path().join("pebble.json");
        let config = std::fs::read_to_string(&file).expect("it is there");
        let life = format!("\"certificateValidityPeriod\": {seconds}, \"listenAddress\"");
        let config = config.replacen("\"listenAddress\"", &life, 1);
        std::fs::write(file, config).expect("the scratch folder is writable");
        self
    }

    /// The DNS server that it asks.
    pub fn names(&self) -> SocketAddr {
        self.names_at
    }

    /// Where its own DNS server can be told of records: by `POST /set-txt` and `POST /clear-txt`.
    pub fn records(&self) -> SocketAddr {
        self.records.address()
    }

    /// `ca = "…", ca_root = "…"`.
    pub fn keys(&self) -> String {
        let root = self.authority.cert();
        format!("ca = 'https://{}/dir', ca_root = '{}'", self.listen.address(), root.display())
    }

    pub fn address(&self) -> SocketAddr {
        self.listen.address()
    }

    /// Those whom its own certificate leads to.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// # Panics
    /// When `pebble` is not installed, or does not start.
    pub fn start(&mut self) {
        let address = self.names_at.to_string();
        if self.names.take().is_some() {
            // It answers by UDP, which is what the reservation held.
            let mut dns = Command::new("pebble-challtestsrv");
            dns.args(["-defaultIPv6", "", "-defaultIPv4", "127.0.0.1", "-dns01", &address]);
            dns.args(["-http01", "", "-https01", "", "-tlsalpn01", "", "-management"]);
            dns.arg(self.records.address().to_string());
            self.running.push(spawn(dns));
        }
        let mut pebble = Command::new("pebble");
        pebble.arg("-config").arg(self.folder.path().join("pebble.json")).args(["-dnsserver", &address]);
        pebble.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_WFE_NONCEREJECT", "0");
        self.running.push(spawn(pebble));
        let names_at = self.names_at;
        eventually("names are looked up", || TcpStream::connect(names_at).is_ok());
        let (client, to) = (self.authority.client(), self.management.address());
        eventually("pebble serves", || client.connect(to, "localhost").is_ok());
        let to = self.listen.address();
        eventually("pebble serves", || client.connect(to, "localhost").is_ok());
    }

    /// It knows nobody any more: no account, no order, and its root is another one.
    ///
    /// # Panics
    /// When it does not start again.
    pub fn forget_everything(&mut self) {
        if let Some(mut pebble) = self.running.pop() {
            let _ = pebble.kill();
            let _ = pebble.wait();
        }
        self.start();
    }

    /// A client that trusts the certificates that it hands out.
    ///
    /// # Panics
    /// When it does not say which they are.
    pub fn client(&self) -> TlsClient {
        let client = self.authority.client();
        let mut connection = client.connect(self.management.address(), "localhost").expect("pebble serves");
        let (status, _, root) = connection.get("localhost", "/roots/0").expect("an answer");
        assert_eq!(status, 200);
        TlsClient::trusting_pem(&root)
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        for child in &mut self.running {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn spawn(mut command: Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("pebble is installed")
}
