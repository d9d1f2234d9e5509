//! The audit: who did what, kept as a chain. Each record's code is made with a key over its content and the code of the record
//! before, so that one that was changed, removed or moved is found ([`AuditReport`]). Off the revision counter.
//!
//! **The order.** A chain needs every writer to know the last record. Records are written by [`crate::Op::Audit`] alone, at the
//! end of a transaction, and every transaction begins by taking the one `revision` row: of two that run at the same time the
//! second waits until the first has ended, on SQLite by the lock on the file, on PostgreSQL and MySQL by the lock on the row,
//! and on Galera, where both go on, one of them is turned down at its commit and runs again. All sessions read what was
//! committed (`READ COMMITTED`), so what is read after the row was taken is the end of the chain. A process that wrote the
//! newest record knows that end without reading: it writes onto what it remembers only if that is still there.
//!
//! **What it does not show.** Whoever can write to the database and holds the key can make another chain. Whoever can write to
//! it without the key can only put back an older state of all of it: compare with a copy elsewhere (`api.audit_file`).

use crate::{StoreError, StoreResult, keys::KeyRing};
use async_trait::async_trait;
use hmac::{Hmac, KeyInit, Mac};
use schemas::Time;
use serde_json::Value;
use sha2::Sha256;
use std::sync::{Mutex, PoisonError};
use zeroize::Zeroizing;

/// Findings that one report holds.
const MOST_FINDINGS: usize = 100;
/// Bytes of the texts that records are found by; longer ones are cut.
const MOST_KEY: usize = 400;

/// One thing that somebody did, or was kept from doing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AuditEntry {
    /// CADF action: `create`, `update`, `delete`, `read`, `update/evacuate`, …
    pub action: String,
    /// `success`, `failure`, `pending` or `unknown`.
    pub outcome: String,
    /// `Kind/name` of what it was done to.
    pub target: String,
    /// Its uid; may be empty.
    pub target_uid: String,
    /// The host it is about; may be empty.
    pub host: String,
    /// Id of the user, or name of the controller.
    pub initiator: String,
    /// A user or a service by the API; else this program on its own.
    pub by_user: bool,
    /// `Kind/name` and uid of the object on whose behalf it was done: the newest record of a user about it becomes `onBehalfOf`.
    pub cause: Option<(String, String)>,
    /// Name of the PowerLink that is acted through: the record is then of its PowerDevice, if the link is there.
    pub link: Option<String>,
    /// The rest of the CADF record, a JSON object.
    pub body: Value,
}

/// A record as it is kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AuditRow {
    /// Its place, from 1, without gaps.
    pub seq: i64,
    /// Its id.
    pub id: String,
    /// When, by the clock of who wrote it.
    pub at: Time,
    /// As in [`AuditEntry`].
    pub action: String,
    /// As in [`AuditEntry`].
    pub outcome: String,
    /// As in [`AuditEntry`].
    pub target: String,
    /// As in [`AuditEntry`].
    pub target_uid: String,
    /// As in [`AuditEntry`].
    pub host: String,
    /// As in [`AuditEntry`].
    pub initiator: String,
    /// As in [`AuditEntry`].
    pub by_user: bool,
    /// The CADF record as JSON text.
    pub body: String,
    /// Id of the key that `mac` was made with.
    pub key_id: String,
    /// `mac` of the record before; empty for the first.
    pub previous: String,
    /// HMAC-SHA256 over all of the above, in hexadecimal digits.
    pub mac: String,
}

/// Which records to read.
#[derive(Clone, Debug, Default)]
pub struct AuditQuery {
    /// Places after this one; with `newest_first` before it, and 0 is the end.
    pub after: i64,
    /// At most so many.
    pub limit: i64,
    /// The newest first.
    pub newest_first: bool,
    /// About this `Kind/name`; a host also as what others are about.
    pub target: Option<String>,
    /// Of this initiator.
    pub initiator: Option<String>,
    /// Of this action.
    pub action: Option<String>,
    /// With this outcome.
    pub outcome: Option<String>,
}

/// Ends of the chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditChain {
    /// Place of the newest record; 0: there never was one.
    pub last_seq: i64,
    /// Its code.
    pub last_mac: String,
    /// Records up to this place were removed for their age.
    pub anchor_seq: i64,
    /// Code of the last of them.
    pub anchor_mac: String,
    /// Id of the key that `seal` was made with; empty: nothing was sealed yet.
    pub key_id: String,
    /// HMAC-SHA256 over all of the above.
    pub seal: String,
}

/// Something that is wrong with the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditFinding {
    /// At which place.
    pub seq: i64,
    /// What, and what to do.
    pub what: String,
}

/// What a look at the whole chain found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditReport {
    /// Records that were looked at.
    pub records: i64,
    /// The ends that they were compared with.
    pub chain: AuditChain,
    /// What is wrong; at most a hundred.
    pub findings: Vec<AuditFinding>,
}

/// The audit of a database. Records are written by [`crate::Op::Audit`] and removed by [`crate::Op::PruneAudit`].
#[async_trait]
pub trait AuditLog: Send + Sync + 'static {
    /// Records in the order of their places.
    async fn audit_records(&self, query: AuditQuery) -> StoreResult<Vec<AuditRow>>;

    /// Ends of the chain.
    async fn audit_chain(&self) -> StoreResult<AuditChain>;

    /// Looks at the whole chain.
    async fn audit_verify(&self) -> StoreResult<AuditReport>;
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// A code over texts; each is preceded by its length, so that they cannot run into each other.
fn code(key: &[u8; 32], parts: &[&[u8]]) -> StoreResult<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|e| StoreError::Key(e.to_string()))?;
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    Ok(hex(&mac.finalize().into_bytes()))
}

/// The key of the audit, made from one that seals Credentials: one file to keep, and two uses that tell nothing of each other.
pub(crate) fn derived(key: &[u8; 32]) -> StoreResult<Zeroizing<[u8; 32]>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|e| StoreError::Key(e.to_string()))?;
    mac.update(b"cloud-manager audit chain, version 1");
    Ok(Zeroizing::new(mac.finalize().into_bytes().into()))
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(MOST_KEY);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    // What is found by must be one line, whoever wrote it.
    text[..end].chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl AuditRow {
    /// An entry at its place in the chain.
    pub(crate) fn new(entry: AuditEntry, seq: i64, previous: &str, at: Time, key_id: &str, key: &[u8; 32]) -> StoreResult<AuditRow> {
        let mut body = entry.body;
        let id = uuid::Uuid::new_v4().to_string();
        body["id"] = id.as_str().into();
        body["eventTime"] = at.to_string().into();
        let mut row = AuditRow {
            seq,
            id,
            at,
            action: cut(&entry.action),
            outcome: cut(&entry.outcome),
            target: cut(&entry.target),
            target_uid: cut(&entry.target_uid),
            host: cut(&entry.host),
            initiator: cut(&entry.initiator),
            by_user: entry.by_user,
            body: body.to_string(),
            key_id: key_id.into(),
            previous: previous.into(),
            mac: String::new(),
        };
        row.mac = row.code_at(seq, key)?;
        Ok(row)
    }

    /// What its code would be at a place.
    fn code_at(&self, seq: i64, key: &[u8; 32]) -> StoreResult<String> {
        let texts = [&self.id, &self.action, &self.outcome, &self.target, &self.target_uid, &self.host, &self.initiator, &self.body];
        let ends = [&self.key_id, &self.previous];
        let (seq, at) = (seq.to_be_bytes(), self.at.0.to_be_bytes());
        let by: &[u8] = if self.by_user { b"user" } else { b"self" };
        let mut parts = vec![&seq[..], &at[..], by];
        parts.extend(texts.into_iter().chain(ends).map(|t| t.as_bytes()));
        code(key, &parts)
    }
}

impl AuditChain {
    /// The ends with these records behind the newest, and the records at their places.
    pub(crate) fn extended(&self, entries: &[AuditEntry], now: Time, key_id: &str, key: &[u8; 32]) -> StoreResult<(AuditChain, Vec<AuditRow>)> {
        let (mut chain, mut rows) = (self.clone(), Vec::with_capacity(entries.len()));
        for entry in entries {
            let row = AuditRow::new(entry.clone(), chain.last_seq + 1, &chain.last_mac, now, key_id, key)?;
            (chain.last_seq, chain.last_mac) = (row.seq, row.mac.clone());
            rows.push(row);
        }
        Ok((chain.sealed(key_id, key)?, rows))
    }

    /// The same with its seal.
    pub(crate) fn sealed(mut self, key_id: &str, key: &[u8; 32]) -> StoreResult<AuditChain> {
        self.key_id = key_id.into();
        self.seal = self.code(key)?;
        Ok(self)
    }

    fn code(&self, key: &[u8; 32]) -> StoreResult<String> {
        let (last, anchor) = (self.last_seq.to_be_bytes(), self.anchor_seq.to_be_bytes());
        code(key, &[b"ends", &last, self.last_mac.as_bytes(), &anchor, self.anchor_mac.as_bytes(), self.key_id.as_bytes()])
    }
}

/// The end of the chain as this process left it, or found it. It may be old, or of a transaction that was rolled back: nothing is
/// written by it unless the database still has the same ([`AuditChain::seal`]).
#[derive(Debug, Default)]
pub(crate) struct Remembered(Mutex<Option<AuditChain>>);

impl Remembered {
    pub fn get(&self) -> Option<AuditChain> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set(&self, chain: AuditChain) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(chain);
    }
}

/// Looks at records one after the other.
pub(crate) struct Verifier<'a> {
    keys: &'a KeyRing,
    chain: AuditChain,
    /// Place and code of the record before.
    before: (i64, String),
    records: i64,
    findings: Vec<AuditFinding>,
}

impl<'a> Verifier<'a> {
    pub fn new(keys: &'a KeyRing, chain: AuditChain) -> StoreResult<Self> {
        let before = (chain.anchor_seq, chain.anchor_mac.clone());
        let mut verifier = Verifier { keys, chain, before, records: 0, findings: Vec::new() };
        verifier.look_at_ends()?;
        Ok(verifier)
    }

    fn find(&mut self, seq: i64, what: impl Into<String>) {
        if self.findings.len() < MOST_FINDINGS {
            self.findings.push(AuditFinding { seq, what: what.into() });
        }
    }

    fn look_at_ends(&mut self) -> StoreResult<()> {
        let chain = self.chain.clone();
        if chain == AuditChain::default() {
            return Ok(());
        }
        match self.keys.audit_key_of(&chain.key_id) {
            Ok(key) if chain.code(&key)? == chain.seal => {}
            Ok(_) => self.find(chain.last_seq, "the row of the chain's ends was changed: what was removed at either end cannot be told"),
            Err(error) => self.find(chain.last_seq, error.to_string()),
        }
        Ok(())
    }

    /// The next record, in the order of their places.
    pub fn look(&mut self, row: &AuditRow) -> StoreResult<()> {
        self.records += 1;
        let (seq, code) = self.before.clone();
        if row.seq > seq + 1 {
            self.find(
                seq + 1,
                if row.seq == seq + 2 {
                    "the record is gone: it was removed".into()
                } else {
                    format!("the records up to {} are gone: they were removed", row.seq - 1)
                },
            );
        }
        match self.keys.audit_key_of(&row.key_id) {
            Ok(key) if row.code_at(row.seq, &key)? == row.mac => {
                // It is as it was written; so is what it says of the one before.
                if row.seq == seq + 1 && row.previous != code {
                    self.find(row.seq, "it follows another record than the one before it: that one was changed or put in its place");
                }
            }
            Ok(key) => {
                let mut elsewhere = None;
                // Enough were found to know: a search for each of a million would not end.
                let near = if self.findings.len() < MOST_FINDINGS { 1_000 } else { 0 };
                for place in (row.seq - near).max(1)..=row.seq + near {
                    if place != row.seq && row.code_at(place, &key)? == row.mac {
                        elsewhere = Some(place);
                    }
                }
                match elsewhere {
                    Some(place) => self.find(row.seq, format!("the order was changed: this is record {place}, moved here")),
                    None => self.find(row.seq, "it was changed after it was written"),
                }
            }
            Err(error) => self.find(row.seq, error.to_string()),
        }
        self.before = (row.seq, row.mac.clone());
        Ok(())
    }

    /// All were looked at.
    pub fn end(mut self) -> AuditReport {
        let (seq, code) = self.before.clone();
        if seq < self.chain.last_seq {
            self.find(seq + 1, format!("the records up to {}, the newest, are gone: they were removed", self.chain.last_seq));
        } else if seq == self.chain.last_seq && code != self.chain.last_mac {
            self.find(seq, "it is not the record that was the newest when the chain's ends were written");
        }
        AuditReport { records: self.records, chain: self.chain, findings: self.findings }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn keys() -> KeyRing {
        KeyRing::parse(&format!("k:{}", "ab".repeat(32))).unwrap()
    }

    fn chain_of(n: i64) -> (Vec<AuditRow>, AuditChain) {
        let (id, key) = keys().audit_key().unwrap();
        let mut rows: Vec<AuditRow> = Vec::new();
        for seq in 1..=n {
            let entry = AuditEntry { action: "update".into(), target: format!("Host/c{seq}"), body: json!({"n": seq}), ..AuditEntry::default() };
            let previous = rows.last().map_or(String::new(), |r| r.mac.clone());
            rows.push(AuditRow::new(entry, seq, &previous, Time(seq), &id, &key).unwrap());
        }
        let last_mac = rows.last().map_or(String::new(), |r| r.mac.clone());
        let chain = AuditChain { last_seq: n, last_mac, ..AuditChain::default() }.sealed(&id, &key).unwrap();
        (rows, chain)
    }

    fn found(rows: &[AuditRow], chain: &AuditChain) -> Vec<(i64, String)> {
        let keys = keys();
        let mut verifier = Verifier::new(&keys, chain.clone()).unwrap();
        rows.iter().for_each(|row| verifier.look(row).unwrap());
        verifier.end().findings.into_iter().map(|f| (f.seq, f.what)).collect()
    }

    #[test]
    fn a_chain_as_it_was_written_has_no_findings() {
        for n in [0, 1, 5] {
            let (rows, chain) = chain_of(n);
            assert_eq!(found(&rows, &chain), [], "{n}");
        }
        assert_eq!(found(&[], &AuditChain::default()), []);
    }

    #[test]
    fn any_field_that_was_changed_is_found_at_its_record_alone() {
        let changes: [fn(&mut AuditRow); 9] = [
            |r| r.body = "{}".into(),
            |r| r.action = "read".into(),
            |r| r.outcome = "success".into(),
            |r| r.target = "Host/other".into(),
            |r| r.initiator = "nobody".into(),
            |r| r.at = Time(99),
            |r| r.by_user = true,
            |r| r.previous = "00".into(),
            |r| r.host = "x".into(),
        ];
        for change in changes {
            let (mut rows, chain) = chain_of(5);
            change(&mut rows[2]);
            assert_eq!(found(&rows, &chain), [(3, "it was changed after it was written".into())]);
        }
    }

    #[test]
    fn removed_records_are_found_at_the_beginning_in_the_middle_and_at_the_end() {
        let (rows, chain) = chain_of(5);
        let without = |gone: &[i64]| rows.iter().filter(|r| !gone.contains(&r.seq)).cloned().collect::<Vec<_>>();
        assert_eq!(found(&without(&[3]), &chain), [(3, "the record is gone: it was removed".into())]);
        assert_eq!(found(&without(&[1, 2]), &chain), [(1, "the records up to 2 are gone: they were removed".into())]);
        assert_eq!(found(&without(&[5]), &chain), [(5, "the records up to 5, the newest, are gone: they were removed".into())]);
        assert_eq!(found(&[], &chain), [(1, "the records up to 5, the newest, are gone: they were removed".into())]);
        // The ends set back as well: their seal does not fit.
        let older = AuditChain { last_seq: 4, last_mac: rows[3].mac.clone(), ..chain.clone() };
        let told = found(&without(&[5]), &older);
        assert!(told.len() == 1 && told[0].1.contains("the chain's ends was changed"), "{told:?}");
    }

    #[test]
    fn records_that_changed_places_are_found_and_named() {
        let (mut rows, chain) = chain_of(5);
        rows[1].seq = 4;
        rows[3].seq = 2;
        rows.sort_by_key(|r| r.seq);
        let told = found(&rows, &chain);
        assert!(told.contains(&(2, "the order was changed: this is record 4, moved here".into())), "{told:?}");
        assert!(told.contains(&(4, "the order was changed: this is record 2, moved here".into())), "{told:?}");
    }

    #[test]
    fn a_record_made_anew_with_the_key_is_found_by_the_one_after_it() {
        let (mut rows, chain) = chain_of(5);
        let (id, key) = keys().audit_key().unwrap();
        let entry = AuditEntry { action: "read".into(), body: json!({}), ..AuditEntry::default() };
        rows[2] = AuditRow::new(entry, 3, &rows[1].mac.clone(), Time(3), &id, &key).unwrap();
        let told = found(&rows, &chain);
        assert_eq!(told.iter().map(|f| f.0).collect::<Vec<_>>(), [4], "{told:?}");
    }

    #[test]
    fn a_missing_key_is_named_and_what_is_found_by_is_one_short_line() {
        let (rows, chain) = chain_of(1);
        let other = KeyRing::parse(&format!("z:{}", "cd".repeat(32))).unwrap();
        let mut verifier = Verifier::new(&other, chain).unwrap();
        verifier.look(&rows[0]).unwrap();
        let told = verifier.end().findings;
        assert!(told.iter().all(|f| f.what.contains("\"k\"")) && told.len() == 2, "{told:?}");
        assert_eq!(cut("a\nb\u{7}"), "a b ");
        assert!(cut(&"ä".repeat(500)).len() <= MOST_KEY);
    }
}
