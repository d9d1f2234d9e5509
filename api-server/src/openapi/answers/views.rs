//! Bodies of views: tasks, guests, decisions, evidence, batches.

use super::ErrorCause;
use schemars::JsonSchema;
use schemas::{
    ConditionStatus, Time,
    v1::{Availability, AvailabilityState, EvacuationPlanSpec, FenceStatus, Observation, PowerState, Storm},
};
use serde_json::Value;

/// A one-shot object, as the product's earlier clients know it.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(in crate::openapi) struct TaskView {
    /// Uid of the object.
    id: String,
    /// Celery's word for where it stands.
    state: TaskState,
    /// Reason and message, if there is something to tell.
    result: Option<TaskResult>,
    /// The object.
    object: TaskObject,
}

/// Celery's words for where a task stands.
#[derive(JsonSchema)]
#[schemars(rename_all = "UPPERCASE")]
pub(in crate::openapi) enum TaskState {
    /// Not begun.
    Pending,
    /// Begun.
    Started,
    /// Something failed, and it is tried again.
    Retry,
    /// Ended well.
    Success,
    /// Ended badly.
    Failure,
    /// Cancelled.
    Revoked,
}

/// What came of a task, or what it waits for.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(in crate::openapi) struct TaskResult {
    /// Stable CamelCase word.
    reason: Option<String>,
    /// A sentence for people.
    message: Option<String>,
}

/// The object that a task is a view of.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(in crate::openapi) struct TaskObject {
    /// Its kind.
    kind: String,
    /// Its name.
    name: String,
    /// Its URL.
    href: String,
}

/// The id of a task that was begun, or that is under way already.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(in crate::openapi) struct TaskBegun {
    /// Id for `GET /v1/tasks/{id}`; it is the uid of the object.
    task_id: String,
}

/// Body of the action `shutdown`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(in crate::openapi) struct ShutdownBody {
    /// Whether guests that cannot be moved may be shut down with the host. Absent: they may not.
    allow_off_vm: Option<bool>,
}

/// Body of the actions that take nothing.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(in crate::openapi) struct EmptyBody {}

/// Guests of a host, as Nova shows them now.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::openapi) struct GuestList {
    /// The guests.
    guests: Vec<GuestView>,
    /// When Nova was read.
    observed_at: Time,
}

/// A guest.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::openapi) struct GuestView {
    /// Server id.
    id: String,
    /// Server name.
    name: String,
    /// Nova's `vm_state`.
    vm_state: Option<String>,
    /// Nova's `task_state`.
    task_state: Option<String>,
    /// Nova's `power_state`, a number.
    power_state: Option<i64>,
    /// Recovery priority, 0 to 10.
    priority: Option<i64>,
    /// Who is told of it.
    owner: Option<String>,
    /// Whether its root disk is a volume.
    boot_from_volume: Option<bool>,
}

/// What the watch over hosts would decide now.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::openapi) struct Decisions {
    /// When the leader looked last.
    observed_at: Time,
    /// How long ago that is, in seconds.
    age_seconds: i64,
    /// Why that look may be out of date.
    doubt: Option<String>,
    /// Names of the policies that were laid over.
    laid_over: Vec<String>,
    /// What becomes of each policy.
    policies: Vec<PolicyDecision>,
    /// Hosts of which there is something to tell, or the one that was asked for.
    hosts: Vec<HostDecision>,
    /// Failure domains.
    domains: Vec<DomainDecision>,
    /// What would become of the guests of the host that was asked for, if it were dead now.
    evacuation: Option<PlanOrUnknown>,
    /// Hosts of which there is nothing to tell.
    unremarkable: Option<i64>,
}

/// A plan, or why there is none.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(in crate::openapi) enum PlanOrUnknown {
    /// Why it is not known.
    Unknown(UnknownPlan),
    /// The plan.
    Plan(EvacuationPlanSpec),
}

/// Why a plan is not known.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(in crate::openapi) struct UnknownPlan {
    /// Why.
    unknown: String,
}

/// What becomes of a policy.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::openapi) struct PolicyDecision {
    /// Its name.
    policy: String,
    /// Hosts it holds for.
    covered: i64,
    /// Of these, hosts that are down.
    unhealthy: i64,
    /// Hosts that may fail before nothing more is begun.
    budget_left: i64,
    /// What was begun within the last hour.
    begun_within_hour: i64,
    /// Limits that were exceeded.
    storms: Vec<Storm>,
    /// Whether anything new may be begun.
    allowed: Verdict,
}

/// Whether something may be done, and why not.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(in crate::openapi) struct Verdict {
    /// Whether it may.
    status: ConditionStatus,
    /// Stable CamelCase word.
    reason: String,
    /// A sentence for people.
    message: String,
}

/// What becomes of a host.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::openapi) struct HostDecision {
    /// Its name.
    host: String,
    /// The policy that holds for it, if that is clear.
    policy: Option<String>,
    /// Where it stood before, if that is known.
    before: Option<AvailabilityState>,
    /// Where it stands now.
    availability: Availability,
    /// What Nova says.
    nova: NovaWord,
    /// What its power links say.
    power: PowerState,
    /// Its power epoch.
    epoch: i64,
    /// Its fence, if there is one.
    fence: Option<FenceStatus>,
    /// Its guests, if they were counted.
    guests: Option<i64>,
    /// `Kind/name` of what would be begun.
    begin: Option<String>,
    /// `Kind/name` of what would be cancelled.
    cancel: Option<String>,
    /// Whether something may be begun for it.
    allowed: Verdict,
}

/// What Nova says of a host's service.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(in crate::openapi) struct NovaWord {
    /// `Up`, `Down`, `Absent` or `Unknown`.
    service: String,
    /// Why it is absent or not known.
    why: String,
}

/// What becomes of a failure domain.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(in crate::openapi) struct DomainDecision {
    /// Its name.
    domain: String,
    /// Hosts in it.
    hosts: i64,
    /// Of these, hosts that are down.
    down: i64,
    /// Why it cannot be told what it is in.
    broken: Option<String>,
}

/// What channels said last of a host.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(in crate::openapi) struct HostEvidence {
    /// Its name.
    host: String,
    /// One of each channel.
    items: Vec<Observation>,
}

/// What became of observations.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(in crate::openapi) struct EvidenceTaken {
    /// How many were taken.
    taken: u64,
    /// Which were older than what is known.
    ignored: Vec<EvidenceIgnored>,
}

/// An observation that came too late.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::openapi) struct EvidenceIgnored {
    /// The host.
    host: String,
    /// The channel.
    channel: String,
    /// `OlderThanKnown`.
    reason: String,
    /// When what is known was seen.
    known_observed_at: Time,
}

/// What became of a batch, or would.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::openapi) struct BatchResult {
    /// `cloud-manager/v1`.
    api_version: String,
    /// `ApplyResult` or `DiffResult`.
    kind: String,
    /// Each object of the batch, in the order of the body.
    items: Vec<BatchItem>,
    /// What belonged to the set and was declared no longer.
    pruned: Option<Vec<Pruned>>,
    /// Of a diff that is explained: hosts of which something else would be decided.
    decisions: Option<ForeseenDecisions>,
}

/// What became of one object of a batch.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::openapi) struct BatchItem {
    /// Where it stands in the body.
    place: String,
    /// Its kind, if it could be read.
    kind: Option<String>,
    /// Its name, if it could be read.
    name: Option<String>,
    /// `created`, `configured` or `unchanged`; `conflict`, `invalid` or `failed`.
    result: Option<String>,
    /// What would have become of it, if others had not been wrong, or if more than a prune had been asked for.
    would_be: Option<String>,
    /// Its uid.
    uid: Option<String>,
    /// The version it is at.
    resource_version: Option<String>,
    /// Code of what is wrong with it.
    code: Option<String>,
    /// What is wrong with it.
    message: Option<String>,
    /// Which fields are wrong.
    causes: Option<Vec<ErrorCause>>,
    /// How it stands, if a diff was asked for and it would change.
    live: Option<Value>,
    /// How it would stand.
    merged: Option<Value>,
    /// What the controllers would do about it, if that was asked for.
    explain: Option<Foreseen>,
}

/// What the controllers would do about an object, or why that is not known.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(in crate::openapi) struct Foreseen {
    /// `Step`, `Wait` or `Nothing`.
    next: Option<String>,
    /// The step.
    step: Option<String>,
    /// Whether the step disrupts guests.
    disruptive: Option<bool>,
    /// What is waited for, as a stable CamelCase word.
    reason: Option<String>,
    /// The same for people.
    message: Option<String>,
    /// Why it is not known.
    unknown: Option<String>,
}

/// Hosts of which something else would be decided, or why that is not known.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(in crate::openapi) enum ForeseenDecisions {
    /// Why it is not known.
    Unknown(UnknownPlan),
    /// The hosts.
    Hosts(Vec<ChangedDecision>),
}

/// What would be decided of a host.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(in crate::openapi) struct ChangedDecision {
    /// Its name.
    host: String,
    /// What is decided now.
    now: Option<HostDecision>,
    /// What would be.
    then: HostDecision,
}

/// Objects as rows.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::openapi) struct Table {
    /// `cloud-manager/v1`.
    api_version: String,
    /// `Table`.
    kind: String,
    /// About the list, or the version of the one object.
    metadata: Option<super::ListMeta>,
    /// This page of a list, and the next if there is one.
    links: Option<Vec<super::Link>>,
    /// The columns.
    column_definitions: Vec<TableColumn>,
    /// The rows.
    rows: Vec<TableRow>,
}

/// A column, as Kubernetes describes one.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(in crate::openapi) struct TableColumn {
    /// Its heading.
    name: String,
    /// `string`, `integer` or `boolean`.
    r#type: String,
    /// Format of its values; empty: none.
    format: String,
    /// What it tells.
    description: String,
    /// 0: always shown; 1: where there is room.
    priority: u8,
}

/// An object as a row.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(in crate::openapi) struct TableRow {
    /// A value for each column.
    cells: Vec<Value>,
    /// Which object it is.
    object: TableObject,
}

/// Which object a row is of.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::openapi) struct TableObject {
    /// `cloud-manager/v1`.
    api_version: String,
    /// Its kind.
    kind: String,
    /// Its metadata.
    metadata: schemas::ObjectMeta,
}

/// What became of an object that is declared no longer.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::openapi) struct Pruned {
    /// Its kind.
    kind: String,
    /// Its name.
    name: String,
    /// Its uid.
    uid: String,
    /// `deleted`, `deleting`, `released`, `kept`, `conflict`, `invalid` or `failed`.
    result: String,
    /// Why, if it was not deleted.
    message: Option<String>,
    /// How it stands, if a diff was asked for.
    live: Option<Value>,
}

/// A JSON Schema (2020-12).
#[derive(JsonSchema)]
#[schemars(transparent)]
pub(in crate::openapi) struct JsonSchemaDocument(serde_json::Map<String, Value>);
