//! Doing the one step. Never decides.

use crate::World;
use async_trait::async_trait;
use cloud::{Accepted, CloudError, ServiceChange};
use engine::{ActOutcome, Actor, Gate};
use planner::{Step, contract::PowerCommand, power_link::still_holds};
use power::{Command, PowerError};
use schemas::{
    Object,
    v1::{self, HostOperationType, InitialiseMethod, OperationState},
};
use std::sync::Arc;
use store::ListQuery;

/// Acts on a world.
pub(crate) struct WorldActor(pub Arc<World>);

fn not_sent(evidence: impl Into<String>) -> ActOutcome {
    ActOutcome::NotSent { evidence: evidence.into() }
}

fn failed(error: CloudError) -> ActOutcome {
    let (request_id, evidence) = (error.request_id().map(String::from), error.to_string());
    match error {
        CloudError::NotSent { .. } => not_sent(evidence),
        CloudError::Refused { .. } => ActOutcome::Refused { request_id, evidence },
        CloudError::Unknown { .. } => ActOutcome::Unknown { request_id, evidence },
    }
}

fn accepted(result: Result<Accepted, CloudError>) -> ActOutcome {
    match result {
        Ok(done) => {
            let evidence = format!("accepted{}", done.request_id.as_ref().map(|r| format!(" as {r}")).unwrap_or_default());
            ActOutcome::Done { state: OperationState::Accepted, request_id: done.request_id, evidence }
        }
        Err(error) => failed(error),
    }
}

#[async_trait]
impl Actor for WorldActor {
    async fn act(&self, host: &str, step: &Step, gate: &Gate) -> ActOutcome {
        if !gate.may_act() {
            return not_sent("less than 1 s of the lease remains");
        }
        let world = &self.0;
        if matches!(step, Step::NovaService { .. } | Step::Power { .. }) {
            world.forget_look(host).await;
        }
        match step {
            Step::NovaService { service_id, enabled, reason, forced_down } => {
                let change = ServiceChange { enabled: *enabled, disabled_reason: reason.clone(), forced_down: *forced_down };
                world.service_written(service_id).await;
                if !gate.may_act() {
                    return not_sent("less than 1 s of the lease remains");
                }
                let result = world.cloud.update_service(service_id, &change).await;
                world.service_written(service_id).await;
                match result {
                    Ok(_) => {
                        ActOutcome::Done { state: OperationState::Observed, request_id: None, evidence: "Nova answered with the changed row".into() }
                    }
                    Err(error) => failed(error),
                }
            }
            Step::LiveMigrate { server, .. } => accepted(world.cloud.live_migrate(server, None).await),
            Step::Evacuate { server, destination, leave_stopped, .. } => accepted(world.cloud.evacuate(server, destination, *leave_stopped).await),
            Step::ColdMigrate { server, .. } => accepted(world.cloud.cold_migrate(server, None).await),
            Step::ConfirmResize { server, .. } => accepted(world.cloud.confirm_resize(server).await),
            Step::StopGuest { server } => accepted(world.cloud.stop(server).await),
            Step::Power { link, command } => self.power(host, link, *command, gate).await,
        }
    }
}

impl WorldActor {
    async fn power(&self, host: &str, link: &str, command: PowerCommand, gate: &Gate) -> ActOutcome {
        let world = &self.0;
        let found = match world.store.get("PowerLink", link).await {
            Ok(Some(found)) => found,
            Ok(None) => return not_sent(format!("PowerLink {link} is gone")),
            Err(error) => return not_sent(error.to_string()),
        };
        let found: Object<v1::PowerLink> = match found.typed() {
            Ok(found) => found,
            Err(error) => return not_sent(error.to_string()),
        };
        if found.spec.host_ref.name != host {
            return not_sent(format!("PowerLink {link} powers {}, not {host}", found.spec.host_ref.name));
        }
        let (target, binding) = match world.target(&found.spec.device_ref.name, found.spec.port).await {
            Ok(found) => found,
            Err(why) => return not_sent(why),
        };
        // It was verified when this was decided; somebody may have changed the link or its device since (S3).
        if !still_holds(found.status.verification.as_ref(), &binding) && !self.is_being_verified(host).await {
            return not_sent(format!("PowerLink {link} is not verified any longer; run `initialise {host}`"));
        }
        let command = match command {
            PowerCommand::On => Command::On,
            PowerCommand::ForceOff => Command::ForceOff,
            PowerCommand::SoftOff => Command::SoftOff,
        };
        let begun = tokio::time::Instant::now();
        let may_send = || gate.may_act();
        let result = world.power.set_if(&target, command, &may_send).await;
        world.count_power(&target, "set", result.as_ref().err(), begun);
        match result {
            Ok(()) => ActOutcome::Done {
                state: OperationState::Observed,
                request_id: None,
                evidence: format!("{} took {command:?}; readings tell what came of it", target.device_name),
            },
            Err(error @ PowerError::Unknown(_)) => ActOutcome::Unknown { request_id: None, evidence: error.to_string() },
            Err(PowerError::Refused(why)) => ActOutcome::Refused { request_id: None, evidence: why },
            Err(error @ (PowerError::NotSent(_) | PowerError::BadCredentials(_))) => not_sent(error.to_string()),
        }
    }

    /// Whether an operation is there that verifies a link of the host by switching it off and on: what it finds out cannot be known before.
    async fn is_being_verified(&self, host: &str) -> bool {
        let open = ListQuery { host: Some(host.into()), open_only: true, ..Default::default() };
        let found = self.0.store.list("HostOperation", open).await.map(|p| p.items).unwrap_or_default();
        let verifies = |spec: &v1::HostOperationSpec| spec.r#type == HostOperationType::Initialise && spec.method == InitialiseMethod::Cycle;
        found.iter().any(|o| o.typed::<v1::HostOperation>().is_ok_and(|o| verifies(&o.spec)))
    }
}
