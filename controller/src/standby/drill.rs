//! What a drill's decision needs.

use super::look::{drill_on, text};
use crate::World;
use async_trait::async_trait;
use engine::Reconciler;
use futures::stream::{self, StreamExt, TryStreamExt};
use planner::{
    Decision, Env,
    standby::{self, DrillSeen, Member},
};
use schemas::{
    Object,
    v1::{DrillDepth, FenceDrill, FenceDrillStatus, StandbyPool},
};
use std::sync::Arc;

/// Hosts looked at at the same time.
const AT_ONCE: usize = 16;

pub(crate) struct FenceDrillReconciler(pub Arc<World>);

#[async_trait]
impl Reconciler for FenceDrillReconciler {
    type Kind = FenceDrill;
    type Seen = Result<DrillSeen, String>;

    fn host(&self, _: &Object<FenceDrill>) -> Option<String> {
        None
    }

    async fn observe(&self, drill: &Object<FenceDrill>, env: &Env) -> Result<DrillSeen, String> {
        if drill.status.finished_at.is_some() {
            return Ok(DrillSeen::default());
        }
        self.see(drill, env).await
    }

    fn blind(&self, _: &Object<FenceDrill>, why: &str) -> Result<DrillSeen, String> {
        Err(why.into())
    }

    fn decide(&self, drill: &Object<FenceDrill>, seen: &Result<DrillSeen, String>, env: &Env) -> Decision<FenceDrillStatus> {
        standby::decide_drill(drill, seen, env)
    }
}

impl FenceDrillReconciler {
    async fn see(&self, drill: &Object<FenceDrill>, env: &Env) -> Result<DrillSeen, String> {
        let world = &self.0;
        // Who is tested is settled when it begins.
        let hosts = match (&drill.spec.pool_ref, drill.status.hosts.is_empty()) {
            (_, false) => drill.status.hosts.iter().map(|h| h.host.clone()).collect(),
            (None, _) => drill.spec.hosts.clone(),
            (Some(pool), _) => self.pool(&pool.name).await?.map(|p| p.status.members.iter().map(|m| m.host.clone()).collect()).unwrap_or_default(),
        };
        let drills = world.drills().await?;
        let key = |d: &Object<FenceDrill>| (d.metadata.creation_timestamp, d.metadata.name.clone());
        let elder = drills.iter().filter(|d| d.status.finished_at.is_none() && d.spec.depth == DrillDepth::Cycle && key(d) < key(drill));
        let elder = elder.min_by_key(|d| key(d)).map(|d| d.metadata.name.clone());
        let open = world.open().await?;
        let mut seen = DrillSeen { hosts, elder, ..DrillSeen::default() };
        let now = standby::unfinished(drill, &seen.hosts);
        let now: Vec<(String, Option<String>)> = now.into_iter().map(|host| (host.clone(), open.evacuation_of(&host))).collect();
        let members = stream::iter(now.into_iter().map(|(host, evacuation)| self.member(drill, host, &drills, evacuation, env)));
        let members: Vec<Option<Member>> = members.buffered(AT_ONCE).try_collect().await?;
        for member in members.into_iter().flatten() {
            if let Some(mark) = &member.host.status.standby
                && let Some(pool) = self.pool(&mark.pool).await?
            {
                seen.idle.insert(member.name().into(), pool.spec.idle_state);
            }
            seen.members.insert(member.name().into(), member);
        }
        Ok(seen)
    }

    async fn pool(&self, name: &str) -> Result<Option<Object<StandbyPool>>, String> {
        self.0.store.get("StandbyPool", name).await.map_err(text)?.map(|o| o.typed().map_err(text)).transpose()
    }

    async fn member(
        &self,
        drill: &Object<FenceDrill>,
        name: String,
        drills: &[Object<FenceDrill>],
        open_evacuation: Option<String>,
        env: &Env,
    ) -> Result<Option<Member>, String> {
        let Some(host) = self.0.host_object(&name).await? else { return Ok(None) };
        let look = match drill.spec.depth {
            DrillDepth::Read => self.0.look_at_links(&name).await,
            DrillDepth::Cycle => self.0.standby_look(&name, env).await?,
        };
        let operations = self.0.operations_of(&name).await?;
        Ok(Some(Member { operations, open_evacuation, drill: drill_on(drills, &name), other_pools: Vec::new(), look: Some(look), host }))
    }
}
