//! Objects as rows, for who asks with `Accept: application/json;as=Table`: a client prints them without knowing the kind.

use crate::{
    call::Call,
    errors::{ApiError, ApiResult, Code},
    reading::Item,
};
use axum::http::header;
use schemas::{
    API_VERSION, DynObject, KindInfo, ObjectMeta, Time,
    kinds::{Cell, KINDS},
    walk,
};
use serde::Serialize;
use serde_json::Value;
use std::{collections::BTreeMap, sync::LazyLock};

/// What a table is sent as.
pub(crate) const MEDIA: &str = "application/json;as=Table";

/// How an answer is to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Objects,
    Table,
}

impl Shape {
    /// The first of the most wanted in `Accept` that can be given; all is welcome where nothing is said.
    pub fn asked(call: &Call) -> ApiResult<Shape> {
        let accept: Vec<&str> = call.headers.get_all(header::ACCEPT).iter().map(|v| v.to_str().unwrap_or_default()).collect();
        let accept = accept.join(",");
        let mut best: Option<(f64, Shape)> = None;
        for range in accept.split(',').map(str::trim).filter(|range| !range.is_empty()) {
            let Some((weight, shape)) = read(range) else { continue };
            if weight > best.map_or(0.0, |(w, _)| w) {
                best = Some((weight, shape));
            }
        }
        match best {
            Some((_, shape)) => Ok(shape),
            None if accept.trim().is_empty() => Ok(Shape::Objects),
            None => Err(ApiError::new(
                Code::NotAcceptable,
                format!("Accept is {accept:?}; here there is application/json, and {MEDIA} for rows of a table."),
            )),
        }
    }
}

/// Weight and shape of one range of `Accept`; `None`: it is of no use here.
fn read(range: &str) -> Option<(f64, Shape)> {
    let mut parts = range.split(';').map(str::trim);
    let media = parts.next()?;
    if !["application/json", "application/*", "*/*"].iter().any(|known| media.eq_ignore_ascii_case(known)) {
        return None;
    }
    let (mut weight, mut shape) = (1.0, Shape::Objects);
    for (name, value) in parts.filter_map(|p| p.split_once('=')) {
        match (name.trim().to_ascii_lowercase().as_str(), value.trim()) {
            ("q", q) => weight = q.parse().ok().filter(|q| (0.0..=1.0).contains(q))?,
            ("as", "Table") => shape = Shape::Table,
            ("as", _) => return None,
            _ => {}
        }
    }
    Some((weight, shape))
}

/// A column, as Kubernetes describes one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Definition {
    name: &'static str,
    /// `string`, `integer` or `boolean`.
    r#type: &'static str,
    format: String,
    description: String,
    /// 0: always; 1: where there is room.
    priority: u8,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    cells: Vec<Value>,
    object: Named,
}

/// Which object a row is of.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    api_version: &'static str,
    kind: &'static str,
    metadata: ObjectMeta,
}

/// Rows and their columns; what a list has besides goes with them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Table<M> {
    api_version: &'static str,
    kind: &'static str,
    #[serde(flatten)]
    more: M,
    column_definitions: &'static [Definition],
    rows: Vec<Row>,
}

impl<M> Table<M> {
    pub fn of(kind: &'static KindInfo, items: Vec<Item>, now: Time, more: M) -> Table<M> {
        let rows = items.into_iter().filter_map(Item::parsed).map(|object| row(kind, object, now)).collect();
        Table { api_version: API_VERSION, kind: "Table", more, column_definitions: definitions(kind), rows }
    }
}

fn row(kind: &'static KindInfo, object: DynObject, now: Time) -> Row {
    let cell = |value: Value| if value.is_array() || value.is_object() { value.to_string().into() } else { value };
    let columns = kind.columns.iter().map(|column| cell(column.value(&object, now)));
    let cells = std::iter::once(object.metadata.name.clone().into()).chain(columns).collect();
    Row { cells, object: Named { api_version: API_VERSION, kind: kind.kind, metadata: object.metadata } }
}

/// Made once: a schema takes its time.
fn definitions(kind: &KindInfo) -> &'static [Definition] {
    static ALL: LazyLock<BTreeMap<&str, Vec<Definition>>> = LazyLock::new(|| KINDS.iter().map(|k| (k.kind, define(k))).collect());
    ALL.get(kind.kind).map_or(&[], Vec::as_slice)
}

fn define(kind: &KindInfo) -> Vec<Definition> {
    let schema = (kind.schema)();
    let name = Definition { name: "NAME", r#type: "string", format: "name".into(), description: "Name of the object.".into(), priority: 0 };
    let column = |column: &schemas::Column| {
        let (r#type, format, description) = match column.cell {
            Cell::At(pointer) => at(&schema, pointer),
            Cell::Condition(name) => ("string", String::new(), format!("Status of the condition {name}.")),
            Cell::Reason(name) => ("string", String::new(), format!("Reason of the condition {name}.")),
            Cell::Age => ("string", String::new(), "How long ago the object was made.".into()),
        };
        // What a record of the audit holds is CADF's, and in no schema of ours.
        let description = if description.is_empty() { format!("What is at {}.", path(column.cell)) } else { description };
        Definition { name: column.name, r#type, format, description, priority: column.wide.into() }
    };
    std::iter::once(name).chain(kind.columns.iter().map(column)).collect()
}

fn path(cell: Cell) -> String {
    match cell {
        Cell::At(pointer) => pointer.trim_start_matches('/').replace('/', "."),
        Cell::Condition(name) | Cell::Reason(name) => name.into(),
        Cell::Age => "metadata.creationTimestamp".into(),
    }
}

fn at(schema: &Value, pointer: &str) -> (&'static str, String, String) {
    let Some(field) = walk::field(schema, pointer) else { return ("string", String::new(), String::new()) };
    let r#type = match walk::kind_of(schema, field).as_str() {
        "integer" => "integer",
        "boolean" => "boolean",
        _ => "string",
    };
    let format = walk::inside(schema, field)["format"].as_str().unwrap_or_default().into();
    (r#type, format, walk::description(schema, field).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_is_described_by_the_schema_of_its_kind() {
        let bare = |kind: &KindInfo| definitions(kind).iter().filter(|d| d.description.starts_with("What is at")).map(|d| d.name).collect::<Vec<_>>();
        let bare: Vec<_> = KINDS.iter().map(|k| (k.kind, bare(k))).filter(|(_, names)| !names.is_empty()).collect();
        assert_eq!(bare, [("AuditRecord", vec!["FOR", "REQUEST"])]);
    }

    #[test]
    fn what_is_most_wanted_and_can_be_given_is_given() {
        assert_eq!(read("application/json;as=Table;v=v1;g=meta.k8s.io"), Some((1.0, Shape::Table)));
        assert_eq!(read("APPLICATION/JSON; q=0.5"), Some((0.5, Shape::Objects)));
        assert_eq!(read("*/*;q=0"), Some((0.0, Shape::Objects)));
        for useless in ["text/html", "application/json;as=PartialObjectMetadata", "application/json;q=2", "application/json;q=x", ""] {
            assert_eq!(read(useless), None, "{useless}");
        }
    }
}
