//! What a schedule reached, to see that schedules reach what they are for.

use super::Laws;
use schemas::DynObject;
use serde_json::Value;

fn is(value: &Value, word: &str) -> bool {
    value.as_str() == Some(word)
}

impl Laws {
    fn reach(&mut self, what: &'static str) {
        self.reached.insert(what);
    }

    /// Looks at an object as it was written.
    pub(super) fn tally(&mut self, o: &DynObject) {
        let (spec, status) = (&o.spec, &o.status);
        let (ended, well) = (status["finishedAt"].is_string(), crate::condition(o, "Succeeded") == "True");
        match o.kind.as_str() {
            "Evacuation" => {
                let watched = is(&spec["cause"], "Automatic");
                if watched {
                    self.reach("evacuation begun by the watch");
                }
                if watched && ended && well {
                    self.reach("evacuation begun by the watch, ended well");
                }
                if watched && ended && is_reason(o, "HostReturned") {
                    self.reach("host back before it was fenced");
                }
                if status["fences"].as_i64() > Some(1) {
                    self.reach("host fenced twice in one evacuation");
                }
                match status["waiting"]["reason"].as_str() {
                    Some("NeedsHuman" | "MoveInFlight") => self.reach("evacuation waits for a person"),
                    Some("NoDestination") => self.reach("evacuation finds no destination"),
                    _ => {}
                }
                if crate::reason(o, "EvidenceSufficient") == "Attested" {
                    self.reach("attestation gone by");
                }
            }
            "HostOperation" if is(&spec["cause"], "Automatic") => match (is(&spec["type"], "PowerCycle"), ended && well) {
                (true, false) => self.reach("restart begun"),
                (true, true) => self.reach("restart ended well"),
                (false, false) => self.reach("return begun"),
                (false, true) => self.reach("return ended well"),
            },
            "FenceDrill" if ended => self.reach("drill ended"),
            "FenceDrill" => self.reach("drill begun"),
            "EvacuationPlan" if spec["number"].as_i64() > Some(1) => self.reach("guests planned anew"),
            "StandbyPool" => self.tally_pool(status),
            "Host" => {
                match status["availability"]["state"].as_str() {
                    Some("Quarantined") => self.reach("quarantine"),
                    Some("Recovered") => self.reach("host recovered, and not back yet"),
                    _ => {}
                }
                self.tally_hold(o);
            }
            _ => {}
        }
    }

    fn tally_pool(&mut self, status: &Value) {
        for lease in status["leased"].as_array().into_iter().flatten() {
            match lease["state"].as_str() {
                Some("Waking") => self.reach("standby being woken"),
                Some("Ready") => self.reach("standby woken"),
                Some("Returning") => self.reach("standby given back"),
                _ => {}
            }
        }
        if status["failed"].as_array().is_some_and(|all| !all.is_empty()) {
            self.reach("standby failed");
        }
        if is(&status["waiting"]["reason"], "NoStandbyFree") {
            self.reach("no standby free");
        }
    }

    fn tally_hold(&mut self, o: &DynObject) {
        if !is(&o.status["availability"]["state"], "Down") {
            return;
        }
        match crate::reason(o, "RemediationAllowed") {
            "StormLimit" | "StormCooldown" => self.reach("hold: storm"),
            "FailureDomainLimit" => self.reach("hold: failure domain"),
            "RateLimit" => self.reach("hold: rate"),
            "FrozenByCluster" => self.reach("hold: frozen"),
            "AliveElsewhere" | "EvidenceMissing" => self.reach("hold: evidence"),
            "ObserverInDoubt" => self.reach("hold: observer in doubt"),
            "EvacuationForbidden" | "EvacuationDenied" | "NeverEvacuate" | "NotWatched" => self.reach("hold: forbidden"),
            _ => {}
        }
    }
}

fn is_reason(o: &DynObject, reason: &str) -> bool {
    crate::reason(o, "Succeeded") == reason
}
