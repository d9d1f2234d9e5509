//! Several writers at once, in one process and in two.

use crate::{at, host, object, site::on_each_database};
use futures::future::join_all;
use serde_json::json;
use std::collections::BTreeSet;
use store::{ClaimRequest, Guard, Op, SqlStore, Store, StoreError, StoreResult};

/// Adds one to the counter of `Host/counter`, however often someone else is faster.
async fn add_one(store: &SqlStore, guard: Guard) -> Result<(), StoreError> {
    loop {
        let mut object = store.get("Host", "counter").await?.unwrap();
        let expected = object.metadata.revision();
        object.spec["n"] = json!(object.spec["n"].as_i64().unwrap_or(0) + 1);
        match store.commit(guard, at(1), vec![Op::Update { object, expected }]).await {
            Ok(_) => return Ok(()),
            Err(StoreError::Conflict { .. }) => continue,
            Err(other) => return Err(other),
        }
    }
}

on_each_database! {
    async fn no_update_is_lost_and_history_has_no_hole_with_writers_in_two_processes(site) {
        // Two stores over one file share nothing but the database, as two processes do.
        let (one, other) = (site.open().await, site.open().await);
        one.commit(Guard::Open, at(0), vec![Op::Create(object("Host", "counter", json!({"n": 0})))]).await.unwrap();
        let mut writers = tokio::task::JoinSet::new();
        for n in 0..8 {
            let store = if n % 2 == 0 { one.clone() } else { other.clone() };
            writers.spawn(async move {
                for i in 0..10 {
                    add_one(&store, Guard::Open).await.unwrap();
                    // Transactions that fail, and such that write no object, take no number.
                    let failing = vec![Op::Create(host(&format!("h{n}-{i}"))), Op::Create(host("counter"))];
                    assert!(matches!(store.commit(Guard::Open, at(0), failing).await, Err(StoreError::AlreadyExists(_))));
                    store.commit(Guard::Open, at(0), vec![Op::RequireNotFrozen]).await.unwrap();
                }
            });
        }
        while let Some(done) = writers.join_next().await {
            done.unwrap();
        }
        let counter = one.get("Host", "counter").await.unwrap().unwrap();
        assert_eq!((counter.spec["n"].as_i64(), counter.metadata.revision()), (Some(80), 81));
        let history = other.changes(0, 1_000).await.unwrap();
        assert_eq!(history.iter().map(|c| c.revision).collect::<Vec<_>>(), (1..=81).collect::<Vec<_>>());
        assert_eq!(history.iter().map(|c| c.object.spec["n"].as_i64().unwrap()).collect::<Vec<_>>(), (0..=80).collect::<Vec<_>>());
    }

    async fn after_a_takeover_the_old_token_commits_nothing_however_the_writes_race_with_it(site) {
        let (old, new) = (site.open().await, site.open().await);
        old.commit(Guard::Open, at(0), vec![Op::Create(object("Host", "counter", json!({"n": 0})))]).await.unwrap();
        let mut row = old.lease("controller").await.unwrap();
        for round in 0..10 {
            row = old.lease_take("controller", "old", &row, 6_000, at(0)).await.unwrap().expect("nobody else");
            let (token, writer) = (row.token, old.clone());
            let writing = tokio::spawn(async move {
                let mut last = 0;
                loop {
                    match add_one(&writer, Guard::Lease(token)).await {
                        Ok(()) => last += 1,
                        Err(StoreError::LeaseLost { mine, current }) => return (last, mine, current),
                        Err(other) => panic!("{other}"),
                    }
                }
            });
            tokio::task::yield_now().await;
            let seen = new.lease("controller").await.unwrap();
            row = new.lease_take("controller", "new", &seen, 6_000, at(1)).await.unwrap().expect("nobody renewed");
            let takeover = new.changes(0, 10_000).await.unwrap().into_iter().rfind(|c| c.object.kind == "Lease").unwrap();
            let (_, mine, current) = writing.await.unwrap();
            assert_eq!((mine, current), (token, row.token), "round {round}");
            let after = new.changes(takeover.revision, 10_000).await.unwrap();
            assert!(after.is_empty(), "round {round}: the old token wrote after the takeover: {after:?}");
        }
    }

    async fn of_many_who_want_a_host_or_the_last_place_one_gets_it(site) {
        let stores = [site.open().await, site.open().await];
        let wanted = |host: String, n: usize, max| {
            let request = ClaimRequest { host, owner: format!("HostOperation/{n}"), owner_uid: format!("uid-{n}"), rank: 30, purpose: "drain".into(), max };
            let store = stores[n % 2].clone();
            tokio::spawn(async move { store.commit(Guard::Open, at(0), vec![Op::TakeClaim(request)]).await.is_ok() })
        };
        let same_host: Vec<_> = (0..8).map(|n| wanted("h".into(), n, None)).collect();
        let mut winners = 0;
        for task in same_host {
            winners += usize::from(task.await.unwrap());
        }
        assert_eq!(winners, 1);
        let two_places: Vec<_> = (0..8).map(|n| wanted(format!("h{n}"), n, Some(3))).collect();
        for task in two_places {
            task.await.unwrap();
        }
        let claims = stores[0].claims().await.unwrap();
        assert_eq!(claims.iter().filter(|c| c.purpose == "drain").count(), 3);
        assert_eq!(claims.iter().map(|c| &c.host).collect::<BTreeSet<_>>().len(), claims.len());
    }

    /// The lease is kept by a thread with a runtime of its own, over the same store: what it opened must work when it has ended.
    async fn connections_outlive_the_runtime_of_the_first_who_used_them(site) {
        let store = site.open().await;
        let reads = |store: SqlStore| async move { join_all((0..4).map(|_| store.get("Host", "a"))).await.into_iter().collect::<StoreResult<Vec<_>>>() };
        let elsewhere = tokio::task::spawn_blocking({
            let store = store.clone();
            move || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(reads(store))
        });
        assert_eq!(elsewhere.await.unwrap().unwrap(), vec![None; 4]);
        assert_eq!(reads(store).await.unwrap(), vec![None; 4]);
    }
}
