//! What the controller does is recorded, with what became of it and for whom.

use crate::stage::{bmc, given};
use serde_json::{Value, json};
use simulator::CallKind;
use std::{collections::BTreeSet, time::Duration};
use store::{AuditEntry, AuditLog, AuditQuery, AuditRow, Guard, Op};
use workspace_tests::condition;

#[tokio::test(start_paused = true)]
async fn every_call_is_recorded_before_it_is_made_and_after_and_a_power_device_has_its_log() {
    let s = given(&["a", "b"]).start().await;
    let host = s.rig.store.get("Host", "a").await.unwrap().unwrap();
    let by_ann = AuditEntry {
        action: "update".into(),
        outcome: "success".into(),
        target: host.id(),
        target_uid: host.metadata.uid.clone(),
        initiator: "ann".into(),
        by_user: true,
        body: json!({"initiator": {"id": "ann", "request_id": "req-1"}}),
        ..AuditEntry::default()
    };
    s.rig.store.commit(Guard::Open, s.now(), vec![Op::Audit(by_ann)]).await.unwrap();

    s.declare("a", json!({"power": "Off"})).await;
    let off = |o: &schemas::DynObject| condition(o, "Ready") == "True" && o.status["power"]["state"] == "Off";
    s.rig.wait("Host", "a", "off", Duration::from_secs(1_200), off).await;

    let log = s.rig.audit.clone().unwrap();
    let of = async |target: String| log.audit_records(AuditQuery { limit: 1_000, target: Some(target), ..AuditQuery::default() }).await.unwrap();
    let device = of(format!("PowerDevice/{}", bmc("a"))).await;
    let words = |rows: &[AuditRow]| rows.iter().map(|r| format!("{} {}", r.action, r.outcome)).collect::<Vec<_>>();
    let operation = |row: &AuditRow| serde_json::from_str::<Value>(&row.body).unwrap()["attachments"][0]["content"]["operation"].to_string();
    let acts: BTreeSet<String> = device.iter().map(operation).collect();
    assert_eq!(acts.len(), s.calls(CallKind::PowerSet).len(), "{:?}", words(&device));
    assert_eq!(words(&device).first().map(String::as_str), Some("stop/soft pending"), "before the call is made");
    assert_eq!(device.last().map(|r| r.outcome.as_str()), Some("success"), "{:?}", words(&device));
    for row in &device {
        let body: Value = serde_json::from_str(&row.body).unwrap();
        assert_eq!(
            (&body["onBehalfOf"]["id"], &body["onBehalfOf"]["request_id"], &body["onBehalfOf"]["object"]),
            (&json!("ann"), &json!("req-1"), &json!("Host/a"))
        );
        assert_eq!(
            (row.host.as_str(), &body["initiator"]["token"], &body["target"]["typeURI"]),
            ("a", &json!(s.rig.token), &json!("service/compute/power"))
        );
    }
    let all = of("Host/a".into()).await;
    assert!(words(&all).contains(&"disable pending".to_string()) && words(&all).contains(&"stop/soft pending".to_string()), "{:?}", words(&all));
    assert_eq!(log.audit_verify().await.unwrap().findings, []);
}
