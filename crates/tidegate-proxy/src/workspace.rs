//! What one request is served with: buffers, parsers, pumps. Lent to a connection while it is busy, so that idle
//! connections hold none, and taken back warm, so that serving allocates nothing.

use crate::buffer::{BUFFER_BYTES, Buffer};
use crate::pump::Pump;
use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use tidegate_http::request::{RequestHead, RequestParser};
use tidegate_http::response::{ResponseHead, ResponseParser};

/// Idle workspaces kept by a worker; more are freed when a burst is over. Fewer than requests in flight would mean
/// clearing fresh buffers for some of them; of a kept one only the pages that were used take memory.
const SPARE_MAX: usize = 1024;

#[derive(Debug)]
pub(crate) struct Workspace {
    /// From the client: the head stays pinned while the body moves through.
    pub(crate) input: Buffer,
    /// From the endpoint.
    pub(crate) answer: Buffer,
    /// The memory under `answer` is the one that all connections share.
    holds_hot: bool,
    pub(crate) request_parser: RequestParser,
    pub(crate) request: RequestHead,
    pub(crate) response_parser: ResponseParser,
    pub(crate) response: ResponseHead,
    pub(crate) upload: Pump,
    pub(crate) download: Pump,
    /// The canonical path, when it differs from the one that was sent.
    pub(crate) path: Vec<u8>,
}

impl Workspace {
    fn new() -> Self {
        Self {
            input: Buffer::with_capacity(BUFFER_BYTES),
            answer: Buffer::with_capacity(BUFFER_BYTES),
            holds_hot: false,
            request_parser: RequestParser::default(),
            request: RequestHead::default(),
            response_parser: ResponseParser::default(),
            response: ResponseHead::default(),
            upload: Pump::default(),
            download: Pump::default(),
            path: Vec::new(),
        }
    }

    fn clear(&mut self) {
        self.input.clear();
        self.answer.clear();
        self.holds_hot = false;
        self.request_parser.reset();
        self.response_parser.reset();
        self.upload.trim();
        self.download.trim();
    }
}

/// A worker's spare workspaces: the one used last is lent first, because it is in the cache.
#[derive(Debug)]
pub(crate) struct Workspaces {
    #[allow(clippy::vec_box, reason = "a workspace is lent and taken back by moving its box")]
    spare: RefCell<Vec<Box<Workspace>>>,
    /// Memory for answers that leave as fast as they come: one piece for all connections, so that it stays in the cache.
    hot: RefCell<Box<[u8]>>,
}

impl Default for Workspaces {
    fn default() -> Self {
        Self { spare: RefCell::default(), hot: RefCell::new(vec![0; BUFFER_BYTES].into_boxed_slice()) }
    }
}

impl Workspaces {
    pub(crate) fn lend(&self) -> Lent<'_> {
        let workspace = self.spare.borrow_mut().pop().unwrap_or_else(|| Box::new(Workspace::new()));
        Lent { owner: self, workspace: Some(workspace) }
    }

    /// Before a poll that may read an answer: puts the hot memory under it, unless it holds something.
    #[inline]
    pub(crate) fn lend_hot(&self, workspace: &mut Workspace) {
        if !workspace.holds_hot {
            workspace.holds_hot = workspace.answer.exchange_memory(&mut self.hot.borrow_mut());
        }
    }

    /// After such a poll: takes the memory back, unless something of the answer stayed in it.
    #[inline]
    pub(crate) fn return_hot(&self, workspace: &mut Workspace) {
        if workspace.holds_hot && workspace.answer.exchange_memory(&mut self.hot.borrow_mut()) {
            workspace.holds_hot = false;
        }
    }
}

/// Goes back when dropped, however the request ended.
#[derive(Debug)]
pub(crate) struct Lent<'a> {
    owner: &'a Workspaces,
    workspace: Option<Box<Workspace>>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut spare = self.owner.spare.borrow_mut();
        if let Some(mut workspace) = self.workspace.take()
            && spare.len() < SPARE_MAX
            && !std::thread::panicking() // whatever it holds then
            && workspace.input.is_usual()
            && workspace.answer.is_usual()
        {
            workspace.clear();
            spare.push(workspace);
        }
    }
}

impl Deref for Lent<'_> {
    type Target = Workspace;

    #[allow(clippy::expect_used, reason = "only `drop` takes the workspace out")]
    fn deref(&self) -> &Workspace {
        self.workspace.as_deref().expect("lent until dropped")
    }
}

impl DerefMut for Lent<'_> {
    #[allow(clippy::expect_used, reason = "only `drop` takes the workspace out")]
    fn deref_mut(&mut self) -> &mut Workspace {
        self.workspace.as_deref_mut().expect("lent until dropped")
    }
}
