//! Header fields as spans of the bytes they arrived in. Knows names, not meanings.

/// A range of the buffer that a head was parsed from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub start: u32,
    pub end: u32,
}

impl Span {
    #[inline]
    pub(crate) fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, end: end as u32 }
    }

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
#[repr(u8)]
pub enum FieldKind {
    /// Spells one of the fields below with underscores for hyphens (`X_Forwarded_For`): servers that fold names into
    /// environment variables cannot tell them apart, so it is never forwarded.
    Alias,
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

/// Which kinds of fields a head has: one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FieldSet(u32);

impl FieldSet {
    pub const fn of(kinds: &[FieldKind]) -> Self {
        let mut bits = 0;
        let mut rest = kinds;
        while let [kind, more @ ..] = rest {
            bits |= 1 << *kind as u32;
            rest = more;
        }
        Self(bits)
    }

    #[inline]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[inline]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    #[inline]
    pub const fn has(self, kind: FieldKind) -> bool {
        self.0 >> kind as u32 & 1 == 1
    }

    #[inline]
    pub(crate) fn insert(&mut self, kind: FieldKind) {
        self.0 |= 1 << kind as u32;
    }
}

/// The value of the first field of that name (RFC 9110 §5.1: names ignore case).
pub fn find<'a>(fields: &[Field], buffer: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    find_all(fields, buffer, name).next()
}

/// The values of all fields of that name, in the order they arrived.
pub fn find_all<'a>(fields: &[Field], buffer: &'a [u8], name: &[u8]) -> impl Iterator<Item = &'a [u8]> {
    fields
        .iter()
        .filter(move |field| field.name.of(buffer).eq_ignore_ascii_case(name))
        .map(move |field| field.value.of(buffer))
}

/// The value of the first field of that kind.
pub fn find_kind<'a>(fields: &[Field], buffer: &'a [u8], kind: FieldKind) -> Option<&'a [u8]> {
    fields.iter().find(|field| field.kind == kind).map(|field| field.value.of(buffer))
}
