//! Header fields as spans of the bytes they arrived in. Knows names, not meanings.

/// A range of the buffer that a head was parsed from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub start: u32,
    pub end: u32,
}

impl Span {
    /// The bytes of this span, or nothing if `buffer` is not the buffer it was made from.
    #[inline]
    pub fn of(self, buffer: &[u8]) -> &[u8] {
        buffer.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    #[inline]
    pub fn is_empty(self) -> bool {
        self.start >= self.end
    }
}

/// One field line of a head or a trailer section.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    pub name: Span,
    /// Without the optional white space around it.
    pub value: Span,
    /// The whole line with its CRLF.
    pub line: Span,
    pub kind: FieldKind,
}

/// The fields that the proxy itself reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    Authorization,
    Connection,
    ContentLength,
    Cookie,
    Date,
    Expect,
    Forwarded,
    Host,
    KeepAlive,
    ProxyConnection,
    Server,
    Te,
    Trailer,
    TransferEncoding,
    Upgrade,
    Via,
    XForwardedFor,
    XForwardedHost,
    XForwardedPort,
    XForwardedProto,
    XRealIp,
    XRequestId,
    Other,
}
