//! What the watch over hosts would decide now, and why not more: the same pure decision, over the objects as they are and what
//! the leader saw last. Nothing is written and nothing is sent.

use super::json;
use crate::{
    call::{Call, Media},
    context::Ctx,
    errors::{ApiError, ApiResult, Code, internal},
};
use ::schemas::{
    FieldError, Kind, Object, Time, kinds,
    v1::{NO_HOST, Operations},
};
use axum::{extract::State, http::StatusCode, response::Response};
use futures::future::join_all;
use planner::{
    Fact,
    remediation::{HostRow, HostVerdict, Input, LaidOver, Looked, Objects, PolicyVerdict, pass, policy_from},
};
use registry::RegistryError;
use serde_json::{Value, json as object};
use std::collections::BTreeMap;
use store::{ListQuery, Store};

/// Hosts whose guests are counted for one answer; of more it is told that they were not.
const MOST_COUNTED: usize = 20;
/// Policies that may be laid over at once.
const MOST_POLICIES: usize = 100;

/// Under the policies that there are.
pub(crate) async fn now(State(ctx): State<Ctx>, call: Call) -> ApiResult<Response> {
    answer(&ctx, &call, &[]).await
}

/// With policies laid over them: `{"policies": [{"metadata": {"name": …}, "spec": …}]}`.
pub(crate) async fn under(State(ctx): State<Ctx>, mut call: Call) -> ApiResult<Response> {
    let body = call.json(&ctx, Media::Json).await?;
    let over = policies(&body)?;
    answer(&ctx, &call, &over).await
}

fn policies(body: &Value) -> ApiResult<Vec<LaidOver>> {
    let invalid = |field: &str, message: String| -> ApiError { RegistryError::from(FieldError::invalid(field, message)).into() };
    if let Some(unknown) = body.as_object().and_then(|members| members.keys().find(|key| *key != "policies")) {
        return Err(RegistryError::from(FieldError::new(unknown, "UnknownField", "is not known here; the body is {\"policies\": [...]}.")).into());
    }
    let Some(list) = body["policies"].as_array() else {
        return Err(invalid("policies", "must be the list of RemediationPolicies to lay over those that there are.".into()));
    };
    if list.len() > MOST_POLICIES {
        return Err(invalid("policies", format!("has {} policies; send at most {MOST_POLICIES}.", list.len())));
    }
    let (mut over, mut errors) = (Vec::new(), Vec::new());
    for (n, value) in list.iter().enumerate() {
        match policy_from(&format!("policies[{n}]"), value) {
            Ok(policy) => over.push(policy),
            Err(wrong) => errors.extend(wrong),
        }
    }
    if errors.is_empty() { Ok(over) } else { Err(RegistryError::Invalid(errors).into()) }
}

async fn answer(ctx: &Ctx, call: &Call, over: &[LaidOver]) -> ApiResult<Response> {
    let store = ctx.registry.store().as_ref();
    let only = match call.params.get("host") {
        Some(host) => Some(ctx.registry.find(kinds::find("Host").ok_or_else(internal)?, host).await?.metadata.name),
        None => None,
    };
    let looked = looked(store).await?;
    let now = ctx.clock.now();
    let objects = objects(store).await?;
    let doubt = looked.doubt(&objects.policies, now);
    let mut input = looked.input(objects, over, now);
    let mut verdicts = pass(&input);
    let uncounted: Vec<String> = verdicts.hosts.iter().filter(|v| v.count_guests).take(MOST_COUNTED).map(|v| v.host.clone()).collect();
    if count_guests(ctx, &mut input, &uncounted).await {
        verdicts = pass(&input);
    }
    let rows: BTreeMap<&str, &HostRow> = input.hosts.iter().map(|row| (row.host.metadata.name.as_str(), row)).collect();
    let is_told = |v: &&HostVerdict| only.as_ref().map_or_else(|| is_remarkable(v), |host| *host == v.host);
    let hosts: Vec<Value> = verdicts.hosts.iter().filter(is_told).filter_map(|v| Some(host(rows.get(v.host.as_str())?, v))).collect();
    let policy = hosts.first().filter(|_| only.is_some()).map(|h| h["policy"].clone());
    let policies = verdicts.policies.iter().filter(|v| policy.as_ref().is_none_or(|name| *name == v.policy.as_str()));
    let laid_over: Vec<&str> = over.iter().map(|p| p.metadata.name.as_str()).collect();
    let mut body = object!({
        "observedAt": looked.at,
        "ageSeconds": now.seconds_since(looked.at),
        "doubt": doubt,
        "laidOver": laid_over,
        "policies": policies.map(of_policy).collect::<Vec<_>>(),
        "hosts": hosts,
        "domains": verdicts.domains.iter().filter(|_| only.is_none()).map(|d| object!({"domain": d.domain, "hosts": d.hosts, "down": d.down, "broken": d.broken})).collect::<Vec<_>>(),
    });
    match only {
        Some(host) => {
            body["evacuation"] = match ctx.guests.evacuation_plan(&host).await {
                Ok(plan) => plan,
                Err(why) => object!({"unknown": why}),
            }
        }
        None => body["unremarkable"] = verdicts.hosts.iter().filter(|v| !is_remarkable(v)).count().into(),
    }
    json(StatusCode::OK, &body)
}

/// Hosts of which something else would be decided under these policies: what now, and what then. Guests are not counted for it.
pub(super) async fn changes(ctx: &Ctx, over: &[LaidOver]) -> ApiResult<Vec<Value>> {
    let store = ctx.registry.store().as_ref();
    let (looked, now) = (looked(store).await?, ctx.clock.now());
    let mut told = Vec::new();
    for over in [&[], over] {
        let input = looked.input(objects(store).await?, over, now);
        let rows: BTreeMap<&str, &HostRow> = input.hosts.iter().map(|row| (row.host.metadata.name.as_str(), row)).collect();
        let hosts = pass(&input).hosts;
        told.push(hosts.iter().filter_map(|v| Some((v.host.clone(), host(rows.get(v.host.as_str())?, v)))).collect::<BTreeMap<_, _>>());
    }
    let then = told.pop().unwrap_or_default();
    let before = told.pop().unwrap_or_default();
    let changed = then.into_iter().filter(|(name, then)| before.get(name) != Some(then));
    Ok(changed.map(|(name, then)| object!({"host": name, "now": before.get(&name), "then": then})).collect())
}

/// What the leader saw last.
async fn looked(store: &dyn Store) -> ApiResult<Looked> {
    let unknown = |why: String| ApiError::new(Code::Unavailable, format!("What would be decided now is not known: {why}."));
    match Looked::from_kept(&store.observations(Some(NO_HOST)).await?) {
        Some(Ok(looked)) => Ok(looked),
        Some(Err(why)) => Err(unknown(why)),
        None => Err(unknown("no controller has looked at the hosts yet; see cloud-manager get leases".into())),
    }
}

async fn all<K: Kind>(store: &dyn Store) -> ApiResult<Vec<Object<K>>> {
    let listed = store.list(K::KIND, ListQuery::default()).await?.items;
    listed.iter().map(|o| o.typed().map_err(|e| RegistryError::from(e).into())).collect()
}

async fn objects(store: &dyn Store) -> ApiResult<Objects> {
    let cluster = store.get("ClusterPolicy", "default").await?;
    Ok(Objects {
        hosts: all(store).await?,
        policies: all(store).await?,
        domains: all(store).await?,
        frozen: cluster.is_some_and(|p| p.spec["operations"] == object!(Operations::Frozen)),
    })
}

/// Counts the guests of some hosts by what Nova shows now; whether any could be counted.
async fn count_guests(ctx: &Ctx, input: &mut Input, hosts: &[String]) -> bool {
    let mut calls = Vec::new();
    for host in hosts {
        calls.push(ctx.guests.guests(host));
    }
    let views = join_all(calls).await;
    let now: Time = ctx.clock.now();
    let mut any = false;
    for (host, view) in hosts.iter().zip(views) {
        let Some(row) = input.hosts.iter_mut().find(|row| row.host.metadata.name == *host) else { continue };
        row.guests = match view.map(|v| v["guests"].as_array().map(Vec::len)) {
            Ok(Some(count)) => Fact::Seen(count, now),
            Ok(None) => Fact::Unknown("the answer has no list".into()),
            Err(why) => Fact::Unknown(why),
        };
        any |= row.guests.seen().is_some();
    }
    any
}

/// Whether there is more to tell of a host than that it is up, or off as it should be.
fn is_remarkable(verdict: &HostVerdict) -> bool {
    use ::schemas::v1::AvailabilityState::{Off, Up};
    !matches!(verdict.availability.state, Up | Off) || verdict.begin.is_some() || verdict.cancel.is_some() || verdict.policy.is_none()
}

fn host(row: &HostRow, verdict: &HostVerdict) -> Value {
    let status = &row.host.status;
    let (nova, why) = match &row.up {
        Fact::Seen(true, _) => ("Up", ""),
        Fact::Seen(false, _) => ("Down", ""),
        Fact::Absent(_) => ("Absent", "Nova has no such service"),
        Fact::Unknown(why) => ("Unknown", why.as_str()),
    };
    let begin = verdict.begin.map(|b| format!("{}/{}", b.kind(), verdict.name_of(b)));
    object!({
        "host": verdict.host,
        "policy": verdict.policy,
        "before": status.availability.as_ref().map(|a| a.state),
        "availability": verdict.availability,
        "nova": {"service": nova, "why": why},
        "power": status.power.state,
        "epoch": status.epoch,
        "fence": status.fence,
        "guests": row.guests.seen(),
        "begin": begin,
        "cancel": verdict.cancel.as_ref().map(|name| format!("HostOperation/{name}")),
        "allowed": verdict.allowed,
    })
}

fn of_policy(verdict: &PolicyVerdict) -> Value {
    object!({
        "policy": verdict.policy,
        "covered": verdict.covered,
        "unhealthy": verdict.unhealthy,
        "budgetLeft": verdict.budget_left,
        "begunWithinHour": verdict.begins.len(),
        "storms": verdict.storms,
        "allowed": verdict.allowed,
    })
}
