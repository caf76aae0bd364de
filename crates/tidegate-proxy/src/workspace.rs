//! What one request is served with: buffers, parsers, pumps. Lent to a connection while it is busy, so that idle
//! connections hold none, and taken back warm, so that serving allocates nothing.
//!
//! Nearly all memory that clients can make the proxy use is in here, so this is where it is bounded: so many may be lent
//! at once, so many are kept, so many may hold more than their two buffers.

use crate::buffer::{BUFFER_BYTES, Buffer};
use crate::pump::Pump;
use crate::snapshot::WorkspaceLimits;
use std::cell::{Cell, RefCell};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use tidegate_http::request::{RequestHead, RequestParser};
use tidegate_http::response::{ResponseHead, ResponseParser};

/// The memory that whatever passes at once passes through. Larger means fewer system calls per megabyte; as there is one
/// piece for all connections of a worker, it stays in the cache (256 KiB: a quarter of a usual second level).
const HOT_BYTES: usize = 256 * 1024;

/// What a workspace takes at most beyond its heads: both of its buffers.
pub const WORKSPACE_BYTES: usize = 2 * BUFFER_BYTES;

/// What an oversized one takes in addition: it holds what the hot memory had, in place of a usual buffer.
pub const OVERSIZED_BYTES: usize = HOT_BYTES - BUFFER_BYTES;

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
    /// One of the few that keep a body for another attempt.
    keeps_body: bool,
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
            keeps_body: false,
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
    /// By all workers.
    lent: Arc<AtomicUsize>,
    oversized: Cell<usize>,
    kept_bodies: Cell<usize>,
    limits: Cell<WorkspaceLimits>,
}

impl Workspaces {
    /// `lent` counts for all workers.
    pub(crate) fn new(lent: Arc<AtomicUsize>, limits: WorkspaceLimits) -> Self {
        Self {
            spare: RefCell::default(),
            hot: RefCell::new(vec![0; HOT_BYTES].into_boxed_slice()),
            lent,
            oversized: Cell::default(),
            kept_bodies: Cell::default(),
            limits: Cell::new(limits),
        }
    }

    pub(crate) fn limit(&self, limits: WorkspaceLimits) {
        self.limits.set(limits);
        self.spare.borrow_mut().truncate(limits.spare_max);
    }

    pub(crate) fn limits(&self) -> WorkspaceLimits {
        self.limits.get()
    }

    /// `None`: as many as may be are lent.
    #[inline]
    pub(crate) fn lend(&self) -> Option<Lent<'_>> {
        // A count, ordering nothing.
        if self.lent.fetch_add(1, Relaxed) >= self.limits.get().lent_max {
            self.lent.fetch_sub(1, Relaxed);
            return None;
        }
        Some(self.take_out())
    }

    /// Whether the next one is turned away.
    pub(crate) fn are_all_lent(&self) -> bool {
        self.lent.load(Relaxed) >= self.limits.get().lent_max
    }

    /// Whatever has been lent: for a moment in which nobody else has a turn, so there is one of these for each worker at most.
    pub(crate) fn lend_for_a_moment(&self) -> Lent<'_> {
        self.lent.fetch_add(1, Relaxed);
        self.take_out()
    }

    #[inline]
    fn take_out(&self) -> Lent<'_> {
        let workspace = self.spare.borrow_mut().pop().unwrap_or_else(|| Box::new(Workspace::new()));
        Lent { owner: self, workspace: Some(workspace) }
    }

    /// Memory for what is read and forgotten at once.
    pub(crate) fn with_scratch<T>(&self, read: impl FnOnce(&mut [u8]) -> T) -> T {
        read(&mut self.hot.borrow_mut())
    }

    /// Whether the workspace may keep a body for another attempt.
    pub(crate) fn may_keep_body(&self, workspace: &mut Workspace) -> bool {
        if !workspace.keeps_body && self.kept_bodies.get() < self.limits.get().kept_bodies_max {
            workspace.keeps_body = true;
            self.kept_bodies.set(self.kept_bodies.get() + 1);
        }
        workspace.keeps_body
    }

    fn may_be_oversized(&self) -> bool {
        self.oversized.get() < self.limits.get().oversized_max
    }

    /// Before an answer is read: puts the hot memory under it, unless it holds something.
    #[inline]
    pub(crate) fn lend_hot(&self, workspace: &mut Workspace) {
        if !workspace.holds_hot && workspace.answer.is_empty() && self.may_be_oversized() {
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
        if !self.may_be_oversized() || !workspace.input.is_empty() {
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
        self.lent.fetch_sub(1, Relaxed);
        workspace.clear();
        self.return_hot(&mut workspace);
        if workspace.is_oversized {
            self.oversized.set(self.oversized.get() - 1);
        }
        if std::mem::take(&mut workspace.keeps_body) {
            self.kept_bodies.set(self.kept_bodies.get() - 1);
        }
        let mut spare = self.spare.borrow_mut();
        if spare.len() < self.limits.get().spare_max && workspace.is_usual() {
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

    const OVERSIZED_MAX: usize = 4;

    const LIMITS: WorkspaceLimits = WorkspaceLimits {
        lent_max: 10,
        spare_max: 3,
        oversized_max: OVERSIZED_MAX,
        kept_bodies_max: 2,
        http2_connections_max: 1,
        wide_windows_max: 1,
    };

    fn workspaces() -> Workspaces {
        Workspaces::new(Arc::default(), LIMITS)
    }

    fn lend(workspaces: &Workspaces) -> Lent<'_> {
        workspaces.lend().expect("one that may be lent")
    }

    #[test]
    fn only_so_many_are_lent_by_all_workers_together_and_some_of_them_kept() {
        let lent = Arc::<AtomicUsize>::default();
        let workers = [(); 2].map(|()| Workspaces::new(Arc::clone(&lent), LIMITS));
        let mut held: Vec<_> = (0..10).map(|at| lend(&workers[at % 2])).collect();
        assert!(workers.iter().all(|worker| worker.lend().is_none()));
        assert_eq!(lent.load(Relaxed), 10, "who got none does not count");
        drop(workers[1].lend_for_a_moment());
        held.pop();
        held.push(lend(&workers[0]));
        drop(held);
        assert_eq!(lent.load(Relaxed), 0);
        assert_eq!(workers[0].spare.borrow().len(), LIMITS.spare_max);
        workers[0].limit(WorkspaceLimits { lent_max: 0, spare_max: 1, ..LIMITS });
        assert_eq!(workers[0].spare.borrow().len(), 1);
        assert!(workers[0].lend().is_none(), "a limit that was lowered since");
    }

    #[test]
    fn only_so_many_keep_a_body_and_each_counts_once() {
        let workspaces = workspaces();
        let mut held: Vec<_> = (0..3).map(|_| lend(&workspaces)).collect();
        let may = |held: &mut Vec<Lent<'_>>, at: usize| workspaces.may_keep_body(&mut held[at]);
        assert!(may(&mut held, 0) && may(&mut held, 0) && may(&mut held, 1));
        assert!(!may(&mut held, 2));
        held.remove(0);
        assert!(may(&mut held, 1), "there is room again");
        drop(held);
        assert_eq!(workspaces.kept_bodies.get(), 0);
    }

    fn fill(buffer: &mut Buffer, length: usize) {
        assert!(buffer.room().len() >= length);
        buffer.filled(length);
    }

    #[test]
    fn what_an_answer_leaves_moves_out_of_the_hot_memory_and_few_may_leave_much() {
        let workspaces = workspaces();
        let mut slow: Vec<Lent<'_>> = (0..=OVERSIZED_MAX).map(|_| lend(&workspaces)).collect();
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
        let workspaces = workspaces();
        let mut workspace = lend(&workspaces);
        workspaces.lend_hot(&mut workspace);
        fill(&mut workspace.answer, 10);
        drop(workspace);
        assert_eq!(workspaces.hot.borrow().len(), HOT_BYTES);
        assert!(lend(&workspaces).answer.is_empty());
    }

    #[test]
    fn what_an_upload_leaves_goes_on_behind_its_pinned_head() {
        let workspaces = workspaces();
        let mut workspace = lend(&workspaces);
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
