//! Calls from outside: what they do, what is answered, and what is kept of them.

use super::event::Event;
use super::{BmcFailure, CallFault, World};
use cloud::ServiceChange;

/// A call that changes something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// `PUT /os-services/{id}`.
    UpdateService {
        /// Service uuid.
        id: String,
        /// The body.
        change: ServiceChange,
    },
    /// `evacuate`.
    Evacuate {
        /// Server uuid.
        server: String,
        /// Service host; the scheduler chooses without.
        destination: Option<String>,
        /// Asked with microversion 2.95 or later.
        leave_stopped: bool,
    },
    /// `os-migrateLive`.
    LiveMigrate {
        /// Server uuid.
        server: String,
        /// Service host; the scheduler chooses without.
        destination: Option<String>,
    },
    /// `migrate`.
    ColdMigrate {
        /// Server uuid.
        server: String,
        /// Service host (2.56); the scheduler chooses without.
        destination: Option<String>,
    },
    /// `confirmResize`.
    ConfirmResize {
        /// Server uuid.
        server: String,
    },
    /// `os-start`.
    Start {
        /// Server uuid.
        server: String,
    },
    /// `os-stop`.
    Stop {
        /// Server uuid.
        server: String,
    },
    /// A command to a power device.
    Power {
        /// Host, for its BMC, or the address of another device.
        host: String,
        /// Command.
        command: power::Command,
    },
}

/// Kinds of calls, for faults and counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum CallKind {
    Any,
    Services,
    Hypervisors,
    Servers,
    Server,
    Migrations,
    Aggregates,
    ServerGroups,
    Provider,
    Rooms,
    ProvidersOf,
    Validate,
    Version,
    UpdateService,
    Evacuate,
    LiveMigrate,
    ColdMigrate,
    ConfirmResize,
    Start,
    Stop,
    PowerRead,
    PowerSet,
    PowerIdentify,
}

/// What a changing call is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The service's row as the call left it.
    Service(Box<cloud::Service>),
    /// Taken; the effect is on its way.
    Accepted,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Turned away, with Nova's words.
    Refused {
        /// HTTP status.
        status: u16,
        /// Words.
        message: String,
        /// `Retry-After`, seconds.
        retry_after_s: Option<u64>,
    },
    /// A BMC's no.
    Bmc(BmcFailure),
    /// Nothing came back.
    NoAnswer,
    /// Something came back that cannot be read.
    Nonsense,
    /// It never left.
    NotSent,
}

impl Failure {
    pub(crate) fn refused(status: u16, message: impl Into<String>) -> Failure {
        Failure::Refused { status, message: message.into(), retry_after_s: None }
    }
}

/// What a caller gets, and when.
#[derive(Clone, Debug)]
pub struct Reply<T> {
    /// The answer.
    pub result: Result<T, Failure>,
    /// It comes that many milliseconds after the call.
    pub delay_ms: i64,
}

/// A changing call as it was made, for assertions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallRecord {
    /// When it acted, in the world's milliseconds.
    pub at: i64,
    /// Kind.
    pub kind: CallKind,
    /// Server id or host.
    pub target: String,
    /// The whole call.
    pub call: Call,
    /// What the cloud did: `ok`, a refusal, or `lost`; then what the caller saw of it.
    pub result: String,
}

impl Call {
    /// Its kind.
    pub fn kind(&self) -> CallKind {
        match self {
            Call::UpdateService { .. } => CallKind::UpdateService,
            Call::Evacuate { .. } => CallKind::Evacuate,
            Call::LiveMigrate { .. } => CallKind::LiveMigrate,
            Call::ColdMigrate { .. } => CallKind::ColdMigrate,
            Call::ConfirmResize { .. } => CallKind::ConfirmResize,
            Call::Start { .. } => CallKind::Start,
            Call::Stop { .. } => CallKind::Stop,
            Call::Power { .. } => CallKind::PowerSet,
        }
    }
}

impl World {
    fn target_of(&self, call: &Call) -> String {
        match call {
            Call::UpdateService { id, .. } => self.hosts.values().find(|h| h.service_id == *id).map_or_else(|| id.clone(), |h| h.name.clone()),
            Call::Evacuate { server, .. } | Call::LiveMigrate { server, .. } | Call::ColdMigrate { server, .. } => server.clone(),
            Call::ConfirmResize { server } | Call::Start { server } | Call::Stop { server } => server.clone(),
            Call::Power { host, .. } => host.clone(),
        }
    }

    /// Makes a changing call, through whatever fault is injected for it.
    pub fn call(&mut self, call: Call) -> Reply<Answer> {
        let target = self.target_of(&call);
        let no_answer = |delay_ms| Reply { result: Err(Failure::NoAnswer), delay_ms };
        match self.take_fault(call.kind(), &target) {
            None | Some(CallFault::Partial) => self.apply_and_record(&call, "answered"),
            Some(CallFault::CellsGo) => {
                self.all_cells_go();
                self.apply_and_record(&call, "answered")
            }
            Some(CallFault::Slow { ms }) => {
                let mut reply = self.apply_and_record(&call, "answered slowly");
                reply.delay_ms += ms;
                reply
            }
            Some(CallFault::Duplicate { after_ms }) => {
                self.after(after_ms, Event::Deliver { call: call.clone() });
                self.apply_and_record(&call, "answered")
            }
            Some(CallFault::LostAnswer) => no_answer(self.apply_and_record(&call, "the answer was lost").delay_ms),
            Some(CallFault::Nonsense) => {
                Reply { result: Err(Failure::Nonsense), delay_ms: self.apply_and_record(&call, "the answer was nonsense").delay_ms }
            }
            Some(CallFault::Late { after_ms }) => {
                self.after(after_ms, Event::Deliver { call: call.clone() });
                self.keep(&call, target, "delayed: no answer");
                no_answer(0)
            }
            Some(CallFault::LostRequest) => {
                self.keep(&call, target, "lost: no effect, no answer");
                no_answer(0)
            }
            Some(CallFault::NotSent) => {
                self.keep(&call, target, "not sent");
                Reply { result: Err(Failure::NotSent), delay_ms: 0 }
            }
            Some(CallFault::Status { status, retry_after_s }) => {
                self.keep(&call, target, &format!("turned away with {status}"));
                Reply { result: Err(Failure::Refused { status, message: "injected by the simulator".into(), retry_after_s }), delay_ms: 0 }
            }
        }
    }

    /// Reads something, through whatever fault is injected for it. `read` is told to leave half away.
    pub fn read<T>(&mut self, kind: CallKind, target: &str, read: impl FnOnce(&World, bool) -> Result<T, Failure>) -> Reply<T> {
        *self.reads.entry(kind).or_default() += 1;
        let failed = |failure| Reply { result: Err(failure), delay_ms: 0 };
        match self.take_fault(kind, target) {
            None | Some(CallFault::Duplicate { .. }) => Reply { result: read(self, false), delay_ms: 0 },
            Some(CallFault::Partial) => Reply { result: read(self, true), delay_ms: 0 },
            Some(CallFault::CellsGo) => {
                self.all_cells_go();
                Reply { result: read(self, false), delay_ms: 0 }
            }
            Some(CallFault::Slow { ms }) => Reply { result: read(self, false), delay_ms: ms },
            Some(CallFault::LostAnswer | CallFault::LostRequest | CallFault::Late { .. }) => failed(Failure::NoAnswer),
            Some(CallFault::Nonsense) => failed(Failure::Nonsense),
            Some(CallFault::NotSent) => failed(Failure::NotSent),
            Some(CallFault::Status { status, retry_after_s }) => {
                failed(Failure::Refused { status, message: "injected by the simulator".into(), retry_after_s })
            }
        }
    }

    pub(crate) fn apply_and_record(&mut self, call: &Call, how: &str) -> Reply<Answer> {
        let target = self.target_of(call);
        let reply = self.apply(call);
        let what = match &reply.result {
            Ok(_) => "ok".to_string(),
            Err(Failure::Refused { status, message, .. }) => format!("{status} {message}"),
            Err(other) => format!("{other:?}"),
        };
        self.keep(call, target, &format!("{what}: {how}"));
        reply
    }

    fn keep(&mut self, call: &Call, target: String, result: &str) {
        self.record_call(CallRecord { at: self.now, kind: call.kind(), target, call: call.clone(), result: result.into() });
    }

    fn apply(&mut self, call: &Call) -> Reply<Answer> {
        let mut delay_ms = 0;
        let result = match call {
            Call::UpdateService { id, change } => self.update_service(id, change).map(|(service, delay)| {
                delay_ms = delay;
                Answer::Service(Box::new(service))
            }),
            Call::Evacuate { server, destination, leave_stopped } => {
                self.evacuate(server, destination.as_deref(), *leave_stopped).map(|()| Answer::Accepted)
            }
            Call::LiveMigrate { server, destination } => self.live_migrate(server, destination.as_deref()).map(|()| Answer::Accepted),
            Call::ColdMigrate { server, destination } => self.cold_migrate(server, destination.as_deref()).map(|()| Answer::Accepted),
            Call::ConfirmResize { server } => self.confirm_resize(server).map(|()| Answer::Accepted),
            Call::Start { server } => self.start_guest(server).map(|()| Answer::Accepted),
            Call::Stop { server } => self.stop_guest(server).map(|()| Answer::Accepted),
            Call::Power { host, command } => self.bmc_command(host, *command).map(|()| Answer::Accepted).map_err(Failure::Bmc),
        };
        Reply { result, delay_ms }
    }
}
