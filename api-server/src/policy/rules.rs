//! THE table of rules: their names, what each asks if no `policy.yaml` says otherwise, and what it is for.

use super::asks::{Has, KIND_VERBS, path_of};
use crate::handlers::legacy::verbs;
use schemas::kinds::KINDS;
use std::sync::LazyLock;

/// What a token may be bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The whole cloud.
    System,
    /// One project.
    Project,
}

impl Scope {
    /// As it is written for people.
    pub fn word(self) -> &'static str {
        match self {
            Scope::System => "system",
            Scope::Project => "project",
        }
    }
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// `cloud-manager:<plural>:<verb>`, or a plain word for what other rules build on.
    pub name: String,
    /// The check that counts if no file says otherwise.
    pub check: &'static str,
    /// What it allows.
    pub description: String,
    /// Method and path of the requests it is asked for; none: other rules build on it.
    pub operations: Vec<(&'static str, String)>,
    /// What the token must be bound to: one of these; none: it does not matter.
    pub scopes: &'static [Scope],
}

const BOUND: &[Scope] = &[Scope::System, Scope::Project];

/// Who there is, from the most to the least powerful. Each is a rule that others build on and that a file may replace.
pub const PERSONAS: [&str; 5] = ["admin", "operator", "observer", "service", "tenant"];

/// What other rules build on: name, check, description.
#[rustfmt::skip]
const BASE: &[(&str, &str, &str)] = &[
    ("admin",            "role:admin",
     "May do everything that the safety rules allow."),
    ("operator_project", "is_admin_project:True",
     "The projects whose managers and readers are operators and observers here. Nobody's, unless Keystone names an admin project; write project_id:ID to name one."),
    ("operator",         "rule:admin or role:cloud-operator or (role:manager and rule:operator_project)",
     "Works on hosts: evacuates, drains, powers, approves; changes no credentials, policies or power devices."),
    ("observer",         "rule:operator or (role:reader and (system_scope:all or rule:operator_project))",
     "Reads all but credentials and the audit. A plain reader of a project is none: every tenant has that role."),
    ("service",          "role:service",
     "Another service of the cloud: reads what an observer reads."),
    ("tenant",           "@",
     "Everybody with a valid token: may ask who it is."),
    ("attestor",         "rule:admin",
     "May state that a host is dead whose power cannot be read. To narrow it: role:admin and (system_scope:all or rule:operator_project)."),
    ("auditor",          "rule:admin or role:auditor",
     "Reads the audit."),
];

const READ: &str = "rule:observer or rule:service";
const OPERATE: &str = "rule:operator";
const ADMIN: &str = "rule:admin";
const ATTEST: &str = "rule:attestor";
const AUDIT: &str = "rule:auditor";
const NONE: &str = "!";

/// What reading, creating, changing and deleting asks for, by kind. A kind that is not here is nobody's to touch, and fails a test.
#[rustfmt::skip]
const KINDS_ASK: &[(&str, &str, &str, &str, &str)] = &[
    ("Host",              READ,  ADMIN,   OPERATE, ADMIN),
    ("PowerDevice",       READ,  ADMIN,   ADMIN,   ADMIN),
    ("PowerLink",         READ,  ADMIN,   ADMIN,   ADMIN),
    ("Credential",        ADMIN, ADMIN,   ADMIN,   ADMIN),
    ("ClusterPolicy",     READ,  ADMIN,   ADMIN,   ADMIN),
    ("RemediationPolicy", READ,  ADMIN,   ADMIN,   ADMIN),
    ("GuestPolicy",       READ,  ADMIN,   ADMIN,   ADMIN),
    ("FailureDomain",     READ,  ADMIN,   ADMIN,   ADMIN),
    ("StandbyPool",       READ,  ADMIN,   ADMIN,   ADMIN),
    ("ApplySet",          READ,  OPERATE, OPERATE, OPERATE),
    ("HostOperation",     READ,  OPERATE, OPERATE, OPERATE),
    ("Evacuation",        READ,  OPERATE, OPERATE, OPERATE),
    ("FenceAttestation",  READ,  ATTEST,  ATTEST,  ATTEST),
    ("FenceDrill",        READ,  OPERATE, OPERATE, OPERATE),
    ("EvacuationPlan",    READ,  NONE,    NONE,    NONE),
    ("Operation",         READ,  NONE,    NONE,    NONE),
    ("Event",             READ,  NONE,    NONE,    NONE),
    ("Lease",             READ,  NONE,    NONE,    NONE),
    ("Task",              READ,  NONE,    NONE,    NONE),
    ("AuditRecord",       AUDIT, NONE,    NONE,    NONE),
];

/// What is no verb on an object: name after `cloud-manager:`, check, whether a scope is asked for, description, method, path.
#[rustfmt::skip]
const OTHERS: &[(&str, &str, bool, &str, &str, &str)] = &[
    ("kinds:list",             READ,    true,  "List the kinds of objects.",                          "GET",  "/v1/kinds"),
    ("schemas:get",            READ,    true,  "Read the schema of a kind.",                          "GET",  "/v1/schemas/{kind}"),
    ("hosts:guests",           READ,    true,  "List the guests of a host.",                          "GET",  "/v1/hosts/{ref}/guests"),
    ("hosts:evacuation-plan",  READ,    true,  "Show where the guests of a host would go.",           "GET",  "/v1/hosts/{ref}/evacuation-plan"),
    ("hosts:evidence",         READ,    true,  "Read what channels saw of a host.",                   "GET",  "/v1/hosts/{ref}/evidence"),
    ("evidence:create",        ADMIN,   true,  "Send what a channel saw of hosts.",                   "POST", "/v1/evidence"),
    ("decisions:get",          READ,    true,  "Show what would be begun now, also under other policies.", "GET", "/v1/decisions"),
    ("apply:create",           OPERATE, true,  "Apply many manifests at once; of each, the rules of its kind are asked as well.", "POST", "/v1/apply"),
    ("diff:create",            OPERATE, true,  "Show what an apply would change; of each manifest, the rules of its kind are asked as well.", "POST", "/v1/diff"),
    ("applysets:report",       OPERATE, true,  "Say of a set what stands against it.",                "POST", "/v1/applysets/{ref}/report"),
    ("whoami:get",             "rule:tenant", false, "Show who the token belongs to, and what it may do.",  "GET",  "/v1/whoami"),
    ("access-reviews:create",  "rule:tenant", false, "Ask whether the token may do something.",             "POST", "/v1/access-reviews"),
];

/// All rules, in the order in which people read them.
pub static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    let base = BASE.iter().map(|(name, check, description)| Rule {
        name: (*name).into(),
        check,
        description: (*description).into(),
        operations: Vec::new(),
        scopes: &[],
    });
    let mut rules: Vec<Rule> = base.collect();
    for kind in KINDS {
        let Some((_, read, create, update, delete)) = KINDS_ASK.iter().find(|row| row.0 == kind.kind) else { continue };
        for verb in KIND_VERBS.iter().filter(|verb| kind.has(verb)) {
            let check = match verb.word {
                "get" | "list" | "watch" => read,
                "create" => create,
                "delete" => delete,
                _ => update,
            };
            rules.push(Rule {
                name: name(kind.plural, verb.word),
                check,
                description: format!("{} {}.", verb.does, if verb.many { kind.plural.into() } else { format!("a {}", kind.kind) }),
                operations: vec![(verb.method, path_of(verb.path, kind.plural))],
                scopes: BOUND,
            });
        }
    }
    for verb in verbs() {
        rules.push(Rule {
            name: name("hosts", verb),
            check: OPERATE,
            description: format!("Host action {verb}. Making a HostOperation or an Evacuation by itself has rules of its own."),
            operations: vec![("POST", format!("/v1/hosts/{{ref}}/actions/{verb}"))],
            scopes: BOUND,
        });
    }
    for (short, check, bound, description, method, path) in OTHERS {
        let mut operations = vec![(*method, (*path).to_string())];
        if *short == "decisions:get" {
            operations.push(("POST", (*path).into()));
        }
        let scopes = if *bound { BOUND } else { &[] };
        rules.push(Rule { name: format!("cloud-manager:{short}"), check, description: (*description).into(), operations, scopes });
    }
    rules
});

/// The name of the rule for a verb on a kind.
pub fn name(plural: &str, verb: &str) -> String {
    format!("cloud-manager:{plural}:{verb}")
}

/// Finds a rule.
pub fn find(name: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_kind_says_who_may_touch_it_and_no_rule_is_there_twice() {
        for kind in KINDS {
            assert_eq!(KINDS_ASK.iter().filter(|row| row.0 == kind.kind).count(), 1, "{} needs one row in KINDS_ASK", kind.kind);
        }
        assert!(KINDS_ASK.iter().all(|row| KINDS.iter().any(|k| k.kind == row.0)));
        let names: BTreeSet<&str> = RULES.iter().map(|r| r.name.as_str()).collect();
        assert_eq!(names.len(), RULES.len());
        assert!(PERSONAS.iter().all(|p| names.contains(p)));
    }

    /// Whoever adds an action says here that it may hurt: it then has a rule of its own, and that asks for no less than an operator.
    #[test]
    fn what_can_hurt_a_host_has_a_rule_of_its_own_that_asks_for_an_operator_or_more() {
        let actions = ["evacuate", "shutdown", "power-on", "power-off", "soft-off", "enable", "disable", "drain", "initialise"];
        assert_eq!(verbs().collect::<Vec<_>>(), actions);
        let verbs = ["create", "update", "apply", "delete"];
        let mut destructive: Vec<String> = actions.iter().map(|a| name("hosts", a)).collect();
        for kind in KINDS.iter().filter(|k| !k.read_only) {
            destructive.extend(verbs.iter().map(|verb| name(kind.plural, verb)));
        }
        destructive.push("cloud-manager:evidence:create".into());
        for name in destructive {
            let check = find(&name).unwrap_or_else(|| panic!("{name} has no rule")).check;
            assert!(matches!(check, "rule:operator" | "rule:admin" | "rule:attestor"), "{name}: {check}");
        }
    }
}
