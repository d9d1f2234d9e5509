//! May this be written now? Checks that need other objects.

use crate::{RegistryError, RegistryResult, attestation, standby};
use schemas::{
    DynObject, FieldError, KindInfo, Object,
    v1::{self, EvacuationRule, HostOperationType, PowerWish, Schedulable},
};
use serde_json::Value;
use std::collections::BTreeMap;
use store::{ListQuery, Op, Store};

/// Gives an existing one-shot object that asks for the same, if there is one.
pub(crate) async fn create(store: &dyn Store, kind: &KindInfo, object: &DynObject) -> RegistryResult<Option<DynObject>> {
    match kind.kind {
        "PowerLink" => port_free(store, object).await.map(|()| None),
        "HostOperation" => host_operation(store, object).await,
        "Evacuation" => evacuation(store, object).await,
        "FenceAttestation" => attestation::admit(store, object).await,
        "StandbyPool" => standby::pool(store, object).await.map(|()| None),
        "FenceDrill" => standby::drill(store, object).await.map(|()| None),
        "Host" => approval(None, object).map(|()| None),
        _ => Ok(None),
    }
}

pub(crate) async fn update(store: &dyn Store, kind: &KindInfo, old: &DynObject, new: &DynObject) -> RegistryResult<()> {
    match kind.kind {
        "Host" => approval(Some(old), new),
        "PowerLink" => port_free(store, new).await,
        "StandbyPool" => standby::pool(store, new).await,
        _ => Ok(()),
    }
}

/// What has to be as it was read when the object is written. Failure domains are there, and in no circle; of two writes that
/// would close one between them, the second is turned down.
pub(crate) async fn guards(store: &dyn Store, kind: &KindInfo, old: Option<&DynObject>, new: &DynObject) -> RegistryResult<Vec<Op>> {
    let known: Vec<String> = old.map(named_domains).unwrap_or_default().into_iter().map(|(_, name)| name).collect();
    let mut seen: BTreeMap<String, i64> = BTreeMap::new();
    for (field, name) in named_domains(new).into_iter().filter(|(_, name)| !known.contains(name)) {
        let (mut next, mut path) = (Some(name), Vec::new());
        while let Some(name) = next {
            let path_to = || path.iter().chain([&name]).cloned().collect::<Vec<String>>().join(" in ");
            if (kind.kind == "FailureDomain" && name == new.metadata.name) || path.contains(&name) {
                let message = format!("would put it in itself ({} in {}); name another parent.", new.metadata.name, path_to());
                return Err(FieldError::invalid(&field, message).into());
            }
            let Some(domain) = store.get("FailureDomain", &name).await? else {
                let message = format!("there is no FailureDomain {name:?}; make it first, or name another one.");
                return Err(FieldError::new(&field, "NotFound", message).into());
            };
            seen.insert(name.clone(), domain.metadata.revision());
            next = domain.spec.pointer("/parentRef/name").and_then(|v| v.as_str()).map(String::from);
            path.push(name);
        }
    }
    let unchanged = |(name, expected)| Op::RequireVersion { kind: "FailureDomain".into(), name, expected };
    Ok(seen.into_iter().map(unchanged).collect())
}

/// The failure domains that an object says it is in, each with the field that says so.
fn named_domains(object: &DynObject) -> Vec<(String, String)> {
    let spec = &object.spec;
    let own = |field: &str, value: &Value| value.as_str().map(|name| (field.to_string(), name.to_string()));
    match object.kind.as_str() {
        "Host" => {
            let further = spec["failureDomains"].as_array().into_iter().flatten().enumerate();
            let further = further.filter_map(|(n, value)| own(&format!("spec.failureDomains[{n}]"), value));
            own("spec.failureDomain", &spec["failureDomain"]).into_iter().chain(further).collect()
        }
        "FailureDomain" => own("spec.parentRef.name", &spec["parentRef"]["name"]).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// An approval is about the one recovery that a host has had; given ahead it would be one of what nobody has looked at.
fn approval(old: Option<&DynObject>, new: &DynObject) -> RegistryResult<()> {
    let field = "spec.approvedReturn";
    let given = new.spec["approvedReturn"].as_str().filter(|given| old.is_none_or(|old| old.spec["approvedReturn"].as_str() != Some(*given)));
    let Some(given) = given else { return Ok(()) };
    let availability = old.map(|old| &old.status["availability"]).filter(|a| a["state"] == "Recovered");
    match availability.and_then(|a| a["evacuation"].as_str()) {
        Some(evacuation) if evacuation == given => Ok(()),
        Some(evacuation) => {
            let message = format!("is {given:?}, but the recovery that the host has had is Evacuation {evacuation:?}; name that, or leave it out.");
            Err(FieldError::invalid(field, message).into())
        }
        None => {
            let message = "approves a return after a recovery, and the host waits for none; leave it out, and approve when its state is Recovered.";
            Err(FieldError::invalid(field, message).into())
        }
    }
}

/// One host per port of a device.
async fn port_free(store: &dyn Store, object: &DynObject) -> RegistryResult<()> {
    let mine: Object<v1::PowerLink> = object.typed()?;
    for other in store.list("PowerLink", ListQuery::default()).await?.items {
        if other.spec["deviceRef"] != object.spec["deviceRef"] {
            continue;
        }
        let theirs: Object<v1::PowerLink> = other.typed()?;
        if theirs.metadata.name != mine.metadata.name && theirs.spec.device_ref == mine.spec.device_ref && theirs.spec.port == mine.spec.port {
            return Err(RegistryError::Refused {
                code: "port-taken",
                message: format!(
                    "spec.port: port {} of PowerDevice {} is taken by PowerLink {} (Host {}); use another port or delete that link.",
                    mine.spec.port, mine.spec.device_ref.name, theirs.metadata.name, theirs.spec.host_ref.name
                ),
                field: Some("spec.port".into()),
                other: Some(theirs.metadata.uid),
            });
        }
    }
    Ok(())
}

pub(crate) async fn host_of(store: &dyn Store, name: &str) -> RegistryResult<Object<v1::Host>> {
    let missing = || FieldError::new("spec.hostRef.name", "NotFound", format!("there is no Host {name:?}; `get hosts` lists them."));
    let host = store.get("Host", name).await?.ok_or_else(missing)?;
    Ok(host.typed()?)
}

/// One-shot objects of a host that have not ended.
pub(crate) async fn open_on_host(store: &dyn Store, host: &str) -> RegistryResult<Vec<DynObject>> {
    let query = || ListQuery { host: Some(host.into()), open_only: true, ..Default::default() };
    let mut open = store.list("HostOperation", query()).await?.items;
    open.extend(store.list("Evacuation", query()).await?.items);
    Ok(open)
}

/// The same request as one under way gives that one; another is refused.
fn repeat_or_refuse(open: Vec<DynObject>, object: &DynObject, host: &str) -> RegistryResult<Option<DynObject>> {
    match open.into_iter().find(|o| o.kind == object.kind) {
        None => Ok(None),
        Some(other) if other.spec == object.spec && other.metadata.deletion_timestamp.is_none() => Ok(Some(other)),
        Some(other) => Err(RegistryError::Refused {
            code: "operation-in-progress",
            message: format!("{} is under way on Host {host}; wait for it or cancel it first.", other.id()),
            field: None,
            other: Some(other.metadata.uid),
        }),
    }
}

/// S12: an operation that contradicts the declared state would be undone at once.
async fn host_operation(store: &dyn Store, object: &DynObject) -> RegistryResult<Option<DynObject>> {
    use HostOperationType::*;
    let operation: Object<v1::HostOperation> = object.typed()?;
    if operation.spec.cause == v1::Cause::Automatic {
        return Err(FieldError::invalid("spec.cause", "Automatic is the controller's own word; leave it out.").into());
    }
    let host = host_of(store, &operation.spec.host_ref.name).await?;
    let name = &host.metadata.name;
    let contradiction = match operation.spec.r#type {
        PowerOff | SoftOff | Shutdown if host.spec.power == PowerWish::On => Some(("spec.power", "On", "Off or Unmanaged")),
        PowerOn | PowerCycle if host.spec.power == PowerWish::Off => Some(("spec.power", "Off", "On or Unmanaged")),
        Disable | Drain | Shutdown if host.spec.schedulable == Schedulable::Enabled => Some(("spec.schedulable", "Enabled", "Disabled or Unmanaged")),
        Enable if host.spec.schedulable == Schedulable::Disabled => Some(("spec.schedulable", "Disabled", "Enabled or Unmanaged")),
        Enable if host.spec.power == PowerWish::Off => Some(("spec.power", "Off", "On or Unmanaged")),
        _ => None,
    };
    if let Some((field, is, should)) = contradiction {
        return Err(RegistryError::Refused {
            code: "contradicts-spec",
            message: format!("{:?} contradicts {field}: {is} of Host {name}; set it to {should} first.", operation.spec.r#type),
            field: Some(field.into()),
            other: Some(host.metadata.uid),
        });
    }
    repeat_or_refuse(open_on_host(store, name).await?, object, name)
}

async fn evacuation(store: &dyn Store, object: &DynObject) -> RegistryResult<Option<DynObject>> {
    let evacuation: Object<v1::EvacuationKind> = object.typed()?;
    let host = host_of(store, &evacuation.spec.host_ref.name).await?;
    let name = &host.metadata.name;
    if evacuation.spec.cause == v1::Cause::Automatic {
        return Err(FieldError::invalid("spec.cause", "Automatic is the controller's own word; leave it out.").into());
    }
    if evacuation.spec.evidence.is_some() {
        return Err(FieldError::invalid("spec.evidence", "is what the controller takes from a RemediationPolicy; leave it out.").into());
    }
    if host.spec.evacuation == EvacuationRule::Denied {
        return Err(RegistryError::Refused {
            code: "evacuation-denied",
            message: format!("spec.evacuation of Host {name} is Denied; set it to Allowed first."),
            field: Some("spec.evacuation".into()),
            other: Some(host.metadata.uid),
        });
    }
    repeat_or_refuse(open_on_host(store, name).await?, object, name)
}

fn referenced(object: &DynObject, holders: Vec<String>) -> RegistryResult<()> {
    if holders.is_empty() {
        return Ok(());
    }
    Err(RegistryError::Refused {
        code: "referenced",
        message: format!(
            "{} is still used by {}; delete or change those first.",
            object.id(),
            holders.iter().take(10).cloned().collect::<Vec<_>>().join(", ")
        ),
        field: None,
        other: None,
    })
}

pub(crate) async fn delete(store: &dyn Store, kind: &KindInfo, object: &DynObject) -> RegistryResult<()> {
    let name = &object.metadata.name;
    let holding = |kind: &'static str, pointer: &'static str| async move {
        let all = store.list(kind, ListQuery::default()).await?.items;
        let uses = |o: &DynObject| o.spec.pointer(pointer).and_then(|v| v.as_str()) == Some(name);
        RegistryResult::Ok(all.iter().filter(|o| uses(o)).map(DynObject::id).collect::<Vec<_>>())
    };
    match kind.kind {
        "FailureDomain" => {
            let mut holders = Vec::new();
            for kind in ["Host", "FailureDomain"] {
                let all = store.list(kind, ListQuery::default()).await?.items;
                holders.extend(all.iter().filter(|o| named_domains(o).iter().any(|(_, named)| named == name)).map(DynObject::id));
            }
            referenced(object, holders)
        }
        "Credential" => referenced(object, holding("PowerDevice", "/credentialRef/name").await?),
        "PowerDevice" => referenced(object, holding("PowerLink", "/deviceRef/name").await?),
        "ClusterPolicy" | "RemediationPolicy" if name == "default" => Err(RegistryError::Refused {
            code: "protected",
            message: format!("{} default cannot be deleted; change it instead.", kind.kind),
            field: None,
            other: None,
        }),
        "PowerLink" => match store.claim(object.spec["hostRef"]["name"].as_str().unwrap_or_default()).await? {
            Some(claim) => Err(RegistryError::Refused {
                code: "host-claimed",
                message: format!("{} works on the host of {}; wait for it or cancel it first.", claim.owner, object.id()),
                field: None,
                other: Some(claim.owner_uid),
            }),
            None => Ok(()),
        },
        "Host" => host_delete(store, object).await,
        _ => Ok(()),
    }
}

/// A host that Nova knows would come back at the next synchronisation (api 9.6).
async fn host_delete(store: &dyn Store, object: &DynObject) -> RegistryResult<()> {
    let host: Object<v1::Host> = object.typed()?;
    let name = &host.metadata.name;
    let refuse = |message: String| Err(RegistryError::Refused { code: "protected", message, field: None, other: None });
    if let Some(claim) = store.claim(name).await? {
        return refuse(format!("{} works on Host {name}; wait for it or cancel it first.", claim.owner));
    }
    let open = store.list("Operation", ListQuery { host: Some(name.clone()), open_only: true, ..Default::default() }).await?.items;
    if !open.is_empty() {
        return refuse(format!("{} call(s) on Host {name} are not settled yet; see `get operations`.", open.len()));
    }
    if host.status.fence.is_some() {
        return refuse(format!("Host {name} is fenced; release it with PowerOn or Enable first, so that the memory of it is not lost."));
    }
    if host.status.nova.is_some() && host.spec.schedulable != Schedulable::Unmanaged {
        return refuse(format!("Nova still knows Host {name}; set spec.schedulable to Unmanaged or delete its nova-compute service first."));
    }
    Ok(())
}
