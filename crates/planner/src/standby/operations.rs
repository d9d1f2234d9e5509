//! HostOperations that a pool or a drill makes: their names, and what became of them.

use super::Member;
use crate::Also;
use schemas::{
    Conditions, Object,
    v1::{HostOperation, HostOperationType, reasons},
};
use serde_json::json;

/// What became of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It has not ended; what it waits for.
    Open(String),
    /// It ended well.
    Done,
    /// It ended badly: reason and message.
    Failed(String, String),
    /// It is not there any more.
    Gone,
}

/// The operation on a host that has not ended.
pub(super) fn open(member: &Member) -> Option<&Object<HostOperation>> {
    member.operations.iter().find(|o| o.status.finished_at.is_none())
}

/// The open operation on a host, unless it belongs to the object of this uid.
pub(super) fn open_of_others<'a>(member: &'a Member, owner_uid: &str) -> Option<&'a Object<HostOperation>> {
    open(member).filter(|o| !is_owned(o, owner_uid))
}

/// Whether an object of this uid made it.
pub(super) fn is_owned(operation: &Object<HostOperation>, owner_uid: &str) -> bool {
    operation.metadata.owner_references.iter().any(|o| o.uid == owner_uid)
}

/// What became of the operation of this name.
pub(super) fn fate(member: &Member, name: &str) -> Fate {
    let Some(operation) = member.operations.iter().find(|o| o.metadata.name == name) else { return Fate::Gone };
    let status = &operation.status;
    if status.finished_at.is_none() {
        let waits = status.waiting.as_ref().map(|w| format!("{}: {}", w.reason, w.message));
        return Fate::Open(waits.unwrap_or_else(|| status.progress.clone()));
    }
    match status.conditions.find("Succeeded") {
        Some(_) if status.conditions.is_true("Succeeded") => Fate::Done,
        Some(c) => Fate::Failed(c.reason.clone(), c.message.clone()),
        None => Fate::Failed(reasons::FAILED.into(), status.progress.clone()),
    }
}

/// A new operation on a host, and its name. No name is used twice.
pub(super) fn create(member: &Member, prefix: &str, what: HostOperationType) -> (String, Also) {
    let host = member.name();
    let begin = format!("{prefix}-{}-{}-", format!("{what:?}").to_lowercase(), host.chars().take(200).collect::<String>());
    let used = member.operations.iter().filter_map(|o| o.metadata.name.strip_prefix(&begin)?.parse::<i64>().ok());
    let name = format!("{begin}{}", 1 + used.max().unwrap_or(0));
    let spec = json!({"hostRef": {"name": host}, "type": what});
    (name.clone(), Also::Create { kind: "HostOperation", name, host: Some(host.into()), spec })
}

/// Asks an open operation of this name to end, if it is there.
pub(super) fn cancel(member: &Member, name: &str) -> Option<Also> {
    let operation = member.operations.iter().find(|o| o.metadata.name == name && o.status.finished_at.is_none())?;
    let wanted = operation.spec.cancel == schemas::v1::Cancel::No;
    wanted.then(|| Also::Cancel { kind: "HostOperation", name: name.into(), version: operation.metadata.revision() })
}
