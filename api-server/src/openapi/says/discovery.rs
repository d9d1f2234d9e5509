//! Versions, this document, kinds and schemas; health.

use super::{DISCOVERY, HEALTH};
use crate::context::Readiness;
use crate::openapi::{Components, Operation, Place, answers, operation::Answer};
use serde_json::json;

pub(crate) fn root(_: &Place, c: &mut Components) -> Operation {
    let words = "The versions of the API. 300 as Keystone answers, or 200 if `api.root_status` says so.";
    let answer = |c: &mut Components| Answer::json("The versions.", c.of::<answers::Versions>()).with("Location", "location");
    Operation::new("listVersions", DISCOVERY, "List the versions of the API", words).answers(300, answer(c)).answers(200, answer(c))
}

pub(crate) fn version(place: &Place, c: &mut Components) -> Operation {
    let id = if place.path.ends_with('/') { "getVersionWithSlash" } else { "getVersion" };
    let answer = Answer::json("The version.", c.of::<answers::OneVersion>());
    Operation::new(
        id,
        DISCOVERY,
        "Read the version of this URL",
        "The version of the API, with the range of microversions. The same with and without a slash.",
    )
    .answers(200, answer)
}

pub(crate) fn info(_: &Place, c: &mut Components) -> Operation {
    let answer = Answer::json("The product's version.", c.of::<answers::Info>());
    Operation::new(
        "getInfo",
        DISCOVERY,
        "Read the version that the product documents",
        "Exactly as the product's documents have it, the same in every release.",
    )
    .answers(200, answer)
}

pub(crate) fn openapi(_: &Place, _: &mut Components) -> Operation {
    let document = json!({"type": "object", "description": "An OpenAPI 3.1 document.", "required": ["openapi", "info", "paths"]});
    Operation::new("getOpenApi", DISCOVERY, "Read this document", "The API in OpenAPI 3.1, made from the routes and types of this build.")
        .reads(&["ifNoneMatch"])
        .answers(200, Answer::json("The document.", document).with("ETag", "etag"))
        .answers(304, Answer::empty("It is the one that the client has.").with("ETag", "etag"))
}

pub(crate) fn kinds(_: &Place, c: &mut Components) -> Operation {
    let answer = Answer::json("The kinds.", c.of::<answers::KindList>());
    Operation::new("listKinds", DISCOVERY, "List the kinds", "What kinds of objects there are, how they are named, and the columns of their tables.")
        .answers(200, answer)
}

pub(crate) fn schema(_: &Place, c: &mut Components) -> Operation {
    let answer = Answer::json("The schema.", c.of::<answers::JsonSchemaDocument>());
    Operation::new("getSchema", DISCOVERY, "Read the schema of a kind", "JSON Schema (2020-12) of a kind's objects, as in `components.schemas` here.")
        .answers(200, answer)
        .fails(&[404])
}

pub(crate) fn healthcheck(_: &Place, c: &mut Components) -> Operation {
    let words = "As oslo.middleware has it: whether the database answers. Text, or JSON if Accept asks for it. HEAD answers 204.";
    let answer = |c: &mut Components, words: &str| {
        Answer::json(words, c.of::<answers::Healthcheck>()).or("text/plain", json!({"type": "string", "description": "`OK`, or why not."}))
    };
    Operation::new("getHealthcheck", HEALTH, "Ask whether requests can be served", words)
        .answers(200, answer(c, "They can."))
        .answers(503, answer(c, "They cannot."))
}

pub(crate) fn livez(_: &Place, c: &mut Components) -> Operation {
    let answer = Answer::json("It does.", c.of::<answers::Alive>());
    Operation::new("getLivez", HEALTH, "Ask whether the process answers", "That this is answered at all is the news.").answers(200, answer)
}

pub(crate) fn readyz(_: &Place, c: &mut Components) -> Operation {
    let words = "Whether it can do its work. Details are for this machine, and for tokens that may read leases.";
    let answer = |c: &mut Components, words: &str| Answer::json(words, json!({"anyOf": [c.of::<answers::Alive>(), c.of::<Readiness>()]}));
    Operation::new("getReadyz", HEALTH, "Ask whether the process is ready", words)
        .tells_more_with_a_token()
        .answers(200, answer(c, "It is."))
        .answers(503, answer(c, "It is not."))
}
