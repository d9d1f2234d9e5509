//! Runs the decision over recorded passes, and tells what is new in each.

use super::{
    input::{HostRow, Input},
    laid_over::{LaidOver, lay_over},
    pass::{Verdicts, pass},
    recording::{FORMAT, Line},
    verdict::{HostVerdict, PolicyVerdict},
};
use crate::Fact;
use schemas::{
    Time,
    v1::{Availability, AvailabilityState, FailureDomain, Storm},
};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// One thing that is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Told {
    /// When that pass was.
    pub at: Time,
    /// `Host`, `RemediationPolicy` or `FailureDomain`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// The policy that holds for the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// What is decided, in words.
    pub decided: String,
    /// What was decided when it was recorded, where that is something else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorded: Option<String>,
}

/// A recording as far as it was read.
#[derive(Default)]
pub struct Replay {
    begun: bool,
    over: Vec<LaidOver>,
    hosts: BTreeMap<String, HostRow>,
    domains: Vec<schemas::Object<FailureDomain>>,
    /// What was decided of each host when it was recorded.
    recorded: BTreeMap<String, Value>,
    /// What was told last of each object, in short: what is decided, and what was recorded in its place.
    told: BTreeMap<(&'static str, String), (String, Option<String>)>,
    /// Hosts that would have been treated otherwise than they were: each as it was when the ways parted.
    parted: BTreeMap<String, HostRow>,
    /// Where hosts would stand that stood elsewhere.
    stands: BTreeMap<String, Availability>,
    /// What policies would remember: begins, and storms.
    remembers: BTreeMap<String, (Vec<Time>, Vec<Storm>)>,
}

impl Replay {
    /// Under the recorded policies, with these laid over them.
    pub fn under(over: Vec<LaidOver>) -> Replay {
        Replay { over, ..Replay::default() }
    }

    /// Runs the next pass, and tells what is new in it.
    ///
    /// # Errors
    /// The line does not follow those before it.
    pub fn next(&mut self, line: Line) -> Result<Vec<Told>, String> {
        if line.format != FORMAT {
            return Err(format!("format: is {}, and this program reads {FORMAT}; replay it with the version that recorded it", line.format));
        }
        if !line.whole && !self.begun {
            return Err("whole: is false, and no whole line stands before it: the beginning is missing".into());
        }
        self.begun = true;
        let recorded = self.take(&line.verdicts, line.whole);
        let mut input = self.rebuilt(line);
        if self.over.is_empty() {
            let verdicts = pass(&input);
            return Ok(self.tell(&input, &verdicts, &recorded));
        }
        self.lay_over(&mut input);
        let verdicts = pass(&input);
        let told = self.tell(&input, &verdicts, &recorded);
        self.follow(&input, &verdicts);
        Ok(told)
    }

    /// Skips to the next whole line: what comes until then has lost its beginning.
    pub fn interrupted(&mut self) {
        self.begun = false;
    }

    /// Whether the lines before the next are all there.
    pub fn is_whole(&self) -> bool {
        self.begun
    }

    /// What was decided of policies and domains in this line; that of hosts is kept.
    fn take(&mut self, verdicts: &Value, whole: bool) -> BTreeMap<(&'static str, String), Value> {
        if whole {
            self.recorded.clear();
        }
        let list = |key: &str| verdicts[key].as_array().cloned().unwrap_or_default();
        let name = |v: &Value, key: &str| v[key].as_str().unwrap_or_default().to_string();
        self.recorded.extend(list("hosts").into_iter().map(|v| (name(&v, "host"), v)));
        let policies = list("policies").into_iter().map(|v| (("RemediationPolicy", name(&v, "policy")), v));
        let domains = list("domains").into_iter().map(|v| (("FailureDomain", name(&v, "domain")), v));
        policies.chain(domains).collect()
    }

    /// The input of that pass.
    fn rebuilt(&mut self, line: Line) -> Input {
        let Line { whole, gone, same_domains, mut input, .. } = line;
        if whole {
            self.hosts.clear();
        }
        for name in gone {
            self.hosts.remove(&name);
            self.recorded.remove(&name);
        }
        self.hosts.extend(std::mem::take(&mut input.hosts).into_iter().map(|row| (row.host.metadata.name.clone(), row)));
        if same_domains {
            input.domains = self.domains.clone();
        } else {
            self.domains = input.domains.clone();
        }
        input.hosts = self.hosts.values().cloned().collect();
        input
    }

    /// As the pass would have been under the other policies, after what they would have led to before.
    fn lay_over(&self, input: &mut Input) {
        lay_over(&mut input.policies, &self.over);
        for row in &mut input.policies {
            if let Some((begins, storms)) = self.remembers.get(&row.policy.metadata.name) {
                (row.policy.status.begins, row.policy.status.storms) = (begins.clone(), storms.clone());
            }
        }
        for row in &mut input.hosts {
            let name = row.host.metadata.name.clone();
            if let Some(then) = self.parted.get(&name) {
                *row = then.clone();
            }
            if let Some(stands) = self.stands.get(&name) {
                row.host.status.availability = Some(stands.clone());
            }
            // Guests are counted of hosts that would be evacuated, and this one was perhaps not one of them.
            if row.guests == Fact::not_asked() {
                row.guests = Fact::Seen(1, input.now);
            }
        }
    }

    /// Remembers what this pass would have led to.
    fn follow(&mut self, input: &Input, verdicts: &Verdicts) {
        for verdict in &verdicts.policies {
            self.remembers.insert(verdict.policy.clone(), (verdict.begins.clone(), verdict.storms.clone()));
        }
        for verdict in &verdicts.hosts {
            let was = self.recorded.get(&verdict.host).unwrap_or(&Value::Null);
            let begin = |v: &Value| v["begin"].as_str().map(String::from);
            let now = serde_json::to_value(verdict).unwrap_or_default();
            if begin(&now) != begin(was)
                && let Some(row) = input.hosts.iter().find(|row| row.host.metadata.name == verdict.host)
            {
                self.parted.entry(verdict.host.clone()).or_insert_with(|| row.clone());
            }
            if verdict.begin.is_some_and(|b| verdict.is_counted(b))
                && let Some((begins, _)) = verdict.policy.as_ref().and_then(|policy| self.remembers.get_mut(policy))
            {
                begins.push(input.now);
            }
            if !self.parted.contains_key(&verdict.host) && now["availability"] == was["availability"] {
                self.stands.remove(&verdict.host);
                continue;
            }
            let stands = match verdict.begin {
                Some(what) => verdict.clone().begun(what, input.now).availability,
                None => verdict.availability.clone(),
            };
            self.stands.insert(verdict.host.clone(), stands);
        }
    }

    /// What is new in a pass.
    fn tell(&mut self, input: &Input, verdicts: &Verdicts, recorded: &BTreeMap<(&'static str, String), Value>) -> Vec<Told> {
        let mut all = Vec::new();
        let before: BTreeMap<&str, AvailabilityState> = input
            .hosts
            .iter()
            .map(|row| (row.host.metadata.name.as_str(), row.host.status.availability.as_ref().map_or(AvailabilityState::Unknown, |a| a.state)))
            .collect();
        for verdict in &verdicts.policies {
            let was = recorded.get(&("RemediationPolicy", verdict.policy.clone()));
            let decided = of_policy(verdict);
            let recorded = differs(verdict, was).map(policy_in_words);
            let told = Told { at: input.now, kind: "RemediationPolicy", name: verdict.policy.clone(), policy: None, decided, recorded };
            self.add(&mut all, told, None);
        }
        for verdict in &verdicts.domains {
            let was = recorded.get(&("FailureDomain", verdict.domain.clone()));
            let words = verdict.broken.clone().unwrap_or_default();
            let recorded = differs(verdict, was).map(|v| format!("{} of {} hosts down", v["down"], v["hosts"]));
            let words = if recorded.is_some() { format!("{} of {} hosts down {words}", verdict.down, verdict.hosts) } else { words };
            let decided = words.trim_end().to_string();
            self.add(&mut all, Told { at: input.now, kind: "FailureDomain", name: verdict.domain.clone(), policy: None, decided, recorded }, None);
        }
        for verdict in &verdicts.hosts {
            let was = self.recorded.get(&verdict.host).cloned();
            // Where the ways have parted the recording tells of another history.
            let recorded = if self.parted.contains_key(&verdict.host) { None } else { differs(verdict, was.as_ref()).map(host_in_words) };
            let state = before.get(verdict.host.as_str()).copied().unwrap_or_default();
            // A step is told once, and so is what it led to.
            let short = format!("{:?} {:?} {} {:?}", verdict.availability.state, verdict.begin, verdict.allowed.reason, verdict.cancel);
            let (decided, policy) = (of_host(state, verdict), verdict.policy.clone());
            self.add(&mut all, Told { at: input.now, kind: "Host", name: verdict.host.clone(), policy, decided, recorded }, Some(short));
        }
        all
    }

    /// Tells it unless it was told last; `short` is what counts of what is decided, if that is not all of it.
    fn add(&mut self, all: &mut Vec<Told>, told: Told, short: Option<String>) {
        let new = (short.unwrap_or_else(|| told.decided.clone()), told.recorded.clone());
        let is_new = self.told.insert((told.kind, told.name.clone()), new.clone()) != Some(new);
        if is_new && !(told.decided.is_empty() && told.recorded.is_none()) {
            all.push(told);
        }
    }
}

/// What was recorded, if it is something else.
fn differs<'a>(now: &impl Serialize, was: Option<&'a Value>) -> Option<&'a Value> {
    let now = serde_json::to_value(now).unwrap_or_default();
    match was {
        Some(was) if *was == now => None,
        Some(was) => Some(was),
        None => Some(&Value::Null),
    }
}

fn of_policy(verdict: &PolicyVerdict) -> String {
    let allowed = &verdict.allowed;
    let word = if allowed.is_yes() { "may begin" } else { "begins nothing" };
    format!("{word} ({}): {}", allowed.reason, allowed.message)
}

fn policy_in_words(was: &Value) -> String {
    if was.is_null() {
        return "nothing was decided".into();
    }
    let allowed = &was["allowed"];
    let word = if allowed["status"] == "True" { "may begin" } else { "begins nothing" };
    format!("{word} ({}): {}", text(&allowed["reason"]), text(&allowed["message"]))
}

/// Empty if there is nothing to tell of a host that is up or off and stays so.
fn of_host(before: AvailabilityState, verdict: &HostVerdict) -> String {
    use AvailabilityState::{Off, Unknown, Up};
    let state = verdict.availability.state;
    let mut parts = Vec::new();
    if state != before {
        parts.push(format!("{before:?} -> {state:?}"));
    }
    if let Some(begin) = verdict.begin {
        parts.push(format!("begins {}/{}", begin.kind(), verdict.name_of(begin)));
    } else if !matches!(state, Up | Off | Unknown) || verdict.policy.is_none() {
        if parts.is_empty() {
            parts.push(format!("{state:?}"));
        }
        let word = if verdict.allowed.is_yes() { "" } else { "held: " };
        parts.push(format!("{word}{}: {}", verdict.allowed.reason, verdict.allowed.message));
    }
    if let Some(name) = &verdict.cancel {
        parts.push(format!("cancels HostOperation/{name}, which took too long"));
    }
    parts.join("; ")
}

fn host_in_words(was: &Value) -> String {
    if was.is_null() {
        return "nothing was decided".into();
    }
    let begin = was["begin"].as_str().map(|b| format!("; begins {b}")).unwrap_or_default();
    let allowed = &was["allowed"];
    format!("{}{begin}; {}: {}", text(&was["availability"]["state"]), text(&allowed["reason"]), text(&allowed["message"]))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
