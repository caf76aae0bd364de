//! From a connection to an endpoint to an encrypted one, and how that can fail.

use super::agreed::HTTP2;
use super::session::Role;
use super::{Originator, Scratch, TlsStream};
use crate::transport::Transport;
use rustls::client::UnbufferedClientConnection;
use rustls::{AlertDescription, CertificateError, Error};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

/// Why an endpoint cannot be spoken TLS with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginateError {
    /// The endpoint refused: its alert says why, to whoever reads its log.
    Alert,
    /// Its certificate is over, or has not begun.
    CertificateExpired,
    /// Its certificate is malformed, revoked, or for something else than a server.
    CertificateInvalid,
    /// Its certificate is for another name.
    CertificateName,
    /// Its certificate leads to no authority that is trusted.
    CertificateUntrusted,
    /// It closed the connection in the middle of the handshake.
    Closed,
    /// No agreement on versions or suites, or what it sent is no TLS.
    Failed,
    /// It was offered HTTP/2 and nothing else, and refused with the alert for that (RFC 7301 §3.2), or did not agree to it: over
    /// TLS there is no HTTP/2 without (RFC 9113 §3.2), so nobody need wait for what it says.
    Http2NotSpoken,
    /// It ended the connection with an alert after the handshake, in place of an answer: since TLS 1.3 (RFC 8446 §4.4.2.4)
    /// this is how a client's certificate is refused.
    Refused,
    Timeout,
}

impl OriginateError {
    /// One stable word for logs and metrics.
    pub fn code(self) -> &'static str {
        match self {
            Self::Alert => "tls_alert",
            Self::CertificateExpired => "tls_certificate_expired",
            Self::CertificateInvalid => "tls_certificate_invalid",
            Self::CertificateName => "tls_certificate_name",
            Self::CertificateUntrusted => "tls_certificate_untrusted",
            Self::Closed => "tls_closed",
            Self::Failed => "tls_failed",
            Self::Http2NotSpoken => "http2_not_spoken",
            Self::Refused => "tls_refused",
            Self::Timeout => "tls_timeout",
        }
    }

    /// The error type of Proxy-Status (RFC 9209 §2.3).
    pub fn proxy_error(self) -> &'static str {
        match self {
            Self::Alert | Self::Refused => "tls_alert_received",
            Self::CertificateExpired
            | Self::CertificateInvalid
            | Self::CertificateName
            | Self::CertificateUntrusted => "tls_certificate_error",
            Self::Closed => "connection_terminated",
            Self::Failed => "tls_protocol_error",
            Self::Http2NotSpoken => "http_protocol_error",
            Self::Timeout => "connection_timeout",
        }
    }

    pub fn status(self) -> u16 {
        if self == Self::Timeout { 504 } else { 502 }
    }
}

/// Whether a read failed because the other side said, in the words of TLS, that it will not go on.
pub(crate) fn is_refusal(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    matches!(inner, Some(Error::AlertReceived(_)))
}

/// Agrees with an endpoint on keys. `introduction` is what it has to hear before, in the clear.
pub(crate) async fn originate(
    transport: Transport,
    scratch: &Rc<Scratch>,
    originator: &Originator,
    introduction: &[u8],
) -> Result<TlsStream, OriginateError> {
    let mut said = 0;
    while let Some(rest) = introduction.get(said..).filter(|rest| !rest.is_empty()) {
        said += poll_fn(|cx| transport.poll_write(cx, rest)).await.map_err(|_| OriginateError::Closed)?;
    }
    let (config, name) = (Arc::clone(&originator.config), originator.server_name.clone());
    let offers_http2 = config.alpn_protocols == [HTTP2];
    let client = UnbufferedClientConnection::new(config, name).map_err(|_| OriginateError::Failed)?;
    let tls = TlsStream::new(transport, Rc::clone(scratch));
    tls.begin(Role::Client(client), None, &[]);
    match poll_fn(|cx| tls.poll_handshake(cx)).await {
        Ok(()) if offers_http2 && !tls.speaks_http2() => Err(OriginateError::Http2NotSpoken),
        Ok(()) => Ok(tls),
        Err(_) if tls.is_gone() => Err(OriginateError::Closed),
        Err(Error::AlertReceived(AlertDescription::NoApplicationProtocol)) if offers_http2 => {
            Err(OriginateError::Http2NotSpoken)
        }
        Err(error) => Err(error_of(&error)),
    }
}

fn error_of(error: &Error) -> OriginateError {
    match error {
        Error::AlertReceived(_) => OriginateError::Alert,
        Error::InvalidCertificate(error) => certificate_error(error),
        Error::NoCertificatesPresented => OriginateError::CertificateInvalid,
        _ => OriginateError::Failed,
    }
}

fn certificate_error(error: &CertificateError) -> OriginateError {
    use CertificateError::{
        BadSignature, Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet,
        NotValidYetContext, UnknownIssuer,
    };
    match error {
        Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. } => {
            OriginateError::CertificateExpired
        }
        NotValidForName | NotValidForNameContext { .. } => OriginateError::CertificateName,
        // The second: it names an authority that is trusted, and was signed by another key.
        UnknownIssuer | BadSignature => OriginateError::CertificateUntrusted,
        _ => OriginateError::CertificateInvalid,
    }
}
