use super::{Fixture, NOW, code, fixture};
use crate::{Apply, ApplyingSet, Fate, Item, Outcome, Prune, RegistryResult, Removed, Report, SetBatch, Writer};
use schemas::{ConditionStatus, Conditions, DynObject, Object, kinds, v1::ApplySet};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const GITOPS: Apply<'_> = Apply { manager: "gitops", force: false, user: Some("alice"), version: None, create: true };

fn set(prune: Prune) -> ApplyingSet<'static> {
    ApplyingSet { name: "site", prune, create: true, ..ApplyingSet::default() }
}

fn item(kind: &str, name: &str, spec: Value) -> Item {
    Item { kind: kinds::find(kind).unwrap(), name: name.into(), value: json!({"spec": spec}), create: true }
}

fn domain(name: &str) -> Item {
    item("FailureDomain", name, json!({"type": "Rack"}))
}

fn domains(count: usize) -> Vec<Item> {
    (0..count).map(|n| domain(&format!("rack-{n:02}"))).collect()
}

impl Fixture {
    async fn apply_set(&self, items: &[Item], set: &ApplyingSet<'_>) -> RegistryResult<SetBatch> {
        self.registry.apply_set(items, set, &GITOPS, NOW).await
    }

    async fn held(&self, name: &str) -> Object<ApplySet> {
        self.registry.find(kinds::find("ApplySet").unwrap(), name).await.unwrap().typed().unwrap()
    }

    async fn names(&self, kind: &str) -> Vec<String> {
        self.registry.all(kind).await.unwrap().into_iter().map(|o| o.metadata.name).collect()
    }

    async fn at(&self) -> i64 {
        self.registry.store().revision().await.unwrap().current
    }
}

/// `kind/name: fate`.
fn fates(removed: &[Removed]) -> BTreeMap<String, String> {
    let word = |fate: &Fate| match fate {
        Fate::Deleted => "deleted".to_string(),
        Fate::Gone => "gone".into(),
        Fate::Deleting => "deleting".into(),
        Fate::Kept(_) => "kept".into(),
        Fate::Another => "another".into(),
        Fate::Failed(error) => error.to_string(),
    };
    removed.iter().map(|r| (format!("{}/{}", r.member.kind, r.member.name), word(&r.fate))).collect()
}

fn members(set: &Object<ApplySet>) -> Vec<String> {
    set.status.members.iter().map(|m| format!("{}/{}", m.kind, m.name)).collect()
}

#[tokio::test]
async fn what_a_set_declares_no_longer_is_deleted_by_what_it_declared_before() {
    let f = fixture().await;
    f.create("FailureDomain", json!({"metadata": {"name": "somebody-elses"}, "spec": {"type": "Rack"}})).await.unwrap();
    let first = ApplyingSet { revision: Some("c0ffee"), ..set(Prune::All) };
    let done = f.apply_set(&[domain("a"), domain("b")], &first).await.unwrap();
    assert!(done.batch.results.iter().all(|r| r.as_ref().unwrap().outcome == Outcome::Created) && done.removed.is_empty());
    let held = f.held("site").await;
    assert_eq!((members(&held), held.status.total), (vec!["FailureDomain/a".to_string(), "FailureDomain/b".into()], 2));
    assert_eq!((held.status.revision.as_deref(), held.status.applied_at), (Some("c0ffee"), Some(NOW)));
    assert!(held.status.conditions.is_true("Applied") && held.status.conditions.is_true("InSync"));
    let a = f.registry.find(kinds::find("FailureDomain").unwrap(), "a").await.unwrap();
    assert_eq!(a.metadata.labels["cloud-manager/applyset"], "site");
    let before = f.at().await;
    f.apply_set(&[domain("a"), domain("b")], &first).await.unwrap();
    assert_eq!(f.at().await, before, "the same again writes nothing");

    assert!(f.apply_set(&[domain("a")], &set(Prune::No)).await.unwrap().removed.is_empty());
    assert_eq!(members(&f.held("site").await).len(), 2, "without prune the set still remembers");
    let dry = f.registry.dry().apply_set(&[domain("a")], &set(Prune::All), &GITOPS, NOW).await.unwrap();
    let removed = f.apply_set(&[domain("a")], &set(Prune::All)).await.unwrap().removed;
    assert_eq!(fates(&removed), BTreeMap::from([("FailureDomain/b".to_string(), "deleted".to_string())]));
    assert_eq!(fates(&dry.removed), fates(&removed), "a dry run says the same");
    assert_eq!(f.names("FailureDomain").await, ["a", "somebody-elses"]);
    let held = f.held("site").await;
    assert_eq!((members(&held), held.status.revision.as_deref()), (vec!["FailureDomain/a".to_string()], Some("c0ffee")));
}

#[tokio::test]
async fn what_is_protected_made_anew_or_worked_on_is_not_deleted() {
    let f = fixture().await;
    let guarded = Item { value: json!({"metadata": {"protection": "PreventDelete"}, "spec": {"type": "Rack"}}), ..domain("guarded") };
    let all = [domain("anew"), domain("gone"), guarded.clone(), item("Host", "c1", json!({})), domain("stays")];
    f.apply_set(&all, &set(Prune::All)).await.unwrap();
    let kind = kinds::find("FailureDomain").unwrap();
    for name in ["anew", "gone"] {
        f.registry.delete(kind, name, Default::default(), NOW).await.unwrap();
    }
    f.create("FailureDomain", json!({"metadata": {"name": "anew"}, "spec": {"type": "Rack"}})).await.unwrap();
    let removed = f.apply_set(&[domain("stays")], &set(Prune::All)).await.unwrap().removed;
    let wanted = [("FailureDomain/anew", "another"), ("FailureDomain/gone", "gone"), ("FailureDomain/guarded", "kept"), ("Host/c1", "kept")];
    assert_eq!(fates(&removed), wanted.map(|(a, b)| (a.to_string(), b.to_string())).into());
    assert!(removed.iter().any(|r| matches!(&r.fate, Fate::Kept(why) if why.contains("cloud-manager delete host c1"))), "{removed:?}");
    assert_eq!(members(&f.held("site").await), ["FailureDomain/guarded", "FailureDomain/stays", "Host/c1"]);
    assert_eq!(code(f.registry.delete(kind, "guarded", Default::default(), NOW).await.unwrap_err()).0, "protected");
    // By hand it goes once nobody protects it.
    let mut open = f.registry.find(kind, "guarded").await.unwrap();
    open.metadata.protection = None;
    f.registry.update_by(kind, "guarded", open, Writer::default(), NOW).await.unwrap();
    assert!(f.registry.delete(kind, "guarded", Default::default(), NOW).await.unwrap().gone);
}

#[tokio::test]
async fn what_others_point_to_goes_after_them() {
    let f = fixture().await;
    let inner = item("FailureDomain", "rack", json!({"type": "Rack", "parentRef": {"name": "room"}}));
    let device = json!({"type": "BMC", "protocol": "IPMI", "endpoint": {"host": "10.0.0.1"}, "credentialRef": {"name": "cred"}});
    f.create("Credential", json!({"metadata": {"name": "cred"}, "spec": {"data": {"username": "u", "password": "p"}}})).await.unwrap();
    f.host("c1", json!({})).await;
    let all = [
        inner,
        item("FailureDomain", "room", json!({"type": "Room"})),
        item("PowerDevice", "d", device),
        item("PowerLink", "l", json!({"hostRef": {"name": "c1"}, "deviceRef": {"name": "d"}})),
        domain("stays"),
    ];
    f.apply_set(&all, &set(Prune::All)).await.unwrap();
    let removed = f.apply_set(&[domain("stays")], &ApplyingSet { max_deletes: Some(4), ..set(Prune::All) }).await.unwrap().removed;
    assert!(fates(&removed).len() == 4 && fates(&removed).values().all(|f| f == "deleted"), "{removed:?}");
    assert_eq!((f.names("FailureDomain").await, f.names("PowerDevice").await.len()), (vec!["stays".to_string()], 0));
}

#[tokio::test]
async fn a_set_that_would_lose_more_than_a_few_objects_loses_none_until_it_is_said_how_many() {
    let f = fixture().await;
    f.apply_set(&domains(50), &set(Prune::All)).await.unwrap();
    let before = f.at().await;
    let (word, message) = code(f.apply_set(&domains(44), &set(Prune::All)).await.err().unwrap());
    assert_eq!(word, "too-many-deletions");
    for told in ["6 of 50", "may lose 5", "FailureDomain/rack-44", "and 1 more", "maxDeletes=6"] {
        assert!(message.contains(told), "{told}: {message}");
    }
    let few = ApplyingSet { max_deletes: Some(5), ..set(Prune::All) };
    assert_eq!(code(f.apply_set(&domains(44), &few).await.err().unwrap()).0, "too-many-deletions");
    assert_eq!((f.at().await, f.names("FailureDomain").await.len()), (before, 50));
    assert_eq!(f.apply_set(&domains(45), &set(Prune::All)).await.unwrap().removed.len(), 5, "a tenth of the set");
    let enough = ApplyingSet { max_deletes: Some(40), ..set(Prune::All) };
    assert_eq!(f.apply_set(&domains(5), &enough).await.unwrap().removed.len(), 40);
}

#[tokio::test]
async fn while_something_cannot_be_applied_nothing_is_deleted() {
    let f = fixture().await;
    f.apply_set(&[domain("a"), domain("b")], &set(Prune::All)).await.unwrap();
    let wrong = item("FailureDomain", "c", json!({"type": "Rack", "parentRef": {"name": "nowhere"}}));
    let done = f.apply_set(&[domain("a"), wrong], &set(Prune::All)).await.unwrap();
    assert!(!done.batch.applied && done.removed.is_empty());
    assert_eq!(f.names("FailureDomain").await, ["a", "b"]);
    let unknown = ApplyingSet { name: "unknown", ..set(Prune::Only) };
    assert!(f.apply_set(&[domain("a")], &unknown).await.is_err());
    let only = f.apply_set(&[domain("a"), domain("new")], &set(Prune::Only)).await.unwrap();
    assert_eq!(fates(&only.removed).len(), 1);
    assert_eq!((f.names("FailureDomain").await, members(&f.held("site").await)), (vec!["a".to_string()], vec!["FailureDomain/a".to_string()]));
}

#[tokio::test]
async fn a_set_is_one_managers_and_an_object_one_sets() {
    let f = fixture().await;
    f.apply_set(&[domain("a"), domain("b")], &set(Prune::All)).await.unwrap();
    let other = Apply { manager: "somebody", ..GITOPS };
    let (word, message) = code(f.registry.apply_set(&[domain("a")], &set(Prune::All), &other, NOW).await.err().unwrap());
    assert!(word == "applyset-conflict" && message.contains("\"gitops\"") && message.contains("spec.manager"), "{message}");
    let second = ApplyingSet { name: "second", ..set(Prune::All) };
    let done = f.apply_set(&[domain("a"), domain("z")], &second).await.unwrap();
    let (word, message) = code(done.batch.results.into_iter().next().unwrap().unwrap_err());
    assert!(!done.batch.applied && word == "applyset-conflict" && message.contains("ApplySet site"), "{message}");
    assert!(f.registry.find(kinds::find("ApplySet").unwrap(), "second").await.is_err(), "nothing was written");
    let force = Apply { force: true, ..GITOPS };
    assert!(f.registry.apply_set(&[domain("a"), domain("z")], &second, &force, NOW).await.unwrap().batch.applied);
    let removed = f.apply_set(&[domain("b")], &set(Prune::All)).await.unwrap().removed;
    assert_eq!(fates(&removed)["FailureDomain/a"], "another", "what was taken over is not deleted by the set that had it");
    assert_eq!((f.names("FailureDomain").await.len(), members(&f.held("site").await).len()), (3, 1));
}

#[tokio::test]
async fn what_is_done_once_belongs_to_no_set() {
    let f = fixture().await;
    f.host("c1", json!({})).await;
    let operator = Apply { manager: "ops", ..GITOPS };
    let once = item("HostOperation", "off", json!({"hostRef": {"name": "c1"}, "type": "PowerOff"}));
    let done = f.registry.apply_set(&[once], &set(Prune::All), &operator, NOW).await.unwrap();
    assert_eq!(code(done.batch.results.into_iter().next().unwrap().unwrap_err()).0, "not-in-a-set");
}

#[tokio::test]
async fn a_set_that_somebody_else_applied_meanwhile_is_looked_at_again() {
    let f = fixture().await;
    f.apply_set(&[domain("a")], &ApplyingSet { revision: Some("two"), ..set(Prune::All) }).await.unwrap();
    let late = ApplyingSet { revision: Some("three"), after: Some("one"), ..set(Prune::All) };
    let (word, message) = code(f.apply_set(&[domain("b")], &late).await.err().unwrap());
    assert!(word == "applyset-conflict" && message.contains("at revision two"), "{message}");
    let next = ApplyingSet { after: Some("two"), ..late };
    f.apply_set(&[domain("b")], &next).await.unwrap();
    assert_eq!(f.held("site").await.status.revision.as_deref(), Some("three"));
}

#[tokio::test]
async fn what_stands_against_a_set_is_noted_on_it_once() {
    let f = fixture().await;
    assert!(f.registry.report("site", &Report::default(), NOW).await.is_err());
    f.apply_set(&[domain("a")], &set(Prune::All)).await.unwrap();
    let errors = Report { errors: vec!["a.yaml, line 3: spec.typ is not known".into()], drift: Vec::new() };
    f.registry.report("site", &errors, NOW).await.unwrap();
    let before = f.at().await;
    f.registry.report("site", &errors, NOW.plus_seconds(60)).await.unwrap();
    assert_eq!(f.at().await, before);
    let status = |set: &Object<ApplySet>, kind: &str| set.status.conditions.find(kind).map(|c| (c.status, c.message.clone())).unwrap();
    let held = f.held("site").await;
    assert_eq!(status(&held, "Applied"), (ConditionStatus::False, errors.errors[0].clone()));
    assert_eq!(status(&held, "InSync").0, ConditionStatus::Unknown);
    let drift = Report { errors: Vec::new(), drift: vec!["Host/c1 spec.power is ops's".into()] };
    f.registry.report("site", &drift, NOW).await.unwrap();
    assert_eq!(status(&f.held("site").await, "InSync"), (ConditionStatus::False, drift.drift[0].clone()));
    f.apply_set(&[domain("a")], &set(Prune::All)).await.unwrap();
    let held = f.held("site").await;
    assert!(held.status.conditions.is_true("Applied") && held.status.conditions.is_true("InSync"));
}

/// The apply is broken off after each of its transactions in turn, as by a crash.
#[tokio::test]
async fn a_crash_at_any_moment_leaves_the_set_with_all_that_it_made_and_the_next_apply_ends_it() {
    let all: Vec<Item> = domains(3).into_iter().chain([domain("new-1"), domain("new-2")]).collect();
    let wanted = ["new-1", "new-2", "rack-01", "rack-02"];
    let after = &all[1..];
    for crash in 1.. {
        let f = fixture().await;
        f.apply_set(&domains(3), &set(Prune::All)).await.unwrap();
        let last = f.at().await + crash;
        let mut commits = f.registry.store().commits();
        let pruning = set(Prune::All);
        let ended = tokio::select! {
            biased;
            _ = commits.wait_for(|at| *at >= last) => false,
            done = f.apply_set(after, &pruning) => done.unwrap().batch.applied,
        };
        let held = members(&f.held("site").await);
        let there: Vec<DynObject> = f.registry.all("FailureDomain").await.unwrap();
        for object in &there {
            assert!(held.contains(&object.id()), "{} was made and is not remembered, after {crash} transactions: {held:?}", object.id());
        }
        f.apply_set(after, &set(Prune::All)).await.unwrap();
        assert_eq!(f.names("FailureDomain").await, wanted, "after {crash} transactions");
        assert_eq!(members(&f.held("site").await).len(), wanted.len());
        if ended {
            assert!(crash > 4, "it takes more than {crash} transactions");
            break;
        }
    }
}
