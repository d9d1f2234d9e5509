//! Manifests that are sent together, and what became of them, told by the files they stand in.

use super::manifest::{self, Manifest};
use crate::{
    args::DeclareArgs,
    output::{self, Failure},
};
use ::client::{BatchDone, BatchOptions, Error, Exit, ItemDone, SetOptions};
use serde_json::Value;

/// Manifests that are sent together.
pub struct Batch {
    manifests: Vec<Manifest>,
}

/// What is wrong with files, each with its place.
pub struct Unreadable(pub Vec<String>);

impl From<Unreadable> for Failure {
    fn from(Unreadable(errors): Unreadable) -> Failure {
        Failure::usage(format!("{}. Nothing was sent", errors.join("\nerror: ")))
    }
}

impl Batch {
    /// Reads files. One document that is wrong stops all: the rest may need it, and what is missing would seem declared no longer.
    pub fn read(files: &[String]) -> Result<Batch, Unreadable> {
        let documents = manifest::read(files).map_err(|failure| Unreadable(vec![failure.message]))?;
        let (mut manifests, mut errors) = (Vec::new(), Vec::new());
        for document in documents {
            match document.checked() {
                Ok(manifest) => manifests.push(manifest),
                Err(message) => errors.push(message),
            }
        }
        if errors.is_empty() { Ok(Batch { manifests }) } else { Err(Unreadable(errors)) }
    }

    /// What is sent.
    pub fn objects(&self) -> Vec<Value> {
        self.manifests.iter().map(|m| m.value.clone()).collect()
    }

    /// Why the batch could not be sent, without the secrets in it.
    pub fn failure(&self, error: Error) -> Failure {
        let Failure { exit, message } = error.into();
        Failure::new(exit, self.manifests.iter().fold(by_flags(&message), |message, manifest| without_secrets(manifest, &message)))
    }

    /// What stands against objects, each with its place.
    pub fn complaints(&self, done: &BatchDone) -> Vec<String> {
        let items = done.items.iter().enumerate().filter(|(_, item)| item.exit().is_some());
        let told = items.map(|(at, item)| match self.manifests.get(at) {
            Some(manifest) => {
                let id = output::short(manifest.kind.kind, &manifest.name);
                let named = format!("{}/{}: ", manifest.kind.kind, manifest.name);
                let message = by_flags(item.message.strip_prefix(&named).unwrap_or(&item.message));
                without_secrets(manifest, &format!("{}: {id}: {message}", manifest.place))
            }
            None => item.message.clone(),
        });
        told.chain(done.pruned.iter().filter(|item| item.exit().is_some()).map(|item| format!("{}: {}", id(item), item.message))).collect()
    }

    /// Prints what became of all; what stays as it is only if `all`. Gives the exit code of the worst.
    pub fn tell(&self, done: &BatchDone, how: &str, all: bool) -> Exit {
        for item in done.items.iter().filter(|i| i.exit().is_none() && !i.result.is_empty() && (all || i.result != "unchanged")) {
            output::data(&format!("{} {}{how}", id(item), item.result));
        }
        for item in done.pruned.iter().filter(|i| i.exit().is_none()) {
            match item.result.as_str() {
                "kept" | "released" => output::note(&format!("{} {}: {}", id(item), item.result, item.message)),
                result => output::data(&format!("{} {result}{how}", id(item))),
            }
        }
        for complaint in self.complaints(done) {
            output::note(&format!("error: {complaint}"));
        }
        if let Some(refused) = &done.refused {
            output::note(&format!("error: {}", by_flags(refused.to_string().lines().next().unwrap_or_default())));
            return refused.exit();
        }
        let failed = done.items.iter().chain(&done.pruned).filter_map(ItemDone::exit).max_by_key(|exit| *exit as u8);
        failed.unwrap_or(Exit::Ok)
    }
}

/// `host/c1`.
pub fn id(item: &ItemDone) -> String {
    output::short(&item.kind, &item.name)
}

/// Who declares what people apply.
pub const MANAGER: &str = "cloud-manager";

/// How a batch is sent, by the flags of its command; by `manager`, if they name none.
pub fn options(args: &DeclareArgs, manager: &str, dry_run: bool, prune: Option<&'static str>) -> BatchOptions {
    let set = args.set.name.as_ref().map(|name| SetOptions {
        name: name.clone(),
        prune,
        max_deletes: args.set.max_deletes,
        revision: args.set.revision.clone(),
        after: None,
    });
    let manager = args.field_manager.clone().unwrap_or_else(|| manager.into());
    BatchOptions { manager, force: args.force_conflicts, dry_run, explain: false, set }
}

/// What the API asks for as query parameters is asked for as flags here.
pub fn by_flags(message: &str) -> String {
    message.replace("force=true", "--force-conflicts").replace("maxDeletes=", "--max-deletes ")
}

/// Takes the secrets of a Credential out of a message, wherever it came from.
fn without_secrets(manifest: &Manifest, message: &str) -> String {
    if manifest.kind.kind != "Credential" {
        return message.to_string();
    }
    let data = manifest.value["spec"]["data"].as_object().into_iter().flatten();
    let mut secrets: Vec<&str> =
        data.filter(|(key, _)| *key != "username").filter_map(|(_, v): (_, &Value)| v.as_str()).filter(|s| !s.is_empty()).collect();
    // Longest first, so that a part of one does not spoil another.
    secrets.sort_by_key(|s| std::cmp::Reverse(s.len()));
    secrets.iter().fold(message.to_string(), |text, secret| text.replace(secret, "***"))
}
