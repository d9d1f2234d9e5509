//! What to do about each reason, most of it as commands.

use crate::object::text;
use schemas::{DynObject, v1::reasons as r};

/// The host an object is about; empty if none.
pub(super) fn host_of(object: &DynObject) -> &str {
    if object.kind == "Host" { &object.metadata.name } else { text(&object.spec["hostRef"]["name"]) }
}

/// What to do about a reason. `None` if waiting is all there is to do, or the message says it.
pub(super) fn advice(reason: &str, object: &DynObject, host: &str) -> Option<String> {
    let claim = object.status["claim"]["owner"].as_str().and_then(|o| o.split_once('/'));
    let text = match reason {
        r::FROZEN => "Let things happen again: cloud-manager thaw".into(),
        r::PAUSING => "Wait until what is under way is settled: cloud-manager get operations. To go on instead: cloud-manager thaw".into(),
        r::CLAIMED => match claim {
            Some((kind, name)) => format!("See what has the host: cloud-manager describe {} {name}", kind.to_ascii_lowercase()),
            // What is open on a host stands below in its own description.
            None if object.kind == "Host" => return None,
            None => format!("See what has the host: cloud-manager describe host {host}"),
        },
        r::DRAIN_LIMIT => "Wait for the other drains, or raise spec.maxHostsDraining of clusterpolicy/default".into(),
        r::EVACUATION_LIMIT => "Wait for the other moves, or raise spec.maxEvacuations or maxPerHost of clusterpolicy/default".into(),
        r::NOVA_UNREADABLE => "See whether Nova and Keystone answer, and the controller's login ([openstack] in its configuration)".into(),
        r::VANISHED => format!("Bring its nova-compute back, or, if the machine is gone for good: cloud-manager delete host {host}"),
        r::IN_DOUBT => {
            format!("Look at the machine and at cloud-manager power status {host}. If it is to be given up: cloud-manager cancel {host}; cloud-manager evacuate {host} --mode Rebuild")
        }
        r::NO_VERIFIED_LINK => format!("Verify its power link (make a PowerDevice and a PowerLink first, if there is none): cloud-manager initialise {host}"),
        // Only of an evacuation whose host cannot be proven off; others say in their message what is to be decided.
        r::NEEDS_HUMAN if object.status["proofImpossibleSince"].is_null() => return None,
        // A power device, which may be of several hosts.
        r::POWER_UNREADABLE if host.is_empty() => {
            "Make it readable: its address, network and Credential; cloud-manager get powerlinks shows the hosts that hang on it".into()
        }
        r::POWER_UNREADABLE | r::NEEDS_HUMAN => {
            format!("Make the power device readable: its address, network and Credential; see cloud-manager power status {host} and cloud-manager get powerdevices. {}", attest(object, host))
        }
        r::FENCED => format!("When the machine may come back: cloud-manager power on {host} (or: cloud-manager enable {host})"),
        r::FOREIGN => "Another controller has marked this host. Stop one of the two; clear the mark in Nova (enable the service by hand) when it is sure".into(),
        r::GUESTS_RUNNING => format!("Move the guests away: cloud-manager get guests {host}; cloud-manager drain {host}"),
        r::GUEST_CANNOT_MOVE => format!("Stop or move the named guests by hand, or let them be stopped: cloud-manager shutdown {host} --allow-off-vm"),
        r::MOVE_IN_FLIGHT => "Wait until Nova has settled the guest's earlier move (openstack server migration list); if that move's destination died too, evacuate it first".into(),
        r::EPOCH_ENDED | r::EXPIRED | r::WITHDRAWN => format!("If you see that the host is dead, say so again: cloud-manager attest {host}"),
        r::ALIVE_ELSEWHERE => format!("Look at the machine: its nova-compute may have died alone. If the channel is wrong, stop it; by hand: cloud-manager evacuate {host}"),
        r::EVIDENCE_MISSING => "See whether the channels that send to POST /v1/evidence work, or change what spec.evidence (demand, levels) of the remediationpolicy asks for".into(),
        r::PARALLEL_LIMIT => "Wait until another host has been recovered, or raise spec.evacuation.maxParallelHosts of the remediationpolicy".into(),
        r::EVACUATION_FORBIDDEN => format!("If that is not meant, change spec.evacuation of the remediationpolicy; by hand: cloud-manager evacuate {host}"),
        r::HOST_EXCLUDED => format!("If that is not meant: cloud-manager include {host}; by hand: cloud-manager evacuate {host}"),
        r::POLICY_CHANGED => format!("Allow it again where the message says, or go on by hand: cloud-manager cancel {host}; cloud-manager evacuate {host}"),
        r::POLICY_UNKNOWN => format!("Make it clear which RemediationPolicy holds: cloud-manager describe host {host}; see whether the database answers"),
        r::APPROVAL_REQUIRED => format!("Look at the machine; when it may come back: cloud-manager approve {host}"),
        r::FENCE_FORBIDDEN => format!("Power the host off yourself, or allow it: cloud-manager evacuate {host} --fence IfNeeded"),
        r::FENCE_FAILED => format!(
            "See what each power device says: cloud-manager power status {host}. Mend one, or cut the host's power by hand; once it reads off it goes on. {}",
            attest(object, host)
        ),
        r::STORM_LIMIT => "Find out what the hosts that are down have in common: cloud-manager get hosts -o wide. To go on: raise spec.limits of the remediationpolicy, or evacuate them one by one".into(),
        r::DOMAIN_LIMIT => "Find out what the hosts of that failure domain have in common: cloud-manager get failuredomains. To go on: raise spec.limits.perFailureDomain of the remediationpolicy, or evacuate them one by one".into(),
        r::COOLDOWN => "Wait, or, to go on at once, set spec.limits.cooldownSeconds of the remediationpolicy to 0".into(),
        r::RATE_LIMIT => "Wait, or raise spec.limits.maxBeginsPerHour of the remediationpolicy".into(),
        r::HOLD_EXPIRED => "Find out what the hosts that are down have in common: cloud-manager get hosts -o wide. To stop: cloud-manager freeze".into(),
        r::QUARANTINED => format!("Look at the machine; when it may come back: cloud-manager power on {host} (or: cloud-manager enable {host})"),
        r::NEVER_EVACUATE => "To let it happen without a person: set spec.limits.maxDownHosts of remediationpolicy/default".into(),
        r::OBSERVER_IN_DOUBT => "Look at Nova's conductors, its message queue and its database (openstack compute service list)".into(),
        r::MASS_SILENCE => "Find out what the hosts that are silent have in common: cloud-manager get hosts -o wide. If they are dead, evacuate them one by one, or raise spec.limits.maxSilentAtOncePermille of the remediationpolicy".into(),
        r::POLICY_CONFLICT => format!("Name one of them in spec.remediationPolicyRef of host/{host}, or change their selectors"),
        r::EVACUATION_DENIED => format!("Set spec.evacuation of host/{host} to Allowed, if that is meant"),
        r::LOCAL_DISK => format!(
            "If the guests may start from an empty disk: cloud-manager evacuate {host} --local-disks Rebuild. If their disks are shared, say so: spec.guestDisks of clusterpolicy/default"
        ),
        r::PRIORITY_ZERO => "Recovery priority 0 means never; change the guest's metadata if that is not meant".into(),
        r::CANNOT_EVACUATE => "Bring the host back: these guests come back with it; or build them anew elsewhere".into(),
        r::SERVER_GROUP => "Bring the host back: its guests of that server group come back with it; or build them anew elsewhere".into(),
        r::OWNER_MANAGED => "See that its owner brings it back; if that is not meant, change the GuestPolicy: cloud-manager get guestpolicies".into(),
        r::GROUP_PAUSE => "Wait, or set spec.groupPauseSeconds of clusterpolicy/default lower for the next time".into(),
        r::NO_DESTINATION => "Make room: enable or power on other hosts (cloud-manager get hosts)".into(),
        r::NO_STANDBY => "Free a standby host, add one to the pool, or make room on other hosts; the pool says what holds each of them".into(),
        r::TOO_FEW_STANDBYS => "See what holds the members (status.members of the pool), or add hosts to it".into(),
        r::STANDBY_CONFLICT => "Take the host out of all StandbyPools but one".into(),
        r::PROTECTS_ITSELF => "Take the host out of the pool, or out of what the pool protects (spec.protects)".into(),
        r::DECLARED_OTHERWISE => "Set spec.power and spec.schedulable of the host to Unmanaged, or take it out of the pool".into(),
        r::DISABLED_BY_OTHERS => "If the host may be used, enable it in Nova (openstack compute service set --enable); its pool disables it again".into(),
        r::WAKE_FAILED | r::DRILL_FAILED => "Look at the host's console and BMC. Once it is mended, run a FenceDrill of depth Cycle on it, or take it out of the pool and put it in again".into(),
        r::STANDBY_LEASED => "Wait until the evacuation has ended and the host is empty again, or take it out of the pool".into(),
        r::NO_STANDBY_MEMBER => "Use depth Read, or make the host a member of a StandbyPool first".into(),
        r::RESTORED => "The database went back in time. Look at what happened since, then run: cloud-manager doctor".into(),
        r::SERVICE_DOWN => format!("If the machine is dead: cloud-manager evacuate {host}. Else start its nova-compute"),
        r::NOT_FOUND => "Make the object it refers to, or correct the reference".into(),
        _ => return None,
    };
    Some(text)
}

/// The way out when a BMC died with its host; a Host tells its epoch as well.
fn attest(object: &DynObject, host: &str) -> String {
    let epoch = object.status["epoch"].as_i64().map(|n| format!(" (it is in power epoch {n})")).unwrap_or_default();
    format!("If its BMC died with it, and you see that it is dead: cloud-manager attest {host}{epoch}")
}
