//! How long recoveries took, in parts: read off what an object's status says when it ends.

use crate::Metrics;
use schemas::{ConditionStatus, Conditions, DynObject, Time};
use serde::Serialize;
use serde_json::Value;

/// Notes the parts of what ends by this change of status. Times of several leaders' clocks may stand in it; a part that came
/// out negative is left out.
pub(crate) fn note(metrics: &Metrics, before: &DynObject, status: &impl Serialize) {
    if !matches!(before.kind.as_str(), "Evacuation" | "HostOperation") || before.status["finishedAt"].is_string() {
        return;
    }
    let Ok(status) = serde_json::to_value(status) else { return };
    for (part, seconds) in parts(before, &status) {
        if seconds >= 0.0 {
            metrics.recovery(part, seconds);
        }
    }
}

fn parts(object: &DynObject, status: &Value) -> Vec<(&'static str, f64)> {
    let time = |value: &Value| value.as_str().and_then(|text| Time::parse(text).ok());
    let Some((begun, ended)) = object.metadata.creation_timestamp.zip(time(&status["finishedAt"])) else { return Vec::new() };
    let seconds = |from: Time, to: Time| to.millis_since(from) as f64 / 1_000.0;
    let conditions: Vec<schemas::Condition> = serde_json::from_value(status["conditions"].clone()).unwrap_or_default();
    match object.kind.as_str() {
        // Only where something was fenced: a drain proves nothing.
        "Evacuation" => {
            let proof = conditions.find("EvidenceSufficient").filter(|c| c.status == ConditionStatus::True);
            let Some(fenced) = proof.map(|c| c.last_transition_time) else { return Vec::new() };
            vec![("fence", seconds(begun, fenced)), ("relocate", seconds(fenced, ended)), ("total", seconds(begun, ended))]
        }
        "HostOperation" if object.spec["returnsFrom"].is_string() && conditions.is_true("Succeeded") => vec![("return", seconds(begun, ended))],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(seconds: i64) -> Time {
        Time(1_800_000_000_000_000).plus_seconds(seconds)
    }

    fn made(kind: &str, spec: Value) -> DynObject {
        let mut object = DynObject::new(kind, "x", spec);
        object.metadata.creation_timestamp = Some(at(0));
        object
    }

    fn conditions(of: &[(&str, bool, i64)]) -> Value {
        let mut all: Vec<schemas::Condition> = Vec::new();
        for (kind, holds, since) in of {
            all.set(kind, (*holds).into(), "R", "", 1, at(*since));
        }
        json!(all)
    }

    #[test]
    fn an_evacuation_that_fenced_has_three_parts_and_a_drain_none() {
        let object = made("Evacuation", json!({}));
        let status = json!({"finishedAt": at(100), "conditions": conditions(&[("EvidenceSufficient", true, 30)])});
        assert_eq!(parts(&object, &status), [("fence", 30.0), ("relocate", 70.0), ("total", 100.0)]);
        let drained = json!({"finishedAt": at(100), "conditions": conditions(&[("EvidenceSufficient", false, 30)])});
        assert_eq!(parts(&object, &drained), []);
    }

    #[test]
    fn a_return_is_one_that_follows_an_evacuation_and_succeeded() {
        let status = |ok| json!({"finishedAt": at(40), "conditions": conditions(&[("Succeeded", ok, 40)])});
        let object = made("HostOperation", json!({"returnsFrom": "Evacuation/x"}));
        assert_eq!(parts(&object, &status(true)), [("return", 40.0)]);
        assert_eq!(parts(&object, &status(false)), []);
        assert_eq!(parts(&made("HostOperation", json!({})), &status(true)), []);
    }

    #[test]
    fn each_end_is_noted_once_and_never_a_negative_time() {
        let metrics = Metrics::default();
        let mut object = made("Evacuation", json!({}));
        let status = |end, fenced| json!({"finishedAt": at(end), "conditions": conditions(&[("EvidenceSufficient", true, fenced)])});
        note(&metrics, &object, &json!({"conditions": []}));
        note(&metrics, &object, &status(100, 130));
        object.status = status(100, 130);
        note(&metrics, &object, &status(100, 130));
        let text = metrics.text();
        assert!(text.contains("cloud_manager_recovery_seconds_count{part=\"fence\"} 1"), "{text}");
        assert!(text.contains("cloud_manager_recovery_seconds_count{part=\"total\"} 1"), "{text}");
        assert!(!text.contains("part=\"relocate\""), "the clock was another: {text}");
    }
}
