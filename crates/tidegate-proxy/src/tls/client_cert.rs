//! What endpoints are told of the certificate that a client has shown (RFC 9440): written once for each connection.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;

/// The lines for `shown`, the client's own certificate first; nothing if there is none.
pub(super) fn lines(shown: &[CertificateDer<'_>], with_chain: bool) -> Vec<u8> {
    let Some((leaf, chain)) = shown.split_first() else { return Vec::new() };
    let leaf = format!("Client-Cert: {}\r\n", byte_sequence(leaf));
    if !with_chain || chain.is_empty() {
        return leaf.into_bytes();
    }
    let chain: Vec<_> = chain.iter().map(byte_sequence).collect();
    format!("{leaf}Client-Cert-Chain: {}\r\n", chain.join(", ")).into_bytes()
}

/// RFC 8941 §3.3.5.
fn byte_sequence(certificate: &CertificateDer<'_>) -> String {
    format!(":{}:", STANDARD.encode(certificate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_is_told_without_the_first_and_only_when_asked_for() {
        let shown = [b"leaf".to_vec().into(), b"middle".to_vec().into(), b"upper".to_vec().into()];
        let text = |shown: &[_], chain| String::from_utf8(lines(shown, chain)).unwrap();
        assert_eq!(text(&shown, false), "Client-Cert: :bGVhZg==:\r\n");
        assert_eq!(
            text(&shown, true),
            "Client-Cert: :bGVhZg==:\r\nClient-Cert-Chain: :bWlkZGxl:, :dXBwZXI=:\r\n"
        );
        assert_eq!(text(&shown[..1], true), "Client-Cert: :bGVhZg==:\r\n");
        assert_eq!(text(&[], true), "");
    }
}
