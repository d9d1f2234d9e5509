//! Arbitrary single things that decisions go by: rows, guests, records, links, calls.

use crate::common::*;
use planner::{
    Fact, Intent, Step,
    contract::PowerCommand,
    facts::{Beat, GroupFacts, GroupRule, Guest, OtherMove, ServiceFacts},
};
use proptest::{collection::vec, option, prelude::*, sample::select};
use schemas::v1::{GuestMove, GuestOutcome, Observation, OperationState, PowerState, Says};

pub const SERVERS: [&str; 4] = ["g0", "g1", "g2", "g3"];
pub const STATES: [&str; 8] = ["active", "stopped", "error", "paused", "resized", "building", "suspended", "rescued"];
pub const STATUSES: [&str; 12] =
    ["accepted", "pre-migrating", "done", "completed", "error", "failed", "running", "queued", "finished", "cancelled", "confirmed", "unheard-of"];

pub fn seen<T: Clone + std::fmt::Debug + 'static>(value: impl Strategy<Value = T> + 'static) -> BoxedStrategy<Fact<T>> {
    prop_oneof![
        8 => value.prop_map(|v| Fact::Seen(v, at(0))),
        1 => Just(Fact::Absent(at(0))),
        1 => Just(Fact::Unknown("not answered".into())),
    ]
    .boxed()
}

pub fn service_row() -> impl Strategy<Value = ServiceFacts> {
    let why = select(vec![None, Some(reason(US)), Some(reason(THEM)), Some("maintenance".to_string())]);
    (any::<bool>(), any::<bool>(), any::<bool>(), why, select(vec!["u0", "u1"]), select(vec!["svc-a", "svc-a", "svc-a", "svc-b"])).prop_map(
        |(enabled, up, forced_down, why, updated_at, id)| ServiceFacts {
            id: id.into(),
            zone: "nova".into(),
            enabled,
            up: up && !forced_down,
            forced_down,
            disabled_reason: why.filter(|_| !enabled),
            updated_at: updated_at.into(),
        },
    )
}

pub fn a_guest() -> impl Strategy<Value = Guest> {
    let task = option::weighted(0.2, select(vec!["migrating", "rebuilding", "powering-on", "deleting"]).prop_map(String::from));
    let host = prop_oneof![6 => Just(Some("a".to_string())), 1 => Just(Some("b".to_string())), 1 => Just(None)];
    (select(SERVERS.to_vec()), select(STATES.to_vec()), task, select(vec![0, 1, 4]), any::<bool>(), any::<bool>(), host, select(vec!["0", "5", "x"]))
        .prop_map(|(id, vm_state, task_state, power_state, boot_from_volume, local_extra_disks, host, priority)| Guest {
            vm_state: vm_state.into(),
            task_state,
            power_state,
            boot_from_volume,
            local_extra_disks,
            host,
            metadata: [("recovery_priority".to_string(), priority.to_string())].into(),
            ..guest(id)
        })
}

pub fn a_list() -> impl Strategy<Value = Vec<Guest>> {
    vec(a_guest(), 0..5).prop_map(|mut all| {
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all.dedup_by(|a, b| a.id == b.id);
        all.iter_mut().for_each(|g| g.host = Some("a".into()));
        all
    })
}

pub fn a_group() -> impl Strategy<Value = GroupFacts> {
    let rule = select(vec![GroupRule::Affinity, GroupRule::AntiAffinity(1), GroupRule::SoftAntiAffinity, GroupRule::Other]);
    let member = (select(SERVERS.to_vec()), select(vec![Some("a"), Some("b"), None])).prop_map(|(id, on)| (id.to_string(), on.map(String::from)));
    (rule, vec(member, 0..4)).prop_map(|(rule, members)| GroupFacts { id: "group".into(), name: "group".into(), rule, members })
}

pub fn an_other_move() -> impl Strategy<Value = OtherMove> {
    (select(SERVERS.to_vec()), select(vec!["b", "c"]), select(vec![0i64, 1_000, 4_096]), any::<bool>()).prop_map(|(guest, to, ram, sent)| OtherMove {
        guest: guest.into(),
        destination: to.into(),
        needs: [("MEMORY_MB".to_string(), ram)].into(),
        sent,
    })
}

pub fn a_move() -> impl Strategy<Value = planner::facts::Move> {
    let kind = select(vec!["evacuation", "live-migration", "migration"]);
    (1..6i64, kind, select(STATUSES.to_vec()), select(SERVERS.to_vec())).prop_map(|(id, kind, status, server)| record(id, kind, status, server))
}

pub fn a_link() -> impl Strategy<Value = planner::facts::LinkFacts> {
    let state = seen(select(vec![PowerState::On, PowerState::Off, PowerState::Off]));
    let identity = seen(select(vec![Ok(()), Err("another machine".to_string())]));
    (select(vec!["l1", "l2", "l3"]), any::<bool>(), prop::bool::weighted(0.8), prop::bool::weighted(0.8), state, -8..1i64, identity).prop_map(
        |(name, default, verified, chassis, state, read, identity)| {
            let base = if chassis { link(name, PowerState::On) } else { supply(name, PowerState::On) };
            let state = if let Fact::Seen(s, _) = state { Fact::Seen(s, at(read)) } else { state };
            planner::facts::LinkFacts { default, verified, state, identity, ..base }
        },
    )
}

pub fn links() -> impl Strategy<Value = Vec<planner::facts::LinkFacts>> {
    vec(a_link(), 0..4).prop_map(|mut all| {
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all.dedup_by(|a, b| a.name == b.name);
        all
    })
}

pub fn a_beat() -> impl Strategy<Value = Beat> {
    (-40..1i64, select(vec!["u0", "u1"]), any::<bool>(), prop::bool::weighted(0.8), prop::bool::weighted(0.8))
        .prop_map(|(when, updated_at, up, others_up, conductor_up)| Beat { others_up, conductor_up, ..beat(when, updated_at, up) })
}

pub fn a_step() -> impl Strategy<Value = Step> {
    let command = select(vec![PowerCommand::On, PowerCommand::ForceOff, PowerCommand::SoftOff]);
    let server = || select(SERVERS.to_vec());
    let before = || vec(1..6i64, 0..3);
    prop_oneof![
        (select(vec!["l1", "l2"]), command).prop_map(|(link, command)| Step::Power { link: link.into(), command }),
        (any::<Option<bool>>(), any::<Option<bool>>()).prop_map(|(enabled, forced_down)| Step::NovaService {
            service_id: "svc-a".into(),
            enabled,
            reason: None,
            forced_down
        }),
        (server(), before()).prop_map(|(server, records_before)| Step::LiveMigrate { server: server.into(), records_before }),
        (server(), select(vec!["b", "c"]), before()).prop_map(|(server, to, before)| evacuate(server, to, &before)),
        server().prop_map(|server| Step::StopGuest { server: server.into() }),
        (server(), before()).prop_map(|(server, records_before)| Step::ColdMigrate { server: server.into(), records_before }),
        (server(), 1..6i64).prop_map(|(server, record)| Step::ConfirmResize { server: server.into(), record }),
    ]
}

pub fn an_intent() -> impl Strategy<Value = Intent> {
    use OperationState::*;
    let state = select(vec![Issued, Accepted, Unknown, Observed, Refused, Failed]);
    let evidence = select(vec!["", "not sent: no lease", planner::settle::LOST]);
    (a_step(), state, select(vec![1i64, 19, 21, 90, 400]), select(vec![UID, UID, "uid-other"]), evidence, 1..4i64, select(vec![None, Some(3)]))
        .prop_map(|(step, state, age, owner, evidence, attempt, ex_leader)| Intent {
            ex_leader,
            name: format!("op-{}-{owner}-{attempt}", step.name()),
            owner_uid: owner.into(),
            attempt,
            evidence: evidence.into(),
            ..intent(step, state, age)
        })
}

/// No two intents of one name, and no two open requests for one guest: the store and the rules see to that.
pub fn intents() -> impl Strategy<Value = Vec<Intent>> {
    vec(an_intent(), 0..4).prop_map(|all| {
        let mut kept: Vec<Intent> = Vec::new();
        for intent in all {
            let twin = |k: &Intent| {
                k.name == intent.name
                    || (k.state.is_open() && intent.state.is_open() && k.action.server().is_some() && k.action.server() == intent.action.server())
            };
            if !kept.iter().any(twin) {
                kept.push(intent);
            }
        }
        kept
    })
}

pub fn a_record() -> impl Strategy<Value = GuestMove> {
    use GuestOutcome::*;
    let outcome = select(vec![Pending, Pending, Moving, Moved, Failed, Skipped, NeedsHuman]);
    (select(SERVERS.to_vec()), outcome, select(STATES.to_vec()), 0..3i64).prop_map(|(id, outcome, vm_state, attempts)| GuestMove {
        id: id.into(),
        name: format!("name-{id}"),
        priority: 5,
        vm_state: vm_state.into(),
        outcome,
        message: "as it was left".into(),
        attempts,
        ..Default::default()
    })
}

pub fn an_observation() -> impl Strategy<Value = Observation> {
    (any::<bool>(), select(vec![0i64, -59, -61, 30]), select(vec![30i64, 600])).prop_map(|(alive, seen, ttl_seconds)| Observation {
        host: "a".into(),
        channel: "probe".into(),
        says: if alive { Says::Alive } else { Says::Silent },
        observed_at: at(seen),
        received_at: at(seen),
        ttl_seconds,
        by: "probe".into(),
        detail: String::new(),
    })
}
