//! The JSON Schemas in `generated/` are what the kinds say. `make schemas` writes them.

use schemas::kinds::KINDS;
use std::{fs, path::Path};

#[test]
fn the_checked_in_schemas_are_what_the_kinds_say() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("generated");
    let update = std::env::var_os("UPDATE_SCHEMAS").is_some();
    for kind in KINDS {
        let path = dir.join(format!("{}.schema.json", kind.kind));
        let text = serde_json::to_string_pretty(&(kind.schema)()).unwrap() + "\n";
        if update {
            fs::write(&path, &text).unwrap();
        }
        let stored = fs::read_to_string(&path).unwrap_or_default();
        assert!(stored == text, "{} is out of date; run: make schemas", path.display());
    }
}

#[test]
fn every_field_of_every_spec_is_described() {
    fn undescribed(at: &str, value: &serde_json::Value, missing: &mut Vec<String>) {
        for (name, field) in value["properties"].as_object().into_iter().flatten() {
            let path = format!("{at}.{name}");
            if field["description"].as_str().unwrap_or_default().is_empty() {
                missing.push(path.clone());
            }
            undescribed(&path, field, missing);
        }
    }
    let mut missing = Vec::new();
    for kind in KINDS.iter().filter(|k| !k.read_only) {
        let schema = (kind.schema)();
        for (name, def) in schema["$defs"].as_object().into_iter().flatten().filter(|(n, _)| n.ends_with("Spec")) {
            undescribed(&format!("{}/{name}", kind.kind), def, &mut missing);
        }
    }
    assert!(missing.is_empty(), "fields without a description: {missing:?}");
}

#[test]
fn kinds_are_found_by_every_name_they_have() {
    for kind in KINDS {
        for word in [kind.kind, kind.plural].iter().chain(kind.short) {
            assert_eq!(schemas::kinds::find(&word.to_uppercase()).map(|k| k.kind), Some(kind.kind), "{word}");
        }
    }
}
