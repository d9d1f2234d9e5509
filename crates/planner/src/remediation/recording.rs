//! A recording of passes: what each went by and what it decided, told as what is new since the line before. Who keeps it, and
//! where, is not decided here.

use super::{
    input::{HostRow, Input},
    pass::Verdicts,
};
use crate::Fact;
use schemas::Time;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hasher},
};

/// The one format of lines there is.
pub const FORMAT: i64 = 1;
/// Seconds after which a pass is told although nothing is new.
const QUIET_SECONDS: i64 = 600;

/// One pass.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// [`FORMAT`].
    pub format: i64,
    /// It holds all hosts and all verdicts; what stands before it counts no longer.
    pub whole: bool,
    /// Hosts that are there no longer.
    pub gone: Vec<String>,
    /// Failure domains are as in the line before, and not in `input`.
    pub same_domains: bool,
    /// What the pass went by; of the hosts those of which something is new.
    pub input: Input,
    /// What was decided: [`Verdicts`], of the hosts those of which something is new.
    pub verdicts: Value,
}

/// Of a host: all that is known of it, and that without the times of what was heard.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Print {
    exact: u64,
    rough: u64,
}

/// Remembers what was told, as fingerprints.
#[derive(Default)]
pub struct Recorder {
    last: Option<Time>,
    hosts: HashMap<String, Print>,
    verdicts: HashMap<String, u64>,
    frame: u64,
    domains: u64,
    others: u64,
}

/// Takes bytes, and remembers nothing of them but a number.
struct Fingerprint(DefaultHasher);

impl std::io::Write for Fingerprint {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn print(value: &impl Serialize) -> u64 {
    let mut print = Fingerprint(DefaultHasher::new());
    // What cannot be written is as good as the same; it will not be written either.
    let _ = serde_json::to_writer(&mut print, value);
    print.0.finish()
}

fn timeless<T: Clone>(fact: &Fact<T>) -> Fact<T> {
    match fact {
        Fact::Seen(value, _) => Fact::Seen(value.clone(), Time(0)),
        Fact::Absent(_) => Fact::Absent(Time(0)),
        Fact::Unknown(why) => Fact::Unknown(why.clone()),
    }
}

impl Print {
    fn of(row: &HostRow) -> Print {
        let mut row = row.clone();
        (row.up, row.guests) = (timeless(&row.up), timeless(&row.guests));
        let exact = print(&row);
        if row.heard.observations.is_empty() {
            return Print { exact, rough: exact };
        }
        for said in &mut row.heard.observations {
            (said.observed_at, said.received_at) = (Time(0), Time(0));
        }
        Print { exact, rough: print(&row) }
    }
}

impl Recorder {
    /// The line that tells this pass; `None` if nothing in it is new but times. Every host of which anything changed is in it.
    pub fn line(&mut self, mut input: Input, mut verdicts: Verdicts) -> Option<Line> {
        let whole = self.last.is_none();
        let rows = std::mem::take(&mut input.hosts);
        let prints: HashMap<String, Print> = rows.iter().map(|row| (row.host.metadata.name.clone(), Print::of(row))).collect();
        let mut gone: Vec<String> = self.hosts.keys().filter(|name| !prints.contains_key(*name)).cloned().collect();
        gone.sort();
        let domains = print(&input.domains);
        let frame = {
            let mut frame = Input { domains: Vec::new(), now: Time(0), ..input.clone() };
            frame.policies.iter_mut().for_each(|p| p.due = true);
            print(&frame)
        };
        let others = print(&(&verdicts.policies, &verdicts.domains));
        let said: HashMap<String, u64> = verdicts.hosts.iter().map(|v| (v.host.clone(), print(v))).collect();
        let passed = self.last.map_or(QUIET_SECONDS, |at| input.now.seconds_since(at));
        let news = whole
            || !(0..QUIET_SECONDS).contains(&passed)
            || !gone.is_empty()
            || (domains, frame, others) != (self.domains, self.frame, self.others)
            || prints.iter().any(|(name, new)| self.hosts.get(name).is_none_or(|old| old.rough != new.rough))
            || said.iter().any(|(name, new)| self.verdicts.get(name) != Some(new));
        if !news {
            return None;
        }
        input.hosts = rows;
        input.hosts.retain(|row| whole || self.hosts.get(&row.host.metadata.name) != prints.get(&row.host.metadata.name));
        let same_domains = !whole && domains == self.domains;
        if same_domains {
            input.domains = Vec::new();
        }
        verdicts.hosts.retain(|v| whole || self.verdicts.get(&v.host) != said.get(&v.host));
        self.last = Some(input.now);
        self.hosts = prints;
        self.verdicts.retain(|name, _| self.hosts.contains_key(name));
        self.verdicts.extend(said);
        (self.domains, self.frame, self.others) = (domains, frame, others);
        Some(Line { format: FORMAT, whole, gone, same_domains, input, verdicts: serde_json::to_value(verdicts).ok()? })
    }

    /// What was told is lost, or begins anew elsewhere: the next line is whole.
    pub fn forget(&mut self) {
        *self = Recorder::default();
    }
}
