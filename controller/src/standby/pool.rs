//! What a pool's decision needs.

use super::look::{Open, drill_on, text};
use crate::World;
use async_trait::async_trait;
use engine::Reconciler;
use futures::stream::{self, StreamExt, TryStreamExt};
use planner::{
    Decision, Env,
    standby::{self, Member, Need, Seen},
};
use schemas::{
    Object,
    v1::{self, FenceDrill, Host, StandbyPool, StandbyPoolStatus},
};
use std::{collections::BTreeMap, sync::Arc};
use store::ListQuery;

/// Hosts looked at at the same time.
const AT_ONCE: usize = 8;

pub(crate) struct StandbyPoolReconciler(pub Arc<World>);

#[async_trait]
impl Reconciler for StandbyPoolReconciler {
    type Kind = StandbyPool;
    type Seen = Result<Seen, String>;

    fn host(&self, _: &Object<StandbyPool>) -> Option<String> {
        None
    }

    async fn observe(&self, pool: &Object<StandbyPool>, env: &Env) -> Result<Seen, String> {
        self.see(pool, env).await
    }

    fn blind(&self, _: &Object<StandbyPool>, why: &str) -> Result<Seen, String> {
        Err(why.into())
    }

    fn decide(&self, pool: &Object<StandbyPool>, seen: &Result<Seen, String>, env: &Env) -> Decision<StandbyPoolStatus> {
        standby::decide(pool, seen, env)
    }
}

impl StandbyPoolReconciler {
    async fn see(&self, pool: &Object<StandbyPool>, env: &Env) -> Result<Seen, String> {
        let world = &self.0;
        let mut pools = world.pools().await?;
        pools.retain(|p| p.metadata.name != pool.metadata.name);
        let drills = world.drills().await?;
        let open = world.open().await?;
        let (hosts, missing) = self.hosts(pool).await?;
        let mut departed = Vec::new();
        for gone in pool.status.members.iter().filter(|m| !hosts.contains_key(&m.host)) {
            let marked = |h: &Object<Host>| h.status.standby.as_ref().is_some_and(|s| s.pool == pool.metadata.name);
            departed.extend(world.host_object(&gone.host).await?.filter(marked));
        }
        let members = stream::iter(hosts.into_values().map(|host| self.member(pool, host, &pools, &drills, &open, env)));
        let members = members.buffered(AT_ONCE).try_collect().await?;
        let mut seen = Seen { members, missing, departed, pools: pools.iter().map(|p| p.metadata.name.clone()).collect(), ..Seen::default() };
        for evacuation in &open.evacuations {
            let source = world.host_object(&evacuation.spec.host_ref.name).await?;
            let labels = source.as_ref().map(|h| h.metadata.labels.clone()).unwrap_or_default();
            if pool.spec.serves(&evacuation.spec.host_ref.name, &labels) {
                seen.needs.extend(Need::of(evacuation, source.as_ref()));
            }
        }
        for lease in &pool.status.leased {
            let runs = open.evacuations.iter().any(|e| e.metadata.uid == lease.evacuation_uid);
            if !runs {
                seen.over.insert(lease.evacuation_uid.clone());
            }
        }
        seen.elsewhere = pools.iter().flat_map(|p| p.status.leased.iter().cloned()).collect();
        of_drills(&mut seen, pool, drills);
        Ok(seen)
    }

    /// Hosts that are named or selected, by name, and the names of which there is no Host.
    async fn hosts(&self, pool: &Object<StandbyPool>) -> Result<(BTreeMap<String, Object<Host>>, Vec<String>), String> {
        let (mut hosts, mut missing) = (BTreeMap::new(), Vec::new());
        for name in &pool.spec.members {
            match self.0.host_object(name).await? {
                Some(host) => drop(hosts.insert(name.clone(), host)),
                None => missing.push(name.clone()),
            }
        }
        if !pool.spec.selector.is_empty() {
            for object in self.0.store.list("Host", ListQuery::default()).await.map_err(text)?.items {
                if pool.spec.has(&object.metadata.name, &object.metadata.labels) {
                    hosts.insert(object.metadata.name.clone(), object.typed().map_err(text)?);
                }
            }
        }
        Ok((hosts, missing))
    }

    async fn member(
        &self,
        pool: &Object<StandbyPool>,
        host: Object<Host>,
        pools: &[Object<StandbyPool>],
        drills: &[Object<FenceDrill>],
        open: &Open,
        env: &Env,
    ) -> Result<Member, String> {
        let name = host.metadata.name.clone();
        let leased = pool.status.leased.iter().any(|l| l.host == name);
        let look = match standby::wants_look(&host, pool.spec.idle_state, leased) && pool.metadata.deletion_timestamp.is_none() {
            true => Some(self.0.standby_look(&name, env).await?),
            false => None,
        };
        let operations = match &look {
            Some(_) => self.0.operations_of(&name).await?,
            None => open.operations.get(&name).cloned().unwrap_or_default(),
        };
        let others = pools.iter().filter(|p| p.spec.has(&name, &host.metadata.labels)).map(|p| p.metadata.name.clone());
        Ok(Member {
            operations,
            open_evacuation: open.evacuation_of(&name),
            drill: drill_on(drills, &name),
            other_pools: others.collect(),
            look,
            host,
        })
    }
}

/// Results that are new, and what is under way.
fn of_drills(seen: &mut Seen, pool: &Object<StandbyPool>, drills: Vec<Object<FenceDrill>>) {
    let name = &pool.metadata.name;
    let begin = format!("drill-{}-", name.chars().take(200).collect::<String>());
    let used = drills.iter().filter_map(|d| d.metadata.name.strip_prefix(&begin)?.parse::<i64>().ok());
    seen.next_drill = 1 + used.max().unwrap_or(0);
    let mine = |d: &Object<v1::FenceDrill>| d.spec.pool_ref.as_ref().is_some_and(|r| r.name == *name);
    seen.drilling = drills.iter().any(|d| d.status.finished_at.is_none() && mine(d));
    seen.drills = drills;
    seen.drills.retain(|d| d.status.finished_at.is_some() && d.metadata.revision() > pool.status.tests.taken_in);
    seen.drills.sort_by_key(|d| d.metadata.revision());
}
