//! Label selectors: `a=b,c!=d,e,!f,g in (x,y),h notin (z)`.

use std::collections::BTreeMap;

/// A parsed selector; all its requirements must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Missing(String),
}

impl Selector {
    /// Parses the Kubernetes grammar. The error says which part is wrong.
    pub fn parse(text: &str) -> Result<Selector, String> {
        split(text).into_iter().filter(|p| !p.is_empty()).map(|p| requirement(&p)).collect::<Result<_, _>>().map(Selector)
    }

    /// Whether these labels are selected.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|r| match r {
            Requirement::In(k, v) => labels.get(k).is_some_and(|x| v.contains(x)),
            Requirement::NotIn(k, v) => !labels.get(k).is_some_and(|x| v.contains(x)),
            Requirement::Exists(k) => labels.contains_key(k),
            Requirement::Missing(k) => !labels.contains_key(k),
        })
    }

    /// Whether everything is selected.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Splits at commas outside parentheses.
fn split(text: &str) -> Vec<String> {
    let (mut parts, mut depth) = (vec![String::new()], 0i32);
    for c in text.chars() {
        match c {
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if let Some(last) = parts.last_mut() {
            last.push(c);
        }
    }
    parts.iter().map(|p| p.trim().to_string()).collect()
}

fn requirement(part: &str) -> Result<Requirement, String> {
    let key = |k: &str| {
        let k = k.trim();
        let fits = !k.is_empty() && k.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/'));
        if fits {
            Ok(k.to_string())
        } else {
            Err(format!("{part:?} is not a requirement; write key=value, key!=value, key, !key, key in (a,b) or key notin (a,b)"))
        }
    };
    if let Some((k, v)) = part.split_once("!=") {
        return Ok(Requirement::NotIn(key(k)?, vec![v.trim().into()]));
    }
    if let Some((k, v)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return Ok(Requirement::In(key(k)?, vec![v.trim().into()]));
    }
    for (word, negative) in [(" notin ", true), (" in ", false)] {
        if let Some((k, set)) = part.split_once(word) {
            let inner = set.trim().strip_prefix('(').and_then(|s| s.strip_suffix(')'));
            let Some(inner) = inner else { return Err(format!("{part:?} lacks its parentheses: write key in (a,b)")) };
            let values = inner.split(',').map(|v| v.trim().to_string()).collect();
            return Ok(if negative { Requirement::NotIn(key(k)?, values) } else { Requirement::In(key(k)?, values) });
        }
    }
    match part.strip_prefix('!') {
        Some(k) => Ok(Requirement::Missing(key(k)?)),
        None => Ok(Requirement::Exists(key(part)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_requirement_selects_what_kubernetes_would() {
        let labels: BTreeMap<String, String> = [("rack".into(), "a1".into()), ("x/y".into(), "1".into())].into();
        for (text, want) in [
            ("", true),
            ("rack=a1", true),
            ("rack==a2", false),
            ("rack!=a2,x/y", true),
            ("!gone", true),
            ("!rack", false),
            ("rack in (a1, a2),x/y notin (2)", true),
            ("rack notin (a1)", false),
            ("gone!=a", true),
        ] {
            assert_eq!(Selector::parse(text).unwrap().matches(&labels), want, "{text}");
        }
    }

    #[test]
    fn a_broken_selector_names_the_broken_part() {
        for text in ["a b", "rack in a", "=x", "a=1,&"] {
            assert!(Selector::parse(text).is_err(), "{text}");
        }
    }

    proptest::proptest! {
        /// Any text is read or refused, and `in` is the opposite of `notin` where the label is there.
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,80}", value in "[a-z0-9]{1,8}", other in "[a-z0-9]{1,8}") {
            let labels: BTreeMap<String, String> = [("rack".into(), value)].into();
            let _ = Selector::parse(&text).map(|s| s.matches(&labels));
            let holds = |word: &str| Selector::parse(&format!("rack {word} (x, {other})")).unwrap().matches(&labels);
            proptest::prop_assert_eq!(holds("in"), !holds("notin"));
        }
    }
}
