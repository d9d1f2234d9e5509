//! Stories: what happened to other systems, told as scripts that run against the simulated cloud, and what must come of them.
//!
//! Each folder of `tests/stories` has a `script` and the `trace` that it must give. `UPDATE_STORIES=1` writes the traces;
//! read them as a reviewer before they are checked in. CONTRIBUTING.md tells how to add one.

mod check;
mod operator;
mod run;
mod scene;
mod script;
mod told;
mod trace;
mod world;

use std::{collections::BTreeSet, path::PathBuf};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("stories")
}

macro_rules! stories {
    ($($name:ident)*) => {
        $(#[tokio::test(start_paused = true)]
        async fn $name() {
            run::story(&folder().join(stringify!($name))).await;
        })*
        const TOLD: &[&str] = &[$(stringify!($name)),*];
    };
}

include!("list.rs");

#[test]
fn every_folder_is_a_story_that_is_told() {
    let found = std::fs::read_dir(folder()).expect("tests/stories").map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    let (found, told) = (found.collect::<BTreeSet<_>>(), TOLD.iter().map(|n| n.to_string()).collect::<BTreeSet<_>>());
    assert_eq!(found, told, "the folders of tests/stories and the list in tests/tests/stories/list.rs");
}
