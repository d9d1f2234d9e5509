//! The tables, and the write rule on them.

use schemas::{
    DynObject, Time,
    v1::{NO_HOST, Observation, OperationState, Operations},
};
use secrecy::SecretString;
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use store::{
    AuditEntry, CONTROLLER_LEASE, Change, ChangeOp, ClaimRequest, ClaimRow, Committed, Evidence, Fate, Guard, LeaseRow, Letter, ListPage, ListQuery,
    Op, OutboxRule, OutboxState, Revision, StoreError, StoreResult, Telling,
};

/// Rows of history removed at once.
const COMPACT_BATCH: usize = 500;

/// An object and what is indexed of it.
#[derive(Clone, Debug)]
struct Row {
    /// As it was created; updates leave the column alone.
    uid: String,
    owner_uid: Option<String>,
    host: Option<String>,
    open: bool,
    object: DynObject,
}

impl Row {
    fn new(uid: String, object: DynObject) -> Row {
        let text = |v: &Value| v.as_str().filter(|s| !s.is_empty()).map(String::from);
        let one_shot = schemas::kinds::find(&object.kind).is_some_and(|k| k.one_shot);
        let open = if object.kind == "Operation" {
            serde_json::from_value(object.status["state"].clone()).unwrap_or(OperationState::Issued).is_open()
        } else {
            one_shot && !object.status["finishedAt"].is_string()
        };
        let host = text(&object.spec["host"]).or_else(|| text(&object.spec["hostRef"]["name"]));
        Row { uid, owner_uid: text(&object.spec["ownerUid"]), host, open, object }
    }
}

/// How one change is taken back.
enum Undo {
    Object(String, String, Option<Box<Row>>),
    Claim(String, Option<ClaimRow>),
    Evidence(String, Option<Evidence>),
    Secret(String, Option<BTreeMap<String, SecretString>>),
    Observation((String, String), Option<Observation>),
    Event(String, Option<Told>),
    Letter,
    Audit,
}

/// When an event was last seen, the uid it is about, and the event.
type Told = (Time, String, DynObject);

/// All tables.
#[derive(Debug)]
pub(super) struct State {
    check_tokens: bool,
    pub revision: Revision,
    objects: BTreeMap<String, BTreeMap<String, Row>>,
    history: VecDeque<Change>,
    pub claims: BTreeMap<String, ClaimRow>,
    pub evidence: BTreeMap<String, Evidence>,
    pub secrets: BTreeMap<String, BTreeMap<String, SecretString>>,
    pub leases: BTreeMap<String, LeaseRow>,
    /// By host and channel.
    pub observations: BTreeMap<(String, String), Observation>,
    /// By series.
    events: BTreeMap<String, Told>,
    /// Which tellings become letters.
    pub outbox_rule: Option<OutboxRule>,
    letters: VecDeque<Letter>,
    /// What was recorded, in order; without a chain.
    audit: Vec<AuditEntry>,
    /// What became of letters; its length is not kept up.
    deliveries: OutboxState,
}

fn id(kind: &str, name: &str) -> String {
    format!("{kind}/{name}")
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

impl State {
    pub fn new(cluster_uuid: &str, check_tokens: bool) -> State {
        State {
            check_tokens,
            revision: Revision { cluster_uuid: cluster_uuid.into(), ..Revision::default() },
            objects: BTreeMap::new(),
            history: VecDeque::new(),
            claims: BTreeMap::new(),
            evidence: BTreeMap::new(),
            secrets: BTreeMap::new(),
            leases: BTreeMap::from([(CONTROLLER_LEASE.to_string(), LeaseRow::default())]),
            observations: BTreeMap::new(),
            events: BTreeMap::new(),
            outbox_rule: None,
            letters: VecDeque::new(),
            audit: Vec::new(),
            deliveries: OutboxState::default(),
        }
    }

    // ---- writing ------------------------------------------------------------------------

    /// All of a transaction, or nothing.
    pub fn commit(&mut self, guard: Guard, now: Time, ops: Vec<Op>) -> StoreResult<Committed> {
        let (current, changes) = (self.revision.current, self.history.len());
        let mut undo = Vec::new();
        let mut done = Committed::default();
        let result = self.run(guard, now, ops, &mut done, &mut undo);
        if let Err(error) = result {
            for step in undo.into_iter().rev() {
                self.take_back(step);
            }
            self.history.truncate(changes);
            self.revision.current = current;
            return Err(error);
        }
        done.revision = self.revision.current;
        Ok(done)
    }

    fn run(&mut self, guard: Guard, now: Time, ops: Vec<Op>, done: &mut Committed, undo: &mut Vec<Undo>) -> StoreResult<()> {
        if let Guard::Lease(mine) = guard {
            let current = self.leases.get(CONTROLLER_LEASE).map_or(0, |l| l.token);
            if current != mine && self.check_tokens {
                return Err(StoreError::LeaseLost { mine, current });
            }
        }
        for op in ops {
            match op {
                Op::Create(object) => done.objects.push(self.create(object, undo)?),
                Op::Update { object, expected } => done.objects.push(self.update(object, expected, undo)?),
                Op::Delete { kind, name, expected } => self.delete(&kind, &name, expected, undo)?,
                Op::RequireNotFrozen => self.require_not_frozen()?,
                Op::TakeClaim(request) => self.take_claim(request, undo)?,
                Op::ReleaseClaim { host, owner_uid } => {
                    if self.claims.get(&host).is_some_and(|c| c.owner_uid == owner_uid) {
                        self.set_claim(host, None, undo);
                    }
                }
                Op::RequireClaim { host, owner_uid } => match self.claims.get(&host) {
                    Some(claim) if claim.owner_uid != owner_uid => return Err(StoreError::Claimed { host, owner: claim.owner.clone() }),
                    Some(_) => {}
                    None => return Err(StoreError::Conflict { what: format!("the claim on host {host}"), current: 0 }),
                },
                Op::RequireNoneOpen { kind, host } => {
                    if let Some(row) = self.rows(&kind).find(|r| r.open && r.host.as_deref() == Some(&host)) {
                        let current = row.object.metadata.revision();
                        return Err(StoreError::Conflict { what: row.object.id(), current });
                    }
                }
                Op::RequireVersion { kind, name, expected } => self.at_version(&kind, &name, expected).map(drop)?,
                Op::RequireUnwritten { kind, after, hosts } => {
                    let about_another = |r: &&Row| r.host.as_ref().is_none_or(|host| !hosts.contains(host));
                    if let Some(row) = self.rows(&kind).filter(about_another).find(|r| r.object.metadata.revision() > after) {
                        let current = row.object.metadata.revision();
                        return Err(StoreError::Conflict { what: row.object.id(), current });
                    }
                }
                Op::LimitOpen { step_prefix, host, max } => {
                    let here = |r: &&Row| r.open && host.as_ref().is_none_or(|h| r.host.as_ref() == Some(h));
                    let begins = |r: &Row| r.object.spec["step"].as_str().is_some_and(|s| s.starts_with(&step_prefix));
                    if count(self.rows("Operation").filter(here).filter(|r| begins(r)).count()) >= max {
                        return Err(StoreError::LimitReached { what: format!("{step_prefix} under way"), max });
                    }
                }
                Op::PutEvidence { host, expected, body } => {
                    let old = self.evidence.get(&host);
                    let current = old.map_or(0, |e| e.version);
                    if current != expected {
                        return Err(StoreError::Conflict { what: format!("the evidence about host {host}"), current });
                    }
                    let old = self.evidence.insert(host.clone(), Evidence { version: current + 1, body });
                    undo.push(Undo::Evidence(host, old));
                }
                Op::PutObservation(o) => {
                    let place = (o.host.clone(), o.channel.clone());
                    if o.host == NO_HOST || self.observations.get(&place).is_none_or(|known| known.observed_at < o.observed_at) {
                        let old = self.observations.insert(place.clone(), o);
                        undo.push(Undo::Observation(place, old));
                    }
                }
                Op::Tell(telling) => self.tell(&telling, now, undo)?,
                Op::Audit(entry) => {
                    self.audit.push(entry);
                    undo.push(Undo::Audit);
                }
                // There is no clock on what is kept here: it dies with the process.
                Op::PruneAudit { .. } => {}
                Op::PutSecret { name, data } => {
                    let old = self.secrets.insert(name.clone(), data);
                    undo.push(Undo::Secret(name, old));
                }
                Op::DeleteSecret { name } => {
                    let old = self.secrets.remove(&name);
                    undo.push(Undo::Secret(name, old));
                }
            }
        }
        Ok(())
    }

    fn take_back(&mut self, step: Undo) {
        fn put<K: Ord, T>(table: &mut BTreeMap<K, T>, key: K, old: Option<T>) {
            match old {
                Some(old) => drop(table.insert(key, old)),
                None => drop(table.remove(&key)),
            }
        }
        match step {
            Undo::Object(kind, name, old) => put(self.objects.entry(kind).or_default(), name, old.map(|b| *b)),
            Undo::Claim(host, old) => put(&mut self.claims, host, old),
            Undo::Evidence(host, old) => put(&mut self.evidence, host, old),
            Undo::Secret(name, old) => put(&mut self.secrets, name, old),
            Undo::Observation(place, old) => put(&mut self.observations, place, old),
            Undo::Event(name, old) => put(&mut self.events, name, old),
            Undo::Letter => drop(self.letters.pop_back()),
            Undo::Audit => drop(self.audit.pop()),
        }
    }

    /// One bump is one row of history.
    fn record(&mut self, op: ChangeOp, mut object: DynObject) -> DynObject {
        self.revision.current += 1;
        object.metadata.resource_version = self.revision.current.to_string();
        self.history.push_back(Change { revision: self.revision.current, op, object: object.clone() });
        object
    }

    fn put_row(&mut self, row: Row, undo: &mut Vec<Undo>) {
        let (kind, name) = (row.object.kind.clone(), row.object.metadata.name.clone());
        let old = self.objects.entry(kind.clone()).or_default().insert(name.clone(), row);
        undo.push(Undo::Object(kind, name, old.map(Box::new)));
    }

    fn create(&mut self, object: DynObject, undo: &mut Vec<Undo>) -> StoreResult<DynObject> {
        let uid = object.metadata.uid.clone();
        if self.get(&object.kind, &object.metadata.name).is_some() || self.get_by_uid(&uid).is_some() {
            return Err(StoreError::AlreadyExists(object.id()));
        }
        let object = self.record(ChangeOp::Added, object);
        self.put_row(Row::new(uid, object.clone()), undo);
        Ok(object)
    }

    fn at_version(&self, kind: &str, name: &str, expected: i64) -> StoreResult<&Row> {
        let row = self.objects.get(kind).and_then(|k| k.get(name)).ok_or_else(|| StoreError::NotFound(id(kind, name)))?;
        let current = row.object.metadata.revision();
        if current == expected { Ok(row) } else { Err(StoreError::Conflict { what: id(kind, name), current }) }
    }

    fn update(&mut self, object: DynObject, expected: i64, undo: &mut Vec<Undo>) -> StoreResult<DynObject> {
        let uid = self.at_version(&object.kind, &object.metadata.name, expected)?.uid.clone();
        let object = self.record(ChangeOp::Modified, object);
        self.put_row(Row::new(uid, object.clone()), undo);
        Ok(object)
    }

    fn delete(&mut self, kind: &str, name: &str, expected: i64, undo: &mut Vec<Undo>) -> StoreResult<()> {
        let object = self.at_version(kind, name, expected)?.object.clone();
        self.record(ChangeOp::Deleted, object);
        let old = self.objects.get_mut(kind).and_then(|k| k.remove(name));
        undo.push(Undo::Object(kind.into(), name.into(), old.map(Box::new)));
        Ok(())
    }

    fn require_not_frozen(&self) -> StoreResult<()> {
        let frozen = serde_json::to_value(Operations::Frozen).map_err(|e| StoreError::Corrupt(e.to_string()))?;
        match self.get("ClusterPolicy", "default") {
            Some(policy) if policy.spec["operations"] == frozen => Err(StoreError::Frozen),
            _ => Ok(()),
        }
    }

    fn set_claim(&mut self, host: String, claim: Option<ClaimRow>, undo: &mut Vec<Undo>) {
        let old = match claim {
            Some(claim) => self.claims.insert(host.clone(), claim),
            None => self.claims.remove(&host),
        };
        undo.push(Undo::Claim(host, old));
    }

    fn take_claim(&mut self, request: ClaimRequest, undo: &mut Vec<Undo>) -> StoreResult<()> {
        let ClaimRequest { host, owner, owner_uid, rank, purpose, max } = request;
        if let Some(held) = self.claims.get(&host) {
            if held.owner_uid == owner_uid && held.purpose == purpose {
                return Ok(());
            }
            if held.owner_uid != owner_uid && held.rank >= rank {
                return Err(StoreError::Claimed { owner: held.owner.clone(), host });
            }
        }
        let others = self.claims.values().filter(|c| c.host != host && c.purpose == purpose).count();
        if let Some(max) = max.filter(|max| count(others) >= *max) {
            return Err(StoreError::LimitReached { what: format!("hosts claimed for {purpose}"), max });
        }
        let claim = ClaimRow { host: host.clone(), owner, owner_uid, rank, purpose };
        self.set_claim(host, Some(claim), undo);
        Ok(())
    }

    // ---- reading ------------------------------------------------------------------------

    fn rows(&self, kind: &str) -> impl Iterator<Item = &Row> {
        self.objects.get(kind).into_iter().flat_map(|k| k.values())
    }

    pub fn get(&self, kind: &str, name: &str) -> Option<&DynObject> {
        self.objects.get(kind)?.get(name).map(|row| &row.object)
    }

    pub fn get_by_uid(&self, uid: &str) -> Option<&DynObject> {
        self.objects.values().flat_map(|k| k.values()).find(|r| r.uid == uid).map(|r| &r.object)
    }

    pub fn list(&self, kind: &str, q: &ListQuery) -> ListPage {
        let wanted = |r: &&Row| {
            q.after.as_ref().is_none_or(|after| r.object.metadata.name > *after)
                && (q.owner_uid.is_none() || r.owner_uid == q.owner_uid)
                && (q.host.is_none() || r.host == q.host)
                && (r.open || !q.open_only)
        };
        let limit = usize::try_from(q.limit).ok().filter(|l| *l > 0).unwrap_or(usize::MAX);
        let items: Vec<DynObject> = self.rows(kind).filter(wanted).take(limit).map(|r| r.object.clone()).collect();
        let total = self.rows(kind).filter(wanted).count();
        ListPage { remaining: count(total - items.len()), items, revision: self.revision.current }
    }

    pub fn changes_after(&self, after: i64, limit: i64) -> StoreResult<Vec<Change>> {
        if after < self.revision.compacted {
            return Err(StoreError::Compacted { asked: after, compacted: self.revision.compacted });
        }
        let from = self.history.partition_point(|c| c.revision <= after);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(self.history.range(from..).take(limit).cloned().collect())
    }

    /// Readers are told before rows go, and nothing goes that they were not told of.
    pub fn compact(&mut self, upto: i64) -> i64 {
        if upto > self.revision.compacted && upto <= self.revision.current {
            self.revision.compacted = upto;
        }
        let upto = upto.min(self.revision.compacted);
        let gone = self.history.partition_point(|c| c.revision <= upto).min(COMPACT_BATCH);
        self.history.drain(..gone);
        count(gone)
    }

    // ---- the lease ----------------------------------------------------------------------

    pub fn my_lease(&mut self, name: &str, holder: &str, token: i64) -> Option<&mut LeaseRow> {
        self.leases.get_mut(name).filter(|row| row.holder == holder && row.token == token)
    }

    pub fn lease_take(&mut self, name: &str, holder: &str, seen: &LeaseRow, duration_ms: i64, now: Time) -> StoreResult<Option<(LeaseRow, i64)>> {
        let row = self.leases.get_mut(name).ok_or_else(|| StoreError::Corrupt(format!("there is no lease {name}")))?;
        if (row.token, row.renew_seq) != (seen.token, seen.renew_seq) {
            return Ok(None);
        }
        *row = LeaseRow { holder: holder.into(), token: seen.token + 1, renew_seq: 0, duration_ms, acquired_at: now };
        let row = row.clone();
        self.record(ChangeOp::Modified, row.to_object(name, self.revision.current + 1));
        Ok(Some((row, self.revision.current)))
    }

    // ---- events -------------------------------------------------------------------------

    fn tell(&mut self, telling: &Telling, now: Time, undo: &mut Vec<Undo>) -> StoreResult<()> {
        let name = telling.series();
        let event = telling.event(self.event(&name), now);
        if self.outbox_rule.as_ref().is_some_and(|rule| rule.takes(telling)) {
            self.letters.push_back(telling.letter(&event, now)?);
            undo.push(Undo::Letter);
        }
        let old = self.events.insert(name.clone(), (now, telling.regarding_uid.clone(), event));
        undo.push(Undo::Event(name, old));
        Ok(())
    }

    /// What was recorded, in order.
    pub fn audit(&self) -> Vec<AuditEntry> {
        self.audit.clone()
    }

    pub fn letters(&self, limit: i64) -> Vec<Letter> {
        self.letters.iter().take(usize::try_from(limit).unwrap_or(usize::MAX)).cloned().collect()
    }

    pub fn settle_letter(&mut self, id: &str, fate: &Fate, now: Time) {
        let sums = &mut self.deliveries;
        if *fate == Fate::Delivered {
            sums.delivered += 1;
            sums.delivered_at = Some(now);
        } else {
            sums.failed_at = Some(now);
            sums.failure = fate.failure();
        }
        if matches!(fate, Fate::GivenUp(_)) {
            sums.given_up += 1;
            sums.lost_at = Some(now);
        }
        if !matches!(fate, Fate::Failed(_)) {
            // Hardly ever any other than the first.
            match self.letters.front() {
                Some(first) if first.id == id => drop(self.letters.pop_front()),
                _ => self.letters.retain(|letter| letter.id != id),
            }
        }
    }

    pub fn outbox(&self) -> OutboxState {
        OutboxState { length: count(self.letters.len()), oldest: self.letters.front().map(|l| l.created_at), ..self.deliveries.clone() }
    }

    pub fn trim_outbox(&mut self, keep: i64, before: Time, now: Time) -> i64 {
        let all = self.letters.len();
        let surplus = all.saturating_sub(usize::try_from(keep).unwrap_or(0));
        self.letters.drain(..surplus);
        self.letters.retain(|letter| letter.created_at >= before);
        let gone = count(all - self.letters.len());
        if gone > 0 {
            self.deliveries.dropped += gone;
            self.deliveries.lost_at = Some(now);
        }
        gone
    }

    pub fn events(&self, regarding_uid: Option<&str>, limit: i64) -> Vec<DynObject> {
        let mut found: Vec<_> = self.events.values().filter(|(_, uid, _)| regarding_uid.is_none_or(|u| u == uid)).collect();
        // They are in the order of their names, which decides among those of the same time.
        found.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
        found.into_iter().take(usize::try_from(limit).unwrap_or(usize::MAX)).map(|(.., event)| event.clone()).collect()
    }

    pub fn event(&self, name: &str) -> Option<&DynObject> {
        self.events.get(name).map(|(.., event)| event)
    }

    pub fn prune_observations(&mut self, before: Time) -> i64 {
        let all = self.observations.len();
        self.observations.retain(|_, o| o.received_at >= before);
        count(all - self.observations.len())
    }

    pub fn prune_events(&mut self, before: Time) -> i64 {
        let all = self.events.len();
        self.events.retain(|_, (at, ..)| *at >= before);
        self.letters.retain(|letter| letter.created_at >= before);
        count(all - self.events.len())
    }
}
