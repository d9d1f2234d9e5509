//! Label and field selectors.

use crate::{
    errors::{ApiError, ApiResult},
    params::Params,
};
use schemas::{DynObject, KindInfo, selector::Selector};
use std::collections::BTreeMap;

/// A field that can be selected by, and the kinds that have it (none named: all).
struct Field {
    path: &'static str,
    pointer: &'static str,
    kinds: &'static [&'static str],
    /// Whether it may change while the object lives.
    mutable: bool,
}

const NAME: &str = "metadata.name";
const FIELDS: &[Field] = &[
    Field { path: NAME, pointer: "", kinds: &[], mutable: false },
    Field {
        path: "spec.hostRef.name",
        pointer: "/hostRef/name",
        kinds: &["PowerLink", "HostOperation", "Evacuation", "FenceAttestation"],
        mutable: false,
    },
    Field { path: "spec.deviceRef.name", pointer: "/deviceRef/name", kinds: &["PowerLink"], mutable: true },
    Field { path: "spec.owner", pointer: "/owner", kinds: &["Operation"], mutable: false },
    Field { path: "spec.host", pointer: "/host", kinds: &["Operation"], mutable: false },
    Field { path: "spec.target", pointer: "/target", kinds: &["AuditRecord"], mutable: false },
    Field { path: "spec.initiator", pointer: "/initiator", kinds: &["AuditRecord"], mutable: false },
    Field { path: "spec.action", pointer: "/action", kinds: &["AuditRecord"], mutable: false },
    Field { path: "spec.outcome", pointer: "/outcome", kinds: &["AuditRecord"], mutable: false },
    Field { path: "spec.regarding", pointer: "/regarding", kinds: &["Event"], mutable: false },
];

/// Which objects are wanted.
#[derive(Clone, Default)]
pub(crate) struct Selection {
    labels: Selector,
    fields: Vec<(&'static Field, String)>,
    /// Kind and selectors as text, to bind `continue` tokens to.
    pub key: String,
}

impl Selection {
    pub fn parse(kind: &KindInfo, params: &Params) -> ApiResult<Selection> {
        let (labels, fields) = (params.get("labelSelector").unwrap_or_default(), params.get("fieldSelector").unwrap_or_default());
        let labels_parsed = Selector::parse(labels).map_err(|e| ApiError::invalid("labelSelector", format!("{e}.")))?;
        let parts = fields.split(',').map(str::trim).filter(|p| !p.is_empty());
        let parsed = parts.map(|part| field(kind, part)).collect::<ApiResult<Vec<_>>>()?;
        Ok(Selection { labels: labels_parsed, fields: parsed, key: format!("{}\0{labels}\0{fields}", kind.kind) })
    }

    /// Whether everything is wanted.
    pub fn is_all(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// The value a field is asked for, if it is.
    pub fn wanted(&self, path: &str) -> Option<&str> {
        self.fields.iter().find(|(f, _)| f.path == path).map(|(_, v)| v.as_str())
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
        self.labels.matches(&object.metadata.labels) && self.fields.iter().all(|(field, value)| holds(field, value, object))
    }

    /// Whether `object` was selected before its last change, given the labels it had then. `None`: cannot be told.
    pub fn matched_before(&self, object: &DynObject, labels: Option<&BTreeMap<String, String>>) -> Option<bool> {
        let (fixed, mutable): (Vec<_>, Vec<_>) = self.fields.iter().partition(|(f, _)| !f.mutable);
        if !fixed.iter().all(|(field, value)| holds(field, value, object)) {
            return Some(false);
        }
        let by_labels = if self.labels.is_empty() { Some(true) } else { labels.map(|l| self.labels.matches(l)) };
        match by_labels {
            Some(true) if !mutable.is_empty() => None,
            known => known,
        }
    }
}

fn holds(field: &Field, value: &str, object: &DynObject) -> bool {
    match field.path {
        NAME => object.metadata.name == value,
        _ => object.spec.pointer(field.pointer).and_then(|v| v.as_str()) == Some(value),
    }
}

fn field(kind: &KindInfo, part: &str) -> ApiResult<(&'static Field, String)> {
    let fits = |f: &&Field| f.kinds.is_empty() || f.kinds.contains(&kind.kind);
    let Some((path, value)) = part.split_once("==").or_else(|| part.split_once('=')).filter(|(path, _)| !path.ends_with('!')) else {
        return Err(ApiError::invalid("fieldSelector", format!("{part:?} is not a requirement; write path=value.")));
    };
    match FIELDS.iter().filter(fits).find(|f| f.path == path.trim()) {
        Some(field) => Ok((field, value.trim().to_string())),
        None => {
            let known = FIELDS.iter().filter(fits).map(|f| f.path).collect::<Vec<_>>().join(", ");
            Err(ApiError::invalid("fieldSelector", format!("{} objects cannot be selected by {:?}; known are {known}.", kind.kind, path.trim())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::kinds;
    use serde_json::json;

    fn selection(kind: &str, query: &str) -> ApiResult<Selection> {
        let uri = format!("/v1/x?{query}").parse().unwrap();
        Selection::parse(kinds::find(kind).unwrap(), &Params::parse(&uri, &["labelSelector", "fieldSelector"]).unwrap())
    }

    #[test]
    fn a_field_can_be_selected_by_only_where_the_kind_declares_it() {
        assert!(selection("PowerLink", "fieldSelector=spec.hostRef.name%3Dc1,metadata.name%3D%3Dl1").is_ok());
        for bad in ["spec.power%3DOn", "spec.hostRef.name%3Dc1", "metadata.name!%3Dc1", "metadata.name"] {
            assert!(selection("Host", &format!("fieldSelector={bad}")).is_err(), "{bad}");
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
}
