//! Decisions are functions, total, and never silent.

use crate::{
    arbitrary::{Case, Subject, case, cases},
    common::*,
    force::decide,
};
use planner::Next;
use proptest::prelude::*;

fn all_of(case: &Case) -> String {
    match &case.subject {
        Subject::Host(o) => format!("{:?}", Decides::decide(o, &case.facts, &case.env)),
        Subject::Operation(o) => format!("{:?}", Decides::decide(o, &case.facts, &case.env)),
        Subject::Evacuation(o) => format!("{:?}", Decides::decide(o, &case.facts, &case.env)),
    }
}

fn finished(case: &Case) -> Case {
    let mut case = case.clone();
    match &mut case.subject {
        Subject::Host(_) => {}
        Subject::Operation(o) => o.status.finished_at = Some(at(-5)),
        Subject::Evacuation(o) => o.status.finished_at = Some(at(-5)),
    }
    case
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn the_same_facts_give_the_same_decision_and_every_wait_says_why(case in case()) {
        prop_assert_eq!(all_of(&case), all_of(&case));
        if let Next::Wait { reason, message, recheck } = decide(&case).next {
            prop_assert!(!reason.is_empty() && recheck >= 0);
            prop_assert!(message.trim().len() > 8 && !message.trim_end().ends_with(':'), "{reason}: {message:?}");
        }
    }

    #[test]
    fn what_has_ended_does_nothing_any_more(case in case()) {
        let case = finished(&case);
        if !matches!(case.subject, Subject::Host(_)) {
            let out = decide(&case);
            prop_assert_eq!(out.next, Next::Finished);
            prop_assert_eq!(out.claim, planner::ClaimWish::Keep);
            prop_assert_eq!(out.evidence, case.env.evidence);
            prop_assert!(out.settled.is_empty() && out.events == 0);
        }
    }

    /// Times from the ends of the scale, as a broken clock or a broken row would give them.
    #[test]
    fn no_time_makes_a_decision_panic(mut case in case(), now in prop_oneof![Just(i64::MIN), Just(i64::MAX), Just(0), any::<i64>()], past in any::<i64>()) {
        case.env.now = schemas::Time(now);
        for intent in &mut case.env.intents {
            intent.past_end_of_life = past;
        }
        decide(&case);
    }
}
