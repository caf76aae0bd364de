//! Secrets of sticky cookies: read from a file or the environment, or made for as long as the process lives. Knows no
//! endpoints.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use tidegate_config::{Config, Secret};

/// 128 bits, if they are random; whoever writes a passphrase writes more.
const BYTES_MIN: usize = 16;

/// Why a configuration cannot be put in force.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("no secret for sticky cookies can be made: {0}")]
    Random(io::Error),
    #[error(
        "the secret of sticky cookies in {place} has {found} bytes, and {BYTES_MIN} at least are needed; make one with \
         `head -c 32 /dev/urandom | base64`"
    )]
    TooShort { place: String, found: usize },
    #[error("the secret of sticky cookies cannot be read from {path}: {error}")]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("the secret of sticky cookies should be in the variable {0}, which is not set")]
    Unset(String),
}

/// A secret that no file holds: it does not survive the process.
#[derive(Clone)]
pub(crate) struct MadeSecret([u8; 32]);

impl MadeSecret {
    pub(crate) fn new() -> Result<Self, SecretError> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|error| SecretError::Random(error.into()))?;
        Ok(Self(bytes))
    }
}

impl std::fmt::Debug for MadeSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MadeSecret")
    }
}

/// The secrets of a configuration, by the name of their cluster.
pub(crate) struct Secrets {
    of: HashMap<String, Vec<u8>>,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets")
    }
}

impl Secrets {
    pub(crate) fn read(config: &Config, made: &MadeSecret) -> Result<Self, SecretError> {
        let mut of = HashMap::new();
        for cluster in &config.clusters {
            if let Some(sticky) = &cluster.sticky {
                of.insert(cluster.name.clone(), read(&sticky.secret, made)?);
            }
        }
        Ok(Self { of })
    }

    pub(crate) fn of(&self, cluster: &str) -> Option<&[u8]> {
        self.of.get(cluster).map(Vec::as_slice)
    }
}

/// Whether it is there, and long enough.
pub(crate) fn look(secret: &Secret) -> Result<(), SecretError> {
    read(secret, &MadeSecret([0; 32])).map(|_| ())
}

/// Clusters whose cookies end with the process, and mean nothing to another one.
pub(crate) fn without_secret(config: &Config) -> Vec<&str> {
    let is_made = |sticky: &tidegate_config::Sticky| sticky.secret == Secret::Made;
    let clusters = config.clusters.iter().filter(|cluster| cluster.sticky.as_ref().is_some_and(is_made));
    clusters.map(|cluster| cluster.name.as_str()).collect()
}

fn read(secret: &Secret, made: &MadeSecret) -> Result<Vec<u8>, SecretError> {
    match secret {
        Secret::Environment(name) => {
            let text = std::env::var(name).map_err(|_| SecretError::Unset(name.clone()))?;
            long_enough(text.into_bytes(), || format!("the variable {name}"))
        }
        Secret::File(path) => {
            let bytes =
                std::fs::read(path).map_err(|error| SecretError::Unreadable { path: path.clone(), error })?;
            // An editor ends a file with a line feed: the same secret as from a variable.
            long_enough(bytes.trim_ascii_end().to_vec(), || path.display().to_string())
        }
        Secret::Made => Ok(made.0.to_vec()),
    }
}

fn long_enough(secret: Vec<u8>, place: impl Fn() -> String) -> Result<Vec<u8>, SecretError> {
    match secret.len() {
        found @ ..BYTES_MIN => Err(SecretError::TooShort { place: place(), found }),
        _ => Ok(secret),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret_of_file(contents: &str) -> Result<Vec<u8>, SecretError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, contents).unwrap();
        read(&Secret::File(path), &MadeSecret([7; 32]))
    }

    #[test]
    fn a_file_is_read_without_its_last_line_feed() {
        assert_eq!(secret_of_file("0123456789abcdef\n").unwrap(), b"0123456789abcdef");
    }

    #[test]
    fn what_is_too_short_missing_or_unset_is_refused_with_what_to_do() {
        let short = secret_of_file("0123456789abcde\n").unwrap_err().to_string();
        assert!(short.contains("has 15 bytes") && short.contains("head -c 32"), "{short}");
        let made = MadeSecret([7; 32]);
        let missing = read(&Secret::File("/nowhere/secret".into()), &made).unwrap_err().to_string();
        assert!(missing.contains("/nowhere/secret: No such file"), "{missing}");
        let unset = read(&Secret::Environment("TIDEGATE_NOT_SET".into()), &made).unwrap_err().to_string();
        assert!(unset.contains("TIDEGATE_NOT_SET"), "{unset}");
    }

    #[test]
    fn what_is_made_differs_each_time_and_is_not_shown() {
        let (one, two) = (MadeSecret::new().unwrap(), MadeSecret::new().unwrap());
        assert_ne!(one.0, two.0);
        assert_eq!(format!("{one:?}"), "MadeSecret");
    }
}
