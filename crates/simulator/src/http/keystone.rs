//! Keystone v3: tokens by password, application credential or token, and their validation.

use super::{App, Shared, answer, now_ms, respond, text};
use crate::model::CallKind;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use schemas::Time;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Life of a token, as Keystone's default.
const LIFE_MS: i64 = 3_600_000;
/// Id of the application credential of `admin`; its secret is the password.
const APP_CREDENTIAL: &str = "5a4db0c5a4db0c5a4db0c5a4db0c5a4d";
const PROJECT: (&str, &str) = ("9b5e4f6a2c7d4e0f8a1b3c5d7e9f0a1b", "admin");

/// A token that was given out.
#[derive(Clone)]
pub(super) struct Token {
    user: &'static User,
    scope: Scope,
    method: &'static str,
    issued: i64,
}

#[derive(Clone, Copy, PartialEq)]
enum Scope {
    None,
    Project,
    System,
}

struct User {
    id: &'static str,
    name: &'static str,
    roles: &'static [&'static str],
}

/// Users of the project `admin`; all have the password of the settings.
const USERS: [User; 3] = [
    User { id: "a0000000000000000000000000000001", name: "admin", roles: &["admin", "member", "reader"] },
    User { id: "a0000000000000000000000000000002", name: "member", roles: &["member", "reader"] },
    User { id: "a0000000000000000000000000000003", name: "reader", roles: &["reader"] },
];

pub(super) type Tokens = Mutex<BTreeMap<String, Token>>;

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new().route("/v3/auth/tokens", get(validate).post(issue).delete(revoke))
}

/// `GET /` answers 300 and `GET /v3` 200, both without a token.
pub(super) fn discovery(shared: &Shared, path: &str) -> Response {
    let version = json!({"id": "v3.14", "status": "stable", "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": format!("{}/v3/", shared.base)}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}]});
    if path == "/" {
        let mut response = answer(300, json!({"versions": {"values": [version]}}));
        if let Ok(location) = HeaderValue::from_str(&format!("{}/v3/", shared.base)) {
            response.headers_mut().insert("location", location);
        }
        return response;
    }
    answer(200, json!({"version": version}))
}

/// Keystone's 401, as every service gives it.
pub(super) fn unauthorized(shared: &Shared) -> Response {
    let mut response = refusal(401, "The request you have made requires authentication.");
    if let Ok(value) = HeaderValue::from_str(&format!("Keystone uri=\"{}/v3\"", shared.base)) {
        response.headers_mut().insert("www-authenticate", value);
    }
    response
}

fn refusal(code: u16, message: &str) -> Response {
    let title = StatusCode::from_u16(code).ok().and_then(|s| s.canonical_reason()).unwrap_or("Error");
    answer(code, json!({"error": {"code": code, "message": message, "title": title}}))
}

/// The bearer of the request's `X-Auth-Token`, if it is valid; else the 401 to give.
#[allow(clippy::result_large_err)] // a response is what the caller returns
pub(super) fn bearer(shared: &Shared, headers: &HeaderMap) -> Result<Token, Response> {
    text(headers, "x-auth-token").and_then(|t| valid(shared, t)).ok_or_else(|| unauthorized(shared))
}

fn valid(shared: &Shared, token: &str) -> Option<Token> {
    let tokens = shared.tokens.lock().unwrap_or_else(PoisonError::into_inner);
    tokens.get(token).filter(|t| now_ms() < t.issued + LIFE_MS).cloned()
}

impl Token {
    /// Admin on the project: what Nova's and Placement's admin calls ask for.
    pub(super) fn is_admin(&self) -> bool {
        self.scope == Scope::Project && self.user.roles.contains(&"admin")
    }

    /// Scoped to the project.
    pub(super) fn in_project(&self) -> bool {
        self.scope == Scope::Project
    }

    fn body(&self, shared: &Shared, catalog: bool) -> Value {
        let time = |ms: i64| Time(ms.saturating_mul(1000)).to_string();
        let domain = json!({"id": "default", "name": "Default"});
        let mut token = json!({
            "methods": [self.method],
            "user": {"domain": domain, "id": self.user.id, "name": self.user.name, "password_expires_at": null},
            "audit_ids": [self.user.id],
            "expires_at": time(self.issued + LIFE_MS),
            "issued_at": time(self.issued),
        });
        let roles = match self.scope {
            Scope::None => return json!({"token": token}),
            Scope::Project => {
                token["project"] = json!({"domain": domain, "id": PROJECT.0, "name": PROJECT.1});
                token["is_domain"] = json!(false);
                self.user.roles
            }
            Scope::System => {
                token["system"] = json!({"all": true});
                self.user.roles
            }
        };
        token["roles"] = roles.iter().map(|r| json!({"id": format!("r{:0>31}", r), "name": r})).collect();
        if catalog {
            token["catalog"] = catalog_of(shared);
        }
        json!({"token": token})
    }
}

fn catalog_of(shared: &Shared) -> Value {
    let services = [("identity", "keystone", "/v3"), ("compute", "nova", "/v2.1"), ("placement", "placement", "/placement")];
    let entry = |(kind, name, path): (&str, &str, &str)| {
        let endpoint = |i: &str| json!({"id": format!("{kind}-{i}"), "interface": i, "region_id": "RegionOne", "region": "RegionOne", "url": format!("{}{path}", shared.base)});
        json!({"id": name, "type": kind, "name": name, "endpoints": [endpoint("public"), endpoint("internal"), endpoint("admin")]})
    };
    services.into_iter().map(entry).collect()
}

/// `POST /v3/auth/tokens`: 201 with the token in `X-Subject-Token`; 400 for a body that is none, 401 else.
async fn issue(State(shared): App, body: Bytes) -> Response {
    let Ok(body) = serde_json::from_slice::<Value>(&body) else { return refusal(400, "The request body is not JSON.") };
    if body.pointer("/auth/identity/methods").and_then(Value::as_array).is_none() {
        return refusal(400, "'identity' is a required property");
    }
    let Some(mut token) = authenticate(&shared, &body) else { return unauthorized(&shared) };
    let scope = &body["auth"]["scope"];
    if token.method == "application_credential" {
        if !scope.is_null() {
            return refusal(401, "Application credentials cannot request a scope.");
        }
        token.scope = Scope::Project;
    } else {
        token.scope = match scope {
            Value::Null => Scope::None,
            Value::String(s) if s == "unscoped" => Scope::None,
            s if s["system"]["all"] == true && token.user.name == "admin" => Scope::System,
            s if s["project"]["id"] == PROJECT.0 => Scope::Project,
            s if s["project"]["name"] == PROJECT.1 && is_default(&s["project"]["domain"]) => Scope::Project,
            _ => return unauthorized(&shared),
        };
    }
    let id = format!("gSIM{}", uuid::Uuid::new_v4().simple());
    let mut response = answer(201, token.body(&shared, true));
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-subject-token", value);
    }
    let mut tokens = shared.tokens.lock().unwrap_or_else(PoisonError::into_inner);
    tokens.retain(|_, t| now_ms() < t.issued + LIFE_MS);
    tokens.insert(id, token);
    response
}

fn is_default(domain: &Value) -> bool {
    domain["id"] == "default" || domain["name"] == "Default"
}

fn authenticate(shared: &Shared, body: &Value) -> Option<Token> {
    let identity = &body["auth"]["identity"];
    let method = identity["methods"].get(0)?.as_str()?;
    let password = shared.lock().settings_mut().password.clone();
    let token = |user, method| Token { user, scope: Scope::None, method, issued: now_ms() };
    let find = |u: &Value| USERS.iter().find(|k| u["id"] == k.id || (u["name"] == k.name && is_default(&u["domain"])));
    match method {
        "password" => {
            let user = &identity["password"]["user"];
            (user["password"] == password).then(|| find(user)).flatten().map(|u| token(u, "password"))
        }
        "application_credential" => {
            let given = &identity["application_credential"];
            let known = given["id"] == APP_CREDENTIAL || (given["name"] == "sandbox" && find(&given["user"]).is_some_and(|u| u.name == "admin"));
            (known && given["secret"] == password).then(|| token(&USERS[0], "application_credential"))
        }
        "token" => valid(shared, identity["token"]["id"].as_str()?).map(|t| token(t.user, "token")),
        _ => None,
    }
}

/// `GET /v3/auth/tokens`: 200; 401 if the caller's token is bad, 403 if it may not ask, 404 if the subject's is bad.
async fn validate(State(shared): App, uri: axum::http::Uri, headers: HeaderMap) -> Response {
    let caller = match bearer(&shared, &headers) {
        Ok(caller) => caller,
        Err(response) => return response,
    };
    let Some(subject) = text(&headers, "x-subject-token").map(str::to_string) else { return refusal(400, "X-Subject-Token is missing.") };
    let own = text(&headers, "x-auth-token") == Some(subject.as_str());
    if !own && !caller.user.roles.contains(&"admin") {
        return refusal(403, "You are not authorized to perform the requested action: identity:validate_token.");
    }
    let reply = shared.lock().read(CallKind::Validate, "", |_, _| Ok(()));
    let catalog = !uri.query().is_some_and(|q| q.split('&').any(|p| p.starts_with("nocatalog")));
    respond(reply, refusal, |()| match valid(&shared, &subject) {
        Some(token) => {
            let mut response = answer(200, token.body(&shared, catalog));
            if let Ok(value) = HeaderValue::from_str(&subject) {
                response.headers_mut().insert("x-subject-token", value);
            }
            response
        }
        None => refusal(404, "Could not recognize Fernet token"),
    })
    .await
}

/// `DELETE /v3/auth/tokens`: 204, and the subject's token is no longer valid.
async fn revoke(State(shared): App, headers: HeaderMap) -> Response {
    if let Err(response) = bearer(&shared, &headers) {
        return response;
    }
    let removed = text(&headers, "x-subject-token").and_then(|t| shared.tokens.lock().unwrap_or_else(PoisonError::into_inner).remove(t));
    match removed {
        Some(_) => StatusCode::NO_CONTENT.into_response(),
        None => refusal(404, "Could not recognize Fernet token"),
    }
}
