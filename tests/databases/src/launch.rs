//! Starting processes that die with this one.
//!
//! The kernel's signal on a parent's death goes by the *thread* that started the child, and a test's thread
//! ends with its test; so one thread that never ends starts them all.

use std::{
    process::{Child, Command},
    sync::{
        Mutex, OnceLock,
        mpsc::{Sender, channel},
    },
};

type Order = (Command, Sender<std::io::Result<Child>>);

/// Starts a command from the thread that never ends.
pub(crate) fn spawn(command: Command) -> std::io::Result<Child> {
    static NURSE: OnceLock<Mutex<Sender<Order>>> = OnceLock::new();
    let nurse = NURSE.get_or_init(|| {
        let (orders, inbox) = channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, answer) in inbox {
                // Who ordered may have given up.
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(orders)
    });
    let (answer, child) = channel();
    nurse.lock().expect("nobody panics with it").send((command, answer)).expect("it never ends");
    child.recv().expect("it answers")
}
