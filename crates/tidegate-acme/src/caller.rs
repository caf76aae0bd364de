//! Requests to an authority: each has a deadline, and remembers when it is told to come back later.

use crate::reading::{BUNDLE_MAX, read_file};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::response::Parts;
use http::{Method, Request, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// RFC 9773 §4.3.2: of what is asked for now and then, where nobody says how often.
const NOW_AND_THEN: &str = "21600";

/// Why a file holds nothing that an authority's certificate could lead to.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RootError {
    #[error("{path} holds no certificate: it should begin with `-----BEGIN CERTIFICATE-----`")]
    NoCertificate { path: PathBuf },
    #[error("{path} holds a certificate that nothing can lead to: {reason}")]
    Unusable { path: PathBuf, reason: String },
    #[error("{path} cannot be read: {reason}")]
    Unreadable { path: PathBuf, reason: String },
}

/// Whether an authority's own certificate could lead to what is in the file.
pub fn look_at_root(path: &Path) -> Result<(), RootError> {
    roots(path).map(drop)
}

fn roots(path: &Path) -> Result<RootCertStore, RootError> {
    let named = || path.to_owned();
    let unreadable = |reason| RootError::Unreadable { path: named(), reason };
    let contents = read_file(path, BUNDLE_MAX).map_err(|error| unreadable(error.to_string()))?;
    let read = CertificateDer::pem_slice_iter(&contents).collect::<Result<Vec<_>, _>>();
    let certificates = read.map_err(|error| unreadable(error.to_string()))?;
    if certificates.is_empty() {
        return Err(RootError::NoCertificate { path: named() });
    }
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        let added = roots.add(certificate);
        added.map_err(|error| RootError::Unusable { path: named(), reason: error.to_string() })?;
    }
    Ok(roots)
}

/// What is no directory (RFC 8555 §7.1.1), such as somebody's page.
#[derive(Debug, thiserror::Error)]
enum NoDirectory {
    #[error("{directory} gave an ACME directory in which `{name}` is no address")]
    NoAddress { directory: Uri, name: &'static str },
    #[error("{directory} gave no ACME directory: it answered {what} with status {status}", status = status.as_u16())]
    Other {
        directory: Uri,
        /// As it calls it itself.
        what: String,
        status: StatusCode,
    },
}

impl NoDirectory {
    fn look(directory: Uri, answer: &Parts, body: &[u8]) -> Result<(), Self> {
        const NAMES: [&str; 3] = ["newNonce", "newAccount", "newOrder"];
        let read = serde_json::from_slice::<serde_json::Value>(body).unwrap_or_default();
        let text = |name: &str| read.get(name).and_then(serde_json::Value::as_str);
        if !NAMES.iter().all(|name| text(name).is_some()) {
            let named = answer.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
            let what = named.unwrap_or("what it has no name for").to_owned();
            return Err(Self::Other { directory, what, status: answer.status });
        }
        let is_address = |text: &str| text.parse::<Uri>().is_ok_and(|address| address.host().is_some());
        match NAMES.into_iter().find(|name| !text(name).is_some_and(is_address)) {
            Some(name) => Err(Self::NoAddress { directory, name }),
            None => Ok(()),
        }
    }
}

/// Makes requests.
#[derive(Clone)]
pub(crate) struct Caller {
    /// Where everything begins.
    directory: Option<Uri>,
    client: Client<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>,
    later: Arc<Later>,
}

/// What an authority has said of when to come back, with its last refusal.
#[derive(Debug, Default)]
pub(crate) struct Later(Mutex<Option<String>>);

impl Later {
    /// What was said since this was asked last: seconds, or a date.
    pub(crate) fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn note(&self, response: &BytesResponse) {
        let said = response.parts.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let said = said.filter(|_| is_refusal(response.parts.status)).map(str::to_owned);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = said;
    }
}

fn is_refusal(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}

impl Caller {
    /// Believes whoever leads to the roots in a file, or whom the system believes.
    pub(crate) fn new(directory: &str, root: Option<&Path>, later: Arc<Later>) -> Result<Self, Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let connector = HttpsConnectorBuilder::new();
        let connector = match root {
            Some(path) => {
                let roots = roots(path).map_err(|error| Error::Other(Box::new(error)))?;
                let config = ClientConfig::builder_with_provider(provider)
                    .with_safe_default_protocol_versions()
                    .map_err(|error| Error::Other(Box::new(error)))?;
                connector.with_tls_config(config.with_root_certificates(roots).with_no_client_auth())
            }
            None => connector
                .with_provider_and_platform_verifier(provider)
                .map_err(|error| Error::Other(Box::new(error)))?,
        };
        let connector = connector.https_only().enable_http1().enable_http2().build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { directory: directory.parse().ok(), client, later })
    }
}

impl HttpClient for Caller {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let is_get = request.method() == Method::GET;
        let directory = self.directory.clone().filter(|directory| is_get && directory == request.uri());
        let answer = HttpClient::request(&self.client, request);
        let later = Arc::clone(&self.later);
        let whole = async move {
            let mut response = answer.await?;
            let body = response.body.into_bytes().await.map_err(Error::Other)?;
            later.note(&response);
            if let Some(directory) = directory {
                NoDirectory::look(directory, &response.parts, &body)
                    .map_err(|error| Error::Other(Box::new(error)))?;
            }
            if is_get {
                let often = || http::HeaderValue::from_static(NOW_AND_THEN);
                response.parts.headers.entry(RETRY_AFTER).or_insert_with(often);
            }
            Ok(BytesResponse { parts: response.parts, body: Box::new(body) })
        };
        Box::pin(async move {
            let late = |_| Error::Other("it did not answer in time".into());
            tokio::time::timeout(PATIENCE, whole).await.map_err(late)?
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_directory_is_told_of_as_what_it_calls_itself() {
        let directory = r#"{ "newNonce": "https://ca.test/n", "newAccount": "https://ca.test/a", "newOrder": "https://ca.test/o" }"#;
        for (kind, status, body, said) in [
            (Some("application/json"), 200, directory, None),
            (None, 200, directory, None),
            (Some("text/html"), 200, "<html>", Some("it answered text/html with status 200")),
            (Some("application/json"), 200, "{}", Some("it answered application/json with status 200")),
            (None, 503, "", Some("it answered what it has no name for with status 503")),
        ] {
            let mut answer = http::Response::builder().status(status);
            if let Some(kind) = kind {
                answer = answer.header(CONTENT_TYPE, kind);
            }
            let (parts, ()) = answer.body(()).unwrap().into_parts();
            let looked = NoDirectory::look(Uri::from_static("https://ca.test/dir"), &parts, body.as_bytes());
            let words = said.map(|said| format!("https://ca.test/dir gave no ACME directory: {said}"));
            assert_eq!(looked.err().map(|error| error.to_string()), words);
        }
    }

    /// The library takes it for granted that it is one.
    #[test]
    fn a_directory_whose_address_is_none_is_told_of() {
        for (name, address) in [("newNonce", "ht tp://ca.test/n"), ("newAccount", ""), ("newOrder", "/o")] {
            let mut directory = serde_json::json!({ "newNonce": "https://ca.test/n", "newAccount": "https://ca.test/a", "newOrder": "https://ca.test/o" });
            directory[name] = address.into();
            let (parts, ()) = http::Response::new(()).into_parts();
            let body = directory.to_string();
            let looked = NoDirectory::look(Uri::from_static("https://ca.test/dir"), &parts, body.as_bytes());
            let said = looked.unwrap_err().to_string();
            assert_eq!(
                said,
                format!("https://ca.test/dir gave an ACME directory in which `{name}` is no address")
            );
        }
    }

    #[test]
    fn what_nothing_can_lead_to_is_told_of() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (text, complaint) in [
            ("", "holds no certificate"),
            ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "holds no certificate"),
            (garbage, "nothing can lead to"),
            ("-----BEGIN CERTIFICATE-----\nAAAA", "cannot be read"),
        ] {
            std::fs::write(file.path(), text).unwrap();
            let said = look_at_root(file.path()).unwrap_err().to_string();
            assert!(said.contains(complaint), "{text}: {said}");
        }
        let said = look_at_root(Path::new("/no/such/file")).unwrap_err().to_string();
        assert!(said.contains("No such file"), "{said}");
    }
}
