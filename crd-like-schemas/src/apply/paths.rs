//! Sets of fields.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// One step into an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// To a member by its name.
    Field(String),
    /// To the item of a list whose key fields have these values: a JSON object as text, its members in order.
    Key(String),
    /// To the item of a set: the item as JSON text.
    Item(String),
}

/// The way from the object to one of its fields.
pub type Path = Vec<Step>;

/// A set of fields. As JSON it has the form of Kubernetes' FieldsV1: `{"f:spec": {"f:power": {}}}`; `f:` goes before the name of a
/// member, `k:` before the keys of an item, `v:` before an item of a set. A member `.` means that the field itself is in the
/// set beside the ones below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(BTreeSet<Path>);

impl Fields {
    /// Adds a field.
    pub fn insert(&mut self, path: Path) {
        self.0.insert(path);
    }

    /// Whether this very field is in the set.
    pub fn contains(&self, path: &[Step]) -> bool {
        self.0.contains(path)
    }

    /// Whether this field, or one below it, is in the set.
    pub fn touches(&self, path: &[Step]) -> bool {
        self.below(path).next().is_some()
    }

    /// This field and those below it, as far as they are in the set.
    fn below(&self, path: &[Step]) -> impl Iterator<Item = &Path> {
        self.0.range(path.to_vec()..).take_while(move |p| p.starts_with(path))
    }

    /// Takes a field and all below it out of the set.
    pub fn forget(&mut self, path: &[Step]) {
        let gone: Vec<Path> = self.below(path).cloned().collect();
        for path in gone {
            self.0.remove(&path);
        }
    }

    /// Adds the fields of another set.
    pub fn extend(&mut self, other: &Fields) {
        self.0.extend(other.0.iter().cloned());
    }

    /// Keeps what passes.
    pub fn retain(&mut self, keep: impl FnMut(&Path) -> bool) {
        self.0.retain(keep);
    }

    /// The fields in order.
    pub fn iter(&self) -> impl Iterator<Item = &Path> {
        self.0.iter()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl FromIterator<Path> for Fields {
    fn from_iter<T: IntoIterator<Item = Path>>(paths: T) -> Self {
        Fields(paths.into_iter().collect())
    }
}

/// A path as people write it: `spec.limits.perFailureDomain[type=Rack].maxDownHosts`, `spec.members["c1"]`,
/// `metadata.labels[site/rack]`.
pub fn text(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Field(name) if name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')) => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(name);
            }
            Step::Field(name) => text.push_str(&format!("[{name}]")),
            Step::Item(value) => text.push_str(&format!("[{value}]")),
            Step::Key(keys) => {
                let plain = |v: &Value| v.as_str().map_or_else(|| v.to_string(), String::from);
                let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
                let keys: Vec<String> = keys.iter().map(|(k, v)| format!("{k}={}", plain(v))).collect();
                text.push_str(&format!("[{}]", keys.join(",")));
            }
        }
    }
    text
}

fn written(step: &Step) -> String {
    match step {
        Step::Field(name) => format!("f:{name}"),
        Step::Key(keys) => format!("k:{keys}"),
        Step::Item(value) => format!("v:{value}"),
    }
}

fn read(text: &str) -> Option<Step> {
    let (mark, rest) = text.split_at_checked(2)?;
    let json = || serde_json::from_str::<Value>(rest).is_ok();
    match mark {
        "f:" => Some(Step::Field(rest.into())),
        "k:" if json() => Some(Step::Key(rest.into())),
        "v:" if json() => Some(Step::Item(rest.into())),
        _ => None,
    }
}

/// Deepest field that is read.
const DEEPEST: usize = 64;

fn decode(node: &Map<String, Value>, path: &mut Path, fields: &mut BTreeSet<Path>) -> Result<(), String> {
    if path.len() > DEEPEST {
        return Err(format!("is deeper than {DEEPEST} levels"));
    }
    if !path.is_empty() && (node.is_empty() || node.contains_key(".")) {
        fields.insert(path.clone());
    }
    for (key, below) in node.iter().filter(|(key, _)| *key != ".") {
        let step = read(key).ok_or_else(|| format!("{key:?} begins with none of f:, k: and v:"))?;
        let below = below.as_object().ok_or_else(|| format!("{key:?} holds no object"))?;
        path.push(step);
        decode(below, path, fields)?;
        path.pop();
    }
    Ok(())
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut root = Map::new();
        for path in &self.0 {
            let mut node = &mut root;
            for (depth, step) in path.iter().enumerate() {
                // A field that has others below it, and is in the set itself, says so by a member of its own. The shorter path comes first.
                if depth > 0 && node.is_empty() && self.0.contains(&path[..depth]) {
                    node.insert(".".into(), Value::Object(Map::new()));
                }
                let below = node.entry(written(step)).or_insert_with(|| Value::Object(Map::new()));
                let Value::Object(below) = below else { return Err(serde::ser::Error::custom("a field that is no object")) };
                node = below;
            }
        }
        root.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = BTreeSet::new();
        decode(&Map::deserialize(deserializer)?, &mut Vec::new(), &mut fields).map_err(D::Error::custom)?;
        Ok(Fields(fields))
    }
}
