//! May a person state now that a host is dead? (I4)

use crate::{RegistryError, RegistryResult, admit::host_of};
use schemas::{
    DynObject, FieldError, Object, Time,
    v1::{FenceAttestation, FenceAttestationSpec, LONGEST_ATTESTATION_SECONDS},
};
use store::{ListQuery, Store};

/// Its host is there, in the epoch that it is about, and no other one is open. The same again gives the one that is open.
pub(crate) async fn admit(store: &dyn Store, object: &DynObject) -> RegistryResult<Option<DynObject>> {
    let attestation: Object<FenceAttestation> = object.typed()?;
    let host = host_of(store, &attestation.spec.host_ref.name).await?;
    let name = &host.metadata.name;
    lasts(&attestation.spec, attestation.metadata.creation_timestamp.unwrap_or_default())?;
    let epoch = store.evidence(name).await?.body["epoch"].as_i64().unwrap_or(0).max(1);
    if attestation.spec.power_epoch != epoch {
        return Err(RegistryError::Refused {
            code: "wrong-epoch",
            message: format!(
                "spec.powerEpoch: is {}, but Host {name} is in power epoch {epoch}: it showed life since. Look at it again before you state that it is dead.",
                attestation.spec.power_epoch
            ),
            field: Some("spec.powerEpoch".into()),
            other: Some(host.metadata.uid),
        });
    }
    let open = ListQuery { host: Some(name.clone()), open_only: true, ..Default::default() };
    match store.list("FenceAttestation", open).await?.items.into_iter().next() {
        None => Ok(None),
        Some(other) if other.spec == object.spec => Ok(Some(other)),
        Some(other) => Err(RegistryError::Refused {
            code: "attestation-in-force",
            message: format!("{} is open for Host {name}; cancel that one first.", other.id()),
            field: None,
            other: Some(other.metadata.uid),
        }),
    }
}

fn lasts(spec: &FenceAttestationSpec, now: Time) -> RegistryResult<()> {
    let left = spec.expires_at.millis_since(now);
    if left <= 0 {
        return Err(FieldError::invalid("spec.expiresAt", format!("is past (it is {now} here); give a time within the next 24 hours.")).into());
    }
    if left > LONGEST_ATTESTATION_SECONDS * 1_000 {
        return Err(
            FieldError::invalid("spec.expiresAt", "is more than 24 hours ahead; a statement about a dead host does not keep that long.").into()
        );
    }
    Ok(())
}
