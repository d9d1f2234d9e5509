//! S14: two brains.

use crate::stage::given;
use cloud::ServiceChange;
use serde_json::json;
use simulator::CallKind;

const FOREIGN: &str = "cloud-manager/11111111-2222-4333-8444-555555555555: declared off";

#[tokio::test(start_paused = true)]
async fn another_cloud_managers_mark_stops_disruptive_steps_on_that_host() {
    let s = given(&["a", "b", "c"]).start().await;
    let guest = s.guest("web", "a");
    s.nova("a", ServiceChange { enabled: Some(false), disabled_reason: Some(FOREIGN.into()), ..ServiceChange::default() });
    let before = s.all_calls();

    let ev = s.evacuate("a", json!({})).await;
    let message = s.waits("Evacuation", &ev, "ForeignController").await;
    assert!(message.contains("11111111-2222-4333-8444-555555555555"), "{message}");
    let drain = s.operate("a", "Drain", json!({})).await;
    s.waits("HostOperation", &drain, "ForeignController").await;
    s.cancel("Evacuation", &ev).await;
    s.cancel("HostOperation", &drain).await;
    s.ends("Evacuation", &ev).await;
    s.ends("HostOperation", &drain).await;
    s.declare("a", json!({"power": "Off"})).await;
    s.waits("Host", "a", "ForeignController").await;
    s.crash_host("a").await;
    s.pass(300).await;

    assert_eq!(s.all_calls(), before, "{}", s.story());
    assert_eq!(s.home(&guest), "a");
}

#[tokio::test(start_paused = true)]
async fn other_hosts_go_on_beside_a_foreign_one_and_our_own_mark_stops_nobody() {
    let s = given(&["a", "b", "c"]).start().await;
    let guest = s.guest("web", "b");
    s.nova("a", ServiceChange { enabled: Some(false), disabled_reason: Some(FOREIGN.into()), ..ServiceChange::default() });
    let drain = s.operate("b", "Drain", json!({})).await;
    s.succeeds("HostOperation", &drain).await;
    let mark = s.service("b").disabled_reason.unwrap_or_default();
    let uuid = store::Store::revision(s.rig.store.as_ref()).await.expect("the store").cluster_uuid;
    assert!(mark.starts_with(&format!("cloud-manager/{uuid}")), "{mark}");
    assert_eq!(s.home(&guest), "c");

    s.declare("b", json!({"power": "Off"})).await;
    s.until_called(CallKind::PowerSet, 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_database_that_went_back_freezes_every_act_until_someone_has_looked() {
    let s = given(&["a", "b", "c"]).start().await;
    let guest = s.guest("web", "a");
    s.rig.halt(Some("the revision counter went backwards; run `cloud-manager doctor`"));
    s.crash_host("a").await;

    let ev = s.evacuate("a", json!({})).await;
    let message = s.waits("Evacuation", &ev, "DatabaseWentBack").await;
    s.declare("b", json!({"power": "Off"})).await;
    s.waits("Host", "b", "DatabaseWentBack").await;
    let op = s.operate("c", "PowerCycle", json!({"runningGuests": "Kill"})).await;
    s.waits("HostOperation", &op, "DatabaseWentBack").await;
    s.pass(300).await;
    assert!(message.contains("doctor"), "{message}");
    assert_eq!(s.all_calls(), 0, "{}", s.story());

    s.rig.halt(None);
    s.succeeds("Evacuation", &ev).await;
    s.was_rebuilt_once(&guest, "a");
}
