//! Which policy holds for a host.

use super::input::PolicyRow;
use schemas::{
    Object,
    selector::Selector,
    v1::{Host, RemediationPolicy},
};

/// Name of the policy that holds for every host that no other claims.
const DEFAULT: &str = "default";

/// The policy that holds for a host, if one clearly does.
pub fn policy_of(host: &Object<Host>, policies: Vec<Object<RemediationPolicy>>) -> Option<Object<RemediationPolicy>> {
    let rows: Vec<PolicyRow> = policies.into_iter().map(|policy| PolicyRow { policy, due: false }).collect();
    Choice::of(&rows).for_host(host).ok().map(|row| row.policy.clone())
}

/// Why nobody can tell which policy holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unclear {
    /// The one that the host names is not there.
    Missing(String),
    /// Several select it.
    Several(Vec<String>),
}

impl Unclear {
    /// The policies that it may be for: it counts against the limits of each (I6).
    pub fn may_be(&self) -> Vec<&str> {
        match self {
            Unclear::Missing(_) => vec![DEFAULT],
            Unclear::Several(names) => names.iter().map(String::as_str).collect(),
        }
    }
}

/// A policy with its selector, read once for all hosts.
pub(super) struct Choice<'a> {
    policies: Vec<(&'a PolicyRow, Option<Selector>)>,
}

impl<'a> Choice<'a> {
    /// Of these policies.
    pub fn of(policies: &'a [PolicyRow]) -> Choice<'a> {
        let selector = |p: &PolicyRow| Selector::parse(&p.policy.spec.selector).ok().filter(|s| !s.is_empty());
        Choice { policies: policies.iter().map(|p| (p, selector(p))).collect() }
    }

    /// The one that the host names, else the only one that selects it, else `default`.
    pub fn for_host(&self, host: &Object<Host>) -> Result<&'a PolicyRow, Unclear> {
        let named = |name: &str| {
            let found = self.policies.iter().find(|(p, _)| p.policy.metadata.name == name);
            found.map(|(p, _)| *p).ok_or_else(|| Unclear::Missing(name.into()))
        };
        if let Some(name) = &host.spec.remediation_policy_ref {
            return named(&name.name);
        }
        let selects = |s: &Option<Selector>| s.as_ref().is_some_and(|s| s.matches(&host.metadata.labels));
        let fitting: Vec<&PolicyRow> = self.policies.iter().filter(|(_, s)| selects(s)).map(|(p, _)| *p).collect();
        match fitting.as_slice() {
            [] => named(DEFAULT),
            [one] => Ok(one),
            several => Err(Unclear::Several(several.iter().map(|p| p.policy.metadata.name.clone()).collect())),
        }
    }
}
