//! What people and other channels say of a host, as it stands in the store. Never writes.

use crate::{World, world::OLD_READING_MS};
use planner::{Fact, attestation::Attestation, facts::HostFacts, remediation::channels::Heard};
use schemas::{
    Object,
    v1::{self, Cancel, Observation},
};
use std::collections::BTreeMap;
use store::ListQuery;

impl World {
    /// The FenceAttestation of a host that is open and upheld. What cannot be read is none that anyone may go by.
    pub(crate) async fn attestation(&self, host: &str) -> Fact<Attestation> {
        let at = self.clock.now();
        let open = ListQuery { host: Some(host.into()), open_only: true, ..Default::default() };
        let found = match self.store.list("FenceAttestation", open).await {
            Ok(found) => found.items,
            Err(error) => return Fact::Unknown(error.to_string()),
        };
        let mut upheld = Vec::new();
        for object in found {
            let version = object.metadata.revision();
            let object: Object<v1::FenceAttestation> = match object.typed() {
                Ok(object) => object,
                Err(error) => return Fact::Unknown(error.to_string()),
            };
            if object.spec.cancel == Cancel::Requested || object.metadata.deletion_timestamp.is_some() {
                continue;
            }
            upheld.push(Attestation {
                name: object.metadata.name,
                uid: object.metadata.uid,
                by: object.status.by,
                epoch: object.spec.power_epoch,
                expires_at: object.spec.expires_at,
                version,
            });
        }
        match upheld.pop() {
            None => Fact::Absent(at),
            Some(one) if upheld.is_empty() => Fact::Seen(one, at),
            Some(_) => Fact::Unknown(format!("{host} has several FenceAttestations; withdraw all but one")),
        }
    }

    /// What was heard of all hosts beside Nova.
    pub(crate) async fn heard(&self) -> Result<BTreeMap<String, Heard>, String> {
        let mut heard: BTreeMap<String, Heard> = BTreeMap::new();
        for said in self.store.observations(None).await.map_err(|e| e.to_string())? {
            heard.entry(said.host.clone()).or_default().observations.push(said);
        }
        let open = ListQuery { open_only: true, ..Default::default() };
        for object in self.store.list("FenceAttestation", open).await.map_err(|e| e.to_string())?.items {
            let object: Object<v1::FenceAttestation> = object.typed().map_err(|e| e.to_string())?;
            heard.entry(object.spec.host_ref.name).or_default().attested = Some((object.metadata.name, object.spec.power_epoch));
        }
        Ok(heard)
    }

    /// Reads what people and other channels say, last of all: an attestation counts only with a look at the service that is young,
    /// and a BMC that does not answer makes looks long.
    pub(crate) async fn what_people_say(&self, facts: &mut HostFacts) {
        let host = facts.host.clone();
        facts.attestation = self.attestation(&host).await;
        let old = matches!(facts.service, Fact::Seen(_, at) if self.clock.now().millis_since(at) > OLD_READING_MS);
        if old && facts.attestation.seen().is_some() {
            match self.services(0).await {
                Ok((services, at)) => {
                    facts.service = World::service_fact(&services, &host, at);
                    facts.beats = facts.service.seen().map(|s| self.beats.of(&s.id)).unwrap_or_default();
                }
                Err(error) => facts.service = Fact::Unknown(error.to_string()),
            }
        }
        facts.channels = self.channels(&host).await;
    }

    /// What other channels said of a host last.
    pub(crate) async fn channels(&self, host: &str) -> Fact<Vec<Observation>> {
        let at = self.clock.now();
        match self.store.observations(Some(host)).await {
            Ok(said) => Fact::Seen(said, at),
            Err(error) => Fact::Unknown(error.to_string()),
        }
    }
}
