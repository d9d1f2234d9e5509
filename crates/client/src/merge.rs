//! Overlaying a manifest on a live object: given fields win, all else stays.

use serde_json::{Map, Value, json};

/// Metadata that a manifest may change.
const MAPS: [&str; 2] = ["labels", "annotations"];
/// Metadata lists that a manifest replaces if it gives them.
const LISTS: [&str; 2] = ["finalizers", "ownerReferences"];

/// `live` with the fields of `given` laid over it: objects are merged member by member, a `null`
/// takes the field away (RFC 7396), lists and plain values are replaced.
pub fn deep(live: &Value, given: &Value) -> Value {
    let Value::Object(given) = given else { return given.clone() };
    let mut merged = match live {
        Value::Object(live) => live.clone(),
        _ => Map::new(),
    };
    for (key, value) in given {
        if value.is_null() {
            merged.shift_remove(key);
        } else {
            let below = merged.get(key).unwrap_or(&Value::Null);
            let value = deep(below, value);
            merged.insert(key.clone(), value);
        }
    }
    Value::Object(merged)
}

/// The body of a PUT: the live object with the manifest's spec, labels and annotations laid over
/// it. Status and what the server owns are taken from the live object.
pub fn overlay(live: &Value, given: &Value) -> Value {
    let mut merged = live.clone();
    if given["spec"].is_object() {
        merged["spec"] = deep(&live["spec"], &given["spec"]);
    }
    for key in MAPS {
        if given["metadata"][key].is_object() {
            let laid = deep(&live["metadata"][key], &given["metadata"][key]);
            set_or_remove(&mut merged["metadata"], key, laid);
        }
    }
    for key in LISTS {
        if given["metadata"][key].is_array() {
            set_or_remove(&mut merged["metadata"], key, given["metadata"][key].clone());
        }
    }
    merged
}

/// The body of a POST: what a client may say of a new object, and nothing the server owns.
pub fn for_create(given: &Value) -> Value {
    let mut metadata = json!({"name": given["metadata"]["name"]});
    for key in MAPS.into_iter().chain(LISTS) {
        if !given["metadata"][key].is_null() {
            metadata[key] = given["metadata"][key].clone();
        }
    }
    let spec = if given["spec"].is_object() { deep(&json!({}), &given["spec"]) } else { json!({}) };
    json!({"apiVersion": schemas::API_VERSION, "kind": given["kind"], "metadata": metadata, "spec": spec})
}

/// An empty map or list is the same as none; the server leaves it out.
fn set_or_remove(metadata: &mut Value, key: &str, value: Value) {
    let empty = value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty);
    match (empty, metadata.as_object_mut()) {
        (true, Some(metadata)) => {
            metadata.shift_remove(key);
        }
        _ => metadata[key] = value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_fields_win_and_all_others_stay() {
        let live = json!({"power": "On", "title": "rack a", "endpoint": {"host": "a", "port": 623}});
        let merged = deep(&live, &json!({"power": "Off", "endpoint": {"host": "b"}}));
        assert_eq!(merged, json!({"power": "Off", "title": "rack a", "endpoint": {"host": "b", "port": 623}}));
    }

    #[test]
    fn lists_are_replaced_and_null_takes_a_field_away() {
        let live = json!({"list": [1, 2, 3], "seconds": 5});
        assert_eq!(deep(&live, &json!({"list": [4], "seconds": null})), json!({"list": [4]}));
    }

    #[test]
    fn an_overlay_never_touches_status_or_what_the_server_owns() {
        let live = json!({"kind": "Host", "metadata": {"name": "c1", "uid": "u", "resourceVersion": "7", "labels": {"a": "1"}},
                          "spec": {"power": "On"}, "status": {"epoch": 3}});
        let given = json!({"kind": "Host", "metadata": {"name": "c1", "uid": "other", "resourceVersion": "1", "labels": {"b": "2"}},
                           "spec": {"power": "Off"}, "status": {"epoch": 9}});
        let merged = overlay(&live, &given);
        assert_eq!(merged["metadata"], json!({"name": "c1", "uid": "u", "resourceVersion": "7", "labels": {"a": "1", "b": "2"}}));
        assert_eq!((&merged["spec"]["power"], &merged["status"]["epoch"]), (&json!("Off"), &json!(3)));
    }

    #[test]
    fn the_same_manifest_laid_over_twice_changes_nothing_the_second_time() {
        let live = json!({"metadata": {"name": "c1"}, "spec": {"power": "On"}});
        let given = json!({"metadata": {"name": "c1", "labels": {"a": "1", "gone": null}, "finalizers": []}, "spec": {"power": "Off"}});
        let once = overlay(&live, &given);
        assert_eq!(overlay(&once, &given), once);
        assert_ne!(once, live);
    }

    #[test]
    fn a_new_object_carries_nothing_that_the_server_owns() {
        let given = json!({"kind": "Host", "metadata": {"name": "c1", "uid": "u", "generation": 4, "labels": {"a": "1"}},
                           "spec": {"power": "Off", "title": null}, "status": {"epoch": 1}});
        let want =
            json!({"apiVersion": "cloud-manager/v1", "kind": "Host", "metadata": {"name": "c1", "labels": {"a": "1"}}, "spec": {"power": "Off"}});
        assert_eq!(for_create(&given), want);
    }
}
