//! What every kind has.

use super::tasks::described;
use crate::{
    call::{APPLY_JSON, APPLY_YAML, MERGE_PATCH},
    handlers::delete::Options,
    openapi::{
        Components, Operation, Place, answers,
        operation::{Answer, JSON},
    },
    policy::asks::has,
    table::MEDIA as TABLE,
};
use schemas::{API_VERSION, KindInfo};
use serde_json::{Value, json};

/// Where the operations that go on with an object find its name.
fn name_of(answer: Answer, kind: &KindInfo) -> Answer {
    let at = || json!({"ref": "$response.body#/metadata/name"});
    let mut answer = answer.then("read", &format!("get{}", kind.kind), at());
    if !kind.read_only {
        for (name, verb) in [("replace", "replace"), ("patch", "patch"), ("delete", "delete")] {
            answer = answer.then(name, &format!("{verb}{}", kind.kind), at());
        }
    }
    answer
}

fn object(c: &mut Components, kind: &KindInfo, words: &str) -> Answer {
    Answer::json(words, c.object(kind)).with("ETag", "etagMaybe")
}

fn list_schema(c: &mut Components, kind: &str, item: Value) -> Value {
    let (metadata, link) = (c.of::<answers::ListMeta>(), c.of::<answers::Link>());
    let name = format!("{kind}List");
    let schema = json!({
        "type": "object",
        "description": format!("A page of objects of kind {kind}."),
        "additionalProperties": false,
        "required": ["apiVersion", "kind", "metadata", "links", "items"],
        "properties": {
            "apiVersion": {"const": API_VERSION, "description": "Version of the objects."},
            "kind": {"const": name, "description": "What this is."},
            "metadata": described(metadata, "About the list."),
            "links": {"type": "array", "items": link, "description": "This page, and the next if there is one."},
            "items": {"type": "array", "items": item, "description": "The objects."},
        },
    });
    c.keep(&name, schema)
}

/// A line of a watch.
fn change_schema(c: &mut Components, kind: &KindInfo) -> Value {
    let change = |words: &str, kinds: &[&str], object: Value| {
        json!({
            "type": "object",
            "description": words,
            "additionalProperties": false,
            "required": ["type", "object"],
            "properties": {
                "type": {"enum": kinds, "description": "What happened."},
                "object": described(object, "The object, or what stands in its place."),
            },
        })
    };
    let bookmark = json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["apiVersion", "kind", "metadata"],
        "properties": {
            "apiVersion": {"const": API_VERSION, "description": "Version of the objects."},
            "kind": {"const": kind.kind, "description": "Kind of the objects."},
            "metadata": described(c.of::<answers::BookmarkMeta>(), "How far the watch has come."),
        },
    });
    let object = json!({"anyOf": [c.object(kind), c.of::<answers::Table>()]});
    let error = c.of::<answers::ErrorBody>();
    let schema = json!({
        "description": "A line of a watch.",
        "anyOf": [
            change("A change of an object; after it DELETED carries its last state.", &["ADDED", "MODIFIED", "DELETED"], object),
            change("Everything up to a revision was told; comes at least every 15 s.", &["BOOKMARK"], bookmark),
            change("The watch ends, and why: list again.", &["ERROR"], error),
        ],
    });
    c.keep(&format!("{}Change", kind.kind), schema)
}

pub(crate) fn list(place: &Place, c: &mut Components) -> Operation {
    let kind = place.kind();
    let item = c.object(kind);
    let list = list_schema(c, kind.kind, item);
    let mut answer = Answer::json("A page of objects, or the lines of a watch.", list).or(TABLE, c.of::<answers::Table>()).with("Link", "link");
    let mut words = format!("The {} by name, page by page.", kind.plural);
    if has(kind, "watch") {
        answer = answer.or("application/json;stream=watch", change_schema(c, kind));
        words = format!("{words} With `watch`, a stream of their changes, one JSON document a line, that ends cleanly after a while.");
    }
    let summary = if has(kind, "watch") { format!("List or watch {}", kind.plural) } else { format!("List {}", kind.plural) };
    Operation::new(format!("list{}", kind.kind), kind.kind, summary, words).answers(200, answer).fails(&[410])
}

pub(crate) fn create(place: &Place, c: &mut Components) -> Operation {
    let kind = place.kind();
    let body = c.new_object(kind);
    let made = |c: &mut Components, words: &str| name_of(object(c, kind, words).with("Location", "location"), kind);
    let id = format!("create{}", kind.kind);
    let words = format!("Makes an object of kind {}. Its name is the key: a second one of the same name is 409.", kind.kind);
    let operation =
        Operation::new(id, kind.kind, format!("Create one of {}", kind.plural), words).takes(true, "The object.", &[JSON], &body).fails(&[404, 409]);
    if kind.one_shot {
        let (begun, known) = (made(c, "It was made; its work is still to come."), made(c, "The same was asked for before: this is it."));
        operation.answers(202, begun).answers(200, known)
    } else {
        let made = made(c, "It was made.");
        operation.answers(201, made)
    }
}

pub(crate) fn get(place: &Place, c: &mut Components) -> Operation {
    read(place, c, "", "The object as it stands.")
}

pub(crate) fn status(place: &Place, c: &mut Components) -> Operation {
    read(place, c, "Status", "The whole object, as Kubernetes answers: controllers alone write its status.")
}

fn read(place: &Place, c: &mut Components, part: &str, words: &str) -> Operation {
    let kind = place.kind();
    let found = Answer::json("The object.", c.object(kind)).or(TABLE, c.of::<answers::Table>()).with("ETag", "etag");
    let (id, what) = (format!("get{}{part}", kind.kind), part.to_ascii_lowercase());
    let summary =
        format!("Read {} one of {}", if what.is_empty() { String::new() } else { format!("the {what} of") }, kind.plural).replace("  ", " ");
    Operation::new(id, kind.kind, summary, words)
        .reads(&["ifNoneMatch"])
        .answers(200, found)
        .answers(304, Answer::empty("It is the one that the client has.").with("ETag", "etag"))
        .fails(&[404])
}

pub(crate) fn events(place: &Place, c: &mut Components) -> Operation {
    let kind = place.kind();
    let event = schemas::kinds::find("Event").map_or_else(|| json!({}), |kind| c.object(kind));
    let schema = c.keep(
        "EventsOfObject",
        json!({
            "type": "object",
            "description": "Events about one object.",
            "additionalProperties": false,
            "required": ["apiVersion", "kind", "metadata", "items"],
            "properties": {
                "apiVersion": {"const": API_VERSION, "description": "Version of the objects."},
                "kind": {"const": "EventList", "description": "What this is."},
                "metadata": {"type": "object", "additionalProperties": false, "description": "Nothing: this is no list to watch from."},
                "items": {"type": "array", "items": event, "description": "The events."},
            },
        }),
    );
    let words = "The newest events about the object, at most 500.";
    Operation::new(format!("list{}Events", kind.kind), kind.kind, format!("List the events about one of {}", kind.plural), words)
        .answers(200, Answer::json("The events.", schema))
        .fails(&[404])
}

pub(crate) fn put(place: &Place, c: &mut Components) -> Operation {
    let kind = place.kind();
    let body = c.object(kind);
    let words = "Replaces what clients may write of the object. It must name the version it was read at, by `metadata.resourceVersion` or If-Match; \
                 it makes no object.";
    let written = object(c, kind, "It was written.");
    Operation::new(format!("replace{}", kind.kind), kind.kind, format!("Replace one of {}", kind.plural), words)
        .takes(true, "The whole object.", &[JSON], &body)
        .reads(&["ifMatch"])
        .answers(200, written)
        .fails(&[404, 409, 412])
}

pub(crate) fn patch(place: &Place, c: &mut Components) -> Operation {
    let kind = place.kind();
    let body = c.patch(kind);
    let words = "By its Content-Type a merge patch (RFC 7396), or an apply: a manager declares its part of the object, what it declares no longer \
                 goes, and what others own is 409 unless `force` is given. An apply makes the object if it is not there, and must give `fieldManager`.";
    let (written, made) = (object(c, kind, "It was written, or is so already."), object(c, kind, "An apply made it.").with("Location", "location"));
    Operation::new(format!("patch{}", kind.kind), kind.kind, format!("Change or apply one of {}", kind.plural), words)
        .takes(true, "A part of the object.", &[MERGE_PATCH, APPLY_YAML, APPLY_JSON], &body)
        .reads(&["ifMatch"])
        .answers(200, written)
        .answers(if kind.one_shot { 202 } else { 201 }, made)
        .fails(&[404, 409, 412])
}

pub(crate) fn delete(place: &Place, c: &mut Components) -> Operation {
    let kind = place.kind();
    let body = c.of::<Options>();
    let words = "Deletes the object; while finalizers have work to do it stays, with a deletionTimestamp.";
    let going = object(c, kind, "It goes when its finalizers have run.");
    Operation::new(format!("delete{}", kind.kind), kind.kind, format!("Delete one of {}", kind.plural), words)
        .takes(false, "Conditions under which to delete.", &[JSON], &body)
        .reads(&["ifMatch"])
        .answers(202, going)
        .answers(204, Answer::empty("It is gone."))
        .fails(&[404, 409, 412])
}
