//! What holds for every object, every owner, and everything that is sent.

use super::{
    ManagedFields, Merged, Path, Shape, conflicts, declared, get,
    leaves::all,
    managed::same,
    merge,
    merge_patch::merge_patch,
    remove::remove,
    takeover::{after_apply, after_update},
};
use crate::Time;
use proptest::{collection::vec, prelude::*, sample::subsequence};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

const NOW: Time = Time(1_700_000_000_000_000);

fn shape() -> Shape {
    let item = json!({"type": "object", "properties": {"k": {"type": "string"}, "x": {"type": "integer"}, "y": {"type": "integer"}}});
    let inner = json!({"type": "object", "properties": {
        "a": {"type": "integer"}, "b": {"type": "integer"},
        "set": {"type": "array", "items": {"type": "string"}, "x-list-type": "set"},
        "map": {"type": "array", "items": item, "x-list-type": "map", "x-list-map-keys": ["k"]},
        "whole": {"type": "array", "items": {}},
    }});
    let mut spec = inner.clone();
    spec["properties"]["part"] = inner;
    let metadata = json!({"type": "object", "properties": {"labels": {"type": "object", "additionalProperties": {"type": "string"}}}});
    Shape::of_schema(&json!({"type": "object", "properties": {"metadata": metadata, "spec": spec}}), &Value::Null)
}

fn object(members: Vec<Option<(&'static str, Value)>>) -> Value {
    Value::Object(members.into_iter().flatten().map(|(k, v)| (k.to_string(), v)).collect())
}

fn member<S: Strategy<Value = Value>>(name: &'static str, value: S) -> impl Strategy<Value = Option<(&'static str, Value)>> {
    prop::option::weighted(0.6, value.prop_map(move |v| (name, v)))
}

fn number() -> impl Strategy<Value = Value> {
    (0..3_i64).prop_map(Value::from)
}

fn items() -> impl Strategy<Value = Value> {
    let fields = (prop::option::of(0..3_i64), prop::option::of(0..3_i64));
    (subsequence(vec!["p", "q", "r"], 0..=3), vec(fields, 3)).prop_map(|(keys, fields)| {
        let item = |(key, (x, y)): (&str, (Option<i64>, Option<i64>))| {
            let mut item = Map::from_iter([("k".to_string(), json!(key))]);
            for (name, value) in [("x", x), ("y", y)] {
                item.extend(value.map(|v| (name.to_string(), json!(v))));
            }
            Value::Object(item)
        };
        keys.into_iter().zip(fields).map(item).collect()
    })
}

fn part() -> impl Strategy<Value = Value> {
    let set = subsequence(vec!["s", "t", "u"], 0..=3).prop_map(|s| json!(s));
    let whole = vec(0..2_i64, 0..3).prop_map(|w| json!(w));
    (member("a", number()), member("b", number()), member("set", set), member("map", items()), member("whole", whole))
        .prop_map(|(a, b, set, map, whole)| object(vec![a, b, set, map, whole]))
}

/// An object that fits the shape.
fn fitting() -> impl Strategy<Value = Value> {
    let labels = subsequence(vec!["l", "m", "n"], 0..=3).prop_map(|l| l.into_iter().map(|k| (k.to_string(), json!("x"))).collect::<Map<_, _>>());
    (part(), prop::option::of(part()), labels).prop_map(|(mut spec, inner, labels)| {
        if let Some(inner) = inner {
            spec["part"] = inner;
        }
        let metadata = if labels.is_empty() { json!({}) } else { json!({"labels": labels}) };
        json!({"metadata": metadata, "spec": spec})
    })
}

/// Any JSON, also where the shape has something else.
fn any_json() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec!["metadata", "spec", "labels", "a", "set", "map", "whole", "part", "k", "x", "", "f:", "."]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z\"\\\\]{0,3}".prop_map(Value::from)
    ];
    leaf.prop_recursive(5, 40, 4, move |inner| {
        let members = vec((name.clone(), inner.clone()), 0..4);
        prop_oneof![
            vec(inner, 0..4).prop_map(Value::Array),
            members.prop_map(|m| Value::Object(m.into_iter().map(|(k, v)| (k.to_string(), v)).collect()))
        ]
    })
}

type Subject = (Value, Vec<ManagedFields>);

fn try_apply(shape: &Shape, (object, owners): &Subject, manager: &str, sent: &Value) -> Option<(Subject, Merged)> {
    let merged = merge(shape, object, owners, manager, sent).ok()?;
    let owners = after_apply(shape, object, &merged.object, owners, &merged, manager, NOW);
    Some(((merged.object.clone(), owners), merged))
}

fn apply(shape: &Shape, subject: &Subject, manager: &str, sent: &Value) -> Subject {
    try_apply(shape, subject, manager, sent).expect("it fits").0
}

/// An object with a past: some managers applied to it, some wrote it.
fn history() -> impl Strategy<Value = Subject> {
    let step = (prop::sample::select(vec!["a", "b", "c"]), any::<bool>(), fitting());
    (fitting(), vec(step, 0..4)).prop_map(|(first, steps)| {
        let shape = shape();
        steps.into_iter().fold((first, Vec::new()), |subject, (manager, applies, value)| {
            if applies {
                apply(&shape, &subject, manager, &value)
            } else {
                let owners = after_update(&shape, &subject.0, &value, &subject.1, Some(manager), NOW);
                (value, owners)
            }
        })
    })
}

/// The same in whatever order the items of its sets and maps stand.
fn contents(shape: &Shape, value: &Value) -> BTreeSet<(Path, String)> {
    all(shape, value).into_iter().map(|(path, value)| (path, value.to_string())).collect()
}

/// What `sent` has and `other` has not; the keys of an item that has other fields left stay with it.
fn without(shape: &Shape, mut sent: Value, other: &Value) -> Value {
    let theirs = declared(shape, other).expect("it fits");
    let mut both = declared(shape, &sent).expect("it fits");
    // A container that one of them calls empty, and the other fills, is the same field.
    both.retain(|p| theirs.iter().any(|t| t.starts_with(p) || p.starts_with(t)));
    remove(shape, &mut sent, &both, &|_| false);
    sent
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(500)))]

    #[test]
    fn applying_the_same_again_changes_nothing(subject in history(), sent in fitting()) {
        let shape = shape();
        let once = apply(&shape, &subject, "m", &sent);
        prop_assert_eq!(&apply(&shape, &once, "m", &sent), &once);
        let merged = merge(&shape, &once.0, &once.1, "m", &sent).unwrap();
        prop_assert_eq!(conflicts(&shape, &once.0, &merged.object, &once.1, &merged.declared, "m"), vec![]);
    }

    #[test]
    fn two_managers_of_different_fields_come_to_the_same_in_either_order(subject in history(), one in fitting(), other in fitting()) {
        let shape = shape();
        let other = without(&shape, other, &one);
        let forth = apply(&shape, &apply(&shape, &subject, "m", &one), "n", &other);
        let back = apply(&shape, &apply(&shape, &subject, "n", &other), "m", &one);
        prop_assert_eq!(contents(&shape, &forth.0), contents(&shape, &back.0));
        prop_assert!(same(&forth.1, &back.1), "{:?} {:?}", forth.1, back.1);
    }

    #[test]
    fn nothing_that_nobody_owns_and_nobody_sends_is_lost(subject in history(), sent in fitting()) {
        let shape = shape();
        let (after, merged) = try_apply(&shape, &subject, "m", &sent).unwrap();
        for (path, value) in all(&shape, &subject.0) {
            let owned = subject.1.iter().any(|o| o.fields.touches(&path));
            let empty = value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty);
            if !owned && !merged.declared.touches(&path) && !empty {
                prop_assert_eq!(get(&shape, &after.0, &path), Some(value));
            }
        }
    }

    #[test]
    fn what_others_own_changes_only_by_a_conflict(subject in history(), sent in fitting()) {
        let shape = shape();
        let merged = merge(&shape, &subject.0, &subject.1, "m", &sent).unwrap();
        let found: BTreeSet<String> =
            conflicts(&shape, &subject.0, &merged.object, &subject.1, &merged.declared, "m").into_iter().map(|c| c.field).collect();
        for owner in &subject.1 {
            for path in owner.fields.iter().filter(|p| get(&shape, &subject.0, p) != get(&shape, &merged.object, p)) {
                let inside = all(&shape, &sent).iter().any(|(p, _)| (p.starts_with(path) || path.starts_with(p)) && found.contains(&super::paths::text(p)));
                // An empty container that somebody declares may be filled by others.
                let filled = !merged.declared.contains(path) && merged.declared.touches(path) && get(&shape, &subject.0, path).is_none_or(|v| v.is_array() || v.is_object());
                prop_assert!(inside || filled, "{} changed without a conflict", super::paths::text(path));
            }
        }
    }

    #[test]
    fn by_force_all_that_is_sent_stands_there_and_belongs_to_the_sender(subject in history(), sent in fitting()) {
        let shape = shape();
        let (after, merged) = try_apply(&shape, &subject, "m", &sent).unwrap();
        for (path, value) in all(&shape, &sent) {
            let now = get(&shape, &after.0, &path);
            let empty = value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty);
            prop_assert!(now == Some(value) || (empty && now.is_some()), "{}", super::paths::text(&path));
            let changed = now != get(&shape, &subject.0, &path);
            let owners: Vec<&str> = after.1.iter().filter(|o| o.fields.contains(&path)).map(|o| o.manager.as_str()).collect();
            prop_assert!(owners.contains(&"m") && (!changed || owners == ["m"]), "{}: {owners:?}", super::paths::text(&path));
        }
        prop_assert!(merged.declared.len() == all(&shape, &sent).len());
    }

    #[test]
    fn what_one_alone_declared_goes_and_what_is_shared_stays(one in fitting(), other in fitting()) {
        let shape = shape();
        let both = apply(&shape, &apply(&shape, &(json!({"metadata": {}, "spec": {}}), Vec::new()), "m", &one), "n", &other);
        let nothing = json!({"metadata": {}, "spec": {}});
        let left = apply(&shape, &both, "m", &nothing);
        prop_assert!(left.1.iter().all(|o| o.manager == "n"));
        for (path, value) in all(&shape, &other) {
            let now = get(&shape, &left.0, &path);
            prop_assert!(now == Some(value) || now.is_some_and(|n| n.is_array() || n.is_object()), "{}", super::paths::text(&path));
        }
        let gone = apply(&shape, &left, "n", &nothing);
        prop_assert_eq!(&gone.0, &nothing);
        prop_assert_eq!(&gone.1, &vec![]);
    }

    #[test]
    fn nothing_that_is_sent_or_stored_makes_it_panic(live in any_json(), past in any_json(), sent in any_json()) {
        let shape = shape();
        let first = try_apply(&shape, &(live.clone(), Vec::new()), "n", &past).map_or((live.clone(), Vec::new()), |(s, _)| s);
        let written = after_update(&shape, &first.0, &past, &first.1, Some("w"), NOW);
        for subject in [first, (past, written)] {
            if let Some((after, merged)) = try_apply(&shape, &subject, "m", &sent) {
                conflicts(&shape, &subject.0, &merged.object, &subject.1, &merged.declared, "m");
                let text = serde_json::to_string(&after.1).unwrap();
                prop_assert_eq!(&serde_json::from_str::<Vec<ManagedFields>>(&text).unwrap(), &after.1);
            }
        }
        let mut target = live;
        merge_patch(&mut target, &sent);
        let once = target.clone();
        merge_patch(&mut target, &sent);
        prop_assert_eq!(target, once);
    }
}
