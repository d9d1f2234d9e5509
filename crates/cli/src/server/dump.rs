//! `config dump`: every value and where it came from, and where the objects named `default` say otherwise.

use super::database;
use crate::{
    args::ServerArgs,
    config::{self, Config},
};
use anyhow::bail;
use schemas::DynObject;
use serde_json::Value;
use std::time::Duration;
use store::{KeyRing, SqlStore, Store};

/// Longest wait for the database: the rest of the dump needs none.
const PATIENCE: Duration = Duration::from_secs(5);

/// The whole text.
pub(super) async fn text(args: &ServerArgs) -> anyhow::Result<String> {
    let loaded = config::load(args)?;
    let text = loaded.dump();
    let told = match tokio::time::timeout(PATIENCE, in_force(&loaded.config)).await {
        Ok(Ok(told)) => told,
        Ok(Err(error)) => format!("# What the objects named default say cannot be told: {error:#}"),
        Err(_) => format!("# What the objects named default say cannot be told: the database did not answer within {} s", PATIENCE.as_secs()),
    };
    Ok(format!("{}\n\n{told}", text.trim_end()))
}

/// What is in force of `[policy]` and `[remediation]`: an object that is there counts, whatever is configured.
async fn in_force(config: &Config) -> anyhow::Result<String> {
    let place = database::store_config(config)?;
    if place.sqlite_path().is_some_and(|path| !path.exists()) {
        return Ok("# There is no database yet: the objects named default begin with what is configured here.".into());
    }
    let store = SqlStore::open(&place, KeyRing::none(&database::key_file(config)?)).await?;
    let configured =
        [("ClusterPolicy", serde_json::to_value(config.policy.spec())?), ("RemediationPolicy", serde_json::to_value(config.remediation.spec())?)];
    let mut lines = Vec::new();
    for (kind, spec) in configured {
        let Some(object) = store.get(kind, "default").await? else {
            lines.push(format!("# {kind} default is not there yet: it begins with what is configured here."));
            continue;
        };
        let Value::Object(_) = object.spec else { bail!("{kind} default has no spec") };
        lines.extend(differences(&object, &spec));
    }
    Ok(lines.join("\n"))
}

/// Each field of the object that is not what is configured, as a comment.
fn differences(object: &DynObject, configured: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    compare("spec", &object.spec, configured, &mut lines);
    let kind = &object.kind;
    if lines.is_empty() {
        return vec![format!("# In force: {kind} default, which says what is configured here.")];
    }
    let edit = format!("# In force: {kind} default, which says otherwise than what is configured here; change it with `cloud-manager apply`:");
    std::iter::once(edit).chain(lines).collect()
}

fn compare(path: &str, there: &Value, configured: &Value, lines: &mut Vec<String>) {
    match (there, configured) {
        (Value::Object(a), Value::Object(b)) => {
            let more = b.keys().filter(|key| !a.contains_key(*key));
            for key in a.keys().chain(more) {
                compare(&format!("{path}.{key}"), &there[key], &configured[key], lines);
            }
        }
        _ if there != configured => lines.push(format!("#   {path} = {there} (configured: {configured})")),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_default_object_that_says_otherwise_is_told_field_by_field() {
        let configured = json!({"limits": {"maxDownHosts": 0}, "watching": "On"});
        let object = |spec| DynObject::new("RemediationPolicy", "default", spec);
        let same = differences(&object(configured.clone()), &configured);
        assert_eq!(same, ["# In force: RemediationPolicy default, which says what is configured here."]);
        let other = differences(&object(json!({"limits": {"maxDownHosts": 2}, "watching": "On", "selector": "a=b"})), &configured);
        assert_eq!(other[1..], ["#   spec.limits.maxDownHosts = 2 (configured: 0)", "#   spec.selector = \"a=b\" (configured: null)"]);
    }
}
