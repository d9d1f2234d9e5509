//! What the decisions about devices and the cluster's policy need.

use crate::World;
use async_trait::async_trait;
use engine::Reconciler;
use planner::{
    Decision, Env,
    power_device::{Answer, UnderWay, decide, decide_policy, is_cycling},
};
use power::PowerError;
use schemas::{
    DynObject, Object,
    v1::{self, ClusterPolicyStatus, PowerDeviceStatus},
};
use std::sync::Arc;
use store::ListQuery;

pub(crate) struct PowerDeviceReconciler(pub Arc<World>);

#[async_trait]
impl Reconciler for PowerDeviceReconciler {
    type Kind = v1::PowerDevice;
    type Seen = (Answer, i64);

    fn host(&self, _: &Object<v1::PowerDevice>) -> Option<String> {
        None
    }

    async fn observe(&self, object: &Object<v1::PowerDevice>, _: &Env) -> (Answer, i64) {
        let name = &object.metadata.name;
        let links = self.0.store.list("PowerLink", ListQuery::default()).await.map(|p| p.items).unwrap_or_default();
        let used = links.iter().filter(|l| l.spec["deviceRef"]["name"] == **name).count() as i64;
        let answer = match self.0.target(name, 1).await {
            Err(why) => Answer::NoCredential(why),
            Ok((target, _)) => match self.0.ask_power(&target).await {
                Ok(_) => Answer::Reached,
                Err(PowerError::BadCredentials(why)) => Answer::BadCredentials(why),
                Err(other) => Answer::Unreadable(other.to_string()),
            },
        };
        (answer, used)
    }

    fn blind(&self, _: &Object<v1::PowerDevice>, why: &str) -> (Answer, i64) {
        (Answer::Unreadable(why.into()), 0)
    }

    fn decide(&self, object: &Object<v1::PowerDevice>, (answer, used): &(Answer, i64), env: &Env) -> Decision<PowerDeviceStatus> {
        decide(object, answer, *used, env.now)
    }
}

/// What could not be read may be under way.
const UNKNOWN: UnderWay = UnderWay { calls: 1, cycles: 0 };

pub(crate) struct ClusterPolicyReconciler(pub Arc<World>);

#[async_trait]
impl Reconciler for ClusterPolicyReconciler {
    type Kind = v1::ClusterPolicy;
    type Seen = UnderWay;

    fn host(&self, _: &Object<v1::ClusterPolicy>) -> Option<String> {
        None
    }

    async fn observe(&self, _: &Object<v1::ClusterPolicy>, _: &Env) -> UnderWay {
        let open = || ListQuery { open_only: true, ..Default::default() };
        let (calls, operations) = tokio::join!(self.0.store.list("Operation", open()), self.0.store.list("HostOperation", open()));
        let (Ok(calls), Ok(operations)) = (calls, operations) else { return UNKNOWN };
        let cycling = |o: &DynObject| o.typed::<v1::HostOperation>().map_or(true, |o| is_cycling(&o));
        UnderWay { calls: calls.items.len() as i64, cycles: operations.items.iter().filter(|o| cycling(o)).count() as i64 }
    }

    fn blind(&self, _: &Object<v1::ClusterPolicy>, _: &str) -> UnderWay {
        UNKNOWN
    }

    fn decide(&self, object: &Object<v1::ClusterPolicy>, under_way: &UnderWay, env: &Env) -> Decision<ClusterPolicyStatus> {
        decide_policy(object, *under_way, env.now)
    }
}
