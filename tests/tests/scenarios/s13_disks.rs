//! S13: a guest whose disk dies with its host is not rebuilt from an empty one unless someone says so.

use crate::stage::given;
use serde_json::json;
use simulator::{CallKind, GuestSpec};

#[tokio::test(start_paused = true)]
async fn guests_with_local_disks_are_refused_by_name_and_those_on_volumes_move() {
    let s = given(&["a", "b", "c"]).with(|c| c.shared_disks = false).policy(json!({"guestDisks": "Local"})).start().await;
    let local = s.guest("local", "a");
    let volume = s.add(GuestSpec { boot_from_volume: true, ..GuestSpec::new("volume", "a") });
    let mixed = s.add(GuestSpec { boot_from_volume: true, ephemeral_gb: 20, ..GuestSpec::new("mixed", "a") });
    s.crash_host("a").await;

    let ev = s.evacuate("a", json!({})).await;
    let (reason, message) = s.fails("Evacuation", &ev).await;

    assert_eq!(reason, "Failed");
    assert!(message.contains("1 of 3 moved, 2 skipped"), "{message}");
    for guest in [&local, &mixed] {
        let (outcome, reason, message) = s.outcome(&ev, guest).await;
        assert_eq!((outcome.as_str(), reason.as_str()), ("Skipped", "LocalDisk"));
        assert!(message.contains("localDisks: Rebuild"), "{message}");
        assert_eq!(s.home(guest), "a");
    }
    s.was_rebuilt_once(&volume, "a");
    assert_eq!(s.with(|w| w.lost_disks()), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn local_disks_are_rebuilt_when_someone_asks_for_it() {
    let s = given(&["a", "b", "c"]).with(|c| c.shared_disks = false).policy(json!({"guestDisks": "Local"})).start().await;
    let local = s.guest("local", "a");
    s.crash_host("a").await;

    let ev = s.evacuate("a", json!({"localDisks": "Rebuild"})).await;
    s.succeeds("Evacuation", &ev).await;

    s.was_rebuilt_once(&local, "a");
    assert_eq!(s.with(|w| w.lost_disks()), [local]);
}

#[tokio::test(start_paused = true)]
async fn an_aggregate_overrides_the_policy_and_local_wins() {
    let overrides = json!([{"aggregate": "ceph", "guestDisks": "Shared"}, {"aggregate": "nvme", "guestDisks": "Local"}]);
    let s = given(&["a", "b", "c", "d"]).policy(json!({"guestDisks": "Local", "guestDisksByAggregate": overrides})).start().await;
    s.with(|w| {
        w.add_aggregate("ceph", &["a", "b"], &[]);
        w.add_aggregate("nvme", &["b"], &[]);
    });
    let shared = s.guest("shared", "a");
    let local = s.guest("local", "b");
    s.crash_host("a").await;
    let ev = s.evacuate("a", json!({})).await;
    s.succeeds("Evacuation", &ev).await;
    s.was_rebuilt_once(&shared, "a");

    s.crash_host("b").await;
    let ev = s.evacuate("b", json!({})).await;
    s.ends("Evacuation", &ev).await;
    assert_eq!(s.outcome(&ev, &local).await.1, "LocalDisk");
}

#[tokio::test(start_paused = true)]
async fn aggregates_that_cannot_be_read_count_as_local() {
    let overrides = json!([{"aggregate": "ceph", "guestDisks": "Shared"}]);
    let s = given(&["a", "b", "c"]).policy(json!({"guestDisks": "Shared", "guestDisksByAggregate": overrides})).start().await;
    let guest = s.guest("web", "a");
    s.with(|w| w.inject(CallKind::Aggregates, simulator::CallFault::Status { status: 500, retry_after_s: None }, 100_000));
    s.crash_host("a").await;

    let ev = s.evacuate("a", json!({})).await;
    s.pass(120).await;

    assert_eq!(s.calls(CallKind::Evacuate), [], "{}", s.story());
    assert_eq!(s.home(&guest), "a");
    s.with(|w| w.clear_injected());
    s.succeeds("Evacuation", &ev).await;
    s.was_rebuilt_once(&guest, "a");
}
