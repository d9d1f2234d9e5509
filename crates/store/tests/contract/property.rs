//! Random work of several controllers and an API server, on the database and on the model: they must agree after each step.

use crate::{
    at,
    model::{Model, bare},
    object,
    site::Site,
};
use proptest::{collection::vec, prelude::*, sample::select};
use schemas::DynObject;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use std::collections::BTreeMap;
use store::{ClaimRequest, Guard, LeaseRow, ListQuery, Op, SqlStore, Store, StoreError};
use test_databases::Kind;

const HOSTS: [&str; 3] = ["h1", "h2", "h3"];
const KINDS: [&str; 4] = ["Host", "HostOperation", "Operation", "ClusterPolicy"];
const CONTROLLERS: usize = 3;

/// How fresh the version is that a write expects.
#[derive(Clone, Copy, Debug)]
enum Version {
    Present,
    Older(i64),
    Never,
}

#[derive(Clone, Debug)]
enum Wish {
    Create(&'static str, usize, u8),
    Update(&'static str, usize, u8, Version),
    Delete(&'static str, usize, Version),
    NotFrozen,
    Claim { host: usize, owner: usize, rank: i64, purpose: &'static str, max: Option<i64> },
    Unclaim(usize, usize),
    Claimed(usize, usize),
    NoneOpen(usize),
    Limit(Option<usize>, i64),
    Evidence(usize, u8, Version),
    Secret(usize, u8),
    NoSecret(usize),
}

#[derive(Clone, Debug)]
enum Command {
    Commit(Option<usize>, Vec<Wish>),
    /// Takes the lease on the row as it is, or as it was when this controller last looked.
    Take(usize, bool),
    Look(usize),
    Renew(usize),
    Release(usize),
    Compact(i64),
    Restart,
}

fn version() -> impl Strategy<Value = Version> {
    prop_oneof![6 => Just(Version::Present), 1 => (1..4i64).prop_map(Version::Older), 1 => Just(Version::Never)]
}

fn wish() -> impl Strategy<Value = Wish> {
    let host = || 0..HOSTS.len();
    let kind = || select(KINDS.to_vec());
    prop_oneof![
        6 => (kind(), host(), any::<u8>()).prop_map(|(k, n, x)| Wish::Create(k, n, x)),
        6 => (kind(), host(), any::<u8>(), version()).prop_map(|(k, n, x, v)| Wish::Update(k, n, x, v)),
        2 => (kind(), host(), version()).prop_map(|(k, n, v)| Wish::Delete(k, n, v)),
        1 => Just(Wish::NotFrozen),
        3 => (host(), 0..3usize, select(vec![20, 30, 40]), select(vec!["drain", "evacuation"]), select(vec![None, Some(1), Some(2)]))
            .prop_map(|(host, owner, rank, purpose, max)| Wish::Claim { host, owner, rank, purpose, max }),
        1 => (host(), 0..3usize).prop_map(|(h, o)| Wish::Unclaim(h, o)),
        1 => (host(), 0..3usize).prop_map(|(h, o)| Wish::Claimed(h, o)),
        1 => host().prop_map(Wish::NoneOpen),
        1 => (proptest::option::of(host()), 0..4i64).prop_map(|(h, m)| Wish::Limit(h, m)),
        2 => (host(), any::<u8>(), version()).prop_map(|(h, x, v)| Wish::Evidence(h, x, v)),
        1 => (host(), any::<u8>()).prop_map(|(h, x)| Wish::Secret(h, x)),
        1 => host().prop_map(Wish::NoSecret),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    let who = || 0..CONTROLLERS;
    prop_oneof![
        12 => (proptest::option::of(who()), vec(wish(), 0..5)).prop_map(|(who, wishes)| Command::Commit(who, wishes)),
        2 => (who(), any::<bool>()).prop_map(|(who, fresh)| Command::Take(who, fresh)),
        1 => who().prop_map(Command::Look),
        1 => who().prop_map(Command::Renew),
        1 => who().prop_map(Command::Release),
        1 => (0..30i64).prop_map(Command::Compact),
        1 => Just(Command::Restart),
    ]
}

fn name(kind: &str, n: usize) -> &'static str {
    if kind == "ClusterPolicy" { "default" } else { HOSTS[n] }
}

/// An object of which `x` decides whether it is open, frozen, and so on.
fn made(kind: &str, n: usize, x: u8) -> DynObject {
    let spec = match kind {
        "ClusterPolicy" => json!({"operations": if x.is_multiple_of(4) { "Frozen" } else { "Normal" }}),
        "Operation" => {
            json!({"host": HOSTS[usize::from(x) % 3], "step": if x.is_multiple_of(2) { "Evacuate/g" } else { "Power/On" }, "ownerUid": format!("o{}", x % 3)})
        }
        "HostOperation" => json!({"hostRef": {"name": HOSTS[usize::from(x) % 3]}}),
        _ => json!({"title": format!("{x}")}),
    };
    let mut o = object(kind, name(kind, n), spec);
    o.status = match (kind, x % 5) {
        ("Operation", 0) => json!({"state": "Observed"}),
        ("Operation", 1) => json!({"state": "Unknown"}),
        ("HostOperation", 0 | 1) => json!({"finishedAt": "2026-01-01T00:00:00Z"}),
        _ => json!({"x": x}),
    };
    o
}

struct Run {
    model: Model,
    tokens: [i64; CONTROLLERS],
    looked: [LeaseRow; CONTROLLERS],
    seconds: i64,
}

impl Run {
    fn expect(&self, kind: &str, n: usize, version: Version) -> i64 {
        let present = self.model.objects.get(&(kind.to_string(), name(kind, n).to_string())).map_or(0, |o| o.metadata.revision());
        version_of(present, version)
    }

    fn op(&self, wish: &Wish) -> Op {
        let owner = |n: usize| (format!("HostOperation/o{n}"), format!("uid-{n}"));
        match wish {
            Wish::Create(kind, n, x) => Op::Create(made(kind, *n, *x)),
            Wish::Update(kind, n, x, v) => Op::Update { object: made(kind, *n, *x), expected: self.expect(kind, *n, *v) },
            Wish::Delete(kind, n, v) => Op::Delete { kind: (*kind).into(), name: name(kind, *n).into(), expected: self.expect(kind, *n, *v) },
            Wish::NotFrozen => Op::RequireNotFrozen,
            Wish::Claim { host, owner: o, rank, purpose, max } => {
                let (owner, owner_uid) = owner(*o);
                Op::TakeClaim(ClaimRequest { host: HOSTS[*host].into(), owner, owner_uid, rank: *rank, purpose: (*purpose).into(), max: *max })
            }
            Wish::Unclaim(host, o) => Op::ReleaseClaim { host: HOSTS[*host].into(), owner_uid: owner(*o).1 },
            Wish::Claimed(host, o) => Op::RequireClaim { host: HOSTS[*host].into(), owner_uid: owner(*o).1 },
            Wish::NoneOpen(host) => Op::RequireNoneOpen { kind: "HostOperation".into(), host: HOSTS[*host].into() },
            Wish::Limit(host, max) => Op::LimitOpen { step_prefix: "Evacuate/".into(), host: host.map(|h| HOSTS[h].into()), max: *max },
            Wish::Evidence(host, x, v) => {
                let present = self.model.evidence.get(HOSTS[*host]).map_or(0, |e| e.version);
                Op::PutEvidence { host: HOSTS[*host].into(), expected: version_of(present, *v), body: json!({"x": x}) }
            }
            Wish::Secret(n, x) => {
                Op::PutSecret { name: HOSTS[*n].into(), data: BTreeMap::from([("password".into(), SecretString::from(format!("p{x}")))]) }
            }
            Wish::NoSecret(n) => Op::DeleteSecret { name: HOSTS[*n].into() },
        }
    }

    /// One command on both; what they answer must be the same.
    async fn step(&mut self, store: &SqlStore, command: &Command) -> Result<(), TestCaseError> {
        self.seconds += 1;
        let holder = |who: usize| format!("controller-{who}");
        match command {
            Command::Commit(who, wishes) => {
                let guard = who.map_or(Guard::Open, |who| Guard::Lease(self.tokens[who]));
                let ops: Vec<Op> = wishes.iter().map(|w| self.op(w)).collect();
                let stale = matches!(guard, Guard::Lease(token) if token != self.model.lease.token);
                let real = store.commit(guard, at(self.seconds), ops.clone()).await;
                if stale {
                    prop_assert!(matches!(real, Err(StoreError::LeaseLost { .. })), "a stale token commits: {real:?}");
                }
                let wanted = self.model.commit(guard, &ops);
                prop_assert_eq!(real.as_ref().map(|c| c.objects.clone()).map_err(|e| bare(e.clone())), wanted.map_err(bare));
                if let Ok(done) = real {
                    prop_assert_eq!(done.revision, self.model.current);
                }
            }
            Command::Look(who) => self.looked[*who] = store.lease("controller").await.unwrap(),
            Command::Take(who, fresh) => {
                let seen = if *fresh { self.model.lease.clone() } else { self.looked[*who].clone() };
                let real = store.lease_take("controller", &holder(*who), &seen, 6_000, at(self.seconds)).await.unwrap();
                let wanted = self.model.take(&holder(*who), &seen, 6_000, self.seconds);
                prop_assert_eq!(real.is_some(), wanted);
                if let Some(row) = real {
                    self.tokens[*who] = row.token;
                }
            }
            Command::Renew(who) => {
                let real = store.lease_renew("controller", &holder(*who), self.tokens[*who]).await.unwrap();
                prop_assert_eq!(real, self.model.renew(&holder(*who), self.tokens[*who]));
            }
            Command::Release(who) => {
                store.lease_release("controller", &holder(*who), self.tokens[*who]).await.unwrap();
                self.model.release(&holder(*who), self.tokens[*who]);
            }
            Command::Compact(upto) => {
                store.compact(*upto).await.unwrap();
                self.model.compact(*upto);
            }
            Command::Restart => {}
        }
        Ok(())
    }

    /// Everything that can be read is as the model has it.
    async fn compare(&self, store: &SqlStore) -> Result<(), TestCaseError> {
        let m = &self.model;
        let row = store.revision().await.unwrap();
        prop_assert_eq!((row.current, row.compacted), (m.current, m.compacted));
        let history = store.changes(m.compacted, 10_000).await.unwrap();
        prop_assert!(history.iter().zip(m.compacted + 1..).all(|(c, rv)| c.revision == rv), "history has a hole");
        prop_assert_eq!(&history, &m.changes.iter().filter(|c| c.revision > m.compacted).cloned().collect::<Vec<_>>());
        if m.compacted > 0 {
            let told = matches!(store.changes(m.compacted - 1, 1).await, Err(StoreError::Compacted { .. }));
            prop_assert!(told, "history that is gone is not empty history");
        }
        for kind in KINDS {
            let listed = store.list(kind, ListQuery::default()).await.unwrap().items;
            prop_assert_eq!(listed, m.objects.values().filter(|o| o.kind == kind).cloned().collect::<Vec<_>>());
        }
        prop_assert_eq!(store.claims().await.unwrap(), m.claims.values().cloned().collect::<Vec<_>>());
        prop_assert_eq!(store.lease("controller").await.unwrap(), m.lease.clone());
        for host in HOSTS {
            let found = store.evidence(host).await.unwrap();
            prop_assert_eq!((found.version, found.body), (m.evidence.get(host).map_or(0, |e| e.version), m.body(host)));
            let secret = store.secret(host).await.unwrap();
            let plain = secret.map(|s| s.into_iter().map(|(k, v)| (k, v.expose_secret().to_string())).collect::<BTreeMap<_, _>>());
            prop_assert_eq!(plain, m.secrets.get(host).cloned());
        }
        Ok(())
    }
}

fn version_of(present: i64, version: Version) -> i64 {
    match version {
        Version::Present => present,
        Version::Older(n) => present - n,
        Version::Never => 1_000_000,
    }
}

async fn play(site: Site, commands: &[Command]) -> Result<(), TestCaseError> {
    let mut store = site.open().await;
    let cluster = store.revision().await.unwrap().cluster_uuid;
    let mut run = Run { model: Model::default(), tokens: [0; CONTROLLERS], looked: Default::default(), seconds: 0 };
    for command in commands {
        if let Command::Restart = command {
            drop(store);
            store = site.open().await;
            prop_assert_eq!(&store.revision().await.unwrap().cluster_uuid, &cluster);
        }
        run.step(&store, command).await?;
        run.compare(&store).await?;
        prop_assert_eq!(*store.commits().borrow(), run.model.current, "those who wait are told of the newest");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(20), failure_persistence: None, ..Default::default() })]

    #[test]
    fn sqlite_and_the_model_agree_on_every_answer_and_on_everything_that_is_kept(commands in vec(command(), 1..40)) {
        run(Site::sqlite(), &commands)?;
    }

    #[test]
    fn postgresql_and_the_model_agree_on_every_answer_and_on_everything_that_is_kept(commands in vec(command(), 1..40)) {
        let Some(site) = Site::server(Kind::Postgres) else { return Ok(()) };
        run(site, &commands)?;
    }

    #[test]
    fn mariadb_and_the_model_agree_on_every_answer_and_on_everything_that_is_kept(commands in vec(command(), 1..40)) {
        let Some(site) = Site::server(Kind::Mariadb) else { return Ok(()) };
        run(site, &commands)?;
    }
}

fn run(site: Site, commands: &[Command]) -> Result<(), TestCaseError> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap().block_on(play(site, commands))
}
