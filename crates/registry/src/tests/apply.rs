use super::{Fixture, NOW, code, fixture};
use crate::{Applied, Apply, Item, MOST_IN_ONE, Outcome, RegistryError, RegistryResult, Writer, parse_object};
use schemas::{DynObject, apply::ManagedBy, kinds};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

fn by(manager: &str) -> Apply<'_> {
    Apply { manager, force: false, user: Some("alice"), version: None, create: true }
}

impl Fixture {
    async fn apply(&self, kind: &str, name: &str, manager: &str, sent: Value) -> RegistryResult<Applied> {
        self.registry.apply(kinds::find(kind).unwrap(), name, &sent, &by(manager), NOW).await
    }

    async fn get(&self, kind: &str, name: &str) -> DynObject {
        self.registry.find(kinds::find(kind).unwrap(), name).await.unwrap()
    }

    async fn revision(&self) -> i64 {
        self.registry.store().revision().await.unwrap().current
    }
}

/// `manager operation: fields`, in order.
fn owners(object: &DynObject) -> Vec<String> {
    let fields = |m: &schemas::apply::ManagedFields| m.fields.iter().map(|p| schemas::apply::paths::text(p)).collect::<Vec<_>>().join(" ");
    object.metadata.managed_fields.iter().map(|m| format!("{} {:?}: {}", m.manager, m.operation, fields(m))).collect()
}

#[tokio::test]
async fn an_apply_makes_the_object_owns_what_it_sent_and_leaves_defaults_to_anybody() {
    let f = fixture().await;
    let made = f.apply("Host", "c1", "gitops", json!({"metadata": {"labels": {"rack": "a"}}, "spec": {"power": "On"}})).await.unwrap();
    assert_eq!((made.outcome, &made.object.spec["schedulable"]), (Outcome::Created, &json!("Unmanaged")));
    assert_eq!(made.object.metadata.annotations["cloud-manager/created-by"], "alice");
    assert_eq!(owners(&made.object), ["gitops Apply: metadata.labels.rack spec.power"]);
    let other = f.apply("Host", "c1", "ops", json!({"spec": {"schedulable": "Enabled"}})).await.unwrap();
    assert_eq!((other.outcome, other.object.metadata.generation), (Outcome::Configured, 2));
    assert_eq!(owners(&other.object), ["gitops Apply: metadata.labels.rack spec.power", "ops Apply: spec.schedulable"]);
}

#[tokio::test]
async fn the_same_apply_again_writes_nothing_and_sharing_is_no_new_generation() {
    let f = fixture().await;
    let sent = json!({"spec": {"power": "On", "remediation": "ByPolicy"}});
    let made = f.apply("Host", "c1", "gitops", sent.clone()).await.unwrap().object;
    // A field that is stored only when it is not the default is declared all the same.
    assert!(made.spec.get("remediation").is_none() && owners(&made)[0].contains("spec.remediation"));
    let before = f.revision().await;
    let again = f.registry.apply(kinds::find("Host").unwrap(), "c1", &sent, &by("gitops"), NOW.plus_seconds(60)).await.unwrap();
    assert_eq!((again.outcome, &again.object, f.revision().await), (Outcome::Unchanged, &made, before));
    let shared = f.apply("Host", "c1", "ops", sent.clone()).await.unwrap();
    assert_eq!((shared.outcome, shared.object.metadata.generation, shared.object.metadata.managed_fields.len()), (Outcome::Configured, 1, 2));
    let error = f.apply("Host", "c1", "third", json!({"spec": {"remediation": "Excluded"}})).await;
    assert!(matches!(&error, Err(RegistryError::FieldConflict { conflicts, .. }) if conflicts.len() == 2), "{error:?}");
}

#[tokio::test]
async fn a_conflict_names_field_owner_and_the_ways_out_and_force_takes_over() {
    let f = fixture().await;
    f.apply("Host", "c1", "gitops", json!({"spec": {"power": "On", "title": "rack a"}})).await.unwrap();
    let before = f.get("Host", "c1").await;
    let error = f.apply("Host", "c1", "ops", json!({"spec": {"power": "Off", "title": "rack a"}})).await.unwrap_err();
    let text = error.to_string();
    assert!(["Host/c1", "spec.power", "\"gitops\" (Apply)", "force=true", "leave the field out", "share"].iter().all(|w| text.contains(w)), "{text}");
    assert_eq!(f.get("Host", "c1").await, before);
    let host = kinds::find("Host").unwrap();
    let forced = f.registry.apply(host, "c1", &json!({"spec": {"power": "Off"}}), &Apply { force: true, ..by("ops") }, NOW).await.unwrap();
    assert_eq!(owners(&forced.object), ["gitops Apply: spec.title", "ops Apply: spec.power"]);
    // Whose the fields are is said before what else is wrong.
    let both = f.apply("Host", "c1", "third", json!({"spec": {"power": "Off", "title": 5}})).await.unwrap_err();
    assert!(matches!(both, RegistryError::FieldConflict { .. }), "{both:?}");
}

#[tokio::test]
async fn what_a_manager_sends_no_longer_falls_back_to_its_default() {
    let f = fixture().await;
    f.apply("Host", "c1", "gitops", json!({"metadata": {"labels": {"rack": "a"}}, "spec": {"power": "On", "remediationPolicyRef": {"name": "p"}}}))
        .await
        .unwrap();
    let less = f.apply("Host", "c1", "gitops", json!({"spec": {"title": "t"}})).await.unwrap().object;
    assert_eq!((&less.spec["power"], less.spec.get("remediationPolicyRef")), (&json!("Unmanaged"), None));
    assert!(less.metadata.labels.is_empty());
    let wrong = f.apply("PowerDevice", "d", "gitops", json!({"spec": {"type": "BMC"}})).await.unwrap_err();
    assert!(matches!(wrong, RegistryError::Invalid(_)), "{wrong:?}");
}

#[tokio::test]
async fn items_of_sets_and_of_lists_with_keys_belong_to_their_managers() {
    let f = fixture().await;
    let limit = |kind: &str, max: i64| json!({"type": kind, "maxDownHosts": max});
    f.apply(
        "RemediationPolicy",
        "p",
        "a",
        json!({"spec": {"limits": {"perFailureDomain": [limit("Rack", 1)]}, "evacuation": {"excludedHosts": ["x"]}}}),
    )
    .await
    .unwrap();
    let both = f
        .apply(
            "RemediationPolicy",
            "p",
            "b",
            json!({"spec": {"limits": {"perFailureDomain": [limit("Room", 2)]}, "evacuation": {"excludedHosts": ["y"]}}}),
        )
        .await
        .unwrap()
        .object;
    assert_eq!(both.spec["limits"]["perFailureDomain"], json!([limit("Rack", 1), limit("Room", 2)]));
    assert_eq!(both.spec["evacuation"]["excludedHosts"], json!(["x", "y"]));
    let left = f.apply("RemediationPolicy", "p", "a", json!({})).await.unwrap().object;
    assert_eq!((&left.spec["limits"]["perFailureDomain"], &left.spec["evacuation"]["excludedHosts"]), (&json!([limit("Room", 2)]), &json!(["y"])));
    let twice = f.apply("RemediationPolicy", "p", "b", json!({"spec": {"evacuation": {"excludedHosts": ["y", "y"]}}})).await.unwrap_err();
    assert!(twice.to_string().contains("spec.evacuation.excludedHosts[1]"), "{twice}");
}

#[tokio::test]
async fn plain_writes_take_over_what_they_change() {
    let f = fixture().await;
    let kind = kinds::find("Host").unwrap();
    let body = json!({"metadata": {"name": "c1"}, "spec": {"power": "On", "title": "t"}});
    let made = f.registry.create_by(kind, parse_object(kind, &body).unwrap(), Writer::new(None, "curl"), NOW).await.unwrap().object;
    assert_eq!(owners(&made), ["curl Update: spec.power spec.title"]);
    let error = f.apply("Host", "c1", "gitops", json!({"spec": {"power": "Off"}})).await.unwrap_err();
    assert!(matches!(&error, RegistryError::FieldConflict { conflicts, .. } if conflicts[0].operation == ManagedBy::Update), "{error:?}");
    f.apply("Host", "c1", "gitops", json!({"spec": {"power": "On"}})).await.unwrap();
    let mut changed = f.get("Host", "c1").await;
    changed.spec["power"] = json!("Off");
    let put = f.registry.update_by(kind, "c1", changed, Writer::new(None, "ops"), NOW).await.unwrap();
    assert_eq!(owners(&put), ["curl Update: spec.title", "ops Update: spec.power"]);
    let same = f.registry.update_by(kind, "c1", put.clone(), Writer::new(None, "third"), NOW.plus_seconds(5)).await.unwrap();
    assert_eq!(same, put);
    let mut forged = put.clone();
    forged.metadata.managed_fields[0].manager = "me".into();
    let error = f.registry.update_by(kind, "c1", forged, Writer::new(None, "me"), NOW).await.unwrap_err().to_string();
    assert!(error.contains("metadata.managedFields"), "{error}");
    let mut nobodys = put.clone();
    nobodys.spec["power"] = json!("On");
    assert_eq!(owners(&f.registry.update(kind, "c1", nobodys, NOW).await.unwrap()), ["curl Update: spec.title"]);
}

#[tokio::test]
async fn an_apply_is_bound_by_the_rules_of_every_write() {
    let f = fixture().await;
    let wrong = |error: RegistryError| match error {
        RegistryError::Invalid(errors) => errors[0].clone(),
        other => panic!("{other:?}"),
    };
    f.apply("Host", "c1", "a", json!({"spec": {"power": "Off"}})).await.unwrap();
    for (sent, field) in [
        (json!({"spec": {"powr": "On"}}), "spec.powr"),
        (json!({"spec": {"schedulable": "Enabled"}}), "spec.schedulable"),
        (json!({"spec": {"failureDomain": "nowhere"}}), "spec.failureDomain"),
        (json!({"spec": 5}), "spec"),
        (json!({"metadata": {"name": "c2"}}), "metadata.name"),
        (json!({"metadata": {"uid": "0b1c8e3e-0d0c-4a5b-9a52-3c7f3a1d2e4f"}}), "metadata.uid"),
        (json!({"metadata": {"labels": {"a b": "c"}}}), "metadata.labels[a b]"),
        (json!({"metadata": {"namespace": "x"}}), "metadata.namespace"),
        (json!([]), ""),
    ] {
        let error = wrong(f.apply("Host", "c1", "b", sent.clone()).await.unwrap_err());
        assert!(error.field.starts_with(field), "{sent}: {error:?}");
    }
    assert_eq!(wrong(f.apply("Host", "c1", "", json!({})).await.unwrap_err()).field, "fieldManager");
    assert!(matches!(f.apply("Event", "e", "b", json!({})).await, Err(RegistryError::ReadOnly(_))));
    let device = json!({"spec": {"type": "BMC", "protocol": "IPMI", "endpoint": {"host": "10.0.0.1"}, "credentialRef": {"name": "cred"}}});
    f.apply("PowerDevice", "bmc1", "a", device.clone()).await.unwrap();
    let mut changed = device;
    (changed["spec"]["type"], changed["spec"]["protocol"]) = (json!("PDU"), json!("Redfish"));
    assert_eq!(wrong(f.apply("PowerDevice", "bmc1", "a", changed).await.unwrap_err()).reason, "Immutable");
    let link = |host: &str| json!({"spec": {"hostRef": {"name": host}, "deviceRef": {"name": "bmc1"}}});
    f.apply("PowerLink", "l1", "a", link("c1")).await.unwrap();
    assert_eq!(code(f.apply("PowerLink", "l2", "a", link("c2")).await.unwrap_err()).0, "port-taken");
}

#[tokio::test]
async fn an_apply_to_a_version_fails_when_it_is_not_that_version() {
    let f = fixture().await;
    let made = f.apply("Host", "c1", "a", json!({"spec": {"power": "On"}})).await.unwrap().object;
    let version = made.metadata.resource_version.clone();
    f.apply("Host", "c1", "a", json!({"spec": {"power": "Off"}})).await.unwrap();
    let stale = f.apply("Host", "c1", "a", json!({"metadata": {"resourceVersion": version}, "spec": {"power": "On"}})).await;
    assert!(matches!(stale, Err(RegistryError::Store(store::StoreError::Conflict { .. }))), "{stale:?}");
    let gone = f.apply("Host", "c9", "a", json!({"metadata": {"resourceVersion": "7"}})).await;
    assert!(matches!(gone, Err(RegistryError::Store(store::StoreError::NotFound(_)))), "{gone:?}");
}

#[tokio::test]
async fn what_was_read_from_the_server_can_be_applied_as_it_is() {
    let f = fixture().await;
    f.apply("Host", "c1", "a", json!({"spec": {"power": "On"}})).await.unwrap();
    let mut read = serde_json::to_value(f.get("Host", "c1").await).unwrap();
    read["status"] = json!({"power": {"state": "Off"}});
    read["metadata"]["generation"] = json!(77);
    read["spec"]["softOffTimeoutSeconds"] = Value::Null;
    let again = f.apply("Host", "c1", "b", read).await.unwrap().object;
    assert_eq!((&again.status, again.metadata.generation), (&json!({}), 1));
}

#[tokio::test]
async fn what_is_done_once_is_not_taken_from_a_repository() {
    let f = fixture().await;
    f.host("c1", json!({})).await;
    for kind in kinds::KINDS.iter().filter(|k| k.one_shot) {
        let body = json!({"metadata": {"name": "x"}, "spec": {"hostRef": {"name": "c1"}}});
        let (applied, message) = code(f.apply(kind.kind, "x", "gitops", body.clone()).await.unwrap_err());
        assert!(applied == "not-from-gitops" && message.contains(kind.kind) && message.contains("by hand"), "{message}");
        let created = f.registry.create_by(kind, parse_object(kind, &body).unwrap(), Writer::new(None, "gitops"), NOW).await;
        assert_eq!(code(created.unwrap_err()).0, "not-from-gitops");
    }
    let once = json!({"spec": {"hostRef": {"name": "c1"}, "type": "Drain"}});
    assert_eq!(f.apply("HostOperation", "d", "ops", once.clone()).await.unwrap().outcome, Outcome::Created);
    assert_eq!(f.apply("HostOperation", "d", "ops", once).await.unwrap().outcome, Outcome::Unchanged);
}

#[tokio::test]
async fn a_secret_has_an_owner_and_is_never_lost_by_leaving_it_out() {
    let f = fixture().await;
    let data = |password: &str| json!({"spec": {"data": {"username": "u", "password": password}}});
    let stored = async |f: &Fixture| f.registry.store().secret("cred").await.unwrap().unwrap()["password"].expose_secret().to_string();
    let made = f.apply("Credential", "cred", "a", data("hunter2")).await.unwrap().object;
    assert_eq!(owners(&made), ["a Apply: spec.data"]);
    assert_eq!(f.apply("Credential", "cred", "a", data("hunter2")).await.unwrap().outcome, Outcome::Unchanged);
    let error = f.apply("Credential", "cred", "b", data("hunter3")).await.unwrap_err();
    assert!(error.to_string().contains("spec.data") && !error.to_string().contains("hunter"), "{error}");
    assert_eq!(f.apply("Credential", "cred", "b", data("hunter2")).await.unwrap().outcome, Outcome::Configured);
    let left = f.apply("Credential", "cred", "a", json!({"spec": {"source": "Inline"}})).await.unwrap().object;
    assert_eq!(owners(&left), ["a Apply: spec.source", "b Apply: spec.data"]);
    f.apply("Credential", "cred", "b", json!({})).await.unwrap();
    assert_eq!(stored(&f).await, "hunter2");
    let new = f.apply("Credential", "cred", "c", data("hunter3")).await.unwrap();
    assert_eq!((new.outcome, new.object.metadata.generation, stored(&f).await.as_str()), (Outcome::Configured, 2, "hunter3"));
    let changes = format!("{:?}", f.registry.store().changes(0, 100).await.unwrap());
    assert!(!changes.contains("hunter") && !changes.contains("\"sealed\""), "{changes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn managers_that_race_all_land() {
    let f = fixture().await;
    let kind = kinds::find("Host").unwrap();
    let applies = (0..4).map(|n| {
        let registry = f.registry.clone();
        tokio::spawn(async move {
            let manager = format!("m{n}");
            registry.apply(kind, "c1", &json!({"metadata": {"labels": {format!("l{n}"): "x"}}}), &by(&manager), NOW).await.map(|a| a.outcome)
        })
    });
    let mut made = 0;
    for apply in applies.collect::<Vec<_>>() {
        made += i32::from(apply.await.unwrap().unwrap() == Outcome::Created);
    }
    let host = f.get("Host", "c1").await;
    assert_eq!((made, host.metadata.labels.len(), host.metadata.managed_fields.len()), (1, 4, 4));
}

#[tokio::test]
async fn what_is_tried_out_is_checked_like_a_write_and_lands_nowhere() {
    let f = fixture().await;
    f.host("c1", json!({"power": "On"})).await;
    let (before, host) = (f.revision().await, kinds::find("Host").unwrap());
    let dry = f.registry.dry();
    let made = dry.apply(host, "c2", &json!({"spec": {"power": "On"}}), &by("a"), NOW).await.unwrap();
    assert_eq!((made.outcome, made.object.metadata.resource_version.as_str(), made.object.metadata.generation), (Outcome::Created, "", 1));
    let changed = dry.apply(host, "c1", &json!({"spec": {"title": "t"}}), &by("a"), NOW).await.unwrap();
    assert_eq!((changed.outcome, &changed.object.spec["title"], changed.object.metadata.generation), (Outcome::Configured, &json!("t"), 2));
    let off = json!({"metadata": {"name": "op"}, "spec": {"hostRef": {"name": "c1"}, "type": "PowerOff"}});
    let operation = kinds::find("HostOperation").unwrap();
    let refused = dry.create(operation, parse_object(operation, &off).unwrap(), None, NOW).await;
    assert_eq!(code(refused.unwrap_err()).0, "contradicts-spec");
    assert!(dry.delete(host, "c1", Default::default(), NOW).await.unwrap().gone);
    assert!(dry.find(host, "c1").await.is_err(), "what was tried before counts");
    assert_eq!(f.revision().await, before);
    assert!(f.registry.find(host, "c2").await.is_err());
}

fn item(kind: &str, name: &str, spec: Value) -> Item {
    Item { kind: kinds::find(kind).unwrap(), name: name.into(), value: json!({"spec": spec}), create: true }
}

/// A rack in a room, a host in it, and its power, in the wrong order.
fn site() -> Vec<Item> {
    vec![
        item("PowerLink", "l1", json!({"hostRef": {"name": "c1"}, "deviceRef": {"name": "bmc1"}})),
        item("Host", "c1", json!({"failureDomain": "rack"})),
        item("PowerDevice", "bmc1", json!({"type": "BMC", "protocol": "IPMI", "endpoint": {"host": "10.0.0.1"}, "credentialRef": {"name": "cred"}})),
        item("FailureDomain", "rack", json!({"type": "Rack", "parentRef": {"name": "room"}})),
        item("FailureDomain", "room", json!({"type": "Room"})),
        item("Credential", "cred", json!({"data": {"username": "u", "password": "p"}})),
    ]
}

fn outcomes(results: &[RegistryResult<Applied>]) -> Vec<Option<Outcome>> {
    results.iter().map(|r| r.as_ref().ok().map(|a| a.outcome)).collect()
}

#[tokio::test]
async fn many_objects_are_applied_in_the_order_in_which_they_need_each_other() {
    for atomic in [false, true] {
        let f = fixture().await;
        let tried = f.registry.apply_none(&site(), &by("gitops"), NOW).await;
        assert_eq!(outcomes(&tried.results), [Some(Outcome::Created); 6]);
        assert_eq!(f.revision().await, 0);
        let done = f.registry.apply_all(&site(), &by("gitops"), atomic, NOW).await;
        assert!(done.applied);
        assert_eq!(outcomes(&done.results), [Some(Outcome::Created); 6], "{:?}", done.results.iter().find(|r| r.is_err()));
        let version = |at: usize| done.results[at].as_ref().unwrap().object.metadata.revision();
        assert!(version(5) < version(2) && version(4) < version(3) && version(3) < version(1) && version(1) < version(0));
        let before = f.revision().await;
        let again = f.registry.apply_all(&site(), &by("gitops"), atomic, NOW).await;
        assert_eq!((outcomes(&again.results), f.revision().await), (vec![Some(Outcome::Unchanged); 6], before));
        assert_eq!(f.registry.store().secret("cred").await.unwrap().unwrap()["password"].expose_secret(), "p");
    }
}

#[tokio::test]
async fn if_one_of_many_does_not_pass_none_is_written() {
    let f = fixture().await;
    f.apply("Host", "c9", "ops", json!({"spec": {"power": "On"}})).await.unwrap();
    let before = f.revision().await;
    let mut items = site();
    items.push(item("Host", "c9", json!({"power": "Off"})));
    items.push(item("Host", "c8", json!({"powr": "Off"})));
    items.push(item("Host", "c1", json!({})));
    items.push(item("FenceAttestation", "a", json!({"hostRef": {"name": "c1"}})));
    for atomic in [false, true] {
        let done = f.registry.apply_all(&items, &by("files"), atomic, NOW).await;
        assert!(!done.applied);
        assert_eq!(f.revision().await, before);
        assert!(done.results[..6].iter().all(Result::is_ok));
        assert!(matches!(done.results[6], Err(RegistryError::FieldConflict { .. })));
        assert!(done.results[7].as_ref().unwrap_err().to_string().contains("spec.powr"));
        assert!(done.results[8].as_ref().unwrap_err().to_string().contains("twice"));
        assert!(done.results[9].as_ref().unwrap_err().to_string().contains("cloud-manager attest HOST"));
    }
}

#[tokio::test]
async fn one_transaction_of_many_is_all_or_nothing() {
    let f = fixture().await;
    let hosts: Vec<Item> = (0..MOST_IN_ONE).map(|n| item("Host", &format!("c{n}"), json!({"power": "On"}))).collect();
    let done = f.registry.apply_all(&hosts, &by("gitops"), true, NOW).await;
    assert!(done.applied && done.results.iter().all(Result::is_ok));
    let mut versions: Vec<i64> = done.results.iter().map(|r| r.as_ref().unwrap().object.metadata.revision()).collect();
    versions.dedup();
    assert_eq!(versions.len(), MOST_IN_ONE, "each has a version of its own");
    assert_eq!(f.registry.all("Host").await.unwrap().len(), MOST_IN_ONE);
}
