//! What clusters need from files: secrets of their cookies, and whom their endpoints have to be signed by.

use crate::control::StartError;
use crate::secrets::{MadeSecret, Secrets};
use crate::tls::Originators;
use tidegate_config::Config;

pub(crate) struct Credentials {
    pub(crate) secrets: Secrets,
    pub(crate) originators: Originators,
}

impl Credentials {
    pub(crate) fn read(config: &Config, made: &MadeSecret) -> Result<Self, StartError> {
        Ok(Self { secrets: Secrets::read(config, made)?, originators: Originators::load(config)? })
    }
}
