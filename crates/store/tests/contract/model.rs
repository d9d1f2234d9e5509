//! The same store in memory, as simply as it can be written.

use crate::at;
use schemas::DynObject;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use store::{Change, ChangeOp, ClaimRow, Evidence, Guard, LeaseRow, Op, StoreError};

#[derive(Clone, Debug, Default)]
pub struct Model {
    pub current: i64,
    pub compacted: i64,
    pub objects: BTreeMap<(String, String), DynObject>,
    pub changes: Vec<Change>,
    pub claims: BTreeMap<String, ClaimRow>,
    pub evidence: BTreeMap<String, Evidence>,
    pub secrets: BTreeMap<String, BTreeMap<String, String>>,
    pub lease: LeaseRow,
}

fn conflict(current: i64) -> StoreError {
    StoreError::Conflict { what: String::new(), current }
}

/// What of an error is compared: all but words.
pub fn bare(error: StoreError) -> StoreError {
    use StoreError::*;
    match error {
        Conflict { current, .. } => conflict(current),
        AlreadyExists(_) => AlreadyExists(String::new()),
        NotFound(_) => NotFound(String::new()),
        LimitReached { max, .. } => LimitReached { what: String::new(), max },
        other => other,
    }
}

impl Model {
    fn is_open(o: &DynObject) -> bool {
        match o.kind.as_str() {
            "Operation" => ["Issued", "Accepted", "Unknown"].contains(&o.status["state"].as_str().unwrap_or("Issued")),
            "HostOperation" | "Evacuation" => !o.status["finishedAt"].is_string(),
            _ => false,
        }
    }

    fn host_of(o: &DynObject) -> Option<&str> {
        o.spec["host"].as_str().or(o.spec["hostRef"]["name"].as_str())
    }

    fn write(&mut self, op: ChangeOp, mut object: DynObject) -> DynObject {
        self.current += 1;
        object.metadata.resource_version = self.current.to_string();
        let key = (object.kind.clone(), object.metadata.name.clone());
        match op {
            ChangeOp::Deleted => drop(self.objects.remove(&key)),
            _ => drop(self.objects.insert(key, object.clone())),
        }
        self.changes.push(Change { revision: self.current, op, object: object.clone() });
        object
    }

    fn at_version(&self, kind: &str, name: &str, expected: i64) -> Result<DynObject, StoreError> {
        let found = self.objects.get(&(kind.to_string(), name.to_string())).ok_or(StoreError::NotFound(String::new()))?;
        let current = found.metadata.revision();
        if current == expected { Ok(found.clone()) } else { Err(conflict(current)) }
    }

    /// All of a transaction or nothing.
    pub fn commit(&mut self, guard: Guard, ops: &[Op]) -> Result<Vec<DynObject>, StoreError> {
        let before = self.clone();
        let done = self.run(guard, ops);
        if done.is_err() {
            *self = before;
        }
        done
    }

    fn run(&mut self, guard: Guard, ops: &[Op]) -> Result<Vec<DynObject>, StoreError> {
        if let Guard::Lease(mine) = guard
            && mine != self.lease.token
        {
            return Err(StoreError::LeaseLost { mine, current: self.lease.token });
        }
        let mut written = Vec::new();
        for op in ops {
            match op {
                Op::Create(o) => {
                    if self.objects.contains_key(&(o.kind.clone(), o.metadata.name.clone())) {
                        return Err(StoreError::AlreadyExists(String::new()));
                    }
                    written.push(self.write(ChangeOp::Added, o.clone()));
                }
                Op::Update { object, expected } => {
                    self.at_version(&object.kind, &object.metadata.name, *expected)?;
                    written.push(self.write(ChangeOp::Modified, object.clone()));
                }
                Op::Delete { kind, name, expected } => {
                    let object = self.at_version(kind, name, *expected)?;
                    self.write(ChangeOp::Deleted, object);
                }
                Op::RequireNotFrozen => {
                    let policy = self.objects.get(&("ClusterPolicy".to_string(), "default".to_string()));
                    if policy.is_some_and(|p| p.spec["operations"] == json!("Frozen")) {
                        return Err(StoreError::Frozen);
                    }
                }
                Op::TakeClaim(r) => {
                    let held = self.claims.get(&r.host);
                    if held.is_some_and(|c| c.owner_uid == r.owner_uid && c.purpose == r.purpose) {
                        continue;
                    }
                    if let Some(c) = held.filter(|c| c.owner_uid != r.owner_uid && c.rank >= r.rank) {
                        return Err(StoreError::Claimed { host: r.host.clone(), owner: c.owner.clone() });
                    }
                    let others = self.claims.iter().filter(|(h, c)| **h != r.host && c.purpose == r.purpose).count() as i64;
                    if let Some(max) = r.max.filter(|max| others >= *max) {
                        return Err(StoreError::LimitReached { what: String::new(), max });
                    }
                    let row = ClaimRow { host: r.host.clone(), owner: r.owner.clone(), owner_uid: r.owner_uid.clone(), rank: r.rank, purpose: r.purpose.clone() };
                    self.claims.insert(r.host.clone(), row);
                }
                Op::ReleaseClaim { host, owner_uid } => self.claims.retain(|h, c| !(h == host && c.owner_uid == *owner_uid)),
                Op::RequireClaim { host, owner_uid } => match self.claims.get(host) {
                    Some(c) if c.owner_uid != *owner_uid => return Err(StoreError::Claimed { host: host.clone(), owner: c.owner.clone() }),
                    Some(_) => {}
                    None => return Err(conflict(0)),
                },
                Op::RequireNoneOpen { kind, host } => {
                    let open = self.objects.values().find(|o| o.kind == *kind && Self::host_of(o) == Some(host) && Self::is_open(o));
                    if let Some(open) = open {
                        return Err(conflict(open.metadata.revision()));
                    }
                }
                Op::LimitOpen { step_prefix, host, max } => {
                    let counts = |o: &&DynObject| {
                        let here = host.is_none() || Self::host_of(o) == host.as_deref();
                        o.kind == "Operation" && here && Self::is_open(o) && o.spec["step"].as_str().is_some_and(|s| s.starts_with(step_prefix))
                    };
                    if self.objects.values().filter(counts).count() as i64 >= *max {
                        return Err(StoreError::LimitReached { what: String::new(), max: *max });
                    }
                }
                Op::PutEvidence { host, expected, body } => {
                    let current = self.evidence.get(host).map_or(0, |e| e.version);
                    if current != *expected {
                        return Err(conflict(current));
                    }
                    self.evidence.insert(host.clone(), Evidence { version: current + 1, body: body.clone() });
                }
                Op::PutSecret { name, data } => {
                    use secrecy::ExposeSecret;
                    let plain = data.iter().map(|(k, v)| (k.clone(), v.expose_secret().to_string())).collect();
                    self.secrets.insert(name.clone(), plain);
                }
                Op::DeleteSecret { name } => drop(self.secrets.remove(name)),
            }
        }
        Ok(written)
    }

    pub fn take(&mut self, holder: &str, seen: &LeaseRow, duration_ms: i64, seconds: i64) -> bool {
        if (seen.token, seen.renew_seq) != (self.lease.token, self.lease.renew_seq) {
            return false;
        }
        self.lease = LeaseRow { holder: holder.into(), token: seen.token + 1, renew_seq: 0, duration_ms, acquired_at: at(seconds) };
        self.current += 1;
        self.changes.push(Change { revision: self.current, op: ChangeOp::Modified, object: self.lease.to_object("controller", self.current) });
        true
    }

    pub fn renew(&mut self, holder: &str, token: i64) -> bool {
        let mine = self.lease.holder == holder && self.lease.token == token;
        self.lease.renew_seq += i64::from(mine);
        mine
    }

    pub fn release(&mut self, holder: &str, token: i64) {
        if self.lease.holder == holder && self.lease.token == token {
            self.lease.holder.clear();
            self.lease.renew_seq += 1;
        }
    }

    pub fn compact(&mut self, upto: i64) {
        if upto <= self.current && upto > self.compacted {
            self.compacted = upto;
        }
    }

    pub fn body(&self, host: &str) -> Value {
        self.evidence.get(host).map_or(Value::Null, |e| e.body.clone())
    }
}
