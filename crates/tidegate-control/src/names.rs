//! Host names of endpoints: looked up before they are used, and again and again as long as they are. Knows nothing of
//! balancing; it fills in addresses and says whether there are any.
//!
//! The last good set stays in use when a look-up fails or finds nothing. A name that has never resolved takes its endpoint
//! out until it does.

use crate::lower::Named;
use crate::voice::Voice;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tidegate_balance::EndpointState;
use tidegate_proxy::upstream::{Address, Upstream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// From one look-up of a name that resolves to the next.
const INTERVAL: Duration = Duration::from_secs(10);
/// How long one look-up may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between look-ups of a name that does not resolve: doubling from the first to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), INTERVAL);
/// How long starting and reloading wait for names, all together. What has not resolved by then follows later.
const START_PATIENCE: Duration = Duration::from_secs(2);

/// Looks up every name once, all at the same time, and keeps looking in the background for as long as somebody holds the
/// endpoint.
pub(crate) async fn resolve(named: Vec<Named>, voice: &Voice) {
    let mut first: JoinSet<()> = JoinSet::new();
    for endpoint in named {
        endpoint.state.set_resolved(!endpoint.upstream.addresses.load().is_empty());
        let (done, known) = tokio::sync::oneshot::channel();
        let name = Name::new(endpoint, voice.clone());
        tokio::spawn(name.keep_resolving(done));
        first.spawn(async move { drop(known.await) });
    }
    let _ = timeout(START_PATIENCE, first.join_all()).await; // the rest resolves later, or says why not
}

/// One name, for as long as its endpoint is in use.
struct Name {
    host: String,
    port: u16,
    endpoint: Arc<str>,
    upstream: Weak<Upstream>,
    state: Weak<EndpointState>,
    voice: Voice,
}

impl Name {
    fn new(endpoint: Named, voice: Voice) -> Self {
        Self {
            host: endpoint.name,
            port: endpoint.port,
            endpoint: Arc::clone(&endpoint.upstream.id.address),
            upstream: Arc::downgrade(&endpoint.upstream),
            state: Arc::downgrade(&endpoint.state),
            voice,
        }
    }

    /// `first` is told, by being dropped, when the first look-up has ended.
    async fn keep_resolving(self, first: tokio::sync::oneshot::Sender<()>) {
        let mut first = Some(first);
        let mut failing = false;
        let mut backoff = BACKOFF.0;
        loop {
            let found = look_up(&self.host, self.port).await;
            let (Some(upstream), Some(state)) = (self.upstream.upgrade(), self.state.upgrade()) else {
                return;
            };
            let resolved = self.apply(&upstream, &state, found, &mut failing);
            drop((upstream, state, first.take()));
            let pause = if resolved { INTERVAL } else { backoff };
            backoff = if resolved { BACKOFF.0 } else { (backoff * 2).min(BACKOFF.1) };
            sleep(jittered(pause)).await;
        }
    }

    fn apply(
        &self,
        upstream: &Upstream,
        state: &EndpointState,
        found: io::Result<Vec<SocketAddr>>,
        failing: &mut bool,
    ) -> bool {
        match found {
            Ok(found) => {
                replace(upstream, found);
                state.set_resolved(true);
                if std::mem::take(failing) {
                    self.voice.note(format_args!("endpoint {} resolves again", self.endpoint));
                }
                true
            }
            Err(error) => {
                if !std::mem::replace(failing, true) {
                    self.complain(upstream, &error);
                }
                false
            }
        }
    }

    fn complain(&self, upstream: &Upstream, error: &io::Error) {
        let kept = if upstream.addresses.load().is_empty() {
            "it gets no requests until it does"
        } else {
            "the addresses known so far stay in use"
        };
        self.voice.warning(format_args!("endpoint {} does not resolve: {error}; {kept}", self.endpoint));
    }
}

async fn look_up(name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let found = timeout(PATIENCE, tokio::net::lookup_host((name, port))).await;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?? {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    Ok(addresses)
}

/// Resolvers hand the same set out in ever other orders; only another set is a change.
fn replace(upstream: &Upstream, found: Vec<SocketAddr>) {
    let found: Vec<Address> = found.into_iter().map(Address::Tcp).collect();
    let known = upstream.addresses.load();
    let same = known.len() == found.len() && found.iter().all(|address| known.contains(address));
    if !same {
        upstream.move_to(found);
    }
}

/// Up to a fifth longer, so that look-ups spread.
fn jittered(pause: Duration) -> Duration {
    pause + pause.mul_f64(crate::chance::fraction() / 5.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use tidegate_balance::{EndpointId, Health, Moment};

    struct World {
        upstream: Arc<Upstream>,
        state: Arc<EndpointState>,
        name: Name,
        failing: bool,
        heard: Arc<Mutex<Vec<String>>>,
    }

    impl World {
        fn new() -> Self {
            let id = EndpointId { cluster: "app".into(), address: "app.example:80".into() };
            let upstream = Arc::new(Upstream::new(id, Vec::new(), None));
            let state = Arc::<EndpointState>::default();
            state.set_resolved(false);
            let heard = Arc::<Mutex<Vec<String>>>::default();
            let ear = Arc::clone(&heard);
            let voice = Voice::new(move |_, line| ear.lock().unwrap().push(line.to_owned()));
            let named = Named {
                name: "app.example".to_owned(),
                port: 80,
                upstream: Arc::clone(&upstream),
                state: Arc::clone(&state),
            };
            Self { upstream, state, name: Name::new(named, voice), failing: false, heard }
        }

        fn finds(&mut self, addresses: &[&str]) -> bool {
            let found = addresses.iter().map(|address| address.parse().unwrap()).collect();
            self.name.apply(&self.upstream, &self.state, Ok(found), &mut self.failing)
        }

        fn fails(&mut self) -> bool {
            let error = io::Error::new(io::ErrorKind::NotFound, "no such name");
            self.name.apply(&self.upstream, &self.state, Err(error), &mut self.failing)
        }

        fn addresses(&self) -> Vec<Address> {
            self.upstream.addresses.load().to_vec()
        }

        fn lines(&self) -> usize {
            self.heard.lock().unwrap().len()
        }
    }

    fn addresses(texts: &[&str]) -> Vec<Address> {
        texts.iter().map(|text| Address::Tcp(text.parse().unwrap())).collect()
    }

    #[test]
    fn a_name_that_resolves_brings_its_endpoint_in() {
        let mut world = World::new();
        assert_eq!(world.state.health(Moment(1)), Health::Unresolved);
        assert!(world.finds(&["[::1]:80", "127.0.0.1:80"]));
        assert_eq!(world.state.health(Moment(1)), Health::Up);
        assert_eq!(world.addresses(), addresses(&["[::1]:80", "127.0.0.1:80"]));
        assert_eq!(world.lines(), 0, "nothing to say");
    }

    #[test]
    fn the_last_good_addresses_stay_when_a_look_up_fails() {
        let mut world = World::new();
        world.finds(&["10.0.0.1:80"]);
        assert!(!world.fails());
        assert!(!world.fails());
        assert_eq!(world.addresses(), addresses(&["10.0.0.1:80"]));
        assert_eq!(world.state.health(Moment(1)), Health::Up);
        assert_eq!(world.lines(), 1, "said once, not with every look-up");
        world.finds(&["10.0.0.2:80"]);
        assert_eq!(world.addresses(), addresses(&["10.0.0.2:80"]));
        assert!(world.heard.lock().unwrap()[1].contains("resolves again"));
    }

    #[test]
    fn a_name_that_never_resolved_keeps_its_endpoint_out() {
        let mut world = World::new();
        world.fails();
        assert_eq!(world.state.health(Moment(1)), Health::Unresolved);
        assert!(world.heard.lock().unwrap()[0].contains("app.example:80 does not resolve: no such name"));
    }

    #[test]
    fn another_order_of_the_same_addresses_is_no_change() {
        let mut world = World::new();
        world.finds(&["10.0.0.1:80", "10.0.0.2:80"]);
        world.finds(&["10.0.0.2:80", "10.0.0.1:80"]);
        assert_eq!(world.addresses(), addresses(&["10.0.0.1:80", "10.0.0.2:80"]));
    }

    #[test]
    fn pauses_are_spread_by_up_to_a_fifth() {
        for _ in 0..1000 {
            let pause = jittered(INTERVAL);
            assert!(pause >= INTERVAL && pause <= INTERVAL.mul_f64(1.2), "{pause:?}");
        }
    }
}
