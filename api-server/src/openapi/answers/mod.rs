//! Bodies that are no objects of a kind. Only their schemas are used: handlers write them, and tests hold both together.

mod views;

pub(in crate::openapi) use views::*;

use schemars::JsonSchema;
use schemas::Time;

/// A refusal: `error` for people in front of OpenStack clients, `errors` for programs.
#[derive(JsonSchema)]
pub(in crate::openapi) struct ErrorBody {
    /// For people.
    error: PlainError,
    /// For programs; there is always one.
    #[schemars(length(min = 1, max = 1))]
    errors: Vec<ErrorItem>,
    /// The task that is under way instead (`operation-in-progress`).
    #[schemars(extend("format" = "uuid"))]
    task_id: Option<String>,
    /// What is wrong with each object of a batch.
    items: Option<Vec<BatchItem>>,
    /// A fresh token that goes on from the same place (`continue-expired`).
    r#continue: Option<String>,
}

/// The refusal of a request without a valid token, as keystonemiddleware has it.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(in crate::openapi) struct UnauthorizedBody {
    /// For people.
    error: PlainError,
}

/// What OpenStack clients print.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(in crate::openapi) struct PlainError {
    /// HTTP status.
    code: u16,
    /// Name of the status.
    title: String,
    /// One sentence with object, reason and way out.
    message: String,
}

/// One error, by the guideline of the API-SIG.
#[derive(JsonSchema)]
pub(in crate::openapi) struct ErrorItem {
    /// Id of the request, as in the header `x-openstack-request-id`.
    request_id: String,
    /// Stable code.
    #[schemars(regex(pattern = "^cloud-manager\\.[a-z-]+$"))]
    code: String,
    /// HTTP status.
    status: u16,
    /// What the code means.
    title: String,
    /// One sentence with object, reason and way out.
    detail: String,
    /// Where the code is explained.
    links: Vec<Link>,
    /// The code as a CamelCase word.
    reason: String,
    /// Whether the same request may be sent again as it is.
    retryable: bool,
    /// The object it is about.
    resource: Option<Resource>,
    /// What is wrong with which field; at most 20.
    causes: Option<Vec<ErrorCause>>,
    /// Oldest microversion spoken (`microversion-unsupported`).
    min_version: Option<String>,
    /// Newest microversion spoken (`microversion-unsupported`).
    max_version: Option<String>,
}

/// Points at an object.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::openapi) struct Resource {
    /// Its kind.
    kind: Option<String>,
    /// Its name.
    name: Option<String>,
    /// Its uid.
    uid: Option<String>,
    /// The version it is at.
    resource_version: Option<String>,
}

/// What is wrong with one field.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(in crate::openapi) struct ErrorCause {
    /// Path of the field, or name of the parameter or header; empty: the body as a whole.
    field: String,
    /// Stable CamelCase word.
    reason: String,
    /// One sentence that says what to do.
    message: String,
    /// Who owns the field (`field-conflict`).
    manager: Option<String>,
    /// How they came to own it (`field-conflict`).
    operation: Option<String>,
    /// What kind of value stands there (`field-conflict`).
    value: Option<String>,
    /// `Kind/name` in a batch.
    object: Option<String>,
}

/// A link.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(in crate::openapi) struct Link {
    /// What is there: `self`, `next`, `collection` or `help`.
    rel: String,
    /// Its URL.
    href: String,
}

/// Metadata of a list.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::openapi) struct ListMeta {
    /// Watching from this revision, that of the first page, misses nothing.
    #[schemars(regex(pattern = "^[0-9]+$"))]
    resource_version: String,
    /// Token of the next page; absent on the last.
    r#continue: Option<String>,
    /// How many objects follow, if that is known.
    remaining_item_count: Option<i64>,
}

/// Metadata of a bookmark.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::openapi) struct BookmarkMeta {
    /// Everything up to this revision was told.
    resource_version: String,
    /// `cloud-manager/initial-events-end` after the objects that were there at the beginning.
    annotations: Option<std::collections::BTreeMap<String, String>>,
}

/// The versions of the API.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(in crate::openapi) struct Versions {
    /// There is one.
    versions: Vec<VersionEntry>,
}

/// A version of the API.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(in crate::openapi) struct OneVersion {
    /// The version in the URL.
    version: VersionEntry,
}

/// A version of the API, as the API-SIG describes it.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(in crate::openapi) struct VersionEntry {
    /// Its id.
    #[schemars(regex(pattern = "^v[0-9]{1,2}\\.?[0-9]{0,2}$"))]
    id: String,
    /// `CURRENT`.
    status: String,
    /// Oldest microversion.
    min_version: String,
    /// Newest microversion.
    max_version: String,
    /// Where it is.
    links: Vec<Link>,
}

/// The product's version document.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(in crate::openapi) struct Info {
    /// About the product's API.
    info: InfoVersion,
}

/// About the product's API.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(in crate::openapi) struct InfoVersion {
    /// Its version, the same in every release.
    version: String,
}

/// Health, as oslo.middleware tells it.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(in crate::openapi) struct Healthcheck {
    /// Whether details follow; never.
    detailed: bool,
    /// `OK`, or why not.
    reasons: Vec<String>,
}

/// Whether it is well.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(in crate::openapi) struct Alive {
    /// Whether it is.
    ok: bool,
}

/// Who a token stands for, and what it may do.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::openapi) struct WhoAmI {
    /// Who it is.
    user: User,
    /// What the token holds for.
    scope: Scope,
    /// Roles, as Keystone names them.
    roles: Vec<String>,
    /// When the token expires.
    expires_at: Time,
    /// What the policy makes of them.
    personas: Vec<String>,
    /// Rules that let this token pass.
    allowed: Vec<String>,
}

/// A user of Keystone.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(in crate::openapi) struct User {
    /// Its id.
    id: String,
    /// Its name.
    name: String,
}

/// What a token holds for.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::openapi) struct Scope {
    /// The system, a project, or nothing.
    r#type: ScopeType,
    /// The project.
    project_id: Option<String>,
    /// Whether it is the cloud's administrators' project.
    is_admin_project: Option<bool>,
}

/// What a token can hold for.
#[derive(JsonSchema)]
pub(in crate::openapi) enum ScopeType {
    /// The whole cloud.
    System,
    /// One project.
    Project,
    /// Nothing.
    None,
}

/// Whether the rules allow something.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::openapi) struct ReviewAnswer {
    /// What was asked for.
    verb: String,
    /// Of which kind.
    kind: String,
    /// Of which object.
    name: Option<String>,
    /// Whether it is allowed.
    allowed: bool,
    /// The rule that says so.
    rule: String,
    /// What the rule asks for, in oslo.policy's language.
    check: String,
    /// Scopes that a token needs for it, if this one's is another.
    scopes_wanted: Vec<String>,
}

/// What kinds there are.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::openapi) struct KindList {
    /// `apiVersion` of their objects.
    api_version: String,
    /// Version of the program.
    build: String,
    /// The kinds.
    kinds: Vec<KindEntry>,
}

/// A kind.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::openapi) struct KindEntry {
    /// Its name.
    kind: String,
    /// Its name in URLs.
    plural: String,
    /// Its short names on the command line.
    short: Vec<String>,
    /// Whether its objects are work that ends, whose spec cannot change.
    one_shot: bool,
    /// Whether controllers alone write it.
    read_only: bool,
    /// Columns of its table after NAME.
    columns: Vec<ColumnEntry>,
}

/// A column of a table.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(in crate::openapi) struct ColumnEntry {
    /// Its heading.
    name: String,
    /// Whether it is shown only where there is room.
    wide: bool,
    /// Where its cells come from.
    from: CellFrom,
}

/// Where a cell comes from; one of `path`, `condition`, `age`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(in crate::openapi) struct CellFrom {
    /// JSON pointer to the value.
    path: Option<String>,
    /// Type of the condition that is shown.
    condition: Option<String>,
    /// What of the condition: `status` or `reason`.
    value: Option<String>,
    /// JSON pointer to the instant whose age is shown.
    age: Option<String>,
}
