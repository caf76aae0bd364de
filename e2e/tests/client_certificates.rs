//! Mutual TLS: who is let in, what endpoints hear of it, and that nothing gets around it.

use tidegate_testkit::tls::{Authority, Issued, TlsClient};
use tidegate_testkit::{Endpoint, Port, Proxy, Tidegate, eventually};

/// Who vouches for the server, and two who vouch for clients.
struct World {
    site: Authority,
    staff: Authority,
    others: Authority,
    server: Issued,
    endpoint: Endpoint,
}

impl World {
    fn new() -> Self {
        let [site, staff, others] = [(); 3].map(|()| Authority::new());
        let server = site.issue("app", &["app.test"]);
        Self { site, staff, others, server, endpoint: Endpoint::answering("hello") }
    }

    fn proxy(&self, clients: &str) -> Proxy {
        self.proxies(&[("{listen}".into(), clients.into())])
    }

    /// Listeners that differ in what they demand of clients.
    fn proxies(&self, listeners: &[(String, String)]) -> Proxy {
        Tidegate::with(self.config(listeners)).start()
    }

    fn config(&self, listeners: &[(String, String)]) -> String {
        let mut text = format!("to = \"{}\"\n", self.endpoint.address());
        for (bind, clients) in listeners {
            let keys = self.server.keys();
            let listener = format!("[[listener]]\nbind = \"{bind}\"\ntls = {{ {keys}{clients} }}\n");
            text.push_str(&listener);
        }
        text
    }

    /// A client with a certificate of the staff.
    fn member(&self, name: &str) -> (Issued, TlsClient) {
        let issued = self.staff.issue(name, &["member.test"]);
        let client = self.site.client_showing(&issued, &self.staff);
        (issued, client)
    }
}

fn demand(word: &str, ca: &Authority) -> String {
    format!(", client_auth = \"{word}\", client_ca = '{}'", ca.cert().display())
}

/// The status of an answer, and whether the connection was resumed.
fn visit(client: &TlsClient, to: std::net::SocketAddr) -> Result<(u16, bool), String> {
    let mut connection = client.connect(to, "app.test")?;
    let (status, ..) = connection.get("app.test", "/")?;
    Ok((status, connection.is_resumed()))
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[test]
fn only_clients_that_somebody_vouches_for_are_served_where_that_is_required() {
    let world = World::new();
    let proxy = world.proxy(&demand("required", &world.staff));
    let (member, client) = world.member("member");
    assert_eq!(visit(&client, proxy.address()), Ok((200, false)));
    let told = world.endpoint.last_request();
    assert_eq!(told.field("client-cert"), Some(&*format!(":{}:", base64(&member.der()))));
    assert_eq!(told.field("client-cert-chain"), None, "nobody asked for it");

    let nameless = visit(&world.site.client(), proxy.address()).unwrap_err();
    assert!(nameless.contains("CertificateRequired"), "{nameless}");
    let stranger = world.others.issue("stranger", &["member.test"]);
    let stranger = world.site.client_showing(&stranger, &world.others);
    let refused = visit(&stranger, proxy.address()).unwrap_err();
    assert!(refused.contains("fatal alert"), "whose authority goes by the same name: {refused}");
    let expired = world.staff.issue_for_days("expired", &["member.test"], -9..=-2);
    let refused = visit(&world.site.client_showing(&expired, &world.staff), proxy.address()).unwrap_err();
    assert!(refused.contains("CertificateExpired"), "{refused}");
    assert_eq!(world.endpoint.request_count(), 1);
    for (outcome, times) in [("client_cert_missing", 1.0), ("client_cert_bad", 2.0), ("full", 1.0)] {
        proxy.wait_for_metric("tidegate_tls_handshakes_total", &[("outcome", outcome)], times);
    }
}

#[test]
fn where_it_is_optional_endpoints_learn_who_has_one_and_nobody_can_pretend() {
    let world = World::new();
    let proxy = world.proxy(&format!("{}, client_chain = true", demand("optional", &world.staff)));
    let forged = "GET / HTTP/1.1\r\nHost: app.test\r\nClient-Cert: :Zm9yZ2Vk:\r\nclient-cert-chain: :Zm9yZ2Vk:\r\n\
        CLIENT-CERT: :Zm9yZ2Vk:\r\nClient_Cert: :Zm9yZ2Vk:\r\nConnection: client-cert\r\n\r\n";
    let fields = |client: &TlsClient| {
        let mut connection = client.connect(proxy.address(), "app.test").unwrap();
        assert_eq!(connection.exchange(forged.as_bytes()).unwrap().0, 200);
        let request = world.endpoint.last_request();
        let all = |name| request.fields.all(name).into_iter().map(str::to_owned).collect::<Vec<_>>();
        assert!(all("client_cert").is_empty());
        (all("client-cert"), all("client-cert-chain"))
    };
    assert_eq!(fields(&world.site.client()), (vec![], vec![]));
    let (member, client) = world.member("member");
    let authority = rustls_pem(&world.staff.cert());
    let expected = (vec![format!(":{}:", base64(&member.der()))], vec![format!(":{}:", base64(&authority))]);
    assert_eq!(fields(&client), expected);
    assert_eq!(fields(&client), expected, "and when the client comes back with a ticket");
}

fn rustls_pem(path: &std::path::Path) -> Vec<u8> {
    use rustls::pki_types::pem::PemObject;
    rustls::pki_types::CertificateDer::from_pem_file(path).unwrap().to_vec()
}

#[test]
fn no_certificate_is_believed_that_did_not_come_with_the_connection_itself() {
    let world = World::new();
    let endpoint = &world.endpoint;
    let proxy = Tidegate::to(&[endpoint], "trusted_proxies = \"127.0.0.0/8\"\n").start();
    let mut client = proxy.client();
    client.send(
        "GET / HTTP/1.1\r\nHost: a\r\nClient-Cert: :Zm9yZ2Vk:\r\nClient-Cert-Chain: :Zm9yZ2Vk:\r\n\r\n",
    );
    assert_eq!(client.reply().status, 200);
    assert_eq!(endpoint.last_request().field("client-cert"), None);
    assert_eq!(endpoint.last_request().field("client-cert-chain"), None);
}

#[test]
fn a_ticket_opens_only_doors_that_demanded_the_same() {
    let world = World::new();
    let (others, optional, required) = (Port::free(), Port::free(), Port::free());
    let place = |port: &Port| port.address().to_string();
    let listeners = [
        ("{listen}".to_owned(), String::new()),
        (place(&optional), demand("optional", &world.staff)),
        (place(&required), demand("required", &world.staff)),
        (place(&others), demand("required", &world.others)),
    ];
    let proxy = world.proxies(&listeners);
    let doors = [proxy.address(), optional.address(), required.address(), others.address()];

    // Who is let in at one door keeps the ticket for that name, and takes it to the next.
    for (first, from) in doors.iter().enumerate() {
        for (second, to) in doors.iter().enumerate() {
            let (_, member) = world.member("member");
            let stranger = world.others.issue("stranger", &["member.test"]);
            let stranger = world.site.client_showing(&stranger, &world.others);
            for client in [world.site.client(), member, stranger] {
                if visit(&client, *from).is_err() {
                    continue;
                }
                let fresh = client.forgetful();
                let with_ticket = visit(&client, *to);
                let without = visit(&fresh, *to);
                assert_eq!(
                    with_ticket.as_ref().ok().map(|(status, _)| *status),
                    without.ok().map(|(status, _)| status),
                    "a ticket of {first} at {second}"
                );
                let resumed = with_ticket.is_ok_and(|(_, resumed)| resumed);
                assert_eq!(resumed, first == second, "a ticket of {first} at {second}");
            }
        }
    }
}

#[test]
fn tickets_outlive_a_reload_that_demands_the_same_and_no_other() {
    let world = World::new();
    let demands = |ca: &Authority| world.config(&[("{listen}".into(), demand("required", ca))]);
    let proxy = world.proxy(&demand("required", &world.staff));
    let (_, client) = world.member("member");
    let reload = |config: &str, times: f64| {
        proxy.reload(config);
        proxy.wait_for_metric("tidegate_config_reloads_total", &[("outcome", "applied")], times);
    };
    assert_eq!(visit(&client, proxy.address()), Ok((200, false)));
    reload(&demands(&world.staff), 1.0);
    assert_eq!(visit(&client, proxy.address()), Ok((200, true)));
    reload(&demands(&world.others), 2.0);
    assert!(visit(&client, proxy.address()).is_err(), "nobody vouches for it any more");
    reload(&demands(&world.staff), 3.0);
    assert_eq!(visit(&client, proxy.address()), Ok((200, false)));
}

#[test]
fn who_is_revoked_stays_out_without_a_reload_and_with_a_ticket_too() {
    let world = World::new();
    let nobody = world.staff.revoke("revoked.pem", &[]);
    let proxy =
        world.proxy(&format!("{}, client_crl = '{}'", demand("required", &world.staff), nobody.display()));
    let ((leaver, leaving), (_, staying)) = (world.member("leaver"), world.member("stayer"));
    for client in [&leaving, &staying] {
        assert_eq!(visit(client, proxy.address()), Ok((200, false)));
        assert_eq!(visit(client, proxy.address()), Ok((200, true)));
    }
    world.staff.revoke("revoked.pem", &[&leaver]);
    eventually("the leaver stays out", || visit(&leaving, proxy.address()).is_err());
    proxy.wait_for_metric("tidegate_tls_handshakes_total", &[("outcome", "client_cert_revoked")], 1.0);
    assert_eq!(visit(&staying, proxy.address()).unwrap().0, 200);
    proxy.output().wait_for_stderr(&["what clients are vouched for by (", "revoked.pem) was read again"]);

    std::fs::write(&nobody, "nonsense").unwrap();
    proxy.output().wait_for_stderr(&["ca.pem", "the one before is kept", "revocation list"]);
    assert!(visit(&leaving, proxy.address()).is_err(), "what cannot be read changes nothing");
    assert_eq!(visit(&staying, proxy.address()).unwrap().0, 200);
}

#[test]
fn the_log_says_whom_a_clients_certificate_is_for_when_it_comes_back_too() {
    let world = World::new();
    let config = world.config(&[("{listen}".into(), demand("optional", &world.staff))]);
    let proxy = Tidegate::with(format!("log.access = \"stdout\"\n{config}")).start();
    let (_, client) = world.member("member");
    for resumed in [false, true] {
        assert_eq!(visit(&client, proxy.address()), Ok((200, resumed)));
        let expected = format!("\"resumed\":{resumed},\"client_subject\":\"CN=rcgen self signed cert\"");
        proxy.output().wait_for_stdout(&[&expected]);
    }
    assert_eq!(visit(&world.site.client(), proxy.address()), Ok((200, false)));
    proxy.output().wait_for_stdout(&["\"resumed\":false,\"client_subject\":null"]);
}

/// A ticket holds what the client has shown, and a first message may have no more than 16 KiB.
#[test]
fn who_shows_very_long_certificates_is_let_in_again() {
    let world = World::new();
    let proxy = world.proxy(&demand("required", &world.staff));
    for (count, resumes) in [(300, true), (800, false)] {
        let names: Vec<_> = (0..count).map(|number| format!("member-{number:04}.staff.test")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let client = world.site.client_showing(&world.staff.issue("long", &names), &world.staff);
        assert_eq!(visit(&client, proxy.address()), Ok((200, false)), "{count}");
        for _ in 0..2 {
            assert_eq!(visit(&client, proxy.address()), Ok((200, resumes)), "{count}");
        }
    }
}
