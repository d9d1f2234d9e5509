//! Nova: services, hypervisors, servers, migrations, aggregates, and the few changes we make.

use super::http::{Call, Failure, Reply, Service as Remote};
use super::{OpenStack, rows};
use crate::{Accepted, Aggregate, CloudError, CloudResult, Compute, Hypervisor, Migration, Server, ServerGroup, Service, ServiceChange};
use async_trait::async_trait;
use reqwest::{Method, Url};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;

type Version = (u32, u32);

/// Oldest Nova spoken to: uuids of services and hypervisors (Pike, 2017).
const FLOOR: Version = (2, 53);
/// Hosts of a cell that did not answer are shown, as `UNKNOWN` (2.69).
const SERVICES: List = List { kind: "services", path: &["os-services"], key: "services", wanted: (2, 69), floor: FLOOR };
/// Not higher: from 2.88 the list asks each compute for its uptime, and waits for dead ones.
const HYPERVISORS: List = List { kind: "hypervisors", path: &["os-hypervisors", "detail"], key: "hypervisors", wanted: FLOOR, floor: FLOOR };
/// `locked` (2.9), the flavor embedded (2.47), guests of a cell that did not answer shown (2.69), properties of the image (2.98).
const SERVERS: List = List { kind: "servers", path: &["servers", "detail"], key: "servers", wanted: (2, 98), floor: FLOOR };
/// Paged since 2.59; without pages it could be cut off.
const MIGRATIONS: List = List { kind: "migrations", path: &["os-migrations"], key: "migrations", wanted: (2, 59), floor: (2, 59) };
const AGGREGATES: List = List { kind: "aggregates", path: &["os-aggregates"], key: "aggregates", wanted: FLOOR, floor: FLOOR };
/// One policy per group, with its rules; its list has offsets and no links.
const SERVER_GROUPS: Version = (2, 64);
/// Groups asked for at once: Nova's own highest page (`[api] max_limit`).
const GROUPS_PER_PAGE: usize = 1_000;
/// Evacuation that starts a guest that ran; from 2.68 the scheduler always checks the destination.
const EVACUATE: Version = (2, 94);
/// Evacuation that leaves the guest stopped.
const EVACUATE_STOPPED: Version = (2, 95);
/// Live migration; newer ones change nothing in it.
const LIVE_MIGRATE: Version = (2, 93);

/// Cold migration to a named host.
const COLD_MIGRATE: Version = (2, 56);

/// How long the highest microversion is believed: an upgrade is noticed within that time.
const VERSION_LIFE: Duration = Duration::from_secs(600);
/// A list with more pages than this goes round in circles.
const MAX_PAGES: usize = 10_000;

/// A list of Nova's.
struct List {
    /// For metrics.
    kind: &'static str,
    path: &'static [&'static str],
    /// Name of the rows in the answer; that of the links is this and `_links`.
    key: &'static str,
    wanted: Version,
    floor: Version,
}

fn refused(what: &str, status: u16, detail: impl Into<String>) -> CloudError {
    CloudError::Refused { what: what.to_owned(), status, detail: detail.into(), request_id: None }
}

impl OpenStack {
    /// The version wanted, or the highest there is, but not below `floor`.
    async fn version(&self, what: &str, wanted: Version, floor: Version) -> CloudResult<Version> {
        let max = self.max_microversion().await?;
        if max < floor {
            let detail = format!("needs Nova API {}.{}, this Nova has {}.{}", floor.0, floor.1, max.0, max.1);
            return Err(refused(what, 400, detail));
        }
        Ok(wanted.min(max))
    }

    async fn nova(&self, mut call: Call<'_>, wanted: Version, floor: Version) -> Result<Reply, Failure> {
        let choosing = self.version(&call.what, wanted, floor);
        let version = if call.method == Method::GET {
            choosing.await
        } else {
            let late = Failure::not_sent(&call.what, "it took too long to learn Nova's microversions; try again");
            tokio::time::timeout_at(call.since + self.inner.timeouts.change_start / 2, choosing).await.map_err(|_| late)?
        };
        // The call itself was not sent, whatever became of the question before it.
        call.version = Some(
            version
                .map_err(|error| match error {
                    CloudError::NotSent { detail, retry_after, .. } => CloudError::NotSent { what: call.what.clone(), detail, retry_after },
                    CloudError::Unknown { detail, .. } => {
                        let detail = format!("Nova's microversions could not be learnt: {detail}");
                        CloudError::NotSent { what: call.what.clone(), detail, retry_after: None }
                    }
                    refused => refused,
                })
                .map_err(Failure::lasting)?,
        );
        let result = self.send(call).await;
        if result.as_ref().is_err_and(|f| f.error.status() == Some(406)) {
            // Nova went back to an older version.
            *self.inner.versions.lock().await = None;
        }
        result
    }

    /// A list, every page. The first page that fails fails the list (I8).
    async fn list(&self, list: &List, what: String, query: Vec<(String, String)>) -> CloudResult<(Vec<Value>, Reply)> {
        let key = list.key;
        let mut rows = Vec::new();
        let mut seen = BTreeSet::new();
        let mut page: Vec<(String, String)> = Vec::new();
        loop {
            let mut call = Call::get(Remote::Compute, list.kind, what.clone(), list.path.to_vec());
            call.query = query.iter().chain(&page).cloned().collect();
            let reply = self.nova(call, list.wanted, list.floor).await?;
            let mut body = reply.json()?;
            let Some(Value::Array(found)) = body.get_mut(key).map(Value::take) else {
                return Err(reply.nonsense(format!("the answer has no list `{key}`")));
            };
            rows.extend(found);
            let Some(next) = body.get(format!("{key}_links")).and_then(next_link) else { return Ok((rows, reply)) };
            page = page_of(next).ok_or_else(|| reply.nonsense("the link to the next page has no marker"))?;
            let new = page.iter().find(|(k, _)| k == "marker").is_some_and(|(_, marker)| seen.insert(marker.clone()));
            if !new || seen.len() > MAX_PAGES {
                return Err(reply.nonsense("the pages of the list go round in circles"));
            }
        }
    }

    async fn act(&self, kind: &'static str, what: String, server: &str, body: Value, wanted: Version, floor: Version) -> CloudResult<Accepted> {
        if server.is_empty() {
            return Err(refused(&what, 400, "the server has no id"));
        }
        let call = Call::change(Method::POST, Remote::Compute, kind, what, vec!["servers", server, "action"], body);
        let reply = self.nova(call, wanted, floor).await?;
        Ok(Accepted { request_id: reply.request_id })
    }

    async fn migrations(&self, what: String, filter: &str, value: &str) -> CloudResult<Vec<Migration>> {
        let query = vec![(filter.to_owned(), value.to_owned())];
        let (found, reply) = self.list(&MIGRATIONS, what, query).await?;
        // Each may be a guest on its way: none can be left out (S6, S9).
        found.iter().enumerate().map(|(at, row)| rows::migration(row).ok_or_else(|| odd(&reply, "migration", at, row))).collect()
    }
}

/// A row that cannot be used and cannot be left out.
fn odd(reply: &Reply, of: &str, at: usize, row: &Value) -> CloudError {
    let row = super::decode::short(&row.to_string());
    reply.nonsense(format!("{of} {} of the list cannot be read: {row}", at + 1))
}

fn next_link(links: &Value) -> Option<&str> {
    links.as_array()?.iter().find(|l| l.get("rel").and_then(Value::as_str) == Some("next"))?.get("href")?.as_str()
}

/// Marker and limit of the link to the next page. Only those: the link's host is often an internal one.
fn page_of(link: &str) -> Option<Vec<(String, String)>> {
    let base = Url::parse("http://nova/").ok()?;
    let url = base.join(link).ok()?;
    let page: Vec<(String, String)> =
        url.query_pairs().filter(|(k, _)| ["marker", "limit"].contains(&k.as_ref())).map(|(k, v)| (k.into_owned(), v.into_owned())).collect();
    page.iter().any(|(k, v)| k == "marker" && !v.is_empty()).then_some(page)
}

#[async_trait]
impl Compute for OpenStack {
    async fn services(&self) -> CloudResult<Vec<Service>> {
        let (found, _) = self.list(&SERVICES, "nova: list of services".into(), Vec::new()).await?;
        Ok(found.iter().filter_map(|row| rows::service(row).or_else(|| skipped("service", row))).collect())
    }

    async fn hypervisors(&self) -> CloudResult<Vec<Hypervisor>> {
        let (found, _) = self.list(&HYPERVISORS, "nova: list of hypervisors".into(), Vec::new()).await?;
        Ok(found.iter().filter_map(|row| rows::hypervisor(row).or_else(|| skipped("hypervisor", row))).collect())
    }

    async fn servers(&self, host: Option<&str>) -> CloudResult<Vec<Server>> {
        let what = host.map_or("nova: list of servers".to_owned(), |h| format!("nova: list of servers on {h}"));
        let mut query = vec![("all_tenants".to_owned(), "1".to_owned())];
        query.extend(host.map(|h| ("host".to_owned(), h.to_owned())));
        let (found, reply) = self.list(&SERVERS, what, query).await?;
        // A server left out could make a host look empty.
        let all: CloudResult<Vec<Server>> =
            found.iter().enumerate().map(|(at, row)| rows::server(row).ok_or_else(|| odd(&reply, "server", at, row))).collect();
        let mut all = all?;
        // MySQL compares hosts without case; a guest of `C1` is not one of `c1`.
        all.retain(|s| s.host.as_deref().zip(host).is_none_or(|(has, asked)| has == asked));
        Ok(all)
    }

    async fn server(&self, id: &str) -> CloudResult<Option<Server>> {
        if id.is_empty() {
            return Err(refused("nova: show server", 400, "the server has no id"));
        }
        let call = Call::get(Remote::Compute, "server", format!("nova: show server {id}"), vec!["servers", id]);
        let reply = match self.nova(call, SERVERS.wanted, FLOOR).await {
            Ok(reply) => reply,
            Err(failure) if failure.is_absence() => return Ok(None),
            Err(failure) => return Err(failure.into()),
        };
        let body = reply.json()?;
        let found = body.get("server").and_then(rows::server).ok_or_else(|| reply.nonsense("the answer has no readable `server`"))?;
        Ok(Some(found))
    }

    async fn migrations_of_host(&self, host: &str) -> CloudResult<Vec<Migration>> {
        let mut found = self.migrations(format!("nova: list of migrations of host {host}"), "host", host).await?;
        // Without case on MySQL, as above; a record that names neither end is kept.
        found.retain(|m| {
            let ends = [&m.source, &m.destination];
            ends.iter().any(|e| e.as_deref() == Some(host)) || ends.iter().all(|e| e.is_none())
        });
        Ok(found)
    }

    async fn migrations_of_server(&self, server: &str) -> CloudResult<Vec<Migration>> {
        self.migrations(format!("nova: list of migrations of server {server}"), "instance_uuid", server).await
    }

    async fn aggregates(&self) -> CloudResult<Vec<Aggregate>> {
        let (found, reply) = self.list(&AGGREGATES, "nova: list of aggregates".into(), Vec::new()).await?;
        // What an aggregate says can hold a step back (S13), so none is left out.
        found.iter().enumerate().map(|(at, row)| rows::aggregate(row).ok_or_else(|| odd(&reply, "aggregate", at, row))).collect()
    }

    async fn server_groups(&self) -> CloudResult<Vec<ServerGroup>> {
        let mut groups: Vec<ServerGroup> = Vec::new();
        for _ in 0..MAX_PAGES {
            let mut call = Call::get(Remote::Compute, "server groups", "nova: list of server groups".into(), vec!["os-server-groups"]);
            call.query = [("all_projects", "True".to_owned()), ("limit", GROUPS_PER_PAGE.to_string()), ("offset", groups.len().to_string())]
                .map(|(k, v)| (k.to_owned(), v))
                .to_vec();
            let reply = self.nova(call, SERVER_GROUPS, SERVER_GROUPS).await?;
            let body = reply.json()?;
            let found =
                body.get("server_groups").and_then(Value::as_array).ok_or_else(|| reply.nonsense("the answer has no list `server_groups`"))?;
            if found.is_empty() {
                return Ok(groups);
            }
            // A group left out could be the one that forbids a destination.
            for (at, row) in found.iter().enumerate() {
                groups.push(rows::server_group(row).ok_or_else(|| odd(&reply, "server group", at, row))?);
            }
        }
        Err(CloudError::Unknown { what: "nova: list of server groups".into(), detail: "its pages do not come to an end".into(), request_id: None })
    }

    async fn update_service(&self, id: &str, change: &ServiceChange) -> CloudResult<Service> {
        let what = format!("nova: change of service {id}");
        let mut body = json!({});
        if let Some(enabled) = change.enabled {
            body["status"] = json!(if enabled { "enabled" } else { "disabled" });
        }
        if let Some(reason) = &change.disabled_reason {
            if change.enabled != Some(false) {
                return Err(refused(&what, 400, "a reason can only be given when disabling"));
            }
            if !(1..=255).contains(&reason.chars().count()) {
                return Err(refused(&what, 400, "the reason must have 1 to 255 characters"));
            }
            body["disabled_reason"] = json!(reason);
        }
        if let Some(forced) = change.forced_down {
            body["forced_down"] = json!(forced);
        }
        if id.is_empty() {
            return Err(refused(&what, 400, "the service has no id: its cell did not answer"));
        }
        if body.as_object().is_some_and(serde_json::Map::is_empty) {
            return Err(refused(&what, 400, "nothing to change"));
        }
        let call = Call::change(Method::PUT, Remote::Compute, "update_service", what, vec!["os-services", id], body);
        let reply = self.nova(call, SERVICES.wanted, FLOOR).await?;
        let answer = reply.json()?;
        answer.get("service").and_then(rows::service).ok_or_else(|| reply.nonsense("the answer has no readable `service`"))
    }

    async fn evacuate(&self, server: &str, destination: &str, leave_stopped: bool) -> CloudResult<Accepted> {
        let what = format!("nova: evacuation of server {server} to {destination}");
        if destination.is_empty() {
            return Err(refused(&what, 400, "every evacuation names its destination (S7)"));
        }
        let (wanted, floor) = if leave_stopped { (EVACUATE_STOPPED, EVACUATE_STOPPED) } else { (EVACUATE, FLOOR) };
        self.act("evacuate", what, server, json!({"evacuate": {"host": destination}}), wanted, floor).await
    }

    async fn live_migrate(&self, server: &str, destination: Option<&str>) -> CloudResult<Accepted> {
        let what = format!("nova: live migration of server {server} to {}", destination.unwrap_or("a host of the scheduler's choice"));
        let body = json!({"os-migrateLive": {"host": destination, "block_migration": "auto"}});
        self.act("live_migrate", what, server, body, LIVE_MIGRATE, FLOOR).await
    }

    async fn cold_migrate(&self, server: &str, destination: Option<&str>) -> CloudResult<Accepted> {
        let to = destination.unwrap_or("a host of the scheduler's choice");
        let what = format!("nova: cold migration of server {server} to {to}");
        // Before 2.56 it takes no host, and no body at all.
        let (body, wanted, floor) = match destination {
            Some(host) => (json!({"migrate": {"host": host}}), COLD_MIGRATE, COLD_MIGRATE),
            None => (json!({"migrate": null}), COLD_MIGRATE, FLOOR),
        };
        self.act("cold_migrate", what, server, body, wanted, floor).await
    }

    async fn confirm_resize(&self, server: &str) -> CloudResult<Accepted> {
        let what = format!("nova: confirmation of the cold migration of server {server}");
        self.act("confirm_resize", what, server, json!({"confirmResize": null}), FLOOR, FLOOR).await
    }

    async fn start(&self, server: &str) -> CloudResult<Accepted> {
        self.act("start", format!("nova: start of server {server}"), server, json!({"os-start": null}), FLOOR, FLOOR).await
    }

    async fn stop(&self, server: &str) -> CloudResult<Accepted> {
        self.act("stop", format!("nova: stop of server {server}"), server, json!({"os-stop": null}), FLOOR, FLOOR).await
    }

    async fn max_microversion(&self) -> CloudResult<Version> {
        // Held while asking, so that many callers make one request.
        let mut known = self.inner.versions.lock().await;
        if let Some((at, version)) = *known
            && at.elapsed() < VERSION_LIFE
        {
            return Ok(version);
        }
        // The root's own `self` link is not followed: it often names an internal host.
        let reply = self.send(Call::get(Remote::Compute, "versions", "nova: supported versions".to_owned(), vec![""])).await?;
        let body = reply.json()?;
        let found = body
            .get("version")
            .or_else(|| body.get("versions").and_then(Value::as_array)?.iter().find(|v| v.get("id").and_then(Value::as_str) == Some("v2.1")));
        let max = found.and_then(|v| super::decode::text(v, "version")).and_then(|text| {
            let (major, minor) = text.split_once('.')?;
            Some((major.parse().ok()?, minor.parse().ok()?))
        });
        let max = max.ok_or_else(|| reply.nonsense("the answer names no version of v2.1"))?;
        *known = Some((Instant::now(), max));
        Ok(max)
    }
}

/// Leaves a row out, loudly. Only where a missing row holds steps back.
fn skipped<T>(of: &str, row: &Value) -> Option<T> {
    tracing::warn!(row = %super::decode::short(&row.to_string()), "Nova lists a {of} that cannot be read; it is left out");
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_gives_its_marker_whatever_its_host() {
        let link = "http://internal:8774/v2.1/servers/detail?all_tenants=1&limit=2&marker=abc";
        assert_eq!(page_of(link), Some(vec![("limit".into(), "2".into()), ("marker".into(), "abc".into())]));
        assert_eq!(page_of("/servers?marker=x"), Some(vec![("marker".into(), "x".into())]));
        assert_eq!(page_of("http://internal/servers?limit=2"), None);
    }
}
