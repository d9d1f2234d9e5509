//! THE table of routes.

use crate::{
    attest,
    auth::Caller,
    context::Ctx,
    envelope::envelope,
    errors::{ApiError, ApiResult, Code},
    handlers::{create, decisions, delete, discovery, evidence, get, guests, health, legacy, list, schemas, status, tasks, update},
    params::Params,
    policy::{self, Access},
};
use axum::{
    Router,
    extract::{Request, State},
    handler::Handler,
    http::{HeaderMap, Uri},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{MethodFilter, MethodRouter, on},
};

const GET: MethodFilter = MethodFilter::GET;
const POST: MethodFilter = MethodFilter::POST;
const PUT: MethodFilter = MethodFilter::PUT;
const PATCH: MethodFilter = MethodFilter::PATCH;
const DELETE: MethodFilter = MethodFilter::DELETE;

const NONE: &[&str] = &[];
const LIST: &[&str] = &[
    "labelSelector",
    "fieldSelector",
    "limit",
    "continue",
    "marker",
    "resourceVersion",
    "watch",
    "allowWatchBookmarks",
    "sendInitialEvents",
    "timeoutSeconds",
];
const TASKS: &[&str] = &["limit", "continue", "marker"];
const ONE: &[&str] = &["resourceVersion"];
const HOST: &[&str] = &["host"];

/// Path, what it asks of the caller, the query parameters it knows, and who answers.
struct Route {
    path: &'static str,
    access: Access,
    params: &'static [&'static str],
    handler: MethodRouter<Ctx>,
}

fn route<H, T>(method: MethodFilter, path: &'static str, access: Access, params: &'static [&'static str], handler: H) -> Route
where
    H: Handler<T, Ctx>,
    T: 'static,
{
    Route { path, access, params, handler: on(method, handler) }
}

#[rustfmt::skip]
fn routes() -> Vec<Route> {
    use Access::{Observe, Open, Read, Write};
    vec![
        route(GET,    "/",                                Open,  NONE,  discovery::root),
        route(GET,    "/v1",                              Open,  NONE,  discovery::version),
        route(GET,    "/v1/",                             Open,  NONE,  discovery::version),
        route(GET,    "/v1/info",                         Open,  NONE,  discovery::info),
        route(GET,    "/healthcheck",                     Open,  NONE,  health::healthcheck),
        route(GET,    "/livez",                           Open,  NONE,  health::livez),
        route(GET,    "/readyz",                          Open,  NONE,  health::readyz),
        route(GET,    "/v1/kinds",                        Read,  NONE,  schemas::kinds),
        route(GET,    "/v1/schemas/{kind}",               Read,  NONE,  schemas::schema),
        route(GET,    "/v1/tasks",                        Read,  TASKS, tasks::list),
        route(GET,    "/v1/tasks/{ref}",                  Read,  NONE,  tasks::get),
        route(GET,    "/v1/hosts/{ref}/guests",           Read,  NONE,  guests::guests),
        route(GET,    "/v1/hosts/{ref}/evacuation-plan",  Read,  NONE,  guests::evacuation_plan),
        route(POST,   "/v1/hosts/{ref}/actions/{verb}",   Write, NONE,  legacy::action),
        route(GET,    "/v1/decisions",                    Read,  HOST,  decisions::now),
        route(POST,   "/v1/decisions",                    Read,  HOST,  decisions::under),
        route(GET,    "/v1/hosts/{ref}/evidence",         Read,  NONE,  evidence::of_host),
        route(POST,   "/v1/evidence",                     Observe, NONE, evidence::take),
        route(GET,    "/v1/{plural}",                     Read,  LIST,  list::list_or_watch),
        route(POST,   "/v1/{plural}",                     Write, NONE,  create::create),
        route(GET,    "/v1/{plural}/{ref}",               Read,  ONE,   get::get),
        route(PUT,    "/v1/{plural}/{ref}",               Write, NONE,  update::put),
        route(PATCH,  "/v1/{plural}/{ref}",               Write, NONE,  update::patch),
        route(DELETE, "/v1/{plural}/{ref}",               Write, NONE,  delete::delete),
        route(GET,    "/v1/{plural}/{ref}/status",        Read,  ONE,   status::status),
        route(GET,    "/v1/{plural}/{ref}/events",        Read,  NONE,  status::events),
    ]
}

/// The whole application.
pub(crate) fn router(ctx: Ctx) -> Router {
    let mut router = Router::new();
    for Route { path, access, params, handler } in routes() {
        let gate = Gate { ctx: ctx.clone(), access, params };
        router = router.route(path, handler.route_layer(from_fn_with_state(gate, guard)));
    }
    router.fallback(nowhere).method_not_allowed_fallback(not_so).layer(from_fn_with_state(ctx.clone(), envelope)).with_state(ctx)
}

#[derive(Clone)]
struct Gate {
    ctx: Ctx,
    access: Access,
    params: &'static [&'static str],
}

/// Who is it, may they, and is the query one that is understood.
async fn guard(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    match gate.admit(request.headers(), request.uri()).await {
        Ok((caller, params)) => {
            request.extensions_mut().insert(params);
            if let Some(caller) = caller {
                request.extensions_mut().insert(caller);
            }
            next.run(request).await
        }
        Err(error) => error.into_response(),
    }
}

impl Gate {
    async fn admit(&self, headers: &HeaderMap, uri: &Uri) -> ApiResult<(Option<Caller>, Params)> {
        let caller = match self.access {
            Access::Open => None,
            access => {
                let (access, caller) = (access.named(uri.path()), self.ctx.auth.caller(headers).await?);
                tracing::Span::current().record("user", &caller.info.user_id);
                if let Err(error) = policy::decide(access, &caller.info) {
                    if access == Access::Attest {
                        attest::not_allowed(&self.ctx, &caller.info).await;
                    }
                    return Err(error);
                }
                Some(caller)
            }
        };
        Ok((caller, Params::parse(uri, self.params)?))
    }
}

async fn nowhere(request: Request) -> ApiError {
    ApiError::new(Code::NotFound, format!("There is nothing at {}; GET / and GET /v1/kinds tell what there is.", request.uri().path()))
}

async fn not_so(request: Request) -> ApiError {
    ApiError::new(Code::MethodNotAllowed, format!("{} is not possible on {}; the Allow header says what is.", request.method(), request.uri().path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_discovery_and_health_are_open() {
        let open: Vec<&str> = routes().iter().filter(|r| r.access == Access::Open).map(|r| r.path).collect();
        assert_eq!(open, ["/", "/v1", "/v1/", "/v1/info", "/healthcheck", "/livez", "/readyz"]);
    }
}
