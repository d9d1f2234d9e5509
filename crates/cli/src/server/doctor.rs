//! `doctor`: looks at everything that this program hangs on, and says what to do. After a database went back in time
//! it says what may have happened, and lets acts go on (S14).

mod cloud;
mod keys;
mod lease;
mod power;
mod report;
mod state;
mod webhook;

use super::database;
use crate::{
    args::{DoctorArgs, DoctorFormat},
    config, output,
};
use ::client::Exit;
use anyhow::bail;
use report::{Level, Report};
use schemas::{
    Object,
    v1::{self, ReturnMode},
};
pub(super) use state::StateFile;
use store::{ListQuery, Revision, SqlStore, Store, StoreConfig};

/// What a person has to look at before acts may go on.
const LOOK_FIRST: &str = "Calls made after the backup are not in this database. Look in Nova for evacuations and live migrations under way, \
     and at the power of hosts that were being worked on; then run: cloud-manager doctor --accept";

/// `cloud-manager doctor`. Everything that can be looked at is, whatever else failed.
pub(super) async fn run(args: DoctorArgs) -> anyhow::Result<Exit> {
    let loaded = config::load(&args.server)?;
    let config = &loaded.config;
    let place = database::store_config(config)?;
    if let Some(path) = place.sqlite_path().filter(|p| !p.exists()) {
        bail!("there is no database at {}; check database.url", path.display());
    }
    let mut report = Report::default();
    let mark = format!("fingerprint {} (of a pair, the same on both)", loaded.fingerprint());
    match loaded.notices.len() {
        0 => report.ok("config", format!("every value is known and fits, {mark}")),
        n => report.warn("config", format!("{n} parameter(s) of the INI files have no effect, {mark}"), "See the end of: cloud-manager config dump"),
    }
    let key_file = database::key_file(config)?;
    let keys = keys::load(&key_file, &mut report);
    server(&place, &mut report).await;
    let store = match SqlStore::open(&place, keys).await {
        Ok(store) => Some(store),
        Err(error) => {
            report.fail("database", error.to_string(), "Correct database.url, or the database");
            None
        }
    };
    let mut cluster = None;
    if let Some(store) = &store {
        let revision = store.revision().await?;
        report.ok("database", format!("{place} at revision {}, cluster {}", revision.current, revision.cluster_uuid));
        open_calls(store, &mut report).await?;
        returns(store, &mut report).await?;
        history(&StateFile::beside(&database::state_base(config)?), &revision, args.accept, &mut report)?;
        cluster = Some(revision.cluster_uuid);
    }
    // Who accepts has looked already, and waits for acts to go on.
    if !args.accept {
        if let Some(store) = &store {
            keys::sealed(store, &key_file, &mut report).await;
            lease::check(store, &mut report).await;
            webhook::check(store, &config.webhook, &mut report).await;
        }
        cloud::check(config, cluster.as_deref(), &mut report).await;
        if let Some(store) = store.as_ref().filter(|_| !args.no_bmc) {
            power::check(store, &mut report).await;
        }
    }
    output::data(&match args.output {
        DoctorFormat::Table => report.text(),
        DoctorFormat::Json => report.json(),
    });
    Ok(if report.worst() == Level::Fail { Exit::False } else { Exit::Ok })
}

/// What the database itself says of how it keeps things.
async fn server(place: &StoreConfig, report: &mut Report) {
    // That it cannot be reached is told when it is opened.
    let Ok(found) = SqlStore::inspect(place).await else { return };
    if found.level() == store::Level::Ok {
        report.ok("database", format!("{} {}, set up to keep what it acknowledged", found.backend, found.version));
    }
    for note in found.notes {
        match note.level {
            store::Level::Ok => {}
            store::Level::Warn => report.warn("database", note.what, note.way_out),
            store::Level::Fail => report.fail("database", note.what, note.way_out),
        }
    }
}

/// Calls that may have happened and are not settled: after a restore, the place to begin looking.
async fn open_calls(store: &SqlStore, report: &mut Report) -> anyhow::Result<()> {
    let open = store.list("Operation", ListQuery { open_only: true, ..Default::default() }).await?.items;
    let mut what = format!("{} call(s) may have happened and are not settled", open.len());
    for operation in &open {
        let text = |pointer: &str| operation.spec.pointer(pointer).and_then(|v| v.as_str()).unwrap_or("?").to_string();
        what.push_str(&format!(
            "\n  {}  {} on {} for {} at {}",
            operation.metadata.name,
            text("/step"),
            text("/host"),
            text("/owner"),
            text("/issuedAt")
        ));
    }
    report.ok("calls", what);
    Ok(())
}

/// Hosts that boot without a person: what their nova-compute does to guests then is a setting that no API shows (I13).
async fn returns(store: &SqlStore, report: &mut Report) -> anyhow::Result<()> {
    let mut names = Vec::new();
    for object in store.list("RemediationPolicy", ListQuery::default()).await?.items {
        let policy: Object<v1::RemediationPolicy> = object.typed().map_err(|e| anyhow::anyhow!("RemediationPolicy {}: {e}", object.metadata.name))?;
        if policy.spec.return_to_service.mode == ReturnMode::Automatic {
            names.push(policy.metadata.name);
        }
    }
    if !names.is_empty() {
        let what = format!(
            "RemediationPolicy {} brings hosts back without a person; whether their nova-compute starts guests when it boots cannot be seen from here",
            names.join(", ")
        );
        report.warn("returns", what, "See that nova.conf of every compute has [DEFAULT] resume_guests_state_on_host_boot = False");
    }
    Ok(())
}

/// Whether history went back (S14), and if so whether somebody has looked.
fn history(state: &StateFile, revision: &Revision, accept: bool, report: &mut Report) -> anyhow::Result<()> {
    match (state.look(revision), accept) {
        (None, _) => report.ok("history", "did not go back: nothing is frozen"),
        (Some(why), false) => report.fail("history", why, LOOK_FIRST),
        (Some(why), true) => {
            state.write(revision)?;
            report.ok(
                "history",
                format!("{}; accepted: a running controller goes on within a few seconds", why.split(": ").next().unwrap_or_default()),
            );
        }
    }
    Ok(())
}
