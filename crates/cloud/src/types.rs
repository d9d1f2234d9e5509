//! What Nova, Placement and Keystone say, with everything optional that they may leave out.

use schemas::Time;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One row of `GET /os-services`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Uuid (2.53). Empty if the row's cell did not answer (2.69).
    pub id: String,
    /// `nova-compute`, `nova-conductor`, `nova-scheduler`, …
    pub binary: String,
    /// Service host, exact.
    pub host: String,
    /// Availability zone.
    pub zone: String,
    /// `None`: the cell did not answer, or the word is not known.
    pub enabled: Option<bool>,
    /// Nova's opinion; `None`: not known.
    pub up: Option<bool>,
    /// Forced down by an operator (2.11).
    pub forced_down: bool,
    /// Why it is disabled.
    pub disabled_reason: Option<String>,
    /// Nova's text of the last write of the row, by anyone; compared for equality only.
    pub updated_at: Option<String>,
}

/// One row of `GET /os-hypervisors/detail`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hypervisor {
    /// Uuid; equals the Placement resource provider's.
    pub id: String,
    /// Hypervisor host name.
    pub hostname: String,
    /// `ironic` marks a bare-metal node (S16).
    pub hypervisor_type: String,
    /// Nova service host.
    pub service_host: String,
}

/// One server, as `GET /servers/detail` shows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// Uuid.
    pub id: String,
    /// Name.
    pub name: String,
    /// API status, upper case; `UNKNOWN` for a guest of a cell that did not answer.
    pub status: String,
    /// Service host; `None` if it has none.
    pub host: Option<String>,
    /// `active`, `stopped`, `error`, …; empty if not told.
    pub vm_state: String,
    /// What Nova is doing with it.
    pub task_state: Option<String>,
    /// 1 running, 4 shut down, 0 none.
    pub power_state: i64,
    /// Availability zone.
    pub zone: Option<String>,
    /// Locked by someone.
    pub locked: bool,
    /// Booted from a volume (`image` is an empty string).
    pub boot_from_volume: bool,
    /// Needs, from the embedded flavor (2.47).
    pub vcpus: i64,
    /// MiB.
    pub ram_mb: i64,
    /// Root disk, GiB.
    pub disk_gb: i64,
    /// Ephemeral disk, GiB.
    pub ephemeral_gb: i64,
    /// Swap, MiB.
    pub swap_mb: i64,
    /// Extra specs of the embedded flavor (2.47); empty if Nova's policy hides them.
    pub extra_specs: BTreeMap<String, String>,
    /// Project.
    pub project: String,
    /// Properties of its image (2.98); `None`: Nova does not tell, or it was booted from a volume.
    pub image_properties: Option<BTreeMap<String, String>>,
    /// Server metadata.
    pub metadata: BTreeMap<String, String>,
    /// Text of Nova's last fault.
    pub fault: Option<String>,
}

/// One row of `GET /os-migrations`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migration {
    /// Integer id; never reused.
    pub id: i64,
    /// `evacuation`, `live-migration`, `migration`, `resize`.
    pub migration_type: String,
    /// `accepted`, `queued`, `pre-migrating`, `preparing`, `running`, `done`, `completed`, `finished`, `error`, `failed`, `cancelled`, …
    pub status: String,
    /// Server uuid.
    pub server: String,
    /// Source service host.
    pub source: Option<String>,
    /// Destination service host; absent until the scheduler chose.
    pub destination: Option<String>,
}

/// A Nova aggregate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aggregate {
    /// Name.
    pub name: String,
    /// Service hosts.
    pub hosts: Vec<String>,
    /// Metadata.
    pub metadata: BTreeMap<String, String>,
}

/// A server group (2.64).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerGroup {
    /// Uuid.
    pub id: String,
    /// Name.
    pub name: String,
    /// `affinity`, `anti-affinity`, `soft-affinity`, `soft-anti-affinity`.
    pub policy: String,
    /// Members that an `anti-affinity` group lets share a host.
    pub max_per_host: i64,
    /// Server uuids.
    pub members: Vec<String>,
}

/// A provider that could take a small guest, with what it has left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// The provider's uuid.
    pub provider: String,
    /// Per resource class: what can be given out in all, and what of it is used.
    pub resources: BTreeMap<String, Share>,
    /// Traits.
    pub traits: Vec<String>,
}

/// One resource class of a [`Room`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// What can be given out: (total − reserved) × allocation ratio.
    pub capacity: i64,
    /// Of this, what is given out.
    pub used: i64,
}

/// A compute node's resource provider in Placement.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Provider {
    /// Uuid.
    pub id: String,
    /// Per resource class: what is there.
    pub inventories: BTreeMap<String, Inventory>,
    /// Per resource class: what is used.
    pub usages: BTreeMap<String, i64>,
    /// Traits, such as `COMPUTE_STATUS_DISABLED`.
    pub traits: Vec<String>,
    /// Consumers (server uuids, or migration uuids) with an allocation here.
    pub consumers: Vec<String>,
}

/// One resource class of a provider.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Inventory {
    /// Total.
    pub total: i64,
    /// Kept back.
    pub reserved: i64,
    /// Times it may be given out, in thousandths.
    pub allocation_permille: i64,
}

impl Provider {
    /// What can still be given out of a class; `None` if the provider has none of it.
    pub fn free(&self, class: &str) -> Option<i64> {
        let inventory = self.inventories.get(class)?;
        let capacity = (inventory.total - inventory.reserved).saturating_mul(inventory.allocation_permille) / 1000;
        Some(capacity - self.usages.get(class).copied().unwrap_or(0))
    }
}

/// Change of a Nova service, sent as one PUT (I21).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceChange {
    /// Enable or disable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Only with `enabled: false`; 1 to 255 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_reason: Option<String>,
    /// Force down, or clear it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forced_down: Option<bool>,
}

/// Who a token belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenInfo {
    /// User id.
    pub user_id: String,
    /// User name.
    pub user_name: String,
    /// Project id, if project-scoped.
    pub project_id: Option<String>,
    /// System scope `all`.
    pub system_scope: bool,
    /// Keystone says that the project is its admin project; false if it does not say.
    pub is_admin_project: bool,
    /// Role names.
    pub roles: Vec<String>,
    /// When it ends.
    pub expires_at: Time,
    /// Requests that its application credential is bound to; `None`: to none in particular.
    pub access_rules: Option<Vec<AccessRule>>,
}

/// A request that an application credential may make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRule {
    /// Type of the service.
    pub service: String,
    /// HTTP method.
    pub method: String,
    /// Pattern of the path: `*` and `{name}` stand for a part of it, `**` for any rest.
    pub path: String,
}
