//! THE table of kinds: how each is named, checked and printed.

use crate::{DynObject, FieldError, Kind, object::decode, v1};
use schemars::generate::SchemaSettings;
use serde_json::Value;

/// How a cell of a table is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// The value at a JSON pointer.
    At(&'static str),
    /// The status of a condition.
    Condition(&'static str),
    /// The reason of a condition.
    Reason(&'static str),
    /// How long ago the object was made.
    Age,
}

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Upper-case heading.
    pub name: &'static str,
    /// Where it comes from.
    pub cell: Cell,
    /// Only with `-o wide`.
    pub wide: bool,
}

/// Everything generic code needs to know about a kind.
pub struct KindInfo {
    /// CamelCase name.
    pub kind: &'static str,
    /// Lower-case plural.
    pub plural: &'static str,
    /// Short names for the command line.
    pub short: &'static [&'static str],
    /// Job-like: immutable spec, ends with `Succeeded`.
    pub one_shot: bool,
    /// Written by controllers only.
    pub read_only: bool,
    /// Its columns after NAME.
    pub columns: &'static [Column],
    /// Fills in defaults and checks a spec from a client.
    pub normalise: fn(&str, &Value) -> Result<Value, Vec<FieldError>>,
    /// Checks a change between two normalised specs.
    pub check_update: fn(&Value, &Value) -> Vec<FieldError>,
    /// JSON Schema (2020-12) of the whole object.
    pub schema: fn() -> Value,
}

const fn col(name: &'static str, cell: Cell) -> Column {
    Column { name, cell, wide: false }
}

const fn wide(name: &'static str, cell: Cell) -> Column {
    Column { name, cell, wide: true }
}

fn normalise<K: Kind>(name: &str, spec: &Value) -> Result<Value, Vec<FieldError>> {
    let typed: K::Spec = decode("spec", spec).map_err(|e| vec![e])?;
    let errors = K::validate(name, &typed);
    if !errors.is_empty() {
        return Err(errors);
    }
    serde_json::to_value(&typed).map_err(|e| vec![FieldError::invalid("spec", e.to_string())])
}

fn check_update<K: Kind>(old: &Value, new: &Value) -> Vec<FieldError> {
    match (decode::<K::Spec>("spec", old), decode::<K::Spec>("spec", new)) {
        (Ok(old), Ok(new)) => K::validate_update(&old, &new),
        (_, Err(e)) => vec![e],
        // What is stored does not decode: the new spec mends it.
        (Err(_), Ok(_)) => Vec::new(),
    }
}

fn said(mut schema: schemars::Schema, words: &str) -> schemars::Schema {
    schema.insert("description".into(), words.into());
    schema
}

fn schema<K: Kind>() -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let spec = generator.subschema_for::<K::Spec>();
    let status = generator.subschema_for::<K::Status>();
    let metadata = generator.subschema_for::<crate::ObjectMeta>();
    serde_json::json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": K::KIND,
        "type": "object",
        "additionalProperties": false,
        "required": ["apiVersion", "kind", "metadata"],
        "properties": {
            "apiVersion": {"const": crate::API_VERSION, "description": "Version of the object."},
            "kind": {"const": K::KIND, "description": "Kind of the object."},
            "metadata": said(metadata, "What it is called, and what else holds for objects of every kind."),
            "spec": said(spec, "What is declared."),
            "status": said(status, "What was observed; the controller writes it."),
        },
        "$defs": generator.take_definitions(true),
    })
}

macro_rules! kind {
    ($kind:ty, $short:expr, one_shot: $one_shot:expr, read_only: $read_only:expr, $columns:expr) => {
        KindInfo {
            kind: <$kind as Kind>::KIND,
            plural: <$kind as Kind>::PLURAL,
            short: $short,
            one_shot: $one_shot,
            read_only: $read_only,
            columns: $columns,
            normalise: normalise::<$kind>,
            check_update: check_update::<$kind>,
            schema: schema::<$kind>,
        }
    };
}

/// All kinds.
pub static KINDS: &[KindInfo] = &[
    kind!(v1::Host, &["ho", "host"], one_shot: false, read_only: false, &[
        col("READY", Cell::Condition("Ready")),
        col("REASON", Cell::Reason("Ready")),
        col("POWER", Cell::At("/status/power/state")),
        col("NOVA", Cell::At("/status/nova/state")),
        col("SCHEDULING", Cell::At("/status/nova/status")),
        col("FENCED", Cell::Condition("Fenced")),
        col("GUESTS", Cell::At("/status/guests/total")),
        wide("RUNNING", Cell::At("/status/guests/running")),
        wide("AVAILABILITY", Cell::At("/status/availability/state")),
        wide("DOMAIN", Cell::At("/spec/failureDomain")),
        wide("LIVENESS", Cell::At("/status/nova/liveness")),
        wide("WANT", Cell::At("/spec/power")),
        wide("EPOCH", Cell::At("/status/epoch")),
        wide("STANDBY", Cell::At("/status/standby/pool")),
        wide("CLAIM", Cell::At("/status/claim/owner")),
        col("AGE", Cell::Age),
    ]),
    kind!(v1::PowerDevice, &["pd", "powerdevice"], one_shot: false, read_only: false, &[
        col("TYPE", Cell::At("/spec/type")),
        col("PROTOCOL", Cell::At("/spec/protocol")),
        col("ENDPOINT", Cell::At("/spec/endpoint/host")),
        col("REACHABLE", Cell::Condition("Reachable")),
        wide("REASON", Cell::Reason("Reachable")),
        wide("CREDENTIAL", Cell::At("/spec/credentialRef/name")),
        col("AGE", Cell::Age),
    ]),
    kind!(v1::PowerLink, &["pl", "powerlink"], one_shot: false, read_only: false, &[
        col("HOST", Cell::At("/spec/hostRef/name")),
        col("DEVICE", Cell::At("/spec/deviceRef/name")),
        col("PORT", Cell::At("/spec/port")),
        col("STATE", Cell::At("/status/state")),
        col("VERIFIED", Cell::Condition("Verified")),
        wide("REASON", Cell::Reason("Verified")),
        wide("ROLE", Cell::At("/spec/role")),
        col("AGE", Cell::Age),
    ]),
    kind!(v1::Credential, &["credential", "cred"], one_shot: false, read_only: false, &[
        col("SOURCE", Cell::At("/spec/source")),
        col("FINGERPRINT", Cell::At("/status/fingerprint")),
        col("AGE", Cell::Age),
    ]),
    kind!(v1::ClusterPolicy, &["clusterpolicy", "cp"], one_shot: false, read_only: false, &[
        col("OPERATIONS", Cell::At("/spec/operations")),
        col("DISKS", Cell::At("/spec/guestDisks")),
        col("PAUSED", Cell::Condition("Paused")),
        col("AGE", Cell::Age),
    ]),
    kind!(v1::RemediationPolicy, &["rp", "remediationpolicy"], one_shot: false, read_only: false, &[
        col("LIMIT", Cell::At("/spec/limits/maxDownHosts")),
        col("HOSTS", Cell::At("/status/covered")),
        col("DOWN", Cell::At("/status/unhealthy")),
        col("ALLOWED", Cell::Condition("RemediationAllowed")),
        col("REASON", Cell::Reason("RemediationAllowed")),
        wide("BEGUN", Cell::At("/status/begun")),
        wide("SELECTOR", Cell::At("/spec/selector")),
        col("AGE", Cell::Age),
    ]),
    kind!(v1::GuestPolicy, &["gp", "guestpolicy"], one_shot: false, read_only: false, &[
        col("PRIORITY", Cell::At("/spec/priority")),
        col("PAUSE", Cell::At("/spec/evacuationTimeSeconds")),
        col("OWNER", Cell::At("/spec/owner")),
        col("TARGET", Cell::At("/spec/targetState")),
        col("GUESTS", Cell::At("/status/matched")),
        col("READY", Cell::Condition("Ready")),
        col("AGE", Cell::Age),
    ]),
    kind!(v1::FailureDomain, &["fd", "failuredomain"], one_shot: false, read_only: false, &[
        col("TYPE", Cell::At("/spec/type")),
        col("PARENT", Cell::At("/spec/parentRef/name")),
        col("HOSTS", Cell::At("/status/hosts")),
        col("DOWN", Cell::At("/status/down")),
        col("AGE", Cell::Age),
    ]),
    kind!(v1::StandbyPool, &["sp", "standbypool"], one_shot: false, read_only: false, &[
        col("IDLE", Cell::At("/spec/idleState")),
        col("WAKE", Cell::At("/spec/wake")),
        col("SIZE", Cell::At("/spec/size")),
        col("FREE", Cell::At("/status/free")),
        col("SUFFICIENT", Cell::Condition("Sufficient")),
        col("LEASED", Cell::At("/status/leased/0/host")),
        col("FAILED", Cell::At("/status/failed/0/host")),
        col("READY", Cell::Condition("Ready")),
        col("REASON", Cell::Reason("Ready")),
        wide("SELECTOR", Cell::At("/spec/selector")),
        wide("TESTED", Cell::At("/status/tests/lastAt")),
        col("AGE", Cell::Age),
    ]),
    kind!(v1::HostOperation, &["hop", "hostoperation"], one_shot: true, read_only: false, &[
        col("HOST", Cell::At("/spec/hostRef/name")),
        col("TYPE", Cell::At("/spec/type")),
        col("SUCCEEDED", Cell::Condition("Succeeded")),
        col("REASON", Cell::Reason("Succeeded")),
        col("PROGRESS", Cell::At("/status/progress")),
        col("AGE", Cell::Age),
    ]),
    kind!(v1::EvacuationKind, &["ev", "evacuation"], one_shot: true, read_only: false, &[
        col("HOST", Cell::At("/spec/hostRef/name")),
        col("MODE", Cell::At("/spec/mode")),
        wide("CAUSE", Cell::At("/spec/cause")),
        col("PATH", Cell::At("/status/path")),
        col("SUCCEEDED", Cell::Condition("Succeeded")),
        col("REASON", Cell::Reason("Succeeded")),
        col("PROGRESS", Cell::At("/status/progress")),
        col("AGE", Cell::Age),
    ]),
    kind!(v1::ApplySet, &["as", "applyset"], one_shot: false, read_only: false, &[
        col("MANAGER", Cell::At("/spec/manager")),
        col("OBJECTS", Cell::At("/status/total")),
        col("REVISION", Cell::At("/status/revision")),
        col("APPLIED", Cell::Condition("Applied")),
        col("REASON", Cell::Reason("Applied")),
        col("INSYNC", Cell::Condition("InSync")),
        wide("SOURCE", Cell::At("/spec/source")),
        wide("CHANGED", Cell::At("/status/appliedAt")),
        col("AGE", Cell::Age),
    ]),
    kind!(v1::EvacuationPlan, &["ep", "evacuationplan"], one_shot: false, read_only: true, &[
        col("HOST", Cell::At("/spec/hostRef/name")),
        col("NUMBER", Cell::At("/spec/number")),
        col("HOSTS", Cell::At("/spec/hosts")),
        col("PLACED", Cell::At("/status/placed")),
        col("STAYING", Cell::At("/status/staying")),
        col("AGE", Cell::Age),
    ]),
    kind!(v1::FenceAttestation, &["fa", "fenceattestation"], one_shot: true, read_only: false, &[
        col("HOST", Cell::At("/spec/hostRef/name")),
        col("EPOCH", Cell::At("/spec/powerEpoch")),
        col("ACCEPTED", Cell::Condition("Accepted")),
        col("REASON", Cell::Reason("Accepted")),
        col("BY", Cell::At("/status/by")),
        col("EXPIRES", Cell::At("/spec/expiresAt")),
        wide("USEDBY", Cell::At("/status/usedBy")),
        wide("STATEMENT", Cell::At("/spec/statement")),
        col("AGE", Cell::Age),
    ]),
    kind!(v1::FenceDrill, &["drill", "fencedrill"], one_shot: true, read_only: false, &[
        col("DEPTH", Cell::At("/spec/depth")),
        col("POOL", Cell::At("/spec/poolRef/name")),
        col("SUCCEEDED", Cell::Condition("Succeeded")),
        col("REASON", Cell::Reason("Succeeded")),
        col("PROGRESS", Cell::At("/status/progress")),
        col("AGE", Cell::Age),
    ]),
    kind!(v1::Operation, &["op", "operation"], one_shot: false, read_only: true, &[
        col("OWNER", Cell::At("/spec/owner")),
        col("HOST", Cell::At("/spec/host")),
        col("STEP", Cell::At("/spec/step")),
        col("ATTEMPT", Cell::At("/spec/attempt")),
        col("STATE", Cell::At("/status/state")),
        wide("EVIDENCE", Cell::At("/status/evidence")),
        wide("REQUEST", Cell::At("/status/requestId")),
        col("AGE", Cell::Age),
    ]),
    kind!(v1::Event, &["event"], one_shot: false, read_only: true, &[
        col("REGARDING", Cell::At("/spec/regarding")),
        col("TYPE", Cell::At("/spec/type")),
        col("REASON", Cell::At("/spec/reason")),
        col("COUNT", Cell::At("/spec/count")),
        col("NOTE", Cell::At("/spec/note")),
    ]),
    kind!(v1::AuditRecord, &["ar", "auditrecord"], one_shot: false, read_only: true, &[
        col("AT", Cell::At("/spec/at")),
        col("INITIATOR", Cell::At("/spec/initiator")),
        col("ACTION", Cell::At("/spec/action")),
        col("TARGET", Cell::At("/spec/target")),
        col("OUTCOME", Cell::At("/spec/outcome")),
        wide("HOST", Cell::At("/spec/host")),
        wide("FOR", Cell::At("/spec/record/onBehalfOf/id")),
        wide("REQUEST", Cell::At("/spec/record/initiator/request_id")),
    ]),
    kind!(v1::Lease, &["lease"], one_shot: false, read_only: true, &[
        col("HOLDER", Cell::At("/spec/holder")),
        col("TOKEN", Cell::At("/spec/token")),
        col("RENEWALS", Cell::At("/spec/renewals")),
    ]),
    kind!(v1::Task, &["task"], one_shot: false, read_only: true, &[
        col("OBJECT", Cell::At("/spec/object")),
        col("STATE", Cell::At("/status/state")),
    ]),
];

/// Finds a kind by CamelCase name, plural or short name; case is ignored.
pub fn find(word: &str) -> Option<&'static KindInfo> {
    KINDS
        .iter()
        .find(|k| k.kind.eq_ignore_ascii_case(word) || k.plural.eq_ignore_ascii_case(word) || k.short.iter().any(|s| s.eq_ignore_ascii_case(word)))
}

impl Column {
    /// The text of this column for an object; `-` where there is nothing. `now` is for ages.
    pub fn text(&self, object: &DynObject, now: crate::Time) -> String {
        match self.value(object, now) {
            Value::Null => "-".into(),
            Value::String(text) => text,
            other => other.to_string(),
        }
    }

    /// What stands in this column for an object; null where there is nothing, and an age as text.
    pub fn value(&self, object: &DynObject, now: crate::Time) -> Value {
        let condition = |kind: &str, key: &str| {
            let list = object.status["conditions"].as_array();
            let found = list.into_iter().flatten().find(|c| c["type"] == kind);
            found.and_then(|c| c[key].as_str()).unwrap_or("Unknown").into()
        };
        match self.cell {
            Cell::Condition(kind) => condition(kind, "status"),
            Cell::Reason(kind) => condition(kind, "reason"),
            Cell::Age => object.metadata.creation_timestamp.map_or(Value::Null, |t| age(now.seconds_since(t)).into()),
            Cell::At(pointer) => {
                let (root, rest) = pointer[1..].split_once('/').unwrap_or((&pointer[1..], ""));
                let root = if root == "spec" { &object.spec } else { &object.status };
                root.pointer(&format!("/{rest}")).filter(|found| found.as_str() != Some("")).cloned().unwrap_or_default()
            }
        }
    }
}

/// Seconds as people read them: `42s`, `7m`, `3h`, `12d`.
pub fn age(seconds: i64) -> String {
    match seconds.max(0) {
        s if s < 120 => format!("{s}s"),
        s if s < 7_200 => format!("{}m", s / 60),
        s if s < 172_800 => format!("{}h", s / 3_600),
        s => format!("{}d", s / 86_400),
    }
}
