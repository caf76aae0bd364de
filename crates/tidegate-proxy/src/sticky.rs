//! Sticky cookies: back to the endpoint that a client was with. Knows no secret: a token cannot be made up, and says nothing
//! of the endpoint that it stands for, because of how it was made (in the control plane).
//!
//! A request costs a look into a table. Tokens are not compared byte by byte: how long a look takes says nothing of how much
//! of a guess was right.

use crate::hash_spill;
use crate::occasion;
use crate::request::Call;
use crate::view::ClusterView;
use std::collections::HashMap;
use tidegate_balance::{Balancer, Health, Lease, LoadBound, NoEndpoint, Pick};
use tidegate_http::cookie;

/// The cookie of a cluster.
#[derive(Debug)]
pub struct Sticky {
    cookie: Box<[u8]>,
    bound: Option<LoadBound>,
    is_forwarded: bool,
    /// Positions in the cluster by token.
    homes: HashMap<Box<[u8]>, usize>,
    lines: Vec<Lines>,
}

/// What a client is told to come back to an endpoint.
#[derive(Debug)]
struct Lines {
    plain: String,
    /// For clients that came by https.
    secure: String,
}

impl Sticky {
    /// `tokens`: one for each endpoint, in their order, in the letters of a cookie's value (RFC 6265 §4.1.1).
    pub fn new(cookie: &str, tokens: &[String], bound: Option<LoadBound>, is_forwarded: bool) -> Self {
        let lines = |token: &String| {
            let line = format!("Set-Cookie: {cookie}={token}; Path=/; HttpOnly; SameSite=Lax");
            Lines { plain: format!("{line}\r\n"), secure: format!("{line}; Secure\r\n") }
        };
        Self {
            cookie: cookie.as_bytes().into(),
            bound,
            is_forwarded,
            homes: tokens.iter().map(|token| token.as_bytes().into()).zip(0..).collect(),
            lines: tokens.iter().map(lines).collect(),
        }
    }

    /// The name of the cookie, unless the endpoints may see it.
    pub(crate) fn hidden_cookie(&self) -> &[u8] {
        if self.is_forwarded { b"" } else { &self.cookie }
    }

    /// By the first token that is of an endpoint here: a client may have others of the same name, of another path or domain.
    fn home<'a>(&self, tokens: impl Iterator<Item = &'a [u8]>) -> Home {
        let mut home = Home::Nowhere;
        for token in tokens {
            home = Home::Unknown;
            if let Some(&known) = self.homes.get(token) {
                return Home::At(known);
            }
        }
        home
    }

    fn line(&self, endpoint: usize, is_secure: bool) -> &str {
        let lines = self.lines.get(endpoint);
        lines.map_or("", |lines| if is_secure { &lines.secure } else { &lines.plain })
    }
}

/// Where a request's cookie says that its client was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Home {
    At(usize),
    /// It has no cookie, or needs none.
    Nowhere,
    /// Made up, of another cluster, or of an endpoint that is not here any more.
    Unknown,
}

impl Home {
    pub(crate) fn of(call: &Call<'_>, view: &ClusterView) -> Self {
        let Some(sticky) = &view.cluster.sticky else { return Self::Nowhere };
        let bytes = call.workspace.input.pinned();
        sticky.home(cookie::all(&call.workspace.request.fields, bytes, &sticky.cookie))
    }
}

/// Picks for a request, and sees to it that its client hears where it is.
pub(crate) fn pick<'a>(
    call: &mut Call<'a>,
    view: &'a ClusterView,
    home: Home,
    pick: &Pick<'_>,
) -> Result<Lease<'a>, NoEndpoint> {
    let balancer = &view.cluster.balancer;
    let lease = match (&view.cluster.sticky, home) {
        (Some(sticky), Home::At(home)) => balancer.pick_again(home, sticky.bound, pick)?,
        _ => balancer.pick(pick)?,
    };
    Ok(noted(call, view, home, pick, lease))
}

/// The same in another of the balancer's ways, for a request that finds nobody by `pick`.
pub(crate) fn pick_with<'a>(
    call: &mut Call<'a>,
    view: &'a ClusterView,
    home: Home,
    pick: &Pick<'_>,
    way: fn(&'a Balancer, &Pick<'_>) -> Option<Lease<'a>>,
) -> Option<Lease<'a>> {
    let lease = way(&view.cluster.balancer, pick)?;
    Some(noted(call, view, home, pick, lease))
}

fn noted<'a>(
    call: &mut Call<'a>,
    view: &'a ClusterView,
    home: Home,
    pick: &Pick<'_>,
    lease: Lease<'a>,
) -> Lease<'a> {
    if let Some(sticky) = &view.cluster.sticky {
        note(call, view, sticky, Visit::of(home, &lease, view, pick), lease.index());
    }
    hash_spill::note(call, view, &lease);
    occasion::note(call, view, &lease);
    lease
}

fn note<'a>(call: &mut Call<'a>, view: &'a ClusterView, sticky: &'a Sticky, visit: Visit, endpoint: usize) {
    if let Some(metrics) = &view.metrics().sticky {
        metrics.count(visit);
    }
    call.journal.sticky = Some(visit);
    call.set_cookie = match visit {
        Visit::Kept | Visit::Spilled(_) => "",
        Visit::Moved(_) | Visit::New | Visit::Unknown => sticky.line(endpoint, call.came_by_https()),
    };
}

/// Whether somebody else may be asked beside the endpoint that was picked: not about a client at home, where nobody spills.
/// What it has there may be in that endpoint's memory alone, and who knows nothing of it would often be the first to answer.
pub(crate) fn may_be_hedged(call: &Call<'_>, view: &ClusterView) -> bool {
    let Some(sticky) = &view.cluster.sticky else { return true };
    sticky.bound.is_some() || call.journal.sticky != Some(Visit::Kept)
}

/// `endpoint` was asked beside the one that was picked, and has answered first: the client hears where it is now.
pub(crate) fn overtaken<'a>(call: &mut Call<'a>, view: &'a ClusterView, endpoint: usize) {
    let (Some(sticky), Some(picked)) = (&view.cluster.sticky, call.journal.sticky) else { return };
    let visit = match picked {
        Visit::Kept | Visit::Spilled(_) if Home::of(call, view) == Home::At(endpoint) => Visit::Kept,
        Visit::Kept | Visit::Spilled(_) => Visit::Spilled(Spilled::Hedged),
        Visit::Moved(_) | Visit::New | Visit::Unknown => picked,
    };
    note(call, view, sticky, visit, endpoint);
}

/// How a pick follows from a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Visit {
    Kept,
    /// Whatever the client had at its endpoint, it has to begin anew elsewhere.
    Moved(Moved),
    New,
    /// Its endpoint holds too much now: the client keeps its cookie and comes back.
    Spilled(Spilled),
    Unknown,
}

/// Why a client does not get to its endpoint any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    Down(Health),
    /// The request has failed there.
    Tried,
}

/// Why a client does not get to its endpoint now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spilled {
    /// It has more to do than the cookie's bound allows.
    Bound,
    /// It has as many requests in flight as it may have.
    Full,
    /// It kept the request waiting, and another one answered first.
    Hedged,
}

impl Visit {
    pub(crate) const ALL: [Self; 13] = [
        Self::Kept,
        Self::Moved(Moved::Down(Health::DownByCheck)),
        Self::Moved(Moved::Down(Health::DownByConnect)),
        Self::Moved(Moved::Down(Health::DownByFailures)),
        Self::Moved(Moved::Down(Health::DownBySuccessRate)),
        Self::Moved(Moved::Down(Health::Draining)),
        Self::Moved(Moved::Down(Health::Unresolved)),
        Self::Moved(Moved::Tried),
        Self::New,
        Self::Spilled(Spilled::Bound),
        Self::Spilled(Spilled::Full),
        Self::Spilled(Spilled::Hedged),
        Self::Unknown,
    ];

    fn of(home: Home, lease: &Lease<'_>, view: &ClusterView, pick: &Pick<'_>) -> Self {
        match home {
            Home::At(home) if home == lease.index() => Self::Kept,
            Home::At(home) => Self::elsewhere(home, &view.cluster.balancer, pick),
            Home::Nowhere => Self::New,
            Home::Unknown => Self::Unknown,
        }
    }

    fn elsewhere(home: usize, balancer: &Balancer, pick: &Pick<'_>) -> Self {
        let Some(endpoint) = balancer.endpoints().get(home) else { return Self::Unknown };
        match endpoint.state.health(pick.now) {
            _ if pick.tried.contains(&home) => Self::Moved(Moved::Tried),
            Health::Up if balancer.is_full(home, pick.now) => Self::Spilled(Spilled::Full),
            Health::Up => Self::Spilled(Spilled::Bound),
            down => Self::Moved(Moved::Down(down)),
        }
    }

    /// The word in logs and metrics.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Moved(_) => "moved",
            Self::New => "new",
            Self::Spilled(_) => "spilled",
            Self::Unknown => "unknown",
        }
    }

    /// Why, of one that is not where its cookie says.
    pub(crate) fn reason(self) -> Option<&'static str> {
        match self {
            Self::Kept | Self::New | Self::Unknown => None,
            Self::Moved(Moved::Down(health)) => Some(health.word()),
            Self::Moved(Moved::Tried) => Some("tried"),
            Self::Spilled(Spilled::Bound) => Some("bound"),
            Self::Spilled(Spilled::Full) => Some("full"),
            Self::Spilled(Spilled::Hedged) => Some("hedged"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_whole_field_and_secure_where_it_has_to_be() {
        let sticky = Sticky::new("own", &["t0".into(), "t1".into()], None, false);
        assert_eq!(sticky.line(1, false), "Set-Cookie: own=t1; Path=/; HttpOnly; SameSite=Lax\r\n");
        assert_eq!(sticky.line(0, true), "Set-Cookie: own=t0; Path=/; HttpOnly; SameSite=Lax; Secure\r\n");
        assert_eq!(sticky.line(2, false), "");
    }

    #[test]
    fn of_several_cookies_the_first_that_is_of_an_endpoint_counts() {
        let sticky = Sticky::new("own", &["t0".into(), "t1".into()], None, false);
        let home = |tokens: &[&'static str]| sticky.home(tokens.iter().map(|token| token.as_bytes()));
        assert_eq!(home(&["t9", "t1", "t0"]), Home::At(1));
        assert_eq!((home(&["t9", ""]), home(&[])), (Home::Unknown, Home::Nowhere));
    }

    #[test]
    fn endpoints_see_the_cookie_only_when_asked_to() {
        assert_eq!(Sticky::new("own", &[], None, false).hidden_cookie(), b"own");
        assert_eq!(Sticky::new("own", &[], None, true).hidden_cookie(), b"");
    }
}
