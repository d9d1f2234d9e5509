//! May this StandbyPool or FenceDrill be written now?

use crate::{RegistryError, RegistryResult};
use schemas::{
    DynObject, Object,
    v1::{self, DrillDepth},
};
use store::{ListQuery, Store};

/// One host, one pool. What labels decide is shown by the pools themselves.
pub(crate) async fn pool(store: &dyn Store, object: &DynObject) -> RegistryResult<()> {
    let mine: Object<v1::StandbyPool> = object.typed()?;
    for other in store.list("StandbyPool", ListQuery::default()).await?.items {
        let theirs: Object<v1::StandbyPool> = other.typed()?;
        let twice = mine.spec.members.iter().find(|m| theirs.spec.members.contains(m));
        if let Some(host) = twice.filter(|_| theirs.metadata.name != mine.metadata.name) {
            return Err(RegistryError::Refused {
                code: "member-taken",
                message: format!(
                    "spec.members: Host {host} is a member of StandbyPool {} already, and would be one of {}; take it out of one of them.",
                    theirs.metadata.name, mine.metadata.name
                ),
                field: Some("spec.members".into()),
                other: Some(theirs.metadata.uid),
            });
        }
    }
    Ok(())
}

/// Only hosts that nobody needs are powered off and on. It is looked at again just before.
pub(crate) async fn drill(store: &dyn Store, object: &DynObject) -> RegistryResult<()> {
    let drill: Object<v1::FenceDrill> = object.typed()?;
    let refuse = |code, field: &str, message: String, other: Option<String>| {
        Err(RegistryError::Refused { code, message: format!("{field}: {message}"), field: Some(field.into()), other })
    };
    if let Some(pool) = &drill.spec.pool_ref
        && store.get("StandbyPool", &pool.name).await?.is_none()
    {
        return refuse(
            "not-drillable",
            "spec.poolRef.name",
            format!("there is no StandbyPool {:?}; `get standbypools` lists them.", pool.name),
            None,
        );
    }
    for name in &drill.spec.hosts {
        let Some(host) = store.get("Host", name).await? else {
            return refuse("not-drillable", "spec.hosts", format!("there is no Host {name:?}; `get hosts` lists them."), None);
        };
        let host: Object<v1::Host> = host.typed()?;
        if drill.spec.depth == DrillDepth::Read {
            continue;
        }
        let why = match &host.status.standby {
            None => format!("Host {name} is no member of a StandbyPool; a drill of depth Cycle powers hosts off. Use depth Read."),
            Some(v1::HostStandby { evacuation: Some(evacuation), .. }) => {
                format!("Host {name} serves Evacuation/{evacuation}; wait until it is back.")
            }
            Some(_) => match host.status.guests.total {
                Some(0) => continue,
                Some(n) => format!("Host {name} has {n} guest(s); a drill of depth Cycle powers hosts off. Move them away first."),
                None => format!("whether guests are on Host {name} is not known; see whether Nova answers."),
            },
        };
        return refuse("not-drillable", "spec.hosts", why, Some(host.metadata.uid));
    }
    Ok(())
}
