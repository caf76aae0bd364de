//! The response parser: resumable at any byte, refusing at the first that cannot be right. Looks at each byte a bounded
//! number of times however they arrive. Knows no limits but those it is given.

use super::{ResponseError, ResponseHead};
use crate::framing::{Coding, ConnectionOptions, content_length};
use crate::lines::{Line, LineFault, LineReader};
use crate::request::Method;
use crate::scan::text_end;
use crate::{BodyLength, Field, FieldKind, FieldSet, HeadLimits, Progress, Span, Version};

/// Feed it the same growing buffer until it says `Complete` or fails, with the method of the request that is answered.
#[derive(Debug, Default)]
pub struct ResponseParser {
    expects: Expects,
    lines: LineReader,
    chunked: bool,
    content_length: Option<u64>,
    options: ConnectionOptions,
}

/// What comes next.
#[derive(Clone, Copy, Debug, Default)]
enum Expects {
    #[default]
    Status,
    /// The reason phrase, good up to `at`.
    Reason {
        at: usize,
    },
    Fields,
}

/// `HTTP/1.1 200`
const STATUS_BYTES: usize = 12;

impl ResponseParser {
    /// Forgets a head that was begun; done by itself after `Complete` and after an error.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    pub fn parse(
        &mut self,
        buffer: &[u8],
        limits: &HeadLimits,
        request_method: Method,
        head: &mut ResponseHead,
    ) -> Result<Progress, ResponseError> {
        let within_limit = buffer.get(..limits.head_bytes_max).unwrap_or(buffer);
        match self.advance(within_limit, limits, request_method, head) {
            Ok(Progress::NeedMore) if buffer.len() < limits.head_bytes_max => Ok(Progress::NeedMore),
            Ok(Progress::NeedMore) => {
                self.reset();
                Err(ResponseError::HeadTooLarge { limit_bytes: limits.head_bytes_max })
            }
            finished => {
                self.reset();
                finished
            }
        }
    }

    fn advance(
        &mut self,
        bytes: &[u8],
        limits: &HeadLimits,
        request_method: Method,
        head: &mut ResponseHead,
    ) -> Result<Progress, ResponseError> {
        let mut expects = self.expects;
        loop {
            let next = match expects {
                Expects::Status => read_status(bytes, head)?,
                Expects::Reason { at } => self.read_reason(bytes, at, head)?,
                Expects::Fields => return self.read_fields(bytes, limits, request_method, head),
            };
            let Some(next) = next else { return Ok(Progress::NeedMore) };
            expects = next;
        }
    }

    fn read_reason(
        &mut self,
        bytes: &[u8],
        mut at: usize,
        head: &mut ResponseHead,
    ) -> Result<Option<Expects>, ResponseError> {
        at = text_end(bytes, at);
        match bytes.get(at..) {
            Some([b'\r', b'\n', ..]) => {}
            Some([] | [b'\r']) | None => {
                self.expects = Expects::Reason { at };
                return Ok(None);
            }
            Some([b'\r' | b'\n', ..]) => return Err(ResponseError::LineEndInvalid { line: 1 }),
            Some(_) => return Err(ResponseError::StatusLineInvalid),
        }
        head.reason.end = at as u32;
        self.lines = LineReader::starting_at(at + 2);
        Ok(Some(Expects::Fields))
    }

    #[inline(never)] // its loop is the hot one, and needs all registers
    fn read_fields(
        &mut self,
        bytes: &[u8],
        limits: &HeadLimits,
        request_method: Method,
        head: &mut ResponseHead,
    ) -> Result<Progress, ResponseError> {
        let mut lines = self.lines;
        loop {
            let line = lines.next(bytes).map_err(|fault| ResponseError::of_line(fault, next_line(head)))?;
            let field = match line {
                Line::Field(field) => field,
                Line::NeedMore => {
                    (self.expects, self.lines) = (Expects::Fields, lines);
                    return Ok(Progress::NeedMore);
                }
                Line::End(head_bytes) => {
                    self.decide(request_method, head)?;
                    return Ok(Progress::Complete { head_bytes });
                }
            };
            if head.fields.len() >= limits.field_count_max {
                return Err(ResponseError::TooManyFields { limit: limits.field_count_max });
            }
            if MEANINGFUL.has(field.kind) {
                self.read_meaning(field.value.of(bytes), field, head)?;
            }
            head.kinds.insert(field.kind);
            head.fields.push(field);
        }
    }

    fn read_meaning(&mut self, value: &[u8], field: Field, head: &ResponseHead) -> Result<(), ResponseError> {
        let line = next_line(head);
        match field.kind {
            FieldKind::ContentLength => {
                let length = content_length(value).ok_or(ResponseError::ContentLengthInvalid { line })?;
                // RFC 9112 §6.3: the same number again is harmless, and one is written.
                if self.content_length.replace(length).is_some_and(|before| before != length) {
                    return Err(ResponseError::ContentLengthDiffers { line });
                }
            }
            FieldKind::TransferEncoding if head.kinds.has(FieldKind::TransferEncoding) => {
                return Err(ResponseError::TransferEncodingRepeated { line });
            }
            FieldKind::TransferEncoding if Coding::of(value) == Coding::Chunked => self.chunked = true,
            FieldKind::TransferEncoding => return Err(ResponseError::TransferEncodingInvalid { line }),
            _ => self.options.add(value),
        }
        Ok(())
    }

    /// The head is complete: RFC 9112 §6.3, in its order.
    fn decide(&self, request_method: Method, head: &mut ResponseHead) -> Result<(), ResponseError> {
        if self.chunked && self.content_length.is_some() {
            return Err(ResponseError::ContentLengthAndTransferEncoding);
        }
        if self.chunked && head.version == Version::Http10 {
            return Err(ResponseError::TransferEncodingOnHttp10);
        }
        let has_none = request_method == Method::Head || matches!(head.status, 100..=199 | 204 | 304);
        head.body = match self.content_length {
            _ if has_none => BodyLength::None,
            _ if self.chunked => BodyLength::Chunked,
            Some(0) => BodyLength::None,
            Some(length) => BodyLength::Length(length),
            None => BodyLength::UntilClose,
        };
        head.keep_alive = head.body != BodyLength::UntilClose && self.options.keep_alive(head.version);
        head.nominates = self.options.nominates();
        Ok(())
    }
}

/// Looks at the up to 12 bytes again each time more arrive.
#[inline]
fn read_status(bytes: &[u8], head: &mut ResponseHead) -> Result<Option<Expects>, ResponseError> {
    head.clear();
    let [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ (b'0' | b'1'), b' ', a, b, c, next, ..] = bytes
    else {
        return refuse_status(bytes).map(|()| None);
    };
    let digits = [*a, *b, *c];
    if !(*a != b'0' && digits.iter().all(u8::is_ascii_digit) && matches!(next, b' ' | b'\r')) {
        return refuse_status(bytes).map(|()| None);
    }
    head.version = if *minor == b'1' { Version::Http11 } else { Version::Http10 };
    head.status = digits.iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0'));
    // RFC 9112 §4 wants the space even before an empty phrase; not all origins know.
    let at = if *next == b' ' { STATUS_BYTES + 1 } else { STATUS_BYTES };
    head.reason = Span::new(at, at);
    Ok(Some(Expects::Reason { at }))
}

/// The fields that the parser itself acts on.
const MEANINGFUL: FieldSet =
    FieldSet::of(&[FieldKind::Connection, FieldKind::ContentLength, FieldKind::TransferEncoding]);

/// The number of the line behind the fields read so far.
fn next_line(head: &ResponseHead) -> u32 {
    head.fields.len() as u32 + 2
}

/// What the bytes where a status line should begin are instead; `Ok` if they may still become one.
#[cold]
fn refuse_status(bytes: &[u8]) -> Result<(), ResponseError> {
    for (place, (byte, expected)) in bytes.iter().zip(b"HTTP/d.d 9dd$").enumerate() {
        let is_good = match expected {
            b'd' => byte.is_ascii_digit(),
            b'9' => matches!(byte, b'1'..=b'9'),
            b'$' => matches!(byte, b' ' | b'\r'),
            _ => byte == expected,
        };
        if !is_good {
            return Err(ResponseError::StatusLineInvalid);
        }
        if place == 7 && !matches!(bytes.get(5..8), Some(b"1.0" | b"1.1")) {
            return Err(ResponseError::VersionUnsupported);
        }
    }
    Ok(())
}

impl ResponseHead {
    /// Empties it, and keeps its memory.
    fn clear(&mut self) {
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        *self = Self { fields, ..Self::default() };
    }
}

impl ResponseError {
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
