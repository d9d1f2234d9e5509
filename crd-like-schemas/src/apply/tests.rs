use super::{
    Conflict, Fields, ManagedBy, ManagedFields, Shape, Step, conflicts, declared, get,
    managed::{check_manager, same},
    merge, owned_part,
    paths::text,
    takeover::{after_apply, after_create, after_update},
    without_nulls,
};
use crate::{DynObject, Time, kinds};
use serde_json::{Value, json};

const NOW: Time = Time(1_700_000_000_000_000);

/// Lists of every kind, as a schema would say it.
fn shape() -> Shape {
    let schema = json!({"type": "object", "properties": {
        "metadata": {"type": "object", "properties": {"labels": {"type": "object", "additionalProperties": {"type": "string"}}}},
        "spec": {"type": "object", "properties": {
            "power": {"type": "string"},
            "order": {"type": "array", "items": {"type": "string"}},
            "hosts": {"type": "array", "items": {"type": "string"}, "x-list-type": "set"},
            "limits": {"type": "array", "items": {"$ref": "#/$defs/Limit"}, "x-list-type": "map", "x-list-map-keys": ["type"]},
            "ref": {"anyOf": [{"$ref": "#/$defs/Ref"}, {"type": "null"}]},
            "opaque": {"type": "object", "additionalProperties": {}, "x-map-type": "atomic"},
        }},
    }});
    let defs = json!({
        "Limit": {"type": "object", "properties": {"type": {"type": "string"}, "max": {"type": "integer"}, "note": {"type": "string"}}},
        "Ref": {"type": "object", "properties": {"name": {"type": "string"}, "kind": {"type": "string"}}},
    });
    Shape::of_schema(&schema, &defs)
}

/// An object that managers apply to.
#[derive(Clone, Debug, PartialEq)]
struct Subject {
    object: Value,
    owners: Vec<ManagedFields>,
}

impl Subject {
    fn new(object: Value) -> Subject {
        Subject { object, owners: Vec::new() }
    }

    fn conflicts(&self, manager: &str, sent: &Value) -> Vec<Conflict> {
        let merged = merge(&shape(), &self.object, &self.owners, manager, sent).unwrap();
        conflicts(&shape(), &self.object, &merged.object, &self.owners, &merged.declared, manager)
    }

    /// Applies, whoever owns what.
    fn apply(&self, manager: &str, sent: Value) -> Subject {
        let merged = merge(&shape(), &self.object, &self.owners, manager, &sent).unwrap();
        let owners = after_apply(&shape(), &self.object, &merged.object, &self.owners, &merged, manager, NOW);
        Subject { object: merged.object, owners }
    }

    fn update(&self, manager: &str, object: Value) -> Subject {
        let owners = after_update(&shape(), &self.object, &object, &self.owners, Some(manager), NOW);
        Subject { object, owners }
    }

    /// `field by owner`, in order.
    fn owned(&self) -> Vec<String> {
        let all = self.owners.iter().flat_map(|o| o.fields.iter().map(move |p| format!("{} by {} ({:?})", text(p), o.manager, o.operation)));
        let mut all: Vec<String> = all.collect();
        all.sort();
        all
    }
}

fn spec(spec: Value) -> Value {
    json!({"metadata": {}, "spec": spec})
}

#[test]
fn what_is_sent_is_owned_and_nothing_else() {
    let host = Subject::new(spec(json!({"power": "Unmanaged", "order": ["a"]}))).apply("gitops", spec(json!({"power": "On"})));
    assert_eq!(host.object, spec(json!({"power": "On", "order": ["a"]})));
    assert_eq!(host.owned(), ["spec.power by gitops (Apply)"]);
}

#[test]
fn a_field_of_somebody_else_is_a_conflict_unless_it_has_that_value() {
    let host = Subject::new(spec(json!({}))).apply("gitops", spec(json!({"power": "On"})));
    assert_eq!(host.conflicts("ops", &spec(json!({"power": "On"}))), []);
    let found = host.conflicts("ops", &spec(json!({"power": "Off"})));
    let want = Conflict { field: "spec.power".into(), manager: "gitops".into(), operation: ManagedBy::Apply, value: "text" };
    assert_eq!(found, [want]);
    let shared = host.apply("ops", spec(json!({"power": "On"})));
    assert_eq!(shared.owned(), ["spec.power by gitops (Apply)", "spec.power by ops (Apply)"]);
    assert_eq!(shared.conflicts("gitops", &spec(json!({"power": "Off"}))).len(), 1);
}

#[test]
fn force_transfers_the_field() {
    let host = Subject::new(spec(json!({}))).apply("gitops", spec(json!({"power": "On"}))).apply("ops", spec(json!({"power": "Off"})));
    assert_eq!(host.object["spec"]["power"], "Off");
    assert_eq!(host.owned(), ["spec.power by ops (Apply)"]);
}

#[test]
fn what_is_declared_no_longer_goes_away_unless_others_own_it() {
    let one = Subject::new(spec(json!({"order": ["a"]})))
        .apply("gitops", json!({"metadata": {"labels": {"rack": "a", "row": "1"}}, "spec": {"power": "On"}}));
    let both = one.apply("ops", json!({"metadata": {"labels": {"rack": "a"}}}));
    let less = both.apply("gitops", spec(json!({})));
    assert_eq!(less.object, json!({"metadata": {"labels": {"rack": "a"}}, "spec": {"order": ["a"]}}));
    assert_eq!(less.owned(), ["metadata.labels.rack by ops (Apply)"]);
    let none = less.apply("ops", spec(json!({})));
    assert_eq!(none.object, spec(json!({"order": ["a"]})), "an empty map goes with its last member");
    assert_eq!(none.owners, []);
}

#[test]
fn items_of_a_set_are_owned_one_by_one() {
    let pool = Subject::new(spec(json!({"hosts": ["x"]}))).apply("a", spec(json!({"hosts": ["c1", "x"]}))).apply("b", spec(json!({"hosts": ["c2"]})));
    assert_eq!(pool.object["spec"]["hosts"], json!(["x", "c1", "c2"]));
    assert_eq!(pool.owned(), ["spec.hosts[\"c1\"] by a (Apply)", "spec.hosts[\"c2\"] by b (Apply)", "spec.hosts[\"x\"] by a (Apply)"]);
    let less = pool.apply("a", spec(json!({"hosts": ["c1"]})));
    assert_eq!(less.object["spec"]["hosts"], json!(["c1", "c2"]));
    let none = less.apply("a", spec(json!({}))).apply("b", spec(json!({})));
    assert_eq!(none.object, spec(json!({})));
    let unowned = Subject::new(spec(json!({"hosts": ["x"]}))).apply("a", spec(json!({"hosts": ["c1"]}))).apply("a", spec(json!({"hosts": []})));
    assert_eq!(unowned.object["spec"]["hosts"], json!(["x"]));
}

#[test]
fn items_with_keys_are_owned_field_by_field() {
    let rack = |max: i64| json!({"type": "Rack", "max": max});
    let policy = Subject::new(spec(json!({"limits": [{"type": "Room", "max": 9}]}))).apply("a", spec(json!({"limits": [rack(1)]})));
    assert_eq!(policy.object["spec"]["limits"], json!([{"type": "Room", "max": 9}, rack(1)]));
    assert_eq!(policy.owned(), ["spec.limits[type=Rack].max by a (Apply)", "spec.limits[type=Rack].type by a (Apply)"]);
    let found = policy.conflicts("b", &spec(json!({"limits": [rack(2), {"type": "Room", "max": 1}]})));
    assert_eq!(found.iter().map(|c| c.field.as_str()).collect::<Vec<_>>(), ["spec.limits[type=Rack].max"]);
    // Another one's note holds the item and its key.
    let both = policy.apply("b", spec(json!({"limits": [{"type": "Rack", "note": "n"}]})));
    let left = both.apply("a", spec(json!({})));
    assert_eq!(left.object["spec"]["limits"], json!([{"type": "Room", "max": 9}, {"type": "Rack", "note": "n"}]));
    assert_eq!(left.apply("b", spec(json!({}))).object["spec"]["limits"], json!([{"type": "Room", "max": 9}]));
    // So does a note that somebody wrote without declaring its key, and one that nobody owns.
    let noted = json!([{"type": "Room", "max": 9}, {"type": "Rack", "max": 1, "note": "n"}]);
    let written = policy.update("curl", spec(json!({"limits": noted})));
    assert_eq!(written.apply("a", spec(json!({}))).object["spec"]["limits"][1], json!({"type": "Rack", "note": "n"}));
}

#[test]
fn what_is_owned_as_a_whole_is_replaced_as_a_whole() {
    let a = Subject::new(spec(json!({"order": ["x"], "opaque": {"k": 1}}))).apply("a", spec(json!({"order": ["a", "b"], "opaque": {"l": 2}})));
    assert_eq!(a.object, spec(json!({"order": ["a", "b"], "opaque": {"l": 2}})));
    assert_eq!(a.conflicts("b", &spec(json!({"order": ["a"]}))).len(), 1);
    assert_eq!(a.apply("a", spec(json!({}))).object, spec(json!({})));
}

#[test]
fn a_part_that_may_be_left_out_goes_with_its_last_field() {
    let with = Subject::new(spec(json!({}))).apply("a", spec(json!({"ref": {"name": "x"}})));
    assert_eq!(with.owned(), ["spec.ref.name by a (Apply)"]);
    assert_eq!(with.apply("a", spec(json!({}))).object, spec(json!({})));
    let with = with.apply("b", spec(json!({"ref": {"kind": "Host"}})));
    assert_eq!(with.apply("a", spec(json!({}))).object, spec(json!({"ref": {"kind": "Host"}})));
}

#[test]
fn a_write_takes_over_what_it_changes_and_drops_what_it_removes() {
    let host = Subject::new(spec(json!({}))).apply("gitops", spec(json!({"power": "On", "hosts": ["a", "b"], "order": ["x"]})));
    let put = host.update("curl", spec(json!({"power": "Off", "hosts": ["b", "c"], "order": ["x"]})));
    assert_eq!(
        put.owned(),
        ["spec.hosts[\"b\"] by gitops (Apply)", "spec.hosts[\"c\"] by curl (Update)", "spec.order by gitops (Apply)", "spec.power by curl (Update)"]
    );
    assert_eq!(put.conflicts("gitops", &spec(json!({"power": "On"}))).len(), 1);
    assert_eq!(host.update("curl", host.object.clone()), host, "a write that changes nothing takes nothing over");
    // What a manager wrote, and declares then, it declares.
    let declared = put.apply("curl", spec(json!({"power": "Off"})));
    assert!(declared.owned().contains(&"spec.power by curl (Apply)".into()) && !declared.owned().contains(&"spec.power by curl (Update)".into()));
    // Nobody is told: then nobody owns it.
    let nobody = after_update(&shape(), &host.object, &put.object, &host.owners, None, NOW);
    assert!(!nobody.iter().any(|o| o.fields.contains(&[Step::Field("spec".into()), Step::Field("power".into())])));
}

#[test]
fn whoever_makes_an_object_owns_what_it_sent_and_not_the_defaults() {
    let sent = json!({"metadata": {"labels": {"a": "1"}}, "spec": {"power": "On", "ref": {}}});
    let owners = after_create(&shape(), &sent, &json!({"metadata": {"labels": {"a": "1"}}, "spec": {"power": "On", "order": []}}), "curl", NOW);
    let made = Subject { object: sent, owners };
    assert_eq!(made.owned(), ["metadata.labels.a by curl (Update)", "spec.power by curl (Update)"]);
}

#[test]
fn the_time_of_an_entry_moves_only_when_something_changes() {
    let later = NOW.plus_seconds(60);
    let host = Subject::new(spec(json!({}))).apply("a", spec(json!({"power": "On"})));
    let again = |sent: Value| {
        let merged = merge(&shape(), &host.object, &host.owners, "a", &sent).unwrap();
        after_apply(&shape(), &host.object, &merged.object, &host.owners, &merged, "a", later)
    };
    assert_eq!(again(spec(json!({"power": "On"}))), host.owners);
    let changed = again(spec(json!({"power": "Off"})));
    assert_eq!(changed[0].time, Some(later));
    assert!(same(&changed, &host.owners), "times do not count");
}

#[test]
fn writers_are_named_up_to_ten_and_owners_that_declare_always() {
    let mut host = Subject::new(spec(json!({"hosts": []})));
    for n in 0..15 {
        let mut hosts = host.object["spec"]["hosts"].as_array().cloned().unwrap();
        hosts.push(json!(format!("h{n}")));
        let mut object = host.object.clone();
        object["spec"]["hosts"] = json!(hosts);
        let owners = after_update(&shape(), &host.object, &object, &host.owners, Some(&format!("w{n}")), NOW.plus_seconds(n));
        host = Subject { object, owners }.apply(&format!("a{n}"), json!({"metadata": {"labels": {format!("l{n}"): "x"}}}));
    }
    let of = |operation: ManagedBy| host.owners.iter().filter(|o| o.operation == operation).map(|o| o.manager.as_str()).collect::<Vec<_>>();
    assert_eq!(of(ManagedBy::Apply).len(), 15);
    let mut writers: Vec<String> = (5..15).map(|n| format!("w{n}")).chain(["ancient-changes".into()]).collect();
    writers.sort();
    assert_eq!(of(ManagedBy::Update), writers);
    assert_eq!(host.owned().iter().filter(|o| o.contains("(Update)")).count(), 15, "no field lost its owner");
}

#[test]
fn a_list_that_names_no_items_is_refused_with_the_place() {
    let wrong = |sent: Value| declared(&shape(), &spec(sent)).unwrap_err().into_iter().map(|e| (e.field, e.reason)).collect::<Vec<_>>();
    assert_eq!(wrong(json!({"hosts": ["a", "a"]})), [("spec.hosts[1]".into(), "Duplicate".into())]);
    assert_eq!(wrong(json!({"hosts": [{}]})), [("spec.hosts[0]".into(), "Invalid".into())]);
    assert_eq!(wrong(json!({"limits": [{"max": 1}, 5]})), [("spec.limits[0]".into(), "Invalid".into()), ("spec.limits[1]".into(), "Invalid".into())]);
    assert_eq!(wrong(json!({"limits": [{"type": "Rack"}, {"type": "Rack", "max": 2}]})), [("spec.limits[1]".into(), "Duplicate".into())]);
}

#[test]
fn a_list_that_holds_an_item_twice_is_not_laid_over_and_loses_nothing() {
    let twice = json!([{"type": "Rack", "max": 1}, {"type": "Rack", "max": 2}]);
    let owned = Subject::new(spec(json!({}))).apply("a", spec(json!({"limits": [{"type": "Rack", "max": 1}]})));
    let put = owned.update("curl", spec(json!({"limits": twice})));
    let errors = merge(&shape(), &put.object, &put.owners, "a", &spec(json!({"limits": [{"type": "Room", "max": 1}]}))).unwrap_err();
    assert_eq!((errors.len(), errors[0].field.as_str(), errors[0].reason.as_str()), (1, "spec.limits", "Duplicate"));
    assert!(errors[0].message.contains("PUT"), "{errors:?}");
    assert_eq!(put.apply("a", spec(json!({}))).object["spec"]["limits"], twice);
}

#[test]
fn fields_are_written_as_kubernetes_writes_them_and_read_back() {
    let sent = json!({"metadata": {"labels": {"site/rack": "a"}}, "spec": {"power": "On", "hosts": ["c1"], "limits": [{"type": "Rack", "max": 1}]}});
    let mut fields = declared(&shape(), &sent).unwrap();
    fields.insert(vec![Step::Field("spec".into()), Step::Field("hosts".into())]);
    let written = serde_json::to_value(&fields).unwrap();
    assert_eq!(
        written,
        json!({"f:metadata": {"f:labels": {"f:site/rack": {}}},
               "f:spec": {"f:power": {}, "f:hosts": {".": {}, "v:\"c1\"": {}},
                          "f:limits": {"k:{\"type\":\"Rack\"}": {"f:type": {}, "f:max": {}}}}})
    );
    assert_eq!(serde_json::from_value::<Fields>(written).unwrap(), fields);
    let paths: Vec<String> = fields.iter().map(|p| text(p)).collect();
    assert!(paths.contains(&"metadata.labels[site/rack]".into()), "{paths:?}");
    for wrong in [json!({"power": {}}), json!({"f:spec": 1}), json!({"k:{": {}}), json!([]), json!({"f:a": {"x": {}}})] {
        assert!(serde_json::from_value::<Fields>(wrong.clone()).is_err(), "{wrong}");
    }
}

#[test]
fn every_kind_says_which_of_its_lists_are_sets_and_maps() {
    let at = |kind: &str, path: &[&str]| {
        let shape = Shape::of(kinds::find(kind).unwrap());
        path.iter().fold(shape, |shape, name| shape.member(name)).clone()
    };
    let keys = |shape: Shape| if let Shape::Map { keys, .. } = shape { keys } else { Vec::new() };
    assert_eq!(keys(at("RemediationPolicy", &["spec", "limits", "perFailureDomain"])), ["type"]);
    assert_eq!(keys(at("ClusterPolicy", &["spec", "guestDisksByAggregate"])), ["aggregate"]);
    assert_eq!(keys(at("Host", &["metadata", "ownerReferences"])), ["uid"]);
    for (kind, path) in [
        ("StandbyPool", &["spec", "members"][..]),
        ("StandbyPool", &["spec", "protects", "hosts"]),
        ("RemediationPolicy", &["spec", "evacuation", "excludedHosts"]),
        ("RemediationPolicy", &["spec", "evidence", "storageChannels"]),
        ("GuestPolicy", &["spec", "selector", "projects"]),
        ("Host", &["metadata", "finalizers"]),
    ] {
        assert_eq!(at(kind, path), Shape::Set, "{kind} {path:?}");
    }
    for (kind, path) in [("RemediationPolicy", &["spec", "fencing", "order"][..]), ("Credential", &["spec", "data"]), ("Host", &["metadata", "uid"])]
    {
        assert_eq!(at(kind, path), Shape::Atomic, "{kind} {path:?}");
    }
    assert!(matches!(at("Host", &["metadata", "labels"]), Shape::Object { .. }));
    assert!(matches!(at("Host", &["spec", "remediationPolicyRef"]), Shape::Object { .. }));
}

#[test]
fn a_manager_has_a_name_that_can_be_printed() {
    for (name, fits) in [("gitops", true), ("ü b", true), (&"x".repeat(128), true), ("", false), (&"x".repeat(129), false), ("a\nb", false)] {
        assert_eq!(check_manager(name).is_ok(), fits, "{name:?}");
    }
}

#[test]
fn null_is_no_opinion() {
    let mut sent = json!({"spec": {"power": null, "order": [null], "ref": {"name": null}}});
    without_nulls(&mut sent);
    assert_eq!(sent, json!({"spec": {"order": [null], "ref": {}}}));
    let mut object = DynObject::new("Host", "c1", json!({"power": "On"}));
    object.metadata.labels.insert("a".into(), "1".into());
    assert_eq!(owned_part(&object), json!({"metadata": {"labels": {"a": "1"}}, "spec": {"power": "On"}}));
    assert_eq!(get(&shape(), &owned_part(&object), &[]), Some(&owned_part(&object)));
}
