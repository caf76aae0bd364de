//! The file with the key that changes are signed with: as `tsig-keygen` writes it, or in one line, as `nsupdate -y` takes it.

use crate::reading::{CERTIFICATE_MAX, read_file};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hickory_proto::rr::rdata::tsig::TsigAlgorithm;
use hickory_proto::rr::{Name, TSigner};
use std::io;
use std::path::{Path, PathBuf};

/// How far two clocks may be apart, in seconds (RFC 8945 §10).
const FUDGE: u16 = 300;

/// Why a file holds no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error(
        "{path} holds a key for {algorithm}, and only hmac-sha256, hmac-sha384 and hmac-sha512 can be used"
    )]
    Algorithm { path: PathBuf, algorithm: String },
    #[error("{path} holds no key: it should look like what `tsig-keygen NAME` prints")]
    Malformed { path: PathBuf },
    #[error("{path} cannot be read: {error}")]
    Unreadable { path: PathBuf, error: io::Error },
}

/// Whether there is a key in the file.
pub fn look_at_key(path: &Path) -> Result<(), KeyError> {
    read(path).map(drop)
}

pub(super) fn read(path: &Path) -> Result<TSigner, KeyError> {
    let unreadable = |error| KeyError::Unreadable { path: path.to_owned(), error };
    let malformed = || KeyError::Malformed { path: path.to_owned() };
    let contents = read_file(path, CERTIFICATE_MAX).map_err(unreadable)?;
    let text = String::from_utf8(contents).map_err(|_| malformed())?;
    let [name, algorithm, secret] = statement(&text).or_else(|| line(&text)).ok_or_else(malformed)?;
    let wrong = || KeyError::Algorithm { path: path.to_owned(), algorithm: algorithm.clone() };
    let algorithm = match algorithm.to_ascii_lowercase().trim_end_matches('.') {
        "hmac-sha256" => TsigAlgorithm::HmacSha256,
        "hmac-sha384" => TsigAlgorithm::HmacSha384,
        "hmac-sha512" => TsigAlgorithm::HmacSha512,
        _ => return Err(wrong()),
    };
    let name = Name::from_ascii(&name).map_err(|_| malformed())?;
    let secret = BASE64_STANDARD.decode(secret).map_err(|_| malformed())?;
    TSigner::new(secret, algorithm, name, FUDGE).map_err(|_| wrong())
}

/// `key "NAME" { algorithm ALGORITHM; secret "SECRET"; };`
fn statement(text: &str) -> Option<[String; 3]> {
    let without_comments = text.lines().map(|line| {
        let end = ["#", "//"]
            .into_iter()
            .filter_map(|mark| line.find(mark).filter(|at| is_comment(line, *at)))
            .min();
        line.get(..end.unwrap_or(line.len())).unwrap_or(line)
    });
    let text: String = without_comments.collect::<Vec<_>>().join(" ");
    let mut words =
        text.split(|c: char| c.is_whitespace() || "{};\"".contains(c)).filter(|word| !word.is_empty());
    (words.next()? == "key").then_some(())?;
    let name = words.next()?.to_owned();
    let rest: Vec<_> = words.collect();
    let value = |of: &str| rest.iter().position(|word| *word == of).and_then(|at| rest.get(at + 1));
    Some([name, (*value("algorithm")?).to_owned(), (*value("secret")?).to_owned()])
}

/// Two slashes may be part of a secret.
fn is_comment(line: &str, at: usize) -> bool {
    line.get(..at).is_some_and(|before| before.matches('"').count().is_multiple_of(2))
}

/// `ALGORITHM:NAME:SECRET`.
fn line(text: &str) -> Option<[String; 3]> {
    let mut parts = text.trim().split(':');
    let [algorithm, name, secret] = [parts.next()?, parts.next()?, parts.next()?];
    (parts.next().is_none()).then(|| [name.to_owned(), algorithm.to_owned(), secret.to_owned()])
}

#[cfg(test)]
mod tests {
    fn read(text: &str) -> Result<(String, Vec<u8>), String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let read = super::read(file.path()).map_err(|error| error.to_string())?;
        Ok((read.signer_name().to_ascii(), read.key().to_vec()))
    }

    #[test]
    fn keys_are_read_as_tools_write_them() {
        let expected = Ok(("acme.".to_owned(), b"//secret//".to_vec()));
        for text in [
            "key \"acme\" {\n\talgorithm hmac-sha256;\n\tsecret \"Ly9zZWNyZXQvLw==\";\n};\n",
            "# of ns1\nkey acme. { // ours\n secret \"Ly9zZWNyZXQvLw==\"; algorithm HMAC-SHA512; };",
            "hmac-sha384:acme:Ly9zZWNyZXQvLw==\n",
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
        let slashes = read("key \"acme\" { algorithm hmac-sha256; secret \"//8=\"; };").unwrap();
        assert_eq!(slashes.1, [255, 255], "a secret is no comment");
    }

    #[test]
    fn what_is_no_key_is_told_of() {
        for (text, complaint) in [
            ("", "holds no key"),
            ("key \"acme\" { algorithm hmac-sha256; };", "holds no key"),
            ("key \"acme\" { algorithm hmac-sha256; secret \"?\"; };", "holds no key"),
            ("key \"acme\" { algorithm hmac-md5; secret \"c2VjcmV0\"; };", "for hmac-md5"),
        ] {
            let said = read(text).unwrap_err();
            assert!(said.contains(complaint), "{text}: {said}");
        }
    }
}
