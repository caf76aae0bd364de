//! A change of a zone, sent to its server (RFC 2136), signed with a key that both know (RFC 8945).

use super::question::{PORT, exchange};
use super::{Change, DnsError, Record};
use hickory_proto::op::update_message::{append, delete_by_rdata};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::TXT;
use hickory_proto::rr::rdata::tsig::TsigError;
use hickory_proto::rr::{RData, RecordSet, TSigner};
use std::io;
use std::net::SocketAddr;

/// How long resolvers remember the record: authorities look at it at once, and it goes soon.
const TTL_SECONDS: u32 = 60;

pub(super) async fn send(
    address: &str,
    key: Option<TSigner>,
    change: Change,
    record: &Record,
    now: u64,
) -> Result<(), DnsError> {
    let Some(zone) = &record.zone else { return Err(DnsError::NoZone { name: record.name.to_ascii() }) };
    let text = RData::TXT(TXT::new(vec![record.value.clone()]));
    let set = RecordSet::from(hickory_proto::rr::Record::from_rdata(record.name.clone(), TTL_SECONDS, text));
    // Beside what others show there, and nothing but ours taken away.
    let mut message = match change {
        Change::Present => append(set, zone.apex.clone(), false, false),
        Change::CleanUp => delete_by_rdata(set, zone.apex.clone(), false),
    };
    let garbled = |reason: String| DnsError::Garbled { server: address.to_owned(), reason };
    let verifier = match &key {
        Some(key) => message.finalize(key, now).map_err(|error| garbled(error.to_string()))?,
        None => None,
    };
    let bytes = message.to_vec().map_err(|error| garbled(error.to_string()))?;
    let answer = to_any(address, &bytes).await;
    let bytes = answer.map_err(|error| DnsError::Unreachable { server: address.to_owned(), error })?;
    let answer = Message::from_vec(&bytes).map_err(|error| garbled(error.to_string()))?;
    // A refusal need not be signed: whoever knows not the key cannot (RFC 8945 §5.3.2).
    if answer.metadata.response_code != ResponseCode::NoError {
        let code = refusal(&answer);
        return Err(DnsError::Refused { server: address.to_owned(), zone: zone.apex.to_ascii(), code });
    }
    if answer.metadata.id != message.metadata.id {
        return Err(garbled("it answers another question".into()));
    }
    match verifier {
        Some(mut verifier) => verifier.verify(&bytes).map(drop).map_err(|error| garbled(error.to_string())),
        None => Ok(()),
    }
}

/// RFC 8945 §5.3: where it is about the signature, the signature of the answer says why.
fn refusal(answer: &Message) -> String {
    let code = answer.metadata.response_code.to_string();
    let why = match answer.signature().and_then(|signature| signature.data.error.as_ref()) {
        Some(TsigError::BadKey) => "it knows no such key",
        Some(TsigError::BadSig) => "its key of that name is another one",
        Some(TsigError::BadTime) => "its clock and this one are too far apart",
        Some(TsigError::BadTrunc | TsigError::Unknown(_)) | None => return code,
    };
    format!("{code}: {why}")
}

/// The first of its addresses that answers.
async fn to_any(address: &str, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut failed = io::Error::from(io::ErrorKind::NotFound);
    for server in tokio::net::lookup_host(with_port(address)).await? {
        match exchange(server, bytes).await {
            Ok(answer) => return Ok(answer),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

fn with_port(address: &str) -> String {
    let has_port = address.parse::<SocketAddr>().is_ok() || (address.matches(':').count() == 1);
    match address {
        _ if has_port => address.to_owned(),
        _ if address.contains(':') => format!("[{address}]:{PORT}"),
        _ => format!("{address}:{PORT}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_the_one_of_the_dns_unless_another_is_said() {
        for (address, expected) in [
            ("ns.test", "ns.test:53"),
            ("ns.test:5353", "ns.test:5353"),
            ("10.0.0.1", "10.0.0.1:53"),
            ("::1", "[::1]:53"),
            ("[::1]:5353", "[::1]:5353"),
        ] {
            assert_eq!(with_port(address), expected);
        }
    }
}
