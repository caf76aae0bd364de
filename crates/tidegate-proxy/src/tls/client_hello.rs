//! What a client says before anything is encrypted: the name it wants (RFC 6066 §3) and the protocols it speaks
//! (RFC 7301 §3.1). Reads the first bytes of a connection, in as many records and pieces as they come. Decides nothing.

/// Longer first messages are refused: real ones, with post-quantum keys, stay below 2 KiB.
const HELLO_BYTES_MAX: usize = 16 * 1024;

const RECORD_HEADER: usize = 5;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;

/// The part of a `ClientHello` that decides where a connection goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// In lower case; `None`: the client named nobody, or an address.
    pub server_name: Option<String>,
    /// In the client's order.
    pub protocols: Vec<Vec<u8>>,
}

/// Why the first bytes of a connection are no `ClientHello`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HelloError {
    #[error("not a TLS handshake")]
    NotTls,
    #[error("malformed ClientHello")]
    Malformed,
    #[error("ClientHello longer than 16 KiB")]
    TooLong,
}

/// Reads a `ClientHello` as it comes, and each byte of it once: it may come one by one, each in a record of its own.
#[derive(Debug, Default)]
pub struct HelloParser {
    /// How much of what came is done with.
    read: usize,
    /// So much of the current record is to come.
    record_left: usize,
    message: Vec<u8>,
}

impl HelloParser {
    /// `bytes` are all that came so far, from the beginning of the connection. `None`: more are needed to say.
    pub fn parse(&mut self, bytes: &[u8]) -> Result<Option<ClientHello>, HelloError> {
        loop {
            if let Some(body) = self.body()? {
                return hello(body).map(Some).ok_or(HelloError::Malformed);
            }
            let rest = bytes.get(self.read..).unwrap_or_default();
            if self.record_left == 0 {
                let Some(length) = record(rest)? else { return Ok(None) };
                (self.read, self.record_left) = (self.read + RECORD_HEADER, length);
            } else if rest.is_empty() {
                return Ok(None);
            } else {
                let payload = rest.get(..self.record_left.min(rest.len())).unwrap_or_default();
                self.message.extend_from_slice(payload);
                (self.read, self.record_left) = (self.read + payload.len(), self.record_left - payload.len());
            }
        }
    }

    /// Whether the client knows TLS 1.2, or something newer that begins in the same way (RFC 8446 §4.1.2: `legacy_version`).
    pub(crate) fn knows_tls12(&self) -> bool {
        matches!(self.body(), Ok(Some([3, minor, ..])) if *minor >= 3)
    }

    /// What is behind the header of the first handshake message, if all of it is there.
    fn body(&self) -> Result<Option<&[u8]>, HelloError> {
        match self.message.as_slice() {
            [kind, ..] if *kind != CLIENT_HELLO => Err(HelloError::Malformed),
            [_, a, b, c, body @ ..] => {
                let wanted = u32::from_be_bytes([0, *a, *b, *c]) as usize;
                if wanted > HELLO_BYTES_MAX {
                    return Err(HelloError::TooLong);
                }
                Ok(body.get(..wanted))
            }
            _ => Ok(None),
        }
    }
}

/// How long the record is that begins here (RFC 8446 §5.1).
fn record(bytes: &[u8]) -> Result<Option<usize>, HelloError> {
    match bytes {
        [] => return Ok(None),
        [HANDSHAKE, rest @ ..] if rest.first().is_none_or(|major| *major == 3) => {}
        _ => return Err(HelloError::NotTls),
    }
    let [_, _, _, high, low, ..] = bytes else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    if length == 0 || length > HELLO_BYTES_MAX { Err(HelloError::Malformed) } else { Ok(Some(length)) }
}

/// RFC 8446 §4.1.2; `None`: it does not hold together.
fn hello(body: &[u8]) -> Option<ClientHello> {
    let mut reader = Reader(body);
    reader.take(2 + 32)?; // version, random
    reader.vector8()?; // session
    reader.vector16()?; // cipher suites
    reader.vector8()?; // compression
    let (mut name, mut wanted) = (None, None);
    let mut extensions = Reader(if reader.0.is_empty() { &[] } else { whole_vector16(reader.0)? });
    while !extensions.0.is_empty() {
        let kind = extensions.number16()?;
        let data = extensions.vector16()?;
        // RFC 8446 §4.2: none is there twice. Who decrypts might take the other one.
        let is_first = match kind {
            SERVER_NAME => name.replace(server_name(data)?).is_none(),
            ALPN => wanted.replace(protocols(data)?).is_none(),
            _ => true,
        };
        is_first.then_some(())?;
    }
    Some(ClientHello { server_name: name.flatten(), protocols: wanted.unwrap_or_default() })
}

#[allow(clippy::option_option, reason = "the outer one is for what does not hold together")]
fn server_name(data: &[u8]) -> Option<Option<String>> {
    let mut names = Reader(whole_vector16(data)?);
    let (kind, name) = (names.take(1)?, names.vector16()?);
    match (kind, names.0) {
        ([0], []) => host_name(name),
        ([0], _) => None, // RFC 6066 §3: no more than one of a kind, and there are no others
        _ => Some(None),
    }
}

/// A host in lower case. `None` in place of it: it is an address; outside: neither.
#[allow(clippy::option_option, reason = "the outer one is for what does not hold together")]
pub(crate) fn host_name(name: &[u8]) -> Option<Option<String>> {
    let name = name.strip_suffix(b".").unwrap_or(name);
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if name.is_empty() || name.len() > 253 || !name.iter().all(is_name) {
        return None;
    }
    let text = std::str::from_utf8(name).ok()?.to_ascii_lowercase();
    // RFC 6066 §3: addresses are no names; some clients send them all the same.
    let is_address = text.parse::<std::net::Ipv4Addr>().is_ok();
    Some((!is_address).then_some(text))
}

fn protocols(data: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut list = Reader(whole_vector16(data)?);
    let mut protocols = Vec::new();
    while !list.0.is_empty() {
        protocols.push(list.vector8().filter(|protocol| !protocol.is_empty())?.to_vec());
    }
    Some(protocols)
}

/// One that nothing follows.
fn whole_vector16(bytes: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader(bytes);
    let vector = reader.vector16()?;
    reader.0.is_empty().then_some(vector)
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn number16(&mut self) -> Option<u16> {
        let bytes = self.take(2)?;
        Some(u16::from_be_bytes(bytes.try_into().ok()?))
    }

    fn vector8(&mut self) -> Option<&'a [u8]> {
        let length = *self.take(1)?.first()?;
        self.take(length.into())
    }

    fn vector16(&mut self) -> Option<&'a [u8]> {
        let length = self.number16()?;
        self.take(length.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8]) -> Result<Option<ClientHello>, HelloError> {
        let (whole, mut parser) = (HelloParser::default().parse(bytes), HelloParser::default());
        let mut ends = (0..=bytes.len()).map(|end| parser.parse(&bytes[..end]));
        let in_pieces = ends.find(|found| *found != Ok(None)).unwrap_or(Ok(None));
        assert_eq!(in_pieces, whole, "{}", bytes.escape_ascii());
        whole
    }

    fn vector16(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
    }

    fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &vector16(data)].concat()
    }

    fn named(name: &[u8]) -> Vec<u8> {
        extension(SERVER_NAME, &vector16(&[&[0][..], &vector16(name)].concat()))
    }

    /// The handshake message.
    fn client_hello(extensions: &[u8]) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([0, 0, 2, 0x13, 0x01, 1, 0]);
        body.extend(vector16(extensions));
        let length = (body.len() as u32).to_be_bytes();
        [&[CLIENT_HELLO][..], &length[1..], &body].concat()
    }

    fn records(message: &[u8], piece: usize) -> Vec<u8> {
        message.chunks(piece).flat_map(|piece| [&[22, 3, 1][..], &vector16(piece)].concat()).collect()
    }

    #[test]
    fn name_and_protocols_are_found_over_any_split_into_records_and_segments() {
        let alpn = extension(ALPN, &vector16(b"\x02h2\x08http/1.1"));
        let message = client_hello(&[extension(99, b"?"), named(b"App.Example."), alpn].concat());
        let expected = ClientHello {
            server_name: Some("app.example".into()),
            protocols: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        };
        for piece in [1, 2, 3, 50, 1000] {
            let bytes = records(&message, piece);
            for length in 0..bytes.len() {
                assert_eq!(parse(&bytes[..length]), Ok(None), "{piece} {length}");
            }
            assert_eq!(parse(&bytes), Ok(Some(expected.clone())), "{piece}");
        }
    }

    #[test]
    fn addresses_and_silence_are_no_names() {
        for extensions in [named(b"127.0.0.1"), extension(99, b"")] {
            let found = parse(&records(&client_hello(&extensions), 1000)).unwrap().unwrap();
            assert_eq!(found.server_name, None);
        }
    }

    #[test]
    fn what_two_readers_could_read_differently_is_malformed() {
        let (name, list) = (named(b"a.test"), |names: &[u8]| extension(SERVER_NAME, &vector16(names)));
        let one = [&[0][..], &vector16(b"a.test")].concat();
        let alpn = |list: &[u8]| extension(ALPN, &vector16(list));
        for (extensions, why) in [
            ([name.clone(), name.clone()].concat(), "the extension twice"),
            ([name.clone(), extension(99, b"?"), named(b"b.test")].concat(), "two of them, apart"),
            (list(&[one.clone(), one.clone()].concat()), "two names"),
            (list(&[&one[..], b"\x01\0\0"].concat()), "a name and one of no known kind"),
            (extension(SERVER_NAME, &[vector16(&one), vec![0]].concat()), "something behind the list"),
            (extension(SERVER_NAME, &[0, 9, 0, 0, 6, b'a']), "a list that is longer than its extension"),
            (extension(SERVER_NAME, b""), "none, as a server says it"),
            ([alpn(b"\x02h2"), alpn(b"\x02h2")].concat(), "protocols twice"),
            (alpn(b"\x02h2\0"), "a protocol without a name"),
            (alpn(b"\x03h2"), "half a protocol"),
        ] {
            let found = parse(&records(&client_hello(&extensions), 1000));
            assert_eq!(found, Err(HelloError::Malformed), "{why}");
        }
        let unknown = list(b"\x07\0\x01a");
        let found = parse(&records(&client_hello(&unknown), 1000));
        assert_eq!(found, Ok(Some(ClientHello::default())), "a name of another kind is none");
        let mut behind = client_hello(&name);
        behind.push(0);
        behind[3] += 1;
        assert_eq!(parse(&records(&behind, 1000)), Err(HelloError::Malformed), "bytes behind the extensions");
    }

    /// RFC 8701: values that nobody understands, to keep everybody used to that.
    #[test]
    fn grease_is_passed_over() {
        let grease = [extension(0x0a0a, b""), extension(0xfafa, b"\0"), extension(0x0a0a, &[7; 300])];
        let alpn = extension(ALPN, &vector16(b"\x02\x1a\x1a\x02h2"));
        let extensions = [&grease[0][..], &named(b"a.test"), &grease[1], &alpn, &grease[2]].concat();
        let found = parse(&records(&client_hello(&extensions), 1000)).unwrap().unwrap();
        assert_eq!(found.server_name.as_deref(), Some("a.test"));
        assert_eq!(found.protocols, [&b"\x1a\x1a"[..], b"h2"]);
    }

    #[test]
    fn what_is_no_client_hello_is_refused_as_soon_as_it_shows() {
        assert_eq!(parse(b"GET / HTTP/1.1\r\n"), Err(HelloError::NotTls));
        assert_eq!(parse(&[22, 2]), Err(HelloError::NotTls));
        assert_eq!(parse(&[22, 3, 1, 0, 0]), Err(HelloError::Malformed), "an empty record");
        assert_eq!(parse(&[22, 3, 1, 0, 1, 2]), Err(HelloError::Malformed), "a server's message");
        let endless = [&[CLIENT_HELLO, 0xff, 0xff, 0xff][..], &[0; 9]].concat();
        assert_eq!(parse(&records(&endless, 100)), Err(HelloError::TooLong));
        for name in [&b"a b"[..], b"", b".", &[b'a'; 254], b"\xff"] {
            assert_eq!(parse(&records(&client_hello(&named(name)), 1000)), Err(HelloError::Malformed));
        }
    }

    #[test]
    fn a_hello_cut_anywhere_inside_is_malformed_and_never_more() {
        let message = client_hello(&named(b"app.example"));
        for length in 0..message.len() - 4 {
            let mut cut = message[..4 + length].to_vec();
            cut[1..4].copy_from_slice(&(length as u32).to_be_bytes()[1..]);
            let found = parse(&records(&cut, 1000));
            // Before its extensions a hello may end (RFC 5246 §7.4.1.2).
            assert!(matches!(found, Err(HelloError::Malformed)) || length == 41, "{length} {found:?}");
        }
    }
}
