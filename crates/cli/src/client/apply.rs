//! `apply` and `prune`.

use super::{
    batch::{Batch, MANAGER, id, options},
    checkout::{Age, Checkout},
    confirm::confirm,
    find_kind, gitops, own_kind,
};
use crate::{
    args::{ApplyArgs, PruneArgs, SetArgs},
    output::{self, Failure},
};
use ::client::{BatchDone, BatchOptions, Client, Event, Exit, Query};
use schemas::{Object, v1::ApplySet};
use std::{path::Path, time::Duration};
use tokio::time::{Instant, timeout_at};

/// `apply`.
pub async fn apply(client: &Client, args: ApplyArgs) -> Result<Exit, Failure> {
    if let Some(folder) = args.watch.clone() {
        return gitops::follow(client, &folder, args).await;
    }
    let batch = Batch::read(&args.files)?;
    let mut options = options(&args.declare, MANAGER, args.dry_run.is_some(), args.prune.then_some("All"));
    of_revision(client, &args.files, &args.declare.set, &mut options).await?;
    if args.prune && args.dry_run.is_none() {
        ask(client, &batch, &options, args.yes).await?;
    }
    finish(client, &batch, &options, args.timeout).await
}

/// `prune`.
pub async fn prune(client: &Client, args: PruneArgs) -> Result<Exit, Failure> {
    if args.declare.set.name.is_none() {
        return Err(Failure::usage("name the set whose objects are to go: --applyset NAME"));
    }
    let batch = Batch::read(&args.files)?;
    let mut options = options(&args.declare, MANAGER, args.dry_run.is_some(), Some("Only"));
    of_revision(client, &args.files, &args.declare.set, &mut options).await?;
    if args.dry_run.is_none() {
        ask(client, &batch, &options, args.yes).await?;
    }
    finish(client, &batch, &options, args.timeout).await
}

async fn finish(client: &Client, batch: &Batch, options: &BatchOptions, limit: Duration) -> Result<Exit, Failure> {
    let done = client.apply_all(&batch.objects(), options).await.map_err(|e| batch.failure(e))?;
    let exit = batch.tell(&done, if options.dry_run { " (dry run)" } else { "" }, true);
    if exit == Exit::Ok && !options.dry_run {
        gone(client, &done, limit).await?;
    }
    Ok(exit)
}

/// Shows what would be deleted, and asks, if anything would be.
async fn ask(client: &Client, batch: &Batch, options: &BatchOptions, yes: bool) -> Result<(), Failure> {
    let dry = BatchOptions { dry_run: true, ..options.clone() };
    let done = client.apply_all(&batch.objects(), &dry).await.map_err(|e| batch.failure(e))?;
    let going: Vec<String> = done.pruned.iter().filter(|i| i.result == "deleted" || i.result == "deleting").map(id).collect();
    if going.is_empty() {
        return Ok(());
    }
    let set = options.set.as_ref().map(|s| s.name.as_str()).unwrap_or_default();
    let plan = format!("ApplySet {set} declares these no longer; they will be deleted:\n  {}", going.join("\n  "));
    confirm(yes, &plan)
}

/// Waits until what was deleted is gone.
async fn gone(client: &Client, done: &BatchDone, limit: Duration) -> Result<(), Failure> {
    let deadline = Instant::now() + limit;
    for item in done.pruned.iter().filter(|i| i.result == "deleting") {
        let kind = find_kind(&item.kind)?;
        let mut watch = client.watch(kind.plural, Query::named(&item.name));
        let mut seen = false;
        loop {
            match timeout_at(deadline, watch.next()).await {
                Ok(event) => match event? {
                    Event::Deleted(_) => break,
                    Event::Synced if !seen => break,
                    Event::Added(_) | Event::Modified(_) => seen = true,
                    Event::Synced | Event::Trouble(_) => {}
                },
                Err(_) => {
                    let message = format!("{} is not gone after {} s, and goes on being deleted by itself", id(item), limit.as_secs());
                    return Err(Failure::new(Exit::Timeout, message));
                }
            }
        }
        output::data(&format!("{} gone", id(item)));
    }
    Ok(())
}

/// Notes the commit that is applied, and that it was compared with what the set has. What is older is not applied.
async fn of_revision(client: &Client, files: &[String], args: &SetArgs, options: &mut BatchOptions) -> Result<(), Failure> {
    let Some(set) = &mut options.set else { return Ok(()) };
    if set.revision.is_some() {
        return Ok(());
    }
    let Some(path) = files.iter().find(|f| *f != "-") else { return Ok(()) };
    let Some(checkout) = Checkout::of(Path::new(path)).await.map_err(Failure::usage)? else { return Ok(()) };
    let changed = checkout.changed().await.map_err(Failure::usage)?;
    if !changed.is_empty() {
        output::note(&format!("{} is not as it was committed; the set does not note a commit.", changed.join(", ")));
        return Ok(());
    }
    if let Some(recorded) = recorded(client, &set.name).await? {
        may_follow(&checkout, &recorded, &set.name, args.any_revision).await?;
        set.after = Some(recorded);
    }
    set.revision = Some(checkout.commit);
    Ok(())
}

/// What a set has; none: nothing was noted, or it is not there.
pub async fn recorded(client: &Client, set: &str) -> Result<Option<String>, Failure> {
    match client.get(own_kind("ApplySet")?.plural, set).await {
        Ok(found) => {
            let set: Object<ApplySet> = found.typed().map_err(|e| Failure::new(Exit::Internal, format!("ApplySet {set} cannot be read: {e}")))?;
            Ok(set.status.revision)
        }
        Err(e) if e.status() == Some(404) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// Whether a commit may be applied after another one.
pub async fn may_follow(checkout: &Checkout, recorded: &str, set: &str, any: bool) -> Result<(), Failure> {
    if any {
        return Ok(());
    }
    let (commit, way_out) = (&checkout.commit, "check out what is to be applied, or say --any-revision");
    let message = match checkout.age(recorded).await {
        Age::NotOlder => return Ok(()),
        Age::Older => format!("commit {commit} is older than {recorded}, which ApplySet {set} has; {way_out}"),
        Age::Unrelated => {
            format!("commit {commit} does not come after {recorded}, which ApplySet {set} has, or this checkout does not know that one; {way_out}")
        }
    };
    Err(Failure::new(Exit::Conflict, message))
}
