//! An authority that makes certificates for a test, and a client that trusts it alone.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, IsCa, KeyPair,
    RevokedCertParams, SignatureAlgorithm,
};
use rustls::client::{Resumption, WantsClientCert};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, ConfigBuilder, HandshakeKind, RootCertStore, ServerConfig, StreamOwned,
    SupportedProtocolVersion,
};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tempfile::TempDir;
use time::OffsetDateTime;

use crate::patience::PATIENCE;

/// Of certificates and revocation lists.
static SERIALS: AtomicU64 = AtomicU64::new(1);

/// Signs certificates, and keeps them in a folder of its own.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

/// A certificate and its key, in PEM files.
#[derive(Clone, Debug)]
pub struct Issued {
    pub cert: PathBuf,
    pub key: PathBuf,
    serial: u64,
}

impl Issued {
    /// `cert = "…", key = "…"`.
    pub fn keys(&self) -> String {
        format!("cert = '{}', key = '{}'", self.cert.display(), self.key.display())
    }

    /// What a server that shows it is made of, which speaks both versions of HTTP.
    pub fn server_config(&self) -> ServerConfig {
        let key = PrivateKeyDer::from_pem_file(&self.key).expect("a key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![self.der().into()], key)
            .expect("a certificate and its key");
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config
    }

    /// The certificate as it is shown.
    pub fn der(&self) -> Vec<u8> {
        CertificateDer::from_pem_file(&self.cert).expect("a certificate").to_vec()
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new([]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "Test Authority");
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let folder = tempfile::tempdir().expect("a scratch folder");
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).expect("the scratch folder is writable");
        Self { issuer, folder }
    }

    /// Its own certificate.
    pub fn cert(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A certificate for these names, with an ECDSA key.
    pub fn issue(&self, file: &str, names: &[&str]) -> Issued {
        self.issue_with(file, names, &rcgen::PKCS_ECDSA_P256_SHA256, |_| {})
    }

    /// A certificate that holds from so many days before now until so many days after it.
    pub fn issue_for_days(&self, file: &str, names: &[&str], days: RangeInclusive<i64>) -> Issued {
        let now = OffsetDateTime::now_utc();
        self.issue_with(file, names, &rcgen::PKCS_ECDSA_P256_SHA256, |params| {
            params.not_before = now + time::Duration::days(*days.start());
            params.not_after = now + time::Duration::days(*days.end());
        })
    }

    /// A certificate as public authorities make them: for 85 days, for a server alone, and with a place to ask about it.
    pub fn issue_for_the_public(&self, file: &str, names: &[&str]) -> Issued {
        let now = OffsetDateTime::now_utc();
        self.issue_with(file, names, &rcgen::PKCS_ECDSA_P256_SHA256, |params| {
            (params.not_before, params.not_after) = (now, now + time::Duration::days(85));
            params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
            params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
            params.distinguished_name.push(rcgen::DnType::CommonName, names[0]);
            let uris = vec!["http://crl.test/list".to_owned()];
            params.crl_distribution_points = vec![rcgen::CrlDistributionPoint { uris }];
        })
    }

    pub fn issue_rsa(&self, file: &str, names: &[&str]) -> Issued {
        self.issue_with(file, names, &rcgen::PKCS_RSA_SHA256, |_| {})
    }

    fn issue_with(
        &self,
        file: &str,
        names: &[&str],
        algorithm: &'static SignatureAlgorithm,
        edit: impl FnOnce(&mut CertificateParams),
    ) -> Issued {
        let key = KeyPair::generate_for(algorithm).expect("a key");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        let serial = SERIALS.fetch_add(1, Ordering::Relaxed); // a number, ordering nothing
        params.serial_number = Some(serial.into());
        edit(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let path = |ending: &str| self.folder.path().join(format!("{file}.{ending}"));
        let issued = Issued { cert: path("pem"), key: path("key"), serial };
        write(&issued.cert, &certificate.pem());
        write(&issued.key, &key.serialize_pem());
        issued
    }

    /// Writes a list of those that it takes back.
    pub fn revoke(&self, file: &str, revoked: &[&Issued]) -> PathBuf {
        self.revoke_for_days(file, revoked, 0..=7)
    }

    /// The same, with a list that counts from so many days from now until another one is to follow.
    pub fn revoke_for_days(&self, file: &str, revoked: &[&Issued], days: RangeInclusive<i64>) -> PathBuf {
        let now = OffsetDateTime::now_utc();
        let revoked = revoked.iter().map(|issued| RevokedCertParams {
            serial_number: issued.serial.into(),
            revocation_time: now,
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: now + time::Duration::days(*days.start()),
            next_update: now + time::Duration::days(*days.end()),
            crl_number: SERIALS.fetch_add(1, Ordering::Relaxed).into(),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        };
        let path = self.folder.path().join(file);
        write(&path, &list.signed_by(&self.issuer).expect("a list").pem().expect("PEM"));
        path
    }

    /// A client that trusts this authority, and shows this certificate and, behind it, the one of whoever made it.
    pub fn client_showing(&self, issued: &Issued, by: &Self) -> TlsClient {
        let chain = vec![issued.der().into(), by.issuer.der().clone()];
        let key = PrivateKeyDer::from_pem_file(&issued.key).expect("a key");
        let config = self.trusting(rustls::ALL_VERSIONS).with_client_auth_cert(chain, key).expect("a pair");
        TlsClient { config: Arc::new(config) }
    }

    /// A client that trusts this authority, and keeps what it needs to resume.
    pub fn client(&self) -> TlsClient {
        self.client_of(rustls::ALL_VERSIONS)
    }

    /// The same for one that speaks only these versions.
    pub fn client_of(&self, versions: &[&'static SupportedProtocolVersion]) -> TlsClient {
        TlsClient { config: Arc::new(self.trusting(versions).with_no_client_auth()) }
    }

    fn trusting(
        &self,
        versions: &[&'static SupportedProtocolVersion],
    ) -> ConfigBuilder<ClientConfig, WantsClientCert> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("an authority");
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots)
    }
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("the scratch folder is writable");
}

#[derive(Clone, Debug)]
pub struct TlsClient {
    pub config: Arc<ClientConfig>,
}

/// One connection.
#[derive(Debug)]
pub struct TlsConnection {
    pub stream: StreamOwned<ClientConnection, TcpStream>,
}

impl TlsClient {
    /// That trusts this certificate alone, in PEM.
    pub fn trusting_pem(root: &[u8]) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(root).expect("PEM")).expect("an authority");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { config: Arc::new(config) }
    }

    /// The same, meeting everybody for the first time.
    #[must_use]
    pub fn forgetful(&self) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        config.resumption = Resumption::in_memory_sessions(8);
        Self { config: Arc::new(config) }
    }

    /// The same, offering to speak these (ALPN).
    #[must_use]
    pub fn speaking(&self, protocols: &[&str]) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Self { config: Arc::new(config) }
    }

    /// Connects and agrees on keys.
    pub fn connect(&self, to: SocketAddr, name: &str) -> Result<TlsConnection, String> {
        self.over(TcpStream::connect(to).map_err(|error| error.to_string())?, name)
    }

    /// Agrees on keys over a connection on which nothing but what comes before them has been said.
    pub fn over(&self, socket: TcpStream, name: &str) -> Result<TlsConnection, String> {
        socket.set_read_timeout(Some(PATIENCE)).expect("a time");
        socket.set_nodelay(true).expect("a socket");
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let session = ClientConnection::new(Arc::clone(&self.config), name).expect("a session");
        let mut stream = StreamOwned::new(session, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).map_err(|error| error.to_string())?;
        }
        Ok(TlsConnection { stream })
    }
}

impl TlsConnection {
    pub fn is_resumed(&self) -> bool {
        self.stream.conn.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// The certificate that was shown.
    pub fn leaf(&self) -> Vec<u8> {
        self.stream.conn.peer_certificates().expect("a certificate")[0].to_vec()
    }

    /// Sends a request and reads an answer with a Content-Length: status, head, body.
    pub fn exchange(&mut self, request: &[u8]) -> Result<(u16, String, Vec<u8>), String> {
        self.stream.write_all(request).map_err(|error| error.to_string())?;
        self.answer()
    }

    pub fn get(&mut self, host: &str, target: &str) -> Result<(u16, String, Vec<u8>), String> {
        self.exchange(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes())
    }

    /// Becomes a tunnel in which messages of many sizes come back as they went.
    ///
    /// # Panics
    /// When one does not.
    pub fn echoes_in_a_tunnel(&mut self, host: &str) {
        let upgrade =
            format!("GET /t HTTP/1.1\r\nHost: {host}\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
        assert_eq!(self.exchange(upgrade.as_bytes()).expect("an answer").0, 101);
        for round in 0..20_u8 {
            let message = vec![round; 1 + usize::from(round) * 5000];
            self.stream.write_all(&message).expect("a tunnel");
            let mut echoed = vec![0; message.len()];
            self.stream.read_exact(&mut echoed).expect("a tunnel");
            assert!(echoed == message, "{} bytes came back changed", message.len());
        }
    }

    pub fn answer(&mut self) -> Result<(u16, String, Vec<u8>), String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.stream.read_exact(&mut byte).map_err(|error| error.to_string())?;
            head.extend(byte);
        }
        let head = String::from_utf8(head).expect("a head of text").to_ascii_lowercase();
        let status = head[9..12].parse().expect("a status");
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
        let mut body = vec![0; length.map_or(0, |length| length.parse().expect("a length"))];
        self.stream.read_exact(&mut body).map_err(|error| error.to_string())?;
        Ok((status, head, body))
    }
}
