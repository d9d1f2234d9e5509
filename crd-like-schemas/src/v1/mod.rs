//! Version 1 of every kind.

pub mod apply_set;
pub mod audit_record;
pub mod cluster_policy;
pub mod credential;
pub mod evacuation;
pub mod evacuation_plan;
pub mod event;
pub mod evidence;
pub mod failure_domain;
pub mod fence_attestation;
pub mod fence_drill;
pub mod fencing;
pub mod guest_policy;
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

pub use apply_set::{APPLY_SET_LABEL, ApplySet, ApplySetMember, ApplySetSpec, ApplySetStatus, PROTECTED_KINDS};
pub use audit_record::{AuditRecord, AuditRecordSpec, AuditRecordStatus};
pub use cluster_policy::{ClusterPolicy, ClusterPolicySpec, ClusterPolicyStatus, GuestDisks, Operations};
pub use credential::{Credential, CredentialSpec, CredentialStatus};
pub use evacuation::{
    Cause, EvacuationKind, EvacuationMode, EvacuationPath, EvacuationSpec, EvacuationStatus, FencePolicy, GuestMove, GuestOutcome, LocalDisks, Pace,
    PlanInForce,
};
pub use evacuation_plan::{EvacuationPlan, EvacuationPlanSpec, EvacuationPlanStatus, PlanItem};
pub use event::{Event, EventSpec, EventStatus};
pub use evidence::{Action, AttestationRule, Demand, EvidenceLevels, EvidenceRule, LONGEST_TTL_SECONDS, Level, NO_HOST, Observation, Says};
pub use failure_domain::{FailureDomain, FailureDomainSpec, FailureDomainStatus, FailureDomainType};
pub use fence_attestation::{FenceAttestation, FenceAttestationSpec, FenceAttestationStatus, LONGEST_ATTESTATION_SECONDS};
pub use fence_drill::{DrillDepth, DrillHost, DrillOutcome, DrillStep, FenceDrill, FenceDrillSpec, FenceDrillStatus};
pub use fencing::{FenceAct, FenceProgress, FenceStage, FenceTry, Fencing};
pub use guest_policy::{GuestPolicy, GuestPolicySpec, GuestPolicyStatus, GuestSelector, TargetState};
pub use host::{
    Availability, AvailabilityState, EvacuationRule, FenceStatus, GuestSummary, GuestsOnPowerOff, Host, HostClaim, HostSpec, HostStandby, HostStatus,
    LinkState, NovaStatus, PowerState, PowerWish, RemediationRule, Retry, Schedulable, StoppedGuests, Waiting,
};
pub use host_operation::{
    Cancel, FormerLeader, HostOperation, HostOperationSpec, HostOperationStatus, HostOperationType, InitialiseMethod, OffVm, RunningGuests,
};
pub use lease::{Lease, LeaseSpec, LeaseStatus};
pub use operation::{Operation, OperationSpec, OperationState, OperationStatus};
pub use power_device::{DeviceType, Endpoint, PowerDevice, PowerDeviceSpec, PowerDeviceStatus, Protocol};
pub use power_link::{Binding, LinkIdentity, LinkRole, PowerLink, PowerLinkSpec, PowerLinkStatus, VerifiedBy};
pub use remediation_policy::{
    Approval, AutomaticEvacuation, Detection, DomainLimit, PowerOnReturn, Recovery, RemediationPolicy, RemediationPolicySpec,
    RemediationPolicyStatus, Restart, ReturnMode, ReturnToService, Storm, StormLimits, Watching,
};
pub use standby_pool::{
    IdleState, LeaseState, MemberState, PoolMember, PoolTests, Protects, StandbyFailure, StandbyLease, StandbyPool, StandbyPoolSpec,
    StandbyPoolStatus, Wake,
};
pub use task::{Task, TaskSpec, TaskStatus};
