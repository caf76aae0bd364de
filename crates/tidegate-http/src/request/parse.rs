//! The request parser: resumable at any byte, refusing at the first that cannot be right. Looks at each byte a bounded
//! number of times however they arrive. Knows no limits but those it is given.
//!
//! ```text
//! Method ──SP──▶ Target ──SP──▶ Version ──CRLF──▶ Fields ──empty line──▶ Complete
//! ```

use super::target::{host_bytes, split};
use super::{METHOD_BYTES_MAX, Method, RequestError, RequestHead};
use crate::field::elements;
use crate::framing::{Coding, ConnectionOptions, content_length};
use crate::lines::{Line, LineFault, LineReader};
use crate::scan::{TOKEN, target_end};
use crate::{BodyLength, Field, FieldKind, FieldSet, HeadLimits, Progress, Span, Version};

/// Feed it the same growing buffer until it says `Complete` or fails. It looks at each byte a bounded number of times
/// however the bytes arrive.
#[derive(Debug, Default)]
pub struct RequestParser {
    expects: Expects,
    lines: LineReader,
    chunked: bool,
    content_length: Option<u64>,
    options: ConnectionOptions,
}

/// What comes next, and where it begins.
#[derive(Clone, Copy, Debug, Default)]
enum Expects {
    #[default]
    Method,
    /// Good up to `at`; `question` is where its first `?` was.
    Target {
        start: usize,
        at: usize,
        question: Option<usize>,
    },
    Version {
        start: usize,
    },
    Fields,
}

impl RequestParser {
    /// Forgets a head that was begun; done by itself after `Complete` and after an error.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    pub fn parse(
        &mut self,
        buffer: &[u8],
        limits: &HeadLimits,
        head: &mut RequestHead,
    ) -> Result<Progress, RequestError> {
        let within_limit = buffer.get(..limits.head_bytes_max).unwrap_or(buffer);
        match self.advance(within_limit, limits, head) {
            Ok(Progress::NeedMore) if buffer.len() < limits.head_bytes_max => Ok(Progress::NeedMore),
            Ok(Progress::NeedMore) => {
                let error = self.too_large(limits);
                self.reset();
                Err(error)
            }
            finished => {
                self.reset();
                finished
            }
        }
    }

    fn too_large(&self, limits: &HeadLimits) -> RequestError {
        match self.expects {
            Expects::Target { .. } => RequestError::TargetTooLong { limit_bytes: limits.head_bytes_max },
            _ => RequestError::HeadTooLarge { limit_bytes: limits.head_bytes_max },
        }
    }

    fn advance(
        &mut self,
        bytes: &[u8],
        limits: &HeadLimits,
        head: &mut RequestHead,
    ) -> Result<Progress, RequestError> {
        let mut expects = self.expects;
        loop {
            let next = match expects {
                Expects::Method => read_method(bytes, head)?,
                Expects::Target { start, at, question } => {
                    self.read_target(bytes, start, at, question, limits, head)?
                }
                Expects::Version { start } => self.read_version(bytes, start, head)?,
                Expects::Fields => return self.read_fields(bytes, limits, head),
            };
            let Some(next) = next else { return Ok(Progress::NeedMore) };
            expects = next;
        }
    }

    fn read_target(
        &mut self,
        bytes: &[u8],
        start: usize,
        mut at: usize,
        mut question: Option<usize>,
        limits: &HeadLimits,
        head: &mut RequestHead,
    ) -> Result<Option<Expects>, RequestError> {
        let end_max = start.saturating_add(limits.target_bytes_max);
        let readable = bytes.get(..end_max.saturating_add(1)).unwrap_or(bytes);
        loop {
            at = target_end(readable, at);
            match readable.get(at) {
                Some(b'?') => {
                    question = question.or(Some(at));
                    at += 1;
                }
                Some(b' ') => break,
                Some(b'\r' | b'\n') => return Err(RequestError::VersionInvalid), // HTTP/0.9
                Some(_) => return Err(RequestError::TargetInvalid),
                None if at > end_max => {
                    return Err(RequestError::TargetTooLong { limit_bytes: limits.target_bytes_max });
                }
                None => {
                    self.expects = Expects::Target { start, at, question };
                    return Ok(None);
                }
            }
        }
        if !split(bytes, Span::new(start, at), question.unwrap_or(at), head) {
            return Err(RequestError::TargetInvalid);
        }
        Ok(Some(Expects::Version { start: at + 1 }))
    }

    fn read_version(
        &mut self,
        bytes: &[u8],
        start: usize,
        head: &mut RequestHead,
    ) -> Result<Option<Expects>, RequestError> {
        let rest = bytes.get(start..).unwrap_or_default();
        head.version = match rest.split_first_chunk() {
            Some((b"HTTP/1.1", [b'\r', b'\n', ..])) => Version::Http11,
            Some((b"HTTP/1.0", [b'\r', b'\n', ..])) => Version::Http10,
            _ => {
                self.expects = Expects::Version { start };
                return refuse_version(rest).map(|()| None);
            }
        };
        self.lines = LineReader::starting_at(start + 10);
        Ok(Some(Expects::Fields))
    }

    #[inline(never)] // its loop is the hot one, and needs all registers
    fn read_fields(
        &mut self,
        bytes: &[u8],
        limits: &HeadLimits,
        head: &mut RequestHead,
    ) -> Result<Progress, RequestError> {
        let mut lines = self.lines;
        loop {
            let line = lines.next(bytes).map_err(|fault| RequestError::of_line(fault, next_line(head)))?;
            let field = match line {
                Line::Field(field) => field,
                Line::NeedMore => {
                    (self.expects, self.lines) = (Expects::Fields, lines);
                    return Ok(Progress::NeedMore);
                }
                Line::End(head_bytes) => {
                    self.decide(bytes, head)?;
                    return Ok(Progress::Complete { head_bytes });
                }
            };
            if head.fields.len() >= limits.field_count_max {
                return Err(RequestError::TooManyFields { limit: limits.field_count_max });
            }
            if MEANINGFUL.has(field.kind) {
                self.read_meaning(bytes, field, head)?;
            }
            head.kinds.insert(field.kind);
            head.fields.push(field);
        }
    }

    fn read_meaning(
        &mut self,
        bytes: &[u8],
        field: Field,
        head: &mut RequestHead,
    ) -> Result<(), RequestError> {
        let (value, line) = (field.value.of(bytes), next_line(head));
        let again = head.kinds.has(field.kind);
        match field.kind {
            FieldKind::Connection => self.options.add(value),
            // RFC 9112 §6.3 would allow a list of identical numbers; nobody honest sends one.
            FieldKind::ContentLength if again => return Err(RequestError::ContentLengthRepeated { line }),
            FieldKind::ContentLength => {
                let length = content_length(value).ok_or(RequestError::ContentLengthInvalid { line })?;
                self.content_length = Some(length);
            }
            FieldKind::Expect if value.eq_ignore_ascii_case(b"100-continue") => head.expects_continue = true,
            FieldKind::Expect => return Err(RequestError::ExpectationUnknown { line }),
            FieldKind::Host if again => return Err(RequestError::HostRepeated { line }),
            FieldKind::Host => {
                let host = host_bytes(bytes, field.value).ok_or(RequestError::HostInvalid { line })?;
                head.name_host(field.value, host);
            }
            FieldKind::TransferEncoding if again => {
                return Err(RequestError::TransferEncodingRepeated { line });
            }
            FieldKind::TransferEncoding => match Coding::of(value) {
                Coding::Chunked => self.chunked = true,
                Coding::Unknown => return Err(RequestError::TransferCodingUnknown { line }),
                Coding::Invalid => return Err(RequestError::TransferEncodingInvalid { line }),
            },
            _ => {}
        }
        Ok(())
    }

    /// The head is complete: what do its fields mean together?
    fn decide(&self, bytes: &[u8], head: &mut RequestHead) -> Result<(), RequestError> {
        if head.version == Version::Http11 && !head.kinds.has(FieldKind::Host) {
            return Err(RequestError::HostMissing); // RFC 9112 §3.2
        }
        head.body = match (self.chunked, self.content_length) {
            // RFC 9112 §6.1 and §11.2: whoever believed the other of the two would see another request.
            (true, Some(_)) => return Err(RequestError::ContentLengthAndTransferEncoding),
            (true, None) if head.version == Version::Http10 => {
                return Err(RequestError::TransferEncodingOnHttp10);
            }
            (true, None) => BodyLength::Chunked,
            (false, None | Some(0)) => BodyLength::None,
            (false, Some(length)) => BodyLength::Length(length),
        };
        let has_body = head.body != BodyLength::None;
        let is_http11 = head.version == Version::Http11;
        head.expects_continue &= has_body && is_http11; // RFC 9110 §10.1.1
        head.keep_alive = self.options.keep_alive(head.version);
        head.nominates = self.options.nominates();
        if self.options.upgrade() && is_http11 && !has_body {
            head.upgrade = upgrade(bytes, head);
        }
        Ok(())
    }
}

/// Looks at the up to 32 bytes again each time more arrive.
#[inline]
fn read_method(bytes: &[u8], head: &mut RequestHead) -> Result<Option<Expects>, RequestError> {
    head.clear();
    let (start, end) = match bytes {
        [b'G', b'E', b'T', b' ', ..] => return Ok(Some(begin_target(Method::Get, 0, 3, head))),
        [b'P', b'O', b'S', b'T', b' ', ..] => return Ok(Some(begin_target(Method::Post, 0, 4, head))),
        [b'\r'] => return Ok(None),
        [b'\r', b'\n', ..] => (2, method_end(bytes, 2)?), // RFC 9112 §2.2: ignore an empty line before the request line
        _ => (0, method_end(bytes, 0)?),
    };
    if end == bytes.len() {
        return Ok(None);
    }
    head.method_text = Span::new(start, end);
    match Method::of(bytes.get(start..end).unwrap_or_default()) {
        Method::Connect => Err(RequestError::ConnectRefused),
        Method::Trace => Err(RequestError::TraceRefused),
        method => Ok(Some(begin_target(method, start, end, head))),
    }
}

#[inline]
fn begin_target(method: Method, start: usize, end: usize, head: &mut RequestHead) -> Expects {
    (head.method, head.method_text) = (method, Span::new(start, end));
    Expects::Target { start: end + 1, at: end + 1, question: None }
}

/// The end of the method, or of the bytes if they may all belong to it.
fn method_end(bytes: &[u8], start: usize) -> Result<usize, RequestError> {
    let line = bytes.get(..start + METHOD_BYTES_MAX + 1).unwrap_or(bytes);
    let end = TOKEN.end(line, start);
    match line.get(end) {
        Some(b' ') if end > start => Ok(end),
        Some(_) => Err(RequestError::MethodInvalid),
        None if end - start > METHOD_BYTES_MAX => Err(RequestError::MethodTooLong),
        None => Ok(end),
    }
}

/// The fields that the parser itself acts on.
const MEANINGFUL: FieldSet = FieldSet::of(&[
    FieldKind::Connection,
    FieldKind::ContentLength,
    FieldKind::Expect,
    FieldKind::Host,
    FieldKind::TransferEncoding,
]);

/// The number of the line behind the fields read so far.
fn next_line(head: &RequestHead) -> u32 {
    head.fields.len() as u32 + 2
}

/// The one Upgrade field; of one that offers h2c among others the first that is not: a tunnel to another HTTP would bypass every
/// rule of this proxy.
fn upgrade(bytes: &[u8], head: &RequestHead) -> Option<Span> {
    let mut upgrades = head.fields.iter().filter(|field| field.kind == FieldKind::Upgrade);
    let (only, None) = (upgrades.next()?, upgrades.next()) else { return None };
    let is_h2c = |offer: &[u8]| offer.windows(3).any(|word| word.eq_ignore_ascii_case(b"h2c"));
    if !is_h2c(only.value.of(bytes)) {
        return Some(only.value).filter(|value| !value.is_empty());
    }
    let (at, offer) = elements(only.value.of(bytes)).find(|(_, offer)| !is_h2c(offer))?;
    let start = only.value.start as usize + at;
    Some(Span::new(start, start + offer.len()))
}

/// What the bytes where a version should stand are instead; `Ok` if they may still become one.
#[cold]
fn refuse_version(rest: &[u8]) -> Result<(), RequestError> {
    let (version, ending) = rest.split_at_checked(8).unwrap_or((rest, &[]));
    for (byte, expected) in version.iter().zip(b"HTTP/d.d") {
        if !(byte == expected && *expected != b'd' || *expected == b'd' && byte.is_ascii_digit()) {
            return Err(RequestError::VersionInvalid);
        }
    }
    match (version, ending) {
        (b"HTTP/1.0" | b"HTTP/1.1", [] | [b'\r'] | [b'\r', b'\n', ..]) => Ok(()),
        (b"HTTP/1.0" | b"HTTP/1.1", _) => Err(RequestError::LineEndInvalid { line: 1 }),
        _ if version.len() == 8 => Err(RequestError::VersionUnsupported),
        _ => Ok(()),
    }
}

impl RequestHead {
    /// Empties it, and keeps its memory.
    fn clear(&mut self) {
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        *self = Self { fields, ..Self::default() };
    }

    /// RFC 9112 §3.2.2: the target's authority, if it has one, replaces the Host field's.
    fn name_host(&mut self, value: Span, host_bytes: usize) {
        if self.authority.is_empty() {
            self.authority = value;
            self.host = Span { start: value.start, end: value.start + host_bytes as u32 };
        }
    }
}

impl Method {
    #[inline]
    fn of(text: &[u8]) -> Self {
        match text {
            b"CONNECT" => Self::Connect,
            b"DELETE" => Self::Delete,
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"OPTIONS" => Self::Options,
            b"PATCH" => Self::Patch,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"TRACE" => Self::Trace,
            _ => Self::Other,
        }
    }
}

impl RequestError {
    #[cold]
    fn of_line(fault: LineFault, line: u32) -> Self {
        match fault {
            LineFault::Ending => Self::LineEndInvalid { line },
            LineFault::Folded => Self::FieldFolded { line },
            LineFault::Name => Self::FieldNameInvalid { line },
            LineFault::Value => Self::FieldValueInvalid { line },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::work;

    const LIMITS: HeadLimits =
        HeadLimits { head_bytes_max: 16 * 1024, target_bytes_max: 16 * 1024, field_count_max: 4096 };

    /// Bytes looked at while `head` arrives one byte at a time.
    fn work_of(head: &[u8]) -> usize {
        let (mut parser, mut parsed) = (RequestParser::default(), RequestHead::default());
        work::BYTES.set(0);
        for end in 1..head.len() {
            assert_eq!(parser.parse(&head[..end], &LIMITS, &mut parsed), Ok(Progress::NeedMore));
        }
        assert!(parser.parse(head, &LIMITS, &mut parsed).is_ok_and(|end| end != Progress::NeedMore));
        work::BYTES.get()
    }

    #[test]
    fn feeding_one_byte_at_a_time_costs_a_bounded_number_of_looks_at_each() {
        let long = "x".repeat(15_000);
        let cases = [
            (format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), "a long path"),
            (format!("GET /?{long} HTTP/1.1\r\nHost: a\r\n\r\n"), "a long query"),
            (format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "?".repeat(15_000)), "many marks"),
            (format!("GET / HTTP/1.1\r\nHost: a\r\n{long}: b\r\n\r\n"), "a long name"),
            (format!("GET / HTTP/1.1\r\nHost: a\r\nb: {long}\r\n\r\n"), "a long value"),
            (format!("GET / HTTP/1.1\r\nHost: a\r\nb:{}\r\n\r\n", " \t".repeat(7_000)), "only white space"),
            (format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "b: c\r\n".repeat(2_000)), "many fields"),
            ("A".repeat(METHOD_BYTES_MAX) + " / HTTP/1.1\r\nHost: a\r\n\r\n", "a long method"),
        ];
        for (head, why) in cases {
            // Each call costs a block or two, each byte at most two looks more; a method is looked at again each time.
            let bound = 32 * head.len() + 2 * head.len() + METHOD_BYTES_MAX * METHOD_BYTES_MAX;
            let work = work_of(head.as_bytes());
            assert!(work <= bound, "{why}: {work} looks at {} bytes", head.len());
        }
    }
}
