//! A second look at what was written, in debug builds only: does it read as the message that was meant?
//! Knows the writers' promises, not how they keep them.

use std::cell::RefCell;

use super::{RequestEdits, ResponseEdits};
use crate::request::{Method, RequestHead, RequestParser};
use crate::response::{ResponseHead, ResponseParser};
use crate::{BodyLength, FieldKind, FieldSet, HeadLimits, Progress};

const NO_LIMITS: HeadLimits =
    HeadLimits { head_bytes_max: usize::MAX, target_bytes_max: usize::MAX, field_count_max: usize::MAX };

thread_local! {
    /// Kept, so that a debug build allocates no more per message than a release build.
    static REQUEST: RefCell<RequestHead> = RefCell::default();
    static RESPONSE: RefCell<ResponseHead> = RefCell::default();
}

/// Same method, the target and host that were asked for, same framing, and nothing behind the end.
pub(super) fn request_is_as_meant(written: &[u8], meant: &RequestHead, edits: &RequestEdits<'_>) -> bool {
    if edits.authority.is_empty() {
        return true; // an HTTP/1.0 request without Host: no parser here would take it as HTTP/1.1
    }
    REQUEST.with_borrow_mut(|read| {
        let progress = RequestParser::default().parse(written, &NO_LIMITS, read);
        progress == Ok(Progress::Complete { head_bytes: written.len() })
            && read.method == meant.method
            && read.body == meant.body
            && read.path.of(written) == edits.path
            && read.query.of(written) == edits.query
            && read.authority.of(written) == edits.authority
            && is_clean(read.kinds)
    })
}

/// Same status, the framing that was asked for, and nothing behind the end.
pub(super) fn response_is_as_meant(written: &[u8], meant: &ResponseHead, edits: &ResponseEdits<'_>) -> bool {
    // Nothing but the method says whether a length without a body is one; whoever writes `None` had a reason.
    let method = if edits.body == BodyLength::None { Method::Head } else { Method::Get };
    RESPONSE.with_borrow_mut(|read| {
        let progress = ResponseParser::default().parse(written, &NO_LIMITS, method, read);
        progress == Ok(Progress::Complete { head_bytes: written.len() })
            && read.status == meant.status
            && read.body == edits.body
            && is_clean(read.kinds)
    })
}

fn is_clean(kinds: FieldSet) -> bool {
    const NEVER_SENT: [FieldKind; 3] = [FieldKind::Alias, FieldKind::KeepAlive, FieldKind::ProxyConnection];
    !NEVER_SENT.iter().any(|kind| kinds.has(*kind))
}
