//! Rate limits: one that stays the same keeps everybody's accounts.

use super::Previous;
use std::collections::HashMap;
use std::sync::Arc;
use tidegate_config::{Config, RateKey as ConfiguredKey, RateLimit as Configured, Route, RouteRate};
use tidegate_proxy::rate_limit::{Rate, RateKey, RateLimit};

/// The limits of a configuration, made or taken over as routes ask for them.
pub(super) struct Rates<'a> {
    config: &'a Config,
    /// The one that routes share.
    shared: Option<Arc<RateLimit>>,
    /// By route, those that were in force.
    before: HashMap<&'a str, (&'a Configured, Arc<RateLimit>)>,
}

impl<'a> Rates<'a> {
    pub(super) fn new(config: &'a Config, previous: Option<&'a Previous>) -> Self {
        let (mut shared, mut before) = (None, HashMap::new());
        let routes = previous
            .iter()
            .flat_map(|previous| previous.config.routes.iter().zip(previous.snapshot.routes.routes()));
        for (configured, route) in routes {
            let Some(limit) = &route.rate_limit else { continue };
            match &configured.rate_limit {
                RouteRate::Own(own) => drop(before.insert(&*configured.name, (own, Arc::clone(limit)))),
                RouteRate::Inherited => shared = Some(Arc::clone(limit)),
                RouteRate::Off => {}
            }
        }
        let same = previous.is_some_and(|previous| previous.config.rate_limit == config.rate_limit);
        Self { config, shared: shared.filter(|_| same), before }
    }

    pub(super) fn of(&mut self, route: &Route) -> Option<Arc<RateLimit>> {
        match &route.rate_limit {
            RouteRate::Off => None,
            RouteRate::Own(own) => Some(self.own(route, own)),
            RouteRate::Inherited => {
                let inherited = self.config.rate_limit.as_ref()?;
                Some(Arc::clone(self.shared.get_or_insert_with(|| Arc::new(lower(inherited)))))
            }
        }
    }

    fn own(&self, route: &Route, own: &Configured) -> Arc<RateLimit> {
        match self.before.get(&*route.name) {
            Some((before, limit)) if *before == own => Arc::clone(limit),
            _ => Arc::new(lower(own)),
        }
    }
}

fn lower(configured: &Configured) -> RateLimit {
    let key = match &configured.key {
        ConfiguredKey::All => RateKey::All,
        ConfiguredKey::ClientAddress { ipv4_prefix, ipv6_prefix } => {
            RateKey::Client { ipv4_prefix: *ipv4_prefix, ipv6_prefix: *ipv6_prefix }
        }
        ConfiguredKey::Header(name) => RateKey::Header(name.as_str().into()),
    };
    let rate = Rate { interval: configured.per / configured.requests.max(1), burst: configured.burst };
    RateLimit::new(key, rate, configured.keys as usize)
}
