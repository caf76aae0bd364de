//! Which connections may send much of their requests' bodies before an endpoint takes them: those that an endpoint takes much
//! of, and of these only as many of a worker as the memory is enough for.

use crate::worker::Worker;
use std::rc::Rc;

/// One of the connections that may send much, as long as it stands.
#[derive(Debug)]
pub(super) struct Wide(Rc<Worker>);

impl Wide {
    /// `None`: there are as many as may be.
    pub(super) fn of(worker: &Rc<Worker>) -> Option<Self> {
        let taken = worker.wide_windows.get();
        (taken < worker.workspaces.limits().wide_windows_max).then(|| {
            worker.wide_windows.set(taken + 1);
            Self(Rc::clone(worker))
        })
    }
}

impl Drop for Wide {
    fn drop(&mut self) {
        self.0.wide_windows.set(self.0.wide_windows.get() - 1);
    }
}
