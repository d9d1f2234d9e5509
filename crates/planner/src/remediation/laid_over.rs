//! Policies as they might be: laid over those that there are, to see what would be decided under them.

use super::input::PolicyRow;
use schemas::{DynObject, FieldError, Object, kinds, v1::RemediationPolicy};
use serde_json::Value;

/// A RemediationPolicy that is tried out. Its status counts for nothing.
pub type LaidOver = Object<RemediationPolicy>;

/// The policy that a client describes as `{"metadata": {"name": …}, "spec": …}`; `at` is where it stands, for errors.
///
/// # Errors
/// Every field that is wrong, as when such an object is written.
pub fn policy_from(at: &str, value: &Value) -> Result<LaidOver, Vec<FieldError>> {
    let field = |name: &str| if at.is_empty() { name.to_string() } else { format!("{at}.{name}") };
    let one = |name: &str, reason: &str, message: String| Err(vec![FieldError::new(field(name), reason, message)]);
    match value["kind"].as_str() {
        None | Some("RemediationPolicy") => {}
        Some(other) => return one("kind", "Invalid", format!("is {other}; only a RemediationPolicy can be laid over.")),
    }
    let Some(name) = value["metadata"]["name"].as_str().filter(|n| !n.is_empty()) else {
        return one("metadata.name", "Required", "must name the RemediationPolicy that is tried out.".into());
    };
    let Some(kind) = kinds::find("RemediationPolicy") else {
        return one("kind", "Invalid", "this program does not know RemediationPolicies.".into());
    };
    let empty = Value::Object(Default::default());
    let spec = if value["spec"].is_null() { &empty } else { &value["spec"] };
    let moved = |mut e: FieldError| {
        e.field = field(&e.field);
        e
    };
    let spec = (kind.normalise)(name, spec).map_err(|errors| errors.into_iter().map(moved).collect::<Vec<_>>())?;
    DynObject::new(kind.kind, name, spec).typed().map_err(|e| vec![moved(e)])
}

/// Takes the spec of each from `over`, and adds those that are not there.
pub fn lay_over(policies: &mut Vec<PolicyRow>, over: &[LaidOver]) {
    for new in over {
        match policies.iter_mut().find(|p| p.policy.metadata.name == new.metadata.name) {
            Some(old) => old.policy.spec = new.spec.clone(),
            None => policies.push(PolicyRow { policy: new.clone(), due: true }),
        }
    }
}
