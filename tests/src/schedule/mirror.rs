//! What the database holds, learned from every transaction that it took.

use planner::{Step, proof::EvidenceBody};
use schemas::{
    DynObject, Object, Time,
    v1::{self, Observation, OperationState},
};
use std::collections::BTreeMap;
use store::{ClaimRow, Op};

/// A call that may have happened.
#[derive(Clone, Debug)]
pub struct Intent {
    pub owner: String,
    pub owner_uid: String,
    pub host: String,
    pub step: Step,
    pub state: OperationState,
    pub evidence: String,
    pub issued_at: Time,
}

/// See the module's text.
#[derive(Debug, Default)]
pub struct Mirror {
    pub token: i64,
    pub objects: BTreeMap<String, DynObject>,
    pub intents: BTreeMap<String, Intent>,
    pub claims: BTreeMap<String, ClaimRow>,
    pub evidence: BTreeMap<String, EvidenceBody>,
    /// By host and channel.
    pub observations: BTreeMap<(String, String), Observation>,
}

fn intent(object: &DynObject) -> Option<Intent> {
    let operation: Object<v1::Operation> = object.typed().ok()?;
    let step: Step = serde_json::from_value(operation.spec.action).ok()?;
    Some(Intent {
        owner: operation.spec.owner,
        owner_uid: operation.spec.owner_uid,
        host: operation.spec.host,
        step,
        state: operation.status.state,
        evidence: operation.status.evidence,
        issued_at: operation.spec.issued_at.unwrap_or_default(),
    })
}

impl Mirror {
    /// Takes a transaction in that was written.
    pub fn wrote(&mut self, ops: &[Op], written: &[DynObject]) {
        for object in written {
            if object.kind == "Operation" {
                if let Some(intent) = intent(object) {
                    self.intents.insert(object.metadata.name.clone(), intent);
                }
            } else {
                self.objects.insert(object.id(), object.clone());
            }
        }
        for op in ops {
            match op {
                Op::Delete { kind, name, .. } => {
                    self.objects.remove(&format!("{kind}/{name}"));
                    self.intents.remove(name);
                }
                Op::TakeClaim(r) => {
                    let same = self.claims.get(&r.host).is_some_and(|c| c.owner_uid == r.owner_uid && c.purpose == r.purpose);
                    if !same {
                        let row = ClaimRow {
                            host: r.host.clone(),
                            owner: r.owner.clone(),
                            owner_uid: r.owner_uid.clone(),
                            rank: r.rank,
                            purpose: r.purpose.clone(),
                        };
                        self.claims.insert(r.host.clone(), row);
                    }
                }
                Op::ReleaseClaim { host, owner_uid } if self.claims.get(host).is_some_and(|c| c.owner_uid == *owner_uid) => {
                    self.claims.remove(host);
                }
                Op::PutEvidence { host, body, .. } => {
                    self.evidence.insert(host.clone(), serde_json::from_value(body.clone()).unwrap_or_default());
                }
                Op::PutObservation(o) => {
                    let place = (o.host.clone(), o.channel.clone());
                    if self.observations.get(&place).is_none_or(|known| known.observed_at < o.observed_at) {
                        self.observations.insert(place, o.clone());
                    }
                }
                _ => {}
            }
        }
    }

    /// Whether there is such an object, by kind and name.
    pub fn knows(&self, object: &DynObject) -> bool {
        if object.kind == "Operation" { self.intents.contains_key(&object.metadata.name) } else { self.objects.contains_key(&object.id()) }
    }

    /// Intents that may have happened and are not settled.
    pub fn open(&self) -> impl Iterator<Item = (&String, &Intent)> {
        self.intents.iter().filter(|(_, i)| i.state.is_open())
    }

    /// Whether the operators froze the cluster.
    pub fn frozen(&self) -> bool {
        self.objects.get("ClusterPolicy/default").is_some_and(|p| p.spec["operations"] == "Frozen")
    }

    /// A field of the cluster's policy.
    pub fn limit(&self, field: &str) -> i64 {
        self.objects.get("ClusterPolicy/default").and_then(|p| p.spec[field].as_i64()).unwrap_or(i64::MAX)
    }
}
