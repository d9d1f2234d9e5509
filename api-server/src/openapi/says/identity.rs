//! What a token is, and what it may do.

use super::IDENTITY;
use crate::{
    handlers::whoami::Review,
    openapi::{
        Components, Operation, Place, answers,
        operation::{Answer, JSON},
    },
};

pub(crate) fn whoami(_: &Place, c: &mut Components) -> Operation {
    let answer = Answer::json("Who it is.", c.of::<answers::WhoAmI>());
    Operation::new("whoAmI", IDENTITY, "Read what the token is", "User, scope, roles, and every rule of the policy that lets the token pass.")
        .answers(200, answer)
}

pub(crate) fn review(_: &Place, c: &mut Components) -> Operation {
    let words = "Whether the rules let the caller do something. What makes an act safe, or possible at all, is asked when it is done.";
    let (body, answer) = (c.of::<Review>(), Answer::json("Whether it is allowed.", c.of::<answers::ReviewAnswer>()));
    Operation::new("reviewAccess", IDENTITY, "Ask whether something is allowed", words)
        .takes(true, "What would be done.", &[JSON], &body)
        .answers(200, answer)
}
