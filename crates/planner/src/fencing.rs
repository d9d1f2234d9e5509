//! Which power command comes next for a host that has to be off: soft, hard, and through the next device.
//!
//! A command goes only through a verified link that itself reads on in this very pass (S3): what the others would do cannot be
//! known. Outlets are cut all together or not at all, since a machine runs on with one. What proves that it worked is S4 and
//! nothing else. One power epoch is one fence, however many devices it takes (S5).
//!
//! In one place a reading that is missing does not stop what a reading of on would not stop either: where no chassis link can be
//! read and all outlets can, they are cut, if the order has a second device and the first one had its time.

use crate::{
    Env, EventDraft, Next, Step,
    contract::{PowerCommand, wait},
    facts::{HostFacts, LinkClass, LinkFacts},
    power::{self, LOOK_AGAIN, Verdict, resend},
    proof::{self, Gap},
};
use schemas::v1::{FenceAct, FenceProgress, FenceStage, FenceTry, Fencing, PowerState, reasons};

/// Drops what was tried in another power epoch, and the note that no chassis link can be read once one can.
pub fn refresh(progress: &mut Option<FenceProgress>, facts: &HostFacts, epoch: i64) {
    if let Some(known) = progress.as_mut().filter(|_| !is_dark(facts)) {
        known.tried.retain(|t| t.act != FenceAct::Unreadable);
    }
    progress.take_if(|known| known.epoch != epoch || known.tried.is_empty());
}

/// The outlet through which a fence may go on although no chassis link can be read. One that is not verified could, if it read
/// on, be cut by nobody.
pub fn outlet<'a>(rule: &Fencing, facts: &'a HostFacts) -> Option<&'a LinkFacts> {
    let go_on = rule.has(FenceStage::SecondDevice) && is_dark(facts) && of(facts, LinkClass::Chassis).all(|l| l.verified);
    go_on.then(|| supplies(facts).into_iter().next()).flatten()
}

/// Off, and proven off, by an order; what it does is noted in `progress`.
pub fn off(rule: &Fencing, facts: &HostFacts, env: &Env, progress: &mut Option<FenceProgress>) -> (Verdict, Option<EventDraft>) {
    refresh(progress, facts, env.evidence.epoch);
    let fence = match proof::proven_off(&env.evidence, facts, env.now, env.policy.proof_max_age_seconds) {
        Ok(()) => return (Verdict::There, None),
        Err(Gap::ReadsOn(name)) => facts.links.iter().any(|l| l.name == name && l.verified),
        Err(Gap::Unreadable(_)) => outlet(rule, facts).is_some(),
        Err(_) => false,
    };
    if !fence {
        return (power::off(facts, env, None, 0), None);
    }
    let usable = usable(facts);
    if usable.is_empty() {
        return (Verdict::Next(apart(facts)), None);
    }
    let tried = progress.as_ref().map(|p| p.tried.clone()).unwrap_or_default();
    let fence = Fence { rule, facts, env, usable, tried };
    let (next, event) = match fence.turn() {
        Turn::Wait(next) => (next, None),
        Turn::Note(link) => {
            begin(progress, env, link, FenceAct::Unreadable);
            (fence.dark(&link.name), None)
        }
        Turn::Send(link, act) => match fence.send(link, act) {
            step @ Next::Step(_) => {
                begin(progress, env, link, act);
                (step, fence.told(link, act))
            }
            // A command of an earlier epoch was sent through it a moment ago.
            other => (other, None),
        },
        Turn::Exhausted => {
            let first = progress.as_mut().is_some_and(|known| known.failed_at.replace(known.failed_at.unwrap_or(env.now)).is_none());
            (fence.try_on(), first.then(|| EventDraft { warning: true, reason: reasons::FENCE_FAILED, note: fence.failure() }))
        }
    };
    (Verdict::Next(next), event)
}

fn begin(progress: &mut Option<FenceProgress>, env: &Env, link: &LinkFacts, act: FenceAct) {
    let known = progress.get_or_insert_with(|| FenceProgress { epoch: env.evidence.epoch, ..FenceProgress::default() });
    known.failed_at = None;
    known.tried.push(FenceTry { link: link.name.clone(), act, since: env.now });
}

fn reads(link: &LinkFacts, state: PowerState) -> bool {
    link.state.seen() == Some(&state)
}

fn of(facts: &HostFacts, class: LinkClass) -> impl Iterator<Item = &LinkFacts> {
    facts.links.iter().filter(move |l| l.class == class)
}

/// Whether the host has chassis links and none of them can be read.
fn is_dark(facts: &HostFacts) -> bool {
    of(facts, LinkClass::Chassis).next().is_some() && of(facts, LinkClass::Chassis).all(|l| l.state.seen().is_none())
}

/// The outlets that have power; none, unless every one is verified and can be read.
fn supplies(facts: &HostFacts) -> Vec<&LinkFacts> {
    let whole = of(facts, LinkClass::Supply).all(|l| l.verified && l.state.seen().is_some());
    sorted(of(facts, LinkClass::Supply).filter(|l| whole && reads(l, PowerState::On)))
}

/// What to say where cutting the outlets that can be cut would not end the machine.
fn apart(facts: &HostFacts) -> Next {
    let (host, whole) = (&facts.host, of(facts, LinkClass::Supply).all(|l| l.verified));
    let missing: Vec<&str> = of(facts, LinkClass::Supply).filter(|l| !l.verified || l.state.seen().is_none()).map(|l| l.name.as_str()).collect();
    let (reason, what) = match whole {
        true => (reasons::POWER_UNREADABLE, "cannot be read; make the device readable"),
        false => (reasons::NO_VERIFIED_LINK, "are not verified or cannot be read; run `initialise` with --link for each"),
    };
    wait(reason, format!("the outlets of {host} are cut all together or not at all, and {} {what}", missing.join(", ")), 10)
}

fn sorted<'a>(links: impl Iterator<Item = &'a LinkFacts>) -> Vec<&'a LinkFacts> {
    let mut all: Vec<&LinkFacts> = links.collect();
    all.sort_by_key(|l| (!l.default, l.name.clone()));
    all
}

/// Links that a command may go through now, in the order in which they are used.
fn usable(facts: &HostFacts) -> Vec<&LinkFacts> {
    let mut all = sorted(of(facts, LinkClass::Chassis).filter(|l| l.verified && reads(l, PowerState::On)));
    all.extend(supplies(facts));
    all
}

enum Turn<'a> {
    /// A command is sent through a link for the first time.
    Send(&'a LinkFacts, FenceAct),
    /// Its time begins although it cannot be read.
    Note(&'a LinkFacts),
    /// What was begun goes on.
    Wait(Next),
    /// There is no further device.
    Exhausted,
}

struct Fence<'a> {
    rule: &'a Fencing,
    facts: &'a HostFacts,
    env: &'a Env,
    usable: Vec<&'a LinkFacts>,
    tried: Vec<FenceTry>,
}

impl<'a> Fence<'a> {
    fn was_cut(&self, link: &LinkFacts) -> bool {
        self.tried.iter().any(|t| t.act == FenceAct::ForceOff && t.link == link.name)
    }

    fn class_of(&self, name: &str) -> Option<LinkClass> {
        self.facts.links.iter().find(|l| l.name == name).map(|l| l.class)
    }

    fn turn(&self) -> Turn<'a> {
        let mut fresh = self.usable.iter().copied().filter(|l| !self.was_cut(l));
        if let Some(last) = self.tried.last() {
            // The outlets of a machine are one device.
            let cutting = last.act == FenceAct::ForceOff && self.class_of(&last.link) == Some(LinkClass::Supply);
            if cutting && let Some(outlet) = fresh.clone().find(|l| l.class == LinkClass::Supply) {
                return Turn::Send(outlet, FenceAct::ForceOff);
            }
            let time = if last.act == FenceAct::SoftOff { self.rule.soft_off_timeout_seconds } else { self.rule.hard_off_timeout_seconds };
            if self.env.seconds_since(last.since) < time {
                return Turn::Wait(self.under_way(last));
            }
        }
        let first = self.tried.iter().all(|t| t.act == FenceAct::SoftOff);
        // Who was asked has its time, also if that power epoch has ended since.
        if first
            && let Some(asked) = self.asked()
            && self.env.seconds_since(asked.since) < self.rule.soft_off_timeout_seconds
        {
            return Turn::Wait(self.under_way(&asked));
        }
        let Some(link) = fresh.next().filter(|_| first || self.rule.has(FenceStage::SecondDevice)) else { return Turn::Exhausted };
        // A BMC that has shown the host to be off since it was cut, and fell silent then, has its time anew.
        let dark = (first || self.was_shown_off()) && is_dark(self.facts) && self.tried.last().is_none_or(|t| t.act != FenceAct::Unreadable);
        match sorted(of(self.facts, LinkClass::Chassis)).first().copied() {
            Some(chassis) if dark && link.class == LinkClass::Supply => Turn::Note(chassis),
            Some(_) if self.rule.has(FenceStage::Soft) && link.class == LinkClass::Chassis && !self.was_asked() => {
                Turn::Send(link, FenceAct::SoftOff)
            }
            _ => Turn::Send(link, FenceAct::ForceOff),
        }
    }

    /// When its operating system was last asked to shut down, in whatever epoch.
    fn asked(&self) -> Option<FenceTry> {
        let own = self.env.intents.iter().filter(|i| i.owner_uid == self.env.owner_uid && !i.never_left());
        let soft = own.filter_map(|i| match &i.action {
            Step::Power { link, command: PowerCommand::SoftOff } => Some(FenceTry { link: link.clone(), act: FenceAct::SoftOff, since: i.issued_at }),
            _ => None,
        });
        soft.max_by_key(|t| t.since)
    }

    fn was_shown_off(&self) -> bool {
        of(self.facts, LinkClass::Chassis).any(|l| self.env.evidence.off.iter().any(|r| r.link_uid == l.uid))
    }

    /// Whether its operating system was asked to shut down, or power was cut: it is asked once, and first of all.
    fn was_asked(&self) -> bool {
        let sent = |i: &&crate::Intent| i.owner_uid == self.env.owner_uid && matches!(i.action, Step::Power { .. }) && !i.never_left();
        !self.tried.is_empty() || self.env.intents.iter().any(|i| sent(&i))
    }

    fn send(&self, link: &LinkFacts, act: FenceAct) -> Next {
        match act {
            FenceAct::SoftOff => Next::Step(Step::Power { link: link.name.clone(), command: PowerCommand::SoftOff }),
            FenceAct::ForceOff | FenceAct::Unreadable => resend(link, self.env, PowerCommand::ForceOff),
        }
    }

    /// What was begun last has its time still.
    fn under_way(&self, last: &FenceTry) -> Next {
        let link = &last.link;
        match last.act {
            FenceAct::SoftOff => {
                let message = format!(
                    "asked the operating system to shut down through {link}; a hard power-off follows {} s after that",
                    self.rule.soft_off_timeout_seconds
                );
                wait(reasons::WAITING_FOR_POWER, message, LOOK_AGAIN)
            }
            FenceAct::Unreadable => self.dark(link),
            FenceAct::ForceOff => {
                let supply = self.class_of(link) == Some(LinkClass::Supply);
                let same = |l: &&&LinkFacts| if supply { l.class == LinkClass::Supply } else { l.name == *link };
                match self.usable.iter().filter(same).min_by_key(|l| self.last_sent(l)) {
                    Some(on) => resend(on, self.env, PowerCommand::ForceOff),
                    None => {
                        let message = format!(
                            "sent ForceOff through {link}, which does not read on any longer, and the host is not proven off: {}",
                            self.links()
                        );
                        wait(reasons::WAITING_FOR_POWER, message, LOOK_AGAIN)
                    }
                }
            }
        }
    }

    fn last_sent(&self, link: &LinkFacts) -> Option<schemas::Time> {
        let step = Step::Power { link: link.name.clone(), command: PowerCommand::ForceOff };
        self.env.tries(&step.name()).map(|i| i.issued_at).max()
    }

    fn dark(&self, link: &str) -> Next {
        let time = self.rule.hard_off_timeout_seconds;
        let message = format!("{link} cannot be read; if that lasts for {time} s, power is cut at the outlets: {}", self.links());
        wait(reasons::POWER_UNREADABLE, message, LOOK_AGAIN)
    }

    /// The first device that reads on is tried on.
    fn try_on(&self) -> Next {
        let place = |l: &LinkFacts| self.tried.iter().position(|t| t.link == l.name).unwrap_or(usize::MAX);
        match self.usable.iter().min_by_key(|l| place(l)).map(|l| resend(l, self.env, PowerCommand::ForceOff)) {
            Some(step @ Next::Step(_)) => step,
            _ => wait(reasons::NEEDS_HUMAN, self.failure(), LOOK_AGAIN),
        }
    }

    fn failure(&self) -> String {
        let host = &self.facts.host;
        format!(
            "{host} cannot be switched off: {}. The first device is tried on; mend one, or cut the power of {host} by hand: it goes on once it is proven off",
            self.links()
        )
    }

    /// Every link with what was tried, and what it reads.
    fn links(&self) -> String {
        let words = |l: &LinkFacts| {
            let acts: Vec<&str> = self.tried.iter().filter(|t| t.link == l.name).filter_map(|t| act_in_words(t.act)).collect();
            let acts = if acts.is_empty() { "nothing was sent".into() } else { format!("{} was sent", acts.join(", then ")) };
            let state = match l.state.seen() {
                Some(PowerState::On) => "it reads on".into(),
                Some(_) => "it reads off".into(),
                None => format!("it cannot be read ({})", l.state.why()),
            };
            let verified = if l.verified { "" } else { ", it is not verified" };
            format!("{}: {acts}, {state}{verified}", l.name)
        };
        self.facts.links.iter().map(words).collect::<Vec<_>>().join("; ")
    }

    fn told(&self, link: &LinkFacts, act: FenceAct) -> Option<EventDraft> {
        let (host, name) = (&self.facts.host, &link.name);
        let draft = |warning, reason, note| Some(EventDraft { warning, reason, note });
        match act {
            FenceAct::SoftOff => draft(false, "SoftOff", format!("{host} is asked to shut down through {name}")),
            FenceAct::ForceOff if self.tried.iter().any(|t| t.act != FenceAct::SoftOff) => {
                draft(true, "NextDevice", format!("{host} was not shown to be off, and is powered off through {name} as well: {}", self.links()))
            }
            FenceAct::ForceOff | FenceAct::Unreadable => None,
        }
    }
}

fn act_in_words(act: FenceAct) -> Option<&'static str> {
    match act {
        FenceAct::SoftOff => Some("SoftOff"),
        FenceAct::ForceOff => Some("ForceOff"),
        FenceAct::Unreadable => None,
    }
}
