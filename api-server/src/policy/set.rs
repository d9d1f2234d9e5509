//! All rules together: the table's, with a file's laid over them.

use super::{
    check::{Check, Judge},
    parse::parse,
    rules::{self, RULES, Scope},
};
use crate::errors::{ApiError, ApiResult, Code};
use cloud::TokenInfo;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use std::{collections::HashMap, fmt};

/// How deep rules may name rules.
pub const MAX_DEPTH: usize = 32;
/// Largest file, in bytes.
pub const MAX_FILE: usize = 1024 * 1024;

/// What is wrong in a file of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Line, from 1; 0: of the file as a whole.
    pub line: usize,
    /// Name of the rule; may be empty.
    pub rule: String,
    /// What is wrong and the way out.
    pub message: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        if !self.rule.is_empty() {
            write!(f, "rule \"{}\": ", self.rule)?;
        }
        f.write_str(&self.message)
    }
}

/// Who may what.
#[derive(Clone, Debug)]
pub struct Policy {
    rules: HashMap<String, Check>,
    /// What counts although it is odd: for people.
    pub warnings: Vec<Wrong>,
}

/// What a rule says of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it may.
    pub allowed: bool,
    /// The token is bound to nothing that the rule takes; these it would take.
    pub scope_wanted: &'static [Scope],
}

/// A map of texts with all that it holds, in order, also what is there twice.
struct Lines(Vec<(String, yaml_serde::Value)>);

impl<'de> Deserialize<'de> for Lines {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Map;
        impl<'de> Visitor<'de> for Map {
            type Value = Lines;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("rules, one a line: \"NAME\": \"CHECK\"")
            }
            fn visit_unit<E>(self) -> Result<Lines, E> {
                Ok(Lines(Vec::new()))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Lines, A::Error> {
                let mut all = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    all.push(entry);
                }
                Ok(Lines(all))
            }
        }
        d.deserialize_any(Map)
    }
}

impl Default for Policy {
    fn default() -> Self {
        // The table's own texts are read by a test; one that is wrong would be nobody's.
        let rules = RULES.iter().map(|rule| (rule.name.clone(), parse(rule.check).unwrap_or(Check::Never))).collect();
        Policy { rules, warnings: Vec::new() }
    }
}

impl Policy {
    /// Lays the rules of a file over the table's.
    ///
    /// # Errors
    /// All that is wrong, each with its line and its rule.
    pub fn read(text: &str) -> Result<Policy, Vec<Wrong>> {
        let whole = |line: usize, message: String| vec![Wrong { line, rule: String::new(), message }];
        if text.len() > MAX_FILE {
            return Err(whole(0, format!("the file has {} bytes; at most {MAX_FILE} are read.", text.len())));
        }
        // A file of nothing but comments is a file without rules.
        let lines: Lines = match yaml_serde::from_str::<Option<Lines>>(text) {
            Ok(lines) => lines.unwrap_or(Lines(Vec::new())),
            Err(e) => return Err(whole(e.location().map_or(0, |at| at.line()), format!("this is no YAML of rules: {e}."))),
        };
        let mut policy = Policy::default();
        let (mut wrong, mut written) = (Vec::new(), HashMap::new());
        for (rule, value) in &lines.0 {
            let nth = *written.entry(rule.as_str()).and_modify(|n| *n += 1).or_insert(0);
            let line = line_of(text, rule, nth);
            let mut fail = |message: String| wrong.push(Wrong { line, rule: rule.clone(), message });
            if nth > 0 {
                fail("is there twice; take one out.".into());
            } else if rule.starts_with("cloud-manager:") && rules::find(rule).is_none() {
                fail(format!(
                    "no request asks for it, so it would not count{}; `cloud-manager policy generate` prints all that count.",
                    nearest(rule)
                ));
            } else {
                match value.as_str().map(parse) {
                    Some(Ok(check)) => {
                        policy.rules.insert(rule.clone(), check);
                    }
                    Some(Err(message)) => fail(message),
                    None => fail("must be a text in quotes; lists of lists, the older form, are not read.".into()),
                }
            }
        }
        let line = |rule: &str| if written.contains_key(rule) { line_of(text, rule, 0) } else { 0 };
        policy.check_names(&line, &mut wrong);
        if wrong.is_empty() {
            Ok(policy)
        } else {
            wrong.sort_by(|a, b| (a.line, &a.rule).cmp(&(b.line, &b.rule)));
            Err(wrong)
        }
    }

    /// Finds rules that name themselves over others, that lie too deep, and that name none that is there.
    fn check_names(&mut self, line: &dyn Fn(&str) -> usize, wrong: &mut Vec<Wrong>) {
        let mut depths: HashMap<&str, usize> = HashMap::new();
        let mut names: Vec<&String> = self.rules.keys().collect();
        names.sort();
        let mut in_circle = Vec::new();
        for name in &names {
            match self.depth(name, &mut Vec::new(), &mut depths) {
                Ok(depth) if depth > MAX_DEPTH => {
                    let message = format!("names rules that name rules, deeper than {MAX_DEPTH} levels; write more of it in one rule.");
                    wrong.push(Wrong { line: line(name), rule: (*name).clone(), message });
                }
                Ok(_) => {}
                Err(circle) => {
                    let mut members = circle.clone();
                    members.sort();
                    members.dedup();
                    if !in_circle.contains(&members) {
                        let message = format!("leads back to itself ({}); take one of these out.", circle.join(" -> "));
                        let first = circle.iter().find(|n| line(n) > 0).unwrap_or(*name);
                        wrong.push(Wrong { line: line(first), rule: first.to_string(), message });
                        in_circle.push(members);
                    }
                }
            }
        }
        let mut warnings = Vec::new();
        for name in names {
            for named in self.rules[name].named() {
                if !self.rules.contains_key(named) {
                    let instead =
                        if self.rules.contains_key("default") { "the rule \"default\" counts in its place" } else { "what hangs on it is denied" };
                    let message = format!("names rule:{named}, which is not there; {instead}.");
                    warnings.push(Wrong { line: line(name), rule: name.clone(), message });
                }
            }
        }
        self.warnings = warnings;
    }

    /// How deep the rules lie that a rule names; the circle, if there is one.
    fn depth<'a>(&'a self, name: &str, path: &mut Vec<String>, known: &mut HashMap<&'a str, usize>) -> Result<usize, Vec<String>> {
        let Some((name, check)) = self.rules.get_key_value(name).or_else(|| self.rules.get_key_value("default")) else { return Ok(0) };
        if let Some(depth) = known.get(name.as_str()) {
            return Ok(*depth);
        }
        if let Some(at) = path.iter().position(|n| n == name) {
            let mut circle = path[at..].to_vec();
            circle.push(name.clone());
            return Err(circle);
        }
        path.push(name.clone());
        // What lies far too deep is not followed to its end: the answer is the same.
        let mut depth = 0;
        if path.len() <= 4 * MAX_DEPTH {
            for named in check.named() {
                depth = depth.max(1 + self.depth(named, path, known)?);
            }
        } else {
            depth = 4 * MAX_DEPTH;
        }
        path.pop();
        known.insert(name, depth);
        Ok(depth)
    }

    /// What a rule says of a token; one that is not there says no.
    pub fn verdict(&self, rule: &str, who: &TokenInfo) -> Verdict {
        let scopes = rules::find(rule).map_or(&[][..], |r| r.scopes);
        let has = |scope: &Scope| match scope {
            Scope::System => who.system_scope,
            Scope::Project => who.project_id.is_some(),
        };
        if !scopes.is_empty() && !scopes.iter().any(has) {
            return Verdict { allowed: false, scope_wanted: scopes };
        }
        Verdict { allowed: self.allows(rule, who), scope_wanted: &[] }
    }

    /// Whether the check of a rule holds for a token; one that is not there holds for nobody.
    fn allows(&self, rule: &str, who: &TokenInfo) -> bool {
        self.rules.contains_key(rule) && Judge::new(&self.rules, who).rule(rule) == Some(true)
    }

    /// Which of the personas a token is.
    pub fn personas(&self, who: &TokenInfo) -> Vec<&'static str> {
        rules::PERSONAS.into_iter().filter(|persona| self.allows(persona, who)).collect()
    }

    /// The check of a rule as it is in force; that of one which is not there is `!`.
    pub fn check_of(&self, rule: &str) -> String {
        self.rules.get(rule).map_or_else(|| "!".into(), ToString::to_string)
    }

    /// S15: lets a request through or not.
    ///
    /// # Errors
    /// 403, with the rule that said no and what it asks for, or with the scope that is wanted.
    pub fn decide(&self, rule: &str, who: &TokenInfo) -> ApiResult<()> {
        let verdict = self.verdict(rule, who);
        if verdict.allowed {
            return Ok(());
        }
        if !verdict.scope_wanted.is_empty() {
            let wanted: Vec<&str> = verdict.scope_wanted.iter().map(|s| s.word()).collect();
            // A valid token: 401 would only make the client log in again.
            let detail = format!(
                "The token is bound to no project and not to the system; the rule {rule} wants one of the scopes {}: ask Keystone for a token with one.",
                wanted.join(", ")
            );
            return Err(ApiError::new(Code::ScopeRequired, detail).with("rule", rule).with("scopes", wanted));
        }
        let check = self.check_of(rule);
        let detail = format!("The token does not allow this: the rule {rule} asks for {check}. GET /v1/whoami tells what the token has.");
        Err(ApiError::new(Code::Forbidden, detail).with("rule", rule))
    }
}

/// The line on which a rule is written for the `nth` time.
fn line_of(text: &str, rule: &str, nth: usize) -> usize {
    let begins = |line: &str| {
        let line = line.trim_start();
        let bare = line.strip_prefix(rule).or_else(|| line.strip_prefix(['"', '\''])?.strip_prefix(rule)?.strip_prefix(['"', '\'']));
        bare.is_some_and(|rest| rest.trim_start().starts_with(':'))
    };
    text.lines().enumerate().filter(|(_, line)| begins(line)).nth(nth).map_or(0, |(n, _)| n + 1)
}

/// The rule whose name is most like this one, as a question.
fn nearest(name: &str) -> String {
    let mut parts = name.split(':').skip(1);
    let (plural, verb) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let alike = |a: &str, b: &str| a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count();
    let score = |rule: &str| {
        let mut parts = rule.split(':').skip(1);
        alike(parts.next().unwrap_or_default(), plural) * 10 + alike(parts.next().unwrap_or_default(), verb)
    };
    let best = RULES.iter().filter(|r| r.name.starts_with("cloud-manager:")).max_by_key(|r| (score(&r.name), std::cmp::Reverse(r.name.len())));
    best.map_or_else(String::new, |rule| format!(" (is {} meant?)", rule.name))
}

/// The table as a `policy.yaml` that changes nothing.
pub fn sample() -> String {
    let mut out = String::from(
        "# Who may what. Take the # off a line and change it; what is left out stays as it is here.\n\
         # Checks: role:NAME, rule:NAME, project_id:ID, user_id:ID, system_scope:all, is_admin_project:True,\n\
         # @ (everybody), ! (nobody), and, or, not, parentheses. No rule passes what makes an act safe.\n",
    );
    for rule in RULES.iter() {
        out.push_str(&format!("\n# {}\n", rule.description));
        for (method, path) in &rule.operations {
            out.push_str(&format!("# {method} {path}\n"));
        }
        if !rule.scopes.is_empty() {
            let scopes: Vec<&str> = rule.scopes.iter().map(|s| s.word()).collect();
            out.push_str(&format!("# Scopes: {}\n", scopes.join(", ")));
        }
        out.push_str(&format!("#\"{}\": \"{}\"\n", rule.name, rule.check));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use schemas::Time;

    pub(super) fn who(roles: &[&str], project: Option<&str>, system: bool) -> TokenInfo {
        TokenInfo {
            user_id: "u".into(),
            user_name: "u".into(),
            project_id: project.map(Into::into),
            system_scope: system,
            is_admin_project: false,
            roles: roles.iter().map(ToString::to_string).collect(),
            expires_at: Time(0),
            access_rules: None,
        }
    }

    fn wrong(text: &str) -> String {
        Policy::read(text).expect_err(text).iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn every_check_of_the_table_reads_and_names_rules_that_are_there() {
        for rule in RULES.iter() {
            parse(rule.check).unwrap_or_else(|e| panic!("{}: {e}", rule.name));
        }
        assert_eq!(Policy::read("").unwrap().warnings, []);
    }

    #[test]
    fn the_sample_changes_nothing_as_it_is_and_nothing_when_every_line_counts() {
        let default = Policy::default().rules;
        assert_eq!(Policy::read(&sample()).unwrap().rules, default);
        let all: String = sample().lines().filter_map(|l| l.strip_prefix("#\"")).map(|l| format!("\"{l}\n")).collect();
        assert_eq!(all.lines().count(), RULES.len());
        assert_eq!(Policy::read(&all).unwrap().rules, default);
    }

    #[test]
    fn a_file_changes_what_it_names_and_nothing_else() {
        let policy = Policy::read("\"cloud-manager:hosts:evacuate\": \"role:pilot and project_id:p\"\nobserver: \"role:watcher\"\n").unwrap();
        let may = |rule: &str, who: &TokenInfo| policy.decide(rule, who).is_ok();
        assert!(may("cloud-manager:hosts:evacuate", &who(&["pilot"], Some("p"), false)));
        assert!(!may("cloud-manager:hosts:evacuate", &who(&["pilot"], Some("q"), false)));
        assert!(!may("cloud-manager:hosts:evacuate", &who(&["admin"], Some("p"), false)), "its own check replaces the table's whole");
        assert!(may("cloud-manager:hosts:get", &who(&["watcher"], Some("q"), false)));
        assert!(!may("cloud-manager:hosts:get", &who(&["reader"], None, true)));
        assert!(may("cloud-manager:hosts:drain", &who(&["admin"], Some("p"), false)));
    }

    #[test]
    fn what_is_wrong_is_told_with_line_and_rule() {
        let text =
            "# mine\n\"admin\": \"role:admin or\"\n\"cloud-manager:hosts:evacuat\": \"@\"\nx: [[\"role:a\"]]\nobserver: \"https://a/b\"\nx: \"@\"\n";
        let told = wrong(text);
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(lines.len(), 5, "{told}");
        assert!(lines[0].starts_with("line 2: rule \"admin\": ends where"), "{told}");
        assert!(
            lines[1].starts_with("line 3: rule \"cloud-manager:hosts:evacuat\"") && lines[1].contains("is cloud-manager:hosts:evacuate meant?"),
            "{told}"
        );
        assert!(lines[2].starts_with("line 4: rule \"x\": must be a text"), "{told}");
        assert!(lines[3].starts_with("line 5: rule \"observer\"") && lines[3].contains("remote server"), "{told}");
        assert!(lines[4].starts_with("line 6: rule \"x\": is there twice"), "{told}");
        assert!(wrong("a: \"b").contains("line "), "{}", wrong("a: \"b"));
        assert!(wrong("- a\n- b\n").contains("\"NAME\": \"CHECK\""));
        assert!(wrong("just text").contains("\"NAME\": \"CHECK\""));
        assert!(wrong(&format!("# {}\n", "x".repeat(MAX_FILE))).contains("bytes"));
    }

    #[test]
    fn rules_in_a_circle_are_refused_and_the_circle_is_shown_once() {
        let told = wrong("a: rule:b\nb: \"not rule:c\"\nc: \"@ or rule:a\"\n");
        assert_eq!(told.lines().count(), 1, "{told}");
        assert!(told.contains("a -> b -> c -> a"), "{told}");
        assert!(wrong("admin: rule:operator\n").contains("leads back to itself"));
        assert!(wrong("default: rule:nowhere\n").contains("default -> default"));
        let mut deep: String = (0..40).map(|n| format!("r{n}: rule:r{}\n", n + 1)).collect();
        assert!(wrong(&deep).contains("deeper than"));
        deep = (0..5_000).map(|n| format!("r{n}: rule:r{}\n", n + 1)).collect();
        assert!(wrong(&deep).contains("deeper than"));
    }

    #[test]
    fn a_rule_that_is_not_there_denies_also_behind_a_not() {
        let admin = who(&["admin"], Some("p"), false);
        for (text, may) in [
            ("\"cloud-manager:hosts:get\": \"rule:typo\"", false),
            ("\"cloud-manager:hosts:get\": \"not rule:typo\"", false),
            ("\"cloud-manager:hosts:get\": \"not (rule:typo and role:admin)\"", false),
            ("\"cloud-manager:hosts:get\": \"rule:typo or role:admin\"", true),
            ("\"cloud-manager:hosts:get\": \"rule:typo\"\ndefault: \"@\"", true),
            ("\"cloud-manager:hosts:get\": \"not rule:typo\"\ndefault: \"@\"", false),
        ] {
            let policy = Policy::read(text).unwrap();
            assert_eq!(policy.decide("cloud-manager:hosts:get", &admin).is_ok(), may, "{text}");
            assert_eq!(policy.warnings.len(), 1, "{text}");
            assert!(policy.warnings[0].to_string().contains("rule:typo, which is not there"), "{text}");
            assert!(policy.decide("cloud-manager:nothing:get", &admin).is_err(), "a request without a rule is nobody's");
        }
    }

    #[test]
    fn rules_that_name_each_other_many_times_are_judged_once_each() {
        let mut text: String = (0..30).map(|n| format!("r{n}: \"rule:r{0} and rule:r{0} and rule:r{0}\"\n", n + 1)).collect();
        text.push_str("r30: \"@\"\n\"cloud-manager:hosts:get\": \"rule:r0\"\n");
        // Judged anew each time this would take 3^30 steps.
        assert!(Policy::read(&text).unwrap().decide("cloud-manager:hosts:get", &who(&[], Some("p"), false)).is_ok());
    }

    #[test]
    fn a_refusal_names_the_rule_and_what_it_asks_or_the_scope_it_wants() {
        let policy = Policy::default();
        let error = policy.decide("cloud-manager:hosts:evacuate", &who(&["reader"], None, true)).unwrap_err();
        let body = error.body("r", None);
        assert_eq!((error.code(), body["errors"][0]["rule"].as_str()), (Code::Forbidden, Some("cloud-manager:hosts:evacuate")));
        assert!(body["error"]["message"].as_str().unwrap().contains("asks for rule:operator"), "{body}");
        let error = policy.decide("cloud-manager:hosts:get", &who(&["admin"], None, false)).unwrap_err();
        let body = error.body("r", None);
        assert_eq!(error.code(), Code::ScopeRequired);
        assert_eq!(body["errors"][0]["scopes"], serde_json::json!(["system", "project"]));
        assert!(body["error"]["message"].as_str().unwrap().contains("system, project"), "{body}");
    }

    #[test]
    fn roles_count_as_they_are_written_and_managers_and_readers_only_in_an_operator_project() {
        let policy = Policy::read("operator_project: \"project_id:ops\"").unwrap();
        let personas = |roles: &[&str], project, system| policy.personas(&who(roles, project, system));
        assert_eq!(personas(&["admin"], Some("p"), false), ["admin", "operator", "observer", "tenant"]);
        assert_eq!(personas(&["Admin"], Some("p"), false), ["tenant"]);
        assert_eq!(personas(&["manager"], Some("ops"), false), ["operator", "observer", "tenant"]);
        assert_eq!(personas(&["manager"], Some("p"), false), ["tenant"]);
        assert_eq!(personas(&["cloud-operator"], Some("p"), false), ["operator", "observer", "tenant"]);
        assert_eq!(personas(&["reader"], Some("p"), false), ["tenant"]);
        assert_eq!(personas(&["reader"], Some("ops"), false), ["observer", "tenant"]);
        assert_eq!(personas(&["reader"], None, true), ["observer", "tenant"]);
        assert_eq!(personas(&["service"], Some("p"), false), ["service", "tenant"]);
    }

    proptest! {
        #[test]
        fn any_file_is_read_or_refused_in_sentences_and_judged_without_a_fault(
            lines in proptest::collection::vec(("[a-d]|admin|default|cloud-manager:hosts:get", "(rule:[a-e]|role:[a-c]|@|!|not rule:[a-e]|\\PC{0,12})( (and|or) (rule:[a-e]|role:[a-c]|@))?"), 0..8)
        ) {
            let text: String = lines.iter().map(|(name, check)| format!("\"{name}\": {check:?}\n")).collect();
            match Policy::read(&text) {
                Ok(policy) => {
                    for rule in RULES.iter() {
                        let _ = policy.verdict(&rule.name, &who(&["a"], Some("p"), false));
                    }
                }
                Err(wrong) => prop_assert!(!wrong.is_empty() && wrong.iter().all(|w| !w.message.is_empty())),
            }
        }

        #[test]
        fn bytes_that_are_no_file_of_rules_are_refused(text in "\\PC{0,300}") {
            let _ = Policy::read(&text);
        }
    }
}
