//! Verifying a power link (S3).

use super::decide::{Run, Turn};
use crate::{
    Also, ClaimWish, Fact, Next, Rank, Step,
    contract::{PowerCommand, wait},
    empty::{self, Gate},
    facts::{LinkFacts, ServiceFacts},
    power, service,
};
use schemas::v1::{HostOperationType, InitialiseMethod, OperationState, PowerState, VerifiedBy, power_link::Verification, reasons};

/// Notes in `status.steps` that carry host names.
const OTHERS: &str = "others=";
const WRONG: &str = "wrong=";

/// Longest time from off to back, in seconds.
const CYCLE_SECONDS: i64 = 1_800;

impl Run<'_> {
    /// The link to initialise; `Err` says which to name.
    fn wanted_link(&self) -> Result<LinkFacts, String> {
        let wanted = self.op.spec.link_ref.as_ref().map(|r| r.name.as_str());
        let links: Vec<&LinkFacts> = self.facts.links.iter().filter(|l| wanted.is_none_or(|w| w == l.name)).collect();
        match links.as_slice() {
            [one] => Ok((*one).clone()),
            [] => Err(format!("host {} has no power link {}; create a PowerLink first", self.facts.host, wanted.unwrap_or(""))),
            many => {
                let names: Vec<&str> = many.iter().map(|l| l.name.as_str()).collect();
                Err(format!("host {} has several power links; name one in spec.linkRef: {}", self.facts.host, names.join(", ")))
            }
        }
    }

    pub(super) fn initialise(&mut self, service: &ServiceFacts) -> Turn {
        let link = match self.wanted_link() {
            Ok(link) => link,
            Err(why) => return Turn::Failed(reasons::NOT_FOUND, why),
        };
        // Without its device there is nothing that a verification could hold for.
        if link.binding.device_uid.is_empty() {
            return Turn::Next(wait(reasons::NOT_FOUND, format!("{}: {}", link.name, link.state.why()), 10));
        }
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
        self.also.push(Also::Patch { kind: "PowerLink", name: link.name.clone(), patch: serde_json::json!({ "verification": verification }) });
        Turn::Succeeded(format!("link {} is verified", link.name))
    }

    fn step_done(&self, word: &str) -> bool {
        self.status.steps.iter().any(|s| s == word)
    }

    fn noted(&self, prefix: &str) -> Option<String> {
        self.status.steps.iter().find_map(|s| s.strip_prefix(prefix)).map(String::from)
    }

    fn note(&mut self, word: String) {
        if !self.step_done(&word) {
            self.status.steps.push(word);
        }
    }

    /// Off and on while empty; exactly this service must fall silent and come back.
    fn cycle(&mut self, service: &ServiceFacts, link: &LinkFacts) -> Turn {
        let Some(up) = self.facts.others_up.seen() else {
            return Turn::Next(wait(reasons::NOVA_UNREADABLE, format!("the other services cannot be read: {}", self.facts.others_up.why()), 5));
        };
        let off = Step::Power { link: link.name.clone(), command: PowerCommand::ForceOff };
        // A power-off that never left, or was refused, is decided anew, with the gate before it.
        let refused = self.env.tries(&off.name()).last().is_some_and(|i| i.state == OperationState::Refused);
        if !self.step_done("on") && refused {
            self.status.steps.retain(|s| s != "off" && !s.starts_with(OTHERS));
        }
        if !self.step_done("off") {
            return self.cycle_off(service, link, up, off);
        }
        let others = self.noted(OTHERS).unwrap_or_default();
        let lost: Vec<&str> = others.split(',').filter(|h| !h.is_empty() && !up.iter().any(|u| u == h)).collect();
        if !lost.is_empty() && self.noted(WRONG).is_none() {
            self.note(format!("{WRONG}{}", lost.join(",")));
        }
        let state = link.state.seen().copied().unwrap_or(PowerState::Unknown);
        let since = self.status.soft_off_at.map_or(0, |at| self.env.seconds_since(at));
        if !self.step_done("on") {
            let silent = state == PowerState::Off && !service.up;
            if self.noted(WRONG).is_none() && !silent {
                if since < CYCLE_SECONDS {
                    let message = "waiting for the link to read off and for exactly this service to fall silent";
                    return Turn::Next(wait(reasons::WAITING_FOR_POWER, message, 3));
                }
                self.note(format!("{WRONG}none fell silent"));
            }
            self.note("on".into());
            return Turn::Next(Next::Step(Step::Power { link: link.name.clone(), command: PowerCommand::On }));
        }
        // Whatever was found, the machine behind the link gets its power back.
        if state != PowerState::On && since <= 2 * CYCLE_SECONDS {
            return Turn::Next(power::resend(link, self.env, PowerCommand::On));
        }
        if let Some(wrong) = self.noted(WRONG) {
            let message = format!(
                "link {} does not power host {}: its service did not fall silent, or others did ({wrong}); check the cabling and the endpoint",
                link.name, self.facts.host
            );
            return self.give_up(service, reasons::REFUSED, message);
        }
        if !service.up {
            if since > CYCLE_SECONDS {
                let message = format!("host {} did not come back within {CYCLE_SECONDS} s; look at its console", self.facts.host);
                return self.give_up(service, reasons::SERVICE_DOWN, message);
            }
            return Turn::Next(wait(reasons::SERVICE_DOWN, "waiting for the host to come back", 3));
        }
        self.enable_again(service).unwrap_or_else(|| self.verified(link, VerifiedBy::Cycle))
    }

    /// Only a host that is empty, heard and reads on can be seen to fall silent.
    fn cycle_off(&mut self, service: &ServiceFacts, link: &LinkFacts, up: &[String], off: Step) -> Turn {
        let Some(guests) = self.facts.guests.seen() else {
            return Turn::Next(wait(reasons::NOVA_UNREADABLE, format!("guests cannot be listed: {}", self.facts.guests.why()), 5));
        };
        if guests.iter().any(|g| g.may_run()) {
            return self.give_up(service, reasons::GUESTS_RUNNING, "guests run on the host; drain it first".into());
        }
        if !service.up {
            let message = "its nova-compute is down, so nobody could see it fall silent; use another method";
            return self.give_up(service, reasons::SERVICE_DOWN, message.into());
        }
        match &link.state {
            Fact::Seen(PowerState::On, _) => {}
            Fact::Seen(PowerState::Off, _) => {
                let message = format!(
                    "link {} reads off while nova-compute of host {} is up: it powers another machine; check the cabling and the endpoint",
                    link.name, self.facts.host
                );
                return self.give_up(service, reasons::REFUSED, message);
            }
            other => return Turn::Next(power::unreadable(&format!("{}: {}", link.name, other.why()))),
        }
        if service.enabled {
            self.note("disabled".into());
            return Turn::Next(Next::Step(service::disable(service, &self.env.cluster_uuid, "link being verified")));
        }
        let (gate, since) = empty::gate(self.facts, self.env, self.empty_since);
        self.status.empty_since = since;
        match gate {
            Gate::Not(why) => Turn::Next(wait(reasons::PROVING_EMPTY, format!("not proven empty: {why}"), 3)),
            Gate::SecondPass(left) => {
                Turn::Next(wait(reasons::PROVING_EMPTY, "a second look 30 s after the first makes sure that the host is empty", left))
            }
            Gate::Empty => {
                self.note(format!("{OTHERS}{}", up.join(",")));
                self.note("off".into());
                self.status.soft_off_at = Some(self.env.now);
                Turn::Next(Next::Step(off))
            }
        }
    }

    /// What we disabled for the cycle is enabled again.
    fn enable_again(&self, service: &ServiceFacts) -> Option<Turn> {
        let ours = self.step_done("disabled") && !service.enabled && service::is_ours(service, &self.env.cluster_uuid);
        ours.then(|| Turn::Next(Next::Step(service::enable(service))))
    }

    fn give_up(&self, service: &ServiceFacts, reason: &'static str, message: String) -> Turn {
        self.enable_again(service).unwrap_or(Turn::Failed(reason, message))
    }

    /// A cycle that is cancelled in its middle first gives the machine behind the link its power back, whoever that is.
    pub(super) fn give_power_back(&mut self) -> Option<Next> {
        let cycle = self.op.spec.r#type == HostOperationType::Initialise && self.op.spec.method == InitialiseMethod::Cycle;
        let since = self.status.soft_off_at.map_or(0, |at| self.env.seconds_since(at));
        if !cycle || !self.step_done("off") || since > 2 * CYCLE_SECONDS || self.env.claimed_by_other().is_some() {
            return None;
        }
        let foreign = self.facts.service.seen().is_some_and(|s| service::foreign(s, &self.env.cluster_uuid).is_some());
        let link = self.wanted_link().ok().filter(|l| !foreign && l.state.seen() != Some(&PowerState::On))?;
        if let Some(why) = &self.env.halted {
            return Some(wait(reasons::RESTORED, why.clone(), 60));
        }
        self.claim = ClaimWish::Take { rank: Rank::HostOperation as i64, purpose: "operation".into(), max: None };
        Some(power::resend(&link, self.env, PowerCommand::On))
    }
}
