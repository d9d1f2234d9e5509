//! Label and field selectors.

use crate::{
    errors::{ApiError, ApiResult},
    params::Params,
};
use schemas::{DynObject, KindInfo, selector::Selector};
use serde_json::Value;
use std::collections::BTreeMap;

/// Where the value of a field comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    Name,
    Spec(&'static str),
    Status(&'static str),
    Condition(&'static str),
}

/// A field that can be selected by, and the kinds that have it (none named: all).
#[derive(Debug)]
struct Field {
    path: &'static str,
    from: From,
    kinds: &'static [&'static str],
    /// Whether it may change while the object lives.
    mutable: bool,
}

const fn fixed(path: &'static str, pointer: &'static str, kinds: &'static [&'static str]) -> Field {
    Field { path, from: From::Spec(pointer), kinds, mutable: false }
}

const NAME: &str = "metadata.name";
const FIELDS: &[Field] = &[
    Field { path: NAME, from: From::Name, kinds: &[], mutable: false },
    Field { path: "status.conditions.Ready", from: From::Condition("Ready"), kinds: &[], mutable: true },
    Field { path: "status.power.state", from: From::Status("/power/state"), kinds: &["Host"], mutable: true },
    fixed("spec.hostRef.name", "/hostRef/name", &["PowerLink", "HostOperation", "Evacuation", "FenceAttestation"]),
    Field { path: "spec.deviceRef.name", from: From::Spec("/deviceRef/name"), kinds: &["PowerLink"], mutable: true },
    fixed("spec.owner", "/owner", &["Operation"]),
    fixed("spec.host", "/host", &["Operation"]),
    fixed("spec.target", "/target", &["AuditRecord"]),
    fixed("spec.initiator", "/initiator", &["AuditRecord"]),
    fixed("spec.action", "/action", &["AuditRecord"]),
    fixed("spec.outcome", "/outcome", &["AuditRecord"]),
    fixed("spec.regarding", "/regarding", &["Event"]),
];

/// What a name is called as a filter.
const SHORT_NAME: &str = "name";

/// Whether a parameter of the query is a filter.
pub(crate) fn is_filter(name: &str) -> bool {
    name == SHORT_NAME || FIELDS.iter().any(|f| f.path == name)
}

/// Whether objects of a kind can be filtered by a parameter.
pub(crate) fn has_filter(kind: &KindInfo, name: &str) -> bool {
    name == SHORT_NAME || FIELDS.iter().any(|f| f.path == name && (f.kinds.is_empty() || f.kinds.contains(&kind.kind)))
}

/// What is demanded of a field.
#[derive(Clone, Debug)]
struct Demand {
    field: &'static Field,
    /// One of these it must be, or none of them.
    values: Vec<String>,
    not: bool,
}

impl Demand {
    fn is_single(&self) -> bool {
        !self.not && self.values.len() == 1
    }

    fn holds(&self, object: &DynObject) -> bool {
        let text = |value: Option<&'_ Value>| value.and_then(Value::as_str).unwrap_or_default().to_string();
        let value = match self.field.from {
            From::Name => object.metadata.name.clone(),
            From::Spec(pointer) => text(object.spec.pointer(pointer)),
            From::Status(pointer) => text(object.status.pointer(pointer)),
            From::Condition(name) => condition(object, name).into(),
        };
        self.values.contains(&value) != self.not
    }
}

/// Status of a condition; one that nobody has looked at is `Unknown`.
fn condition<'a>(object: &'a DynObject, name: &str) -> &'a str {
    let mut all = object.status["conditions"].as_array().into_iter().flatten();
    all.find(|c| c["type"] == name).and_then(|c| c["status"].as_str()).unwrap_or("Unknown")
}

/// Which objects are wanted.
#[derive(Clone, Default)]
pub(crate) struct Selection {
    labels: Selector,
    fields: Vec<Demand>,
    /// Kind and selectors as text, to bind `continue` tokens to.
    pub key: String,
}

impl Selection {
    pub fn parse(kind: &KindInfo, params: &Params) -> ApiResult<Selection> {
        let (labels, fields) = (params.get("labelSelector").unwrap_or_default(), params.get("fieldSelector").unwrap_or_default());
        let labels_parsed = Selector::parse(labels).map_err(|e| ApiError::invalid("labelSelector", format!("{e}.")))?;
        let parts = fields.split(',').map(str::trim).filter(|p| !p.is_empty());
        let mut demands = parts.map(|part| requirement(kind, part)).collect::<ApiResult<Vec<_>>>()?;
        let mut key = format!("{}\0{labels}\0{fields}", kind.kind);
        for name in std::iter::once(SHORT_NAME).chain(FIELDS.iter().map(|f| f.path)) {
            if let Some(value) = params.get(name) {
                demands.push(filter(kind, name, value)?);
                key.push_str(&format!("\0{name}={value}"));
            }
        }
        Ok(Selection { labels: labels_parsed, fields: demands, key })
    }

    /// Whether everything is wanted.
    pub fn is_all(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// The value a field is asked for, if it is.
    pub fn wanted(&self, path: &str) -> Option<&str> {
        self.fields.iter().find(|d| d.field.path == path && d.is_single()).map(|d| d.values[0].as_str())
    }

    /// Whether all holds that [`Selection::wanted`] does not tell of.
    pub fn matches_the_rest(&self, object: &DynObject) -> bool {
        self.labels.matches(&object.metadata.labels) && self.fields.iter().filter(|d| !d.is_single()).all(|demand| demand.holds(object))
    }

    /// The one name that is wanted, if it is one.
    pub fn name(&self) -> Option<&str> {
        self.wanted(NAME)
    }

    /// The host whose objects are wanted; the store has an index for it.
    pub fn host(&self) -> Option<&str> {
        self.wanted("spec.hostRef.name").or_else(|| self.wanted("spec.host"))
    }

    /// Whether the host alone is asked for, so that the store's index answers the whole query.
    pub fn is_host_only(&self) -> bool {
        self.labels.is_empty() && self.fields.len() == 1 && self.host().is_some()
    }

    pub fn matches(&self, object: &DynObject) -> bool {
        self.labels.matches(&object.metadata.labels) && self.fields.iter().all(|demand| demand.holds(object))
    }

    /// Whether `object` was selected before its last change, given the labels it had then. `None`: cannot be told.
    pub fn matched_before(&self, object: &DynObject, labels: Option<&BTreeMap<String, String>>) -> Option<bool> {
        let (fixed, mutable): (Vec<_>, Vec<_>) = self.fields.iter().partition(|d| !d.field.mutable);
        if !fixed.iter().all(|demand| demand.holds(object)) {
            return Some(false);
        }
        let by_labels = if self.labels.is_empty() { Some(true) } else { labels.map(|l| self.labels.matches(l)) };
        match by_labels {
            Some(true) if !mutable.is_empty() => None,
            known => known,
        }
    }
}

/// A part of `fieldSelector`: `path=value`, `path==value` or `path!=value`.
fn requirement(kind: &KindInfo, part: &str) -> ApiResult<Demand> {
    let wrong = || ApiError::invalid("fieldSelector", format!("{part:?} is not a requirement; write path=value or path!=value."));
    let (path, value) = part.split_once('=').ok_or_else(wrong)?;
    let (path, not) = path.strip_suffix('!').map_or((path, false), |path| (path, true));
    let value = value.strip_prefix('=').unwrap_or(value).trim();
    Ok(Demand { field: field(kind, "fieldSelector", path.trim())?, values: vec![value.into()], not })
}

/// A parameter as other OpenStack services take it: `value`, `in:a,b`, `nin:a,b`, `eq:value` or `neq:value`.
fn filter(kind: &KindInfo, name: &str, text: &str) -> ApiResult<Demand> {
    let field = field(kind, name, if name == SHORT_NAME { NAME } else { name })?;
    let (values, not) = match text.split_once(':') {
        Some((word @ ("in" | "nin"), list)) => {
            let values: Vec<String> = list.split(',').map(str::trim).filter(|v| !v.is_empty()).map(String::from).collect();
            if values.is_empty() {
                return Err(ApiError::invalid(name, format!("{text:?} names nothing; write {word}:a,b.")));
            }
            (values, word == "nin")
        }
        Some((word @ ("eq" | "neq"), value)) => (vec![value.into()], word == "neq"),
        _ => (vec![text.into()], false),
    };
    Ok(Demand { field, values, not })
}

fn field(kind: &KindInfo, parameter: &str, path: &str) -> ApiResult<&'static Field> {
    let mut fitting = FIELDS.iter().filter(|f| f.kinds.is_empty() || f.kinds.contains(&kind.kind));
    fitting.clone().find(|f| f.path == path).ok_or_else(|| {
        let known = fitting.by_ref().map(|f| f.path).collect::<Vec<_>>().join(", ");
        ApiError::invalid(parameter, format!("{} objects cannot be selected by {path:?}; known are {known}.", kind.kind))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::kinds;
    use serde_json::json;

    fn selection(kind: &str, query: &str) -> ApiResult<Selection> {
        let uri = format!("/v1/x?{query}").parse().unwrap();
        Selection::parse(kinds::find(kind).unwrap(), &Params::parse(&uri, crate::router::LIST).unwrap())
    }

    #[test]
    fn a_field_can_be_selected_by_only_where_the_kind_declares_it() {
        assert!(selection("PowerLink", "fieldSelector=spec.hostRef.name%3Dc1,metadata.name%3D%3Dl1").is_ok());
        for bad in ["spec.power%3DOn", "spec.hostRef.name%3Dc1", "metadata.name!c1", "metadata.name"] {
            assert!(selection("Host", &format!("fieldSelector={bad}")).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_field_can_be_filtered_by_as_a_parameter() {
        let missing: Vec<&str> = FIELDS.iter().map(|f| f.path).filter(|path| !crate::router::LIST.contains(path)).collect();
        assert!(missing.is_empty() && crate::router::LIST.contains(&SHORT_NAME), "{missing:?}");
    }

    #[test]
    fn a_field_is_demanded_to_be_or_not_to_be_one_of_some_values() {
        let mut host = DynObject::new("Host", "c1", json!({}));
        host.status = json!({"power": {"state": "On"}, "conditions": [{"type": "Ready", "status": "False"}]});
        let holds = |query: &str| selection("Host", query).unwrap().matches(&host);
        for yes in [
            "name=c1",
            "name=in:c0,c1",
            "name=neq:c2",
            "name=nin:c2,c3",
            "name=eq:c1",
            "status.power.state=On",
            "status.conditions.Ready=False",
            "fieldSelector=status.conditions.Ready!%3DTrue,status.power.state%3DOn",
        ] {
            assert!(holds(yes), "{yes}");
        }
        for no in [
            "name=c2",
            "name=in:c2",
            "name=nin:c1,c2",
            "status.power.state=neq:On",
            "fieldSelector=metadata.name!%3Dc1",
            "name=c1&status.power.state=Off",
        ] {
            assert!(!holds(no), "{no}");
        }
        for bad in ["name=in:", "name=nin:,", "spec.host=c1"] {
            assert!(selection("Host", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_an_object_was_before_is_known_unknown_or_impossible() {
        let mut link = DynObject::new("PowerLink", "l1", json!({"hostRef": {"name": "c1"}, "deviceRef": {"name": "d1"}}));
        link.metadata.labels.insert("rack".into(), "a".into());
        let before = BTreeMap::from([("rack".to_string(), "b".to_string())]);
        let ask = |query: &str, labels| selection("PowerLink", query).unwrap().matched_before(&link, labels);
        assert_eq!(ask("labelSelector=rack%3Db", Some(&before)), Some(true));
        assert_eq!(ask("labelSelector=rack%3Da", Some(&before)), Some(false));
        assert_eq!(ask("labelSelector=rack%3Da", None), None);
        assert_eq!(ask("fieldSelector=spec.hostRef.name%3Dc2", None), Some(false));
        assert_eq!(ask("fieldSelector=spec.deviceRef.name%3Dd2", Some(&before)), None);
    }

    proptest::proptest! {
        /// Any selector is read or refused; to be one of some and to be none of them are opposites.
        #[test]
        fn any_selector_is_read_or_refused(text in "\\PC{0,60}", words in "[a-z0-9,: -]{1,30}") {
            let escaped = crate::params::escape(&text);
            for parameter in ["labelSelector", "fieldSelector", "name", "status.power.state"] {
                let _ = selection("Host", &format!("{parameter}={escaped}"));
            }
            let host = DynObject::new("Host", "c1", json!({}));
            let words = crate::params::escape(&words);
            let holds = |word: &str| selection("Host", &format!("name={word}%3A{words}")).map(|s| s.matches(&host)).ok();
            proptest::prop_assert_eq!(holds("in"), holds("nin").map(|held| !held));
        }
    }
}
