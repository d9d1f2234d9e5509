//! The audit: records come and go with what they tell of, in one order for all writers, and nobody changes them unseen.

use crate::{
    at, host, keys,
    site::{Site, on_each_database},
};
use serde_json::{Value, json};
use store::{AuditEntry, AuditLog, AuditQuery, AuditRow, Guard, Op, SqlStore, Store, StoreError};

fn entry(target: &str) -> AuditEntry {
    AuditEntry {
        action: "update".into(),
        outcome: "success".into(),
        target: target.into(),
        target_uid: format!("uid of {target}"),
        initiator: "ann".into(),
        by_user: true,
        body: json!({"initiator": {"id": "ann", "name": "Ann", "request_id": "req-1"}}),
        ..AuditEntry::default()
    }
}

async fn all(store: &SqlStore) -> Vec<AuditRow> {
    store.audit_records(AuditQuery { limit: 10_000, ..AuditQuery::default() }).await.unwrap()
}

async fn findings(store: &SqlStore) -> Vec<i64> {
    store.audit_verify().await.unwrap().findings.iter().map(|f| f.seq).collect()
}

/// A site with so many records, one a transaction.
async fn written(site: &Site, n: i64) -> SqlStore {
    let store = site.open().await;
    for i in 1..=n {
        store.commit(Guard::Open, at(i), vec![Op::Create(host(&format!("h{i}"))), Op::Audit(entry(&format!("Host/h{i}")))]).await.unwrap();
    }
    store
}

on_each_database! {
    async fn a_record_is_written_with_what_it_tells_of_or_not_at_all(site) {
        let store = site.open().await;
        store.commit(Guard::Open, at(0), vec![Op::Audit(entry("Host/a")), Op::Create(host("a"))]).await.unwrap();
        let failed = store.commit(Guard::Open, at(1), vec![Op::Audit(entry("Host/a")), Op::Create(host("a"))]).await;
        assert!(matches!(failed, Err(StoreError::AlreadyExists(_))), "{failed:?}");
        let failed = store.commit(Guard::Lease(7), at(1), vec![Op::Audit(entry("Host/b"))]).await;
        assert!(matches!(failed, Err(StoreError::LeaseLost { .. })), "{failed:?}");
        let before = store.revision().await.unwrap().current;
        store.commit(Guard::Open, at(2), vec![Op::Audit(entry("Host/c")), Op::Audit(entry("Host/d"))]).await.unwrap();
        assert_eq!(store.revision().await.unwrap().current, before, "off the revision counter");
        let rows = all(&store).await;
        let told: Vec<(i64, &str)> = rows.iter().map(|r| (r.seq, r.target.as_str())).collect();
        assert_eq!(told, [(1, "Host/a"), (2, "Host/c"), (3, "Host/d")]);
        assert_eq!((rows[0].at, rows[1].previous.as_str()), (at(0), rows[0].mac.as_str()));
        let body: Value = serde_json::from_str(&rows[0].body).unwrap();
        assert_eq!((&body["id"], &body["initiator"]["id"]), (&json!(rows[0].id), &json!("ann")));
        assert_eq!(findings(&store).await, [0; 0]);
    }

    async fn writers_of_two_processes_make_one_chain(site) {
        let stores = [site.open().await, site.open().await];
        let writers: Vec<_> = (0..8)
            .map(|w| {
                let store = stores[w % 2].clone();
                tokio::spawn(async move {
                    for n in 0..10 {
                        let name = format!("w{w}-{n}");
                        store.commit(Guard::Open, at(0), vec![Op::Create(host(&name)), Op::Audit(entry(&format!("Host/{name}")))]).await.unwrap();
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
        let rows = all(&stores[0]).await;
        assert_eq!(rows.iter().map(|r| r.seq).collect::<Vec<_>>(), (1..=80).collect::<Vec<_>>());
        assert_eq!(findings(&stores[1]).await, [0; 0]);
        // The order of the records is the order of the changes they tell of.
        let changes = stores[0].changes(0, 100).await.unwrap();
        let changed: Vec<String> = changes.iter().map(|c| format!("Host/{}", c.object.metadata.name)).collect();
        assert_eq!(rows.iter().map(|r| r.target.clone()).collect::<Vec<_>>(), changed);
    }

    async fn the_end_that_a_process_remembers_of_a_transaction_that_was_undone_is_not_written_onto(site) {
        let store = written(&site, 2).await;
        site.raw("CREATE TABLE before_it AS SELECT * FROM audit_chain");
        store.commit(Guard::Open, at(3), vec![Op::Audit(entry("Host/undone"))]).await.unwrap();
        let ends = ["last_seq", "last_mac", "anchor_seq", "anchor_mac", "key_id", "seal"].map(|c| format!("{c} = (SELECT {c} FROM before_it)"));
        site.raw(&format!("DELETE FROM audit WHERE seq = 3; UPDATE audit_chain SET {}; DROP TABLE before_it", ends.join(", ")));
        assert_eq!(findings(&store).await, [0; 0], "as after a rollback");
        for (n, records) in [(4, 1), (5, 2)] {
            store.commit(Guard::Open, at(n), vec![Op::Audit(entry("Host/kept")); records]).await.unwrap();
        }
        assert_eq!(all(&store).await.iter().map(|r| r.seq).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
        assert_eq!(findings(&store).await, [0; 0]);
    }

    async fn a_record_that_was_changed_removed_or_moved_behind_the_stores_back_is_found(site) {
        let store = written(&site, 6).await;
        assert_eq!(findings(&store).await, [0; 0]);
        for (tamper, mend, found) in [
            ("UPDATE audit SET initiator = 'bob' WHERE seq = 3", "UPDATE audit SET initiator = 'ann' WHERE seq = 3", vec![3]),
            ("UPDATE audit SET outcome = 'failure' WHERE seq = 6", "UPDATE audit SET outcome = 'success' WHERE seq = 6", vec![6]),
            (
                "UPDATE audit SET seq = -2 WHERE seq = 2; UPDATE audit SET seq = 2 WHERE seq = 4; UPDATE audit SET seq = 4 WHERE seq = -2",
                "UPDATE audit SET seq = -2 WHERE seq = 2; UPDATE audit SET seq = 2 WHERE seq = 4; UPDATE audit SET seq = 4 WHERE seq = -2",
                vec![2, 3, 4, 5],
            ),
        ] {
            site.raw(tamper);
            assert_eq!(findings(&store).await, found, "{tamper}");
            site.raw(mend);
            assert_eq!(findings(&store).await, [0; 0], "{mend}");
        }
        site.raw("UPDATE audit_chain SET last_seq = 5");
        assert!(!findings(&store).await.is_empty(), "the ends were changed");
        site.raw("UPDATE audit_chain SET last_seq = 6");
        site.raw("DELETE FROM audit WHERE seq = 6");
        assert_eq!(findings(&store).await, [6], "the newest is gone");
        site.raw("DELETE FROM audit WHERE seq = 3");
        assert_eq!(findings(&store).await, [3, 6]);
        let what = store.audit_verify().await.unwrap().findings[0].what.clone();
        assert!(what.contains("removed"), "{what}");
        // What was tampered with is not removed for its age.
        let pruned = store.commit(Guard::Open, at(9), vec![Op::PruneAudit { before: at(8), by: "gc".into() }]).await;
        assert!(matches!(pruned, Err(StoreError::Corrupt(ref why)) if why.contains("audit verify")), "{pruned:?}");
    }

    async fn old_records_are_removed_from_the_beginning_and_the_rest_still_verifies(site) {
        let store = written(&site, 6).await;
        store.commit(Guard::Open, at(7), vec![Op::PruneAudit { before: at(1), by: "gc".into() }]).await.unwrap();
        assert_eq!(all(&store).await.len(), 6, "none is that old, so nothing is done and nothing is told");
        store.commit(Guard::Open, at(7), vec![Op::PruneAudit { before: at(4), by: "gc".into() }]).await.unwrap();
        let rows = all(&store).await;
        assert_eq!(rows.iter().map(|r| r.seq).collect::<Vec<_>>(), [4, 5, 6, 7]);
        assert_eq!((rows[3].action.as_str(), rows[3].target.as_str(), rows[3].initiator.as_str()), ("delete", "AuditRecord/1-3", "gc"));
        assert_eq!(findings(&store).await, [0; 0]);
        store.commit(Guard::Open, at(8), vec![Op::Audit(entry("Host/x"))]).await.unwrap();
        assert_eq!(findings(&store).await, [0; 0]);
        site.raw("DELETE FROM audit WHERE seq = 4");
        assert_eq!(findings(&store).await, [4], "the anchor tells that one more is gone");
    }

    async fn an_act_names_the_user_who_wrote_its_object_last(site) {
        let store = site.open().await;
        let act = || AuditEntry { by_user: false, initiator: "controller".into(), cause: Some(("Host/a".into(), "uid of Host/a".into())), ..entry("PowerDevice/p") };
        let of_bob = AuditEntry { body: json!({"initiator": {"id": "bob", "request_id": "req-2"}}), ..entry("Host/a") };
        let denied = AuditEntry { outcome: "failure".into(), body: json!({"initiator": {"id": "eve"}}), ..entry("Host/a") };
        let on_behalf = async || {
            store.commit(Guard::Open, at(0), vec![Op::Audit(act())]).await.unwrap();
            let last = store.audit_records(AuditQuery { limit: 1, newest_first: true, ..AuditQuery::default() }).await.unwrap().remove(0);
            serde_json::from_str::<Value>(&last.body).unwrap()["onBehalfOf"].clone()
        };
        assert_eq!(on_behalf().await, Value::Null, "nobody did");
        store.commit(Guard::Open, at(0), vec![Op::Audit(entry("Host/a"))]).await.unwrap();
        assert_eq!(on_behalf().await["id"], "ann");
        store.commit(Guard::Open, at(0), vec![Op::Audit(of_bob), Op::Audit(denied)]).await.unwrap();
        let bob = on_behalf().await;
        assert_eq!((&bob["id"], &bob["request_id"], &bob["object"]), (&json!("bob"), &json!("req-2"), &json!("Host/a")));
        assert_eq!(findings(&store).await, [0; 0]);
    }

    async fn records_are_read_by_what_they_are_about_and_page_by_page(site) {
        let store = site.open().await;
        let on_host = AuditEntry { host: "a".into(), initiator: "bob".into(), action: "create".into(), ..entry("HostOperation/x") };
        store.commit(Guard::Open, at(0), vec![Op::Audit(entry("Host/a")), Op::Audit(on_host), Op::Audit(entry("Host/b"))]).await.unwrap();
        let read = async |query: AuditQuery| {
            let rows = store.audit_records(AuditQuery { limit: 10, ..query }).await.unwrap();
            rows.iter().map(|r| r.seq).collect::<Vec<_>>()
        };
        let query = AuditQuery::default;
        assert_eq!(read(AuditQuery { target: Some("Host/a".into()), ..query() }).await, [1, 2]);
        assert_eq!(read(AuditQuery { target: Some("HostOperation/x".into()), ..query() }).await, [2]);
        assert_eq!(read(AuditQuery { initiator: Some("ann".into()), ..query() }).await, [1, 3]);
        assert_eq!(read(AuditQuery { action: Some("create".into()), ..query() }).await, [2]);
        assert_eq!(read(AuditQuery { outcome: Some("failure".into()), ..query() }).await, [0; 0]);
        assert_eq!(read(AuditQuery { after: 1, ..query() }).await, [2, 3]);
        assert_eq!(read(AuditQuery { newest_first: true, ..query() }).await, [3, 2, 1]);
        assert_eq!(read(AuditQuery { newest_first: true, after: 3, ..query() }).await, [2, 1]);
    }

    async fn a_key_that_was_rotated_still_verifies_and_one_that_is_missing_is_named(site) {
        let store = written(&site, 2).await;
        drop(store);
        let rotated = store::KeyRing::parse(&format!("new:{}\nk1:{}", "cd".repeat(32), "ab".repeat(32))).unwrap();
        let store = SqlStore::open(&site.config(), rotated).await.unwrap();
        store.commit(Guard::Open, at(3), vec![Op::Audit(entry("Host/c"))]).await.unwrap();
        let ids: Vec<String> = all(&store).await.into_iter().map(|r| r.key_id).collect();
        assert_eq!(ids, [keys().sealing(), keys().sealing(), "new".into()]);
        let other = store::KeyRing::parse(&format!("new:{}", "cd".repeat(32))).unwrap();
        let store = SqlStore::open(&site.config(), other).await.unwrap();
        let report = store.audit_verify().await.unwrap();
        assert_eq!(report.findings.iter().map(|f| f.seq).collect::<Vec<_>>(), [1, 2]);
        assert!(report.findings[0].what.contains(&keys().sealing()), "{report:?}");
    }
}
