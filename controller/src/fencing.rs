//! How a host is switched off whose evacuation does not say: as its RemediationPolicy has it.

use crate::World;
use planner::{Fact, remediation::policy_of};
use schemas::{
    Object,
    v1::{self, Fencing},
};
use store::ListQuery;

impl World {
    /// What the policy says that holds for a host; the default, where none clearly does. Unknown if the store cannot be read.
    pub(crate) async fn fencing_of(&self, host: &str) -> Fact<Fencing> {
        match self.policy_fencing(host).await {
            Ok(fencing) => Fact::Seen(fencing, self.clock.now()),
            Err(why) => Fact::Unknown(why),
        }
    }

    async fn policy_fencing(&self, host: &str) -> Result<Fencing, String> {
        let Some(host) = self.store.get("Host", host).await.map_err(|e| e.to_string())? else { return Ok(Fencing::default()) };
        let host: Object<v1::Host> = host.typed().map_err(|e| e.to_string())?;
        let found = self.store.list("RemediationPolicy", ListQuery::default()).await.map_err(|e| e.to_string())?.items;
        let policies = found.into_iter().map(|o| o.typed().map_err(|e| e.to_string())).collect::<Result<Vec<_>, _>>()?;
        Ok(policy_of(&host, policies).map_or_else(Fencing::default, |policy| policy.spec.fencing))
    }
}
