//! THE table of routes.

use crate::{
    attest,
    audit::{ACTING, Acting},
    auth::{Caller, is_service},
    context::Ctx,
    envelope::envelope,
    errors::{ApiError, ApiResult, Code, Problem},
    handlers::{
        apply, apply_sets, batch, create, decisions, delete, discovery, evidence, get, guests, health, legacy, list, openapi, schemas, status, tasks,
        update, whoami,
    },
    limits::Class,
    openapi::{Components, Operation, Place, says},
    params::Params,
    policy::asks::{Asks, Request as Asked},
};
use ::schemas::{KindInfo, kinds::KINDS};
use axum::{
    Router,
    extract::{FromRequestParts, RawPathParams, Request, State},
    handler::Handler,
    http::{HeaderName, HeaderValue, header, request::Parts},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{MethodFilter, MethodRouter, on},
};
use registry::RegistryError;
use std::{borrow::Cow, sync::Arc};
use tokio::sync::OwnedSemaphorePermit;

type Method = (&'static str, MethodFilter);

const GET: Method = ("GET", MethodFilter::GET);
const POST: Method = ("POST", MethodFilter::POST);
const PUT: Method = ("PUT", MethodFilter::PUT);
const PATCH: Method = ("PATCH", MethodFilter::PATCH);
const DELETE: Method = ("DELETE", MethodFilter::DELETE);

const NONE: &[&str] = &[];
pub(crate) const LIST: &[&str] = &[
    "labelSelector",
    "fieldSelector",
    "limit",
    "continue",
    "marker",
    "sort",
    "resourceVersion",
    "watch",
    "allowWatchBookmarks",
    "sendInitialEvents",
    "timeoutSeconds",
    "name",
    "metadata.name",
    "spec.hostRef.name",
    "spec.deviceRef.name",
    "spec.owner",
    "spec.host",
    "spec.target",
    "spec.initiator",
    "spec.action",
    "spec.outcome",
    "spec.regarding",
    "status.conditions.Ready",
    "status.power.state",
];
const TASKS: &[&str] = &["limit", "continue", "marker"];
const ONE: &[&str] = &["resourceVersion"];
const HOST: &[&str] = &["host"];
const DRY: &[&str] = &["dryRun"];
const WRITE: &[&str] = &["dryRun", "fieldManager"];
const PATCHING: &[&str] = &["dryRun", "fieldManager", "force"];
const BATCH: &[&str] = &["dryRun", "fieldManager", "force", "atomic", "applySet", "prune", "maxDeletes", "revision", "afterRevision"];

const DIFF: &[&str] = &["dryRun", "fieldManager", "force", "atomic", "applySet", "prune", "maxDeletes", "revision", "afterRevision", "explain"];

/// What a route says of itself in the OpenAPI document.
type Says = fn(&Place, &mut Components) -> Operation;

/// Method, path, what it asks of the caller, the query parameters it knows, who answers, and its words.
pub(crate) struct Route {
    pub method: &'static str,
    pub path: &'static str,
    pub asks: Asks,
    pub params: &'static [&'static str],
    handler: MethodRouter<Ctx>,
    pub says: Says,
}

fn route<H, T>(method: Method, path: &'static str, asks: Asks, params: &'static [&'static str], handler: H, says: Says) -> Route
where
    H: Handler<T, Ctx>,
    T: 'static,
{
    Route { method: method.0, path, asks, params, handler: on(method.1, handler), says }
}

#[rustfmt::skip]
pub(crate) fn routes() -> Vec<Route> {
    use Asks::{Action, ListOrWatch, Open, Patch, Rule, Verb};
    vec![
        route(GET,    "/",                                Open,                                          NONE,  discovery::root,          says::discovery::root),
        route(GET,    "/v1",                              Open,                                          NONE,  discovery::version,       says::discovery::version),
        route(GET,    "/v1/",                             Open,                                          NONE,  discovery::version,       says::discovery::version),
        route(GET,    "/v1/info",                         Open,                                          NONE,  discovery::info,          says::discovery::info),
        route(GET,    "/v1/openapi.json",                 Open,                                          NONE,  openapi::openapi,         says::discovery::openapi),
        route(GET,    "/healthcheck",                     Open,                                          NONE,  health::healthcheck,      says::discovery::healthcheck),
        route(GET,    "/livez",                           Open,                                          NONE,  health::livez,            says::discovery::livez),
        route(GET,    "/readyz",                          Open,                                          NONE,  health::readyz,           says::discovery::readyz),
        route(GET,    "/v1/whoami",                       Rule("cloud-manager:whoami:get"),              NONE,  whoami::whoami,           says::identity::whoami),
        route(POST,   "/v1/access-reviews",               Rule("cloud-manager:access-reviews:create"),   NONE,  whoami::review,           says::identity::review),
        route(GET,    "/v1/kinds",                        Rule("cloud-manager:kinds:list"),              NONE,  schemas::kinds,           says::discovery::kinds),
        route(GET,    "/v1/schemas/{kind}",               Rule("cloud-manager:schemas:get"),             NONE,  schemas::schema,          says::discovery::schema),
        route(GET,    "/v1/tasks",                        Rule("cloud-manager:tasks:list"),              TASKS, tasks::list,              says::tasks::list),
        route(GET,    "/v1/tasks/{ref}",                  Rule("cloud-manager:tasks:get"),               NONE,  tasks::get,               says::tasks::get),
        route(GET,    "/v1/hosts/{ref}/guests",           Rule("cloud-manager:hosts:guests"),            NONE,  guests::guests,           says::hosts::guests),
        route(GET,    "/v1/hosts/{ref}/evacuation-plan",  Rule("cloud-manager:hosts:evacuation-plan"),   NONE,  guests::evacuation_plan,  says::hosts::evacuation_plan),
        route(POST,   "/v1/hosts/{ref}/actions/{verb}",   Action,                                        WRITE, legacy::action,           says::tasks::action),
        route(GET,    "/v1/decisions",                    Rule("cloud-manager:decisions:get"),           HOST,  decisions::now,           says::hosts::decisions),
        route(POST,   "/v1/decisions",                    Rule("cloud-manager:decisions:get"),           HOST,  decisions::under,         says::hosts::decisions_under),
        route(GET,    "/v1/hosts/{ref}/evidence",         Rule("cloud-manager:hosts:evidence"),          NONE,  evidence::of_host,        says::hosts::evidence),
        route(POST,   "/v1/evidence",                     Rule("cloud-manager:evidence:create"),         DRY,   evidence::take,           says::hosts::take_evidence),
        route(POST,   "/v1/apply",                        Rule("cloud-manager:apply:create"),            BATCH, batch::apply,             says::batches::apply),
        route(POST,   "/v1/diff",                         Rule("cloud-manager:diff:create"),             DIFF,  batch::diff,              says::batches::diff),
        route(POST,   "/v1/applysets/{ref}/report",       Rule("cloud-manager:applysets:report"),        DRY,   apply_sets::report,       says::batches::report),
        route(GET,    "/v1/{plural}",                     ListOrWatch,                                   LIST,  list::list_or_watch,      says::kinds::list),
        route(POST,   "/v1/{plural}",                     Verb("create"),                                WRITE, create::create,           says::kinds::create),
        route(GET,    "/v1/{plural}/{ref}",               Verb("get"),                                   ONE,   get::get,                 says::kinds::get),
        route(PUT,    "/v1/{plural}/{ref}",               Verb("update"),                                WRITE, update::put,              says::kinds::put),
        route(PATCH,  "/v1/{plural}/{ref}",               Patch,                                         PATCHING, apply::patch,             says::kinds::patch),
        route(DELETE, "/v1/{plural}/{ref}",               Verb("delete"),                                DRY,   delete::delete,           says::kinds::delete),
        route(GET,    "/v1/{plural}/{ref}/status",        Verb("get"),                                   ONE,   status::status,           says::kinds::status),
        route(GET,    "/v1/{plural}/{ref}/events",        Rule("cloud-manager:events:list"),             NONE,  status::events,           says::kinds::events),
    ]
}

/// Says that nothing was written.
pub(crate) const DRY_RUN: HeaderName = HeaderName::from_static("x-dry-run");

/// The whole application.
pub(crate) fn router(ctx: Ctx) -> Router {
    let mut router = Router::new();
    for Route { path, asks, params, handler, .. } in routes() {
        let gate = Gate { ctx: ctx.clone(), asks, params };
        router = router.route(path, handler.route_layer(from_fn_with_state(gate, guard)));
    }
    router.fallback(nowhere).method_not_allowed_fallback(not_so).layer(from_fn_with_state(ctx.clone(), envelope)).with_state(ctx)
}

#[derive(Clone)]
struct Gate {
    ctx: Ctx,
    asks: Asks,
    params: &'static [&'static str],
}

/// Who is it, may they, and is the query one that is understood.
async fn guard(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    if gate.asks == Asks::Open {
        return match Params::parse(&parts.uri, gate.params) {
            Ok(params) => {
                parts.extensions.insert(params);
                next.run(Request::from_parts(parts, body)).await
            }
            Err(error) => error.into_response(),
        };
    }
    let mut request = Judged { ctx: gate.ctx.clone(), acting: Arc::new(Acting::of(&parts)), rule: Cow::Borrowed(""), answered: false };
    let (rule, admitted) = gate.admit(&mut parts, &request.acting).await;
    request.rule = rule;
    let response = match admitted {
        Ok((caller, params, _place)) => {
            let is_dry = params.dry_run().unwrap_or(false);
            parts.extensions.insert(params);
            parts.extensions.insert(caller);
            let mut response = ACTING.scope(request.acting.clone(), next.run(Request::from_parts(parts, body))).await;
            if is_dry {
                response.headers_mut().insert(DRY_RUN, HeaderValue::from_static("All"));
            }
            response
        }
        Err(error) => error.into_response(),
    };
    let code = response.extensions().get::<Arc<Problem>>().map(|problem| problem.code());
    request.answered = true;
    request.ctx.auditor.answered(&request.acting, &request.rule, response.status().as_u16(), code);
    response
}

/// A request that will be recorded, also if it is broken off: it took too long, its handler failed, or the client went away.
struct Judged {
    ctx: Ctx,
    acting: Arc<Acting>,
    rule: Cow<'static, str>,
    answered: bool,
}

impl Drop for Judged {
    fn drop(&mut self) {
        if !self.answered {
            self.ctx.auditor.broken_off(&self.acting, &self.rule);
        }
    }
}

/// Who sent it, with which parameters, and its place among those that are worked on.
type Admitted = (Caller, Params, Option<OwnedSemaphorePermit>);

impl Gate {
    /// The rule that the request is about, as far as it is known, and who may go on.
    async fn admit(&self, parts: &mut Parts, acting: &Acting) -> (Cow<'static, str>, ApiResult<Admitted>) {
        let mut rule = Cow::Borrowed("");
        let admitted = self.judge(parts, acting, &mut rule).await;
        (rule, admitted)
    }

    async fn judge(&self, parts: &mut Parts, acting: &Acting, asked: &mut Cow<'static, str>) -> ApiResult<Admitted> {
        let params = Params::parse(&parts.uri, self.params);
        let caller = self.ctx.auth.caller(&parts.headers, &parts.method, parts.uri.path()).await?;
        // Set once: there is one token.
        let _ = acting.who.set(caller.info.clone());
        tracing::Span::current().record("user", &caller.info.user_id);
        // Decoded by the same hand as for the handlers: what they act on is what was judged.
        let path = RawPathParams::from_request_parts(parts, &()).await;
        let path = path.map_err(|_| ApiError::new(Code::Malformed, "The path of the URL is not valid UTF-8."))?;
        let watch = params.as_ref().is_ok_and(|p| p.flag("watch").is_ok_and(|w| w == Some(true)));
        let rule = self.asks.rule(&Asked {
            part: &|name| path.iter().find(|(k, _)| *k == name).map(|(_, v)| v),
            watch,
            content_type: parts.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default(),
        });
        // No open route comes here; one that did would be asked for a rule that is not there.
        *asked = rule.unwrap_or_default();
        let rule = asked.as_ref();
        if let Err(error) = self.ctx.policies.current().decide(rule, &caller.info) {
            // Asked for on trial, it is no statement.
            let is_dry = params.as_ref().is_ok_and(|p| p.dry_run().unwrap_or(false));
            if !is_dry && matches!(rule.strip_prefix("cloud-manager:fenceattestations:"), Some("create" | "update" | "apply" | "delete")) {
                attest::not_allowed(&self.ctx, &caller.info).await;
            }
            return Err(error);
        }
        let class = match parts.method.is_safe() {
            _ if watch => Class::Watch,
            true => Class::Read,
            false => Class::Mutate,
        };
        self.ctx.limits.caller(&caller.info.user_id, is_service(&caller.info), class)?;
        // Said before anything is said of the query: nothing of the request could make it possible.
        if class == Class::Mutate
            && let Some(kind) = path.iter().find(|(part, _)| *part == "plural").and_then(|(_, plural)| read_only(plural))
        {
            return Err(RegistryError::ReadOnly(kind.kind.into()).into());
        }
        let params = params?;
        params.dry_run()?;
        Ok((caller, params, self.ctx.limits.place(class).await?))
    }
}

async fn nowhere(request: Request) -> ApiError {
    ApiError::new(Code::NotFound, format!("There is nothing at {}; GET / and GET /v1/kinds tell what there is.", request.uri().path()))
}

async fn not_so(request: Request) -> Response {
    let path = request.uri().path();
    let error = ApiError::new(Code::MethodNotAllowed, format!("{} is not possible on {path}; the Allow header says what is.", request.method()));
    let mut response = error.into_response();
    // The route would say what it takes for other kinds.
    if path.split('/').nth(2).and_then(read_only).is_some() {
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET,HEAD"));
    }
    response
}

/// The kind of this plural, if controllers alone write it.
fn read_only(plural: &str) -> Option<&'static KindInfo> {
    KINDS.iter().find(|kind| kind.plural == plural && kind.read_only)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Policy, rules};
    use ::schemas::Time;
    use cloud::TokenInfo;
    use std::collections::BTreeSet;

    #[test]
    fn only_discovery_and_health_are_open() {
        let open: Vec<&str> = routes().iter().filter(|r| r.asks == Asks::Open).map(|r| r.path).collect();
        assert_eq!(open, ["/", "/v1", "/v1/", "/v1/info", "/v1/openapi.json", "/healthcheck", "/livez", "/readyz"]);
    }

    /// Who is who in the table. The tests of the API use tokens of the same names.
    fn personas() -> Vec<(&'static str, TokenInfo)> {
        let who = |name: &'static str, roles: &[&str], project: bool, system: bool| {
            let info = TokenInfo {
                user_id: name.into(),
                user_name: name.into(),
                project_id: project.then(|| "p".into()),
                system_scope: system,
                is_admin_project: false,
                roles: roles.iter().map(ToString::to_string).collect(),
                expires_at: Time(0),
                access_rules: None,
            };
            (name, info)
        };
        vec![
            who("admin", &["admin", "manager", "member", "reader"], true, false),
            who("operator", &["cloud-operator"], true, false),
            who("system-reader", &["reader"], false, true),
            who("service", &["service"], true, false),
            who("member", &["member", "reader"], true, false),
            who("unscoped", &[], false, false),
        ]
    }

    /// Every request that a route stands for: method, path with query, and content type.
    fn requests(route: &Route) -> Vec<(&'static str, String, &'static str)> {
        let mut paths = vec![route.path.replace("{ref}", "x")];
        let fill = |paths: Vec<String>, part: &str, with: &[&str]| -> Vec<String> {
            paths.iter().flat_map(|p| if p.contains(part) { with.iter().map(|w| p.replace(part, w)).collect() } else { vec![p.clone()] }).collect()
        };
        let plurals: Vec<&str> = KINDS.iter().map(|k| k.plural).chain(["nothings"]).collect();
        paths = fill(paths, "{plural}", &plurals);
        // What has a route of its own is not this one's to answer.
        paths.retain(|p| !routes().iter().any(|r| r.path != route.path && r.path.replace("{ref}", "x") == *p));
        paths = fill(paths, "{verb}", &legacy::verbs().chain(["explode"]).collect::<Vec<_>>());
        paths = fill(paths, "{kind}", &["Host"]);
        if route.asks == Asks::ListOrWatch {
            paths = paths.into_iter().flat_map(|p| [p.clone(), format!("{p}?watch=true")]).collect();
        }
        let types: &[&str] = if route.asks == Asks::Patch { &["application/merge-patch+json", "application/apply-patch+yaml"] } else { &[""] };
        paths.into_iter().flat_map(|p| types.iter().map(|t| (route.method, p.clone(), *t)).collect::<Vec<_>>()).collect()
    }

    fn rule_of(route: &Route, path: &str, content_type: &str) -> Option<String> {
        let parts: Vec<&str> = path.split('?').next().unwrap_or_default().split('/').collect();
        let names: Vec<&str> = route.path.split('/').collect();
        let part = |name: &str| names.iter().position(|n| *n == format!("{{{name}}}")).map(|at| parts[at]);
        route.asks.rule(&Asked { part: &part, watch: path.ends_with("?watch=true"), content_type }).map(Into::into)
    }

    /// THE table: every request, its rule, and who may. `UPDATE_ACCESS=1` writes it anew; then read the difference.
    #[test]
    fn every_route_and_persona_is_as_the_table_says_and_every_rule_is_asked_for() {
        let policy = Policy::default();
        let mut lines = vec![
            "# Request, rule, and which of the tokens admin, operator, system-reader, service, member, unscoped may. All others get 403.".to_string(),
        ];
        let mut asked = BTreeSet::new();
        for route in routes() {
            for (method, path, content_type) in requests(&route) {
                let rule = rule_of(&route, &path, content_type);
                if let Some(rule) = &rule {
                    assert!(rules::find(rule).is_some(), "{method} {path} asks for {rule}, which is in no table");
                    asked.insert(rule.clone());
                }
                let may = |info: &TokenInfo| rule.as_ref().is_none_or(|rule| policy.decide(rule, info).is_ok());
                let who: Vec<&str> = personas().iter().filter(|(_, info)| may(info)).map(|(name, _)| *name).collect();
                let content = if content_type.is_empty() { "-" } else { content_type };
                lines.push(format!(
                    "{method} {path} {content} {} {}",
                    rule.as_deref().unwrap_or("open"),
                    if who.is_empty() { "nobody".into() } else { who.join(",") }
                ));
            }
        }
        let unasked: Vec<&str> =
            rules::RULES.iter().filter(|r| !r.operations.is_empty() && !asked.contains(&r.name)).map(|r| r.name.as_str()).collect();
        assert_eq!(unasked, Vec::<&str>::new(), "rules that no request asks for");
        let text = lines.join("\n") + "\n";
        let place = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/api/access.table");
        if std::env::var_os("UPDATE_ACCESS").is_some() {
            std::fs::write(place, &text).unwrap();
        }
        let known = std::fs::read_to_string(place).unwrap_or_default();
        for (new, old) in text.lines().zip(known.lines()) {
            assert_eq!(new, old, "a route, a rule or its check changed: say in tests/api/access.table who may");
        }
        assert_eq!(text.lines().count(), known.lines().count(), "a route or a kind came or went: say in tests/api/access.table who may");
    }

    #[test]
    fn an_operation_of_a_rule_is_a_request_that_asks_for_it() {
        let known: BTreeSet<String> = routes()
            .iter()
            .flat_map(|route| requests(route).into_iter().map(|(method, path, t)| (method, rule_of(route, &path, t), path)).collect::<Vec<_>>())
            .map(|(method, rule, path)| format!("{method} {path} {}", rule.unwrap_or_default()))
            .collect();
        for rule in rules::RULES.iter() {
            for (method, path) in &rule.operations {
                let path = path.replace("{ref}", "x").replace("{kind}", "Host");
                assert!(known.contains(&format!("{method} {path} {}", rule.name)), "{} is not asked for by {method} {path}", rule.name);
            }
        }
    }
}
