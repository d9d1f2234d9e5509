//! The trace: what was done and what was told, by host, without times and ids.

use crate::told;
use client::held;
use schemas::{DynObject, Time};
use simulator::{Call, CallRecord};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use store::Change;

/// The group of what is about no single host; it comes first.
const CLOUD: &str = "";

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Item {
    at: i64,
    text: String,
}

/// Collects, and writes.
#[derive(Default)]
pub struct Trace {
    text: String,
    /// By host.
    items: BTreeMap<String, Vec<Item>>,
    /// Objects as they were last seen.
    objects: BTreeMap<String, DynObject>,
    /// What was said since the last act.
    said: BTreeSet<String>,
    /// Holds with what `why` answers to them, by object and reason.
    pub answers: BTreeMap<(String, String), Result<Vec<String>, String>>,
}

impl Trace {
    /// An act of the script: what came before it is written first.
    pub fn act(&mut self, line: &str) {
        self.flush();
        let _ = writeln!(self.text, "> {line}");
    }

    /// A heading or a line of its own.
    pub fn line(&mut self, line: &str) {
        self.flush();
        let _ = writeln!(self.text, "{line}");
    }

    /// What was seen so far is known, and not part of the story.
    pub fn forget(&mut self) {
        self.items.clear();
        self.said.clear();
        self.answers.clear();
    }

    /// All of it.
    pub fn into_text(mut self) -> String {
        self.flush();
        self.text
    }

    fn flush(&mut self) {
        for (group, mut items) in std::mem::take(&mut self.items) {
            items.sort();
            let mut last = String::new();
            for text in merged(items.into_iter().map(|i| i.text).collect()) {
                if text != last {
                    let _ = writeln!(self.text, "    {}{text}", if group == CLOUD { String::new() } else { format!("[{group}] ") });
                }
                last = text;
            }
        }
        self.said.clear();
    }

    fn add(&mut self, group: &str, at: i64, text: String) {
        self.items.entry(group.into()).or_default().push(Item { at, text });
    }

    /// A call of ours that reached the cloud or was lost.
    pub fn call(&mut self, call: &CallRecord, host: &str, clean: &impl Fn(&str) -> String) {
        let what = match &call.call {
            Call::UpdateService { change, .. } => {
                let words = [
                    change.enabled.map(|e| if e { "enable" } else { "disable" }),
                    change.forced_down.map(|f| if f { "force down" } else { "clear forced down" }),
                ];
                format!("Nova: {}", words.into_iter().flatten().collect::<Vec<_>>().join(" and "))
            }
            Call::Evacuate { server, destination, leave_stopped } => {
                format!("Nova: evacuate {}{}{}", clean(server), to(destination), if *leave_stopped { " and leave it stopped" } else { "" })
            }
            Call::LiveMigrate { server, destination } => format!("Nova: live-migrate {}{}", clean(server), to(destination)),
            Call::ColdMigrate { server, destination } => format!("Nova: cold-migrate {}{}", clean(server), to(destination)),
            Call::ConfirmResize { server } => format!("Nova: confirm resize of {}", clean(server)),
            Call::Start { server } => format!("Nova: start {}", clean(server)),
            Call::Stop { server } => format!("Nova: stop {}", clean(server)),
            Call::Power { command, .. } => format!("power: {command:?}"),
        };
        let how = if call.result == "ok: answered" { String::new() } else { format!(" -> {}", clean(&call.result)) };
        self.add(host, call.at, format!("{what}{how}"));
    }

    /// Something that the cloud did by itself.
    pub fn happened(&mut self, at: i64, text: &str) {
        if let Some((host, what)) = text.split_once(": ").filter(|(host, _)| !host.contains(' ')) {
            self.add(host, at, format!("({what})"));
        } else if text.contains("DOUBLE RUN") {
            self.add(CLOUD, at, text.into());
        }
    }

    /// An object changed.
    pub fn changed(&mut self, change: &Change, at: Time, clean: &impl Fn(&str) -> String) {
        let object = &change.object;
        let id = object.id();
        let before = self.objects.insert(id.clone(), object.clone());
        for told in told::changes(before.as_ref(), object) {
            if let Some(hold) = &told.hold {
                let answer = told::answer(object, hold, at).and_then(|advice| self.told_of_hosts(object, hold, at).map(|()| advice));
                let answer = answer.map(|advice| advice.iter().map(|a| clean(a)).collect());
                self.answers
                    .entry((id.clone(), hold.clone()))
                    .and_modify(|known| {
                        if known.is_ok() {
                            known.clone_from(&answer)
                        }
                    })
                    .or_insert(answer);
            }
            let text = clean(&told.text);
            if self.said.insert(text.clone()) {
                self.items.entry(told::subject(object)).or_default().push(Item { at: at.0 / 1_000, text });
            }
        }
    }

    /// Whether `why HOST` tells of a hold, for each host that it is about.
    fn told_of_hosts(&self, object: &DynObject, hold: &str, at: Time) -> Result<(), String> {
        for name in told::hosts(object, hold, self.objects.values()) {
            let Some(host) = self.objects.get(&format!("Host/{name}")) else { continue };
            let told: Vec<String> = held::of_host(host, self.objects.values(), at).iter().map(|o| o.id()).collect();
            if object.id() != host.id() && !told.contains(&object.id()) {
                return Err(format!(
                    "`why {name}` leaves out {}, which has {hold}; it tells of the host and {told:?}: {:#}",
                    object.id(),
                    object.status
                ));
            }
        }
        Ok(())
    }

    /// People were told.
    pub fn event(&mut self, event: &DynObject, at: Time, clean: &impl Fn(&str) -> String) {
        let of = |field: &str| event.spec[field].as_str().unwrap_or_default().to_string();
        let regarding = of("regarding");
        let host = match regarding.split_once('/') {
            Some(("Host", name)) => name.to_string(),
            _ => self.objects.get(&regarding).map(told::subject).unwrap_or_default(),
        };
        let note = clean(&of("note"));
        if self.said.iter().any(|said| said.contains(&note)) {
            return;
        }
        self.add(&host, at.0 / 1_000, format!("told ({}) {} of {regarding}: {note}", of("type"), of("reason")));
    }
}

fn to(destination: &Option<String>) -> String {
    destination.as_ref().map(|d| format!(" to {d}")).unwrap_or_default()
}

/// Calls of one kind that follow each other, in the order of their guests: they are made side by side.
fn merged(lines: Vec<String>) -> Vec<String> {
    let kind = |line: &str| line.split(' ').take(2).collect::<Vec<_>>().join(" ");
    let side_by_side = |line: &str| line.starts_with("Nova: ") && !line.starts_with("Nova: disable") && !line.starts_with("Nova: enable");
    let mut all: Vec<String> = Vec::new();
    let mut begin = 0;
    for line in lines {
        let follows = all.last().is_some_and(|last| side_by_side(last) && side_by_side(&line) && kind(last) == kind(&line));
        if !follows {
            all[begin..].sort();
            begin = all.len();
        }
        all.push(line);
    }
    all[begin..].sort();
    all
}
