//! The PROXY protocol with programs that no one here wrote: HAProxy in front, HAProxy and nginx behind.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tidegate_testkit::{Client, Endpoint, Port, Reply, Tidegate, Wire, eventually};

/// A running peer, ended with the value.
struct Peer {
    child: Child,
    _folder: tempfile::TempDir,
}

impl Peer {
    /// Runs `program` by this configuration, until it listens on all ports.
    fn start(program: &str, arguments: &[&str], config: &str, ports: &[&Port]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("peer.conf");
        std::fs::write(&file, config.replace("{folder}", &folder.path().display().to_string())).unwrap();
        let mut command = Command::new(found(program));
        command.args(arguments).arg(file).current_dir(folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap_or_else(|error| panic!("{program} does not start: {error}"));
        let peer = Self { child, _folder: folder };
        for port in ports {
            eventually(&format!("{program} listens"), || {
                std::net::TcpStream::connect(port.address()).is_ok()
            });
        }
        peer
    }

    fn haproxy(config: &str, ports: &[&Port]) -> Self {
        let defaults = "defaults\n timeout connect 5s\n timeout client 5s\n timeout server 5s\n";
        Self::start("haproxy", &["-db", "-f"], &format!("{defaults}{config}"), ports)
    }

    fn nginx(http: &str, port: &Port) -> Self {
        let config = format!(
            "daemon off;\nmaster_process off;\npid {{folder}}/pid;\nerror_log {{folder}}/error.log;\nevents {{}}\n\
             http {{\naccess_log off;\nclient_body_temp_path {{folder}}/body;\nproxy_temp_path {{folder}}/proxy;\n\
             fastcgi_temp_path {{folder}}/fastcgi;\nuwsgi_temp_path {{folder}}/uwsgi;\nscgi_temp_path {{folder}}/scgi;\n\
             {http}\n}}\n"
        );
        Self::start("nginx", &["-e", "stderr", "-c"], &config, &[port])
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Debian puts servers where the PATH of ordinary people does not lead.
fn found(program: &str) -> String {
    let server = format!("/usr/sbin/{program}");
    if Path::new(&server).is_file() { server } else { program.to_owned() }
}

#[test]
fn haproxy_in_front_says_who_the_client_is_in_either_version() {
    let endpoint = Endpoint::answering("x");
    let top = "proxy_protocol_from = \"127.0.0.1\"\n[log]\naccess = \"stdout\"\n";
    let proxy = Tidegate::to(&[&endpoint], top).start();
    let (version1, version2) = (Port::free(), Port::free());
    let listen = |name: &str, port: &Port, options: &str| {
        format!(
            "listen {name}\n mode tcp\n unique-id-format front-%cp\n bind {}\n server s {} {options}\n",
            port.address(),
            proxy.address()
        )
    };
    let config = listen("v1", &version1, "send-proxy")
        + &listen(
            "v2",
            &version2,
            "send-proxy-v2 proxy-v2-options crc32c,unique-id check check-send-proxy inter 100ms",
        );
    let _haproxy = Peer::haproxy(&config, &[&version1, &version2]);
    for port in [version1, version2] {
        for client in ["127.0.0.3", "127.0.0.4"] {
            let mut connection = Client::connect_from(client, port.address());
            for _ in 0..2 {
                assert_eq!(connection.get("/").status, 200);
                assert_eq!(endpoint.last_request().field("x-forwarded-for"), Some(client));
            }
        }
    }
    proxy.output().wait_for_stdout(&["\"connection_id\":\"front-", "\"client\":\"127.0.0.3\""]);
    assert!(proxy.metrics().sum("tidegate_failures_total", &[]) < 1.0, "its checks are no failures");
}

/// Asks twice over one connection of a client at 127.0.0.3, and expects to hear its address and the proxy's.
fn expect_introduction(behind: &Port) {
    let config = format!(
        "to = {:?}\nsend_proxy_protocol = \"v2\"\nhealth = {{ path = \"/\", interval = \"100ms\" }}\n\
         [log]\naccess = \"stdout\"\n",
        behind.address().to_string()
    );
    let sockets = tempfile::tempdir().unwrap();
    let path = sockets.path().join("app.sock");
    let config = format!("listen = [\"{{listen}}\", \"unix:{}\"]\n{config}", path.display());
    let proxy = Tidegate::with(config).start();
    let mut connection = Client::connect_from("127.0.0.3", proxy.address());
    let first = connection.get("/").text();
    let [source, destination, id] = first.split(' ').collect::<Vec<_>>()[..] else { panic!("{first}") };
    assert!(source.starts_with("127.0.0.3:"), "{first}");
    assert_eq!(destination, proxy.address().to_string(), "{first}");
    assert!(id == "-" || !proxy.output().wait_for_stdout(&[id]).is_empty());
    assert_eq!(connection.get("/").text(), first, "the same connection");
    proxy.wait_for_metric("tidegate_endpoint_health_checks_total", &[("outcome", "passed")], 2.0);
    // A client that has no address is served, too.
    let mut wire = Wire::from(UnixStream::connect(&path).unwrap());
    for _ in 0..2 {
        wire.write(b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n").unwrap();
        assert_eq!(Reply::read(&mut wire, "GET").unwrap().status, 200);
    }
}

#[test]
fn haproxy_behind_hears_who_the_client_is() {
    let port = Port::free();
    let config = format!(
        "frontend f\n mode http\n bind {} accept-proxy\n http-request return status 200 content-type text/plain \
         lf-string \"%[src]:%[src_port] %[dst]:%[dst_port] %[fc_pp_unique_id]\"\n",
        port.address()
    );
    let _haproxy = Peer::haproxy(&config, &[&port]);
    expect_introduction(&port);
}

#[test]
fn nginx_behind_hears_who_the_client_is() {
    let port = Port::free();
    let server = format!(
        "server {{\nlisten {} proxy_protocol;\nreturn 200 \"$proxy_protocol_addr:$proxy_protocol_port \
         $proxy_protocol_server_addr:$proxy_protocol_server_port -\";\n}}",
        port.address()
    );
    let _nginx = Peer::nginx(&server, &port);
    expect_introduction(&port);
}
