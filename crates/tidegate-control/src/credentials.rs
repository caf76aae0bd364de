//! What clusters need from files: secrets of their cookies, and how their endpoints are spoken TLS with.

use crate::secrets::Secrets;
use crate::tls::Originations;

#[derive(Debug)]
pub(crate) struct Credentials {
    pub(crate) secrets: Secrets,
    pub(crate) originations: Originations,
}
