//! The driver loop: the only place with the order load → observe → decide → commit → act → commit.

use crate::{
    ActOutcome, Reconciler, Run, RunResult, Shared, also, chance, durations,
    entered::Entered,
    intents,
    loaded::{self, Led, Loaded},
    metrics::{ReconcileLabels, WaitLabels},
    retry,
};
use async_trait::async_trait;
use planner::{ClaimWish, Decision, Next, Settlement, Step, proof::EvidenceBody};
use schemas::{
    DynObject, Kind, Time,
    v1::{OperationState, Retry, reasons},
};
use serde_json::{Value, json};
use std::{sync::PoisonError, time::Duration};
use store::{ClaimRequest, Op, StoreError};

/// Longest time one look at the world may take; then everything is unknown.
const OBSERVE_DEADLINE: Duration = Duration::from_secs(60);

/// Drives one reconciler.
pub struct Driver<R: Reconciler> {
    shared: Shared,
    reconciler: R,
    entered: Entered,
}

impl<R: Reconciler> Driver<R> {
    /// A driver.
    pub fn new(shared: Shared, reconciler: R) -> Self {
        Driver { shared, reconciler, entered: Entered::default() }
    }

    async fn load(&self, name: &str) -> Result<Option<Loaded<R::Kind>>, StoreError> {
        let s = &self.shared;
        let Some(raw) = s.store.get(R::Kind::KIND, name).await? else { return Ok(None) };
        let led = Led {
            token: s.gate.token(),
            since: s.led_since,
            cluster_uuid: s.cluster_uuid.clone(),
            halted: s.halted.read().unwrap_or_else(PoisonError::into_inner).clone(),
        };
        let mut loaded = loaded::load(s.store.as_ref(), &self.reconciler, raw, led, s.clock.now()).await?;
        let elders = s.gate.elders();
        for intent in &mut loaded.env.intents {
            intent.ex_leader = intent.ex_leader.filter(|token| !elders.is_gone(*token));
        }
        Ok(Some(loaded))
    }

    async fn reconcile(&self, name: &str) -> Result<RunResult, StoreError> {
        let s = &self.shared;
        let Some(mut loaded) = self.load(name).await? else { return Ok(RunResult::Done) };
        let look = tokio::time::timeout(OBSERVE_DEADLINE, self.reconciler.observe(&loaded.object, &loaded.env));
        let seen = tokio::select! {
            biased;
            () = s.stop.cancelled() => return Ok(RunResult::Done),
            seen = look => seen.unwrap_or_else(|_| self.reconciler.blind(&loaded.object, "the look at the world took too long")),
        };
        // Facts carry the times they were read; a decision must not be older than they are.
        let waited = s.clock.now().seconds_since(loaded.env.now);
        loaded.env.now = s.clock.now();
        for intent in &mut loaded.env.intents {
            intent.past_end_of_life += waited;
        }
        let mut decision = self.reconciler.decide(&loaded.object, &seen, &loaded.env);
        self.pause_after_failure(&loaded, &mut decision);
        self.count(&decision.next);
        let step = match &decision.next {
            Next::Step(step) => Some(step.clone()),
            _ => None,
        };
        let intent = step.as_ref().map(|step| self.intent_of(&loaded, step));
        let also = also::ops(s, &loaded.raw, &decision.also, loaded.env.now).await?;
        let ops = self.ops(&loaded, &decision, intent.as_ref(), also)?;
        match self.commit(ops).await {
            Ok(()) => {
                self.entered.committed(&loaded.raw, &decision.next);
                durations::note(&s.metrics, &loaded.raw, &decision.status);
            }
            Err(StoreError::Frozen) => {
                let (reason, message) = planner::settle::frozen(&loaded.env, &decision.settle);
                return self.hold(&loaded, &decision, reason, &message).await;
            }
            Err(StoreError::Claimed { owner, .. }) => {
                return self.hold(&loaded, &decision, reasons::CLAIMED, &format!("{owner} works on this host")).await;
            }
            Err(error @ StoreError::LimitReached { .. }) => {
                let reason = decision.limits.first().map_or(reasons::DRAIN_LIMIT, |l| l.reason);
                let for_others = || (reason, format!("{error}; it goes on when another has finished"));
                let (reason, message) = decision.when_full.clone().unwrap_or_else(for_others);
                return self.hold(&loaded, &decision, reason, &message).await;
            }
            Err(other) => return Err(other),
        }
        if let (Some(step), Some(intent)) = (step, intent) {
            let host = loaded.host.clone().unwrap_or_default();
            let valid = planner::contract::still_valid(&step, &decision.evidence, &loaded.env.policy, loaded.env.now, s.clock.now());
            let outcome = match valid {
                Ok(()) => s.actor.act(&host, &step, &s.gate).await,
                Err(evidence) => ActOutcome::NotSent { evidence },
            };
            self.note_outcome(&loaded, &host, &step, &intent, outcome).await?;
            return Ok(RunResult::Again(Duration::ZERO));
        }
        Ok(match decision.next {
            Next::Settled { recheck } => RunResult::Again(spread(seconds(recheck).min(s.resync.get()))),
            Next::Wait { recheck, .. } => RunResult::Again(seconds(recheck)),
            Next::Finished => RunResult::Done,
            Next::Step(_) => RunResult::Again(Duration::ZERO),
        })
    }

    fn count(&self, next: &Next) {
        let kind = R::Kind::KIND.to_string();
        let result = match next {
            Next::Settled { .. } | Next::Finished => "settled",
            Next::Wait { reason, .. } => {
                self.shared.metrics.waits.get_or_create(&WaitLabels { kind: kind.clone(), reason: (*reason).into() }).inc();
                "waiting"
            }
            Next::Step(_) => "stepped",
        };
        self.shared.metrics.reconciles.get_or_create(&ReconcileLabels { kind, result: result.into() }).inc();
    }

    /// A step that failed is not tried again before its pause is over; the memory of it is in the status.
    fn pause_after_failure(&self, loaded: &Loaded<R::Kind>, decision: &mut Decision<<R::Kind as Kind>::Status>) {
        if !matches!(decision.next, Next::Step(_)) {
            return;
        }
        let retry: Retry = serde_json::from_value(loaded.raw.status["retry"].clone()).unwrap_or_default();
        // It may have been written by another leader's clock: never longer than a pause is.
        let longest = i64::try_from(retry::LONGEST.as_millis()).unwrap_or(i64::MAX);
        let left = retry.next_at.map_or(0, |at| at.millis_since(loaded.env.now)).min(longest);
        if left <= 0 {
            return;
        }
        let next =
            planner::contract::wait(reasons::RETRYING, format!("tried {} time(s): {}", retry.failures, retry.last_error), left.div_euclid(1_000) + 1);
        if let Ok(status) = serde_json::from_value(held_status(&loaded.raw, &next, loaded.env.now)) {
            // As if the step had not been decided: nothing of what it assumed may be kept.
            decision.status = status;
            decision.evidence = loaded.env.evidence.clone();
            decision.events.clear();
            decision.limits.clear();
            decision.also.clear();
            decision.next = next;
        }
    }

    fn intent_of(&self, loaded: &Loaded<R::Kind>, step: &Step) -> DynObject {
        let name = step.name();
        let attempt = 1 + loaded.env.tries(&name).map(|i| i.attempt).max().unwrap_or(0);
        let host = loaded.host.as_deref().unwrap_or_default();
        intents::new(&loaded.raw, host, step, attempt, self.shared.gate.token(), loaded.env.now)
    }

    fn ops(
        &self,
        loaded: &Loaded<R::Kind>,
        decision: &Decision<<R::Kind as Kind>::Status>,
        intent: Option<&DynObject>,
        mut ops: Vec<Op>,
    ) -> Result<Vec<Op>, StoreError> {
        let (raw, host) = (&loaded.raw, loaded.host.clone().unwrap_or_default());
        if let Next::Step(step) = &decision.next
            && step.is_disruptive()
        {
            ops.push(Op::RequireNotFrozen);
        }
        let owner_uid = raw.metadata.uid.clone();
        match &decision.claim {
            // A decision that only waits takes the claim as well, unless an equal or higher one holds it.
            ClaimWish::Take { rank, purpose, max }
                if intent.is_some() || loaded.env.claimed_by_other().is_none() || loaded.env.claim.as_ref().is_some_and(|c| c.2 < *rank) =>
            {
                ops.push(Op::TakeClaim(ClaimRequest {
                    host: host.clone(),
                    owner: raw.id(),
                    owner_uid,
                    rank: *rank,
                    purpose: purpose.clone(),
                    max: *max,
                }));
            }
            ClaimWish::Take { .. } | ClaimWish::Keep => {}
            ClaimWish::Release => ops.push(Op::ReleaseClaim { host: host.clone(), owner_uid }),
        }
        ops.extend(self.settle_ops(loaded, &decision.settle));
        // After that: what is settled in this very transaction no longer counts.
        for limit in &decision.limits {
            let on = limit.this_host.then(|| host.clone());
            ops.push(Op::LimitOpen { step_prefix: limit.step_prefix.into(), host: on, max: limit.max });
        }
        if !host.is_empty() && decision.evidence != loaded.env.evidence {
            ops.push(evidence_op(&host, loaded.evidence.version, &decision.evidence));
        }
        let status = serde_json::to_value(&decision.status).map_err(|e| StoreError::Corrupt(e.to_string()))?;
        let expected = raw.metadata.revision();
        let finished = matches!(decision.next, Next::Finished) && raw.metadata.deletion_timestamp.is_some();
        if finished {
            ops.push(Op::Delete { kind: raw.kind.clone(), name: raw.metadata.name.clone(), expected });
        } else {
            let mut object = raw.clone();
            object.status = status;
            if matches!(decision.next, Next::Finished) {
                object.metadata.finalizers.retain(|f| f != registry::FINALIZER);
            }
            if object != *raw {
                ops.push(Op::Update { object, expected });
            } else if !ops.is_empty() || intent.is_some() {
                // A claim that is taken by a transaction which lands late would belong to an object that has ended.
                ops.push(Op::RequireVersion { kind: raw.kind.clone(), name: raw.metadata.name.clone(), expected });
            }
        }
        if let Some(intent) = intent {
            ops.push(Op::Create(intent.clone()));
        }
        let recorder = &self.shared.recorder;
        ops.extend(decision.events.iter().map(|e| recorder.op(raw, e.warning, e.reason, &e.note)));
        ops.extend(self.entered.op(recorder, raw, &decision.next, |reason| decision.events.iter().any(|e| e.reason == reason)));
        Ok(ops)
    }

    fn settle_ops(&self, loaded: &Loaded<R::Kind>, settle: &[Settlement]) -> Vec<Op> {
        let close = |s: &Settlement| {
            let operation = loaded.operations.get(&s.intent)?;
            let object = intents::with_state(operation, s.state, &s.evidence, None, loaded.env.now);
            Some(Op::Update { object, expected: operation.metadata.revision() })
        };
        settle.iter().filter_map(close).collect()
    }

    async fn commit(&self, ops: Vec<Op>) -> Result<(), StoreError> {
        if ops.is_empty() {
            return Ok(());
        }
        self.shared.commit(ops).await.map(drop)
    }

    /// The transaction was turned down: keep what was settled, and say why nothing happens.
    async fn hold(
        &self,
        loaded: &Loaded<R::Kind>,
        decision: &Decision<<R::Kind as Kind>::Status>,
        reason: &'static str,
        message: &str,
    ) -> Result<RunResult, StoreError> {
        let next = planner::contract::wait(reason, message, 5);
        self.count(&next);
        let mut ops = self.settle_ops(loaded, &decision.settle);
        let mut object = loaded.raw.clone();
        object.status = held_status(&loaded.raw, &next, loaded.env.now);
        if object != loaded.raw {
            ops.push(Op::Update { object, expected: loaded.raw.metadata.revision() });
            ops.extend(self.entered.op(&self.shared.recorder, &loaded.raw, &next, |_| false));
        }
        self.commit(ops).await?;
        self.entered.committed(&loaded.raw, &next);
        Ok(RunResult::Again(Duration::from_secs(5)))
    }

    /// The second transaction: what became of the act.
    async fn note_outcome(
        &self,
        loaded: &Loaded<R::Kind>,
        host: &str,
        step: &Step,
        intent: &DynObject,
        outcome: ActOutcome,
    ) -> Result<(), StoreError> {
        let s = &self.shared;
        let (state, request_id, evidence) = match outcome {
            ActOutcome::Done { state, request_id, evidence } => (state, request_id, evidence),
            ActOutcome::Refused { request_id, evidence } => (OperationState::Refused, request_id, evidence),
            ActOutcome::NotSent { evidence } => (OperationState::Refused, None, format!("not sent: {evidence}")),
            ActOutcome::Unknown { request_id, evidence } => (OperationState::Unknown, request_id, evidence),
        };
        let failed = matches!(state, OperationState::Refused | OperationState::Unknown);
        // The rows may have moved on (a user's edit); each is read again and compared.
        for _ in 0..5 {
            let now = s.clock.now();
            let mut ops = Vec::new();
            if let Some(operation) = s.store.get("Operation", &intent.metadata.name).await? {
                let object = intents::with_state(&operation, state, &evidence, request_id.clone(), now);
                ops.push(Op::Update { object, expected: operation.metadata.revision() });
            }
            if matches!(step, Step::NovaService { .. }) {
                let row = s.store.evidence(host).await?;
                let mut body: EvidenceBody = serde_json::from_value(row.body.clone()).unwrap_or_default();
                // Our own write moves `updated_at`; that is no sign of life (S5). It is learned anew from the list: the
                // answer has the time in microseconds, the row that is listed afterwards in whole seconds.
                (body.beat, body.row_written_at) = (None, Some(now));
                ops.push(evidence_op(host, row.version, &body));
            }
            if let Some(object) = s.store.get(&loaded.raw.kind, &loaded.raw.metadata.name).await? {
                let mut new = object.clone();
                set_retry(&mut new, failed.then_some(evidence.as_str()), now);
                if new != object {
                    ops.push(Op::Update { object: new, expected: object.metadata.revision() });
                }
            }
            if failed {
                ops.push(s.recorder.op(&loaded.raw, true, "StepFailed", &format!("{}: {evidence}", step.name())));
            }
            match self.commit(ops).await {
                Err(StoreError::Conflict { .. }) => continue,
                other => return other,
            }
        }
        Err(StoreError::Conflict { what: intent.id(), current: 0 })
    }
}

/// Plus or minus a fifth, so that a thousand objects do not come due at once.
fn spread(pause: Duration) -> Duration {
    pause.mul_f64(chance::between(0.8, 1.2))
}

fn seconds(n: i64) -> Duration {
    Duration::from_secs(u64::try_from(n).unwrap_or(0))
}

fn evidence_op(host: &str, expected: i64, body: &EvidenceBody) -> Op {
    Op::PutEvidence { host: host.into(), expected, body: serde_json::to_value(body).unwrap_or_default() }
}

/// The old status with a wait in it.
fn held_status(raw: &DynObject, next: &Next, now: Time) -> Value {
    let mut status = raw.status.clone();
    let old = serde_json::from_value(status["waiting"].clone()).ok();
    let mut conditions: Vec<schemas::Condition> = serde_json::from_value(status["conditions"].clone()).unwrap_or_default();
    planner::status::common(&mut conditions, next, raw.metadata.generation, now);
    status["observedGeneration"] = json!(raw.metadata.generation);
    status["conditions"] = json!(conditions);
    status["waiting"] = json!(planner::status::waiting(next, old.as_ref(), now));
    status
}

fn set_retry(object: &mut DynObject, error: Option<&str>, now: Time) {
    let Some(status) = object.status.as_object_mut() else { return };
    let Some(error) = error else {
        status.shift_remove("retry");
        return;
    };
    let old: Retry = status.get("retry").cloned().and_then(|v| serde_json::from_value(v).ok()).unwrap_or_default();
    let failures = old.failures + 1;
    let pause = i64::try_from(retry::pause(failures).as_micros()).unwrap_or(0);
    let retry = Retry { failures, next_at: Some(Time(now.0 + pause)), last_error: error.chars().take(1024).collect() };
    status.insert("retry".into(), json!(retry));
}

#[async_trait]
impl<R: Reconciler> Run for Driver<R> {
    async fn run(&self, name: &str) -> RunResult {
        let begun = tokio::time::Instant::now();
        let result = self.reconcile(name).await;
        self.shared.metrics.reconcile_seconds.observe(begun.elapsed().as_secs_f64());
        let kind = R::Kind::KIND;
        let error = |result: &str| {
            self.shared.metrics.reconciles.get_or_create(&ReconcileLabels { kind: kind.into(), result: result.into() }).inc();
        };
        match result {
            Ok(result) => result,
            Err(StoreError::LeaseLost { .. }) => {
                self.shared.gate.close();
                RunResult::LeaseLost
            }
            Err(StoreError::Conflict { .. } | StoreError::AlreadyExists(_)) => {
                error("conflict");
                RunResult::Again(Duration::from_millis(20))
            }
            Err(StoreError::NotFound(_)) => RunResult::Again(Duration::from_millis(20)),
            Err(other) => {
                error("error");
                tracing::warn!(kind, name, error = %other, "a reconcile failed; it is tried again");
                RunResult::Again(Duration::from_secs(2))
            }
        }
    }

    fn kind(&self) -> &'static str {
        R::Kind::KIND
    }
}
