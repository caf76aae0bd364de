//! The tickets by which clients come back without a full handshake: one maker for all workers, kept across reloads, and
//! another one for each way of asking clients who they are. Who comes back shows no certificate again, so a ticket is worth
//! only what was demanded when it was made.

use super::files::CertificateError;
use rustls::crypto::aws_lc_rs;
use rustls::server::ProducesTickets;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// A longer one is not handed out. It holds the certificates that a client has shown, and a client comes back with it in its
/// first message, of which no more than 16 KiB are read: the rest is room for what else that says.
const TICKET_BYTES_MAX: usize = 12 * 1024;

/// What was demanded of clients: a digest of everything that decides whether one is let in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Demanded(pub(super) Option<[u8; 32]>);

/// The makers of tickets that are in use.
#[derive(Debug, Default)]
pub(crate) struct Tickets(Mutex<HashMap<Demanded, Weak<dyn ProducesTickets>>>);

impl Tickets {
    /// The maker for listeners that demand this: the same as long as one of them is there.
    pub(super) fn of(&self, demanded: Demanded) -> Result<Arc<dyn ProducesTickets>, CertificateError> {
        let mut makers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = makers.get(&demanded).and_then(Weak::upgrade) {
            return Ok(known);
        }
        let inner = aws_lc_rs::Ticketer::new().map_err(CertificateError::Library)?;
        let made: Arc<dyn ProducesTickets> = Arc::new(Bounded(inner));
        makers.retain(|_, maker| maker.strong_count() > 0);
        makers.insert(demanded, Arc::downgrade(&made));
        Ok(made)
    }
}

/// Makes none that is too long to come back with.
#[derive(Debug)]
struct Bounded(Arc<dyn ProducesTickets>);

impl ProducesTickets for Bounded {
    fn enabled(&self) -> bool {
        self.0.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.0.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.0.encrypt(plain).filter(|ticket| ticket.len() <= TICKET_BYTES_MAX)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.0.decrypt(cipher)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_that_would_make_a_first_message_too_long_is_not_made() {
        let maker = Tickets::default().of(Demanded::default()).unwrap();
        let ticket = maker.encrypt(&[7; 11 * 1024]).unwrap();
        assert_eq!(maker.decrypt(&ticket).unwrap(), [7; 11 * 1024]);
        assert_eq!(maker.encrypt(&[7; 12 * 1024]), None);
    }

    #[test]
    fn a_ticket_is_worth_something_only_where_the_same_is_demanded() {
        let tickets = Tickets::default();
        let [nothing, some, more] = [None, Some([1; 32]), Some([2; 32])].map(Demanded);
        let maker = tickets.of(nothing).unwrap();
        let ticket = maker.encrypt(b"session").unwrap();
        assert_eq!(tickets.of(nothing).unwrap().decrypt(&ticket).unwrap(), b"session");
        for other in [some, more] {
            assert_eq!(tickets.of(other).unwrap().decrypt(&ticket), None);
        }
    }

    #[test]
    fn makers_that_nobody_uses_are_forgotten() {
        let tickets = Tickets::default();
        for number in 0..100 {
            drop(tickets.of(Demanded(Some([number; 32]))).unwrap());
        }
        assert_eq!(tickets.0.lock().unwrap().len(), 1);
    }
}
