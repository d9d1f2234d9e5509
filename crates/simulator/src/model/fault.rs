//! Faults of calls: what goes wrong between a caller and the cloud.

use super::{CallKind, World};

/// How the next calls of a kind fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallFault {
    /// It has its effect; the answer is lost.
    LostAnswer,
    /// It is lost on its way: no effect, no answer.
    LostRequest,
    /// It is answered, and delivered once more `after_ms` later.
    Duplicate {
        /// Milliseconds.
        after_ms: i64,
    },
    /// No answer; it has its effect `after_ms` later.
    Late {
        /// Milliseconds.
        after_ms: i64,
    },
    /// Turned away with this status before it could act.
    Status {
        /// HTTP status, 400 to 599.
        status: u16,
        /// `Retry-After`, seconds.
        retry_after_s: Option<u64>,
    },
    /// It has its effect; the answer is not JSON.
    Nonsense,
    /// A list lacks its second half, and does not say so.
    Partial,
    /// Just before it, the databases of all cells stop answering (I8).
    CellsGo,
    /// It never leaves the caller: no route, no name.
    NotSent,
    /// The answer comes that much later.
    Slow {
        /// Milliseconds.
        ms: i64,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Rule {
    kind: CallKind,
    target: Option<String>,
    fault: CallFault,
    left: u32,
}

impl World {
    /// Lets the next `times` calls of a kind fail.
    pub fn inject(&mut self, kind: CallKind, fault: CallFault, times: u32) {
        self.rules.push(Rule { kind, target: None, fault, left: times });
    }

    /// The same for one target: a server's id, or a host's name.
    pub fn inject_for(&mut self, kind: CallKind, target: &str, fault: CallFault, times: u32) {
        self.rules.push(Rule { kind, target: Some(target.into()), fault, left: times });
    }

    /// Injected faults that no call has met yet.
    pub fn injected(&self) -> usize {
        self.rules.len()
    }

    /// Takes all injected faults of calls away.
    pub fn clear_injected(&mut self) {
        self.rules.clear();
    }

    pub(crate) fn take_fault(&mut self, kind: CallKind, target: &str) -> Option<CallFault> {
        let fits = |r: &Rule| r.left > 0 && (r.kind == kind || r.kind == CallKind::Any) && r.target.as_deref().is_none_or(|t| t == target);
        let rule = self.rules.iter_mut().find(|r| fits(r))?;
        rule.left -= 1;
        let fault = rule.fault;
        self.rules.retain(|r| r.left > 0);
        Some(fault)
    }
}
