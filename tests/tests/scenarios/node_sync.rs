//! Hosts appear from Nova, and are never deleted by themselves.

use crate::stage::given;
use serde_json::json;
use simulator::HostSpec;
use workspace_tests::{condition, waits_for};

#[tokio::test(start_paused = true)]
async fn a_new_nova_host_appears_with_nothing_declared() {
    let s = given(&["a", "b"]).start().await;
    s.with(|w| w.add_host(HostSpec::new("c")));

    let host = s.wait("Host", "c", "known", |o| condition(o, "Ready") == "True").await;

    assert_eq!((&host.spec["power"], &host.spec["schedulable"]), (&json!("Unmanaged"), &json!("Unmanaged")));
    assert_eq!(host.status["nova"]["serviceId"], s.service("c").id);
    assert_eq!(s.all_calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_vanishes_from_nova_becomes_unknown_and_nothing_is_deleted() {
    let s = given(&["a", "b", "c"]).start().await;
    s.declare("a", json!({"power": "On", "title": "rack 7"})).await;
    s.with(|w| w.remove_host("a"));

    let host = s.wait("Host", "a", "vanished", |o| waits_for(o) == "VanishedFromNova").await;
    s.pass(900).await;

    assert_eq!(condition(&host, "Ready"), "Unknown");
    assert!(host.status["waiting"]["message"].as_str().is_some_and(|m| m.contains("delete the Host")), "{:#}", host.status);
    let later = s.rig.get("Host", "a").await;
    assert_eq!(later.spec["title"], "rack 7");
    assert_eq!(s.rig.list("Host").await.len(), 3);
    assert_eq!(s.all_calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn bare_metal_nodes_are_not_hosts_for_us() {
    let s = given(&["a", "b"]).start().await;
    s.with(|w| w.add_host(HostSpec { hypervisor_type: "ironic".into(), ..HostSpec::new("metal") }));
    s.with(|w| w.add_host(HostSpec::new("z")));

    s.wait("Host", "z", "known", |_| true).await;
    s.pass(120).await;

    let names: Vec<String> = s.rig.list("Host").await.into_iter().map(|o| o.metadata.name).collect();
    assert_eq!(names, ["a", "b", "z"]);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_someone_makes_in_nova_is_shown_soon() {
    let s = given(&["a", "b"]).start().await;
    s.nova("a", cloud::ServiceChange { enabled: Some(false), disabled_reason: Some("theirs".into()), ..Default::default() });

    let host = s.wait("Host", "a", "disabled", |o| o.status["nova"]["status"] == "disabled").await;

    assert_eq!(host.status["nova"]["disabledReason"], "theirs");
    s.pass(60).await;
    assert_eq!(s.all_calls(), 1, "an unmanaged host is left as it is");
}
