//! Asking before something is destroyed (S15).

use crate::output::{self, Failure};
use ::client::Exit;
use std::io::{BufRead, IsTerminal};

/// Says what will happen, then asks. `--yes` answers; without a terminal it is needed.
///
/// # Errors
/// Exit code 2 without terminal and `--yes`, 1 if the answer is no.
pub fn confirm(yes: bool, plan: &str) -> Result<(), Failure> {
    output::note(plan);
    let terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    decide(yes, terminal, || {
        eprint!("Type 'yes' to go on: ");
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer).map(|_| answer)
    })
}

fn decide(yes: bool, terminal: bool, ask: impl FnOnce() -> std::io::Result<String>) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !terminal {
        return Err(Failure::usage("nothing was done: without a terminal to ask on, this command needs --yes"));
    }
    match ask() {
        Ok(answer) if answer.trim() == "yes" => Ok(()),
        _ => Err(Failure::new(Exit::False, "nothing was done: the answer was not 'yes'")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_yes_goes_on() {
        let answered = |text: &str| decide(false, true, || Ok(text.to_string()));
        assert_eq!(answered("yes\n"), Ok(()));
        for no in ["", "y\n", "no\n", "yes please\n"] {
            assert_eq!(answered(no).unwrap_err().exit, Exit::False, "{no:?}");
        }
    }

    #[test]
    fn without_a_terminal_only_the_flag_goes_on_and_nothing_is_asked() {
        let never = || panic!("asked");
        assert_eq!(decide(true, false, never), Ok(()));
        let refused = decide(false, false, never).unwrap_err();
        assert_eq!(refused.exit, Exit::Usage);
        assert!(refused.message.contains("--yes"));
    }
}
