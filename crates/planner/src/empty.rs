//! The gate before a power-off: is the host proven empty? (S9)

use crate::{
    Env, Fact,
    facts::{HostFacts, Move, ProviderFacts},
};
use schemas::Time;

/// Least time between the two passes, in seconds.
pub const PASS_GAP_SECONDS: i64 = 30;

/// One pass. `Ok`: nothing runs here and nothing is on its way, as far as everything was readable.
/// `Err` says what speaks against it or could not be read.
pub fn pass(facts: &HostFacts, env: &Env) -> Result<(), String> {
    let service = facts.service.seen().ok_or_else(|| format!("Nova cannot be read: {}", facts.service.why()))?;
    if service.enabled {
        return Err("its Nova service is enabled".into());
    }
    let provider = facts.provider.seen().ok_or_else(|| format!("Placement cannot be read: {}", facts.provider.why()))?;
    if !provider.disabled_trait {
        return Err("Placement does not show the trait COMPUTE_STATUS_DISABLED yet; if it stays so, restart its nova-compute".into());
    }
    let guests = facts.guests.seen().ok_or_else(|| format!("guests cannot be listed: {}", facts.guests.why()))?;
    if let Some(guest) = guests.iter().find(|g| g.may_run()) {
        return Err(format!("{} is {}", guest.label(), guest.vm_state));
    }
    // A guest that is being started, resumed or rebuilt does not run yet.
    if let Some((guest, task)) = guests.iter().find_map(|g| Some((g, g.task_state.as_deref()?))) {
        return Err(format!("Nova is busy with {} ({task})", guest.label()));
    }
    let moves = facts.moves.seen().ok_or_else(|| format!("migration records cannot be read: {}", facts.moves.why()))?;
    if let Some(open) = moves.iter().find(|m| !m.is_final()) {
        return Err(format!("Nova's record {} ({} of server {}) is {}", open.id, open.kind, open.server, open.status));
    }
    if let Some(intent) = env.open().find(|i| i.action.server().is_some()) {
        return Err(format!("{} is not settled", intent.step));
    }
    no_stranger(provider, moves, &facts.host)
}

/// Whether no allocation on a host speaks for a guest that runs there, or is on its way, although Nova does not list it there.
/// A failed move takes its allocation away; where it did not, its source died in the middle, and the guest may have arrived.
pub fn no_stranger(provider: &ProviderFacts, moves: &[Move], host: &str) -> Result<(), String> {
    for (consumer, lives) in &provider.foreign_consumers {
        let cut_off = moves.iter().find(|m| m.server == *consumer && m.destination.as_deref() == Some(host) && m.has_failed());
        match (lives, cut_off) {
            (Fact::Seen(Some(elsewhere), _), None) if elsewhere != host => {}
            (Fact::Seen(Some(elsewhere), _), Some(m)) if elsewhere != host => {
                return Err(format!(
                    "Nova's record {} ({} of server {consumer} to {host}) is {}, and its allocation here is still there: the guest may be running here, and not on {elsewhere}; look at the hypervisor; if it is not, remove the allocation (`openstack resource provider allocation unset`)",
                    m.id, m.kind, m.status
                ));
            }
            (Fact::Seen(Some(_), _), _) => return Err(format!("server {consumer} has an allocation here and was not in the list of guests")),
            (Fact::Seen(None, _), _) => return Err(format!("server {consumer} has an allocation here and no host yet: a build may be on its way")),
            (Fact::Absent(_), _) => {
                return Err(format!(
                    "consumer {consumer} has an allocation here and Nova does not know it; a move may be on its way, or run `nova-manage placement audit`"
                ));
            }
            (Fact::Unknown(why), _) => return Err(format!("consumer {consumer} of an allocation here cannot be read: {why}")),
        }
    }
    Ok(())
}

/// The gate, with the memory of the first pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Both passes hold, the second in this very pass.
    Empty,
    /// The first pass held; the second is due in so many seconds.
    SecondPass(i64),
    /// Not empty, or not known.
    Not(String),
}

/// Judges with `since`, the time of the first pass; gives its new value as well.
pub fn gate(facts: &HostFacts, env: &Env, since: Option<Time>) -> (Gate, Option<Time>) {
    match (pass(facts, env), since.map(|first| env.ours(first))) {
        (Err(why), _) => (Gate::Not(why), None),
        (Ok(()), None) => (Gate::SecondPass(PASS_GAP_SECONDS), Some(env.now)),
        (Ok(()), Some(first)) => match PASS_GAP_SECONDS - env.now.seconds_since(first) {
            left if left <= 0 => (Gate::Empty, Some(first)),
            left => (Gate::SecondPass(left), Some(first)),
        },
    }
}
