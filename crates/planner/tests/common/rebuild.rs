//! An evacuation whose host is fenced and proven off: only its guests are left to decide about.

use super::*;
use planner::proof::Latch;

/// A dead host with these guests and records.
pub fn with(guests: Vec<Guest>, moves: Vec<Move>) -> HostFacts {
    HostFacts { guests: Fact::Seen(guests, at(0)), moves: Fact::Seen(moves, at(0)), ..dead() }
}

/// A host that is fenced for our evacuation, proven off, with these guests.
pub fn fenced_with(guests: Vec<Guest>, moves: Vec<Move>) -> Play<v1::EvacuationKind> {
    let facts = HostFacts { service: Fact::Seen(fenced(), at(0)), links: vec![link("l1", PowerState::Off)], ..with(guests, moves) };
    let mut env = env();
    env.evidence = proven();
    env.evidence.latch = Some(Latch { epoch: 1, by: env.owner.clone(), by_uid: UID.into(), at: at(-10), disabled_by_us: true, attested: None });
    Play::new(evacuation(v1::EvacuationMode::Auto), facts, env)
}

pub fn record_of<'a>(play: &'a Play<v1::EvacuationKind>, id: &str) -> &'a v1::GuestMove {
    play.object.status.guests.iter().find(|m| m.id == id).unwrap()
}

pub fn sends(next: Next) -> (String, String, bool) {
    match steps(next) {
        Step::Evacuate { server, destination, leave_stopped, .. } => (server, destination, leave_stopped),
        other => panic!("{other:?}"),
    }
}

impl Play<v1::EvacuationKind> {
    /// Nova rebuilds these guests where they were sent, and settles them; the pause after them passes.
    pub fn arrive(&mut self, guests: &[String]) {
        self.settle(guests);
        self.pass_time(self.env.policy.group_pause_seconds);
    }

    /// Nova rebuilds these guests where they were sent; the next pass sees it. Gives what that pass decided.
    pub fn settle(&mut self, guests: &[String]) -> Next {
        let now = self.env.now;
        for intent in self.env.intents.iter_mut().filter(|i| i.state == OperationState::Issued) {
            intent.state = OperationState::Accepted;
        }
        for id in guests {
            let destination = record_of(self, id).destination.clone();
            let (Fact::Seen(here, _), Fact::Seen(records, _)) = (&mut self.facts.guests, &mut self.facts.moves) else { panic!("not read") };
            let done = record(100 + records.len() as i64, "evacuation", "done", id);
            records.insert(0, Move { destination: Some(destination.clone()), ..done });
            let at = here.iter().position(|g| g.id == *id).unwrap();
            let moved = Guest { host: Some(destination), ..here.remove(at) };
            self.facts.elsewhere.insert(id.clone(), Fact::Seen(moved, now));
        }
        self.pass_time(2);
        self.pass()
    }

    /// What the last plan says, as `guest>destination`.
    pub fn plan(&self) -> Vec<String> {
        self.object.status.guests.iter().map(|m| format!("{}>{}", m.id, m.planned)).collect()
    }
}
