//! `get` and `watch`.

use super::{find_kind, lease, own_kind};
use crate::{
    args::{Format, GetArgs},
    output::{
        self, Failure, Table,
        table::{Columns, now},
    },
};
use ::client::{Client, Event, Exit, List, Query};
use schemas::{DynObject, KindInfo};
use serde_json::{Value, json};

pub async fn get(client: &Client, args: GetArgs) -> Result<Exit, Failure> {
    if matches!(args.kind.to_ascii_lowercase().as_str(), "guests" | "guest") {
        return guests(client, &args).await;
    }
    let kind = find_kind(&args.kind)?;
    if args.watch {
        let name = match args.names.as_slice() {
            [] => None,
            [name] => Some(name.as_str()),
            _ => return Err(Failure::usage("--watch follows all objects or one; give one name")),
        };
        return watch(client, kind, name, args.selector.as_deref(), args.output, false).await;
    }
    if args.names.is_empty() {
        let list = client.list(kind.plural, &Query::all().labels(args.selector.as_deref())).await?;
        show(client, kind, &list, args.output).await;
        return Ok(Exit::Ok);
    }
    if args.selector.is_some() {
        return Err(Failure::usage("give names or a selector, not both"));
    }
    let mut list = List::default();
    for name in &args.names {
        list.items.push(client.get(kind.plural, name).await?);
    }
    match (list.items.as_slice(), args.output) {
        ([one], Format::Json) => output::data(&output::json(&output::value(one))),
        ([one], Format::Yaml) => output::data(&output::yaml(&output::value(one))),
        _ => show(client, kind, &list, args.output).await,
    }
    Ok(Exit::Ok)
}

async fn show(client: &Client, kind: &KindInfo, list: &List, format: Format) {
    match (kind.kind, format) {
        ("Lease", Format::Table | Format::Wide) if !list.items.is_empty() => lease::print(client, list).await,
        _ => print_list(kind, list, format),
    }
}

pub fn print_list(kind: &KindInfo, list: &List, format: Format) {
    let whole = || {
        let items: Vec<Value> = list.items.iter().map(output::value).collect();
        json!({"apiVersion": schemas::API_VERSION, "kind": format!("{}List", kind.kind),
               "metadata": {"resourceVersion": list.resource_version}, "items": items})
    };
    match format {
        Format::Json => output::data(&output::json(&whole())),
        Format::Yaml => output::data(&output::yaml(&whole())),
        Format::Name => list.items.iter().for_each(|o| output::data(&output::short(kind.kind, &o.metadata.name))),
        Format::Table | Format::Wide => {
            if list.items.is_empty() {
                output::note(&format!("There are no {}.", kind.plural));
                return;
            }
            let columns = Columns::of(kind, format == Format::Wide);
            let mut table = columns.table();
            let now = now();
            list.items.iter().for_each(|o| table.row(columns.cells(o, now)));
            output::data(&table.render());
        }
    }
}

async fn guests(client: &Client, args: &GetArgs) -> Result<Exit, Failure> {
    let [host] = args.names.as_slice() else {
        return Err(Failure::usage("name one host: cloud-manager get guests HOST"));
    };
    if args.watch || args.selector.is_some() {
        return Err(Failure::usage("guests are Nova's, they can be neither watched nor selected by label"));
    }
    let view = client.guests(host).await?;
    let Some(list) = view["guests"].as_array() else {
        return Err(Failure::new(Exit::Internal, format!("the guests of host {host} are not known: the answer has no list of them")));
    };
    match args.output {
        Format::Json => output::data(&output::json(&view)),
        Format::Yaml => output::data(&output::yaml(&view)),
        Format::Name => list.iter().for_each(|g| output::data(&format!("guest/{}", cell(&g["id"])))),
        Format::Table | Format::Wide => {
            if let Some(at) = view["observedAt"].as_str() {
                output::note(&format!("As Nova showed them at {at}."));
            }
            if list.is_empty() {
                output::note(&format!("Nova shows no guest on host {host}."));
                return Ok(Exit::Ok);
            }
            let mut columns =
                vec![("NAME", "name"), ("ID", "id"), ("STATE", "vmState"), ("TASK", "taskState"), ("POWER", "powerState"), ("PRIORITY", "priority")];
            if args.output == Format::Wide {
                columns.push(("BOOT-FROM-VOLUME", "bootFromVolume"));
            }
            let mut table = Table::new(columns.iter().map(|(heading, _)| *heading));
            list.iter().for_each(|g| table.row(columns.iter().map(|(_, key)| cell(&g[*key]))));
            output::data(&table.render());
        }
    }
    Ok(Exit::Ok)
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(s) if s.is_empty() => "-".into(),
        Value::String(s) => s.clone(),
        other => other.to_string(),
    }
}

/// Shows what is there and each change. `events` adds a column (or member) that says what happened.
pub async fn watch(
    client: &Client,
    kind: &KindInfo,
    name: Option<&str>,
    selector: Option<&str>,
    format: Format,
    events: bool,
) -> Result<Exit, Failure> {
    let query = name.map_or_else(Query::all, Query::named).labels(selector);
    let mut watch = client.watch(kind.plural, query);
    let mut printer = Printer::new(kind, format, events);
    loop {
        match watch.next().await? {
            Event::Added(object) => printer.object("ADDED", &object),
            Event::Modified(object) => printer.object("MODIFIED", &object),
            Event::Deleted(object) => printer.object("DELETED", &object),
            Event::Synced => printer.synced(),
            Event::Trouble(why) => output::note(&format!("The watch was interrupted and is tried again: {why}")),
        }
    }
}

/// Prints changes; the first objects are held back so that the columns fit them all.
struct Printer {
    kind: &'static str,
    format: Format,
    events: bool,
    columns: Columns,
    table: Table,
    synced: bool,
}

impl Printer {
    fn new(kind: &KindInfo, format: Format, events: bool) -> Self {
        let columns = Columns::of(kind, format == Format::Wide);
        let headings = events.then_some("EVENT").into_iter().chain(std::iter::once("NAME"));
        let table = Table::new(headings.chain(kind.columns.iter().filter(|c| format == Format::Wide || !c.wide).map(|c| c.name)));
        Printer { kind: kind.kind, format, events, columns, table, synced: false }
    }

    fn object(&mut self, event: &str, object: &DynObject) {
        match self.format {
            Format::Json if self.events => output::data(&json!({"type": event, "object": output::value(object)}).to_string()),
            Format::Json => output::data(&output::value(object).to_string()),
            Format::Yaml => output::data(&format!("---\n{}", output::yaml(&output::value(object)))),
            Format::Name if self.events => output::data(&format!("{event} {}", output::short(self.kind, &object.metadata.name))),
            Format::Name => output::data(&output::short(self.kind, &object.metadata.name)),
            Format::Table | Format::Wide => {
                let mut cells = if self.events { vec![event.to_string()] } else { Vec::new() };
                cells.extend(self.columns.cells(object, now()));
                self.table.row(cells);
                if self.synced {
                    output::data(&self.table.last_line());
                }
            }
        }
    }

    fn synced(&mut self) {
        self.synced = true;
        if matches!(self.format, Format::Table | Format::Wide) {
            output::data(&self.table.render());
        }
    }
}

/// One kind's open one-shot objects of a host.
pub async fn open_of_host(client: &Client, kind: &str, host: &str) -> Result<Vec<DynObject>, Failure> {
    let kind = own_kind(kind)?;
    let list = client.list(kind.plural, &Query::all().field("spec.hostRef.name", host)).await?;
    Ok(list.items.into_iter().filter(|o| !super::ended(o)).collect())
}
