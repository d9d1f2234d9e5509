//! What is waited for, and what is expected: of objects, hosts, guests and calls.

use crate::{
    run::Story,
    script::{Line, number, pair, seconds},
    world::call_kind,
};
use schemas::DynObject;
use serde_json::Value;
use simulator::CallKind;
use std::time::Duration;
use workspace_tests::{condition, message, reason, waits_for};

/// Simulated seconds that anything is waited for, unless the line says otherwise.
const PATIENCE: u64 = 600;
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(250);

/// What a condition asks for: yes, or what is there instead.
type Answer = Result<(), String>;

impl Story {
    /// `wait WHAT … [within=10m]`
    pub async fn wait(&mut self, line: &Line) -> Result<(), String> {
        let (mut line, mut patience) = (line.rest(), PATIENCE);
        if let Some(within) = line.words.last().and_then(|w| w.strip_prefix("within=")) {
            patience = seconds(within)?;
            line.words.pop();
        }
        let end = tokio::time::Instant::now() + Duration::from_secs(patience);
        loop {
            match self.look(&line, true).await? {
                Ok(()) => return Ok(()),
                Err(there) if tokio::time::Instant::now() > end => return Err(format!("never within {patience} s; {there}")),
                Err(_) => self.sleep(LOOK).await,
            }
        }
    }

    /// `expect WHAT …`
    pub async fn expect(&mut self, line: &Line) -> Result<(), String> {
        self.look(&line.rest(), false).await?
    }

    /// Whether it is so. `waiting`: more calls than asked for are as good.
    async fn look(&mut self, line: &Line, waiting: bool) -> Result<Answer, String> {
        let wants = line.after(0);
        match line.verb() {
            "calls" => self.calls(line, waiting),
            "host" => all(line.after(1), |want| self.host_is(line.word(1, "a host")?, want)),
            "guest" => all(line.after(1), |want| self.guest_is(line.word(1, "a guest")?, want)),
            "event" => {
                let wanted = line.word(1, "a reason")?;
                let events = self.stage.rig.store.events(None, 1_000).await.map_err(|e| e.to_string())?;
                let there: Vec<&str> = events.iter().filter_map(|e| e.spec["reason"].as_str()).collect();
                Ok(if there.contains(&wanted) { Ok(()) } else { Err(format!("the events are {there:?}")) })
            }
            subject => {
                let (kind, name) =
                    subject.split_once('/').ok_or_else(|| format!("`{subject}` is neither Kind/name, host, guest, calls nor event"))?;
                let kind = schemas::kinds::find(kind).ok_or_else(|| format!("there is no kind `{kind}`"))?.kind;
                if wants.is_empty() {
                    return Err(format!("say what {subject} should be"));
                }
                match self.stage.rig.store.get(kind, name).await.map_err(|e| e.to_string())? {
                    None if wants == ["gone"] => Ok(Ok(())),
                    None => Ok(Err(format!("{subject} is not there"))),
                    Some(object) => all(wants, |want| object_is(&object, want)),
                }
            }
        }
    }

    fn calls(&self, line: &Line, waiting: bool) -> Result<Answer, String> {
        let ours: Vec<CallKind> =
            self.stage.with(|w| w.calls().enumerate().filter(|(n, _)| !self.others.contains(n)).map(|(_, call)| call.kind).collect());
        if line.word(1, "a call and a number, or `none`")? == "none" {
            return Ok(if ours.is_empty() { Ok(()) } else { Err(format!("there were {ours:?}")) });
        }
        let (kind, wanted): (_, usize) = (call_kind(line.word(1, "a call")?)?, number(line.word(2, "a number")?)?);
        let there = ours.iter().filter(|k| **k == kind).count();
        let enough = if waiting { there >= wanted } else { there == wanted };
        Ok(if enough { Ok(()) } else { Err(format!("there were {there} of {kind:?}")) })
    }

    fn host_is(&self, host: &str, want: &str) -> Result<Answer, String> {
        let state = self.stage.with(|w| w.state()).hosts.into_iter().find(|h| h.name == host).ok_or_else(|| format!("there is no host `{host}`"))?;
        let is = match want {
            "on" => state.power,
            "off" => !state.power,
            "up" => state.up,
            "down" => !state.up,
            "beats" => state.nova_compute,
            "silent" => !state.nova_compute,
            "enabled" => state.enabled,
            "disabled" => !state.enabled,
            "forced-down" => state.forced_down,
            "not-forced-down" => !state.forced_down,
            "empty" => state.running.is_empty(),
            other => return Err(format!("`{other}` is nothing a host can be")),
        };
        Ok(if is { Ok(()) } else { Err(format!("host {host} is not {want}: {state:?}")) })
    }

    fn guest_is(&self, guest: &str, want: &str) -> Result<Answer, String> {
        let id = self.guest_id(guest)?;
        let (home, status, runs) = (self.stage.home(&id), self.stage.status(&id), self.stage.runs_on(&id));
        let records: Vec<String> = self.stage.with(|w| w.records_of(&id)).iter().map(|r| format!("{}:{}", r.0, r.1)).collect();
        let is = match (want, pair(want)) {
            ("disk-lost", _) => self.stage.with(|w| w.lost_disks()).contains(&id),
            (_, Some(("on", host))) => home == host,
            (_, Some(("not-on", host))) => home != host,
            (_, Some(("status", wanted))) => status == wanted,
            (_, Some(("runs", "nowhere"))) => runs.is_empty(),
            (_, Some(("runs", host))) => runs == [host],
            (_, Some(("record", wanted))) => records.iter().any(|r| r == wanted),
            (_, Some(("rebuilt-from", source))) => {
                home != source && runs == [home.clone()] && status == "ACTIVE" && records.iter().filter(|r| r.starts_with("evacuation:")).count() == 1
            }
            _ => return Err(format!("`{want}` is none of on=, not-on=, status=, runs=, record=, rebuilt-from=, disk-lost")),
        };
        Ok(if is { Ok(()) } else { Err(format!("guest {guest} is {status} on {home}, runs on {runs:?}, its records are {records:?}")) })
    }
}

/// Every one of them, or the first that is not so.
fn all(wants: &[String], is: impl Fn(&str) -> Result<Answer, String>) -> Result<Answer, String> {
    for want in wants {
        if let Err(there) = is(want)? {
            return Ok(Err(there));
        }
    }
    Ok(Ok(()))
}

/// `exists`, `ended`, `waits=Reason`, `is=State`, `Condition=ReasonOrStatus`, `says=text`, `status.path=value`.
fn object_is(object: &DynObject, want: &str) -> Result<Answer, String> {
    let succeeded = (condition(object, "Succeeded"), reason(object, "Succeeded"));
    let is = match (want, pair(want)) {
        ("exists", _) => true,
        ("gone", _) => false,
        ("ended", _) => matches!(succeeded.0, "True" | "False"),
        ("succeeded", _) => succeeded.0 == "True",
        ("failed", _) => succeeded.0 == "False",
        ("waits", _) => !waits_for(object).is_empty(),
        (_, Some(("failed", why))) => succeeded == ("False", why),
        (_, Some(("waits", why))) => waits_for(object) == why,
        (_, Some(("is", state))) => object.status["availability"]["state"] == state,
        (_, Some(("says", text))) => {
            let conditions = object.status["conditions"].as_array().into_iter().flatten().filter_map(|c| c["message"].as_str());
            conditions.chain(object.status["waiting"]["message"].as_str()).any(|m| m.contains(text))
        }
        (_, Some((path, value))) if path.starts_with("status.") || path.starts_with("spec.") => {
            let whole = serde_json::to_value(object).map_err(|e| e.to_string())?;
            text_of(whole.pointer(&format!("/{}", path.replace('.', "/")))) == value
        }
        (_, Some((kind, value))) if kind.starts_with(char::is_uppercase) => condition(object, kind) == value || reason(object, kind) == value,
        _ => return Err(format!("`{want}` is none of exists, gone, ended, succeeded, failed, waits, is, says, status.…=, spec.…=, Condition=")),
    };
    Ok(if is { Ok(()) } else { Err(format!("it is not {want}: {}", in_brief(object))) })
}

fn text_of(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "none".into(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn in_brief(object: &DynObject) -> String {
    let list = object.status["conditions"].as_array().into_iter().flatten().filter_map(|c| c["type"].as_str());
    let told: Vec<String> =
        list.map(|kind| format!("{kind} {} {}: {}", condition(object, kind), reason(object, kind), message(object, kind))).collect();
    format!("{} {} waits for `{}`; {}", object.id(), object.status["availability"]["state"], waits_for(object), told.join("; "))
}
