//! Why an authority's own certificate is not believed, in words for people. Knows no connection.

use rustls::CertificateError::{
    BadSignature, Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet,
    NotValidYetContext, Other, UnknownIssuer,
};
use std::error::Error;
use std::io;

/// What is behind `error`; `None`: something else, or something that the library has words for.
pub(crate) fn words(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let rustls::Error::InvalidCertificate(reason) = within(error)? else { return None };
    Some(match reason {
        BadSignature => "its certificate names an authority that is trusted, and was signed by another key",
        Expired | ExpiredContext { .. } => "its certificate has expired, or the clock is wrong",
        NotValidForName | NotValidForNameContext { .. } => "its certificate is for another name",
        NotValidYet | NotValidYetContext { .. } => "its certificate does not hold yet, or the clock is wrong",
        UnknownIssuer => "its certificate leads to no authority that is trusted here: `ca_root` names others",
        // What it says of itself is the name of the error.
        Other(unknown) if unknown.to_string() == "CaUsedAsEndEntity" => {
            "its certificate is one to vouch for others with (CA:TRUE), which no server may show"
        }
        _ => return None,
    })
}

/// Errors of the system have others within that they do not call their source.
fn within<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(found) = error.downcast_ref::<rustls::Error>() {
        return Some(found);
    }
    within(error.downcast_ref::<io::Error>()?.get_ref()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use rustls::RootCertStore;
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier;
    use rustls::crypto::aws_lc_rs;
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use std::sync::Arc;

    fn params(is_ca: IsCa) -> CertificateParams {
        let mut params = CertificateParams::new(vec!["ca.test".to_owned()]).unwrap();
        params.is_ca = is_ca;
        params
    }

    /// What the library says of `shown` by `name`, where `root` is trusted.
    fn said(
        root: &CertificateDer<'static>,
        shown: &CertificateDer<'_>,
        name: &'static str,
    ) -> Option<&'static str> {
        let mut roots = RootCertStore::empty();
        roots.add(root.clone()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider).build().unwrap();
        let name = ServerName::try_from(name).unwrap();
        let error = verifier.verify_server_cert(shown, &[], &name, &[], UnixTime::now()).unwrap_err();
        words(&io::Error::other(io::Error::other(error)))
    }

    #[test]
    fn certificates_that_are_not_believed_are_told_of_in_words() {
        let vouching = IsCa::Ca(BasicConstraints::Unconstrained);
        let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let root = params(vouching).self_signed(&key).unwrap();
        let stranger = params(IsCa::NoCa).self_signed(&other).unwrap();
        let leaf = params(IsCa::NoCa).signed_by(&other, &Issuer::new(params(vouching), key)).unwrap();
        for (shown, name, expected) in [
            (root.der(), "ca.test", "CA:TRUE"),
            (leaf.der(), "else.test", "another name"),
            (stranger.der(), "ca.test", "signed by another key"),
        ] {
            let said = said(root.der(), shown, name).unwrap();
            assert!(said.contains(expected), "{said}");
        }
        assert_eq!(words(&io::Error::other("a wire was cut")), None);
    }
}
