//! What is on its way: requests, and the attempts that are made for them. Holds them, moves nothing.

use crate::outcome::ExtraAttempts;
use crate::proxy::{Ending, Ticket};
use crate::traffic::Request;

/// A request that a client waits for.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) request: Request,
    pub(super) proxy: u32,
    /// Attempts made so far.
    pub(super) attempts: u32,
    /// The jobs of the attempt that is being made, and of the one beside it.
    pub(super) first: Option<u32>,
    pub(super) second: Option<u32>,
    /// Endpoints that it has failed on.
    pub(super) tried: Vec<usize>,
    pub(super) extra: ExtraAttempts,
}

/// An attempt that a machine knows of, or that is about to fail.
#[derive(Debug)]
pub(super) struct Job<'r> {
    /// `None`: nobody waits for it any more. The machine does not know, and works on.
    pub(super) ticket: Option<Ticket<'r>>,
    pub(super) endpoint: usize,
    pub(super) call: u32,
    pub(super) picked: u64,
    pub(super) work: f64,
    pub(super) ending: Ending,
}

/// Where a job is between proxy and machine, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum OnTheWay {
    There(u32),
    /// An answer, or a failure that took no slot.
    Back(u32),
}

/// Things by a number that is used again when its thing is gone.
#[derive(Debug)]
pub(super) struct Places<T> {
    places: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Places<T> {
    pub(super) fn add(&mut self, thing: T) -> u32 {
        if let Some(number) = self.free.pop() {
            self.places[number as usize] = Some(thing);
            return number;
        }
        self.places.push(Some(thing));
        self.places.len() as u32 - 1
    }

    pub(super) fn get(&self, number: u32) -> Option<&T> {
        self.places[number as usize].as_ref()
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.places[number as usize].as_mut()
    }

    pub(super) fn take(&mut self, number: u32) -> Option<T> {
        let thing = self.places[number as usize].take();
        if thing.is_some() {
            self.free.push(number);
        }
        thing
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.places.iter().flatten()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.len() == self.free.len()
    }
}

impl<T> Default for Places<T> {
    fn default() -> Self {
        Self { places: Vec::new(), free: Vec::new() }
    }
}
