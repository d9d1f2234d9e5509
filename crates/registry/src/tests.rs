mod apply;
mod apply_set;

use crate::{Preconditions, Registry, RegistryError, parse_object};
use schemas::{Time, kinds};
use serde_json::{Value, json};
use std::sync::Arc;
use store::{KeyRing, SqlStore, StoreConfig};

const NOW: Time = Time(1_700_000_000_000_000);

struct Fixture {
    registry: Registry,
    _dir: tempfile::TempDir,
}

async fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    // A busy machine may take its time.
    let config = StoreConfig { deadline: std::time::Duration::from_secs(60), ..StoreConfig::sqlite(dir.path().join("db")) };
    store::migrate(&config, None).await.unwrap();
    let keys = KeyRing::parse(&format!("k:{}", "00".repeat(32))).unwrap();
    Fixture { registry: Registry::new(Arc::new(SqlStore::open(&config, keys).await.unwrap())), _dir: dir }
}

impl Fixture {
    async fn create(&self, kind: &str, body: Value) -> Result<schemas::DynObject, RegistryError> {
        let kind = kinds::find(kind).unwrap();
        let object = parse_object(kind, &body)?;
        Ok(self.registry.create(kind, object, Some("alice"), NOW).await?.object)
    }

    async fn host(&self, name: &str, spec: Value) {
        self.create("Host", json!({"metadata": {"name": name}, "spec": spec})).await.unwrap();
    }
}

fn code(error: RegistryError) -> (&'static str, String) {
    match error {
        RegistryError::Refused { code, message, .. } => (code, message),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_created_object_has_defaults_uid_and_the_name_of_its_maker() {
    let f = fixture().await;
    let host = f.create("Host", json!({"metadata": {"name": "c1"}})).await.unwrap();
    assert_eq!(host.spec["power"], "Unmanaged");
    assert_eq!((host.metadata.generation, host.metadata.resource_version.as_str()), (1, "1"));
    assert_eq!(host.metadata.annotations["cloud-manager/created-by"], "alice");
    assert!(schemas::field::is_uuid(&host.metadata.uid));
}

#[tokio::test]
async fn unknown_and_wrong_fields_are_named() {
    let f = fixture().await;
    for (body, field) in [
        (json!({"metadata": {"name": "c1"}, "spec": {"powr": "On"}}), "spec.powr"),
        (json!({"metadata": {"name": "c1"}, "spec": {"power": "Maybe"}}), "spec.power"),
        (json!({"metadata": {"name": "c1", "namespace": "x"}}), "metadata.namespace"),
        (json!({"metadata": {"name": "-c1"}}), "metadata.name"),
        (json!({"metadata": {}}), "metadata.name"),
        (json!({"metadata": {"name": "c1"}, "spec": {"power": "Off", "schedulable": "Enabled"}}), "spec.schedulable"),
    ] {
        match f.create("Host", body.clone()).await.unwrap_err() {
            RegistryError::Invalid(errors) => {
                assert!(errors.iter().any(|e| e.field == field || e.message.contains(field.rsplit('.').next().unwrap())), "{body}: {errors:?}")
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn an_update_needs_the_version_it_was_read_at_and_only_a_new_spec_is_a_new_generation() {
    let f = fixture().await;
    f.host("c1", json!({})).await;
    let kind = kinds::find("Host").unwrap();
    let mut object = f.registry.find(kind, "c1").await.unwrap();
    object.spec["power"] = json!("On");
    let updated = f.registry.update(kind, "c1", object.clone(), NOW).await.unwrap();
    assert_eq!(updated.metadata.generation, 2);
    assert!(matches!(f.registry.update(kind, "c1", object.clone(), NOW).await, Err(RegistryError::Store(store::StoreError::Conflict { .. }))));
    object.metadata.resource_version.clear();
    assert!(matches!(f.registry.update(kind, "c1", object, NOW).await, Err(RegistryError::VersionRequired)));
    let mut labelled = updated.clone();
    labelled.metadata.labels.insert("rack".into(), "a1".into());
    assert_eq!(f.registry.update(kind, "c1", labelled, NOW).await.unwrap().metadata.generation, 2);
}

#[tokio::test]
async fn an_operation_that_contradicts_the_spec_is_refused_and_names_the_field() {
    let f = fixture().await;
    f.host("c1", json!({"power": "On", "schedulable": "Enabled"})).await;
    for (kind, field) in [("PowerOff", "spec.power"), ("Drain", "spec.schedulable")] {
        let body = json!({"metadata": {"name": "op"}, "spec": {"hostRef": {"name": "c1"}, "type": kind}});
        let (code, message) = code(f.create("HostOperation", body).await.unwrap_err());
        assert_eq!(code, "contradicts-spec");
        assert!(message.contains(field), "{message}");
    }
}

#[tokio::test]
async fn the_same_request_gives_the_one_under_way_and_another_is_refused() {
    let f = fixture().await;
    f.host("c1", json!({})).await;
    let body = |name: &str, kind: &str| json!({"metadata": {"name": name}, "spec": {"hostRef": {"name": "c1"}, "type": kind}});
    let first = f.create("HostOperation", body("a", "Drain")).await.unwrap();
    assert_eq!(f.create("HostOperation", body("b", "Drain")).await.unwrap().metadata.uid, first.metadata.uid);
    assert_eq!(code(f.create("HostOperation", body("c", "Enable")).await.unwrap_err()).0, "operation-in-progress");
    let missing = json!({"metadata": {"name": "d"}, "spec": {"hostRef": {"name": "nope"}, "type": "Drain"}});
    assert!(f.create("HostOperation", missing).await.unwrap_err().to_string().contains("spec.hostRef.name"));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_requests_at_the_same_instant_one_is_made_and_the_others_get_it() {
    let f = fixture().await;
    f.host("c1", json!({})).await;
    let kind = kinds::find("Evacuation").unwrap();
    let requests = (0..8).map(|i| {
        let registry = f.registry.clone();
        tokio::spawn(async move {
            let object = parse_object(kind, &json!({"metadata": {"name": format!("e{i}")}, "spec": {"hostRef": {"name": "c1"}}})).unwrap();
            registry.create(kind, object, None, NOW).await.unwrap().object.metadata.uid
        })
    });
    let mut uids = Vec::new();
    for request in requests.collect::<Vec<_>>() {
        uids.push(request.await.unwrap());
    }
    uids.dedup();
    assert_eq!(uids.len(), 1);
    assert_eq!(f.registry.all("Evacuation").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_port_powers_one_host_and_what_is_referenced_cannot_be_deleted() {
    let f = fixture().await;
    let device = json!({"metadata": {"name": "bmc1"}, "spec": {"type": "BMC", "protocol": "IPMI", "endpoint": {"host": "10.0.0.1"}, "credentialRef": {"name": "cred"}}});
    f.create("Credential", json!({"metadata": {"name": "cred"}, "spec": {"data": {"username": "u", "password": "p"}}})).await.unwrap();
    f.create("PowerDevice", device).await.unwrap();
    let link = |name: &str, host: &str| json!({"metadata": {"name": name}, "spec": {"hostRef": {"name": host}, "deviceRef": {"name": "bmc1"}}});
    f.create("PowerLink", link("l1", "c1")).await.unwrap();
    assert_eq!(code(f.create("PowerLink", link("l2", "c2")).await.unwrap_err()).0, "port-taken");
    for (kind, name) in [("PowerDevice", "bmc1"), ("Credential", "cred")] {
        let error = f.registry.delete(kinds::find(kind).unwrap(), name, Preconditions::default(), NOW).await.unwrap_err();
        assert_eq!(code(error).0, "referenced");
    }
}

#[tokio::test]
async fn a_credentials_data_is_sealed_and_never_given_back() {
    let f = fixture().await;
    let body = json!({"metadata": {"name": "cred"}, "spec": {"data": {"username": "u", "password": "hunter2"}}});
    let created = f.create("Credential", body).await.unwrap();
    assert!(!serde_json::to_string(&created).unwrap().contains("hunter2"));
    let changes = f.registry.store().changes(0, 10).await.unwrap();
    assert!(!format!("{changes:?}").contains("hunter2"));
    use secrecy::ExposeSecret;
    assert_eq!(f.registry.store().secret("cred").await.unwrap().unwrap()["password"].expose_secret(), "hunter2");
    let kind = kinds::find("Credential").unwrap();
    let mut again = created.clone();
    again.spec["data"] = json!({"username": "u", "password": "hunter2"});
    assert_eq!(f.registry.update(kind, "cred", again, NOW).await.unwrap().metadata.resource_version, created.metadata.resource_version);
    let wrong = json!({"metadata": {"name": "x"}, "spec": {"data": {"passwort": "hunter2"}}});
    let error = f.create("Credential", wrong).await.unwrap_err().to_string();
    assert!(error.contains("passwort") && !error.contains("hunter2"), "{error}");
}

#[tokio::test]
async fn a_credential_of_the_wrong_type_is_refused_without_showing_it() {
    let f = fixture().await;
    for data in [json!({"password": 987654321}), json!("topsecret"), json!({"password": "two\nlines-secret"})] {
        let error = f.create("Credential", json!({"metadata": {"name": "x"}, "spec": {"data": data}})).await.unwrap_err().to_string();
        assert!(error.contains("spec.data") && !error.contains("987654321") && !error.contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn deleting_a_one_shot_object_that_has_not_ended_cancels_it() {
    let f = fixture().await;
    f.host("c1", json!({})).await;
    f.create("Evacuation", json!({"metadata": {"name": "e"}, "spec": {"hostRef": {"name": "c1"}}})).await.unwrap();
    let kind = kinds::find("Evacuation").unwrap();
    let deleted = f.registry.delete(kind, "e", Preconditions::default(), NOW).await.unwrap();
    assert!(!deleted.gone);
    assert_eq!(deleted.object.spec["cancel"], "Requested");
}

#[tokio::test]
async fn the_default_policies_are_there_from_the_start_and_stay() {
    let f = fixture().await;
    f.registry.ensure_defaults(&Default::default(), NOW).await.unwrap();
    f.registry.ensure_defaults(&Default::default(), NOW).await.unwrap();
    let kind = kinds::find("ClusterPolicy").unwrap();
    assert_eq!(f.registry.find(kind, "default").await.unwrap().spec["guestDisks"], "Local");
    assert_eq!(code(f.registry.delete(kind, "default", Preconditions::default(), NOW).await.unwrap_err()).0, "protected");
    let kind = kinds::find("RemediationPolicy").unwrap();
    assert_eq!(f.registry.find(kind, "default").await.unwrap().spec["limits"]["maxDownHosts"], 0);
    assert_eq!(code(f.registry.delete(kind, "default", Preconditions::default(), NOW).await.unwrap_err()).0, "protected");
}

#[tokio::test]
async fn two_writes_that_would_close_a_circle_of_domains_between_them_do_not_both_land() {
    let f = fixture().await;
    let kind = kinds::find("FailureDomain").unwrap();
    for name in ["r1", "r2"] {
        f.create("FailureDomain", json!({"metadata": {"name": name}, "spec": {"type": "Room"}})).await.unwrap();
    }
    let put = |name: &'static str, parent: &'static str| {
        let registry = f.registry.clone();
        async move {
            let mut object = registry.find(kind, name).await?;
            object.spec["parentRef"] = json!({"name": parent});
            registry.update(kind, name, object, NOW).await
        }
    };
    let (one, other) = tokio::join!(put("r1", "r2"), put("r2", "r1"));
    assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
}

#[tokio::test]
async fn a_host_in_a_domain_that_is_gone_can_still_be_changed() {
    let f = fixture().await;
    let kind = kinds::find("Host").unwrap();
    f.create("FailureDomain", json!({"metadata": {"name": "r1"}, "spec": {"type": "Rack"}})).await.unwrap();
    f.host("c1", json!({"failureDomain": "r1"})).await;
    let domain = f.registry.find(kinds::find("FailureDomain").unwrap(), "r1").await.unwrap();
    let gone = store::Op::Delete { kind: "FailureDomain".into(), name: "r1".into(), expected: domain.metadata.revision() };
    f.registry.store().commit(store::Guard::Open, NOW, vec![gone]).await.unwrap();
    let mut host = f.registry.find(kind, "c1").await.unwrap();
    host.spec["title"] = json!("rack is being rebuilt");
    f.registry.update(kind, "c1", host.clone(), NOW).await.unwrap();
    host = f.registry.find(kind, "c1").await.unwrap();
    host.spec["failureDomain"] = json!("r2");
    let error = f.registry.update(kind, "c1", host, NOW).await.unwrap_err().to_string();
    assert!(error.contains("spec.failureDomain") && error.contains("r2"), "{error}");
}

#[tokio::test]
async fn each_domain_that_a_host_names_is_there_and_stays() {
    let f = fixture().await;
    let kind = kinds::find("FailureDomain").unwrap();
    for (name, r#type) in [("r1", "Rack"), ("feed-a", "Pdu")] {
        f.create("FailureDomain", json!({"metadata": {"name": name}, "spec": {"type": r#type}})).await.unwrap();
    }
    let host = |domains: serde_json::Value| json!({"metadata": {"name": "c1"}, "spec": {"failureDomain": "r1", "failureDomains": domains}});
    let missing = f.create("Host", host(json!(["feed-a", "feed-b"]))).await.unwrap_err().to_string();
    assert!(missing.contains("spec.failureDomains[1]") && missing.contains("feed-b"), "{missing}");
    let twice = f.create("Host", host(json!(["feed-a", "r1"]))).await.unwrap_err().to_string();
    assert!(twice.contains("spec.failureDomains[1]") && twice.contains("a second time"), "{twice}");
    f.create("Host", host(json!(["feed-a"]))).await.unwrap();
    let held = f.registry.delete(kind, "feed-a", Preconditions::default(), NOW).await.unwrap_err().to_string();
    assert!(held.contains("Host/c1"), "{held}");
}

#[tokio::test]
async fn a_host_is_named_by_one_standby_pool_only_also_after_a_change() {
    let f = fixture().await;
    f.create("StandbyPool", json!({"metadata": {"name": "one"}, "spec": {"members": ["s1"]}})).await.unwrap();
    let twice = f.create("StandbyPool", json!({"metadata": {"name": "two"}, "spec": {"members": ["s2", "s1"]}})).await;
    let (code, message) = code(twice.unwrap_err());
    assert_eq!(code, "member-taken");
    assert!(message.contains("s1") && message.contains("one") && message.contains("two"), "{message}");
    let mut two = f.create("StandbyPool", json!({"metadata": {"name": "two"}, "spec": {"members": ["s2"]}})).await.unwrap();
    two.spec["members"] = json!(["s1"]);
    let kind = kinds::find("StandbyPool").unwrap();
    assert!(f.registry.update(kind, "two", two, NOW).await.is_err());
    // It goes once its marks are gone.
    assert!(!f.registry.delete(kind, "two", Preconditions::default(), NOW).await.unwrap().gone);
}

#[tokio::test]
async fn a_policy_that_contradicts_itself_is_refused_and_names_the_field_and_the_way_out() {
    let f = fixture().await;
    let cases = [
        (json!({"evidence": {"levels": {"evacuate": "ServiceSilent"}}}), "spec.evidence.levels.evacuate", "less than a proof"),
        (json!({"evidence": {"levels": {"fence": "Attested"}}}), "spec.evidence.levels.fence", "demand PowerOff"),
        (json!({"evidence": {"levels": {"restart": "PowerOff"}}}), "spec.evidence.levels.restart", "spec.restart to Forbid"),
        (json!({"evidence": {"levels": {"fence": "StorageSilent"}}}), "spec.evidence.levels.fence", "storageChannels"),
        (json!({"evidence": {"levels": {"evacuate": "Attested"}, "attestation": "Refused"}}), "spec.evidence.levels.evacuate", "Accepted"),
        (
            json!({"evidence": {"levels": {"evacuate": "Attested", "evacuateLocalDisks": "PowerOff"}}, "evacuation": {"localDisks": "Rebuild"}}),
            "spec.evidence.levels.evacuateLocalDisks",
            "less than spec.evidence.levels.evacuate",
        ),
        (json!({"evidence": {"levels": {"evacuateLocalDisks": "Attested"}}}), "spec.evidence.levels.evacuateLocalDisks", "localDisks: Refuse"),
        (json!({"evidence": {"levels": {"fence": "PowerOff"}}, "restart": "Allow"}), "spec.evidence.levels.fence", "restart: Allow"),
        (json!({"evidence": {"storageChannels": ["san", "san"]}}), "spec.evidence.storageChannels[1]", "each once"),
        (json!({"returnToService": {"approval": "Required"}}), "spec.returnToService.approval", "mode: Automatic"),
        (json!({"evacuation": {"retries": 21}}), "spec.evacuation.retries", "use 0 to 20"),
        (json!({"evacuation": {"groupPauseSeconds": -1}}), "spec.evacuation.groupPauseSeconds", "use 0 to"),
        (json!({"evacuation": {"maxPerHost": 0}}), "spec.evacuation.maxPerHost", "use 1 to"),
        (json!({"evacuation": {"maxParallelHosts": 0}}), "spec.evacuation.maxParallelHosts", "use 1 to"),
    ];
    for (spec, field, way_out) in cases {
        match f.create("RemediationPolicy", json!({"metadata": {"name": "p"}, "spec": spec.clone()})).await.unwrap_err() {
            RegistryError::Invalid(errors) => {
                assert!(errors.iter().any(|e| e.field == field && e.message.contains(way_out)), "{spec}: {errors:?}");
            }
            other => panic!("{spec}: {other:?}"),
        }
    }
    let levels = json!({"restart": "SecondChannelSilent", "fence": "StorageSilent", "evacuate": "PowerOff", "evacuateLocalDisks": "Attested"});
    let good = json!({"evidence": {"levels": levels, "storageChannels": ["san"]}, "evacuation": {"localDisks": "Rebuild", "retries": 0, "maxParallelHosts": 2},
        "returnToService": {"mode": "Automatic", "approval": "Required"}, "restart": "Allow"});
    f.create("RemediationPolicy", json!({"metadata": {"name": "p"}, "spec": good})).await.unwrap();
}

#[tokio::test]
async fn a_policy_that_says_nothing_new_is_stored_as_before() {
    let f = fixture().await;
    let policy =
        f.create("RemediationPolicy", json!({"metadata": {"name": "p"}, "spec": {"evidence": {"demand": "SecondChannelSilent"}}})).await.unwrap();
    assert_eq!(policy.spec["evidence"], json!({"maxAgeSeconds": 60, "demand": "SecondChannelSilent", "attestation": "Accepted"}));
    assert_eq!(policy.spec["evacuation"], json!({"mode": "Allowed", "localDisks": "Refuse"}));
    assert!(policy.spec["returnToService"].get("approval").is_none(), "{:#}", policy.spec);
}

#[tokio::test]
async fn a_return_that_nobody_waits_for_cannot_be_approved() {
    let f = fixture().await;
    let refused = |error: RegistryError| match error {
        RegistryError::Invalid(errors) => errors.into_iter().find(|e| e.field == "spec.approvedReturn").expect("the field").message,
        other => panic!("{other:?}"),
    };
    let ahead = f.create("Host", json!({"metadata": {"name": "c1"}, "spec": {"approvedReturn": "auto-c1-1"}})).await.unwrap_err();
    assert!(refused(ahead).contains("waits for none"));
    f.host("c1", json!({})).await;
    let kind = kinds::find("Host").unwrap();
    let mut object = f.registry.find(kind, "c1").await.unwrap();
    object.spec["approvedReturn"] = json!("auto-c1-1");
    assert!(refused(f.registry.update(kind, "c1", object, NOW).await.unwrap_err()).contains("approve when its state is Recovered"));
}
