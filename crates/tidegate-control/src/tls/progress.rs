//! Where asking an authority for a certificate stands: told by whoever asks, shown to everybody else.

use super::renewal::Due;

/// Where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) step: Step,
    /// When the authority is asked for the next certificate, in seconds since the Unix epoch; `None`: now.
    pub(crate) next_at: Option<i64>,
    /// By the authority's own suggestion.
    pub(crate) is_suggested: bool,
    /// In a row.
    pub(crate) failures: u32,
    /// Why the last one failed.
    pub(crate) why: Option<String>,
}

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The authority is being asked.
    Asking,
    /// Nothing until the next one is due.
    Fresh,
    /// It has failed, and will be tried again.
    Waiting,
}

impl Step {
    /// One of `ACME_STATES`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Asking => "asking",
            Self::Fresh => "fresh",
            Self::Waiting => "waiting",
        }
    }
}

impl Progress {
    pub(super) fn asking(failures: u32, why: Option<&str>) -> Self {
        Self { step: Step::Asking, next_at: None, is_suggested: false, failures, why: why.map(str::to_owned) }
    }

    pub(super) fn fresh(due: Due) -> Self {
        Self {
            step: Step::Fresh,
            next_at: Some(due.at),
            is_suggested: due.is_suggested,
            failures: 0,
            why: None,
        }
    }

    pub(super) fn waiting(failures: u32, why: String, next_at: i64) -> Self {
        Self { step: Step::Waiting, next_at: Some(next_at), is_suggested: false, failures, why: Some(why) }
    }
}
