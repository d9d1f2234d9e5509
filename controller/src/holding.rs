//! The RemediationPolicy that holds for a host now, as it stands in the store. Never writes.

use crate::World;
use planner::{
    Fact,
    remediation::{Holding, PolicyRow},
};
use schemas::{Object, v1};
use std::sync::Arc;
use store::ListQuery;

impl World {
    /// What it says, with what the Host says. Absent policies and those that contradict each other are unknown ones: nobody can tell
    /// what is allowed.
    pub(crate) async fn holding(&self, host: &str) -> Fact<Arc<Holding>> {
        match self.read_holding(host).await {
            Ok(holding) => Fact::Seen(Arc::new(holding), self.clock.now()),
            Err(why) => Fact::Unknown(why),
        }
    }

    async fn read_holding(&self, host: &str) -> Result<Holding, String> {
        let object = self.store.get("Host", host).await.map_err(|e| e.to_string())?;
        let object: Object<v1::Host> = object.ok_or_else(|| format!("there is no Host {host}"))?.typed().map_err(|e| e.to_string())?;
        let mut policies = Vec::new();
        for policy in self.store.list("RemediationPolicy", ListQuery::default()).await.map_err(|e| e.to_string())?.items {
            policies.push(PolicyRow { policy: policy.typed().map_err(|e| e.to_string())?, due: false });
        }
        Holding::of(&object, &policies)
    }
}
