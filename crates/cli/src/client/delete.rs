//! `delete`.

use super::{find_kind, manifest};
use crate::{
    args::DeleteArgs,
    output::{self, Failure},
};
use ::client::{Client, Deleted, Exit};
use schemas::KindInfo;

pub async fn delete(client: &Client, args: DeleteArgs) -> Result<Exit, Failure> {
    let mut targets: Vec<(&'static KindInfo, String)> = Vec::new();
    let mut first: Option<Failure> = None;
    let mut fail = |failure: Failure| {
        output::note(&format!("error: {}", failure.message));
        first.get_or_insert(failure);
    };
    if let Some(kind) = &args.kind {
        let kind = find_kind(kind)?;
        targets.extend(args.names.iter().map(|name| (kind, name.clone())));
    } else {
        // Backwards: what refers to something is written after it, and goes before it.
        for document in manifest::read(&args.files)?.into_iter().rev() {
            match document.checked() {
                Ok(manifest) => targets.push((manifest.kind, manifest.name)),
                Err(message) => fail(Failure::usage(message)),
            }
        }
    }
    for (kind, name) in targets {
        let id = output::short(kind.kind, &name);
        match client.delete(kind.plural, &name).await {
            Ok(Deleted::Gone) => output::data(&format!("{id} deleted")),
            Ok(Deleted::Finalizing(object)) => {
                output::data(&format!("{id} is being deleted; first {} cleans up", object.metadata.finalizers.join(", ")));
            }
            Err(e) if e.status() == Some(404) && args.ignore_not_found => output::note(&format!("{id} was not there")),
            Err(e) => fail(Failure::new(e.exit(), format!("{id}: {e}"))),
        }
    }
    Ok(first.map_or(Exit::Ok, |f| f.exit))
}
