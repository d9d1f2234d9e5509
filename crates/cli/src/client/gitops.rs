//! `apply --watch`: a directory that is applied whenever it changes, and looked at in between.

use super::{
    apply::{may_follow, recorded},
    batch::{Batch, Unreadable, by_flags, options},
    checkout::Checkout,
};
use crate::{
    args::ApplyArgs,
    output::{self, Failure},
};
use ::client::{BatchDone, BatchOptions, Client, Error, Exit};
use serde_json::json;
use std::path::Path;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::sleep,
};

/// Who declares what a repository holds: what is done once is not taken from it.
const MANAGER: &str = "gitops";

/// What keeps a directory from being applied, or what differs from it, as it was told last.
#[derive(Default, PartialEq)]
struct Told {
    errors: Vec<String>,
    drift: Vec<String>,
}

struct Follower<'a> {
    client: &'a Client,
    folder: &'a Path,
    args: &'a ApplyArgs,
    set: &'a str,
    told: Told,
    revision: Option<String>,
}

/// Follows a directory until the program is ended. What is wrong with it is said, noted on the set, and tried again.
pub async fn follow(client: &Client, folder: &Path, args: ApplyArgs) -> Result<Exit, Failure> {
    let stop = |e: std::io::Error| Failure::new(Exit::Internal, format!("signals cannot be heard: {e}"));
    let mut terminated = signal(SignalKind::terminate()).map_err(stop)?;
    let mut interrupted = signal(SignalKind::interrupt()).map_err(stop)?;
    let set = args.declare.set.name.clone().unwrap_or_default();
    let mut follower = Follower { client, folder, args: &args, set: &set, told: Told::default(), revision: None };
    loop {
        // A round that was begun is ended: what it sent would be done anyway.
        follower.round().await?;
        tokio::select! {
            () = sleep(args.interval) => {}
            _ = terminated.recv() => return Ok(Exit::Ok),
            _ = interrupted.recv() => return Ok(Exit::Ok),
        }
    }
}

impl Follower<'_> {
    /// Reads, applies, tells. Only what will not go away by itself ends the program.
    async fn round(&mut self) -> Result<(), Failure> {
        let (batch, revision) = match self.read().await {
            Ok(read) => read,
            Err(Unreadable(errors)) => return self.tell(errors, Vec::new()).await,
        };
        let mut options = options(&self.args.declare, MANAGER, false, self.args.prune.then_some("All"));
        let known = match recorded(self.client, self.set).await {
            Ok(known) => known,
            Err(failure) => return self.unanswered(failure),
        };
        if let Some(set) = &mut options.set {
            set.revision = revision.as_ref().map(|c| c.commit.clone());
            if let (Some(checkout), Some(known)) = (&revision, &known) {
                if let Err(failure) = may_follow(checkout, known, self.set, self.args.declare.set.any_revision).await {
                    return self.tell(vec![failure.message], Vec::new()).await;
                }
                set.after = Some(known.clone());
            }
        }
        let done = match self.client.apply_all(&batch.objects(), &options).await {
            Ok(done) => done,
            // What the server says of the set as a whole: the fuse, another manager.
            Err(error @ Error::Api(_)) if matches!(error.exit(), Exit::Conflict | Exit::Usage | Exit::Auth) && error.status() != Some(401) => {
                return self.tell(vec![by_flags(&error.to_string())], Vec::new()).await;
            }
            Err(error) => return self.unanswered(error.into()),
        };
        self.after(&batch, &options, known, done).await
    }

    async fn after(&mut self, batch: &Batch, options: &BatchOptions, known: Option<String>, done: BatchDone) -> Result<(), Failure> {
        let complaints = batch.complaints(&done);
        let revision = options.set.as_ref().and_then(|s| s.revision.clone());
        if complaints.is_empty() {
            batch.tell(&done, "", false);
            if self.revision != revision {
                let what = revision.as_deref().map_or_else(|| "what stands there".into(), |commit| format!("commit {commit}"));
                output::note(&format!("ApplySet {} is at {what}: {} object(s).", self.set, done.items.len()));
            }
            self.revision = revision;
            self.told = Told::default();
            return Ok(());
        }
        // What was applied before, and is refused now because others own it, has drifted; the rest is wrong.
        let conflicts = done.items.iter().filter(|i| i.exit().is_some()).all(|i| i.code == "field-conflict");
        let same = known.is_some() && known == revision || revision.is_none() && self.revision.is_some();
        if conflicts && same { self.tell(Vec::new(), complaints).await } else { self.tell(complaints, Vec::new()).await }
    }

    /// What is committed, as a whole: a checkout that is being changed is not read.
    async fn read(&self) -> Result<(Batch, Option<Checkout>), Unreadable> {
        let one = |message: String| Unreadable(vec![message]);
        let before = Checkout::of(self.folder).await.map_err(one)?;
        let batch = Batch::read(&[self.folder.display().to_string()])?;
        let Some(before) = before else { return Ok((batch, None)) };
        let changed = before.changed().await.map_err(one)?;
        if !changed.is_empty() {
            return Err(one(format!("{} is not as it was committed; commit it, or take it back: {}", self.folder.display(), changed.join(", "))));
        }
        let after = Checkout::of(self.folder).await.map_err(one)?;
        match after {
            Some(after) if after.commit == before.commit => Ok((batch, Some(after))),
            _ => Err(one(format!("{} was changed while it was read", self.folder.display()))),
        }
    }

    /// Says what is new, and notes it on the set.
    async fn tell(&mut self, errors: Vec<String>, drift: Vec<String>) -> Result<(), Failure> {
        let told = Told { errors, drift };
        if told == self.told {
            return Ok(());
        }
        told.errors.iter().for_each(|e| output::note(&format!("error: {e}")));
        told.drift.iter().for_each(|d| output::note(&format!("drift: {d}")));
        let body = json!({"errors": told.errors, "drift": told.drift});
        match self.client.post_raw(&format!("/v1/applysets/{}/report", self.set), &body).await {
            Ok(_) => self.told = told,
            // A set that was never applied has nothing to be noted on.
            Err(e) if e.status() == Some(404) => self.told = told,
            Err(e) => return self.unanswered(e.into()),
        }
        Ok(())
    }

    /// What may go away is tried again in the next round.
    fn unanswered(&self, failure: Failure) -> Result<(), Failure> {
        if matches!(failure.exit, Exit::Internal | Exit::Timeout) {
            output::note(&format!("ApplySet {} is tried again: {}", self.set, failure.message));
            return Ok(());
        }
        Err(failure)
    }
}
