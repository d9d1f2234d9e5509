//! Host actions in the product's style: `POST …/actions/{verb}` makes a one-shot object and answers
//! its id as `task_id`.

use super::{create::suffix, json, set};
use crate::{
    call::{Call, Media, base_url},
    context::Ctx,
    errors::{ApiError, ApiResult, Code, internal},
    refusals,
};
use axum::{
    extract::State,
    http::{StatusCode, header},
    response::Response,
};
use registry::{RegistryError, Writer};
use schemas::{DynObject, FieldError, kinds};
use serde_json::{Map, Value, json};

/// What a verb makes.
struct Action {
    verb: &'static str,
    kind: &'static str,
    /// Beginning of the object's name.
    prefix: &'static str,
    /// `spec.type` of a HostOperation.
    operation: Option<&'static str>,
}

const fn operation(verb: &'static str, operation: &'static str) -> Action {
    Action { verb, kind: "HostOperation", prefix: verb, operation: Some(operation) }
}

const ACTIONS: &[Action] = &[
    // Mode Auto, fence IfNeeded: the defaults of an Evacuation.
    Action { verb: "evacuate", kind: "Evacuation", prefix: "ev", operation: None },
    operation("shutdown", "Shutdown"),
    operation("power-on", "PowerOn"),
    operation("power-off", "PowerOff"),
    operation("soft-off", "SoftOff"),
    operation("enable", "Enable"),
    operation("disable", "Disable"),
    operation("drain", "Drain"),
    operation("initialise", "Initialise"),
];

/// Every verb.
pub(crate) fn verbs() -> impl Iterator<Item = &'static str> {
    ACTIONS.iter().map(|action| action.verb)
}

impl Action {
    /// The spec for a host. `allow_off_vm` of `shutdown` is the only thing a body may say.
    fn spec(&self, host: &str, body: &Value) -> Result<Value, RegistryError> {
        let empty = Map::new();
        let body = match body {
            Value::Null => &empty,
            Value::Object(body) => body,
            _ => return Err(FieldError::invalid("", "the body must be a JSON object, or absent.").into()),
        };
        let mut spec = json!({"hostRef": {"name": host}});
        if let Some(operation) = self.operation {
            spec["type"] = operation.into();
        }
        for (key, value) in body {
            match (self.verb, key.as_str(), value) {
                ("shutdown", "allow_off_vm", Value::Bool(allow)) => spec["allowOffVm"] = (if *allow { "Allow" } else { "Forbid" }).into(),
                ("shutdown", "allow_off_vm", Value::Null) => {}
                ("shutdown", "allow_off_vm", _) => return Err(FieldError::invalid("allow_off_vm", "must be true or false.").into()),
                ("shutdown", ..) => return Err(FieldError::new(key, "UnknownField", "is not known; shutdown takes allow_off_vm.").into()),
                _ => return Err(FieldError::new(key, "UnknownField", format!("is not known; {} takes no fields.", self.verb)).into()),
            }
        }
        Ok(spec)
    }

    /// `ev-c1-3fa2b1`. A very long host name is cut, so that the result is still a name.
    fn name(&self, host: &str) -> String {
        let cut: String = host.chars().take(220).collect();
        format!("{}-{cut}-{}", self.prefix, suffix(6))
    }
}

pub(crate) async fn action(State(ctx): State<Ctx>, mut call: Call) -> ApiResult<Response> {
    let verb = call.part("verb").to_string();
    let Some(action) = ACTIONS.iter().find(|a| a.verb == verb) else {
        let known = ACTIONS.iter().map(|a| a.verb).collect::<Vec<_>>().join(", ");
        return Err(ApiError::new(Code::NotFound, format!("There is no action {verb:?}; known are {known}.")));
    };
    let host_kind = kinds::find("Host").ok_or_else(internal)?;
    let kind = kinds::find(action.kind).ok_or_else(internal)?;
    let body = call.json(&ctx, Media::Lax).await?;
    let host = ctx.registry.find(host_kind, call.reference()).await?.metadata.name;
    let object = DynObject::new(kind.kind, action.name(&host), action.spec(&host, &body)?);
    // The same request as one under way gives that one (and its id); another is refused.
    let asked = object.clone();
    let manager = call.manager()?;
    let made = match call.registry(&ctx).create_by(kind, object, Writer::new(call.user(), &manager), ctx.clock.now()).await {
        Ok(created) => created.object,
        Err(error) => {
            refusals::told(&ctx, &call, kind, &asked, &error).await;
            return Err(error.into());
        }
    };
    let status = StatusCode::from_u16(ctx.config.legacy_action_status).unwrap_or(StatusCode::ACCEPTED);
    let mut response = json(status, &json!({"task_id": made.metadata.uid}))?;
    set(&mut response, header::LOCATION, &format!("{}/v1/tasks/{}", base_url(&ctx, &call), made.metadata.uid));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use registry::new_object;

    #[test]
    fn every_action_makes_a_valid_object() {
        for action in ACTIONS {
            let kind = kinds::find(action.kind).unwrap();
            let host = "c".repeat(253);
            let spec = action.spec(&host, &json!({})).unwrap();
            let made = new_object(kind, &action.name(&host), spec, schemas::Time(0));
            assert!(made.is_ok(), "{}: {made:?}", action.verb);
        }
    }

    #[test]
    fn a_body_says_nothing_but_what_the_action_knows() {
        let find = |verb: &str| ACTIONS.iter().find(|a| a.verb == verb).unwrap();
        assert_eq!(find("shutdown").spec("c1", &json!({"allow_off_vm": true})).unwrap()["allowOffVm"], "Allow");
        assert_eq!(find("shutdown").spec("c1", &json!({"allow_off_vm": false})).unwrap()["allowOffVm"], "Forbid");
        for (verb, body) in [
            ("shutdown", json!({"allow_off_vm": "yes"})),
            ("shutdown", json!({"allowOffVm": true})),
            ("evacuate", json!({"allow_off_vm": true})),
            ("drain", json!({"x": 1})),
            ("drain", json!([])),
            ("drain", json!("x")),
        ] {
            assert!(find(verb).spec("c1", &body).is_err(), "{verb} {body}");
        }
    }
}
