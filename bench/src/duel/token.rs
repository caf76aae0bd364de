//! What a readiness is about, as the number that the poller carries. Knows the kinds, not what is done about them.

/// The kind is in the two lowest bits.
const KINDS: u64 = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A connection of the client to the proxy.
    Client(u64),
    /// A connection of the proxy to an endpoint.
    Endpoint(u64),
    Listener(u64),
    Timer,
}

impl Token {
    pub(super) fn number(self) -> u64 {
        match self {
            Self::Client(id) => id * KINDS,
            Self::Endpoint(id) => id * KINDS + 1,
            Self::Listener(seat) => seat * KINDS + 2,
            Self::Timer => 3,
        }
    }

    pub(super) fn from_number(number: u64) -> Self {
        let id = number / KINDS;
        match number % KINDS {
            0 => Self::Client(id),
            1 => Self::Endpoint(id),
            2 => Self::Listener(id),
            _ => Self::Timer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_stands_for_one_token() {
        for token in [Token::Client(7), Token::Endpoint(7), Token::Listener(0), Token::Timer] {
            assert_eq!(Token::from_number(token.number()), token);
        }
    }
}
