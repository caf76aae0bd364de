//! Whom a client's certificate is for, as people write it (RFC 4514): `CN=ops,OU=Crew,O=Example`. Believes nothing of it.

use std::fmt::Write;
use x509_parser::der_parser::asn1_rs::ToDer;
use x509_parser::prelude::{AttributeTypeAndValue, FromDer, X509Certificate};

/// Longer ones are cut: they stand in every line of the log.
const TEXT_BYTES_MAX: usize = 512;

/// RFC 4514 §3.
const KNOWN: [(&str, &str); 9] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.6", "C"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
];

/// `None`: it cannot be read, or is for nobody by name.
pub(super) fn of(certificate: &[u8]) -> Option<String> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let mut text = String::new();
    // RFC 4514 §2.1: the last comes first.
    let sets: Vec<_> = parsed.subject().iter_rdn().collect();
    for set in sets.into_iter().rev() {
        for (position, attribute) in set.iter().enumerate() {
            let separator = if position > 0 { "+" } else { "," };
            text.push_str(if text.is_empty() { "" } else { separator });
            put(attribute, &mut text);
        }
    }
    text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
    (!text.is_empty()).then_some(text)
}

fn put(attribute: &AttributeTypeAndValue<'_>, text: &mut String) {
    let kind = attribute.attr_type().to_id_string();
    let known = KNOWN.iter().find(|(id, _)| *id == kind);
    text.push_str(known.map_or(&*kind, |(_, name)| name));
    text.push('=');
    if let Ok(value) = attribute.as_str() {
        put_value(value, text);
        return;
    }
    text.push('#');
    for byte in attribute.attr_value().to_der_vec().unwrap_or_default() {
        let _ = write!(text, "{byte:02x}"); // memory is always written to
    }
}

/// RFC 4514 §2.4.
fn put_value(value: &str, text: &mut String) {
    let last = value.chars().count().saturating_sub(1);
    for (position, letter) in value.chars().enumerate() {
        match letter {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => text.push('\\'),
            ' ' if position == 0 || position == last => text.push('\\'),
            '#' if position == 0 => text.push('\\'),
            _ => {}
        }
        text.push(letter);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair};

    fn of_names(names: &[(DnType, &str)]) -> Option<String> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in names {
            params.distinguished_name.push(kind.clone(), *value);
        }
        of(params.self_signed(&KeyPair::generate().unwrap()).unwrap().der())
    }

    #[test]
    fn the_most_specific_name_comes_first() {
        let names = [
            (DnType::CountryName, "DE"),
            (DnType::OrganizationName, "Example, Inc."),
            (DnType::OrganizationalUnitName, "Crew"),
            (DnType::CommonName, "ops"),
        ];
        assert_eq!(of_names(&names).as_deref(), Some("CN=ops,OU=Crew,O=Example\\, Inc.,C=DE"));
    }

    #[test]
    fn what_could_be_mistaken_for_another_name_is_escaped() {
        let hostile = of_names(&[(DnType::CommonName, " a,O=\"b\"+c\\ ")]);
        assert_eq!(hostile.as_deref(), Some("CN=\\ a\\,O=\\\"b\\\"\\+c\\\\\\ "));
        let other = of_names(&[(DnType::CustomDnType(vec![1, 2, 3]), "#x")]);
        assert_eq!(other.as_deref(), Some("1.2.3=\\#x"));
    }

    #[test]
    fn nobody_is_none_and_too_much_is_cut() {
        assert_eq!(of_names(&[]), None);
        assert_eq!(of(b"no certificate"), None);
        let long = of_names(&[(DnType::CommonName, &"ä".repeat(400))]).unwrap();
        assert_eq!(long.len(), TEXT_BYTES_MAX - 1);
    }
}
