//! Runs a story and compares its trace.

use crate::{
    scene::{self, Scene},
    script::{self, Line, seconds},
    trace::Trace,
};
use client::{held, why::why};
use registry::RegistryError;
use schemas::{DynObject, Time, v1::Says};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use store::{Change, ChangeOp, Store};
use workspace_tests::{condition, message, reason, stage::Stage, waits_for};

/// Why a line is not done.
#[derive(Debug)]
pub enum Trouble {
    /// The script is wrong, or it is not as it expects.
    Wrong(String),
    /// The registry does not take it.
    Refused(String),
}

impl From<String> for Trouble {
    fn from(why: String) -> Self {
        Trouble::Wrong(why)
    }
}

impl From<&str> for Trouble {
    fn from(why: &str) -> Self {
        Trouble::Wrong(why.into())
    }
}

impl From<RegistryError> for Trouble {
    fn from(error: RegistryError) -> Self {
        Trouble::Refused(error.to_string())
    }
}

/// Every change of every object, with its time.
type History = Arc<Mutex<Vec<(Time, Change)>>>;

/// A story under way.
pub struct Story {
    pub stage: Stage,
    /// Names of guests and groups, by id.
    pub names: Vec<(String, String)>,
    /// Ids of server groups, by name.
    pub groups: BTreeMap<String, String>,
    /// Channels that go on speaking.
    pub speakers: Vec<(String, Says)>,
    /// Calls of other people, by their number.
    pub others: BTreeSet<usize>,
    trace: Trace,
    history: History,
    calls: usize,
    logged: usize,
    homes: BTreeMap<String, String>,
    told: BTreeMap<String, i64>,
    cluster: String,
}

/// Runs the story of a folder.
pub async fn story(folder: &Path) {
    let script = folder.join("script");
    let text = std::fs::read_to_string(&script).unwrap_or_else(|e| panic!("{}: {e}", script.display()));
    let fail = |(line, why): script::Fault| -> ! { panic!("{}:{line}: {why}", script.display()) };
    if script::tale(&text).is_empty() {
        fail((1, "the first comment tells the story: what happened where, and what must happen here".into()));
    }
    let lines = script::parse(&text).unwrap_or_else(|e| fail(e));
    let begin = lines.iter().position(|l| !scene::VERBS.contains(&l.verb())).unwrap_or(lines.len());
    let mut scene = Scene::default();
    for line in &lines[..begin] {
        scene.take(line).unwrap_or_else(|why| fail((line.number, why)));
    }
    let mut story = Story::begin(scene).await;
    for line in &lines[begin..] {
        match story.line(line).await {
            Ok(()) => {}
            Err(Trouble::Wrong(why)) => fail((line.number, format!("{}\n{why}\n{}", line.text, story.stage.story()))),
            Err(Trouble::Refused(why)) => fail((line.number, format!("{}\nit is refused: {why}", line.text))),
        }
    }
    story.stage.nothing_ran_twice();
    let told = story.end().await;
    compare(&folder.join("trace"), &format!("{}\n\n{told}", script::tale(&text)));
}

fn compare(path: &Path, told: &str) {
    if std::env::var_os("UPDATE_STORIES").is_some() {
        return std::fs::write(path, told).expect("the trace can be written");
    }
    let known = std::fs::read_to_string(path).unwrap_or_default();
    if known == told {
        return;
    }
    let (mut known, mut new) = (known.lines(), told.lines());
    let mut number = 0;
    loop {
        number += 1;
        let (was, is) = (known.next(), new.next());
        if was != is {
            let (was, is) = (was.unwrap_or("(nothing)"), is.unwrap_or("(nothing)"));
            panic!("{}:{number}: it is told otherwise\n  was: {was}\n  is:  {is}\nUPDATE_STORIES=1 writes it; all of it:\n{told}", path.display());
        }
    }
}

/// Remembers every change from now on, at the time at which it was committed.
fn remember(store: Arc<dyn Store>, clock: Arc<dyn engine::Clock>) -> History {
    let history = History::default();
    let kept = history.clone();
    tokio::spawn(async move {
        let (mut commits, mut seen) = (store.commits(), 0);
        loop {
            let new = store.changes(seen, 500).await.expect("the store keeps what is new");
            let at = clock.now();
            if let Some(last) = new.last() {
                seen = last.revision;
                kept.lock().unwrap_or_else(PoisonError::into_inner).extend(new.into_iter().map(|change| (at, change)));
            } else if commits.changed().await.is_err() {
                return;
            }
        }
    });
    history
}

impl Story {
    async fn begin(scene: Scene) -> Story {
        let stage = scene.given().start().await;
        let history = remember(stage.rig.store.clone(), stage.rig.clock.clone());
        let cluster = stage.rig.store.revision().await.expect("the store").cluster_uuid;
        let mut story = Story {
            stage,
            names: Vec::new(),
            groups: BTreeMap::new(),
            speakers: Vec::new(),
            others: BTreeSet::new(),
            trace: Trace::default(),
            history,
            calls: 0,
            logged: 0,
            homes: BTreeMap::new(),
            told: BTreeMap::new(),
            cluster,
        };
        // What it took to set the scene is not the story.
        story.gather().await;
        story.trace.forget();
        story.trace.line("== What happened");
        story
    }

    async fn line(&mut self, line: &Line) -> Result<(), Trouble> {
        if scene::VERBS.contains(&line.verb()) {
            return Err(format!("`{}` sets the scene and stands before all other lines", line.verb()).into());
        }
        match line.verb() {
            "wait" => return Ok(self.wait(line).await?),
            "expect" => return Ok(self.expect(line).await?),
            "pass" => {
                let time = seconds(line.word(1, "a time")?)?;
                line.ends(1)?;
                self.pass(Duration::from_secs(time)).await;
                return Ok(());
            }
            "why" => {
                let host = self.host(line, 1)?;
                self.gather().await;
                self.trace.line(&format!("> {}", line.text));
                for said in self.why(&host).await {
                    self.trace.line(&format!("    | {said}"));
                }
                return Ok(());
            }
            "watch" => {
                self.gather().await;
                self.trace.act(&line.text);
                self.watch(line).await?;
                // What it took to be judged is not the story.
                self.gather().await;
                self.trace.forget();
                return Ok(());
            }
            _ => {}
        }
        self.gather().await;
        self.trace.act(&line.text);
        match (line.verb(), self.act(&if line.verb() == "refused" { line.rest() } else { line.clone() }).await) {
            ("refused", Err(Trouble::Refused(why))) => {
                let why = self.clean(&why);
                self.trace.line(&format!("    refused: {why}"));
                Ok(())
            }
            ("refused", Ok(())) => Err("it is taken, and should be refused".into()),
            (_, done) => done,
        }
    }

    async fn act(&mut self, line: &Line) -> Result<(), Trouble> {
        if self.in_the_world(line)? || self.by_the_operator(line).await? {
            return Ok(());
        }
        Err(format!("there is no verb `{}`", line.verb()).into())
    }

    // ---- words of scripts -----------------------------------------------------------------

    /// The host that the n-th word names.
    pub fn host(&self, line: &Line, n: usize) -> Result<String, String> {
        let name = line.word(n, "a host")?;
        if self.stage.with(|w| w.host_names()).iter().any(|h| h == name) { Ok(name.into()) } else { Err(format!("there is no host `{name}`")) }
    }

    /// The id of a guest.
    pub fn guest_id(&self, name: &str) -> Result<String, String> {
        self.stage.with(|w| w.guest_id(name)).ok_or_else(|| format!("there is no guest `{name}`"))
    }

    /// Lets time pass; channels go on speaking every ten seconds.
    pub async fn pass(&mut self, time: Duration) {
        let end = tokio::time::Instant::now() + time;
        while tokio::time::Instant::now() < end {
            let left = end - tokio::time::Instant::now();
            self.sleep(left.min(Duration::from_secs(1))).await;
        }
    }

    /// A short while.
    pub async fn sleep(&mut self, time: Duration) {
        let before = self.stage.now();
        tokio::time::sleep(time).await;
        if self.stage.now().0.div_euclid(10_000_000) != before.0.div_euclid(10_000_000) {
            self.speak().await;
        }
    }

    // ---- what is told ---------------------------------------------------------------------

    /// Takes up all that is new.
    async fn gather(&mut self) {
        // All that was committed until now is in the history after this.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let mut names = self.names.clone();
        names.extend(self.stage.with(|w| w.guest_ids().into_iter().filter_map(|id| w.show(&id).map(|g| (id, g.name))).collect::<Vec<_>>()));
        let cluster = self.cluster.clone();
        let clean = |text: &str| clean(text, &names, &cluster);
        let (calls, log): (Vec<_>, Vec<_>) = self
            .stage
            .with(|w| (w.calls().enumerate().skip(self.calls).map(|(n, c)| (n, c.clone())).collect(), w.log().skip(self.logged).cloned().collect()));
        for (number, call) in &calls {
            self.calls += 1;
            let host = self.homes.get(&call.target).unwrap_or(&call.target).clone();
            if !self.others.contains(number) {
                self.trace.call(call, &host, &clean);
            }
        }
        for entry in &log {
            self.logged += 1;
            self.trace.happened(entry.at, &clean(&entry.text));
        }
        for (at, change) in std::mem::take(&mut *self.history.lock().unwrap_or_else(PoisonError::into_inner)) {
            if change.op != ChangeOp::Deleted {
                self.trace.changed(&change, at, &clean);
            }
        }
        let mut events = self.stage.rig.store.events(None, 1_000).await.expect("the store");
        events.sort_by_key(|e| (e.spec["lastAt"].as_str().map(String::from), e.spec["reason"].as_str().map(String::from)));
        for event in events {
            let count = event.spec["count"].as_i64().unwrap_or(1);
            if self.told.insert(event.metadata.name.clone(), count).is_none() {
                let at = event.spec["lastAt"].as_str().and_then(|t| Time::parse(t).ok()).unwrap_or(Time(0));
                self.trace.event(&event, at, &clean);
            }
        }
        self.homes = self.stage.with(|w| w.guest_ids().into_iter().filter_map(|id| w.home_of(&id).map(|home| (id, home))).collect());
    }

    fn clean(&self, text: &str) -> String {
        clean(text, &self.names, &self.cluster)
    }

    /// What `cloud-manager why HOST` answers now.
    async fn why(&self, host: &str) -> Vec<String> {
        let rig = &self.stage.rig;
        let (of, now) = (rig.get("Host", host).await, self.stage.now());
        let mut all = Vec::new();
        for kind in held::KINDS {
            all.extend(rig.list(kind).await);
        }
        let mut lines = Vec::new();
        for object in std::iter::once(&of).chain(held::of_host(&of, all.iter(), now)) {
            let why = why(object, now);
            lines.push(format!("{}:", object.id()));
            lines.extend(why.lines.iter().map(|l| format!("  {}", without_age(&self.clean(l)))));
            lines.extend(why.advice.iter().map(|l| format!("  -> {}", self.clean(l))));
        }
        lines
    }

    /// How it ended: what the same script must lead to on a real cloud as well.
    async fn end(mut self) -> String {
        self.gather().await;
        self.trace.line("");
        self.trace.line("== Outcome");
        let state = self.stage.with(|w| w.state());
        for host in &state.hosts {
            let object = self.stage.rig.store.get("Host", &host.name).await.expect("the store");
            let words = [
                (host.power, "on", "off"),
                (host.crashed, "crashed", ""),
                (host.enabled, "enabled", "disabled"),
                (host.up, "up", "down"),
                (host.forced_down, "forced down", ""),
            ];
            let mut words: Vec<String> = words.iter().map(|(is, yes, no)| if *is { yes } else { no }.to_string()).filter(|w| !w.is_empty()).collect();
            if let Some(object) = &object {
                words.push(object.status["availability"]["state"].as_str().unwrap_or("not judged").into());
                words.extend(object.status["fence"]["by"].as_str().map(|by| format!("fenced by {by}")));
            }
            self.trace.line(&format!("host {}: {}", host.name, words.join(", ")));
        }
        for guest in &state.guests {
            let runs = if guest.runs_on.is_empty() { "runs nowhere".into() } else { format!("runs on {}", guest.runs_on.join(" AND ")) };
            let records: Vec<String> = self.stage.with(|w| w.records_of(&guest.id)).iter().map(record).collect();
            let records = if records.is_empty() { String::new() } else { format!("; {}", records.join(", ")) };
            let lost = if self.stage.with(|w| w.lost_disks()).contains(&guest.id) { "; its local disk is LOST" } else { "" };
            let home = guest.host.clone().unwrap_or_else(|| "no host".into());
            self.trace.line(&format!("guest {}: {} on {home}, {runs}{records}{lost}", guest.name, guest.status));
        }
        for kind in ["Evacuation", "HostOperation", "FenceAttestation", "FenceDrill", "RemediationPolicy", "StandbyPool"] {
            for object in self.stage.rig.list(kind).await.into_iter().filter(|o| !o.metadata.name.starts_with("initialise-")) {
                let line = self.clean(&outcome(&object));
                self.trace.line(&line);
            }
        }
        self.trace.line("no guest ran twice");
        self.trace.line("");
        self.trace.line("== What `why` answers to each hold");
        for ((object, hold), answer) in std::mem::take(&mut self.trace.answers) {
            match answer {
                Ok(advice) if advice.is_empty() => self.trace.line(&format!("{object} {hold}: its message says it all")),
                Ok(advice) => {
                    self.trace.line(&format!("{object} {hold}:"));
                    advice.iter().for_each(|a| self.trace.line(&format!("    -> {a}")));
                }
                Err(why) => panic!("{why}"),
            }
        }
        self.trace.into_text()
    }
}

fn record((kind, status, source, destination): &(&'static str, &'static str, String, Option<String>)) -> String {
    format!("{kind} {source} to {} {status}", destination.as_deref().unwrap_or("nowhere"))
}

fn outcome(object: &DynObject) -> String {
    for kind in ["Succeeded", "RemediationAllowed", "Sufficient"] {
        if !reason(object, kind).is_empty() && (condition(object, kind) != "Unknown" || kind == "RemediationAllowed") {
            return format!("{}: {kind}={} {}: {}", object.id(), condition(object, kind), reason(object, kind), message(object, kind));
        }
    }
    match waits_for(object) {
        "" => format!("{}: under way", object.id()),
        why => format!("{}: waits for {why}", object.id()),
    }
}

/// Names for ids, and nothing that differs from run to run.
fn clean(text: &str, names: &[(String, String)], cluster: &str) -> String {
    let mut text = text.replace(cluster, "<our cluster>");
    for (id, name) in names {
        text = text.replace(id.as_str(), name);
    }
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some(c) = rest.chars().next() {
        let taken =
            uuid_at(rest).map(|n| (n, "<uuid>")).or_else(|| time_at(rest).map(|n| (n, "<time>"))).or_else(|| short_at(rest).map(|n| (n, "-")));
        match taken {
            Some((length, word)) => {
                out.push_str(word);
                rest = &rest[length..];
            }
            None => {
                out.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    out
}

fn uuid_at(text: &str) -> Option<usize> {
    let head = text.as_bytes().get(..36)?;
    let fits = |(i, b): (usize, &u8)| if [8, 13, 18, 23].contains(&i) { *b == b'-' } else { b.is_ascii_hexdigit() };
    head.iter().enumerate().all(fits).then_some(36)
}

/// The piece of an id in a name: `-0123abcd-`.
fn short_at(text: &str) -> Option<usize> {
    let head = text.as_bytes().get(..10)?;
    (head[0] == b'-' && head[9] == b'-' && head[1..9].iter().all(u8::is_ascii_hexdigit)).then_some(10)
}

/// `2026-01-01T00:00:00…Z`.
fn time_at(text: &str) -> Option<usize> {
    let head = text.as_bytes().get(..20)?;
    let digits = |range: std::ops::Range<usize>| head[range].iter().all(u8::is_ascii_digit);
    if !(digits(0..4) && head[4] == b'-' && digits(5..7) && head[7] == b'-' && digits(8..10) && head[10] == b'T' && digits(11..13)) {
        return None;
    }
    let end = text.find('Z')?;
    (end < 32).then_some(end + 1)
}

/// How long it waits depends on the moment.
fn without_age(line: &str) -> String {
    match line.strip_prefix("It has waited for ").and_then(|rest| rest.split_once(' ')) {
        Some((_, rest)) => format!("It waits {rest}"),
        None => line.into(),
    }
}
