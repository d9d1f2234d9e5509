//! A check: what a rule asks of a token. Pure; it calls nobody.

use cloud::TokenInfo;
use std::{collections::HashMap, fmt};

/// What a rule asks of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// `@`: everybody.
    Always,
    /// `!`: nobody.
    Never,
    /// `role:NAME`: the token has this role, written exactly so.
    Role(String),
    /// `rule:NAME`: what another rule asks.
    Rule(String),
    /// `project_id:ID`: the token is scoped to this project.
    Project(String),
    /// `user_id:ID`: the token is this user's.
    User(String),
    /// `system_scope:all`: the token is scoped to the system.
    System,
    /// `is_admin_project:True`: Keystone calls the token's project its admin project.
    AdminProject,
    /// `not`.
    Not(Box<Check>),
    /// `and`.
    And(Vec<Check>),
    /// `or`.
    Or(Vec<Check>),
}

/// Looks up rules by name while a check is judged, and keeps what each came to: a rule is judged once.
pub(super) struct Judge<'a> {
    pub rules: &'a HashMap<String, Check>,
    pub who: &'a TokenInfo,
    known: HashMap<&'a str, Option<bool>>,
}

impl<'a> Judge<'a> {
    pub fn new(rules: &'a HashMap<String, Check>, who: &'a TokenInfo) -> Self {
        Judge { rules, who, known: HashMap::new() }
    }

    /// What a rule comes to; `None`: it hangs on a rule that is not there, so that `not` must not turn it into a yes.
    ///
    /// Rules lie in no circle and no deeper than [`super::set::MAX_DEPTH`]: that was checked when they were read.
    pub fn rule(&mut self, name: &str) -> Option<bool> {
        // A rule named `default` stands in for those that are not there, if it was written.
        let (name, check) = self.rules.get_key_value(name).or_else(|| self.rules.get_key_value("default"))?;
        if let Some(known) = self.known.get(name.as_str()) {
            return *known;
        }
        let verdict = self.check(check);
        self.known.insert(name, verdict);
        verdict
    }

    fn check(&mut self, check: &'a Check) -> Option<bool> {
        match check {
            Check::Always => Some(true),
            Check::Never => Some(false),
            Check::Role(role) => Some(self.who.roles.iter().any(|r| r == role)),
            Check::Rule(name) => self.rule(name),
            Check::Project(id) => Some(self.who.project_id.as_ref() == Some(id)),
            Check::User(id) => Some(self.who.user_id == *id),
            Check::System => Some(self.who.system_scope),
            Check::AdminProject => Some(self.who.is_admin_project),
            Check::Not(inner) => self.check(inner).map(|yes| !yes),
            Check::And(all) => self.first(all, false),
            Check::Or(all) => self.first(all, true),
        }
    }

    /// The first that decides; else unknown if any was, else the other way.
    fn first(&mut self, all: &'a [Check], decides: bool) -> Option<bool> {
        let mut verdict = Some(!decides);
        for one in all {
            match self.check(one) {
                Some(yes) if yes == decides => return Some(decides),
                Some(_) => {}
                None => verdict = None,
            }
        }
        verdict
    }
}

impl Check {
    /// The rules it names.
    pub(super) fn named(&self) -> Vec<&str> {
        match self {
            Check::Rule(name) => vec![name],
            Check::Not(inner) => inner.named(),
            Check::And(all) | Check::Or(all) => all.iter().flat_map(Check::named).collect(),
            _ => Vec::new(),
        }
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, inside: bool) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, all: &[Check], word: &str| -> fmt::Result {
            if inside {
                f.write_str("(")?;
            }
            for (n, one) in all.iter().enumerate() {
                if n > 0 {
                    write!(f, " {word} ")?;
                }
                one.write(f, true)?;
            }
            if inside { f.write_str(")") } else { Ok(()) }
        };
        match self {
            Check::Always => f.write_str("@"),
            Check::Never => f.write_str("!"),
            Check::Role(role) => write!(f, "role:{role}"),
            Check::Rule(name) => write!(f, "rule:{name}"),
            Check::Project(id) => write!(f, "project_id:{id}"),
            Check::User(id) => write!(f, "user_id:{id}"),
            Check::System => f.write_str("system_scope:all"),
            Check::AdminProject => f.write_str("is_admin_project:True"),
            Check::Not(inner) => {
                f.write_str("not ")?;
                inner.write(f, true)
            }
            Check::And(all) => list(f, all, "and"),
            Check::Or(all) => list(f, all, "or"),
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, false)
    }
}
