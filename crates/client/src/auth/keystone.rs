//! Tokens from Keystone: one plain `POST /v3/auth/tokens`.

use crate::{Error, http};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

/// How Keystone is told who we are. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub enum Method {
    /// User and password.
    Password {
        /// `{"id"}` or `{"name","domain"}`, as Keystone takes it.
        user: Value,
        /// The password.
        password: SecretString,
    },
    /// A token that is exchanged for another.
    Token(SecretString),
    /// An application credential; it carries its own scope.
    ApplicationCredential {
        /// `{"id"}` or `{"name","user"}`, as Keystone takes it.
        who: Value,
        /// Its secret.
        secret: SecretString,
    },
}

/// What the token is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Whatever the credentials imply.
    Given,
    /// A project: `{"id"}` or `{"name","domain"}`.
    Project(Value),
    /// A domain: `{"id"}` or `{"name"}`.
    Domain(Value),
    /// The whole system.
    System,
}

impl Scope {
    /// The `scope` member of the request.
    pub(super) fn body(&self) -> Option<Value> {
        match self {
            Scope::Given => None,
            Scope::Project(project) => Some(json!({"project": project})),
            Scope::Domain(domain) => Some(json!({"domain": domain})),
            Scope::System => Some(json!({"system": {"all": true}})),
        }
    }
}

/// A Keystone and the credentials for it.
#[derive(Clone, Debug)]
pub struct Keystone {
    /// Its URL, with or without `/v3`.
    pub auth_url: String,
    /// Who we are.
    pub method: Method,
    /// What the token is for.
    pub scope: Scope,
}

/// A token and the catalogue that came with it.
#[derive(Clone, Debug)]
pub struct Session {
    /// The token.
    pub token: SecretString,
    /// The services and their endpoints; `Null` if unknown.
    pub catalogue: Value,
}

/// `auth_url` with exactly one `/v3` at its end.
fn v3(auth_url: &str) -> String {
    let url = auth_url.trim_end_matches('/');
    let base = url.strip_suffix("/v3").or_else(|| url.strip_suffix("/v2.0")).unwrap_or(url);
    format!("{base}/v3")
}

impl Keystone {
    /// Gets a token.
    ///
    /// # Errors
    /// [`Error::Auth`] if Keystone refuses, [`Error::Unreachable`] or [`Error::Timeout`] if it does not answer.
    pub async fn login(&self, client: &reqwest::Client) -> Result<Session, Error> {
        let identity = match &self.method {
            Method::Password { user, password } => {
                let mut user = user.clone();
                user["password"] = password.expose_secret().into();
                json!({"methods": ["password"], "password": {"user": user}})
            }
            Method::Token(token) => json!({"methods": ["token"], "token": {"id": token.expose_secret()}}),
            Method::ApplicationCredential { who, secret } => {
                let mut who = who.clone();
                who["secret"] = secret.expose_secret().into();
                json!({"methods": ["application_credential"], "application_credential": who})
            }
        };
        let mut auth = json!({"identity": identity});
        if let Some(scope) = self.scope.body() {
            auth["scope"] = scope;
        }
        let url = format!("{}/auth/tokens", v3(&self.auth_url));
        let request = client.post(&url).timeout(http::TIMEOUT).json(&json!({"auth": auth}));
        let answer = request.send().await.map_err(|e| http::network_error(&url, "Keystone", e, false))?;
        let status = answer.status().as_u16();
        let token = answer.headers().get("x-subject-token").and_then(|t| t.to_str().ok()).map(SecretString::from);
        let body = answer.text().await.map_err(|e| http::network_error(&url, "Keystone", e, false))?;
        let json: Value = serde_json::from_str(&body).unwrap_or(Value::Null);
        match (status, token) {
            (200 | 201, Some(token)) => Ok(Session { token, catalogue: json["token"]["catalog"].clone() }),
            (200 | 201, None) => Err(Error::Answer { url, message: "it carries no X-Subject-Token; is this a Keystone?".into() }),
            _ => Err(refusal(&url, status, &json)),
        }
    }
}

/// Asks Keystone for the catalogue of a token that was got elsewhere.
pub(crate) async fn catalogue(client: &reqwest::Client, auth_url: &str, token: &SecretString) -> Result<Value, Error> {
    let url = format!("{}/auth/catalog", v3(auth_url));
    let request = client.get(&url).timeout(http::TIMEOUT).header("x-auth-token", http::secret_header(token)?);
    let answer = request.send().await.map_err(|e| http::network_error(&url, "Keystone", e, false))?;
    let status = answer.status().as_u16();
    let body = answer.text().await.map_err(|e| http::network_error(&url, "Keystone", e, false))?;
    let json: Value = serde_json::from_str(&body).unwrap_or(Value::Null);
    if status == 200 { Ok(json["catalog"].clone()) } else { Err(refusal(&url, status, &json)) }
}

fn refusal(url: &str, status: u16, body: &Value) -> Error {
    let said = body["error"]["message"].as_str().unwrap_or("it did not say why");
    match status {
        401 | 403 => Error::Auth(format!(
            "Keystone ({url}) refused the login: {said} Check user, password, domains and project, or the token, in clouds.yaml or the OS_* variables."
        )),
        404 | 300 => Error::Usage(format!("{url} is no Keystone v3 (status {status}); check auth_url (OS_AUTH_URL).")),
        500..=599 => Error::Unreachable { url: url.into(), message: format!("Keystone answered {status}: {said}"), may_have_happened: false },
        _ => Error::Auth(format!("Keystone ({url}) answered {status}: {said}")),
    }
}

/// The URL of a service in a catalogue, without a trailing `/` or `/v1`.
pub(crate) fn endpoint(catalogue: &Value, service: &str, interface: &str, region: Option<&str>) -> Option<String> {
    let of_service = catalogue.as_array()?.iter().filter(|s| s["type"] == service);
    let mut endpoints = of_service.flat_map(|s| s["endpoints"].as_array().into_iter().flatten());
    let fits = |e: &&Value| e["interface"] == interface && region.is_none_or(|r| e["region"] == r || e["region_id"] == r);
    endpoints.find(fits).and_then(|e| e["url"].as_str()).map(str::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_the_auth_url_leads_to_v3() {
        for url in ["http://k:5000", "http://k:5000/", "http://k:5000/v3", "http://k:5000/v3/", "http://k:5000/v2.0"] {
            assert_eq!(v3(url), "http://k:5000/v3", "{url}");
        }
        assert_eq!(v3("https://k/identity"), "https://k/identity/v3");
    }

    #[test]
    fn the_catalogue_is_searched_by_type_interface_and_region() {
        let catalogue = json!([
            {"type": "compute", "endpoints": [{"interface": "public", "region": "r1", "url": "http://nova"}]},
            {"type": "cloud-manager", "endpoints": [
                {"interface": "internal", "region": "r1", "url": "http://i"},
                {"interface": "public", "region": "r1", "url": "http://p1"},
                {"interface": "public", "region": "r2", "url": "http://p2"}]}]);
        let find = |interface: &str, region| endpoint(&catalogue, "cloud-manager", interface, region);
        assert_eq!(find("public", None).as_deref(), Some("http://p1"));
        assert_eq!(find("public", Some("r2")).as_deref(), Some("http://p2"));
        assert_eq!(find("internal", Some("r1")).as_deref(), Some("http://i"));
        assert_eq!(find("admin", None), None);
        assert_eq!(endpoint(&Value::Null, "cloud-manager", "public", None), None);
    }
}
