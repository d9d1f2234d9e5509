//! Keystone: whose token is this.

use super::OpenStack;
use super::decode::{text, text_or_empty};
use super::http::{Call, Service};
use crate::{AccessRule, CloudResult, Identity, TokenInfo};
use async_trait::async_trait;
use reqwest::header::HeaderValue;
use serde_json::Value;

#[async_trait]
impl Identity for OpenStack {
    /// `GET /v3/auth/tokens?nocatalog`. 404 is the caller's fault, 401 ours: then our token is renewed once.
    ///
    /// With `OpenStack-Identity-Access-Rules` Keystone leaves it to us to bind an application credential to its access rules;
    /// without it, it finds such a token invalid.
    async fn validate(&self, token: &str, allow_expired: bool) -> CloudResult<Option<TokenInfo>> {
        // What cannot be a header value cannot be a token.
        let Some(mut subject) = HeaderValue::from_str(token).ok().filter(|v| !v.is_empty()) else { return Ok(None) };
        subject.set_sensitive(true);
        let mut call = Call::get(Service::Identity, "validate", "keystone: validation of a token".to_owned(), vec!["auth", "tokens"]);
        call.query = vec![("nocatalog".to_owned(), String::new())];
        if allow_expired {
            call.query.push(("allow_expired".to_owned(), "1".to_owned()));
        }
        call.headers = vec![("x-subject-token", subject), ("openstack-identity-access-rules", HeaderValue::from_static("1.0"))];
        let reply = match self.send(call).await {
            Ok(reply) => reply,
            Err(failure) if failure.is_absence() => return Ok(None),
            Err(failure) => return Err(failure.into()),
        };
        let body = reply.json()?;
        let token = body.get("token").ok_or_else(|| reply.nonsense("the answer has no `token`"))?;
        // What cannot be read as a rule permits nothing.
        let rule = |r: &Value| Some(AccessRule { service: text(r, "service")?, method: text(r, "method")?, path: text(r, "path")? });
        let access_rules = token.pointer("/application_credential/access_rules").filter(|rules| !rules.is_null());
        let access_rules = access_rules.map(|rules| rules.as_array().into_iter().flatten().filter_map(rule).collect());
        let user = token.get("user").ok_or_else(|| reply.nonsense("the token has no `user`"))?;
        let user_id = text(user, "id").ok_or_else(|| reply.nonsense("the token's user has no `id`"))?;
        let expires_at = text(token, "expires_at").and_then(|t| schemas::Time::parse(&t).ok());
        let roles = token.get("roles").and_then(Value::as_array);
        Ok(Some(TokenInfo {
            user_id,
            user_name: text_or_empty(user, "name"),
            project_id: token.get("project").and_then(|p| text(p, "id")),
            system_scope: token.pointer("/system/all").and_then(Value::as_bool) == Some(true),
            // oslo takes every project for the admin one where Keystone names none; here nobody's is.
            is_admin_project: token.get("is_admin_project").and_then(Value::as_bool) == Some(true),
            roles: roles.into_iter().flatten().filter_map(|r| text(r, "name")).collect(),
            expires_at: expires_at.ok_or_else(|| reply.nonsense("the token has no `expires_at`"))?,
            access_rules,
        }))
    }

    fn public_url(&self) -> String {
        let inner = &self.inner;
        let known = inner.public_auth_url.clone().or_else(|| inner.keystone.public_endpoint(inner.region.as_deref()));
        known.unwrap_or_else(|| inner.keystone.root.to_string())
    }
}
