//! `edit`.

use super::{find_kind, manifest::Document, was_faster};
use crate::{
    args::EditArgs,
    output::{self, Failure},
};
use ::client::{Client, Exit};
use schemas::DynObject;
use serde_json::Value;
use std::{env, io::Write, path::Path, process::Command};

/// Changes an object in an editor. What the server refuses is shown in the editor again, with the reason above it.
pub async fn edit(client: &Client, args: EditArgs) -> Result<Exit, Failure> {
    let kind = find_kind(&args.kind)?;
    let id = output::short(kind.kind, &args.name);
    let mut shown = declared(&client.get(kind.plural, &args.name).await?);
    let before = output::yaml(&shown);
    let (mut text, mut trouble) = (before.clone(), String::new());
    loop {
        let edited = through_editor(&trouble, &text)?;
        if edited.trim().is_empty() || edited.trim() == before.trim() {
            output::note(&format!("{id} stays as it is."));
            return Ok(Exit::Ok);
        }
        if !trouble.is_empty() && edited.trim() == text.trim() {
            return Err(Failure::usage(format!("{id} stays as it is: {trouble}")));
        }
        text = edited;
        let mut wanted = match read(&text) {
            Ok(wanted) => wanted,
            Err(message) => {
                trouble = message;
                continue;
            }
        };
        let mut tries = 0;
        trouble = loop {
            match client.update(kind.plural, &args.name, &wanted).await {
                Ok(_) => {
                    output::data(&format!("{id} edited"));
                    return Ok(Exit::Ok);
                }
                Err(e) if was_faster(&e) && tries < TRIES => {
                    tries += 1;
                    let now = declared(&client.get(kind.plural, &args.name).await?);
                    if without_version(&now) != without_version(&shown) {
                        return Err(Failure::new(e.exit(), format!("{id} was changed by somebody else meanwhile: {e}")));
                    }
                    // Controllers write their part all the time; what people declare is as it was shown.
                    wanted["metadata"]["resourceVersion"] = now["metadata"]["resourceVersion"].clone();
                    shown = now;
                }
                Err(e) if e.exit() == Exit::Usage => break e.to_string(),
                Err(e) => return Err(e.into()),
            }
        };
    }
}

/// Tries of a write that controllers are faster than.
const TRIES: usize = 5;

/// What people declare of an object.
fn declared(object: &DynObject) -> Value {
    let mut shown = output::value(object);
    if let Some(members) = shown.as_object_mut() {
        members.shift_remove("status");
    }
    shown
}

fn without_version(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.shift_remove("resourceVersion");
    }
    object
}

fn read(text: &str) -> Result<Value, String> {
    let mut documents = super::manifest::parse("the text", text);
    match (documents.pop(), documents.is_empty()) {
        (Some(document), true) => Document::checked(document).map(|manifest| manifest.value),
        _ => Err("it must be one object".into()),
    }
}

/// The text as it is after the editor; `trouble` stands above it, as a comment.
fn through_editor(trouble: &str, text: &str) -> Result<String, Failure> {
    let failed = |what: &str, e: &dyn std::fmt::Display| Failure::new(Exit::Internal, format!("{what}: {e}"));
    let mut file = tempfile::Builder::new().prefix("cloud-manager-").suffix(".yaml").tempfile();
    let file = file.as_mut().map_err(|e| failed("no file can be made to edit in", e))?;
    let comment: String = trouble.lines().map(|line| format!("# {line}\n")).collect();
    writeln!(file, "{comment}{text}").map_err(|e| failed("the file to edit in cannot be written", &e))?;
    run_editor(file.path())?;
    let edited = std::fs::read_to_string(file.path()).map_err(|e| failed("the edited file cannot be read", &e))?;
    let lines = edited.lines().skip_while(|line| line.starts_with('#'));
    Ok(lines.map(|line| format!("{line}\n")).collect())
}

fn run_editor(file: &Path) -> Result<(), Failure> {
    let editor =
        ["VISUAL", "EDITOR"].into_iter().find_map(|name| env::var(name).ok().filter(|e| !e.trim().is_empty())).unwrap_or_else(|| "vi".into());
    // An editor may come with arguments: it is the shell's to part them, as for Git.
    let status = Command::new("sh").arg("-c").arg(format!("{editor} \"$1\"")).arg("sh").arg(file).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::usage(format!("the editor {editor:?} ended with {status}; nothing was changed"))),
        Err(e) => Err(Failure::usage(format!("the editor {editor:?} cannot be run: {e}; name another one in EDITOR"))),
    }
}
