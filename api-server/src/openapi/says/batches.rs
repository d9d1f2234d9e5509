//! Many objects at once.

use super::BATCHES;
use crate::{
    call::YAML,
    handlers::apply_sets::Reported,
    openapi::{
        Components, Operation, Place, answers,
        operation::{Answer, JSON},
    },
};
use registry::MOST_AT_ONCE;
use schemas::kinds::{self, KINDS};
use serde_json::{Map, Value, json};

/// A manifest of any kind that clients write, a list of them, or a List object.
fn batch(c: &mut Components) -> Value {
    let (mut any, mut mapping) = (Vec::new(), Map::new());
    for kind in KINDS.iter().filter(|kind| !kind.read_only) {
        let manifest = c.manifest(kind);
        mapping.insert(kind.kind.into(), manifest["$ref"].clone());
        any.push(manifest);
    }
    let words = "What a file declares of one object.";
    let one = c.keep("Manifest", json!({"description": words, "oneOf": any, "discriminator": {"propertyName": "kind", "mapping": mapping}}));
    let items = json!({"type": "array", "minItems": 1, "maxItems": MOST_AT_ONCE, "items": one, "description": "The objects."});
    c.keep("Batch", json!({"description": "One object or a list of them; in YAML also documents one after another.", "anyOf": [one, items]}))
}

fn operation(id: &str, summary: &str, words: &str, c: &mut Components) -> Operation {
    let body = batch(c);
    let result = Answer::json("What became of each object.", c.of::<answers::BatchResult>());
    let media = [JSON, YAML[0], YAML[1]];
    Operation::new(id, BATCHES, summary, words)
        .takes(true, "The objects.", &media, &body)
        .needs("fieldManager")
        .answers(200, result)
        .fails(&[404, 409, 412])
}

pub(crate) fn apply(_: &Place, c: &mut Components) -> Operation {
    let words = "Applies manifests of any kinds, in the order in which they depend on each other. All are looked at before any is written; if one \
                 cannot be, none is, and the error tells of each in `items`. As an ApplySet, what is declared no longer can be pruned.";
    operation("applyBatch", "Apply many objects", words, c)
}

pub(crate) fn diff(_: &Place, c: &mut Components) -> Operation {
    let words = "What an apply of the same batch would change: of each object that would not stay as it is, how it stands and how it would stand. \
                 Nothing is written.";
    operation("diffBatch", "Compare many objects", words, c)
}

pub(crate) fn report(_: &Place, c: &mut Components) -> Operation {
    let body = c.of::<Reported>();
    let set = kinds::find("ApplySet").map_or_else(|| json!({}), |kind| c.object(kind));
    let words = "Whoever applies a set tells what it cannot apply, and what it found to differ; both stand in the set's conditions.";
    Operation::new("reportApplySet", BATCHES, "Report on an ApplySet", words)
        .takes(true, "What was found.", &[JSON], &body)
        .answers(200, Answer::json("The set.", set).with("ETag", "etagMaybe"))
        .fails(&[404, 409])
}
