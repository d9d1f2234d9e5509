//! S8: a host with an ex-leader's unsettled power command is not returned to service.

use crate::{
    life::{Death, Life},
    stage::{Stage, given},
};
use engine::Elders;
use serde_json::json;
use simulator::{CallFault, CallKind};

/// An empty host whose power-off was written down by a controller that then fell silent, with the command still on its way:
/// it takes effect that many milliseconds later.
async fn late_power_off(late_ms: i64) -> Stage {
    let mut s = given(&["a", "b", "c"]).start().await;
    s.with(|w| w.inject(CallKind::PowerSet, CallFault::Late { after_ms: late_ms }, 1));
    // Its first changing call disables the host; it dies right after the second, the power command.
    s.succeed_with(Life::ends(Death::After(2), true)).await;
    s.operate("a", "PowerOff", json!({})).await;
    s.death().await;
    s
}

#[tokio::test(start_paused = true)]
async fn a_power_off_that_arrives_minutes_late_meets_no_host_in_service() {
    let mut s = late_power_off(400_000).await;
    s.takeover().await;
    s.cancel("HostOperation", "poweroff-a").await;
    s.ends("HostOperation", "poweroff-a").await;
    let op = s.operate("a", "Enable", json!({})).await;
    let message = s.waits("HostOperation", &op, "ExLeaderPowerIntent").await;
    assert!(message.contains("formerLeader: Gone") && message.contains("process was not seen gone"), "{message}");

    s.rig.wait("Host", "a", "off", std::time::Duration::from_secs(600), |_| !s.is_on("a")).await;
    assert_eq!(s.service("a").enabled, Some(false), "it hit a host that no guest could be placed on: {}", s.story());
}

#[tokio::test(start_paused = true)]
async fn after_ten_minutes_the_host_is_returned() {
    // Lost for good.
    let mut s = late_power_off(100_000_000).await;
    s.takeover().await;
    let begun = s.with(|w| w.now());
    s.cancel("HostOperation", "poweroff-a").await;
    s.ends("HostOperation", "poweroff-a").await;
    let op = s.operate("a", "Enable", json!({})).await;
    s.ends_within("HostOperation", &op, 700).await;
    s.succeeds("HostOperation", &op).await;
    let took = s.with(|w| w.now()) - begun;
    assert!((600_000..660_000).contains(&took), "{took} ms after the takeover");
    assert_eq!(s.service("a").enabled, Some(true));
}

#[tokio::test(start_paused = true)]
async fn the_hold_outlives_further_takeovers() {
    let mut s = late_power_off(100_000_000).await;
    s.takeover().await;
    s.cancel("HostOperation", "poweroff-a").await;
    s.ends("HostOperation", "poweroff-a").await;
    // The next one is told that its predecessor is gone; of the one before that nobody knows.
    s.rig.elders = Elders::Released(s.rig.token);
    s.takeover().await;
    let op = s.operate("a", "Enable", json!({})).await;
    s.waits("HostOperation", &op, "ExLeaderPowerIntent").await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_known_to_be_gone_holds_nothing_up() {
    for by_a_person in [false, true] {
        let mut s = late_power_off(100_000_000).await;
        if !by_a_person {
            s.rig.elders = Elders::Gone;
        }
        s.takeover().await;
        s.cancel("HostOperation", "poweroff-a").await;
        s.ends("HostOperation", "poweroff-a").await;
        let more = if by_a_person { json!({"formerLeader": "Gone"}) } else { json!({}) };
        let op = s.operate("a", "Enable", more).await;
        s.ends_within("HostOperation", &op, 60).await;
        s.succeeds("HostOperation", &op).await;
        assert_eq!(s.service("a").enabled, Some(true));
    }
}
