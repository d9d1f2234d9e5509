//! What a route asks of its caller: the name of a rule.

use super::rules::name;
use schemas::{KindInfo, kinds::KINDS};
use std::borrow::Cow;

/// What a route asks of its caller. A route cannot be written without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    /// Nothing, not even a token.
    Open,
    /// The rule of this verb on the kind in the path.
    Verb(&'static str),
    /// `list`, or `watch` if the query asks for one.
    ListOrWatch,
    /// `update`, or `apply` by the content type.
    Patch,
    /// The rule of the host action in the path.
    Action,
    /// This rule, whatever the path is.
    Rule(&'static str),
}

/// A verb on a kind.
pub(super) struct Verb {
    pub word: &'static str,
    pub does: &'static str,
    /// About more than one object.
    pub many: bool,
    pub method: &'static str,
    pub path: &'static str,
}

const fn verb(word: &'static str, does: &'static str, many: bool, method: &'static str, path: &'static str) -> Verb {
    Verb { word, does, many, method, path }
}

/// Every verb that each kind has.
#[rustfmt::skip]
pub(super) const KIND_VERBS: &[Verb] = &[
    verb("get",    "Read",                     false, "GET",    "/v1/{plural}/{ref}"),
    verb("list",   "List",                     true,  "GET",    "/v1/{plural}"),
    verb("watch",  "Watch",                    true,  "GET",    "/v1/{plural}?watch=true"),
    verb("create", "Create",                   false, "POST",   "/v1/{plural}"),
    verb("update", "Replace or patch",         false, "PUT",    "/v1/{plural}/{ref}"),
    verb("apply",  "Apply, and so create,",    false, "PATCH",  "/v1/{plural}/{ref}"),
    verb("delete", "Delete",                   false, "DELETE", "/v1/{plural}/{ref}"),
];

/// Whether a kind has a verb.
pub(super) trait Has {
    fn has(&self, verb: &Verb) -> bool;
}

impl Has for KindInfo {
    fn has(&self, verb: &Verb) -> bool {
        match verb.word {
            "watch" => !matches!(self.kind, "Event" | "Task" | "AuditRecord"),
            "get" | "list" => true,
            _ => !self.read_only,
        }
    }
}

/// Whether a kind has a verb.
pub(crate) fn has(kind: &KindInfo, word: &str) -> bool {
    KIND_VERBS.iter().any(|verb| verb.word == word && kind.has(verb))
}

/// A path of the table for one kind.
pub(super) fn path_of(path: &str, plural: &str) -> String {
    path.replace("{plural}", plural)
}

/// Whoever may see what kinds there are is told that there is no such kind or action; nobody else is.
const ELSEWHERE: &str = "cloud-manager:kinds:list";

/// What of a request decides which rule it is about.
pub struct Request<'a> {
    /// A part of the path by its name, decoded as the handler sees it.
    pub part: &'a dyn Fn(&str) -> Option<&'a str>,
    /// Whether the query asks for a watch.
    pub watch: bool,
    /// Content type of the body.
    pub content_type: &'a str,
}

impl Asks {
    /// The rule that a request is about; `None`: it is open.
    pub fn rule(self, request: &Request<'_>) -> Option<Cow<'static, str>> {
        let of_kind = |verb: &str| match (request.part)("plural").and_then(|plural| KINDS.iter().find(|k| k.plural == plural)) {
            Some(kind) if KIND_VERBS.iter().any(|v| v.word == verb && kind.has(v)) => Cow::Owned(name(kind.plural, verb)),
            // Who may read the kind is told that it cannot be written or watched.
            Some(kind) => Cow::Owned(name(kind.plural, "get")),
            None => Cow::Borrowed(ELSEWHERE),
        };
        Some(match self {
            Asks::Open => return None,
            Asks::Rule(name) => Cow::Borrowed(name),
            Asks::Verb(verb) => of_kind(verb),
            Asks::ListOrWatch => of_kind(if request.watch { "watch" } else { "list" }),
            Asks::Patch => of_kind(if request.content_type.trim_start().to_ascii_lowercase().starts_with("application/apply-patch") {
                "apply"
            } else {
                "update"
            }),
            Asks::Action => match (request.part)("verb").filter(|verb| crate::handlers::legacy::verbs().any(|known| known == *verb)) {
                Some(verb) => Cow::Owned(name("hosts", verb)),
                None => Cow::Borrowed(ELSEWHERE),
            },
        })
    }
}
