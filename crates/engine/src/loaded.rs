//! What is known to the store of an object and its host, as a decision needs it.

use crate::{Reconciler, intents};
use planner::{Env, Intent, proof::EvidenceBody};
use schemas::{DynObject, FieldError, Kind, Object, Time, v1};
use std::collections::HashMap;
use store::{Evidence, ListQuery, Store, StoreError};

/// Under whose lease a decision is made.
pub struct Led {
    /// Token of the lease.
    pub token: i64,
    /// Since when it is held.
    pub since: Time,
    /// Identity of this deployment.
    pub cluster_uuid: String,
    /// Why all acts are frozen (S14), if they are.
    pub halted: Option<String>,
}

/// An object with all that was read for it.
pub struct Loaded<K: Kind> {
    /// As it is stored.
    pub raw: DynObject,
    /// Its own kind.
    pub object: Object<K>,
    /// The host that it is about.
    pub host: Option<String>,
    /// For its decision.
    pub env: Env,
    /// Of its host, with its version.
    pub evidence: Evidence,
    /// Behind `env.intents`, by name.
    pub operations: HashMap<String, DynObject>,
}

/// Reads what belongs to an object, which may be one that is not stored yet.
pub async fn load<R: Reconciler>(store: &dyn Store, reconciler: &R, raw: DynObject, led: Led, now: Time) -> Result<Loaded<R::Kind>, StoreError> {
    let corrupt = |e: FieldError| StoreError::Corrupt(format!("{}: {e}", raw.id()));
    let object: Object<R::Kind> = raw.typed().map_err(corrupt)?;
    let policy = match store.get("ClusterPolicy", "default").await? {
        Some(policy) => policy.typed::<v1::ClusterPolicy>().map_err(corrupt)?.spec,
        None => v1::ClusterPolicySpec::default(),
    };
    let host = reconciler.host(&object);
    let mut env = Env {
        now,
        led_since: led.since,
        cluster_uuid: led.cluster_uuid,
        policy,
        halted: led.halted,
        owner_uid: raw.metadata.uid.clone(),
        owner: raw.id(),
        intents: Vec::new(),
        claim: None,
        evidence: EvidenceBody::default(),
        open_on_host: Vec::new(),
    };
    let (mut evidence, mut operations) = (Evidence::default(), HashMap::new());
    if let Some(host) = &host {
        env.claim = store.claim(host).await?.map(|c| (c.owner, c.owner_uid, c.rank));
        evidence = store.evidence(host).await?;
        if !evidence.body.is_null() {
            env.evidence = schemas::object::decode("evidence", &evidence.body).map_err(corrupt)?;
        }
        let open = || ListQuery { host: Some(host.clone()), open_only: true, ..Default::default() };
        let mine = ListQuery { owner_uid: Some(raw.metadata.uid.clone()), ..Default::default() };
        for query in [mine, open()] {
            for operation in store.list("Operation", query).await?.items {
                operations.insert(operation.metadata.name.clone(), operation);
            }
        }
        for kind in ["HostOperation", "Evacuation"] {
            let others = store.list(kind, open()).await?.items;
            env.open_on_host.extend(others.iter().filter(|o| o.metadata.uid != raw.metadata.uid).map(DynObject::id));
        }
    }
    // In the order in which they were written; their own times are of several leaders' clocks.
    let mut written: Vec<&DynObject> = operations.values().collect();
    written.sort_by_key(|o| (o.metadata.creation_timestamp, &o.metadata.name));
    let parse = |o: &&DynObject| intents::parse(o, led.token, led.since, now).map_err(corrupt);
    env.intents = written.iter().map(parse).collect::<Result<Vec<Intent>, _>>()?;
    Ok(Loaded { raw, object, host, env, evidence, operations })
}
