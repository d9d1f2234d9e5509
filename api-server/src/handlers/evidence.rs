//! What other channels saw of hosts. Evidence, never an order: it can hold a recovery up, and begins nothing.

use super::json;
use crate::{
    call::{Call, Media},
    context::Ctx,
    errors::{ApiResult, internal},
};
use axum::{extract::State, http::StatusCode, response::Response};
use registry::RegistryError;
use schemars::JsonSchema;
use schemas::{
    FieldError, Time,
    field::check_range,
    kinds,
    v1::{LONGEST_TTL_SECONDS, Observation, Says},
};
use serde::Deserialize;
use serde_json::{Value, json as object};
use std::collections::{BTreeMap, BTreeSet};
use store::{Guard, ListQuery, Op, Store};

/// Most observations in one request.
const MOST: usize = 1_000;
/// Up to so many hosts are looked up one by one.
const FEW: usize = 20;
/// A channel's clock may be so far ahead of ours, in seconds.
const AHEAD_SECONDS: i64 = 60;
/// Most characters of `detail`.
const MOST_DETAIL: usize = 1_000;

/// One observation as it is sent.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "SentObservation")]
pub(crate) struct Sent {
    /// Name of the host.
    host: String,
    /// Who watches it, such as `storage-heartbeat`.
    #[schemars(regex(pattern = "^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$"))]
    channel: String,
    /// What it says.
    says: Says,
    /// When it was seen; not more than a minute in the future, and not longer ago than `ttlSeconds`.
    observed_at: Time,
    /// For how long it may count, in seconds.
    #[schemars(range(min = 1, max = LONGEST_TTL_SECONDS))]
    ttl_seconds: i64,
    /// More, for people.
    #[schemars(length(max = MOST_DETAIL))]
    #[serde(default)]
    detail: String,
}

impl Sent {
    /// What is wrong with it; `at` is where it stands in the body.
    fn check(&self, at: &str, hosts: &BTreeSet<String>, now: Time, errors: &mut Vec<FieldError>) {
        let field = |name: &str| format!("{at}{name}");
        if !hosts.contains(&self.host) {
            errors.push(FieldError::new(field("host"), "NotFound", format!("there is no Host {:?}; GET /v1/hosts lists them.", self.host)));
        }
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let begins = self.channel.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !begins || self.channel.len() > 63 || !self.channel.chars().all(fits) {
            let message = "must have 1 to 63 of the characters A-Z a-z 0-9 - _ . and begin with a letter or digit, such as storage-heartbeat.";
            errors.push(FieldError::invalid(field("channel"), message));
        }
        check_range(errors, &field("ttlSeconds"), self.ttl_seconds, 1, LONGEST_TTL_SECONDS);
        if self.detail.chars().count() > MOST_DETAIL {
            errors.push(FieldError::invalid(field("detail"), format!("must have at most {MOST_DETAIL} characters.")));
        }
        let age = now.seconds_since(self.observed_at);
        if age < -AHEAD_SECONDS {
            let message = format!("is more than {AHEAD_SECONDS} s in the future (it is {now} here); set the sender's clock right.");
            errors.push(FieldError::invalid(field("observedAt"), message));
        } else if age > self.ttl_seconds {
            let message = format!("is {age} s ago, and ttlSeconds is {}: stale evidence changes nothing; send what is seen now.", self.ttl_seconds);
            errors.push(FieldError::new(field("observedAt"), "Stale", message));
        }
    }
}

/// One observation, or a list of them: all are taken, or none. The answer says which were older than what is known.
pub(crate) async fn take(State(ctx): State<Ctx>, mut call: Call) -> ApiResult<Response> {
    let body = call.json(&ctx, Media::Json).await?;
    let sent = parse(body)?;
    let store = ctx.registry.store();
    let (now, by) = (ctx.clock.now(), call.user().unwrap_or_default().to_string());
    let (hosts, mut known) = known(store.as_ref(), &sent).await?;
    let mut errors = Vec::new();
    for (at, one) in &sent {
        one.check(at, &hosts, now, &mut errors);
    }
    if !errors.is_empty() {
        return Err(RegistryError::Invalid(errors).into());
    }
    let (mut ops, mut ignored) = (Vec::new(), Vec::new());
    for (_, one) in sent {
        let place = (one.host.clone(), one.channel.clone());
        // A replay, or one that overtook it on the way.
        if known.get(&place).is_some_and(|at| *at >= one.observed_at) {
            ignored.push(object!({"host": one.host, "channel": one.channel, "reason": "OlderThanKnown", "knownObservedAt": known[&place]}));
            continue;
        }
        known.insert(place, one.observed_at);
        let Sent { host, channel, says, observed_at, ttl_seconds, detail } = one;
        ops.push(Op::PutObservation(Observation { host, channel, says, observed_at, received_at: now, ttl_seconds, by: by.clone(), detail }));
    }
    let taken = ops.len();
    if taken > 0 && !call.is_dry {
        store.commit(Guard::Open, now, ops).await?;
    }
    json(StatusCode::ACCEPTED, &object!({"taken": taken, "ignored": ignored}))
}

/// When the last of each host's channels was seen.
type Known = BTreeMap<(String, String), Time>;

/// Which of the hosts there are, and what is known of them. Of many all are listed at once.
async fn known(store: &dyn Store, sent: &[(String, Sent)]) -> ApiResult<(BTreeSet<String>, Known)> {
    let named: BTreeSet<&str> = sent.iter().map(|(_, one)| one.host.as_str()).collect();
    let (mut hosts, mut said) = (BTreeSet::new(), Vec::new());
    if named.len() > FEW {
        hosts = store.list_text("Host", ListQuery::default()).await?.items.into_iter().map(|h| h.name).collect();
        said = store.observations(None).await?;
    } else {
        for host in named {
            if store.get("Host", host).await?.is_some() {
                hosts.insert(host.to_string());
                said.extend(store.observations(Some(host)).await?);
            }
        }
    }
    Ok((hosts, said.into_iter().map(|o| ((o.host, o.channel), o.observed_at)).collect()))
}

/// The observations of a body, each with where it stands.
fn parse(body: Value) -> Result<Vec<(String, Sent)>, RegistryError> {
    let one = |at: String, value: &Value| -> Result<(String, Sent), RegistryError> {
        let sent = schemas::object::decode("observation", value).map_err(|mut e: FieldError| {
            e.field = format!("{at}{}", e.field.trim_start_matches("observation").trim_start_matches('.'));
            e
        })?;
        Ok((at, sent))
    };
    match &body {
        Value::Array(all) if all.len() > MOST => {
            Err(FieldError::invalid("", format!("the list has {} observations; send at most {MOST} at once.", all.len())).into())
        }
        Value::Array(all) => all.iter().enumerate().map(|(n, value)| one(format!("[{n}]."), value)).collect(),
        Value::Object(_) => Ok(vec![one(String::new(), &body)?]),
        _ => Err(FieldError::invalid("", "the body must be an observation or a list of them.").into()),
    }
}

/// What channels said last of one host.
pub(crate) async fn of_host(State(ctx): State<Ctx>, call: Call) -> ApiResult<Response> {
    let kind = kinds::find("Host").ok_or_else(internal)?;
    let host = ctx.registry.find(kind, call.reference()).await?.metadata.name;
    let items = ctx.registry.store().observations(Some(&host)).await?;
    json(StatusCode::OK, &object!({"host": host, "items": items}))
}
