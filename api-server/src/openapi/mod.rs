//! The OpenAPI 3.1 document: every route of the table for every kind, described by the types that requests are decoded by.
//!
//! A route has its words in the table's last column, which are functions of [`says`]. What is the same for many comes from
//! here: paths ([`place`]), parameters ([`params`]), refusals ([`errors`]), and the schemas of kinds ([`components`]).

#[expect(dead_code, reason = "their fields are for schemars; handlers write such bodies piece by piece")]
mod answers;
mod components;
mod errors;
mod input;
mod operation;
mod params;
mod place;
pub(crate) mod says;

pub(crate) use components::Components;
pub(crate) use operation::Operation;
pub(crate) use place::Place;

use crate::{
    router::{Route, routes},
    version::{MAX_VERSION, SERVICE_TYPE},
};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

/// The document as it is served.
pub(crate) struct Document {
    /// JSON.
    pub text: String,
    /// With its quotes.
    pub etag: String,
}

/// The document of this build.
pub(crate) fn document() -> &'static Document {
    static DOCUMENT: LazyLock<Document> = LazyLock::new(|| {
        let text = build(&routes()).to_string();
        let digest: String = Sha256::digest(&text).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Document { text, etag: format!("\"{digest}\"") }
    });
    &DOCUMENT
}

fn build(routes: &[Route]) -> Value {
    let mut components = Components::default();
    let mut paths = Map::new();
    for route in routes {
        for place in place::places(route, routes) {
            let operation = (route.says)(&place, &mut components).render(route, &place);
            let item = paths.entry(place.path.clone()).or_insert_with(|| json!({}));
            item[route.method.to_ascii_lowercase()] = operation;
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Cloud Manager",
            "summary": "Keeps the compute hosts of an OpenStack cloud as they are declared, and recovers their guests.",
            "description": INTRODUCTION,
            "version": MAX_VERSION.to_string(),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        // Of the document's own URL, so that it holds behind a proxy with a path of its own.
        "servers": [{"url": "..", "description": "The server this document was read from."}],
        "tags": says::tags(),
        "paths": paths,
        "components": components.render(),
    })
}

const INTRODUCTION: &str = "Objects (`apiVersion`, `kind`, `metadata`, `spec`, `status`), watches and applies are as in Kubernetes; discovery, tokens, errors, \
request ids and microversions are as in OpenStack. A query parameter or a field that is not known is an error (400). Every answer \
has `x-openstack-request-id`, every error a code that does not change and a sentence with the way out.";

/// The name under which the token's scheme is known.
const TOKEN: &str = "token";

fn security_schemes() -> Value {
    json!({
        TOKEN: {
            "type": "apiKey",
            "in": "header",
            "name": "X-Auth-Token",
            "description": format!("A token of Keystone; the service is `{SERVICE_TYPE}` in its catalogue."),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_of_every_route_has_words_and_no_schema_has_two_meanings() {
        let mut components = Components::default();
        for route in routes() {
            for name in route.params {
                assert!(params::query(name).is_some(), "{} takes {name}, which openapi/params.rs does not describe", route.path);
            }
            for place in place::places(&route, &routes()) {
                (route.says)(&place, &mut components);
            }
        }
        assert_eq!(components.conflicts(), &[] as &[String], "two types share a name: rename one");
    }

    #[test]
    fn the_document_is_the_same_each_time() {
        assert_eq!(build(&routes()).to_string(), document().text);
    }
}
