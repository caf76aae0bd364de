//! The algorithms by name, with their parameters.
//!
//! It does not know how they choose.

/// Which endpoint is picked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Balance {
    /// The one that would be drained first, by what its answers taught about it.
    Adaptive {
        /// Proxies that send to the same endpoints, this one included; at least 1.
        peers: u32,
        /// What a request in another zone costs compared with one in the proxy's own; at least 100.
        zone_cost_percent: u32,
    },
    /// The first of the list that has room.
    First {
        /// Requests in flight that fill an endpoint; at least 1.
        in_flight_max: u32,
    },
    /// The one with the fewest requests in flight for its weight.
    LeastRequest,
    /// The same key goes to the same endpoint, looked up in a table.
    Maglev(Hashing),
    /// The less loaded of two, by requests in flight times a latency that rises at once.
    PeakEwma,
    /// The quickest of those that are not busy.
    Prequal,
    /// The less loaded of this many random ones.
    Random {
        /// At least 1; 2 is "the power of two choices".
        choices: u32,
    },
    /// The same key goes to the same endpoint, by the highest score for it.
    Rendezvous(Hashing),
    /// By what the endpoints say they could serve.
    ReportedLoad,
    /// In turn, by weight.
    RoundRobin,
}

impl Default for Balance {
    fn default() -> Self {
        Self::Adaptive { peers: 1, zone_cost_percent: 150 }
    }
}

impl Balance {
    /// As the configuration calls it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Adaptive { .. } => "adaptive",
            Self::First { .. } => "first",
            Self::LeastRequest => "least_request",
            Self::Maglev(_) => "maglev",
            Self::PeakEwma => "peak_ewma",
            Self::Prequal => "prequal",
            Self::Random { .. } => "random",
            Self::Rendezvous(_) => "rendezvous",
            Self::ReportedLoad => "reported_load",
            Self::RoundRobin => "round_robin",
        }
    }

    /// What it hashes, if it does.
    pub fn hash_key(&self) -> Option<&HashKey> {
        match self {
            Self::Maglev(hashing) | Self::Rendezvous(hashing) => Some(&hashing.key),
            _ => None,
        }
    }
}

/// What is hashed, and when a key goes elsewhere all the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hashing {
    /// What of the request.
    pub key: HashKey,
    /// `None`: a key stays as long as its endpoint is up.
    pub bound: Option<Bound>,
}

/// How much load an endpoint may hold before keys spill over to the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Of what would be even; at least 100.
    pub percent: u32,
    /// What is compared.
    pub by: BoundBy,
}

/// What a bound compares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BoundBy {
    /// How long what is in flight would take, as `adaptive` learns it.
    #[default]
    DrainTime,
    /// Requests in flight.
    Requests,
}

impl BoundBy {
    /// As the configuration calls it.
    pub fn word(self) -> &'static str {
        match self {
            Self::DrainTime => "drain_time",
            Self::Requests => "requests",
        }
    }
}

/// What is hashed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HashKey {
    /// The client's address, behind trusted proxies the forwarded one.
    #[default]
    ClientAddress,
    /// The value of this cookie.
    Cookie(String),
    /// The value of this header field, name in lower case.
    Header(String),
    /// The path, without the query.
    Path,
}
