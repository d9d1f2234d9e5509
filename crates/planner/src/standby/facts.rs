//! What was read for a StandbyPool or a FenceDrill in one pass.

use crate::facts::HostFacts;
use schemas::{
    Object,
    v1::{Cancel, EvacuationKind, EvacuationPath, FenceDrill, GuestOutcome, Host, HostOperation, IdleState, StandbyLease, reasons},
};
use std::collections::{BTreeMap, BTreeSet};

/// A host, read in this pass.
#[derive(Clone, Debug)]
pub struct Look {
    /// All of it; reads of its service row from before the last power command are left out: they are of an earlier life.
    pub facts: HostFacts,
    /// The latch of S10 is set.
    pub fenced: bool,
}

/// A member of a pool, or a host of a drill.
#[derive(Clone, Debug)]
pub struct Member {
    /// The object.
    pub host: Object<Host>,
    /// Its operations, oldest first; only the open ones of a host that was not looked at.
    pub operations: Vec<Object<HostOperation>>,
    /// Its evacuation that has not ended.
    pub open_evacuation: Option<String>,
    /// The FenceDrill that is testing it, and its resource version.
    pub drill: Option<(String, i64)>,
    /// Other pools that name or select it.
    pub other_pools: Vec<String>,
    /// The host itself; only of one that is not at rest.
    pub look: Option<Look>,
}

impl Member {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.host.metadata.name
    }
}

/// An evacuation that may need a standby host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// Name of the evacuation.
    pub evacuation: String,
    /// Its uid.
    pub uid: String,
    /// The host that is evacuated.
    pub host: String,
    /// Its availability zone; empty if it is not known.
    pub zone: String,
    /// A guest for which there is no destination.
    pub lacking: Option<String>,
}

impl Need {
    /// What an evacuation may need: only one that rebuilds guests, and that has not ended. `source`: the host that it empties.
    pub fn of(evacuation: &Object<EvacuationKind>, source: Option<&Object<Host>>) -> Option<Need> {
        let (spec, status) = (&evacuation.spec, &evacuation.status);
        if status.finished_at.is_some() || spec.cancel == Cancel::Requested || status.path != EvacuationPath::Rebuild {
            return None;
        }
        let lacking = status.guests.iter().find(|g| g.outcome == GuestOutcome::Pending && g.reason == reasons::NO_DESTINATION);
        let zone = source.and_then(|h| h.status.nova.as_ref()).map(|n| n.zone.clone()).unwrap_or_default();
        Some(Need {
            evacuation: evacuation.metadata.name.clone(),
            uid: evacuation.metadata.uid.clone(),
            host: spec.host_ref.name.clone(),
            zone,
            lacking: lacking.map(|g| if g.name.is_empty() { g.id.clone() } else { g.name.clone() }),
        })
    }
}

/// All that a pool is decided by.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Its members, by name.
    pub members: Vec<Member>,
    /// Named members of which there is no Host.
    pub missing: Vec<String>,
    /// Hosts that bear the pool's mark and are no members any more.
    pub departed: Vec<Object<Host>>,
    /// Names of all other pools.
    pub pools: Vec<String>,
    /// Evacuations that may need a standby host of this pool, oldest first.
    pub needs: Vec<Need>,
    /// Uids of evacuations that a lease of this pool names and that have ended, or are gone.
    pub over: BTreeSet<String>,
    /// Leases of other pools.
    pub elsewhere: Vec<StandbyLease>,
    /// FenceDrills that have ended and were not taken in, in the order in which they ended.
    pub drills: Vec<Object<FenceDrill>>,
    /// A FenceDrill of this pool has not ended.
    pub drilling: bool,
    /// A number that no FenceDrill of this pool has had.
    pub next_drill: i64,
}

/// All that a drill is decided by.
#[derive(Clone, Debug, Default)]
pub struct DrillSeen {
    /// The hosts it is for.
    pub hosts: Vec<String>,
    /// Those that are tested now. One that is missing is no Host.
    pub members: BTreeMap<String, Member>,
    /// How the pool of each of these keeps idle members.
    pub idle: BTreeMap<String, IdleState>,
    /// An older drill that powers hosts off and on, and has not ended.
    pub elder: Option<String>,
}
