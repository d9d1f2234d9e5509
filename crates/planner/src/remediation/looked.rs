//! What the leader's latest look found, kept so that others can run the same decision over the objects as they are now. It
//! answers questions; nothing is ever begun by it.

use super::{
    input::{HostRow, Input, Observer, PolicyRow},
    laid_over::{LaidOver, lay_over},
};
use crate::Fact;
use schemas::{
    Object, ObjectMeta, Time,
    v1::{FailureDomain, Host, HostSpec, HostStatus, NO_HOST, Observation, RemediationPolicy, Says},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The channel under which it is kept.
const CHANNEL: &str = "controller";
/// Seconds by which a look may be late beside two of its intervals, and by which clocks may differ.
const SLACK_SECONDS: i64 = 30;

/// What one look found, apart from the objects it was decided on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Looked {
    /// When it was decided on, by the leader's clock.
    pub at: Time,
    /// Since when that controller had led.
    pub led_since: Time,
    /// Who looked.
    pub observer: Observer,
    /// Why all acts were frozen (S14), if they were.
    pub halted: Option<String>,
    /// Names of hosts that Nova called up and of which there was nothing else to say.
    plain: Vec<String>,
    /// The other hosts; of each object only the name.
    others: Vec<HostRow>,
}

/// The objects that a decision goes by, as they are now.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    /// Hosts.
    pub hosts: Vec<Object<Host>>,
    /// Policies.
    pub policies: Vec<Object<RemediationPolicy>>,
    /// What hosts share.
    pub domains: Vec<Object<FailureDomain>>,
    /// The cluster is frozen.
    pub frozen: bool,
}

fn stub(name: &str) -> Object<Host> {
    Object { metadata: ObjectMeta::named(name), spec: HostSpec::default(), status: HostStatus::default() }
}

impl Looked {
    /// What stands in the input of a pass.
    pub fn of(input: &Input) -> Looked {
        let as_text = |row: &HostRow| serde_json::to_string(row).unwrap_or_default();
        let nothing_to_say = as_text(&HostRow::plain(stub(""), Fact::Seen(true, Time(0))));
        let (mut plain, mut others) = (Vec::new(), Vec::new());
        for row in &input.hosts {
            let name = &row.host.metadata.name;
            let mut bare = HostRow { host: stub(""), ..row.clone() };
            if let Fact::Seen(up, _) = bare.up {
                bare.up = Fact::Seen(up, Time(0));
            }
            if as_text(&bare) == nothing_to_say {
                plain.push(name.clone());
            } else {
                others.push(HostRow { host: stub(name), up: row.up.clone(), ..bare });
            }
        }
        Looked { at: input.now, led_since: input.led_since, observer: input.observer.clone(), halted: input.halted.clone(), plain, others }
    }

    /// As it is kept: of no host, so that it is evidence about none. `None` if it cannot be written.
    pub fn observation(&self, now: Time) -> Option<Observation> {
        Some(Observation {
            host: NO_HOST.into(),
            channel: CHANNEL.into(),
            says: Says::Silent,
            observed_at: self.at,
            received_at: now,
            ttl_seconds: 0,
            by: CHANNEL.into(),
            detail: serde_json::to_string(self).ok()?,
        })
    }

    /// From what is kept of no host. `None`: nobody has looked yet.
    ///
    /// # Errors
    /// It cannot be read: a controller of another version wrote it.
    pub fn from_kept(kept: &[Observation]) -> Option<Result<Looked, String>> {
        let found = kept.iter().find(|o| o.host == NO_HOST && o.channel == CHANNEL)?;
        Some(
            serde_json::from_str(&found.detail).map_err(|e| format!("what the controller saw last cannot be read ({e}); does another version lead?")),
        )
    }

    /// Why it says nothing of now; `None` if it does.
    pub fn doubt(&self, policies: &[Object<RemediationPolicy>], now: Time) -> Option<String> {
        let age = now.seconds_since(self.at);
        let interval = policies.iter().map(|p| p.spec.detection.interval_seconds).min().unwrap_or(SLACK_SECONDS);
        if age > 2 * interval + SLACK_SECONDS {
            return Some(format!(
                "the controller's last look is {age} s old, and looks are {interval} s apart: none leads, or it cannot read Nova (cloud-manager get leases)"
            ));
        }
        (age < -SLACK_SECONDS).then(|| format!("the controller's last look is {} s in the future: the clocks of the servers differ", -age))
    }

    /// What a pass would go by now if it looked at all hosts and found what was found last, under policies of which some are
    /// laid over. What is too old is unknown.
    pub fn input(&self, objects: Objects, over: &[LaidOver], now: Time) -> Input {
        let doubt = self.doubt(&objects.policies, now);
        let plain: BTreeSet<&str> = self.plain.iter().map(String::as_str).collect();
        let others: BTreeMap<&str, &HostRow> = self.others.iter().map(|row| (row.host.metadata.name.as_str(), row)).collect();
        let row = |host: Object<Host>| {
            let found = others.get(host.metadata.name.as_str()).map(|row| (*row).clone());
            let is_plain = plain.contains(host.metadata.name.as_str());
            let mut row = match found {
                Some(row) => HostRow { host, ..row },
                None if is_plain => HostRow::plain(host, Fact::Seen(true, self.at)),
                None => HostRow::plain(host, Fact::Unknown("the controller has not looked at it yet".into())),
            };
            if let Some(why) = &doubt {
                (row.up, row.guests) = (Fact::Unknown(why.clone()), Fact::Unknown(why.clone()));
            }
            row
        };
        let mut policies = objects.policies.into_iter().map(|policy| PolicyRow { policy, due: true }).collect();
        lay_over(&mut policies, over);
        Input {
            // Its own reconciler comes first, as in a look.
            hosts: objects.hosts.into_iter().filter(|h| h.status.observed_generation != 0).map(row).collect(),
            policies,
            domains: objects.domains,
            observer: self.observer.clone(),
            now,
            led_since: self.led_since,
            frozen: objects.frozen,
            halted: self.halted.clone(),
        }
    }
}
