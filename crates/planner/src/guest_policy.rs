//! What holds for one guest: its own metadata, else its GuestPolicies, else the cluster's default.

use crate::facts::Guest;
use schemas::{
    ConditionStatus, Object,
    selector::Selector,
    v1::{ClusterPolicySpec, GuestPolicy, TargetState, reasons},
};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// All GuestPolicies, with their selectors read once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules(Vec<Rule>);

#[derive(Clone, Debug, PartialEq)]
struct Rule {
    policy: Object<GuestPolicy>,
    metadata: Selector,
    image: Selector,
}

/// What holds for a guest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruling {
    /// Recovery priority, 0 to 10.
    pub priority: i64,
    /// Pause after its group, if not the usual one, in seconds.
    pub pause_seconds: Option<i64>,
    /// Who brings it back instead of us; empty: we do.
    pub owner: String,
    /// It is left stopped.
    pub leave_stopped: bool,
    /// Policies that select it and do not agree on its priority.
    pub conflict: Vec<String>,
}

/// Whether a policy selects a guest.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fit {
    Yes,
    No,
    /// Nova does not tell the properties of its image.
    Unknown,
}

impl Rules {
    /// Of these policies. One whose selector cannot be read selects nothing.
    pub fn of(policies: Vec<Object<GuestPolicy>>) -> Rules {
        let rule = |policy: Object<GuestPolicy>| {
            let selector = &policy.spec.selector;
            let (metadata, image) = (Selector::parse(&selector.metadata).ok()?, Selector::parse(&selector.image_properties).ok()?);
            Some(Rule { metadata, image, policy })
        };
        Rules(policies.into_iter().filter(|p| p.metadata.deletion_timestamp.is_none()).filter_map(rule).collect())
    }

    /// Whether any of them asks for server groups.
    pub fn ask_for_groups(&self) -> bool {
        self.0.iter().any(|r| !r.policy.spec.selector.server_groups.is_empty())
    }

    /// What holds for a guest. If nobody can tell whether a policy selects it, what that policy keeps from being done holds,
    /// and nothing else of it (S1). Where policies do not agree on a priority, 0 goes before all, else the default holds.
    pub fn ruling(&self, guest: &Guest, groups: &[&str], cluster: &ClusterPolicySpec) -> Ruling {
        let fits: Vec<(&Rule, Fit)> = self.0.iter().map(|r| (r, r.fit(guest, groups))).filter(|(_, fit)| *fit != Fit::No).collect();
        let sure = || fits.iter().filter(|(_, fit)| *fit == Fit::Yes).map(|(r, _)| &r.policy);
        let number = |key: &str, max: i64| guest.metadata.get(key).and_then(|v| v.trim().parse::<i64>().ok()).filter(|n| (0..=max).contains(n));
        let mut ruling = Ruling {
            priority: cluster.default_recovery_priority,
            pause_seconds: sure().filter_map(|p| p.spec.evacuation_time_seconds).max(),
            leave_stopped: sure().any(|p| p.spec.target_state == TargetState::Stopped),
            owner: fits.iter().find_map(|(r, _)| r.policy.spec.owner.clone()).unwrap_or_default(),
            conflict: Vec::new(),
        };
        let wanted: BTreeSet<i64> = sure().filter_map(|p| p.spec.priority).collect();
        let never = fits.iter().any(|(r, _)| r.policy.spec.priority == Some(0));
        let mut all = wanted.iter();
        match (all.next(), all.next()) {
            _ if never => ruling.priority = 0,
            (Some(one), None) => ruling.priority = *one,
            (Some(_), Some(_)) => ruling.conflict = sure().filter(|p| p.spec.priority.is_some()).map(|p| p.metadata.name.clone()).collect(),
            _ => {}
        }
        // Nonsense in the guest's own metadata counts as none.
        ruling.priority = number(&cluster.recovery_priority_key, 10).unwrap_or(ruling.priority);
        ruling.pause_seconds = number(&cluster.evacuation_time_key, 86_400).or(ruling.pause_seconds);
        ruling
    }
}

impl Rule {
    fn fit(&self, guest: &Guest, groups: &[&str]) -> Fit {
        let selector = &self.policy.spec.selector;
        let listed = |list: &[String], has: &dyn Fn(&String) -> bool| list.is_empty() || list.iter().any(has);
        let known = listed(&selector.projects, &|p| *p == guest.project)
            && self.metadata.matches(&guest.metadata)
            && listed(&selector.server_groups, &|g| groups.contains(&g.as_str()));
        match &guest.image_properties {
            _ if !known => Fit::No,
            _ if self.image.is_empty() => Fit::Yes,
            // Its disk is a volume: Nova knows no image of it.
            None if guest.boot_from_volume => Fit::No,
            None => Fit::Unknown,
            Some(properties) if self.image.matches(properties) => Fit::Yes,
            Some(_) => Fit::No,
        }
    }
}

/// What one policy selects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Guests it surely selects.
    pub guests: i64,
    /// Guests of which Nova does not tell whether it does.
    pub untold: i64,
    /// Other policies that want another priority for a guest of it.
    pub against: BTreeSet<String>,
}

/// What each policy selects, by its name. `groups`: ids and names of server groups, by server id.
pub fn selections<'a>(rules: &Rules, guests: impl Iterator<Item = &'a Guest>, groups: &HashMap<String, Vec<String>>) -> BTreeMap<String, Selection> {
    let mut found: BTreeMap<String, Selection> = BTreeMap::new();
    for guest in guests {
        let of: Vec<&str> = groups.get(&guest.id).into_iter().flatten().map(String::as_str).collect();
        let fits: Vec<(&Rule, Fit)> = rules.0.iter().map(|r| (r, r.fit(guest, &of))).filter(|(_, fit)| *fit != Fit::No).collect();
        for (rule, fit) in &fits {
            let priority = rule.policy.spec.priority;
            let against = fits.iter().filter(|(other, _)| other.policy.spec.priority.zip(priority).is_some_and(|(a, b)| a != b));
            let selection = found.entry(rule.policy.metadata.name.clone()).or_default();
            selection.against.extend(against.map(|(other, _)| other.policy.metadata.name.clone()));
            match fit {
                Fit::Yes => selection.guests += 1,
                _ => selection.untold += 1,
            }
        }
    }
    found
}

impl Selection {
    /// Ready, with its reason and message.
    pub fn condition(&self) -> (ConditionStatus, &'static str, String) {
        if !self.against.is_empty() {
            let names: Vec<&str> = self.against.iter().map(String::as_str).collect();
            let message = format!(
                "it selects guests together with GuestPolicy {}, with another priority: for these the cluster's default holds, or 0 if one says so; change a selector or a priority",
                names.join(", ")
            );
            return (ConditionStatus::False, reasons::POLICY_CONFLICT, message);
        }
        if self.untold > 0 {
            let message = format!(
                "of {} guests Nova does not tell the properties of their image (it does from 2.98 on): what this policy keeps from being done holds for them, and nothing else of it",
                self.untold
            );
            return (ConditionStatus::Unknown, reasons::NOVA_UNREADABLE, message);
        }
        (ConditionStatus::True, reasons::AS_DESIRED, String::new())
    }
}
