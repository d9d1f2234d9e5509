//! `describe`: first why nothing is happening, then everything else.

use super::{find_kind, own_kind, text};
use crate::output::{self, Failure, Table, table::now};
use ::client::{Client, Exit, Query, held, why::why};
use schemas::{DynObject, Time, kinds};
use serde_json::Value;

/// Events shown.
const EVENTS: usize = 20;

pub async fn describe(client: &Client, kind: &str, name: &str) -> Result<Exit, Failure> {
    let kind = find_kind(kind)?;
    let object = client.get(kind.plural, name).await?;
    let now = now();
    let mut page = Page::default();
    page.line(format!("{} {name}", kind.kind));
    page.why(&object, now);
    let mut related = Vec::new();
    if kind.kind == "Host" {
        // What cannot be read must not hide what can.
        let (all, unread) = around(client, name).await;
        unread.iter().for_each(|line| page.line(format!("\n{line}")));
        for other in held::of_host(&object, all.iter(), now) {
            let open = kinds::find(&other.kind).is_some_and(|k| k.one_shot) && !super::ended(other);
            let word = if open { "Open on this host" } else { "May hold this host up" };
            page.line(format!("\n{word}: {} {}", other.kind, other.metadata.name));
            page.told(other, now);
            if open {
                related.push(other.clone());
            }
        }
    }
    page.object(&object, now);
    page.conditions(&object, now);
    page.guests(&object);
    if !kind.read_only {
        let owners: Vec<String> = std::iter::once(&object).chain(&related).map(DynObject::id).collect();
        page.operations(client, &owners, now).await;
        page.events(client, &object, now).await;
    }
    output::data(page.text.trim_end());
    Ok(Exit::Ok)
}

/// `why HOST`: why nothing is happening to it, and nothing else.
pub async fn why_host(client: &Client, name: &str) -> Result<Exit, Failure> {
    let (host, now) = (client.get(own_kind("Host")?.plural, name).await?, now());
    let mut page = Page::default();
    page.line(format!("Host {name}:"));
    page.told(&host, now);
    let (all, unread) = around(client, name).await;
    for other in held::of_host(&host, all.iter(), now) {
        page.line(format!("{}:", other.id()));
        page.told(other, now);
    }
    unread.iter().for_each(|line| page.line(line));
    output::data(page.text.trim_end());
    Ok(Exit::Ok)
}

/// All objects that may hold a host up, and sentences about what could not be read.
async fn around(client: &Client, host: &str) -> (Vec<DynObject>, Vec<String>) {
    let (mut all, mut unread) = (Vec::new(), Vec::new());
    for (n, kind) in held::KINDS.into_iter().enumerate() {
        let query = if n < held::OF_ONE_HOST { Query::all().field("spec.hostRef.name", host) } else { Query::default() };
        let listed = match own_kind(kind) {
            Ok(kind) => client.list(kind.plural, &query).await.map_err(Failure::from),
            Err(e) => Err(e),
        };
        match listed {
            Ok(list) => all.extend(list.items),
            Err(e) => unread.push(format!("{kind}s could not be read, and may hold it up as well: {}", e.message)),
        }
    }
    (all, unread)
}

/// `why`: everything in the cloud that waits or is held.
pub async fn why_cloud(client: &Client) -> Result<Exit, Failure> {
    let (mut page, now) = (Page::default(), now());
    for kind in kinds::KINDS.iter().filter(|k| !k.read_only) {
        for object in client.list(kind.plural, &Query::default()).await?.items.iter().filter(|o| is_held(o, now)) {
            page.line(format!("{}/{}:", object.kind, object.metadata.name));
            page.told(object, now);
        }
    }
    match page.text.trim_end() {
        "" => output::note("Nothing waits, and nothing is held."),
        text => output::data(text),
    }
    Ok(Exit::Ok)
}

/// Whether something about an object waits, is held, or is not as it should be.
fn is_held(object: &DynObject, now: Time) -> bool {
    let over = kinds::find(&object.kind).is_some_and(|k| k.one_shot) && super::ended(object);
    !over && why(object, now).holds()
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn line(&mut self, line: impl AsRef<str>) {
        self.text.push_str(line.as_ref());
        self.text.push('\n');
    }

    fn indented(&mut self, block: &str) {
        for line in block.lines() {
            self.line(format!("  {line}").trim_end());
        }
    }

    fn why(&mut self, object: &DynObject, now: Time) {
        self.line("\nWhy it stands where it stands:");
        self.told(object, now);
    }

    fn told(&mut self, object: &DynObject, now: Time) {
        let why = why(object, now);
        for line in why.lines {
            self.line(format!("  {line}"));
        }
        if !why.advice.is_empty() {
            self.line("  What to do:");
            for advice in why.advice {
                self.line(format!("    - {advice}"));
            }
        }
    }

    fn object(&mut self, object: &DynObject, now: Time) {
        let metadata = &object.metadata;
        self.line("\nObject:");
        let age = metadata.creation_timestamp.map_or("-".into(), |t| kinds::age(now.seconds_since(t)));
        self.line(format!("  uid {}, generation {}, resourceVersion {}, age {age}", metadata.uid, metadata.generation, metadata.resource_version));
        for (word, map) in [("labels", &metadata.labels), ("annotations", &metadata.annotations)] {
            if !map.is_empty() {
                let pairs: Vec<String> = map.iter().map(|(k, v)| format!("{k}={v}")).collect();
                self.line(format!("  {word}: {}", pairs.join(", ")));
            }
        }
        self.part("Spec", &object.spec);
        let mut status = object.status.clone();
        if let Some(members) = status.as_object_mut() {
            // Told above or in a table of their own.
            let tables: &[&str] =
                if members.get("guests").is_some_and(Value::is_array) { &["conditions", "waiting", "guests"] } else { &["conditions", "waiting"] };
            tables.iter().for_each(|key| {
                members.shift_remove(*key);
            });
        }
        self.part("Status", &status);
    }

    fn part(&mut self, title: &str, value: &Value) {
        if value.as_object().is_some_and(|m| !m.is_empty()) {
            self.line(format!("{title}:"));
            self.indented(&output::yaml(value));
        }
    }

    fn table(&mut self, title: &str, table: &Table) {
        if !table.is_empty() {
            self.line(format!("\n{title}:"));
            self.indented(&table.render());
        }
    }

    fn conditions(&mut self, object: &DynObject, now: Time) {
        let mut table = Table::new(["CONDITION", "STATUS", "REASON", "SINCE", "MESSAGE"]);
        for c in object.status["conditions"].as_array().into_iter().flatten() {
            table.row([
                text(&c["type"]).to_string(),
                text(&c["status"]).into(),
                text(&c["reason"]).into(),
                ago(&c["lastTransitionTime"], now),
                text(&c["message"]).into(),
            ]);
        }
        self.table("Conditions", &table);
    }

    fn guests(&mut self, object: &DynObject) {
        let mut table = Table::new(["GUEST", "PRIORITY", "WAS", "OUTCOME", "TRIES", "DESTINATION", "REASON", "MESSAGE"]);
        for g in object.status["guests"].as_array().into_iter().flatten() {
            let word = |key: &str| g[key].as_str().filter(|s| !s.is_empty()).unwrap_or("-").to_string();
            let number = |key: &str| g[key].as_i64().map_or("-".into(), |n| n.to_string());
            table.row([
                word("name"),
                number("priority"),
                word("vmState"),
                word("outcome"),
                number("attempts"),
                word("destination"),
                word("reason"),
                word("message"),
            ]);
        }
        self.table("Guests", &table);
    }

    /// Calls to the outside that may have happened and are not settled.
    async fn operations(&mut self, client: &Client, owners: &[String], now: Time) {
        let mut table = Table::new(["OPEN CALL", "HOST", "STEP", "TRY", "STATE", "SINCE", "EVIDENCE"]);
        for owner in owners {
            let listed = match own_kind("Operation") {
                Ok(kind) => client.list(kind.plural, &Query::all().field("spec.owner", owner)).await.map_err(Failure::from),
                Err(e) => Err(e),
            };
            let list = match listed {
                Ok(list) => list,
                Err(e) => return self.line(format!("\nOpen calls could not be read: {}", e.message)),
            };
            for o in list.items.iter().filter(|o| matches!(text(&o.status["state"]), "Issued" | "Accepted" | "Unknown")) {
                let attempt = o.spec["attempt"].as_i64().unwrap_or(0).to_string();
                let (spec, status) = (&o.spec, &o.status);
                table.row([
                    owner.clone(),
                    text(&spec["host"]).into(),
                    text(&spec["step"]).into(),
                    attempt,
                    text(&status["state"]).into(),
                    ago(&spec["issuedAt"], now),
                    text(&status["evidence"]).into(),
                ]);
            }
        }
        self.table("Calls that may have happened and are not settled", &table);
    }

    async fn events(&mut self, client: &Client, object: &DynObject, now: Time) {
        let listed = match own_kind("Event") {
            Ok(kind) => client.list(kind.plural, &Query::all().field("spec.regarding", &object.id())).await.map_err(Failure::from),
            Err(e) => Err(e),
        };
        let mut events = match listed {
            Ok(list) => list.items,
            Err(e) => return self.line(format!("\nEvents could not be read: {}", e.message)),
        };
        // An earlier object of this name may have left some.
        events.retain(|e| text(&e.spec["regardingUid"]).is_empty() || e.spec["regardingUid"] == object.metadata.uid.as_str());
        let at = |e: &DynObject| e.spec["lastAt"].as_str().and_then(|s| Time::parse(s).ok()).unwrap_or_default();
        events.sort_by_key(at);
        let mut table = Table::new(["LAST", "TYPE", "REASON", "COUNT", "NOTE"]);
        for e in events.iter().skip(events.len().saturating_sub(EVENTS)) {
            let count = e.spec["count"].as_i64().unwrap_or(1).to_string();
            table.row([
                ago(&e.spec["lastAt"], now),
                text(&e.spec["type"]).into(),
                text(&e.spec["reason"]).into(),
                count,
                text(&e.spec["note"]).into(),
            ]);
        }
        self.table("Events, the latest last", &table);
    }
}

fn ago(value: &Value, now: Time) -> String {
    value.as_str().and_then(|s| Time::parse(s).ok()).map_or("-".into(), |t| kinds::age(now.seconds_since(t)))
}
