//! The oracle: sends each request where it would be done first, knowing all work that is left everywhere, every speed and
//! every fault of this moment. Nobody can know that; it shows how much is left to win.
//!
//! It is greedy and does not know what comes next. On equal machines with lines it is one central queue (every request goes
//! to the slot that is free first: Kiefer and Wolfowitz 1955).

use crate::machine::Discipline;
use crate::server::Server;

/// What a certain failure counts, in requests of mean work: enough for all that is served in time elsewhere to be served there. Were it
/// beyond all waiting, everybody would queue for the endpoints that never fail, however rarely the others do.
const FAILURE: f64 = 5.0;

#[derive(Debug)]
pub(crate) struct Oracle {
    machines: Vec<Ahead>,
    /// Of the requests that were sent.
    mean_work: f64,
    sent: f64,
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
        Self { machines: servers.iter().map(ahead).collect(), mean_work: 0.0, sent: 0.0 }
    }

    pub(crate) fn set_open(&mut self, endpoint: usize, is_open: bool) {
        self.machines[endpoint].is_open = is_open;
    }

    pub(crate) fn pick(&self, servers: &[Server<'_>], work: f64, tried: &[usize], now: u64) -> Option<usize> {
        let is_open = |index: &usize| self.machines[*index].is_open && !tried.contains(index);
        let open = (0..servers.len()).filter(is_open);
        let failure = FAILURE * if self.sent > 0.0 { self.mean_work } else { work };
        let cost = |index: usize| self.machines[index].cost(&servers[index], work, failure, now);
        open.map(|index| (index, cost(index))).min_by(|a, b| a.1.total_cmp(&b.1)).map(|(index, _)| index)
    }

    /// The request was sent to that machine and takes a slot there.
    pub(crate) fn accepted(&mut self, endpoint: usize, server: &Server<'_>, work: f64, now: u64) {
        self.sent += 1.0;
        self.mean_work += (work - self.mean_work) / self.sent;
        let progress = server.progress(now);
        if let Some(free_at) = self.machines[endpoint].free_at.iter_mut().min_by(|a, b| a.total_cmp(b)) {
            *free_at = free_at.max(progress + server.machine().way() as f64 * server.speed()) + work;
        }
    }
}

impl Ahead {
    /// Nanoseconds until the request would be done, and what it might cost beyond that where a certain failure costs `failure`.
    fn cost(&self, server: &Server<'_>, work: f64, failure: f64, now: u64) -> f64 {
        let progress = server.progress(now);
        let machine = server.machine();
        let (ahead, share) = match self.free_at.iter().min_by(|a, b| a.total_cmp(b)) {
            Some(free_at) => ((free_at - progress).max(0.0), 1.0),
            None => (0.0, (f64::from(machine.slots) / (server.in_service() as f64 + 1.0)).min(1.0)),
        };
        let failing = machine.fails.filter(|fails| fails.is_open(now)).map_or(0.0, |fails| fails.part.0);
        // What is ahead is done while the request is on its way.
        let way = machine.way() as f64;
        let done = time_for(ahead + work, server, share, now).max(way + time_for(work, server, share, now));
        failure * failing + done + way
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

    #[test]
    fn nobody_waits_long_to_avoid_one_failure_in_a_thousand() {
        let fails = toml::from_str::<Fails>("part = 0.001").unwrap();
        let rarely = Machine { fails: Some(fails), ..Machine::sound("rarely".into(), 1) };
        let machines = [Machine::sound("never".into(), 1), rarely];
        let servers: Vec<_> =
            machines.iter().map(|machine| Server::new(machine, Spell::of(machine, 1, 0))).collect();
        let mut oracle = Oracle::new(&servers);
        assert_eq!(oracle.pick(&servers, 10.0, &[], 0), Some(0), "where nobody waits it is avoided");
        oracle.accepted(0, &servers[0], 10.0, 0);
        assert_eq!(oracle.pick(&servers, 10.0, &[], 0), Some(1), "a service time is too long");
        let always = Machine { fails: Some(Fails { part: Part(1.0), ..fails }), ..machines[1].clone() };
        let machines = [machines[0].clone(), always];
        let servers: Vec<_> =
            machines.iter().map(|machine| Server::new(machine, Spell::of(machine, 1, 0))).collect();
        assert_eq!(oracle.pick(&servers, 10.0, &[], 0), Some(0), "and to avoid a certain one it is not");
    }
}
