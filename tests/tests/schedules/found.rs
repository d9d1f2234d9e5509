//! Schedules that once broke a law.

use workspace_tests::schedule::{Class, DbFault, Fault, Job, Part, Plan, What, run};

/// The destination of a rebuild dies and comes back: Nova leaves the record as it is for ever. The evacuation waited for it
/// for ever as well, could not be cancelled, and kept its host from being brought back. Once that destination is proven off
/// the guest is rebuilt elsewhere (S6), or it is for a person; either way the story ends.
#[test]
fn a_rebuild_that_died_with_its_destination_comes_to_an_end_and_holds_no_cancellation_up() {
    let mut plan = Plan::simple(203, Job::RebuiltAlive);
    plan.rebuild_ms = 120_000;
    plan.parts[0].guests = 4;
    // Whichever host is chosen, one of them dies in the middle.
    for (n, host) in ["b", "c"].into_iter().enumerate() {
        plan.parts.push(Part { host, job: Job::RebuiltAlive, start: 60 + 20 * n as u64, guests: 1, stopped: 0, cancel: None });
    }
    let outcome = run(&plan, false);
    assert_eq!(outcome.violation, None, "{plan}{}", outcome.tail);
}

/// A transaction that did nothing but keep the claim landed after its operation had ended and given the claim up: it had the
/// claim for ever, and with it the one place there was for hosts being drained.
#[test]
fn a_claim_that_is_taken_late_does_not_outlive_its_operation() {
    for nth in 16..40 {
        let mut plan = Plan::simple(7_717, Job::Drain);
        plan.max_draining = 1;
        plan.live_migration_ms = 30_000;
        plan.parts.push(Part { host: "b", job: Job::EvacuatedAlive, start: 74, guests: 1, stopped: 0, cancel: None });
        plan.faults = vec![Fault::At { class: Class::Commit, nth, what: What::Db(DbFault::Late(34_533)) }];
        let outcome = run(&plan, false);
        assert_eq!(outcome.violation, None, "{plan}{}", outcome.tail);
    }
}
