//! Sets of objects that are applied together. What a set declares no longer is found by what it declared before, with its uid, and
//! never by a selector.

use crate::{
    Apply, Batch, Item, Outcome, Preconditions, Registry, RegistryError, RegistryResult, TRIES,
    apply::fits,
    batch::{order, rank},
    prepare::{may_be_deleted, prepare},
};
use schemas::{
    ConditionStatus, Conditions, DynObject, Kind, KindInfo, Object, Time, kinds,
    v1::{APPLY_SET_LABEL, ApplySet, ApplySetMember},
};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use store::{Guard, ListQuery, Op, StoreError};

const KIND: &str = <ApplySet as Kind>::KIND;

/// So many are deleted at once without being told how many, or a tenth of the set if that is more.
const FEW: usize = 3;

/// What becomes of objects that a set had, and that are declared no longer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Prune {
    /// They stay, and stay in the set.
    #[default]
    No,
    /// They are deleted after all others were applied.
    All,
    /// They are deleted, and nothing is applied.
    Only,
}

/// How a set is applied.
#[derive(Clone, Copy, Debug, Default)]
pub struct ApplyingSet<'a> {
    /// Name of the ApplySet.
    pub name: &'a str,
    /// What becomes of what is declared no longer.
    pub prune: Prune,
    /// So many may be deleted, and no more.
    pub max_deletes: Option<usize>,
    /// What is applied, such as a commit.
    pub revision: Option<&'a str>,
    /// What must have been applied last.
    pub after: Option<&'a str>,
    /// Whether the ApplySet is made if it is not there.
    pub create: bool,
    /// All are written in one transaction.
    pub atomic: bool,
}

/// What became of a set.
pub struct SetBatch {
    /// What became of what was declared.
    pub batch: Batch,
    /// What became of what is declared no longer.
    pub removed: Vec<Removed>,
}

/// An object that is declared no longer.
#[derive(Clone, Debug)]
pub struct Removed {
    /// Which.
    pub member: ApplySetMember,
    /// What became of it.
    pub fate: Fate,
}

/// What became of an object that is declared no longer.
#[derive(Clone, Debug)]
pub enum Fate {
    /// It is gone.
    Deleted,
    /// It was gone already.
    Gone,
    /// It goes when its finalizers have run.
    Deleting,
    /// It stays in the set, and why.
    Kept(String),
    /// It is another object now, or another set's: none of this one.
    Another,
    /// It could not be deleted, and stays in the set.
    Failed(RegistryError),
}

/// What whoever applies a set has to say of it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What keeps it from being applied; empty: nothing.
    pub errors: Vec<String>,
    /// Where what stands differs from what is declared; empty: nowhere.
    pub drift: Vec<String>,
}

/// The set that objects are about to join, and the members of all others.
pub(crate) struct Joining {
    others: BTreeMap<String, String>,
    /// What belongs to another set is taken over.
    force: bool,
}

impl Joining {
    /// What is done once is no state that could be declared.
    pub fn takes(&self, kind: &KindInfo) -> RegistryResult<()> {
        if !kind.one_shot && kind.kind != KIND {
            return Ok(());
        }
        let message = format!("a {} belongs to no set; take it out of the files, and make it by hand.", kind.kind);
        Err(refused("not-in-a-set", message))
    }

    /// An object belongs to one set.
    pub fn may_join(&self, object: &DynObject) -> RegistryResult<()> {
        let Some(other) = self.others.get(&object.metadata.uid).filter(|_| !self.force) else { return Ok(()) };
        let message = format!("{} belongs to ApplySet {other}; declare it in one of the two only, or take it over (force=true).", object.id());
        Err(refused("applyset-conflict", message))
    }
}

/// A set as it is read, and as it is to be written.
struct Held {
    set: Object<ApplySet>,
    /// As it stands in the store; `None`: not there yet.
    stored: Option<DynObject>,
}

impl Held {
    fn members(&self) -> &[ApplySetMember] {
        &self.set.status.members
    }

    fn set_members(&mut self, members: Vec<ApplySetMember>) {
        self.set.status.total = i64::try_from(members.len()).unwrap_or(i64::MAX);
        self.set.status.members = members;
    }

    fn say(&mut self, condition: &str, status: ConditionStatus, reason: &str, message: &str, now: Time) {
        let generation = self.set.metadata.generation;
        self.set.status.observed_generation = generation;
        self.set.status.conditions.set(condition, status, reason, message, generation, now);
    }
}

impl Registry {
    /// Applies a set: what is declared is tried, what goes is counted, and only then is anything written. Before the first write the
    /// set holds what it had and what it gets; a crash leaves it with too much, never with too little.
    ///
    /// # Errors
    /// The set is another manager's, was applied by somebody else meanwhile, or would lose more objects than it may; nothing was
    /// written. What is wrong with single objects stands in the batch.
    pub async fn apply_set(&self, items: &[Item], set: &ApplyingSet<'_>, by: &Apply<'_>, now: Time) -> RegistryResult<SetBatch> {
        let mut held = self.open_set(set, by, now).await?;
        let items: Vec<Item> = items.iter().map(|item| labelled(item, set.name)).collect();
        let joining = Joining { others: self.members_of_others(set.name).await?, force: by.force };
        let order = order(&items);
        let trial = self.try_all(&items, &order, by, Some(&joining), now).await;
        if !trial.batch.applied {
            return Ok(SetBatch { batch: trial.batch, removed: Vec::new() });
        }
        let before = held.members().to_vec();
        let declared = members(&items, &trial.batch);
        let planned = if set.prune == Prune::No { Vec::new() } else { self.plan(&held, &declared, &joining).await? };
        fuse(set, &planned, before.len())?;
        let batch = if set.prune == Prune::Only {
            trial.batch
        } else {
            held.set_members(together(&before, &declared));
            self.keep_set(&mut held, now).await?;
            self.write(&items, &order, trial, by, set.atomic, now).await
        };
        let whole = batch.results.iter().all(Result::is_ok);
        // While something is not applied as it is declared, nothing goes: it may be what takes its place.
        let removed = if whole { self.remove(planned, now).await } else { Vec::new() };
        let declared = if set.prune == Prune::Only { Vec::new() } else { members(&items, &batch) };
        self.close_set(held, set, (&batch, declared, &removed), whole, now).await?;
        Ok(SetBatch { batch, removed })
    }

    /// Writes down what whoever applies a set has to say of it. What was said before is written once.
    pub async fn report(&self, name: &str, report: &Report, now: Time) -> RegistryResult<DynObject> {
        let found = self.store.get(KIND, name).await?.ok_or_else(|| StoreError::NotFound(format!("ApplySet/{name}")))?;
        let mut held = Held { set: found.typed()?, stored: Some(found) };
        if !report.errors.is_empty() {
            held.say("Applied", ConditionStatus::False, "Refused", &few(&report.errors), now);
        }
        match report.drift.as_slice() {
            [] if report.errors.is_empty() => held.say("InSync", ConditionStatus::True, "AsDeclared", "", now),
            [] => held.say("InSync", ConditionStatus::Unknown, "NotApplied", "what is declared could not be applied", now),
            drift => held.say("InSync", ConditionStatus::False, "Drifted", &few(drift), now),
        }
        self.keep_set(&mut held, now).await?;
        held.stored.ok_or_else(|| StoreError::NotFound(format!("ApplySet/{name}")).into())
    }

    async fn open_set(&self, set: &ApplyingSet<'_>, by: &Apply<'_>, now: Time) -> RegistryResult<Held> {
        let stored = self.store.get(KIND, set.name).await?;
        let object = match &stored {
            Some(object) => object.clone(),
            // What was never applied has lost nothing.
            None if set.create && set.prune != Prune::Only => {
                let kind = kinds::find(KIND).ok_or_else(|| StoreError::NotFound(KIND.into()))?;
                prepare(kind, DynObject::new(KIND, set.name, json!({"manager": by.manager})), by.user, now)?
            }
            None => return Err(StoreError::NotFound(format!("ApplySet/{}", set.name)).into()),
        };
        let found: Object<ApplySet> = object.typed()?;
        if found.spec.manager != by.manager {
            let message = format!(
                "ApplySet {} is applied by the manager {:?}, and this is {:?}; apply as that one, or change spec.manager of the set first.",
                set.name, found.spec.manager, by.manager
            );
            return Err(refused("applyset-conflict", message));
        }
        let last = found.status.revision.as_deref();
        if set.after.is_some_and(|after| last != Some(after)) {
            let message = format!(
                "ApplySet {} is at revision {}, not at the one that this was compared with; look again, and apply then.",
                set.name,
                last.unwrap_or("(none)")
            );
            return Err(refused("applyset-conflict", message));
        }
        Ok(Held { set: found, stored })
    }

    /// What belongs to other sets, by uid.
    async fn members_of_others(&self, name: &str) -> RegistryResult<BTreeMap<String, String>> {
        let mut found = BTreeMap::new();
        for other in self.store.list(KIND, ListQuery::default()).await?.items {
            if other.metadata.name != name {
                let other: Object<ApplySet> = other.typed()?;
                found.extend(other.status.members.into_iter().map(|m| (m.uid, other.metadata.name.clone())));
            }
        }
        Ok(found)
    }

    /// What becomes of the members that are declared no longer, in the order in which they may go.
    async fn plan(&self, held: &Held, declared: &[ApplySetMember], joining: &Joining) -> RegistryResult<Vec<Removed>> {
        let stay: BTreeSet<(&str, &str)> = declared.iter().map(|m| (m.kind.as_str(), m.name.as_str())).collect();
        let mut planned = Vec::new();
        for member in held.members().iter().filter(|m| !stay.contains(&(m.kind.as_str(), m.name.as_str()))) {
            let fate = match self.store.get(&member.kind, &member.name).await? {
                None => Fate::Gone,
                Some(_) if joining.others.contains_key(&member.uid) => Fate::Another,
                Some(object) => self.fate(held, member, &object).await?,
            };
            planned.push(Removed { member: member.clone(), fate });
        }
        planned.sort_by_key(|r| std::cmp::Reverse(rank(&r.member.kind)));
        Ok(planned)
    }

    async fn fate(&self, held: &Held, member: &ApplySetMember, object: &DynObject) -> RegistryResult<Fate> {
        if object.metadata.uid != member.uid {
            return Ok(Fate::Another);
        }
        if object.metadata.deletion_timestamp.is_some() {
            return Ok(Fate::Deleting);
        }
        let by_hand = format!("delete it by hand if it is to go: cloud-manager delete {} {}", member.kind.to_lowercase(), member.name);
        if held.set.spec.protect_kinds.contains(&member.kind) {
            return Ok(Fate::Kept(format!("{} is among spec.protectKinds of the set; {by_hand}.", member.kind)));
        }
        if let Err(error) = may_be_deleted(object) {
            return Ok(Fate::Kept(error.to_string()));
        }
        let host = if member.kind == "Host" { Some(member.name.as_str()) } else { object.spec["hostRef"]["name"].as_str() };
        if let Some(host) = host
            && let Some(claim) = self.store.claim(host).await?
        {
            return Ok(Fate::Kept(format!("{} works on host {host}; apply again when it has ended.", claim.owner)));
        }
        Ok(Fate::Deleted)
    }

    /// Deletes what may go. What others still point to is tried again after them.
    async fn remove(&self, planned: Vec<Removed>, now: Time) -> Vec<Removed> {
        let (mut open, mut done): (Vec<_>, Vec<_>) = planned.into_iter().partition(|r| matches!(r.fate, Fate::Deleted));
        loop {
            let mut referenced = Vec::new();
            let tried = open.len();
            for Removed { member, .. } in open {
                let fate = self.remove_one(&member, now).await;
                let again = matches!(&fate, Fate::Failed(RegistryError::Refused { code: "referenced", .. }));
                if again { &mut referenced } else { &mut done }.push(Removed { member, fate });
            }
            if referenced.is_empty() || referenced.len() == tried {
                done.extend(referenced);
                return done;
            }
            open = referenced;
        }
    }

    async fn remove_one(&self, member: &ApplySetMember, now: Time) -> Fate {
        let Some(kind) = kinds::find(&member.kind) else { return Fate::Another };
        let only = Preconditions { uid: Some(member.uid.clone()), resource_version: None };
        match self.delete(kind, &member.name, only, now).await {
            Ok(deleted) if deleted.gone => Fate::Deleted,
            Ok(_) => Fate::Deleting,
            Err(RegistryError::Store(StoreError::NotFound(_))) => Fate::Deleted,
            Err(RegistryError::Precondition(_)) => Fate::Another,
            Err(error) => Fate::Failed(error),
        }
    }

    /// Writes down what the set has now: what is declared, what it still had, and what did not go.
    async fn close_set(
        &self,
        mut held: Held,
        set: &ApplyingSet<'_>,
        (batch, declared, removed): (&Batch, Vec<ApplySetMember>, &[Removed]),
        whole: bool,
        now: Time,
    ) -> RegistryResult<()> {
        let gone: BTreeSet<&ApplySetMember> =
            removed.iter().filter(|r| matches!(r.fate, Fate::Deleted | Fate::Gone | Fate::Another)).map(|r| &r.member).collect();
        let changed = !gone.is_empty() || batch.results.iter().flatten().any(|a| a.outcome != Outcome::Unchanged);
        let mut tries = 1;
        loop {
            let left: Vec<ApplySetMember> = held.members().iter().filter(|m| !gone.contains(m)).cloned().collect();
            held.set_members(together(&left, &declared));
            if whole && set.prune != Prune::Only {
                let status = &mut held.set.status;
                let moved = set.revision.is_some() && status.revision.as_deref() != set.revision;
                status.revision = set.revision.map(String::from).or(status.revision.take());
                if changed || moved || status.applied_at.is_none() {
                    status.applied_at = Some(now);
                }
                held.say("Applied", ConditionStatus::True, "Applied", "", now);
                held.say("InSync", ConditionStatus::True, "AsDeclared", "", now);
            }
            match self.keep_set(&mut held, now).await {
                // Somebody changed the set meanwhile: what was done is written down on top of that.
                Err(RegistryError::Refused { code: "applyset-conflict", .. }) if tries < TRIES => tries += 1,
                done => return done,
            }
            let Some(found) = self.store.get(KIND, set.name).await? else { return Ok(()) };
            held = Held { set: found.typed()?, stored: Some(found) };
        }
    }

    /// Writes a set, if it is another one than it was read.
    async fn keep_set(&self, held: &mut Held, now: Time) -> RegistryResult<()> {
        let object = held.set.to_dyn();
        let op = match &held.stored {
            Some(stored) if *stored == object => return Ok(()),
            Some(stored) => Op::Update { expected: stored.metadata.revision(), object },
            None => Op::Create(object),
        };
        if let Op::Update { object, .. } | Op::Create(object) = &op {
            fits(object)?;
        }
        let name = &held.set.metadata.name;
        match self.store.commit(Guard::Open, now, vec![op]).await {
            Ok(done) => {
                let stored = done.last()?.clone();
                held.set = stored.typed()?;
                held.stored = Some(stored);
                Ok(())
            }
            Err(StoreError::Conflict { .. } | StoreError::AlreadyExists(_) | StoreError::NotFound(_)) => {
                let message = format!("ApplySet {name} was changed by somebody else at the same time; look at it, and apply again.");
                Err(refused("applyset-conflict", message))
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn refused(code: &'static str, message: String) -> RegistryError {
    RegistryError::Refused { code, message, field: None, other: None }
}

/// A manifest as the set declares it: with its label. A label that says otherwise is left to be found out.
fn labelled(item: &Item, set: &str) -> Item {
    let mut item = item.clone();
    if let Some(object) = item.value.as_object_mut()
        && let Some(metadata) = object.entry("metadata").or_insert_with(|| json!({})).as_object_mut()
        && let Some(labels) = metadata.entry("labels").or_insert_with(|| json!({})).as_object_mut()
    {
        labels.insert(APPLY_SET_LABEL.into(), set.into());
    }
    item
}

/// What was applied, as members of a set.
fn members(items: &[Item], batch: &Batch) -> Vec<ApplySetMember> {
    let applied = items.iter().zip(&batch.results).filter_map(|(item, result)| Some((item, result.as_ref().ok()?)));
    let member = |(item, applied): (&Item, &crate::Applied)| ApplySetMember {
        kind: item.kind.kind.into(),
        name: item.name.clone(),
        uid: applied.object.metadata.uid.clone(),
    };
    applied.map(member).collect()
}

/// The members of both, by kind and name; where both have one, that of `over`.
fn together(under: &[ApplySetMember], over: &[ApplySetMember]) -> Vec<ApplySetMember> {
    let all = under.iter().chain(over).map(|m| ((&m.kind, &m.name), m));
    all.collect::<BTreeMap<_, _>>().into_values().cloned().collect()
}

/// Blows if a set would lose more than it may: then the files are wrong more often than the objects.
fn fuse(set: &ApplyingSet<'_>, planned: &[Removed], size: usize) -> RegistryResult<()> {
    let going: Vec<&Removed> = planned.iter().filter(|r| matches!(r.fate, Fate::Deleted)).collect();
    let most = set.max_deletes.unwrap_or_else(|| FEW.max(size / 10));
    if going.len() <= most {
        return Ok(());
    }
    let names: Vec<String> = going.iter().map(|r| format!("{}/{}", r.member.kind, r.member.name)).collect();
    let message = format!(
        "ApplySet {} would lose {} of {size} objects, and may lose {most}: {}. Nothing was written. If they are to go, look at each in a dry run, \
         and say maxDeletes={}.",
        set.name,
        going.len(),
        few(&names),
        going.len()
    );
    Err(refused("too-many-deletions", message))
}

/// The first few of many, and how many more there are.
fn few(all: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = all.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("; ");
    if all.len() > SHOWN { format!("{shown}; and {} more", all.len() - SHOWN) } else { shown }
}
