//! What `doctor` asks of a cloud: is it there, which version, who are we, is its clock ours.

use super::http::{self, Call, Service};
use super::{OpenStack, decode};
use crate::{CloudError, CloudResult, Identity, TokenInfo};
use secrecy::ExposeSecret;
use serde_json::Value;
use tokio::time::Instant;

impl OpenStack {
    /// How far Keystone's clock is ahead of ours, in seconds, by the `Date` of its answer (RFC 9110, 6.6.1), which
    /// has whole seconds. `None` if it names no date.
    ///
    /// # Errors
    /// Keystone did not answer.
    pub async fn keystone_ahead_seconds(&self) -> CloudResult<Option<i64>> {
        let root = self.inner.keystone.root.clone();
        let before = jiff::Timestamp::now();
        let request = self.inner.changes.get(root.clone()).timeout(self.inner.timeouts.call);
        let answer = http::exchange(request).await.map_err(|lost| CloudError::NotSent {
            what: format!("keystone: version at {root}"),
            detail: lost.detail,
            retry_after: None,
        })?;
        let ours = before.as_millisecond() / 2 + jiff::Timestamp::now().as_millisecond() / 2;
        let theirs = answer.header("date").and_then(|date| jiff::fmt::rfc2822::parse(date.trim()).ok());
        // The date was cut to its second: on average half of one is missing.
        Ok(theirs.map(|t| (t.timestamp().as_millisecond() + 500 - ours).div_euclid(1_000)))
    }

    /// Whom Keystone takes us for. `None` if it does not know our own token, or binds it by access rules.
    ///
    /// # Errors
    /// No token was to be had, or Keystone could not tell.
    pub async fn whoami(&self) -> CloudResult<Option<TokenInfo>> {
        let deadline = Instant::now() + self.inner.timeouts.call;
        let token = self.inner.keystone.token(deadline, "keystone: login").await?;
        // Nova would leave some of our requests out, and nobody could tell which.
        Ok(self.validate(token.secret().expose_secret(), false).await?.filter(|info| info.access_rules.is_none()))
    }

    /// Highest microversion of Placement, such as (1, 39).
    ///
    /// # Errors
    /// It did not answer, or names no version.
    pub async fn placement_version(&self) -> CloudResult<(u32, u32)> {
        let what = "placement: supported versions".to_owned();
        let reply = self.send(Call::get(Service::Placement, "versions", what, vec![""])).await?;
        let body = reply.json()?;
        let versions = body.get("versions").and_then(Value::as_array);
        let max = versions.into_iter().flatten().filter_map(|v| decode::text(v, "max_version")).find_map(|text| {
            let (major, minor) = text.split_once('.')?;
            Some((major.parse().ok()?, minor.parse().ok()?))
        });
        max.ok_or_else(|| reply.nonsense("the answer names no `max_version`"))
    }
}
