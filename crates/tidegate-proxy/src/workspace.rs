//! What one request is served with: buffers, parsers, pumps. Lent to a connection while it is busy, so that idle
//! connections hold none, and taken back warm, so that serving allocates nothing.

use crate::buffer::{BUFFER_BYTES, Buffer};
use crate::pump::Pump;
use std::cell::{Cell, RefCell};
use std::ops::{Deref, DerefMut};
use tidegate_http::request::{RequestHead, RequestParser};
use tidegate_http::response::{ResponseHead, ResponseParser};

/// Idle workspaces kept by a worker; more are freed when a burst is over. Fewer than requests in flight would mean
/// clearing fresh buffers for some of them; of a kept one only the pages that were used take memory.
const SPARE_MAX: usize = 1024;

/// The memory that whatever passes at once passes through. Larger means fewer system calls per megabyte; as there is one
/// piece for all connections of a worker, it stays in the cache (256 KiB: a quarter of a usual second level).
const HOT_BYTES: usize = 256 * 1024;

/// How many connections of a worker may hold more than a usual buffer of what their peers did not take.
const OVERSIZED_MAX: usize = 64;

#[derive(Debug)]
pub(crate) struct Workspace {
    /// From the client: the head stays pinned while the body moves through.
    pub(crate) input: Buffer,
    /// From the endpoint.
    pub(crate) answer: Buffer,
    /// The memory under `answer` is the one that all connections share.
    holds_hot: bool,
    /// One of the few that hold more than a usual buffer.
    is_oversized: bool,
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
            is_oversized: false,
            request_parser: RequestParser::default(),
            request: RequestHead::default(),
            response_parser: ResponseParser::default(),
            response: ResponseHead::default(),
            upload: Pump::default(),
            download: Pump::default(),
            path: Vec::new(),
        }
    }

    /// Worth keeping when the request is over.
    #[inline]
    fn is_usual(&self) -> bool {
        self.input.is_usual() && self.answer.is_usual()
    }

    fn clear(&mut self) {
        self.input.clear();
        self.answer.clear();
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
    /// While it is lent to the answer of a workspace, that one's own memory is here.
    hot: RefCell<Box<[u8]>>,
    oversized: Cell<usize>,
}

impl Default for Workspaces {
    fn default() -> Self {
        Self { spare: RefCell::default(), hot: RefCell::new(hot_memory()), oversized: Cell::default() }
    }
}

fn hot_memory() -> Box<[u8]> {
    vec![0; HOT_BYTES].into_boxed_slice()
}

impl Workspaces {
    pub(crate) fn lend(&self) -> Lent<'_> {
        let workspace = self.spare.borrow_mut().pop().unwrap_or_else(|| Box::new(Workspace::new()));
        Lent { owner: self, workspace: Some(workspace) }
    }

    /// Before an answer is read: puts the hot memory under it, unless it holds something.
    #[inline]
    pub(crate) fn lend_hot(&self, workspace: &mut Workspace) {
        if !workspace.holds_hot && workspace.answer.is_empty() && self.oversized.get() < OVERSIZED_MAX {
            workspace.answer.move_to(&mut self.hot.borrow_mut());
            workspace.holds_hot = true;
        }
    }

    /// Before anybody else has a turn: takes the memory back. What the answer holds moves to its own.
    #[inline]
    pub(crate) fn return_hot(&self, workspace: &mut Workspace) {
        if workspace.holds_hot {
            workspace.holds_hot = false;
            workspace.answer.move_to(&mut self.hot.borrow_mut());
            if !workspace.answer.is_empty() {
                self.note_rest(workspace);
            }
        }
    }

    /// Runs `pump` on the hot memory in place of an input that has been used up; what it leaves goes on in the input.
    pub(crate) fn pass_hot<T>(
        &self,
        workspace: &mut Workspace,
        pump: impl FnOnce(&mut Pump, &mut Buffer) -> T,
    ) -> T {
        if self.oversized.get() >= OVERSIZED_MAX || !workspace.input.is_empty() {
            return pump(&mut workspace.upload, &mut workspace.input);
        }
        let mut passing = Passing::on(&self.hot);
        let pumped = pump(&mut workspace.upload, &mut passing.buffer);
        if !passing.buffer.is_empty() {
            workspace.input.append_rest(passing.buffer.readable());
            self.note_rest(workspace);
        }
        pumped
    }

    /// Something was left: counts the workspace if that is much.
    #[cold]
    fn note_rest(&self, workspace: &mut Workspace) {
        if !(workspace.is_usual() || workspace.is_oversized) {
            workspace.is_oversized = true;
            self.oversized.set(self.oversized.get() + 1);
        }
    }

    fn take_back(&self, mut workspace: Box<Workspace>) {
        workspace.clear();
        self.return_hot(&mut workspace);
        if workspace.is_oversized {
            self.oversized.set(self.oversized.get() - 1);
        }
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE_MAX && workspace.is_usual() {
            spare.push(workspace);
        }
    }
}

/// A buffer on memory that goes back when it is dropped, even by a panic.
struct Passing<'a> {
    buffer: Buffer,
    home: &'a RefCell<Box<[u8]>>,
}

impl<'a> Passing<'a> {
    fn on(home: &'a RefCell<Box<[u8]>>) -> Self {
        Self { buffer: Buffer::on(std::mem::take(&mut *home.borrow_mut())), home }
    }
}

impl Drop for Passing<'_> {
    fn drop(&mut self) {
        *self.home.borrow_mut() = self.buffer.take_memory();
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
        if let Some(workspace) = self.workspace.take() {
            self.owner.take_back(workspace);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(buffer: &mut Buffer, length: usize) {
        assert!(buffer.room().len() >= length);
        buffer.filled(length);
    }

    #[test]
    fn what_an_answer_leaves_moves_out_of_the_hot_memory_and_few_may_leave_much() {
        let workspaces = Workspaces::default();
        let mut slow: Vec<Lent<'_>> = (0..=OVERSIZED_MAX).map(|_| workspaces.lend()).collect();
        for workspace in &mut slow {
            workspaces.lend_hot(workspace);
            let left = workspace.answer.room().len();
            fill(&mut workspace.answer, left);
            workspaces.return_hot(workspace);
            assert_eq!(workspace.answer.readable().len(), left);
            assert_eq!(workspaces.hot.borrow().len(), HOT_BYTES, "it is there for the next");
        }
        assert_eq!(workspaces.oversized.get(), OVERSIZED_MAX);
        let held = |workspace: &Lent<'_>| workspace.answer.readable().len();
        assert_eq!(slow.first().map(held), Some(HOT_BYTES));
        assert_eq!(slow.last().map(held), Some(BUFFER_BYTES), "too many hold much: the usual buffer must do");
        drop(slow);
        assert_eq!(workspaces.oversized.get(), 0);
        assert_eq!(workspaces.spare.borrow().len(), 1, "unusual ones are not kept");
    }

    #[test]
    fn a_request_that_ends_while_it_holds_the_hot_memory_gives_it_back() {
        let workspaces = Workspaces::default();
        let mut workspace = workspaces.lend();
        workspaces.lend_hot(&mut workspace);
        fill(&mut workspace.answer, 10);
        drop(workspace);
        assert_eq!(workspaces.hot.borrow().len(), HOT_BYTES);
        assert!(workspaces.lend().answer.is_empty());
    }

    #[test]
    fn what_an_upload_leaves_goes_on_behind_its_pinned_head() {
        let workspaces = Workspaces::default();
        let mut workspace = workspaces.lend();
        fill(&mut workspace.input, 4);
        workspace.input.pin(4);
        workspaces.pass_hot(&mut workspace, |_, buffer| fill(buffer, BUFFER_BYTES + 1));
        assert_eq!((workspace.input.pinned().len(), workspace.input.readable().len()), (4, BUFFER_BYTES + 1));
        assert_eq!(workspaces.hot.borrow().len(), HOT_BYTES);
        assert_eq!(workspaces.oversized.get(), 1);
        drop(workspace);
        assert_eq!(workspaces.oversized.get(), 0);
    }
}
