//! `get` and `watch`.

use super::{find_kind, lease, own_kind};
use crate::{
    args::{Format, GetArgs, GetFormat},
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
    let format = match (args.output.whole(), args.columns.is_empty()) {
        (Some(format), true) => format,
        _ if args.watch => return Err(Failure::usage("columns cannot be picked of a watch; use -o table, wide, json, yaml or name")),
        _ => return picked(client, kind, &args).await,
    };
    if args.watch {
        let name = match args.names.as_slice() {
            [] => None,
            [name] => Some(name.as_str()),
            _ => return Err(Failure::usage("--watch follows all objects or one; give one name")),
        };
        return watch(client, kind, name, args.selector.as_deref(), format, false).await;
    }
    let list = read(client, kind, &args).await?;
    match (args.names.len(), list.items.as_slice(), format) {
        (1, [one], Format::Json) => output::data(&output::json(&output::value(one))),
        (1, [one], Format::Yaml) => output::data(&output::yaml(&output::value(one))),
        _ => show(client, kind, &list, format).await,
    }
    Ok(Exit::Ok)
}

/// The objects that are named, or all.
async fn read(client: &Client, kind: &KindInfo, args: &GetArgs) -> Result<List, Failure> {
    if args.names.is_empty() {
        return Ok(client.list(kind.plural, &Query::all().labels(args.selector.as_deref())).await?);
    }
    if args.selector.is_some() {
        return Err(Failure::usage("give names or a selector, not both"));
    }
    let mut list = List::default();
    for name in &args.names {
        list.items.push(client.get(kind.plural, name).await?);
    }
    Ok(list)
}

/// By columns, as other OpenStack clients show lists.
async fn picked(client: &Client, kind: &KindInfo, args: &GetArgs) -> Result<Exit, Failure> {
    let list = read(client, kind, args).await?;
    let columns = Columns::of(kind, true);
    let mut table = columns.table();
    let now = now();
    list.items.iter().for_each(|o| table.row(columns.cells(o, now)));
    let names: Vec<String> = if args.columns.is_empty() {
        std::iter::once("NAME").chain(kind.columns.iter().filter(|c| !c.wide).map(|c| c.name)).map(String::from).collect()
    } else {
        args.columns.clone()
    };
    print_picked(&table, &names, args.output)?;
    Ok(Exit::Ok)
}

fn print_picked(table: &Table, names: &[String], format: GetFormat) -> Result<(), Failure> {
    let table = table.select(names).map_err(Failure::usage)?;
    match format {
        GetFormat::Table | GetFormat::Wide => output::data(&table.render()),
        GetFormat::Csv => output::data(&table.csv()),
        GetFormat::Value if table.is_empty() => {}
        GetFormat::Value => output::data(&table.values()),
        GetFormat::Json => output::data(&output::json(&Value::Array(table.objects()))),
        GetFormat::Yaml => output::data(&output::yaml(&Value::Array(table.objects()))),
        GetFormat::Name => return Err(Failure::usage("-o name shows no columns; leave -c out")),
    }
    Ok(())
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
    let format = match (args.output.whole(), args.columns.is_empty()) {
        (Some(format), true) => format,
        _ => {
            let mut table = Table::new(GUEST_COLUMNS.iter().map(|(heading, _)| *heading));
            list.iter().for_each(|g| table.row(GUEST_COLUMNS.iter().map(|(_, key)| cell(&g[*key]))));
            let all: Vec<String> = GUEST_COLUMNS.iter().map(|(heading, _)| heading.to_string()).collect();
            print_picked(&table, if args.columns.is_empty() { &all } else { &args.columns }, args.output)?;
            return Ok(Exit::Ok);
        }
    };
    match format {
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
            let columns = &GUEST_COLUMNS[..GUEST_COLUMNS.len() - usize::from(format == Format::Table)];
            let mut table = Table::new(columns.iter().map(|(heading, _)| *heading));
            list.iter().for_each(|g| table.row(columns.iter().map(|(_, key)| cell(&g[*key]))));
            output::data(&table.render());
        }
    }
    Ok(Exit::Ok)
}

/// Headings of guests, and what they show; the last one is for `wide` only.
const GUEST_COLUMNS: [(&str, &str); 7] = [
    ("NAME", "name"),
    ("ID", "id"),
    ("STATE", "vmState"),
    ("TASK", "taskState"),
    ("POWER", "powerState"),
    ("PRIORITY", "priority"),
    ("BOOT-FROM-VOLUME", "bootFromVolume"),
];

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
