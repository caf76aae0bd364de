//! Answers, read by an independent reader: strict, slow and short.
//!
//! Knows RFC 9112 from the receiving side and nothing of the proxy's codec.

use crate::wire::{Gone, Wire};

/// Field lines in their order, names as they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(pub Vec<(String, String)>);

impl Fields {
    /// The value of the first line of that name, whatever its case.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    pub fn all(&self, name: &str) -> Vec<&str> {
        let same = |line: &&(String, String)| line.0.eq_ignore_ascii_case(name);
        self.0.iter().filter(same).map(|(_, value)| value.as_str()).collect()
    }

    pub fn has(&self, name: &str) -> bool {
        self.first(name).is_some()
    }

    /// Whether a comma-separated list holds the word, whatever its case.
    pub fn lists(&self, name: &str, word: &str) -> bool {
        self.all(name)
            .iter()
            .flat_map(|value| value.split(','))
            .any(|item| item.trim().eq_ignore_ascii_case(word))
    }

    /// Reads field lines up to and including the empty one.
    pub(crate) fn read(wire: &mut Wire) -> Result<Self, Problem> {
        let mut fields = Vec::new();
        loop {
            let line = text(&wire.line()?);
            if line.is_empty() {
                return Ok(Self(fields));
            }
            let (name, value) = line.split_once(':').ok_or_else(|| Problem::Malformed(line.clone()))?;
            fields.push((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()));
        }
    }
}

/// What stood before the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub version: String,
    pub status: u16,
    pub reason: String,
    pub fields: Fields,
}

/// One complete answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// 1xx answers that came before.
    pub interim: Vec<Head>,
    pub version: String,
    pub status: u16,
    pub reason: String,
    pub fields: Fields,
    pub body: Vec<u8>,
    pub trailers: Fields,
    /// How the body's end was known.
    pub framing: Framing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Chunked,
    Close,
    Length,
    /// The status or the method says that there is no body.
    None,
}

/// Why there was no complete answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The stream ended, broke or fell silent before the answer was complete.
    Gone(Gone),
    /// Bytes that are no answer.
    Malformed(String),
    /// The head came, the body did not end as announced; what came of it, and why it stopped.
    Truncated(Box<Reply>, Gone),
}

impl From<Gone> for Problem {
    fn from(gone: Gone) -> Self {
        Self::Gone(gone)
    }
}

impl Reply {
    /// Reads the next final answer; `method` is the request's, since HEAD has no body.
    pub fn read(wire: &mut Wire, method: &str) -> Result<Self, Problem> {
        let mut interim = Vec::new();
        loop {
            let head = Head::read(wire)?;
            if (100..200).contains(&head.status) && head.status != 101 {
                interim.push(head);
                continue;
            }
            return Self::read_body(wire, method, head, interim);
        }
    }

    fn read_body(wire: &mut Wire, method: &str, head: Head, interim: Vec<Head>) -> Result<Self, Problem> {
        let Head { version, status, reason, fields } = head;
        let framing = Framing::of(method, status, &fields);
        let (body, trailers) = (Vec::new(), Fields::default());
        let mut reply = Self { interim, version, status, reason, fields, body, trailers, framing };
        match reply.fill_body(wire) {
            Ok(()) => Ok(reply),
            Err(Problem::Gone(gone)) => Err(Problem::Truncated(Box::new(reply), gone)),
            Err(problem) => Err(problem),
        }
    }

    fn fill_body(&mut self, wire: &mut Wire) -> Result<(), Problem> {
        match self.framing {
            Framing::None => Ok(()),
            Framing::Length => self.fill_length(wire),
            Framing::Chunked => {
                self.trailers = read_chunks(wire, &mut |piece| self.body.extend_from_slice(piece))?;
                Ok(())
            }
            Framing::Close => {
                let (rest, gone) = wire.rest();
                self.body = rest;
                if gone == Gone::Finished { Ok(()) } else { Err(gone.into()) }
            }
        }
    }

    fn fill_length(&mut self, wire: &mut Wire) -> Result<(), Problem> {
        let text = self.fields.first("content-length").unwrap_or_default();
        let length: usize = text.parse().map_err(|_| Problem::Malformed(format!("content-length {text}")))?;
        while self.body.len() < length {
            let ahead = wire.ahead().len().min(length - self.body.len());
            if ahead == 0 {
                wire.fill()?;
            }
            self.body.extend(wire.exactly(ahead)?);
        }
        Ok(())
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.first(name)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether the other side said that it will close.
    pub fn closes(&self) -> bool {
        self.fields.lists("connection", "close") || self.framing == Framing::Close
    }

    /// The `details` of `Proxy-Status` (RFC 9209 §2.1.5): the cause code of an answer made by the proxy.
    pub fn cause(&self) -> Option<&str> {
        self.proxy_status("details")
    }

    /// The `error` of `Proxy-Status` (RFC 9209 §2.1.1).
    pub fn error(&self) -> Option<&str> {
        self.proxy_status("error")
    }

    fn proxy_status(&self, parameter: &str) -> Option<&str> {
        let words = self.field("proxy-status")?.split(';').skip(1);
        let pairs = words.filter_map(|word| word.trim().split_once('='));
        pairs.filter(|(key, _)| *key == parameter).map(|(_, value)| value.trim_matches('"')).next()
    }
}

impl Head {
    fn read(wire: &mut Wire) -> Result<Self, Problem> {
        let line = text(&wire.line()?);
        let malformed = || Problem::Malformed(line.clone());
        let mut words = line.splitn(3, ' ');
        let version = words.next().filter(|word| word.starts_with("HTTP/1.")).ok_or_else(malformed)?;
        let digits = words.next().filter(|word| word.len() == 3).ok_or_else(malformed)?;
        let status = digits.parse().map_err(|_| malformed())?;
        let reason = words.next().ok_or_else(malformed)?.to_owned();
        Ok(Self { version: version.to_owned(), status, reason, fields: Fields::read(wire)? })
    }
}

impl Framing {
    fn of(method: &str, status: u16, fields: &Fields) -> Self {
        let bodiless = method == "HEAD" || status < 200 || status == 204 || status == 304;
        match () {
            () if bodiless => Self::None,
            () if fields.has("transfer-encoding") => Self::Chunked,
            () if fields.has("content-length") => Self::Length,
            () => Self::Close,
        }
    }
}

/// Reads a chunked body, handing out each piece; gives the trailers. Stricter than RFC 9112 §7.1: a proxy must not
/// pass extensions on, so none are expected.
pub(crate) fn read_chunks(wire: &mut Wire, take: &mut dyn FnMut(&[u8])) -> Result<Fields, Problem> {
    loop {
        let line = text(&wire.line()?);
        let plain = line.bytes().all(|byte| byte.is_ascii_hexdigit());
        let size = usize::from_str_radix(&line, 16).ok().filter(|_| plain);
        let mut left = size.ok_or_else(|| Problem::Malformed(format!("chunk size {line:?}")))?;
        if left == 0 {
            return Fields::read(wire);
        }
        while left > 0 {
            if wire.ahead().is_empty() {
                wire.fill()?;
            }
            let piece = wire.exactly(left.min(wire.ahead().len()))?;
            take(&piece);
            left -= piece.len();
        }
        let end = wire.exactly(2)?;
        if end != b"\r\n" {
            return Err(Problem::Malformed(format!("chunk ended by {end:?}")));
        }
    }
}

/// Byte by byte, since field values may hold bytes of no known charset (obs-text, RFC 9110 §5.5).
pub(crate) fn text(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}
