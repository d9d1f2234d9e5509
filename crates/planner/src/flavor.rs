//! What a flavor asks of a host, beside its sizes; and what Nova cannot evacuate at all.

use crate::facts::{Destination, Guest};
use std::collections::BTreeMap;

/// What a guest takes of a host, per resource class of Placement. `resources:X=N` of the flavor goes before its sizes;
/// pinned CPUs are a class of their own.
pub fn needs(sizes: [(&str, i64); 3], extra_specs: &BTreeMap<String, String>) -> BTreeMap<String, i64> {
    let pinned = extra_specs.get("hw:cpu_policy").is_some_and(|p| p == "dedicated");
    let class = |c: &str| if c == "VCPU" && pinned { "PCPU".to_string() } else { c.to_string() };
    let mut needs: BTreeMap<String, i64> = sizes.into_iter().map(|(c, n)| (class(c), n)).collect();
    for (key, value) in extra_specs {
        if let (Some(class), Ok(n)) = (key.strip_prefix("resources:"), value.trim().parse()) {
            needs.insert(class.into(), n);
        }
    }
    needs.retain(|_, n| *n > 0);
    needs
}

/// Why Nova refuses to evacuate such a guest, if it does.
pub fn obstacle(guest: &Guest) -> Option<&'static str> {
    let says = |key: &str| guest.extra_specs.contains_key(key);
    let image = |key: &str| guest.image_properties.as_ref().is_some_and(|p| p.contains_key(key));
    if says("hw:tpm_version") || says("hw:tpm_model") || image("hw_tpm_version") || image("hw_tpm_model") {
        return Some("it has a virtual TPM, whose state is on its host");
    }
    says("accel:device_profile").then_some("it has an accelerator of its host (accel:device_profile)")
}

/// What a host has to be for a guest, other than large enough.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Demands {
    /// Traits it must have.
    required: Vec<String>,
    /// Traits it must not have.
    forbidden: Vec<String>,
    /// Keys and values that an aggregate of it must have.
    aggregates: Vec<(String, String)>,
    /// Project of the guest: some aggregates take only certain ones.
    project: String,
}

impl Demands {
    /// Those of a guest.
    pub fn of(guest: &Guest) -> Demands {
        let mut demands = Demands { project: guest.project.clone(), ..Demands::default() };
        for (key, value) in &guest.extra_specs {
            if let Some(name) = key.strip_prefix("trait:") {
                match value.as_str() {
                    "required" => demands.required.push(name.into()),
                    "forbidden" => demands.forbidden.push(name.into()),
                    _ => {}
                }
            }
            // A value with an operator of Nova's filter (`<or> a <or> b`, `s== a`, `>= 3`) is left to Nova.
            let with_operator = value.strip_prefix('s').unwrap_or(value).starts_with(['<', '>', '=', '!']);
            if let Some(name) = key.strip_prefix("aggregate_instance_extra_specs:")
                && !with_operator
            {
                demands.aggregates.push((name.into(), value.clone()));
            }
        }
        demands
    }

    /// What a host lacks for it.
    pub fn unmet(&self, host: &Destination) -> Option<String> {
        let has = |t: &String| host.traits.contains(t);
        if let Some(missing) = self.required.iter().find(|t| !has(t)) {
            return Some(format!("without trait {missing}"));
        }
        if let Some(odd) = self.forbidden.iter().find(|t| has(t)) {
            return Some(format!("with the forbidden trait {odd}"));
        }
        let listed = |text: &str, wanted: &str| text.split(',').any(|v| v.trim() == wanted);
        let in_one = |(key, value): &&(String, String)| host.aggregates.iter().any(|(k, v)| k == key && listed(v, value));
        if let Some((key, value)) = self.aggregates.iter().find(|d| !in_one(d)) {
            return Some(format!("in no aggregate with {key}={value}"));
        }
        // A host that is in such an aggregate takes only its projects (AggregateMultiTenancyIsolation).
        let mut tenants = host.aggregates.iter().filter(|(k, _)| k.starts_with("filter_tenant_id")).map(|(_, v)| v).peekable();
        if tenants.peek().is_some() && !tenants.any(|v| listed(v, &self.project)) {
            return Some("kept for other projects".into());
        }
        None
    }
}
