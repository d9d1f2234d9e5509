//! Random work of several controllers and an API server.

use proptest::{collection::vec, prelude::*, sample::select};
use schemas::{
    DynObject, Time,
    v1::{NO_HOST, Observation, Says},
};
use secrecy::SecretString;
use serde_json::json;
use simulator::ModelStore;
use std::collections::BTreeMap;
use store::{ClaimRequest, Fate, ListQuery, Op, OutboxRule, Store, Telling};

pub const HOSTS: [&str; 3] = ["h1", "h2", "h3"];
pub const KINDS: [&str; 5] = ["Host", "HostOperation", "Operation", "ClusterPolicy", "Evacuation"];
pub const CONTROLLERS: usize = 3;

/// How fresh the version is that a write expects.
#[derive(Clone, Copy, Debug)]
pub enum Version {
    Present,
    Older(i64),
    Never,
}

impl Version {
    fn of(self, present: i64) -> i64 {
        match self {
            Version::Present => present,
            Version::Older(n) => present - n,
            Version::Never => 1_000_000,
        }
    }
}

#[derive(Clone, Debug)]
pub enum Wish {
    Create(&'static str, usize, u8),
    /// Under a uid that may be taken by an object of another name.
    CreateAs(&'static str, usize, usize),
    Update(&'static str, usize, u8, Version),
    Delete(&'static str, usize, Version),
    NotFrozen,
    Claim {
        host: usize,
        owner: usize,
        rank: i64,
        purpose: &'static str,
        max: Option<i64>,
    },
    Unclaim(usize, usize),
    Claimed(usize, usize),
    NoneOpen(&'static str, usize),
    /// Kind, how many revisions ago it was looked at, and the hosts that may have been written about.
    Unwritten(&'static str, i64, Vec<usize>),
    AtVersion(&'static str, usize, Version),
    Limit(Option<usize>, i64),
    Evidence(usize, u8, Version),
    /// Host, channel, and when it was seen.
    Observe(usize, usize, i64),
    /// About which object, and what: a few words, so that series come about.
    Tell(usize, u8),
    Secret(usize, u8),
    NoSecret(usize),
}

#[derive(Clone, Debug)]
pub enum Command {
    Commit(Option<usize>, Vec<Wish>),
    /// Takes the lease on the row as it is, or as it was when this controller last looked.
    Take(usize, bool),
    Look(usize),
    Renew(usize),
    Release(usize),
    Compact(i64),
    Changes(i64, i64),
    List(&'static str, ListQuery),
    Prune(i64),
    /// What became of the n-th oldest letter.
    Settle(usize, Fate),
    /// All but so many letters are thrown away, and those older than so many seconds.
    Trim(i64, i64),
    Restart,
}

fn version() -> impl Strategy<Value = Version> {
    prop_oneof![6 => Just(Version::Present), 1 => (1..4i64).prop_map(Version::Older), 1 => Just(Version::Never)]
}

fn kind() -> impl Strategy<Value = &'static str> {
    select(KINDS.to_vec())
}

fn wish() -> impl Strategy<Value = Wish> {
    let host = || 0..HOSTS.len();
    prop_oneof![
        6 => (kind(), host(), any::<u8>()).prop_map(|(k, n, x)| Wish::Create(k, n, x)),
        1 => (kind(), host(), host()).prop_map(|(k, n, m)| Wish::CreateAs(k, n, m)),
        6 => (kind(), host(), any::<u8>(), version()).prop_map(|(k, n, x, v)| Wish::Update(k, n, x, v)),
        2 => (kind(), host(), version()).prop_map(|(k, n, v)| Wish::Delete(k, n, v)),
        1 => Just(Wish::NotFrozen),
        3 => (host(), 0..3usize, select(vec![20, 30, 40]), select(vec!["drain", "evacuation"]), select(vec![None, Some(1), Some(2)]))
            .prop_map(|(host, owner, rank, purpose, max)| Wish::Claim { host, owner, rank, purpose, max }),
        1 => (host(), 0..3usize).prop_map(|(h, o)| Wish::Unclaim(h, o)),
        1 => (host(), 0..3usize).prop_map(|(h, o)| Wish::Claimed(h, o)),
        1 => (select(vec!["HostOperation", "Evacuation"]), host()).prop_map(|(k, h)| Wish::NoneOpen(k, h)),
        1 => (kind(), 0..6i64, proptest::collection::vec(host(), 0..3)).prop_map(|(k, ago, hosts)| Wish::Unwritten(k, ago, hosts)),
        1 => (kind(), host(), version()).prop_map(|(k, n, v)| Wish::AtVersion(k, n, v)),
        1 => (proptest::option::of(host()), 0..4i64).prop_map(|(h, m)| Wish::Limit(h, m)),
        2 => (host(), any::<u8>(), version()).prop_map(|(h, x, v)| Wish::Evidence(h, x, v)),
        2 => (0..=HOSTS.len(), 0..2usize, 0..20i64).prop_map(|(h, c, at)| Wish::Observe(h, c, at)),
        2 => (0..3usize, any::<u8>()).prop_map(|(n, x)| Wish::Tell(n, x)),
        1 => (host(), any::<u8>()).prop_map(|(h, x)| Wish::Secret(h, x)),
        1 => host().prop_map(Wish::NoSecret),
    ]
}

fn query() -> impl Strategy<Value = ListQuery> {
    let host = || proptest::option::of(select(HOSTS.to_vec()));
    (host(), 0..3i64, proptest::option::of(0..3u8), host(), any::<bool>()).prop_map(|(after, limit, owner, host, open_only)| ListQuery {
        after: after.map(String::from),
        limit,
        owner_uid: owner.map(|o| format!("o{o}")),
        host: host.map(String::from),
        open_only,
    })
}

fn fate() -> impl Strategy<Value = Fate> {
    select(vec![Fate::Delivered, Fate::GivenUp("410 Gone".into()), Fate::Failed("no answer".into())])
}

fn command() -> impl Strategy<Value = Command> {
    let who = || 0..CONTROLLERS;
    prop_oneof![
        12 => (proptest::option::of(who()), vec(wish(), 0..5)).prop_map(|(who, wishes)| Command::Commit(who, wishes)),
        2 => (who(), any::<bool>()).prop_map(|(who, fresh)| Command::Take(who, fresh)),
        1 => who().prop_map(Command::Look),
        1 => who().prop_map(Command::Renew),
        1 => who().prop_map(Command::Release),
        1 => (-1..30i64).prop_map(Command::Compact),
        1 => (0..30i64, 1..6i64).prop_map(|(after, limit)| Command::Changes(after, limit)),
        2 => (kind(), query()).prop_map(|(kind, query)| Command::List(kind, query)),
        1 => (0..10i64).prop_map(Command::Prune),
        2 => (0..3usize, fate()).prop_map(|(n, fate)| Command::Settle(n, fate)),
        1 => (0..4i64, 0..30i64).prop_map(|(keep, back)| Command::Trim(keep, back)),
        1 => Just(Command::Restart),
    ]
}

pub fn commands() -> impl Strategy<Value = Vec<Command>> {
    vec(command(), 1..40)
}

fn name(kind: &str, n: usize) -> &'static str {
    if kind == "ClusterPolicy" { "default" } else { HOSTS[n] }
}

fn uid(kind: &str, n: usize) -> String {
    format!("{kind}-{}", name(kind, n))
}

/// An object of which `x` decides whether it is open, frozen, and so on.
fn made(kind: &str, n: usize, x: u8) -> DynObject {
    let host = HOSTS[usize::from(x) % 3];
    let spec = match kind {
        "ClusterPolicy" => json!({"operations": if x.is_multiple_of(4) { "Frozen" } else { "Normal" }}),
        "Operation" => json!({"host": host, "step": if x.is_multiple_of(2) { "Evacuate/g" } else { "Power/On" }, "ownerUid": format!("o{}", x % 3)}),
        "HostOperation" | "Evacuation" => json!({"hostRef": {"name": host}}),
        _ => json!({"title": format!("{x}")}),
    };
    let mut object = DynObject::new(kind, name(kind, n), spec);
    object.metadata.uid = uid(kind, n);
    object.status = match (kind, x % 5) {
        ("Operation", 0) => json!({"state": "Observed"}),
        ("Operation", 1) => json!({"state": "Unknown"}),
        ("HostOperation" | "Evacuation", 0 | 1) => json!({"finishedAt": "2026-01-01T00:00:00Z"}),
        _ => json!({"x": x}),
    };
    object
}

/// What both stores write to their outbox: some of what [`telling`] tells, not all.
pub fn rule() -> OutboxRule {
    OutboxRule { warnings_only: true, reasons: vec!["Seen".into()] }
}

pub fn telling(n: usize, x: u8) -> Telling {
    Telling {
        regarding: format!("Host/h{n}"),
        regarding_uid: format!("uid-{}", n % 2),
        warning: x.is_multiple_of(2),
        reason: "Seen".into(),
        note: format!("{}", x % 3),
        reporter: "test".into(),
    }
}

impl Wish {
    /// The operation; versions are those of `model` at the beginning of the transaction.
    pub async fn op(&self, model: &ModelStore) -> Op {
        let owner = |n: usize| (format!("HostOperation/o{n}"), format!("uid-{n}"));
        let present = async |kind: &str, n: usize| model.get(kind, name(kind, n)).await.unwrap().map_or(0, |o| o.metadata.revision());
        match self {
            Wish::Create(kind, n, x) => Op::Create(made(kind, *n, *x)),
            Wish::CreateAs(kind, n, m) => {
                let mut object = made(kind, *n, 2);
                object.metadata.uid = uid(kind, *m);
                Op::Create(object)
            }
            Wish::Update(kind, n, x, v) => {
                // An update keeps the uid that it was created under.
                let mut object = made(kind, *n, *x);
                if let Some(old) = model.get(kind, name(kind, *n)).await.unwrap() {
                    object.metadata.uid = old.metadata.uid;
                }
                Op::Update { object, expected: v.of(present(kind, *n).await) }
            }
            Wish::Delete(kind, n, v) => Op::Delete { kind: (*kind).into(), name: name(kind, *n).into(), expected: v.of(present(kind, *n).await) },
            Wish::NotFrozen => Op::RequireNotFrozen,
            Wish::Claim { host, owner: o, rank, purpose, max } => {
                let (owner, owner_uid) = owner(*o);
                Op::TakeClaim(ClaimRequest { host: HOSTS[*host].into(), owner, owner_uid, rank: *rank, purpose: (*purpose).into(), max: *max })
            }
            Wish::Unclaim(host, o) => Op::ReleaseClaim { host: HOSTS[*host].into(), owner_uid: owner(*o).1 },
            Wish::Claimed(host, o) => Op::RequireClaim { host: HOSTS[*host].into(), owner_uid: owner(*o).1 },
            Wish::NoneOpen(kind, host) => Op::RequireNoneOpen { kind: (*kind).into(), host: HOSTS[*host].into() },
            Wish::Unwritten(kind, ago, hosts) => Op::RequireUnwritten {
                kind: (*kind).into(),
                after: model.revision().await.unwrap().current - ago,
                hosts: hosts.iter().map(|host| HOSTS[*host].to_string()).collect(),
            },
            Wish::AtVersion(kind, n, v) => {
                Op::RequireVersion { kind: (*kind).into(), name: name(kind, *n).into(), expected: v.of(present(kind, *n).await) }
            }
            Wish::Limit(host, max) => Op::LimitOpen { step_prefix: "Evacuate/".into(), host: host.map(|h| HOSTS[h].into()), max: *max },
            Wish::Evidence(host, x, v) => {
                let present = model.evidence(HOSTS[*host]).await.unwrap().version;
                Op::PutEvidence { host: HOSTS[*host].into(), expected: v.of(present), body: json!({"x": x}) }
            }
            Wish::Observe(host, channel, seconds) => Op::PutObservation(Observation {
                // Past the last: what is kept of no host.
                host: HOSTS.get(*host).copied().unwrap_or(NO_HOST).into(),
                channel: format!("channel-{channel}"),
                says: if seconds % 2 == 0 { Says::Alive } else { Says::Silent },
                observed_at: Time(1_800_000_000_000_000).plus_seconds(*seconds),
                received_at: Time(1_800_000_000_000_000).plus_seconds(seconds + 1),
                ttl_seconds: 60,
                by: "probe".into(),
                detail: format!("seen at {seconds}"),
            }),
            Wish::Tell(n, x) => Op::Tell(telling(*n, *x)),
            Wish::Secret(n, x) => {
                Op::PutSecret { name: HOSTS[*n].into(), data: BTreeMap::from([("password".into(), SecretString::from(format!("p{x}")))]) }
            }
            Wish::NoSecret(n) => Op::DeleteSecret { name: HOSTS[*n].into() },
        }
    }
}
