//! What holds for one guest: its own metadata, else its GuestPolicies, else the cluster's default.

use crate::common::*;
use planner::{
    facts::Guest,
    guest_policy::{Rules, Ruling},
};
use schemas::{
    Object, ObjectMeta,
    v1::{ClusterPolicySpec, GuestPolicy, GuestPolicySpec, GuestPolicyStatus, GuestSelector, TargetState},
};

fn policy(name: &str, metadata: &str, spec: GuestPolicySpec) -> Object<GuestPolicy> {
    let selector = GuestSelector { metadata: metadata.into(), ..spec.selector.clone() };
    Object { metadata: ObjectMeta::named(name), spec: GuestPolicySpec { selector, ..spec }, status: GuestPolicyStatus::default() }
}

fn priority(name: &str, metadata: &str, priority: i64) -> Object<GuestPolicy> {
    policy(name, metadata, GuestPolicySpec { priority: Some(priority), ..Default::default() })
}

fn tagged(tags: &[(&str, &str)]) -> Guest {
    Guest { metadata: tags.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(), ..guest("g") }
}

fn ruling(policies: Vec<Object<GuestPolicy>>, guest: &Guest) -> Ruling {
    Rules::of(policies).ruling(guest, &["the-group"], &ClusterPolicySpec::default())
}

#[test]
fn the_guests_own_metadata_goes_before_its_policy_and_that_before_the_default() {
    let gold = || vec![priority("gold", "tier=gold", 9)];
    assert_eq!(ruling(gold(), &tagged(&[])).priority, 5);
    assert_eq!(ruling(gold(), &tagged(&[("tier", "gold")])).priority, 9);
    assert_eq!(ruling(gold(), &tagged(&[("tier", "gold"), ("recovery_priority", "2")])).priority, 2);
    assert_eq!(ruling(gold(), &tagged(&[("tier", "gold"), ("recovery_priority", "eleven")])).priority, 9, "nonsense counts as none");
    let slow = || policy("slow", "tier=gold", GuestPolicySpec { evacuation_time_seconds: Some(300), ..Default::default() });
    assert_eq!(ruling(vec![slow()], &tagged(&[("tier", "gold")])).pause_seconds, Some(300));
    assert_eq!(ruling(vec![slow()], &tagged(&[("tier", "gold"), ("evacuation_time", "7")])).pause_seconds, Some(7));
}

#[test]
fn policies_that_do_not_agree_hold_nobody_back_but_zero_does_and_both_are_named() {
    let both = vec![priority("gold", "tier=gold", 9), priority("web", "app=web", 3)];
    let of = ruling(both, &tagged(&[("tier", "gold"), ("app", "web")]));
    assert_eq!((of.priority, of.conflict), (5, vec!["gold".to_string(), "web".into()]));
    let never = vec![priority("gold", "tier=gold", 9), priority("never", "app=web", 0)];
    assert_eq!(ruling(never, &tagged(&[("tier", "gold"), ("app", "web")])).priority, 0);
}

#[test]
fn all_parts_of_a_selector_must_hold() {
    let selector = GuestSelector { projects: vec!["p1".into()], server_groups: vec!["the-group".into()], ..Default::default() };
    let spec = || GuestPolicySpec { selector: selector.clone(), owner: Some("Octavia".into()), ..Default::default() };
    let of = |project: &str| ruling(vec![policy("lb", "", spec())], &Guest { project: project.into(), ..guest("g") }).owner;
    assert_eq!((of("p1").as_str(), of("p2").as_str()), ("Octavia", ""));
    let other_group = GuestSelector { server_groups: vec!["another".into()], ..Default::default() };
    let spec = GuestPolicySpec { selector: other_group, target_state: TargetState::Stopped, ..Default::default() };
    assert!(!ruling(vec![policy("x", "", spec)], &guest("g")).leave_stopped);
}

#[test]
fn of_a_policy_that_may_select_a_guest_only_what_keeps_things_from_being_done_holds() {
    let by_image = |spec: GuestPolicySpec| {
        policy(
            "windows",
            "",
            GuestPolicySpec { selector: GuestSelector { image_properties: "os_type=windows".into(), ..Default::default() }, ..spec },
        )
    };
    let owner = || by_image(GuestPolicySpec { owner: Some("Trove".into()), ..Default::default() });
    let ten = || by_image(GuestPolicySpec { priority: Some(10), ..Default::default() });
    let zero = || by_image(GuestPolicySpec { priority: Some(0), ..Default::default() });
    let untold = guest("g");
    assert_eq!(ruling(vec![owner()], &untold).owner, "Trove");
    assert_eq!((ruling(vec![ten()], &untold).priority, ruling(vec![zero()], &untold).priority), (5, 0));
    let volume = Guest { boot_from_volume: true, ..guest("g") };
    assert_eq!(ruling(vec![owner()], &volume).owner, "", "Nova knows no image of it");
    let linux = Guest { image_properties: Some([("os_type".to_string(), "linux".to_string())].into()), ..guest("g") };
    assert_eq!((ruling(vec![owner()], &linux).owner, ruling(vec![zero()], &linux).priority), (String::new(), 5));
}
