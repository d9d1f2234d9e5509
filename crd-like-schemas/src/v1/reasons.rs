//! The stable words that conditions, waits and refusals use. Documented here, matched by clients.

macro_rules! reasons { ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => { $($(#[$doc])* pub const $name: &str = $text;)* }; }

reasons! {
    /// Everything is as declared.
    AS_DESIRED = "AsDesired";
    /// Work is going on.
    PROGRESSING = "Progressing";
    /// The cluster is frozen (ClusterPolicy `operations: Frozen`).
    FROZEN = "FrozenByCluster";
    /// The cluster is frozen, and what is under way is settled first.
    PAUSING = "Pausing";
    /// Another object disrupts the host; it has the claim (S11).
    CLAIMED = "HostClaimed";
    /// Too many hosts are being drained.
    DRAIN_LIMIT = "DrainLimit";
    /// Too many guests are being rebuilt.
    EVACUATION_LIMIT = "EvacuationLimit";
    /// Nova could not be read.
    NOVA_UNREADABLE = "NovaUnreadable";
    /// Nova does not know the host any longer.
    VANISHED = "VanishedFromNova";
    /// Liveness cannot be told (S2).
    IN_DOUBT = "HostInDoubt";
    /// No link of the host is verified (S3).
    NO_VERIFIED_LINK = "NoVerifiedPowerLink";
    /// A link could not be read.
    POWER_UNREADABLE = "PowerUnreadable";
    /// The power state is not what was asked for yet.
    WAITING_FOR_POWER = "WaitingForPower";
    /// The second reading of a proof is due (S4).
    PROVING_OFF = "ProvingOff";
    /// The host is fenced and waits for an operator's PowerOn or Enable (S10).
    FENCED = "FencedAwaitingReturn";
    /// Another controller's mark is on the Nova service (S14).
    FOREIGN = "ForeignController";
    /// Guests still run on the host.
    GUESTS_RUNNING = "GuestsRunning";
    /// A guest cannot be moved.
    GUEST_CANNOT_MOVE = "GuestCannotMove";
    /// A move is under way.
    WAITING_FOR_MOVES = "WaitingForMoves";
    /// A guest's earlier move is not settled (S6).
    MOVE_IN_FLIGHT = "MoveInFlight";
    /// The second pass of the empty gate is due, or something is on its way to the host (S9).
    PROVING_EMPTY = "ProvingEmpty";
    /// A call may have happened and is looked at before it is repeated.
    SETTLING = "SettlingCall";
    /// An earlier controller's power command may still arrive, because its process was not seen gone (S8).
    EX_LEADER_POWER = "ExLeaderPowerIntent";
    /// Someone has to decide.
    NEEDS_HUMAN = "NeedsHuman";
    /// Fencing is needed and forbidden by the spec.
    FENCE_FORBIDDEN = "FenceForbidden";
    /// No power device of a host showed it to be off in its time.
    FENCE_FAILED = "FenceFailed";
    /// The host's `evacuation` is Denied.
    EVACUATION_DENIED = "EvacuationDenied";
    /// The disk would be lost (S13).
    LOCAL_DISK = "LocalDisk";
    /// Priority 0: never evacuated.
    PRIORITY_ZERO = "PriorityZero";
    /// The guest's state cannot be evacuated.
    STATE_UNSUITABLE = "StateUnsuitable";
    /// Nova cannot evacuate such a guest.
    CANNOT_EVACUATE = "CannotEvacuate";
    /// Its server group leaves it no host.
    SERVER_GROUP = "ServerGroup";
    /// Its owner brings it back.
    OWNER_MANAGED = "OwnerManaged";
    /// The pause between two priority groups.
    GROUP_PAUSE = "GroupPause";
    /// A plan was made a moment ago; the next one is due.
    REPLANNING = "Replanning";
    /// No host can take the guest.
    NO_DESTINATION = "NoDestination";
    /// Nova refused.
    REFUSED = "Refused";
    /// It ended well.
    SUCCEEDED = "Succeeded";
    /// It ended badly.
    FAILED = "Failed";
    /// It was cancelled.
    CANCELLED = "Cancelled";
    /// A referenced object is not there.
    NOT_FOUND = "NotFound";
    /// All acts are frozen until `doctor` was run (S14).
    RESTORED = "DatabaseWentBack";
    /// The host's service is down.
    SERVICE_DOWN = "ServiceDown";
    /// The host came back before anything was done.
    HOST_RETURNED = "HostReturned";
    /// Hosts may be recovered without a person, within the policy's limits.
    WITHIN_LIMITS = "WithinLimits";
    /// `limits.maxDownHosts` is 0: nothing is begun without a person.
    NEVER_EVACUATE = "NeverEvacuate";
    /// More hosts are down than the policy allows.
    STORM_LIMIT = "StormLimit";
    /// Nova itself is in doubt: no conductor, or no other compute, is heard.
    OBSERVER_IN_DOUBT = "ObserverInDoubt";
    /// Many hosts fell silent at once: more likely a network's doing than theirs.
    MASS_SILENCE = "MassSilence";
    /// A controller began to lead a moment ago.
    QUIET_PERIOD = "QuietPeriod";
    /// The policy watches nothing.
    NOT_WATCHED = "NotWatched";
    /// The policy forbids it, or excludes the host.
    EVACUATION_FORBIDDEN = "EvacuationForbidden";
    /// Two policies select the same host.
    POLICY_CONFLICT = "PolicyConflict";
    /// No guest is on the host.
    NOTHING_TO_EVACUATE = "NothingToEvacuate";
    /// The host was switched off on purpose.
    SWITCHED_OFF = "SwitchedOff";
    /// It was evacuated without a person, and stays as it is until it was back.
    RECOVERY_ENDED = "RecoveryEnded";
    /// A FenceAttestation counts.
    IN_FORCE = "InForce";
    /// A FenceAttestation was withdrawn.
    WITHDRAWN = "Withdrawn";
    /// A FenceAttestation is past its end.
    EXPIRED = "Expired";
    /// The host showed life after a FenceAttestation was made.
    EPOCH_ENDED = "EpochEnded";
    /// The evacuation that went by a FenceAttestation has ended.
    USED = "Used";
    /// Another channel calls the host alive.
    ALIVE_ELSEWHERE = "AliveElsewhere";
    /// Evidence that the policy asks for is missing, or cannot be read.
    EVIDENCE_MISSING = "EvidenceMissing";
    /// A storm ended a moment ago: nothing is begun before `limits.cooldownSeconds` have passed.
    COOLDOWN = "StormCooldown";
    /// As much was begun within the last hour as `limits.maxBeginsPerHour` allows.
    RATE_LIMIT = "RateLimit";
    /// More hosts of one failure domain are down than the policy allows.
    DOMAIN_LIMIT = "FailureDomainLimit";
    /// More hosts are down than the policy allows, for so long that only the rate is limited.
    HOLD_EXPIRED = "StormHoldExpired";
    /// The host is not brought back without a person: that failed, or it was too often.
    QUARANTINED = "Quarantined";
    /// Its service has to be up for a while before it is enabled.
    PROVING_UP = "ProvingUp";
    /// An evacuation needs a standby host, and none is free.
    NO_STANDBY = "NoStandbyFree";
    /// Fewer standby hosts are free than the pool should have.
    TOO_FEW_STANDBYS = "TooFewStandbys";
    /// The host is a member of two StandbyPools.
    STANDBY_CONFLICT = "StandbyConflict";
    /// A member is also among the hosts that its pool protects.
    PROTECTS_ITSELF = "ProtectsItself";
    /// The host's spec declares what the pool would have to change.
    DECLARED_OTHERWISE = "DeclaredOtherwise";
    /// The host was disabled in Nova by somebody else.
    DISABLED_BY_OTHERS = "DisabledByOthers";
    /// A standby host did not come up, or not in time.
    WAKE_FAILED = "WakeFailed";
    /// A standby host did not pass a FenceDrill.
    DRILL_FAILED = "DrillFailed";
    /// The host serves an evacuation as a standby.
    STANDBY_LEASED = "StandbyLeased";
    /// The host is no member of a StandbyPool.
    NO_STANDBY_MEMBER = "NoStandbyMember";
    /// A write was turned down because of other objects.
    WRITE_REFUSED = "WriteRefused";
    /// As many hosts are being recovered as `evacuation.maxParallelHosts` allows.
    PARALLEL_LIMIT = "RecoveryLimit";
    /// The policy says `restart: Forbid`.
    RESTART_FORBIDDEN = "RestartForbidden";
    /// The Host says `remediation: Excluded`.
    HOST_EXCLUDED = "HostExcluded";
    /// What was begun without a person is not allowed without one any longer.
    POLICY_CHANGED = "PolicyChanged";
    /// Which RemediationPolicy holds, or what it says, cannot be told.
    POLICY_UNKNOWN = "PolicyUnknown";
    /// A person has to approve that the host is brought back.
    APPROVAL_REQUIRED = "ApprovalRequired";
    /// Something failed and will be tried again.
    RETRYING = "Retrying";
}
