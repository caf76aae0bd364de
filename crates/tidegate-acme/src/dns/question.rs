//! What the DNS says: where a zone begins, who serves it, and what they show. Over TCP, as every server can (RFC 7766), so that
//! no answer is cut short.

use super::DnsError;
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// What the DNS is served on.
pub(super) const PORT: u16 = 53;

/// How long one server may take for one answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many aliases lead from one name to another, at most.
const ALIASES_MAX: usize = 8;

/// As resolvers of C have it (resolv.conf(5)).
const RESOLVERS_MAX: usize = 3;

/// What is delegated and changed as a whole.
#[derive(Debug)]
pub(super) struct Zone {
    pub(super) apex: Name,
}

/// By `/etc/resolv.conf`, else one on this machine.
pub(super) fn resolvers_of_this_machine() -> Vec<SocketAddr> {
    let read = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let named: Vec<_> = resolvers(&read).take(RESOLVERS_MAX).collect();
    if named.is_empty() { vec![(Ipv4Addr::LOCALHOST, PORT).into()] } else { named }
}

fn resolvers(text: &str) -> impl Iterator<Item = SocketAddr> {
    text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let address = (words.next() == Some("nameserver")).then(|| words.next()).flatten()?;
        Some((address.parse::<IpAddr>().ok()?, PORT).into())
    })
}

/// Where a record of this name belongs when all aliases are followed, and in which zone, if somebody says.
pub(super) async fn locate(
    resolvers: &[SocketAddr],
    mut name: Name,
) -> Result<(Name, Option<Zone>), DnsError> {
    let answer = look_up(resolvers, &name, RecordType::SOA).await?;
    for _ in 0..ALIASES_MAX {
        let Some(target) = alias(&answer, &name) else { break };
        name = target;
    }
    if let Some(zone) = zone(&answer, &name) {
        return Ok((name, Some(zone)));
    }
    // Whoever says nothing of a name that does not exist may say so of one above it.
    let mut above = name.clone();
    while above.num_labels() > 1 {
        above = above.base_name();
        let answer = look_up(resolvers, &above, RecordType::SOA).await?;
        if let Some(zone) = zone(&answer, &name) {
            return Ok((name, Some(zone)));
        }
    }
    Ok((name, None))
}

fn alias(answer: &Message, name: &Name) -> Option<Name> {
    answer.answers.iter().filter(|record| record.name == *name).find_map(|record| match &record.data {
        RData::CNAME(target) => Some(target.0.clone()),
        _ => None,
    })
}

/// As the record of its authority says: in an answer, or beside the statement that there is none (RFC 2308 §2).
fn zone(answer: &Message, name: &Name) -> Option<Zone> {
    let is_authority = |record: &&Record| matches!(record.data, RData::SOA(_)) && record.name.zone_of(name);
    let found = answer.answers.iter().chain(&answer.authorities).find(is_authority)?;
    Some(Zone { apex: found.name.clone() })
}

/// Who serves a zone; none if nobody says.
pub(super) async fn servers(resolvers: &[SocketAddr], apex: &Name) -> Vec<SocketAddr> {
    let answer = look_up(resolvers, apex, RecordType::NS).await;
    let names = answer.iter().flat_map(|answer| &answer.answers).filter_map(|record| match &record.data {
        RData::NS(name) => Some(name.0.clone()),
        _ => None,
    });
    let mut servers = Vec::new();
    for name in names {
        for kind in [RecordType::A, RecordType::AAAA] {
            let answer = look_up(resolvers, &name, kind).await;
            servers.extend(answer.iter().flat_map(|answer| &answer.answers).filter_map(address));
        }
    }
    servers
}

fn address(record: &Record) -> Option<SocketAddr> {
    match &record.data {
        RData::A(address) => Some((address.0, PORT).into()),
        RData::AAAA(address) => Some((address.0, PORT).into()),
        _ => None,
    }
}

/// Who answers and does not show it; `None`: nobody answers. Whoever else does not is not waited for: a machine may have no IPv6, a
/// zone a server that is down, and the authority has the same choice.
pub(super) async fn lacking(servers: &[SocketAddr], name: &Name, value: &str) -> Option<Vec<SocketAddr>> {
    let mut looks = JoinSet::new();
    for server in servers {
        let (server, name) = (*server, name.clone());
        looks.spawn(async move { (server, ask(server, &name, RecordType::TXT).await) });
    }
    let looks = looks.join_all().await.into_iter();
    let answers: Vec<_> = looks.filter_map(|(server, answer)| Some((server, answer.ok()?))).collect();
    let lacking = answers.iter().filter(|(_, answer)| !shows(answer, value)).map(|(server, _)| *server);
    (!answers.is_empty()).then(|| lacking.collect())
}

fn shows(answer: &Message, value: &str) -> bool {
    answer.answers.iter().any(|record| match &record.data {
        RData::TXT(text) => text.txt_data.concat() == value.as_bytes(),
        _ => false,
    })
}

/// The first who answers is believed.
async fn look_up(resolvers: &[SocketAddr], name: &Name, kind: RecordType) -> Result<Message, DnsError> {
    let mut failed = DnsError::NoZone { name: name.to_ascii() };
    for resolver in resolvers {
        match ask(*resolver, name, kind).await {
            Ok(answer) => return Ok(answer),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

async fn ask(server: SocketAddr, name: &Name, kind: RecordType) -> Result<Message, DnsError> {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name.clone(), kind));
    let garbled = |reason: String| DnsError::Garbled { server: server.to_string(), reason };
    let bytes = message.to_vec().map_err(|error| garbled(error.to_string()))?;
    let answer = exchange(server, &bytes).await;
    let answer = answer.map_err(|error| DnsError::Unreachable { server: server.to_string(), error })?;
    let answer = Message::from_vec(&answer).map_err(|error| garbled(error.to_string()))?;
    if answer.metadata.id != message.metadata.id {
        return Err(garbled("it answers another question".into()));
    }
    match answer.metadata.response_code {
        ResponseCode::Refused | ResponseCode::ServFail => {
            Err(garbled(answer.metadata.response_code.to_string()))
        }
        _ => Ok(answer),
    }
}

/// One message there, one back (RFC 1035 §4.2.2).
pub(super) async fn exchange(server: SocketAddr, message: &[u8]) -> io::Result<Vec<u8>> {
    let length = u16::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let exchange = async {
        let mut stream = TcpStream::connect(server).await?;
        stream.write_all(&[&length.to_be_bytes(), message].concat()).await?;
        let length = stream.read_u16().await?;
        let mut answer = vec![0; usize::from(length)];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    };
    tokio::time::timeout(PATIENCE, exchange).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::rr::rdata::{CNAME, SOA, TXT};

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn soa(apex: &str) -> Record {
        let data = SOA::new(name("ns.test."), name("ops.test."), 1, 1, 1, 1, 1);
        Record::from_rdata(name(apex), 60, RData::SOA(data))
    }

    #[test]
    fn those_whom_the_machine_asks_are_found() {
        let text = "# nameserver 9.9.9.9\nsearch test\nnameserver 10.0.0.2\nnameserver fe80::1%eth0\n nameserver ::1 # here\n";
        let found: Vec<_> = resolvers(text).map(|address| address.to_string()).collect();
        assert_eq!(found, ["10.0.0.2:53", "[::1]:53"]);
    }

    #[test]
    fn a_zone_is_what_the_authority_of_a_name_is_for_and_nothing_beside_it() {
        let mut answer = Message::query();
        answer.add_authority(soa("elsewhere.invalid."));
        assert!(zone(&answer, &name("_acme-challenge.app.test.")).is_none());
        answer.add_authority(soa("App.test."));
        let found = zone(&answer, &name("_acme-challenge.app.test.")).unwrap();
        assert_eq!(found.apex, name("app.test."));
    }

    #[test]
    fn an_alias_is_one_of_that_very_name() {
        let mut answer = Message::query();
        let data = RData::CNAME(CNAME(name("app.acme.test.")));
        answer.add_answer(Record::from_rdata(name("_acme-challenge.app.test."), 60, data));
        assert_eq!(alias(&answer, &name("_acme-challenge.APP.test.")), Some(name("app.acme.test.")));
        assert_eq!(alias(&answer, &name("app.acme.test.")), None);
    }

    #[test]
    fn a_value_may_come_in_pieces_and_beside_others() {
        let mut answer = Message::query();
        for pieces in [&["other"][..], &["one", "two"]] {
            let data = TXT::new(pieces.iter().map(|piece| (*piece).to_owned()).collect());
            answer.add_answer(Record::from_rdata(name("app.test."), 60, RData::TXT(data)));
        }
        assert!(shows(&answer, "onetwo") && shows(&answer, "other") && !shows(&answer, "one"));
    }
}
