//! SIGHUP: reads the configuration again and takes over what a running process can. What is wrong with a new
//! file is said, and the configuration in force stays.

use super::cloud;
use crate::{
    args::ServerArgs,
    config::{self, Changes, Config, Loaded},
};
use ::cloud::openstack::OpenStack;
use anyhow::Context;
use engine::Live;
use std::{io::IsTerminal, sync::Arc, time::Duration};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Replaces the filter of the log.
pub(super) type SetFilter = Box<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// Intervals that may change while they are used.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    /// Pause between looks at Nova's services.
    pub node_sync: Live,
    /// Longest time until a settled object is looked at again.
    pub resync: Live,
}

impl Pace {
    pub(super) fn of(config: &Config) -> Pace {
        let pace = Pace { node_sync: Duration::ZERO.into(), resync: Duration::ZERO.into() };
        pace.take(config);
        pace
    }

    fn take(&self, config: &Config) {
        self.node_sync.set(Duration::from_secs(config.controller.node_sync_interval_seconds));
        self.resync.set(Duration::from_secs(config.controller.resync_seconds));
    }
}

/// What a reload works on.
pub(super) struct Reloader {
    pub args: ServerArgs,
    /// As this process was started with.
    pub started: Loaded,
    pub pace: Pace,
    pub cloud: Arc<OpenStack>,
    pub set_filter: SetFilter,
}

/// Reloads at each SIGHUP until `stop`. A process that a person started in a terminal dies of it, as ever:
/// closing the terminal must not leave a controller behind.
pub(super) fn on_hangup(reloader: Reloader, stop: CancellationToken) -> anyhow::Result<()> {
    if std::io::stderr().is_terminal() {
        return Ok(());
    }
    let mut hangup = signal(SignalKind::hangup()).context("SIGHUP cannot be caught")?;
    tokio::spawn(async move {
        let mut last = reloader.started.clone();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                caught = hangup.recv() => if caught.is_none() { return },
            }
            last = reloader.reload(last);
        }
    });
    Ok(())
}

impl Reloader {
    /// Gives the configuration that is in force afterwards.
    fn reload(&self, last: Loaded) -> Loaded {
        let refuse = |error: &dyn std::fmt::Display| {
            tracing::error!(%error, "the configuration was NOT reloaded: the one in force stays; correct it and send SIGHUP again");
        };
        let new = match config::load(&self.args) {
            Ok(new) => new,
            Err(error) => {
                refuse(&error);
                return last;
            }
        };
        let changes = Changes::between(&last, &new);
        // The login first: it is the one thing that may yet turn out wrong. clouds.yaml may have changed while no key did.
        if let Err(error) = cloud::relogin(&self.cloud, &new.config.openstack) {
            refuse(&format!("[openstack]: {error:#}"));
            return last;
        }
        if let Err(error) = (self.set_filter)(&new.config.log.level) {
            refuse(&format!("log.level: {error}"));
            return last;
        }
        self.pace.take(&new.config);
        super::say_notices(&new);
        let after_restart = Changes::between(&self.started, &new).after_restart;
        tracing::info!(applied = changes.at_once.join(", "), "the configuration was reloaded");
        if !after_restart.is_empty() {
            tracing::warn!(keys = after_restart.join(", "), "these settings changed and need a restart; until then the old ones are in force");
        }
        if !changes.of_no_effect.is_empty() {
            tracing::warn!(keys = changes.of_no_effect.join(", "), "these settings only count when the objects named default are made: change those");
        }
        new
    }
}
