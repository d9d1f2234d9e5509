//! Verbs of the operator, of channels that vouch for hosts, and of what happens to the controller itself.

use crate::{
    run::{Story, Trouble},
    script::{Line, number, pair, seconds},
};
use schemas::{kinds, v1::Says};
use serde_json::{Value, json};
use workspace_tests::life::{Death, Life};

impl Story {
    /// Does what the line says; false if that is none of these verbs.
    pub async fn by_the_operator(&mut self, line: &Line) -> Result<bool, Trouble> {
        match line.verb() {
            "apply" => self.apply(line).await?,
            "delete" => {
                let (kind, name) = object(line.word(1, "Kind/name")?)?;
                self.stage.rig.registry.delete(kind, name, Default::default(), self.stage.now()).await?;
            }
            "label" => {
                let (kind, name) = object(line.word(1, "Kind/name")?)?;
                let (key, value) = pair(line.word(2, "key=value")?).ok_or("a label is key=value")?;
                self.stage.label(kind.kind, name, key, value).await;
            }
            "evacuate" => {
                let host = self.host(line, 1)?;
                let spec = with(json!({"hostRef": {"name": host}}), &line.yaml)?;
                self.create("Evacuation", &named(line, 1, format!("evacuation-{host}"))?, spec).await?;
            }
            "operate" => {
                let (what, host) = (line.word(1, "what to do")?, self.host(line, 2)?);
                let name = named(line, 2, format!("{}-{host}", what.to_lowercase()))?;
                let spec = with(json!({"hostRef": {"name": host}, "type": what}), &line.yaml)?;
                self.create("HostOperation", &name, spec).await?;
            }
            "cancel" => {
                let (kind, name) = object(line.word(1, "Kind/name")?)?;
                self.stage.rig.try_patch(kind.kind, name, json!({"cancel": "Requested"})).await?;
            }
            "freeze" => self.stage.policy(json!({"operations": "Frozen"})).await,
            "thaw" => self.stage.policy(json!({"operations": "Normal"})).await,
            "attest" => self.attest(line).await?,
            "hear" => {
                let (host, says) = (self.host(line, 1)?, says(line.word(2, "alive or silent")?)?);
                let ago = line.words.get(3).and_then(|w| w.strip_prefix("ago=")).map_or(Ok(1), seconds)?;
                self.stage.hear(&host, says, i64::try_from(ago).map_err(|e| e.to_string())?).await;
            }
            "channel" => {
                let host = self.host(line, 1)?;
                self.speakers.retain(|(h, _)| *h != host);
                match line.word(2, "alive, silent or ends")? {
                    "ends" => {}
                    word => self.speakers.push((host, says(word)?)),
                }
                self.speak().await;
            }
            "controller" => self.controller(line).await?,
            "database" => match line.word(1, "went-back or looked-at")? {
                "went-back" => self.stage.rig.halt(Some("the revision counter went backwards; run `cloud-manager doctor`")),
                "looked-at" => self.stage.rig.halt(None),
                other => return Err(format!("`{other}` is neither went-back nor looked-at").into()),
            },
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Creates an object, or lays fields over the spec of one that is there.
    async fn apply(&mut self, line: &Line) -> Result<(), Trouble> {
        let (kind, name) = object(line.word(1, "Kind/name")?)?;
        let spec = if line.yaml.is_null() { json!({}) } else { line.yaml.clone() };
        line.ends(1)?;
        match self.stage.rig.store.get(kind.kind, name).await.map_err(|e| e.to_string())? {
            None => self.create(kind.kind, name, spec).await,
            Some(_) => Ok(self.stage.rig.try_patch(kind.kind, name, spec).await.map(drop)?),
        }
    }

    async fn create(&mut self, kind: &str, name: &str, spec: Value) -> Result<(), Trouble> {
        Ok(self.stage.rig.try_create(kind, name, spec).await.map(drop)?)
    }

    /// `watch {limits}`: two looks ten seconds apart make a host down; waits until every host is judged.
    pub async fn watch(&mut self, line: &Line) -> Result<(), Trouble> {
        let limits = if line.yaml.is_null() { json!({"maxDownHosts": 1}) } else { line.yaml.clone() };
        let detection = json!({"intervalSeconds": 10, "downConfirmations": 2, "quietSeconds": 20});
        self.stage.rig.try_patch("RemediationPolicy", "default", json!({"limits": limits, "detection": detection})).await?;
        for host in self.stage.with(|w| w.host_names()) {
            self.stage.wait("Host", &host, "judged", |o| matches!(o.status["availability"]["state"].as_str(), Some("Up" | "Off"))).await;
        }
        let ready = |o: &schemas::DynObject| !matches!(workspace_tests::reason(o, "RemediationAllowed"), "" | "QuietPeriod");
        self.stage.wait("RemediationPolicy", "default", "past its quiet period", ready).await;
        Ok(())
    }

    /// `attest HOST [epoch=N] [for=1h] [as=NAME]`; without, for the epoch that it is in.
    async fn attest(&mut self, line: &Line) -> Result<(), Trouble> {
        let host = self.host(line, 1)?;
        let status = self.stage.rig.get("Host", &host).await.status;
        let (mut epoch, mut lasts, mut name) = (status["epoch"].as_i64().unwrap_or(1), 3_600, format!("attest-{host}"));
        for word in line.after(1) {
            match pair(word) {
                Some(("epoch", n)) => epoch = number(n)?,
                Some(("for", time)) => lasts = i64::try_from(seconds(time)?).map_err(|e| e.to_string())?,
                Some(("as", other)) => name = other.into(),
                _ => return Err(format!("`{word}` is none of epoch=, for=, as=").into()),
            }
        }
        let spec = json!({"hostRef": {"name": host}, "powerEpoch": epoch, "statement": "burnt, I pulled its cables",
            "expiresAt": self.stage.now().plus_seconds(lasts)});
        self.create("FenceAttestation", &name, spec).await
    }

    async fn controller(&mut self, line: &Line) -> Result<(), Trouble> {
        match line.word(1, "what happens to it")? {
            "crashes" => self.stage.kill(),
            "takes-over" => self.stage.takeover().await,
            // The old one runs on and does not know.
            "takes-over-beside" => self.stage.rig.lead_beside().await,
            "hands-over" => {
                self.stage.rig.hand_over().await;
                self.stage.rig.lead().await;
            }
            "dies" => {
                let n = number(line.word(3, "before or after, and which changing call")?)?;
                let death = match line.word(2, "before or after")? {
                    "before" => Death::Before(n),
                    "after" => Death::After(n),
                    other => return Err(format!("`{other}` is neither before nor after").into()),
                };
                self.stage.succeed_with(Life::ends(death, true)).await;
            }
            "is-dead" => {
                self.stage.death().await;
                self.stage.kill();
            }
            other => {
                return Err(format!("the controller never `{other}`; it crashes, takes-over, takes-over-beside, hands-over, dies, is-dead").into());
            }
        }
        Ok(())
    }

    /// What channels say that go on speaking.
    pub async fn speak(&self) {
        for (host, says) in &self.speakers {
            self.stage.hear(host, *says, 1).await;
        }
    }
}

fn says(word: &str) -> Result<Says, String> {
    match word {
        "alive" => Ok(Says::Alive),
        "silent" => Ok(Says::Silent),
        other => Err(format!("`{other}` is neither alive nor silent")),
    }
}

fn object(word: &str) -> Result<(&'static kinds::KindInfo, &str), String> {
    let (kind, name) = word.split_once('/').ok_or_else(|| format!("`{word}` is not Kind/name"))?;
    Ok((kinds::find(kind).ok_or_else(|| format!("there is no kind `{kind}`"))?, name))
}

/// `as=NAME` after `n` words, or the usual name.
fn named(line: &Line, n: usize, usual: String) -> Result<String, String> {
    match line.after(n) {
        [] => Ok(usual),
        [word] if word.starts_with("as=") => Ok(word[3..].into()),
        [word, ..] => Err(format!("`{word}` is more than `{}` takes; a name is as=NAME", line.verb())),
    }
}

fn with(mut spec: Value, more: &Value) -> Result<Value, String> {
    match more {
        Value::Null => {}
        Value::Object(fields) => fields.iter().for_each(|(key, value)| spec[key] = value.clone()),
        other => return Err(format!("{other} is no object")),
    }
    Ok(spec)
}
