//! What was agreed on with a client, as metrics and the log tell it: made once for each connection.

use super::certificates::Certificate;
use super::subject;
use rustls::{CipherSuite, CommonState, HandshakeKind, ProtocolVersion};
use std::sync::Arc;

/// What is ever agreed to be spoken.
pub(super) const PROTOCOLS: [&[u8]; 3] = [HTTP2, b"http/1.1", b"http/1.0"];
pub(super) const HTTP2: &[u8] = b"h2";

#[derive(Clone, Debug)]
pub(crate) struct Agreed {
    /// Of TLS: "1.2" or "1.3".
    pub(crate) version: &'static str,
    /// As IANA has it.
    pub(crate) cipher: &'static str,
    /// RFC 7301; `None`: the client did not ask.
    pub(crate) protocol: Option<&'static [u8]>,
    /// With a ticket from an earlier connection.
    pub(crate) is_resumed: bool,
    /// Whom the certificate that the client has shown is for.
    pub(crate) client_subject: Option<Box<str>>,
    /// What the client was shown; one of these, if that was on an earlier connection. For as long as the connection lives,
    /// whatever is shown to others by then.
    shown: Box<[Arc<Certificate>]>,
}

impl Agreed {
    /// `None`: the handshake is not over.
    pub(super) fn of(state: &CommonState, shown: Box<[Arc<Certificate>]>) -> Option<Self> {
        let client = state.peer_certificates().and_then(|client| client.first());
        Some(Self {
            version: version(state.protocol_version()?),
            cipher: cipher(state.negotiated_cipher_suite()?.suite()),
            protocol: protocol(state),
            is_resumed: state.handshake_kind()? == HandshakeKind::Resumed,
            client_subject: client.and_then(|leaf| subject::of(leaf)).map(Into::into),
            shown,
        })
    }

    /// Whether the certificate that the client was shown is for `host`: a name in lower case, or an address.
    pub(crate) fn covers(&self, host: &str) -> bool {
        self.shown.iter().all(|certificate| certificate.covers(host))
    }

    /// The protocol in one word.
    pub(crate) fn protocol_word(&self) -> &'static str {
        self.protocol.and_then(|protocol| str::from_utf8(protocol).ok()).unwrap_or("none")
    }
}

pub(super) fn protocol(state: &CommonState) -> Option<&'static [u8]> {
    let agreed = state.alpn_protocol()?;
    PROTOCOLS.into_iter().find(|known| *known == agreed)
}

fn version(version: ProtocolVersion) -> &'static str {
    if version == ProtocolVersion::TLSv1_3 { "1.3" } else { "1.2" } // nothing else is spoken
}

fn cipher(suite: CipherSuite) -> &'static str {
    match suite {
        // The library tells these apart from their namesakes.
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        suite => suite.as_str().unwrap_or("unknown"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ciphers_have_the_names_that_others_know_them_by() {
        for suite in rustls::crypto::aws_lc_rs::ALL_CIPHER_SUITES {
            let name = cipher(suite.suite());
            assert!(name.starts_with("TLS_"), "{name}");
        }
        assert_eq!(cipher(CipherSuite::TLS13_AES_128_GCM_SHA256), "TLS_AES_128_GCM_SHA256");
    }
}
