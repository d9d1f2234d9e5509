//! Verifying a power link (S3).

use super::decide::{Run, Turn};
use crate::{
    Next, StatusPatch, Step,
    contract::{PowerCommand, wait},
    empty::{self, Gate},
    facts::{LinkFacts, ServiceFacts},
    service,
};
use schemas::v1::{InitialiseMethod, PowerState, VerifiedBy, power_link::Verification, reasons};

/// Longest time from off to back, in seconds.
const CYCLE_SECONDS: i64 = 1_800;

impl Run<'_> {
    pub(super) fn initialise(&mut self, service: &ServiceFacts) -> Turn {
        let wanted = self.op.spec.link_ref.as_ref().map(|r| r.name.as_str());
        let links: Vec<&LinkFacts> = self.facts.links.iter().filter(|l| wanted.is_none_or(|w| w == l.name)).collect();
        let link = match links.as_slice() {
            [one] => (*one).clone(),
            [] => return Turn::Failed(reasons::NOT_FOUND, format!("host {} has no power link {}; create a PowerLink first", self.facts.host, wanted.unwrap_or(""))),
            many => {
                let names: Vec<&str> = many.iter().map(|l| l.name.as_str()).collect();
                return Turn::Failed(reasons::NOT_FOUND, format!("host {} has several power links; name one in spec.linkRef: {}", self.facts.host, names.join(", ")));
            }
        };
        match self.op.spec.method {
            InitialiseMethod::Attestation => self.verified(&link, VerifiedBy::Attestation),
            InitialiseMethod::Identity => match link.identity.seen() {
                Some(Ok(())) => self.verified(&link, VerifiedBy::Identity),
                Some(Err(why)) => Turn::Failed(reasons::REFUSED, why.clone()),
                None => Turn::Next(wait(reasons::POWER_UNREADABLE, format!("{}: {}", link.name, link.identity.why()), 10)),
            },
            InitialiseMethod::Cycle => self.cycle(service, &link),
        }
    }

    fn verified(&mut self, link: &LinkFacts, by: VerifiedBy) -> Turn {
        let person = self.op.metadata.annotations.get("cloud-manager/created-by");
        let who = person.cloned().unwrap_or_else(|| format!("HostOperation/{}", self.op.metadata.name));
        let verification = Verification { by, who, at: self.env.now, binding: link.binding.clone() };
        self.patches.push(StatusPatch { kind: "PowerLink", name: link.name.clone(), patch: serde_json::json!({ "verification": verification }) });
        Turn::Succeeded(format!("link {} is verified", link.name))
    }

    fn step_done(&self, word: &str) -> bool {
        self.status.steps.iter().any(|s| s == word)
    }

    fn note(&mut self, word: String) {
        if !self.step_done(&word) {
            self.status.steps.push(word);
        }
    }

    /// Off and on while empty; exactly this service must fall silent and come back.
    fn cycle(&mut self, service: &ServiceFacts, link: &LinkFacts) -> Turn {
        let Some(up) = self.facts.others_up.seen().cloned() else {
            return Turn::Next(wait(reasons::NOVA_UNREADABLE, self.facts.others_up.why().to_string(), 5));
        };
        let command = |command| Step::Power { link: link.name.clone(), command };
        if !self.step_done("off") {
            if service.enabled {
                if !service.up {
                    return Turn::Failed(reasons::SERVICE_DOWN, "its nova-compute is down, so nobody could see it fall silent; use another method".into());
                }
                self.note("disabled".into());
                return Turn::Next(Next::Step(service::disable(service, &self.env.cluster_uuid, "link being verified")));
            }
            if self.facts.guests.seen().is_some_and(|g| g.iter().any(|g| g.may_run())) {
                return Turn::Failed(reasons::GUESTS_RUNNING, "guests run on the host; drain it first".into());
            }
            let (gate, since) = empty::gate(self.facts, self.env, self.status.empty_since);
            self.status.empty_since = since;
            return match gate {
                Gate::Not(why) => Turn::Next(wait(reasons::PROVING_EMPTY, why, 3)),
                Gate::SecondPass(left) => Turn::Next(wait(reasons::PROVING_EMPTY, "a second look 30 s after the first makes sure that the host is empty", left)),
                Gate::Empty => {
                    self.note(format!("others={}", up.join(",")));
                    self.note("off".into());
                    self.status.soft_off_at = Some(self.env.now);
                    Turn::Next(Next::Step(command(PowerCommand::ForceOff)))
                }
            };
        }
        let others = self.status.steps.iter().find_map(|s| s.strip_prefix("others=")).unwrap_or_default().to_string();
        let lost: Vec<&str> = others.split(',').filter(|h| !h.is_empty() && !up.iter().any(|u| u == h)).collect();
        if !lost.is_empty() {
            self.note(format!("wrong={}", lost.join(",")));
        }
        let state = link.state.seen().copied().unwrap_or(PowerState::Unknown);
        let since = self.status.soft_off_at.map_or(0, |at| self.env.now.seconds_since(at));
        let wrong = self.status.steps.iter().find_map(|s| s.strip_prefix("wrong=")).map(String::from);
        if !self.step_done("on") {
            let silent = state == PowerState::Off && !service.up;
            if wrong.is_none() && !silent && since < CYCLE_SECONDS {
                return Turn::Next(wait(reasons::WAITING_FOR_POWER, "waiting for the link to read off and for exactly this service to fall silent", 3));
            }
            if !silent {
                self.note(format!("wrong={}", wrong.unwrap_or_default()));
            }
            self.note("on".into());
            return Turn::Next(Next::Step(command(PowerCommand::On)));
        }
        if let Some(wrong) = wrong {
            return Turn::Failed(reasons::REFUSED, format!("link {} does not power host {}: its service did not fall silent, or others did ({wrong}); check the cabling and the endpoint", link.name, self.facts.host));
        }
        if !service.up || state != PowerState::On {
            if since > CYCLE_SECONDS {
                return Turn::Failed(reasons::SERVICE_DOWN, format!("host {} did not come back within {CYCLE_SECONDS} s; look at its console", self.facts.host));
            }
            return Turn::Next(wait(reasons::SERVICE_DOWN, "waiting for the host to come back", 3));
        }
        if self.step_done("disabled") && !service.enabled && service::is_ours(service, &self.env.cluster_uuid) {
            return Turn::Next(Next::Step(service::enable(service)));
        }
        self.verified(link, VerifiedBy::Cycle)
    }
}
