//! What was counted over all hosts, and what others began since (I6).

use super::{Seen, Tracker, text};
use schemas::{DynObject, v1::EvacuationPath};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use store::{ListQuery, Op};

/// An evacuation that has not ended.
pub(super) struct Open {
    /// `Evacuation/name`.
    pub id: String,
    /// It moves guests off a host that lives.
    pub is_drain: bool,
}

impl Seen {
    /// What a begin goes by: no evacuation was begun, changed or ended of a host that was not counted for one.
    pub(super) fn still_counted(&self) -> Op {
        let counted = self.input.hosts.iter().filter(|row| row.open_evacuation.is_some() && !row.is_drained);
        let hosts = counted.map(|row| row.host.metadata.name.clone()).collect();
        Op::RequireUnwritten { kind: "Evacuation".into(), after: self.counted_at, hosts }
    }

    /// Takes in what a begin has written.
    pub(super) fn begun(&mut self, written: Vec<DynObject>) -> Result<(), String> {
        for object in written {
            let name = object.metadata.name.clone();
            let about = object.spec["hostRef"]["name"].as_str().unwrap_or_default();
            match object.kind.as_str() {
                "RemediationPolicy" => {
                    if let Some(row) = self.input.policies.iter_mut().find(|row| row.policy.metadata.name == name) {
                        row.policy = object.typed().map_err(text)?;
                    }
                    self.policies.insert(name, object);
                }
                "Host" => {
                    if let Some(row) = self.input.hosts.iter_mut().find(|row| row.host.metadata.name == name) {
                        row.host = object.typed().map_err(text)?;
                    }
                    self.hosts.insert(name, object);
                }
                "Evacuation" => {
                    if let Some(row) = self.input.hosts.iter_mut().find(|row| row.host.metadata.name == about) {
                        (row.open_evacuation, row.is_drained) = (Some(object.id()), false);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Tracker {
    /// Open evacuations by host, and the revision from before they were read.
    pub(super) async fn evacuations(&self) -> Result<(BTreeMap<String, Open>, i64), String> {
        let page = self.shared.store.list("Evacuation", ListQuery { open_only: true, ..Default::default() }).await.map_err(text)?;
        super::gauges::of_evacuations(&self.shared.metrics, &page.items);
        let open = page.items.iter().filter_map(|object| {
            let is_drain = object.status["path"] == json!(EvacuationPath::Drain);
            Some((object.spec["hostRef"]["name"].as_str()?.to_string(), Open { id: object.id(), is_drain }))
        });
        Ok((open.collect(), page.revision))
    }

    /// Brings `seen` up to what others have begun since it was counted; the looks at Nova, and what they led to, stay as they
    /// were. True: something counts now that did not, and all is to be decided anew.
    pub(super) async fn recount(&self, seen: &mut Seen) -> Result<bool, String> {
        let store = &self.shared.store;
        let page = store.list("Evacuation", ListQuery::default()).await.map_err(text)?;
        let written = page.items.iter().filter(|object| object.metadata.revision() > seen.counted_at);
        // One that ended meanwhile counts until the next look: its fence may not show on the Host yet.
        let in_flight: BTreeMap<&str, &DynObject> = written
            .filter(|object| object.status["path"] != json!(EvacuationPath::Drain))
            .filter_map(|object| Some((object.spec["hostRef"]["name"].as_str()?, object)))
            .collect();
        seen.counted_at = page.revision;
        let mut news = BTreeSet::new();
        for row in &mut seen.input.hosts {
            let Some(object) = in_flight.get(row.host.metadata.name.as_str()) else { continue };
            if row.open_evacuation.is_none() || row.is_drained {
                news.insert(row.host.metadata.name.clone());
                (row.open_evacuation, row.is_drained) = (Some(object.id()), false);
            }
        }
        if news.is_empty() {
            return Ok(false);
        }
        tracing::info!(hosts = ?news, "evacuations were begun while it was decided what else is; it is counted anew");
        let hosts = store.list("Host", ListQuery::default()).await.map_err(text)?.items;
        let mut fresh: BTreeMap<String, DynObject> = hosts.into_iter().map(|object| (object.metadata.name.clone(), object)).collect();
        for row in &mut seen.input.hosts {
            let Some(object) = fresh.remove(&row.host.metadata.name) else { continue };
            // Where it stands is what this pass found out, until it is written down.
            let availability = row.host.status.availability.take();
            row.host = object.typed().map_err(text)?;
            row.host.status.availability = availability;
            seen.hosts.insert(object.metadata.name.clone(), object);
        }
        for row in &mut seen.input.policies {
            if let Some(object) = seen.policies.get(&row.policy.metadata.name) {
                row.policy = object.typed().map_err(text)?;
            }
        }
        Ok(true)
    }
}
