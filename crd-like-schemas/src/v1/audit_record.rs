//! AuditRecord: who did what, as a CADF record in a chain. Read-only.

use crate::{API_VERSION, DynObject, Kind, Object, ObjectMeta, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The kind AuditRecord.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditRecord;

/// Who did what.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AuditRecordSpec {
    /// Place in the chain, from 1, without gaps.
    pub sequence: i64,
    /// When, by the clock of who wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
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
    /// The CADF record.
    pub record: Value,
    /// Id of the key that `mac` was made with.
    pub key_id: String,
    /// `mac` of the record before.
    pub previous: String,
    /// HMAC-SHA256 over all of this, in hexadecimal digits.
    pub mac: String,
}

/// Empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AuditRecordStatus {}

impl Kind for AuditRecord {
    const KIND: &'static str = "AuditRecord";
    const PLURAL: &'static str = "auditrecords";
    type Spec = AuditRecordSpec;
    type Status = AuditRecordStatus;
}

impl AuditRecord {
    /// Name of the record at a place; names are in the order of places.
    pub fn name(sequence: i64) -> String {
        format!("ar-{sequence:012}")
    }

    /// The place of the record of this name.
    pub fn sequence(name: &str) -> Option<i64> {
        let digits = name.strip_prefix("ar-")?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
    }

    /// A record as an object; it belongs to the history at `revision`.
    pub fn object(spec: AuditRecordSpec, uid: String, revision: i64) -> DynObject {
        let metadata = ObjectMeta {
            uid,
            generation: 1,
            creation_timestamp: spec.at,
            resource_version: revision.to_string(),
            ..ObjectMeta::named(AuditRecord::name(spec.sequence))
        };
        Object::<AuditRecord> { metadata, spec, status: AuditRecordStatus {} }.to_dyn()
    }

    /// A record as one line of JSON: the CADF record, and its place in the chain.
    pub fn line(sequence: i64, record: &str, key_id: &str, previous: &str, mac: &str) -> String {
        let record: Value = serde_json::from_str(record).unwrap_or_else(|_| Value::String(record.into()));
        json!({"apiVersion": API_VERSION, "sequence": sequence, "record": record, "keyId": key_id, "previous": previous, "mac": mac}).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_the_order_of_places_and_lead_back_to_them() {
        let names: Vec<String> = [1, 9, 10, 99_999, 123_456_789].map(AuditRecord::name).into();
        assert!(names.is_sorted());
        assert_eq!(AuditRecord::sequence(&names[4]), Some(123_456_789));
        for none in ["", "ar-", "ar-x", "ar--1", "x-1", "ar-99999999999999999999"] {
            assert_eq!(AuditRecord::sequence(none), None, "{none}");
        }
    }
}
