//! One operation, put together.

use super::{Place, TOKEN, errors, params};
use crate::{
    policy::asks::{Asks, Request, has},
    router::Route,
};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

pub(super) const JSON: &str = "application/json";

/// An operation of the document.
pub(crate) struct Operation {
    id: String,
    tag: String,
    summary: String,
    description: String,
    body: Option<Value>,
    answers: BTreeMap<u16, Value>,
    fails: BTreeSet<u16>,
    headers: Vec<&'static str>,
    required: Vec<&'static str>,
    /// A token is looked at, and not asked for.
    token_helps: bool,
}

/// An answer of an operation.
pub(crate) struct Answer {
    description: String,
    content: Map<String, Value>,
    headers: Map<String, Value>,
    links: Map<String, Value>,
}

impl Answer {
    /// An answer without a body.
    pub fn empty(description: impl Into<String>) -> Answer {
        Answer { description: description.into(), content: Map::new(), headers: errors::common(), links: Map::new() }
    }

    /// A JSON answer.
    pub fn json(description: impl Into<String>, schema: Value) -> Answer {
        Answer::empty(description).or(JSON, schema)
    }

    /// It may also be of this type.
    pub fn or(mut self, media: &str, schema: Value) -> Answer {
        self.content.insert(media.into(), json!({"schema": schema}));
        self
    }

    /// With a header of [`errors::headers`].
    pub fn with(mut self, name: &str, key: &str) -> Answer {
        self.headers.insert(name.into(), errors::header(key));
        self
    }

    /// Another operation, and where its parameters are in this answer.
    pub fn then(mut self, name: &str, operation: &str, parameters: Value) -> Answer {
        self.links
            .insert(name.into(), json!({"operationId": operation, "parameters": parameters, "description": format!("Goes on with {operation}.")}));
        self
    }

    fn render(self) -> Value {
        let mut answer = json!({"description": self.description, "headers": self.headers});
        if !self.content.is_empty() {
            answer["content"] = self.content.into();
        }
        if !self.links.is_empty() {
            answer["links"] = self.links.into();
        }
        answer
    }
}

impl Operation {
    /// An operation with its name in programs, the group it stands in, and its words.
    pub fn new(id: impl Into<String>, tag: &str, summary: impl Into<String>, description: impl Into<String>) -> Operation {
        Operation {
            id: id.into(),
            tag: tag.into(),
            summary: summary.into(),
            description: description.into(),
            body: None,
            answers: BTreeMap::new(),
            fails: BTreeSet::new(),
            headers: Vec::new(),
            required: Vec::new(),
            token_helps: false,
        }
    }

    /// What it takes, by media type.
    pub fn takes(mut self, required: bool, description: &str, media: &[&str], schema: &Value) -> Operation {
        let body = self.body.get_or_insert_with(|| json!({"required": required, "description": description, "content": {}}));
        for media in media {
            body["content"][media] = json!({"schema": schema});
        }
        self.fails.extend(errors::WITH_BODY);
        self
    }

    /// A success.
    pub fn answers(mut self, status: u16, answer: Answer) -> Operation {
        self.answers.insert(status, answer.render());
        self
    }

    /// Refusals beside those that every request may meet.
    pub fn fails(mut self, statuses: &[u16]) -> Operation {
        self.fails.extend(statuses);
        self
    }

    /// Headers of requests that it looks at, by their keys in [`params::components`].
    pub fn reads(mut self, headers: &[&'static str]) -> Operation {
        self.headers.extend(headers);
        self
    }

    /// A query parameter that must be given.
    pub fn needs(mut self, parameter: &'static str) -> Operation {
        self.required.push(parameter);
        self
    }

    /// It is answered without a token, and tells more with one.
    pub fn tells_more_with_a_token(mut self) -> Operation {
        self.token_helps = true;
        self
    }

    pub(super) fn render(mut self, route: &Route, place: &Place) -> Value {
        let is_open = route.asks == Asks::Open;
        self.fails.extend(errors::ALWAYS);
        if !is_open {
            self.fails.extend(errors::WITH_TOKEN);
        }
        // Who asks for the range of versions is not refused for not knowing it, whatever it asks for.
        let tells_versions = matches!(place.path.as_str(), "/" | "/v1" | "/v1/");
        if tells_versions {
            self.fails.remove(&406);
        }
        let mut parameters: Vec<Value> = place.parameters().map(params::path).collect();
        parameters.extend(route.params.iter().filter_map(|name| params::at(name, place, self.required.contains(name))));
        let common: &[&str] = if tells_versions { &["globalRequestId"] } else { &["apiVersion", "globalRequestId"] };
        let headers = common.iter().chain(&self.headers);
        parameters.extend(headers.map(|key| json!({"$ref": format!("#/components/parameters/{key}")})));
        let dry = route.params.contains(&"dryRun");
        let mut responses = Map::new();
        for (status, mut answer) in self.answers {
            if dry {
                answer["headers"]["X-Dry-Run"] = errors::header("dryRun");
            }
            responses.insert(status.to_string(), answer);
        }
        for status in self.fails {
            responses.entry(status.to_string()).or_insert_with(|| errors::reference(status));
        }
        let mut operation = json!({
            "operationId": self.id,
            "tags": [self.tag],
            "summary": self.summary,
            "description": self.description,
            "parameters": parameters,
        });
        if let Some(body) = self.body {
            operation["requestBody"] = body;
        }
        operation["responses"] = responses.into();
        operation["security"] = match (is_open, self.token_helps) {
            (true, false) => json!([]),
            (true, true) => json!([{}, {TOKEN: []}]),
            (false, _) => json!([{TOKEN: []}]),
        };
        if !is_open {
            operation["x-rules"] = rules(route, place).into();
        }
        operation
    }
}

/// The rules of the policy that are asked, by what the request is.
fn rules(route: &Route, place: &Place) -> Vec<String> {
    let ask = |watch: bool, content_type: &str| {
        let part = |name: &str| match name {
            "plural" => place.kind.map(|kind| kind.plural),
            "verb" => place.verb,
            _ => None,
        };
        route.asks.rule(&Request { part: &part, watch, content_type }).map(|rule| rule.into_owned())
    };
    let asked = match route.asks {
        Asks::ListOrWatch if place.kind.is_some_and(|kind| has(kind, "watch")) => vec![ask(false, ""), ask(true, "")],
        Asks::Patch => vec![ask(false, ""), ask(false, "application/apply-patch+yaml")],
        _ => vec![ask(false, "")],
    };
    asked.into_iter().flatten().collect()
}
