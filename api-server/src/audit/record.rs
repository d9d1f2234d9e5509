//! Records in CADF's words.

use super::acting::{Acting, line};
use schemas::{DynObject, KindInfo, kinds::KINDS};
use serde_json::{Map, Value, json};
use store::AuditEntry;

/// Most fields that one record names.
const MOST_FIELDS: usize = 50;
/// Kinds whose writes may begin or allow something disruptive: recorded whatever is configured.
const DISRUPTIVE: [&str; 9] =
    ["Host", "HostOperation", "Evacuation", "FenceAttestation", "FenceDrill", "ClusterPolicy", "RemediationPolicy", "StandbyPool", "PowerLink"];

/// Whether writes of a kind are recorded whatever is configured.
pub(super) fn is_disruptive(kind: &str) -> bool {
    DISRUPTIVE.contains(&kind)
}

/// CADF's word for what a thing is.
fn type_uri(kind: &str) -> String {
    match kind {
        "Host" => "compute/node".into(),
        "PowerDevice" | "PowerLink" => "service/compute/power".into(),
        "ClusterPolicy" | "RemediationPolicy" | "GuestPolicy" => "data/security/policy".into(),
        "Credential" => "data/security/credential".into(),
        "AuditRecord" => "service/security/audit".into(),
        other => format!("service/compute/{}", other.to_ascii_lowercase()),
    }
}

/// What something was done to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Target {
    pub kind: String,
    pub name: String,
    pub uid: String,
    /// The host it is about; may be empty.
    pub host: String,
}

impl Target {
    pub fn of(object: &DynObject) -> Target {
        let text = |pointer: &str| object.spec.pointer(pointer).and_then(Value::as_str).map(str::to_string);
        let host = if object.kind == "Host" { None } else { text("/hostRef/name").or_else(|| text("/host")) };
        Target { kind: object.kind.clone(), name: object.metadata.name.clone(), uid: object.metadata.uid.clone(), host: host.unwrap_or_default() }
    }

    /// Of a request by its path: the object it names, or the path itself.
    pub fn by_path(path: &str) -> Target {
        let parts: Vec<&str> = path.split('/').skip(2).collect();
        let kind = parts.first().and_then(|plural| KINDS.iter().find(|k: &&KindInfo| k.plural == *plural));
        match (kind, parts.get(1)) {
            (Some(kind), Some(name)) => Target { kind: kind.kind.into(), name: line(name), ..Target::default() },
            (Some(kind), None) => Target { kind: kind.kind.into(), name: "*".into(), ..Target::default() },
            (None, _) => Target { kind: "Path".into(), name: line(path), ..Target::default() },
        }
    }

    fn id(&self) -> String {
        format!("{}/{}", self.kind, self.name)
    }
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    /// `success`, `failure` or `unknown`.
    pub word: &'static str,
    /// HTTP status, if it is known.
    pub status: Option<u16>,
    /// Fields that were changed.
    pub changed: Vec<String>,
    /// Further attachments.
    pub more: Vec<(&'static str, Value)>,
}

/// A record of what somebody did, or tried.
pub(super) fn entry(acting: Option<&Acting>, action: &str, target: &Target, outcome: Outcome) -> AuditEntry {
    let who = acting.and_then(|a| a.who.get());
    let initiator_id = who.map_or_else(|| if acting.is_some() { "unknown".into() } else { "api-server".into() }, |w| line(&w.user_id));
    let mut initiator = json!({"typeURI": "service/security/account/user", "id": initiator_id});
    if let Some(who) = who {
        initiator["name"] = line(&who.user_name).into();
        match &who.project_id {
            Some(project) => initiator["project_id"] = line(project).into(),
            None if who.system_scope => initiator["scope"] = "system".into(),
            None => {}
        }
        initiator["credential"] = json!({"type": "token", "token": "***"});
    }
    let mut body = json!({
        "typeURI": "http://schemas.dmtf.org/cloud/audit/1.0/event",
        "eventType": "activity",
        "action": action,
        "outcome": outcome.word,
        "target": {"typeURI": type_uri(&target.kind), "id": if target.uid.is_empty() { target.id() } else { target.uid.clone() }, "name": target.id()},
        "observer": {"typeURI": "service/compute", "id": "cloud-manager", "name": "cloud-manager"},
    });
    let mut attachments: Vec<Value> = outcome.more.into_iter().map(|(name, content)| json!({"name": name, "content": content})).collect();
    if let Some(acting) = acting {
        let address = acting.peer.map(|p| p.ip().to_canonical().to_string());
        initiator["host"] = json!({"address": address, "agent": acting.agent});
        initiator["request_id"] = acting.request_id.as_str().into();
        if let Some(global) = &acting.global_id {
            initiator["global_request_id"] = global.as_str().into();
        }
        body["requestPath"] = line(&acting.path).into();
        if let Some(hash) = acting.body() {
            attachments.push(json!({"name": "bodySha256", "content": hash}));
        }
    }
    if let Some(status) = outcome.status {
        body["reason"] = json!({"reasonType": "HTTP", "reasonCode": status.to_string()});
    }
    if !outcome.changed.is_empty() {
        attachments.push(json!({"name": "fields", "content": outcome.changed}));
    }
    body["initiator"] = initiator;
    if !attachments.is_empty() {
        body["attachments"] = attachments.into();
    }
    AuditEntry {
        action: action.into(),
        outcome: outcome.word.into(),
        target: target.id(),
        target_uid: target.uid.clone(),
        host: target.host.clone(),
        initiator: initiator_id,
        by_user: acting.is_some(),
        cause: None,
        link: None,
        body,
    }
}

/// Paths of the fields that differ between two objects, and never what is in them. Lists are named whole.
pub(super) fn changed(old: Option<&DynObject>, new: &DynObject) -> Vec<String> {
    let empty = Value::Object(Map::new());
    let parts = |o: &DynObject| {
        let meta = json!({"labels": o.metadata.labels, "annotations": o.metadata.annotations, "finalizers": o.metadata.finalizers,
            "deletionTimestamp": o.metadata.deletion_timestamp});
        (meta, o.spec.clone())
    };
    let (old_meta, old_spec) = old.map_or_else(|| (empty.clone(), empty.clone()), parts);
    let (new_meta, new_spec) = parts(new);
    let mut paths = Vec::new();
    differ("metadata", &old_meta, &new_meta, &mut paths);
    differ("spec", &old_spec, &new_spec, &mut paths);
    paths.truncate(MOST_FIELDS);
    paths
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.values().all(is_nothing),
        _ => false,
    }
}

fn differ(path: &str, old: &Value, new: &Value, paths: &mut Vec<String>) {
    match (old, new) {
        _ if old == new || (is_nothing(old) && is_nothing(new)) => {}
        (Value::Object(a), Value::Object(b)) => {
            let mut keys: Vec<&String> = a.keys().chain(b.keys().filter(|k| !a.contains_key(*k))).collect();
            keys.sort();
            for key in keys {
                let name: String = key.chars().filter(|c| !c.is_control()).take(100).collect();
                differ(&format!("{path}.{name}"), a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null), paths);
            }
        }
        (Value::Object(_), Value::Null) | (Value::Null, Value::Object(_)) => {
            let empty = Value::Object(Map::new());
            let or_empty = |v: &Value| if v.is_null() { empty.clone() } else { v.clone() };
            differ(path, &or_empty(old), &or_empty(new), paths);
        }
        _ => paths.push(path.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_named_by_their_paths_and_never_by_what_is_in_them() {
        let mut old = DynObject::new("Host", "a", json!({"power": "On", "title": "x", "list": [1], "deep": {"a": 1, "b": 2}}));
        old.metadata.labels.insert("rack".into(), "r1".into());
        let mut new = old.clone();
        assert_eq!(changed(Some(&old), &new), Vec::<String>::new());
        new.spec = json!({"power": "hunter2", "list": [1, 2], "deep": {"a": 1, "b": 3}});
        new.metadata.labels.insert("secret".into(), "hunter2".into());
        let paths = changed(Some(&old), &new);
        assert_eq!(paths, ["metadata.labels.secret", "spec.deep.b", "spec.list", "spec.power", "spec.title"]);
        assert_eq!(changed(None, &old), ["metadata.labels.rack", "spec.deep.a", "spec.deep.b", "spec.list", "spec.power", "spec.title"]);
        let many: Map<String, Value> = (0..200).map(|n| (format!("k{n}"), json!(n))).collect();
        assert_eq!(changed(None, &DynObject::new("Host", "a", Value::Object(many))).len(), MOST_FIELDS);
    }

    #[test]
    fn a_target_is_the_object_that_a_path_names_or_the_path() {
        let name = |path| Target::by_path(path).id();
        assert_eq!(name("/v1/hosts/c1"), "Host/c1");
        assert_eq!(name("/v1/hosts/c1/actions/evacuate"), "Host/c1");
        assert_eq!(name("/v1/hosts"), "Host/*");
        assert_eq!(name("/v1/evidence"), "Path//v1/evidence");
        assert_eq!(name("/"), "Path//");
    }
}
