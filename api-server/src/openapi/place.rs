//! From a route of the table to the paths that a client sees.

use crate::{handlers::legacy, router::Route};
use schemas::{KindInfo, kinds::KINDS};

/// One path that a route stands for.
pub(crate) struct Place {
    /// As in the document: kinds and actions are filled in, names are not.
    pub path: String,
    /// The kind in the path.
    pub kind: Option<&'static KindInfo>,
    /// The host action in the path.
    pub verb: Option<&'static str>,
}

impl Place {
    /// The kind of a path that has one; only those ask.
    pub fn kind(&self) -> &'static KindInfo {
        self.kind.unwrap_or(&KINDS[0])
    }

    /// Names of the parameters that are left in the path.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }
}

/// The paths of a route, without those that another route answers and those of kinds that lack the verb.
pub(super) fn places(route: &Route, all: &[Route]) -> Vec<Place> {
    let Route { path, method, .. } = route;
    if path.contains("{verb}") {
        return legacy::verbs().map(|verb| Place { path: path.replace("{verb}", verb), kind: None, verb: Some(verb) }).collect();
    }
    if !path.contains("{plural}") {
        return vec![Place { path: path.to_string(), kind: None, verb: None }];
    }
    let has = |kind: &&KindInfo| match *method {
        // A Task is a view with routes of its own, and has no status or events beside it.
        "GET" => kind.kind != "Task",
        _ => !kind.read_only,
    };
    let kinds = KINDS.iter().filter(has).map(|kind| Place { path: path.replace("{plural}", kind.plural), kind: Some(kind), verb: None });
    kinds.filter(|place| !all.iter().any(|other| other.path == place.path)).collect()
}
