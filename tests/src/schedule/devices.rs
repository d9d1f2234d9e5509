//! BMCs as one process reaches them.

use super::{
    laws::{Act, Laws},
    nova::{arm, struck},
    plan::Class,
    process::Process,
};
use async_trait::async_trait;
use power::{Command, MachineIdentity, MaySend, Power, PowerDriver, PowerError, Target};
use simulator::{Call, SimPower, World};
use std::{future::Future, sync::Arc, task::Poll, time::Duration};

/// On the way to a BMC, at most, and back.
const WAY: Duration = Duration::from_millis(120);

/// See the module's text.
pub struct Devices {
    pub process: Arc<Process>,
    pub power: SimPower,
}

impl Devices {
    async fn look<T>(
        &self,
        what: &str,
        target: &Target,
        effect: impl Future<Output = Result<T, PowerError>>,
        note: impl FnOnce(&T, &mut Laws, &World),
    ) -> Result<T, PowerError> {
        let ticket = self.process.begin(Class::Power, what, WAY).await;
        arm(&self.process, ticket.what, None, false);
        let result = struck(&self.process, effect).await;
        let word = if result.is_ok() { "" } else { ": no answer" };
        self.process.say(&format!("{what} {}{word}", target.device_name));
        self.process.stage.judge(|laws, world| {
            laws.look(world);
            if let Ok(answer) = &result {
                note(answer, laws, world);
            }
        });
        self.process.end(&ticket).await;
        result
    }
}

#[async_trait]
impl PowerDriver for Devices {
    async fn read(&self, target: &Target) -> Result<Power, PowerError> {
        let host = &target.spec.endpoint.host;
        self.look("reads power of", target, self.power.read(target), |state, laws, world| laws.read_power(host, *state == Power::Off, world)).await
    }

    async fn set(&self, target: &Target, command: Command) -> Result<(), PowerError> {
        self.set_if(target, command, &|| true).await
    }

    /// `may_send` is asked when everything is ready: what held the process up before that is not late.
    async fn set_if(&self, target: &Target, command: Command, may_send: MaySend<'_>) -> Result<(), PowerError> {
        let ticket = self.process.begin(Class::Act, "power", WAY).await;
        if !may_send() {
            self.process.end(&ticket).await;
            return Err(PowerError::NotSent("it was no longer allowed".into()));
        }
        let call = Call::Power { host: target.spec.endpoint.host.clone(), command };
        let (token, may_act) = self.process.belief();
        let act = Act { call: &call, token, may_act, late: false, now: self.process.steady() };
        self.process.stage.judge(|laws, world| laws.before(&act, world));
        arm(&self.process, ticket.what, Some(&call), false);
        let mut effect = Box::pin(struck(&self.process, self.power.set(target, command)));
        let first = futures::poll!(&mut effect);
        self.process.say(&format!("{call:?}"));
        self.process.stage.judge(|laws, world| laws.after(&call, true, false, world));
        let result = match first {
            Poll::Ready(result) => result,
            Poll::Pending => effect.await,
        };
        self.process.end(&ticket).await;
        result
    }

    async fn identify(&self, target: &Target) -> Result<MachineIdentity, PowerError> {
        self.look("identifies", target, self.power.identify(target), |_, _, _| {}).await
    }
}
