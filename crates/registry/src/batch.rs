//! Many objects at once: all are looked at as if they were there already, and only then is anything written.

use crate::{Applied, Apply, Outcome, Registry, RegistryError, RegistryResult, TRIES, apply_set::Joining, overlay::Overlay};
use schemas::{FieldError, KindInfo, Time};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use store::{Guard, Op, StoreError};

/// Objects that may be applied at once.
pub const MOST_AT_ONCE: usize = 2_000;

/// Objects that may be applied in one transaction: it keeps all other writers waiting.
pub const MOST_IN_ONE: usize = 200;

/// Kinds in the order in which they are applied: what others point to comes first, and policies after what they decide about, so that
/// what holds a host back holds before anything may be begun for it.
const ORDER: [&str; 14] = [
    "ApplySet",
    "Credential",
    "PowerDevice",
    "FailureDomain",
    "Host",
    "PowerLink",
    "StandbyPool",
    "GuestPolicy",
    "ClusterPolicy",
    "RemediationPolicy",
    "HostOperation",
    "Evacuation",
    "FenceDrill",
    "FenceAttestation",
];

/// One object to apply.
#[derive(Clone)]
pub struct Item {
    /// Its kind.
    pub kind: &'static KindInfo,
    /// Its name.
    pub name: String,
    /// What is declared of it.
    pub value: Value,
    /// Whether it is made if it is not there.
    pub create: bool,
}

/// What a batch comes to, and the transaction that each object takes.
pub(crate) struct Trial {
    pub batch: Batch,
    ops: Vec<Vec<Op>>,
}

/// What became of each object, in the order in which they were given.
pub struct Batch {
    /// What was done, or would be; or why it was not.
    pub results: Vec<RegistryResult<Applied>>,
    /// Whether anything was written, or had to be.
    pub applied: bool,
}

impl Registry {
    /// Applies objects in the order in which they need each other. All are checked first, as if those before them were there; if one
    /// does not pass, none is written. `atomic`: all are written in one transaction, else each in its own.
    pub async fn apply_all(&self, items: &[Item], by: &Apply<'_>, atomic: bool, now: Time) -> Batch {
        let order = order(items);
        let trial = self.try_all(items, &order, by, None, now).await;
        self.write(items, &order, trial, by, atomic, now).await
    }

    /// What [`Registry::apply_all`] would do.
    pub async fn apply_none(&self, items: &[Item], by: &Apply<'_>, now: Time) -> Batch {
        self.try_all(items, &order(items), by, None, now).await.batch
    }

    /// Writes what was tried, unless something does not pass.
    pub(crate) async fn write(&self, items: &[Item], order: &[usize], mut trial: Trial, by: &Apply<'_>, atomic: bool, now: Time) -> Batch {
        let mut tries = 1;
        loop {
            if !trial.batch.applied || trial.batch.results.iter().flatten().all(|a| a.outcome == Outcome::Unchanged) {
                return trial.batch;
            }
            if !atomic {
                return self.write_each(items, order, trial, by, now).await;
            }
            match self.write_all(order, trial, now).await {
                Err(StoreError::Conflict { .. } | StoreError::AlreadyExists(_) | StoreError::NotFound(_)) if tries < TRIES => tries += 1,
                Ok(batch) => return batch,
                Err(error) => return Batch { results: items.iter().map(|_| Err(error.clone().into())).collect(), applied: false },
            }
            trial = self.try_all(items, order, by, None, now).await;
        }
    }

    /// Tries all on top of each other. `joining`: as objects of that set.
    pub(crate) async fn try_all(&self, items: &[Item], order: &[usize], by: &Apply<'_>, joining: Option<&Joining>, now: Time) -> Trial {
        let overlay = Overlay::over(self.store.clone());
        let trial = Registry::new(overlay.clone());
        let mut ops: Vec<Vec<Op>> = items.iter().map(|_| Vec::new()).collect();
        let mut results: Vec<Option<RegistryResult<Applied>>> = items.iter().map(|_| None).collect();
        let mut seen = BTreeSet::new();
        for at in order.iter().copied() {
            let Item { kind, name, value, create } = &items[at];
            let by = &Apply { create: *create, ..*by };
            let done = match may_be_in_a_file(kind).and_then(|()| joining.map_or(Ok(()), |set| set.takes(kind))) {
                Err(error) => Err(error),
                Ok(()) if !seen.insert((kind.kind, name)) => {
                    let message = format!("{}/{name} stands in the batch twice; write it once.", kind.kind);
                    Err(FieldError::new("metadata.name", "Duplicate", message).into())
                }
                Ok(()) => trial.apply(kind, name, value, by, now).await,
            };
            // A database that cannot be read answers for none of the others either.
            let broken = matches!(&done, Err(RegistryError::Store(error)) if !is_about_one(error));
            if broken {
                let batch = Batch { results: items.iter().map(|_| done.clone()).collect(), applied: false };
                return Trial { batch, ops: Vec::new() };
            }
            ops[at] = overlay.take_ops();
            results[at] = Some(done.and_then(|applied| joining.map_or(Ok(()), |set| set.may_join(&applied.object)).map(|()| applied)));
        }
        let results: Vec<_> = results.into_iter().flatten().collect();
        let applied = results.iter().all(Result::is_ok);
        Trial { batch: Batch { results, applied }, ops }
    }

    async fn write_each(&self, items: &[Item], order: &[usize], trial: Trial, by: &Apply<'_>, now: Time) -> Batch {
        let Trial { batch: Batch { mut results, .. }, mut ops } = trial;
        let (mut applied, mut as_tried, mut broken) = (false, true, None::<StoreError>);
        for at in order.iter().copied() {
            if matches!(&results[at], Ok(a) if a.outcome == Outcome::Unchanged) {
                continue;
            }
            if let Some(error) = &broken {
                // It may have been written, or not: nothing is built on it.
                results[at] = Err(StoreError::Unavailable(format!("not tried, because of the one before it: {error}")).into());
                continue;
            }
            let written = if as_tried { self.store.commit(Guard::Open, now, std::mem::take(&mut ops[at])).await.map(Some) } else { Ok(None) };
            match written {
                Ok(Some(mut done)) => {
                    if let (Ok(applied), Some(object)) = (&mut results[at], done.objects.pop()) {
                        applied.object = object;
                    }
                }
                // Somebody was faster: this one, and those that were tried on top of it, are looked at again.
                Ok(None) | Err(StoreError::Conflict { .. } | StoreError::AlreadyExists(_) | StoreError::NotFound(_)) => {
                    as_tried = false;
                    let Item { kind, name, value, create } = &items[at];
                    results[at] = self.apply(kind, name, value, &Apply { create: *create, ..*by }, now).await;
                }
                Err(error) => results[at] = Err(error.into()),
            }
            match &results[at] {
                Ok(_) => applied = true,
                Err(RegistryError::Store(error)) if broken.is_none() && !is_about_one(error) => broken = Some(error.clone()),
                Err(_) => {}
            }
        }
        Batch { results, applied }
    }

    async fn write_all(&self, order: &[usize], trial: Trial, now: Time) -> Result<Batch, StoreError> {
        let Trial { mut batch, mut ops } = trial;
        let all = order.iter().flat_map(|at| std::mem::take(&mut ops[*at])).collect();
        for object in self.store.commit(Guard::Open, now, all).await?.objects {
            let tried = batch.results.iter_mut().flatten().find(|a| a.object.metadata.uid == object.metadata.uid);
            if let Some(applied) = tried {
                applied.object = object;
            }
        }
        Ok(batch)
    }
}

/// Whether an error tells of one object only.
fn is_about_one(error: &StoreError) -> bool {
    use StoreError::*;
    matches!(error, Conflict { .. } | AlreadyExists(_) | NotFound(_) | Claimed { .. } | LimitReached { .. } | Frozen)
}

/// A file that is applied again and again would state what nobody has just seen.
fn may_be_in_a_file(kind: &KindInfo) -> RegistryResult<()> {
    if kind.kind != "FenceAttestation" {
        return Ok(());
    }
    let message = "a FenceAttestation is not applied from files; whoever saw that the host is dead says so with: cloud-manager attest HOST";
    Err(RegistryError::Refused { code: "not-from-files", message: message.into(), field: Some("kind".into()), other: None })
}

/// Place of a kind in the order in which objects need each other.
pub(crate) fn rank(kind: &str) -> usize {
    ORDER.iter().position(|k| *k == kind).unwrap_or(ORDER.len())
}

/// Indices of the items in the order in which they need each other; as they were given, where they do not.
pub(crate) fn order(items: &[Item]) -> Vec<usize> {
    let parents: BTreeMap<&str, &str> = items
        .iter()
        .filter(|i| i.kind.kind == "FailureDomain")
        .filter_map(|i| Some((i.name.as_str(), i.value.pointer("/spec/parentRef/name")?.as_str()?)))
        .collect();
    // A circle is turned down where it is looked at; here it only has to come to an end.
    let depth = |item: &Item| {
        let (mut depth, mut name) = (0, item.name.as_str());
        while let Some(parent) = parents.get(name).copied().filter(|_| item.kind.kind == "FailureDomain" && depth <= parents.len()) {
            (depth, name) = (depth + 1, parent);
        }
        depth
    };
    let rank = |item: &Item| (rank(item.kind.kind), depth(item));
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by_key(|at| rank(&items[*at]));
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::kinds::{KINDS, find};
    use serde_json::json;

    #[test]
    fn every_kind_that_clients_write_has_its_place_in_the_order() {
        for kind in KINDS.iter().filter(|k| !k.read_only) {
            assert!(ORDER.contains(&kind.kind), "{} has no place in ORDER", kind.kind);
        }
    }

    #[test]
    fn what_others_point_to_comes_first_and_a_circle_comes_to_an_end() {
        let item = |kind: &str, name: &str, parent: Option<&str>| Item {
            kind: find(kind).unwrap(),
            name: name.into(),
            value: json!({"spec": {"parentRef": parent.map(|p| json!({"name": p}))}}),
            create: true,
        };
        let items = [
            item("PowerLink", "l", None),
            item("FailureDomain", "rack", Some("room")),
            item("Host", "h", None),
            item("FailureDomain", "room", Some("site")),
            item("FailureDomain", "site", Some("elsewhere")),
            item("Credential", "c", None),
            item("FailureDomain", "a", Some("b")),
            item("FailureDomain", "b", Some("a")),
        ];
        let sorted: Vec<&str> = order(&items).into_iter().map(|at| items[at].name.as_str()).collect();
        assert_eq!(sorted[..4], ["c", "site", "room", "rack"]);
        assert_eq!(sorted[6..], ["h", "l"]);
    }
}
