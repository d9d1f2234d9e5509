//! What a power link's decision needs.

use crate::{World, links::Wired};
use async_trait::async_trait;
use engine::Reconciler;
use planner::{
    Decision, Env, Fact,
    power_link::{PowerLinkFacts, holds},
};
use schemas::{
    Object,
    v1::{self, Binding, PowerLinkStatus},
};
use std::sync::Arc;

pub(crate) struct PowerLinkReconciler(pub Arc<World>);

impl PowerLinkReconciler {
    async fn service_id(&self, host: &str) -> Result<String, String> {
        if self.0.store.get("Host", host).await.map_err(|e| e.to_string())?.is_none() {
            return Err(format!("there is no Host {host}"));
        }
        let (services, _) = self.0.services(10_000).await.map_err(|e| e.to_string())?;
        let row = services.iter().find(|s| s.binary == "nova-compute" && s.host == host && !s.id.is_empty());
        row.map(|s| s.id.clone()).ok_or_else(|| format!("Nova shows no nova-compute service on host {host}"))
    }
}

#[async_trait]
impl Reconciler for PowerLinkReconciler {
    type Kind = v1::PowerLink;
    type Seen = PowerLinkFacts;

    fn host(&self, _: &Object<v1::PowerLink>) -> Option<String> {
        None
    }

    async fn observe(&self, object: &Object<v1::PowerLink>, _: &Env) -> PowerLinkFacts {
        let found = self.0.target(&object.spec.device_ref.name, object.spec.port).await;
        let service = self.service_id(&object.spec.host_ref.name).await;
        let binding = match (&found, service) {
            (Ok((_, binding)), Ok(service_id)) => Ok(Binding { service_id, ..binding.clone() }),
            (Err(why), _) => Err(why.clone()),
            (_, Err(why)) => Err(why),
        };
        let wired = Wired { link: object.clone(), target: found.map(|(t, _)| t), binding: binding.clone().unwrap_or_default() };
        let state = self.0.read_power(&wired.target).await;
        let verified = binding.as_ref().is_ok_and(|b| holds(object.status.verification.as_ref(), b));
        let identity = if !verified && object.spec.identity.is_some() { self.0.read_identity(&wired).await } else { Fact::not_asked() };
        PowerLinkFacts { binding, state, identity }
    }

    fn blind(&self, _: &Object<v1::PowerLink>, why: &str) -> PowerLinkFacts {
        PowerLinkFacts { binding: Err(why.into()), state: Fact::Unknown(why.into()), identity: Fact::Unknown(why.into()) }
    }

    fn decide(&self, object: &Object<v1::PowerLink>, seen: &PowerLinkFacts, _: &Env) -> Decision<PowerLinkStatus> {
        planner::power_link::decide(object, seen, self.0.clock.now())
    }
}
