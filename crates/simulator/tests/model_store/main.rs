//! The store in memory against the three databases: the same random work on both gives the same answers, the same errors
//! and the same history, also when the process that works is another.

mod work;

use proptest::prelude::*;
use schemas::{Time, v1::NO_HOST};
use secrecy::ExposeSecret;
use simulator::ModelStore;
use std::{collections::BTreeMap, time::Duration};
use store::{CONTROLLER_LEASE, Change, Evidence, Guard, KeyRing, LeaseRow, ListQuery, Outbox, SqlStore, Store, StoreConfig, StoreError};
use test_databases::Kind;
use work::{CONTROLLERS, Command, HOSTS, KINDS, Wish};

fn at(seconds: i64) -> Time {
    Time(1_800_000_000_000_000).plus_seconds(seconds)
}

/// What of an error is compared: all but words.
fn bare(error: StoreError) -> StoreError {
    use StoreError::*;
    match error {
        Conflict { current, .. } => Conflict { what: String::new(), current },
        AlreadyExists(_) => AlreadyExists(String::new()),
        LimitReached { max, .. } => LimitReached { what: String::new(), max },
        Unavailable(_) => Unavailable(String::new()),
        Corrupt(_) => Corrupt(String::new()),
        other => other,
    }
}

/// Who looked at the lease when, and which token they hold.
#[derive(Default)]
struct Controllers {
    tokens: [i64; CONTROLLERS],
    looked: [LeaseRow; CONTROLLERS],
}

/// Does the same work on an empty database and on a new model; every answer and everything that can be read must agree.
async fn against(config: &StoreConfig, commands: &[Command]) -> Result<(), TestCaseError> {
    let mut store = open(config).await;
    let model = ModelStore::new(&store.revision().await.unwrap().cluster_uuid).with_outbox(work::rule());
    let (mut told, mut controllers) = (store.commits(), Controllers::default());
    for (n, command) in commands.iter().enumerate() {
        let now = at(i64::try_from(n).unwrap());
        if let Command::Restart = command {
            drop(store);
            store = open(config).await;
            told = store.commits();
        }
        step(&store, &model, &mut controllers, command, now).await?;
        compare(&store, &model).await?;
        let newest = model.revision().await.unwrap().current;
        prop_assert_eq!(*told.borrow_and_update(), newest, "those who wait are told of the newest");
        prop_assert_eq!(*model.commits().borrow(), newest);
    }
    Ok(())
}

async fn step(store: &SqlStore, model: &ModelStore, controllers: &mut Controllers, command: &Command, now: Time) -> Result<(), TestCaseError> {
    let holder = |who: usize| format!("controller-{who}");
    match command {
        Command::Commit(who, wishes) => {
            let guard = who.map_or(Guard::Open, |who| Guard::Lease(controllers.tokens[who]));
            let mut ops = Vec::new();
            for wish in wishes {
                ops.push(wish.op(model).await);
            }
            let stale = matches!(guard, Guard::Lease(token) if token != model.lease(CONTROLLER_LEASE).await.unwrap().token);
            let (real, wanted) = (store.commit(guard, now, ops.clone()).await, model.commit(guard, now, ops).await);
            prop_assert!(!stale || matches!(real, Err(StoreError::LeaseLost { .. })), "a stale token commits: {real:?}");
            // Of several objects that are open, a store may name any.
            let any_open = wishes.iter().any(|w| matches!(w, Wish::NoneOpen(..)));
            let bare = |error| match bare(error) {
                StoreError::Conflict { what, current } => StoreError::Conflict { what, current: if any_open { 0 } else { current } },
                other => other,
            };
            let parts = |r: store::StoreResult<store::Committed>| r.map(|c| (c.objects, c.revision)).map_err(bare);
            prop_assert_eq!(parts(real), parts(wanted));
        }
        Command::Look(who) => controllers.looked[*who] = store.lease(CONTROLLER_LEASE).await.unwrap(),
        Command::Take(who, fresh) => {
            let seen = if *fresh { model.lease(CONTROLLER_LEASE).await.unwrap() } else { controllers.looked[*who].clone() };
            let real = store.lease_take(CONTROLLER_LEASE, &holder(*who), &seen, 6_000, now).await.unwrap();
            prop_assert_eq!(&real, &model.lease_take(CONTROLLER_LEASE, &holder(*who), &seen, 6_000, now).await.unwrap());
            if let Some(row) = real {
                controllers.tokens[*who] = row.token;
            }
        }
        Command::Renew(who) => {
            let (holder, token) = (holder(*who), controllers.tokens[*who]);
            let real = store.lease_renew(CONTROLLER_LEASE, &holder, token).await.unwrap();
            prop_assert_eq!(real, model.lease_renew(CONTROLLER_LEASE, &holder, token).await.unwrap());
        }
        Command::Release(who) => {
            let (holder, token) = (holder(*who), controllers.tokens[*who]);
            store.lease_release(CONTROLLER_LEASE, &holder, token).await.unwrap();
            model.lease_release(CONTROLLER_LEASE, &holder, token).await.unwrap();
        }
        Command::Compact(upto) => prop_assert_eq!(store.compact(*upto).await.unwrap(), model.compact(*upto).await.unwrap()),
        Command::Changes(after, limit) => {
            let (real, wanted) = (store.changes(*after, *limit).await, model.changes(*after, *limit).await);
            prop_assert_eq!(real.map_err(bare), wanted.map_err(bare));
        }
        Command::List(kind, query) => {
            let (real, wanted) = (store.list(kind, query.clone()).await.unwrap(), model.list(kind, query.clone()).await.unwrap());
            prop_assert_eq!((real.items, real.remaining, real.revision), (wanted.items, wanted.remaining, wanted.revision));
        }
        // Whoever works on: it has nothing but what is kept.
        Command::Restart => {}
        Command::Settle(n, fate) => {
            let id = model.letters(100).await.unwrap().get(*n).map_or("no letter".into(), |l| l.id.clone());
            store.settle_letter(&id, fate, now).await.unwrap();
            model.settle_letter(&id, fate, now).await.unwrap();
        }
        Command::Trim(keep, back) => {
            let before = now.plus_seconds(-back);
            prop_assert_eq!(store.trim_outbox(*keep, before, now).await.unwrap(), model.trim_outbox(*keep, before, now).await.unwrap());
        }
        Command::Prune(back) => {
            let before = now.plus_seconds(-back);
            prop_assert_eq!(store.prune_events(before).await.unwrap(), model.prune_events(before).await.unwrap());
            prop_assert_eq!(store.prune_observations(before).await.unwrap(), model.prune_observations(before).await.unwrap());
        }
    }
    Ok(())
}

/// Everything that can be read is the same on both.
async fn compare(store: &SqlStore, model: &ModelStore) -> Result<(), TestCaseError> {
    let row = model.revision().await.unwrap();
    prop_assert_eq!(&store.revision().await.unwrap(), &row);
    let history: Vec<Change> = store.changes(row.compacted, 10_000).await.unwrap();
    prop_assert!(history.iter().zip(row.compacted + 1..).all(|(c, rv)| c.revision == rv), "history has a hole");
    prop_assert_eq!(history, model.changes(row.compacted, 10_000).await.unwrap());
    for kind in KINDS {
        let (real, wanted) = (store.list(kind, ListQuery::default()).await.unwrap(), model.list(kind, ListQuery::default()).await.unwrap());
        prop_assert_eq!((real.items, real.remaining), (wanted.items, wanted.remaining));
        for name in HOSTS.iter().chain(&["default"]) {
            prop_assert_eq!(store.get(kind, name).await.unwrap(), model.get(kind, name).await.unwrap());
            let uid = format!("{kind}-{name}");
            prop_assert_eq!(store.get_by_uid(&uid).await.unwrap(), model.get_by_uid(&uid).await.unwrap());
        }
    }
    prop_assert_eq!(store.claims().await.unwrap(), model.claims().await.unwrap());
    prop_assert_eq!(store.lease(CONTROLLER_LEASE).await.unwrap(), model.lease(CONTROLLER_LEASE).await.unwrap());
    prop_assert_eq!(store.lease("nothing").await.map_err(bare), model.lease("nothing").await.map_err(bare));
    prop_assert_eq!(store.observations(None).await.unwrap(), model.observations(None).await.unwrap());
    prop_assert_eq!(store.observations(Some(NO_HOST)).await.unwrap(), model.observations(Some(NO_HOST)).await.unwrap());
    for host in HOSTS {
        prop_assert_eq!(store.observations(Some(host)).await.unwrap(), model.observations(Some(host)).await.unwrap());
        prop_assert_eq!(store.claim(host).await.unwrap(), model.claim(host).await.unwrap());
        let (real, wanted): (Evidence, Evidence) = (store.evidence(host).await.unwrap(), model.evidence(host).await.unwrap());
        prop_assert_eq!(real, wanted);
        prop_assert_eq!(secret(store, host).await, secret(model, host).await);
    }
    for uid in [None, Some("uid-0"), Some("uid-1")] {
        prop_assert_eq!(store.events(uid, 2).await.unwrap(), model.events(uid, 2).await.unwrap());
        prop_assert_eq!(store.events(uid, 100).await.unwrap(), model.events(uid, 100).await.unwrap());
    }
    for limit in [1, 100] {
        prop_assert_eq!(store.letters(limit).await.unwrap(), model.letters(limit).await.unwrap());
    }
    prop_assert_eq!(store.outbox().await.unwrap(), model.outbox().await.unwrap());
    let series = work::telling(0, 0).series();
    prop_assert_eq!(store.event(&series).await.unwrap(), model.event(&series).await.unwrap());
    Ok(())
}

async fn secret(store: &impl Store, name: &str) -> Option<BTreeMap<String, String>> {
    let data = store.secret(name).await.unwrap()?;
    Some(data.into_iter().map(|(key, value)| (key, value.expose_secret().to_string())).collect())
}

async fn open(config: &StoreConfig) -> SqlStore {
    // A busy machine may take its time.
    let config = StoreConfig { deadline: Duration::from_secs(60), outbox: Some(work::rule()), ..config.clone() };
    store::migrate(&config, None).await.unwrap();
    SqlStore::open(&config, KeyRing::parse(&format!("k:{}", "07".repeat(32))).unwrap()).await.unwrap()
}

/// An empty database. `None` if the server is not installed; that was said aloud.
fn server(kind: Kind) -> Option<StoreConfig> {
    let server = test_databases::shared(kind)?;
    Some(StoreConfig::parse(&server.url(&server.create_database())).unwrap())
}

fn play(config: &StoreConfig, commands: &[Command]) -> Result<(), TestCaseError> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap().block_on(against(config, commands))
}

#[tokio::test]
async fn a_store_without_the_token_check_takes_what_a_store_must_refuse() {
    let stores = [ModelStore::new("c"), ModelStore::without_token_check("c")];
    let mut taken = Vec::new();
    for store in &stores {
        let row = store.lease(CONTROLLER_LEASE).await.unwrap();
        let old = store.lease_take(CONTROLLER_LEASE, "one", &row, 6_000, at(0)).await.unwrap().unwrap();
        store.lease_take(CONTROLLER_LEASE, "two", &old, 6_000, at(8)).await.unwrap().unwrap();
        taken.push(store.commit(Guard::Lease(old.token), at(9), Vec::new()).await.is_ok());
    }
    assert_eq!(taken, [false, true]);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(20),
        failure_persistence: None,
        ..Default::default()
    })]

    #[test]
    fn the_model_and_sqlite_agree_on_every_answer_and_on_everything_that_is_kept(commands in work::commands()) {
        let dir = tempfile::tempdir().unwrap();
        play(&StoreConfig::sqlite(dir.path().join("db")), &commands)?;
    }

    #[test]
    fn the_model_and_postgresql_agree_on_every_answer_and_on_everything_that_is_kept(commands in work::commands()) {
        let Some(config) = server(Kind::Postgres) else { return Ok(()) };
        play(&config, &commands)?;
    }

    #[test]
    fn the_model_and_mariadb_agree_on_every_answer_and_on_everything_that_is_kept(commands in work::commands()) {
        let Some(config) = server(Kind::Mariadb) else { return Ok(()) };
        play(&config, &commands)?;
    }
}
