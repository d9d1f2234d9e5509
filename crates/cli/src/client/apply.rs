//! `apply`: read the live object, lay the manifest over it, write it.

use super::{
    manifest::{self, Manifest},
    was_faster,
};
use crate::output::{self, Failure};
use ::client::{Client, Error, Exit, merge};
use serde_json::Value;

/// Applies every document of the files; one that fails does not stop the others.
pub async fn apply(client: &Client, files: &[String]) -> Result<Exit, Failure> {
    let mut first: Option<Exit> = None;
    for document in manifest::read(files)? {
        let applied = match document.checked() {
            Ok(manifest) => one(client, &manifest).await,
            Err(message) => Err(Failure::usage(message)),
        };
        match applied {
            Ok(line) => output::data(&line),
            Err(failure) => {
                output::note(&format!("error: {}", failure.message));
                first.get_or_insert(failure.exit);
            }
        }
        for warning in client.take_warnings() {
            output::note(&format!("warning: {warning}"));
        }
    }
    Ok(first.unwrap_or(Exit::Ok))
}

async fn one(client: &Client, manifest: &Manifest) -> Result<String, Failure> {
    let id = output::short(manifest.kind.kind, &manifest.name);
    let fail = |exit, message: String| Failure::new(exit, without_secrets(manifest, &format!("{}: {id}: {message}", manifest.place)));
    if manifest.kind.kind == "FenceAttestation" {
        // A file that is applied again and again would state what nobody has just seen.
        let message = "a FenceAttestation is not applied from files; whoever saw that the host is dead says so with: cloud-manager attest HOST";
        return Err(fail(Exit::Usage, message.into()));
    }
    let mut tries = 0;
    loop {
        match step(client, manifest).await {
            Ok(what) => return Ok(format!("{id} {what}")),
            Err(Step::Api(e)) if tries == 0 && was_faster(&e) => tries += 1,
            Err(Step::Api(e)) => return Err(fail(e.exit(), e.to_string())),
            Err(Step::Stale(message)) => return Err(fail(Exit::Conflict, message)),
        }
    }
}

enum Step {
    Api(Error),
    Stale(String),
}

async fn step(client: &Client, manifest: &Manifest) -> Result<&'static str, Step> {
    let plural = manifest.kind.plural;
    let live = match client.get(plural, &manifest.name).await {
        Ok(live) => live,
        Err(e) if e.status() == Some(404) => {
            client.create(plural, &merge::for_create(&manifest.value)).await.map_err(Step::Api)?;
            return Ok("created");
        }
        Err(e) => return Err(Step::Api(e)),
    };
    let given = &manifest.value["metadata"];
    if given["uid"].as_str().is_some_and(|uid| uid != live.metadata.uid) {
        return Err(Step::Stale("the manifest is of an earlier object with this name; take metadata.uid out to apply it to this one".into()));
    }
    if given["resourceVersion"].as_str().is_some_and(|version| version != live.metadata.resource_version) {
        let message = "it was changed since the manifest was read; read it again, or take metadata.resourceVersion out to apply it regardless";
        return Err(Step::Stale(message.into()));
    }
    let before = output::value(&live);
    let wanted = merge::overlay(&before, &manifest.value);
    if wanted == before {
        return Ok("unchanged");
    }
    let after = client.update(plural, &manifest.name, &wanted).await.map_err(Step::Api)?;
    // Write-only fields cannot be compared here; the server knows whether they changed.
    Ok(if after.metadata.resource_version == live.metadata.resource_version { "unchanged" } else { "configured" })
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
