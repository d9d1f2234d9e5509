//! What the policy of one host says now of something that was begun for it without a person, or is about to be.

use super::{
    choice::{Choice, Unclear},
    input::PolicyRow,
    verdict::Begin,
};
use schemas::{
    Object,
    v1::{
        Action, Approval, AutomaticEvacuation, EvacuationRule, Host, HostSpec, Level, Pace, PowerOnReturn, RemediationPolicySpec, RemediationRule,
        Restart, ReturnMode, Watching, reasons,
    },
};

/// A stable word and a sentence.
type Why = (&'static str, String);

/// The policy that holds for a host, and what the host itself says.
#[derive(Clone, Debug, PartialEq)]
pub struct Holding {
    /// Name of the policy.
    pub policy: String,
    /// What it says.
    pub spec: RemediationPolicySpec,
    /// Name of the host.
    pub host: String,
    /// What it declares.
    pub of_host: HostSpec,
}

impl Holding {
    /// Chosen from all policies.
    ///
    /// # Errors
    /// Why nobody can tell which one holds, with what to do.
    pub fn of(host: &Object<Host>, policies: &[PolicyRow]) -> Result<Holding, String> {
        let row = Choice::of(policies).for_host(host).map_err(|unclear| unclear.answer().1)?;
        Ok(Holding {
            policy: row.policy.metadata.name.clone(),
            spec: row.policy.spec.clone(),
            host: host.metadata.name.clone(),
            of_host: host.spec.clone(),
        })
    }

    /// Why this is not to go on without a person. Limits on how much is begun do not count: it was begun within them.
    pub fn forbids(&self, what: Begin) -> Option<Why> {
        let name = &self.policy;
        if self.spec.detection.mode == Watching::Off {
            return Some((reasons::NOT_WATCHED, format!("RemediationPolicy {name} has detection.mode: Off; set it to On")));
        }
        if self.spec.limits.max_down_hosts == 0 {
            return Some((reasons::NEVER_EVACUATE, format!("RemediationPolicy {name} has limits.maxDownHosts: 0; raise it")));
        }
        if what == Begin::Restart && self.spec.restart == Restart::Forbid {
            return Some((reasons::RESTART_FORBIDDEN, format!("RemediationPolicy {name} has restart: Forbid; set it to Allow")));
        }
        forbidden(&self.host, &self.of_host, name, &self.spec, what)
    }

    /// Why a return is not to go on without a person. `from`: the Evacuation that it follows.
    pub fn forbids_return(&self, what: Begin, from: &str) -> Option<Why> {
        let (name, rules) = (&self.policy, &self.spec.return_to_service);
        let changed = |text: String| Some((reasons::POLICY_CHANGED, format!("RemediationPolicy {name} has {text}")));
        if self.spec.detection.mode == Watching::Off {
            return changed("detection.mode: Off".into());
        }
        if rules.mode == ReturnMode::Manual {
            return changed("returnToService.mode: Manual".into());
        }
        if what == Begin::PowerOn && rules.power_on == PowerOnReturn::Never {
            return changed("returnToService.powerOn: Never".into());
        }
        if rules.approval == Approval::Required && self.of_host.approved_return.as_deref() != Some(from) {
            return changed(format!("returnToService.approval: Required, and the return from {from} is not approved"));
        }
        forbidden(&self.host, &self.of_host, name, &self.spec, what)
    }

    /// How an evacuation under it goes.
    pub fn pace(&self) -> Pace {
        self.spec.evacuation.pace()
    }

    /// Whether hosts are never switched off before an evacuation.
    pub fn never_fences(&self) -> bool {
        self.spec.evidence.demanded(Action::Fence) == Level::PowerOff
    }
}

/// Why something is never begun for a host without a person, whatever else holds. A host that is excluded is left alone
/// altogether; one whose evacuation is denied, or forbidden by the policy, may still be restarted.
pub(super) fn forbidden(host: &str, of_host: &HostSpec, policy: &str, spec: &RemediationPolicySpec, what: Begin) -> Option<Why> {
    let rules = &spec.evacuation;
    if of_host.remediation == RemediationRule::Excluded {
        return Some((
            reasons::HOST_EXCLUDED,
            format!(
                "spec.remediation is Excluded: nothing is begun for it without a person; `include {host}` ends that, `evacuate {host}` does it by hand"
            ),
        ));
    }
    if rules.excluded_hosts.iter().any(|excluded| excluded == host) {
        return Some((reasons::EVACUATION_FORBIDDEN, format!("RemediationPolicy {policy} excludes it; `evacuate {host}` does it by hand")));
    }
    if what != Begin::Evacuate {
        return None;
    }
    if of_host.evacuation == EvacuationRule::Denied {
        return Some((reasons::EVACUATION_DENIED, "spec.evacuation is Denied".into()));
    }
    if rules.mode == AutomaticEvacuation::Forbidden {
        let message = format!("RemediationPolicy {policy} has evacuation.mode: Forbidden; `evacuate {host}` does it by hand");
        return Some((reasons::EVACUATION_FORBIDDEN, message));
    }
    None
}

impl Unclear {
    /// In words, with what to do.
    pub(super) fn answer(self) -> Why {
        match self {
            Unclear::Missing(name) => {
                (reasons::NOT_FOUND, format!("there is no RemediationPolicy {name}; make it, or change spec.remediationPolicyRef"))
            }
            Unclear::Several(names) => {
                let message = format!(
                    "RemediationPolicies {} all select it; change their selectors, or name one in spec.remediationPolicyRef",
                    names.join(" and ")
                );
                (reasons::POLICY_CONFLICT, message)
            }
        }
    }
}
