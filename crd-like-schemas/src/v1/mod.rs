//! Version 1 of every kind.

pub mod cluster_policy;
pub mod credential;
pub mod evacuation;
pub mod event;
pub mod fence_drill;
pub mod host;
pub mod host_operation;
pub mod lease;
pub mod operation;
pub mod power_device;
pub mod power_link;
pub mod reasons;
pub mod remediation_policy;
pub mod standby_pool;
pub mod task;

pub use cluster_policy::{ClusterPolicy, ClusterPolicySpec, ClusterPolicyStatus, GuestDisks, Operations};
pub use credential::{Credential, CredentialSpec, CredentialStatus};
pub use evacuation::{
    Cause, EvacuationKind, EvacuationMode, EvacuationPath, EvacuationSpec, EvacuationStatus, FencePolicy, GuestMove, GuestOutcome, LocalDisks,
};
pub use event::{Event, EventSpec, EventStatus};
pub use fence_drill::{DrillDepth, DrillHost, DrillOutcome, DrillStep, FenceDrill, FenceDrillSpec, FenceDrillStatus};
pub use host::{
    Availability, AvailabilityState, EvacuationRule, FenceStatus, GuestSummary, GuestsOnPowerOff, Host, HostClaim, HostSpec, HostStandby, HostStatus,
    LinkState, NovaStatus, PowerState, PowerWish, Retry, Schedulable, StoppedGuests, Waiting,
};
pub use host_operation::{
    Cancel, FormerLeader, HostOperation, HostOperationSpec, HostOperationStatus, HostOperationType, InitialiseMethod, OffVm, RunningGuests,
};
pub use lease::{Lease, LeaseSpec, LeaseStatus};
pub use operation::{Operation, OperationSpec, OperationState, OperationStatus};
pub use power_device::{DeviceType, Endpoint, PowerDevice, PowerDeviceSpec, PowerDeviceStatus, Protocol};
pub use power_link::{Binding, LinkIdentity, LinkRole, PowerLink, PowerLinkSpec, PowerLinkStatus, VerifiedBy};
pub use remediation_policy::{
    AutomaticEvacuation, Detection, Recovery, RemediationPolicy, RemediationPolicySpec, RemediationPolicyStatus, StormLimits, Watching,
};
pub use standby_pool::{
    IdleState, LeaseState, MemberState, PoolMember, PoolTests, Protects, StandbyFailure, StandbyLease, StandbyPool, StandbyPoolSpec,
    StandbyPoolStatus, Wake,
};
pub use task::{Task, TaskSpec, TaskStatus};
