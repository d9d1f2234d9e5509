//! Getting a host's power to a state, and knowing that it is there (S3, S4, S12).

use crate::{
    Env, Next, Step,
    contract::{PowerCommand, wait},
    facts::{HostFacts, LinkClass, LinkFacts},
    proof::{self, Gap},
};
use schemas::{
    Time,
    v1::{PowerState, reasons},
};

/// As a soft time-out: no hard power-off follows.
pub const NEVER: i64 = i64::MAX;
/// Seconds between readings while something is expected to change.
pub(crate) const LOOK_AGAIN: i64 = 2;

/// Where a change of power stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It is there.
    There,
    /// Do this, or wait.
    Next(Next),
}

/// The link that a command goes through: verified, the default first, readable ones first.
pub fn command_link(facts: &HostFacts) -> Option<&LinkFacts> {
    facts.links.iter().filter(|l| l.verified).min_by_key(|l| (l.state.seen().is_none(), !l.default, l.name.clone()))
}

/// What to say when no link may be used.
pub fn no_link(facts: &HostFacts) -> Next {
    let message = if facts.links.is_empty() {
        format!("host {} has no power link: create a PowerDevice, a Credential and a PowerLink, then run `initialise {}`", facts.host, facts.host)
    } else {
        let names: Vec<&str> = facts.links.iter().map(|l| l.name.as_str()).collect();
        format!("no power link of host {} is verified ({}); run `initialise {}`", facts.host, names.join(", "), facts.host)
    };
    wait(reasons::NO_VERIFIED_LINK, message, 60)
}

/// What to say when power cannot be read.
pub fn unreadable(what: &str) -> Next {
    wait(reasons::POWER_UNREADABLE, format!("power cannot be read ({what}); unknown is never off: make the BMC reachable, check its Credential"), 10)
}

/// Off, and proven off. Soft first if `soft_since` is given: `Some(None)` = soft not sent yet,
/// `Some(Some(t))` = sent at `t`; a hard one follows `soft_timeout` seconds later (S12).
pub fn off(facts: &HostFacts, env: &Env, soft_since: Option<Option<Time>>, soft_timeout: i64) -> Verdict {
    let gap = match proof::proven_off(&env.evidence, facts, env.now, env.policy.proof_max_age_seconds) {
        Ok(()) => return Verdict::There,
        Err(gap) => gap,
    };
    Verdict::Next(match gap {
        Gap::NoVerifiedLink => no_link(facts),
        Gap::Unreadable(what) => unreadable(&what),
        Gap::SecondReading(left) => wait(reasons::PROVING_OFF, "power reads off; a second reading makes it a proof", left),
        // Only a link that itself reads on is told to switch off: what the others would do cannot be known.
        Gap::ReadsOn(name) => match facts.links.iter().find(|l| l.name == name) {
            Some(link) if link.verified => switch_off(link, env, soft_since, soft_timeout),
            _ => {
                let host = &facts.host;
                let message = format!(
                    "power of {host} reads on through {name}, which is not verified; run `initialise {host}`, or delete that PowerLink if it powers another machine"
                );
                wait(reasons::NO_VERIFIED_LINK, message, 30)
            }
        },
    })
}

fn switch_off(link: &LinkFacts, env: &Env, soft_since: Option<Option<Time>>, soft_timeout: i64) -> Next {
    let step = |command| Next::Step(Step::Power { link: link.name.clone(), command });
    // An outlet knows no operating system that it could ask.
    let soft_since = match (link.class, soft_since) {
        (LinkClass::Supply, Some(_)) if soft_timeout == NEVER => {
            let message = format!("{} is an outlet, through which no operating system can be asked to shut down; use PowerOff", link.name);
            return wait(reasons::REFUSED, message, 60);
        }
        (LinkClass::Supply, _) => None,
        (LinkClass::Chassis, soft) => soft,
    };
    match soft_since {
        None => resend(link, env, PowerCommand::ForceOff),
        Some(None) => step(PowerCommand::SoftOff),
        Some(Some(_)) if soft_timeout == NEVER => wait(reasons::WAITING_FOR_POWER, "asked the operating system to shut down", LOOK_AGAIN),
        Some(Some(sent)) => match soft_timeout.saturating_sub(env.seconds_since(sent)) {
            left if left <= 0 => resend(link, env, PowerCommand::ForceOff),
            left => wait(
                reasons::WAITING_FOR_POWER,
                format!("asked the operating system to shut down; a hard power-off follows {soft_timeout} s after that"),
                left.min(LOOK_AGAIN),
            ),
        },
    }
}

/// Off at once, whatever the links read.
pub fn force_off(facts: &HostFacts, env: &Env) -> Next {
    command_link(facts).map_or_else(|| no_link(facts), |link| resend(link, env, PowerCommand::ForceOff))
}

/// A command whose effect has not shown is sent again, but not at once: hardware takes its time; in seconds.
const RESEND_SECONDS: i64 = 15;

/// Sends it, or waits for what was sent to show.
pub(crate) fn resend(link: &LinkFacts, env: &Env, command: PowerCommand) -> Next {
    let step = Step::Power { link: link.name.clone(), command };
    let name = step.name();
    let last = env.tries(&name).map(|i| i.issued_at).max();
    match last.map(|at| RESEND_SECONDS - env.seconds_since(at)) {
        Some(left) if left > 0 => {
            wait(reasons::WAITING_FOR_POWER, format!("sent {command:?} through {}; it does not show yet", link.name), left.min(LOOK_AGAIN))
        }
        _ => Next::Step(step),
    }
}

/// On, and read as on. Outlets that were cut come first, all of them: a machine has no power of its own.
pub fn on(facts: &HostFacts, env: &Env) -> Verdict {
    let cut = |l: &&LinkFacts| l.class == LinkClass::Supply && l.verified && l.state.seen() == Some(&PowerState::Off);
    let chassis_on = facts.links.iter().any(|l| l.class == LinkClass::Chassis && l.state.seen() == Some(&PowerState::On));
    if let Some(outlet) = facts.links.iter().find(cut).filter(|_| !chassis_on) {
        return Verdict::Next(resend(outlet, env, PowerCommand::On));
    }
    match proof::state_of(&facts.links) {
        PowerState::On => Verdict::There,
        PowerState::Off => Verdict::Next(match command_link(facts) {
            Some(link) => resend(link, env, PowerCommand::On),
            None => no_link(facts),
        }),
        PowerState::Unknown if facts.links.is_empty() => Verdict::Next(no_link(facts)),
        PowerState::Unknown => {
            let blind: Vec<String> = facts.links.iter().map(|l| format!("{}: {}", l.name, l.state.why())).collect();
            Verdict::Next(unreadable(&blind.join("; ")))
        }
    }
}
