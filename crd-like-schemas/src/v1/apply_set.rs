//! ApplySet: what was applied together, so that what is declared no longer can be found and deleted.

use crate::{
    Condition, FieldError, Kind, Time,
    apply::{
        check_manager,
        managed::{LONGEST_MANAGER, MANAGER_PATTERN},
    },
    kinds::KINDS,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kind ApplySet. A set is one repository, or one environment in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApplySet;

/// The label that objects of a set bear; its value is the name of the set. It is for looking them up: what belongs to a set is
/// what stands in its status.
pub const APPLY_SET_LABEL: &str = "cloud-manager/applyset";

/// Kinds of which nothing is deleted because it is declared no longer, unless the set says otherwise: with these much more goes.
pub const PROTECTED_KINDS: [&str; 3] = ["Host", "Credential", "ClusterPolicy"];

/// Desired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApplySetSpec {
    /// The field manager that applies it; no other one may.
    #[schemars(length(min = 1, max = LONGEST_MANAGER), regex(pattern = MANAGER_PATTERN))]
    pub manager: String,
    /// Where it is kept, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Kinds of which nothing is deleted because it is declared no longer.
    #[serde(default = "protected_kinds")]
    #[schemars(extend("x-list-type" = "set"))]
    pub protect_kinds: Vec<String>,
}

fn protected_kinds() -> Vec<String> {
    PROTECTED_KINDS.map(String::from).into()
}

/// An object that belongs to a set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApplySetMember {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its uid: another object with this name is none of the set.
    pub uid: String,
}

/// Observed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ApplySetStatus {
    /// Generation this status speaks of.
    pub observed_generation: i64,
    /// Conditions: Applied (what was declared last is applied), InSync (it still stands so).
    pub conditions: Vec<Condition>,
    /// What belongs to it. While it is applied, what was declared before as well: never less than there is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<ApplySetMember>,
    /// Number of members.
    pub total: i64,
    /// What was applied last, such as a commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// When something was changed by it last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applied_at: Option<Time>,
}

impl Kind for ApplySet {
    const KIND: &'static str = "ApplySet";
    const PLURAL: &'static str = "applysets";
    type Spec = ApplySetSpec;
    type Status = ApplySetStatus;

    fn validate(_name: &str, spec: &ApplySetSpec) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if let Err(mut error) = check_manager(&spec.manager) {
            error.field = "spec.manager".into();
            errors.push(error);
        }
        for (n, kind) in spec.protect_kinds.iter().enumerate() {
            if !KINDS.iter().any(|k| k.kind == kind) {
                let known: Vec<&str> = KINDS.iter().filter(|k| !k.read_only && !k.one_shot).map(|k| k.kind).collect();
                let message = format!("there is no kind {kind:?}; use one of {}.", known.join(", "));
                errors.push(FieldError::invalid(format!("spec.protectKinds[{n}]"), message));
            }
        }
        errors
    }
}
