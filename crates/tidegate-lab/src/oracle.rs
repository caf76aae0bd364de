//! The oracle: sends each request where it would be done first, knowing all work that is left everywhere, every speed and
//! every fault of this moment. Nobody can know that; it shows how much is left to win.
//!
//! It is greedy and does not know what comes next. On equal machines with lines it is one central queue (every request goes
//! to the slot that is free first: Kiefer and Wolfowitz 1955).

use crate::machine::Discipline;
use crate::server::Server;

/// What a certain failure counts, in nanoseconds.
const FAILURE: f64 = 1e12;

#[derive(Debug)]
pub(crate) struct Oracle {
    machines: Vec<Ahead>,
}

/// What lies ahead of one machine.
#[derive(Clone, Debug)]
struct Ahead {
    /// The progress at which each slot is free, in line discipline.
    free_at: Vec<f64>,
    is_open: bool,
}

impl Oracle {
    pub(crate) fn new(servers: &[Server<'_>]) -> Self {
        let ahead = |server: &Server<'_>| {
            let slots = match server.machine().discipline {
                Discipline::Fifo => server.machine().slots,
                Discipline::Shared => 0,
            };
            Ahead { free_at: vec![0.0; slots as usize], is_open: true }
        };
        Self { machines: servers.iter().map(ahead).collect() }
    }

    pub(crate) fn set_open(&mut self, endpoint: usize, is_open: bool) {
        self.machines[endpoint].is_open = is_open;
    }

    pub(crate) fn pick(&self, servers: &[Server<'_>], work: f64, tried: &[usize], now: u64) -> Option<usize> {
        let is_open = |index: &usize| self.machines[*index].is_open && !tried.contains(index);
        let open = (0..servers.len()).filter(is_open);
        let cost = |index: usize| self.machines[index].cost(&servers[index], work, now);
        open.map(|index| (index, cost(index))).min_by(|a, b| a.1.total_cmp(&b.1)).map(|(index, _)| index)
    }

    /// The request was sent to that machine and takes a slot there.
    pub(crate) fn accepted(&mut self, endpoint: usize, server: &Server<'_>, work: f64, now: u64) {
        let progress = server.progress(now);
        if let Some(free_at) = self.machines[endpoint].free_at.iter_mut().min_by(|a, b| a.total_cmp(b)) {
            *free_at = free_at.max(progress) + work;
        }
    }
}

impl Ahead {
    /// Nanoseconds until the request would be done, and what it might cost beyond that.
    fn cost(&self, server: &Server<'_>, work: f64, now: u64) -> f64 {
        let progress = server.progress(now);
        let machine = server.machine();
        let (ahead, share) = match self.free_at.iter().min_by(|a, b| a.total_cmp(b)) {
            Some(free_at) => ((free_at - progress).max(0.0), 1.0),
            None => (0.0, (f64::from(machine.slots) / (server.in_service() as f64 + 1.0)).min(1.0)),
        };
        let failing = machine.fails.filter(|fails| fails.is_open(now)).map_or(0.0, |fails| fails.part.0);
        FAILURE * failing + time_for(ahead + work, server, share, now)
    }
}

/// At the present speed until the present spell ends, and at full speed from then on.
fn time_for(work: f64, server: &Server<'_>, share: f64, now: u64) -> f64 {
    let (speed, full) = (server.speed() * share, server.machine().speed * share);
    let spell = server.spell_changes_at().saturating_sub(now) as f64;
    if speed >= full || work <= speed * spell {
        return work / speed;
    }
    spell + (work - speed * spell) / full
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{Fails, Machine, Part};
    use crate::spells::Spell;

    #[test]
    fn it_goes_where_the_request_is_done_first_and_shuns_failures() {
        let slow = Machine { speed: 0.5, ..Machine::sound("slow".into(), 1) };
        let fails = toml::from_str::<Fails>("part = 0.5").unwrap();
        assert_eq!(fails.part, Part(0.5));
        let failing = Machine { fails: Some(fails), speed: 9.0, ..Machine::sound("failing".into(), 1) };
        let machines = [slow, failing, Machine::sound("normal".into(), 1)];
        let mut servers: Vec<_> =
            machines.iter().map(|machine| Server::new(machine, Spell::of(machine, 1, 0))).collect();
        let mut oracle = Oracle::new(&servers);
        let mut send = |work| {
            let index = oracle.pick(&servers, work, &[], 0).unwrap();
            oracle.accepted(index, &servers[index], work, 0);
            servers[index].accept(0, 0, work);
            index
        };
        assert_eq!((send(15.0), send(10.0), send(1.0)), (2, 0, 2));
    }
}
