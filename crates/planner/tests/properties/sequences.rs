//! Rules over time, each checked by a second book-keeping that knows nothing of the planner's.

use crate::{arbitrary::cases, common::*};
use planner::{
    Fact, Next, Step,
    contract::PowerCommand,
    facts::{HostFacts, ServiceFacts},
};
use proptest::{collection::vec, prelude::*, sample::select};
use schemas::v1::{EvacuationMode, HostOperationType, OperationState, PowerState, PowerWish};

/// What happens in one tick.
#[derive(Clone, Debug)]
enum Event {
    /// So many seconds pass and nothing changes.
    Nothing(i64),
    /// What the link says from now on.
    Link(Option<PowerState>),
    /// nova-compute reports.
    Beat,
    /// The open call is answered: it worked, as far as the remote says.
    Answer,
    /// A guest appears on the host, running or not.
    Guest(bool),
    /// All guests are gone.
    NoGuest,
    /// Someone enables the service.
    Enable,
    /// Placement cannot be read, or can be read again.
    Placement(bool),
    /// Nova cannot be read, or can be read again.
    Nova(bool),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (1..8i64).prop_map(Event::Nothing),
        2 => select(vec![Some(PowerState::On), Some(PowerState::Off), Some(PowerState::Off), None]).prop_map(Event::Link),
        1 => Just(Event::Beat),
        3 => Just(Event::Answer),
        1 => any::<bool>().prop_map(Event::Guest),
        1 => Just(Event::NoGuest),
        1 => Just(Event::Enable),
        1 => any::<bool>().prop_map(Event::Placement),
        1 => any::<bool>().prop_map(Event::Nova),
    ]
}

/// The world that events happen in: what the facts would show if all were readable.
struct Truth {
    link: Option<PowerState>,
    service: ServiceFacts,
    guests: Vec<planner::facts::Guest>,
    placement: bool,
    nova: bool,
    writes: i64,
}

impl Truth {
    fn show<K: Decides>(&self, play: &mut Play<K>) {
        let now = play.env.now;
        let known = |yes: bool| yes && self.nova;
        let fact = |yes: bool| if yes { Ok(()) } else { Err("no answer".to_string()) };
        let facts: &mut HostFacts = &mut play.facts;
        facts.links[0].state = self.link.map_or(Fact::Unknown("no answer".into()), |s| Fact::Seen(s, now));
        facts.service = fact(self.nova).map_or_else(Fact::Unknown, |()| Fact::Seen(self.service.clone(), now));
        facts.guests = fact(self.nova).map_or_else(Fact::Unknown, |()| Fact::Seen(self.guests.clone(), now));
        let provider = planner::facts::ProviderFacts { disabled_trait: !self.service.enabled, foreign_consumers: Vec::new() };
        facts.provider = fact(known(self.placement)).map_or_else(Fact::Unknown, |()| Fact::Seen(provider, now));
    }

    fn happens<K: Decides>(&mut self, event: &Event, play: &mut Play<K>) {
        match event {
            Event::Nothing(seconds) => play.pass_time(*seconds),
            Event::Link(state) => self.link = *state,
            Event::Beat => {
                self.writes += 1;
                self.service.updated_at = format!("u{}", self.writes);
            }
            Event::Guest(running) => self.guests = vec![if *running { guest("g0") } else { stopped("g0") }],
            Event::NoGuest => self.guests.clear(),
            Event::Enable => (self.service.enabled, self.service.disabled_reason) = (true, None),
            Event::Placement(readable) => self.placement = *readable,
            Event::Nova(readable) => self.nova = *readable,
            Event::Answer => self.answer(play),
        }
        self.show(play);
    }

    /// The last call takes effect as the remote would let it.
    fn answer<K: Decides>(&mut self, play: &mut Play<K>) {
        let Some(open) = play.env.intents.last().filter(|i| i.state.is_open()).cloned() else { return };
        match open.action {
            Step::NovaService { enabled, reason, forced_down, .. } => {
                self.writes += 1;
                self.service.updated_at = format!("u{}", self.writes);
                if let Some(enabled) = enabled {
                    (self.service.enabled, self.service.disabled_reason) = (enabled, reason);
                }
                self.service.forced_down = forced_down.unwrap_or(self.service.forced_down);
                self.service.up &= !self.service.forced_down;
                play.service_written(self.service.clone());
            }
            Step::Evacuate { .. } | Step::LiveMigrate { .. } | Step::ColdMigrate { .. } | Step::ConfirmResize { .. } | Step::StopGuest { .. } => {
                play.answered(OperationState::Accepted, "")
            }
            Step::Power { .. } => play.answered(OperationState::Observed, ""),
        }
    }
}

fn truth(link: PowerState, service: ServiceFacts) -> Truth {
    Truth { link: Some(link), service, guests: vec![guest("g0"), guest("g1"), guest("g2")], placement: true, nova: true, writes: 0 }
}

/// A second book on S4 and S5.
#[derive(Default)]
struct Book {
    first_off: Option<i64>,
    last_off: Option<i64>,
    row: Option<String>,
    life: Option<i64>,
}

impl Book {
    /// Before each pass.
    fn reads<K: Decides>(&mut self, play: &Play<K>) {
        let now = play.env.now.0;
        let open = |f: fn(&Step) -> bool| play.env.intents.iter().any(|i| i.state.is_open() && f(&i.action));
        let command = open(|s| matches!(s, Step::Power { .. }));
        let writing = open(|s| matches!(s, Step::NovaService { .. }));
        if let Fact::Seen(row, _) = &play.facts.service {
            let moved = self.row.as_ref().is_some_and(|r| *r != row.updated_at);
            if moved && !writing {
                (self.first_off, self.last_off, self.life) = (None, None, Some(now));
            }
            self.row = (!writing).then(|| row.updated_at.clone());
        }
        match &play.facts.links[0].state {
            Fact::Seen(PowerState::On, _) => (self.first_off, self.last_off) = (None, None),
            Fact::Seen(PowerState::Off, _) if !command => {
                self.first_off = self.first_off.or(Some(now));
                self.last_off = Some(now);
            }
            _ => {}
        }
        if command {
            (self.first_off, self.last_off) = (None, None);
        }
    }

    fn proves(&self, now: i64) -> bool {
        let twice = self.first_off.zip(self.last_off).is_some_and(|(first, last)| last - first >= 5_000_000 && last == now);
        twice && self.life.is_none_or(|t| now - t >= 20_000_000)
    }
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn over_time_every_request_stands_on_two_readings_after_the_last_life_and_the_last_command(events in vec(event(), 1..80), begins_on in any::<bool>()) {
        let begin = if begins_on { PowerState::On } else { PowerState::Off };
        let mut truth = truth(begin, ServiceFacts { up: false, ..service() });
        let mut play = Play::new(evacuation(EvacuationMode::Rebuild), dead(), env());
        let mut book = Book { row: Some("u0".into()), ..Book::default() };
        truth.show(&mut play);
        for event in &events {
            truth.happens(event, &mut play);
            book.reads(&play);
            match play.pass() {
                Next::Step(Step::Evacuate { server, .. }) => {
                    prop_assert!(book.proves(play.env.now.0), "{server} is sent without proof");
                    let open = play.env.intents.iter().filter(|i| i.state.is_open() && i.action.server() == Some(&server)).count();
                    prop_assert_eq!(open, 1, "{} is sent twice", server);
                }
                Next::Step(Step::NovaService { forced_down: Some(true), .. }) => prop_assert!(book.proves(play.env.now.0), "forced down without proof"),
                Next::Step(Step::Power { .. }) => (book.first_off, book.last_off) = (None, None),
                Next::Finished => return Ok(()),
                _ => {}
            }
            // What was settled in the pass of an own write is learned anew, as after the driver's second transaction.
            let writing = play.env.intents.iter().any(|i| i.state.is_open() && matches!(i.action, Step::NovaService { .. }));
            if writing || play.env.evidence.beat.is_none() {
                book.row = None;
            }
        }
    }

    #[test]
    fn over_time_a_host_is_switched_off_only_if_it_was_empty_in_every_pass_for_thirty_seconds(
        events in vec(event(), 1..120),
        which in select(vec![0, 1, 2, 3]),
    ) {
        let operation = |kind| operation(kind);
        match which {
            0 => off_only_when_empty(Play::new(host(PowerWish::Off), empty(), env()), &events)?,
            1 => off_only_when_empty(Play::new(operation(HostOperationType::PowerOff), empty(), env()), &events)?,
            2 => off_only_when_empty(Play::new(operation(HostOperationType::Shutdown), empty(), env()), &events)?,
            _ => off_only_when_empty(Play::new(operation(HostOperationType::PowerCycle), empty(), env()), &events)?,
        }
    }
}

fn off_only_when_empty<K: Decides>(mut play: Play<K>, events: &[Event]) -> Result<(), TestCaseError> {
    let mut truth = Truth { guests: Vec::new(), ..truth(PowerState::On, service()) };
    truth.show(&mut play);
    let mut empty_from: Option<i64> = None;
    for event in events {
        truth.happens(event, &mut play);
        let now = play.env.now.0;
        let empty = truth.nova
            && truth.placement
            && !truth.service.enabled
            && truth.guests.iter().all(|g| g.vm_state == "stopped")
            && !play.env.intents.iter().any(|i| i.state.is_open() && i.action.server().is_some());
        empty_from = if empty { empty_from.or(Some(now)) } else { None };
        match play.pass() {
            Next::Step(Step::Power { command, .. }) if command != PowerCommand::On => {
                let since = empty_from.map(|t| now - t);
                prop_assert!(since.is_some_and(|s| s >= 30_000_000), "switched off although it was empty only for {since:?} µs");
            }
            Next::Finished => return Ok(()),
            _ => {}
        }
    }
    Ok(())
}
