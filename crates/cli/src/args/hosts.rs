//! Commands about one host: its power, its guests, its links.

use super::{Format, duration};
use clap::{Args, Subcommand, ValueEnum};
use std::time::Duration;

/// `power`.
#[derive(Debug, Subcommand)]
pub enum PowerCommand {
    /// Declare a host on
    On(ConfirmedHostArgs),
    /// Declare a host off: it is disabled, drained, and powered off once it is empty
    Off(ConfirmedHostArgs),
    /// Show the power of a host, per link
    Status(PowerStatusArgs),
}

/// `power status`.
#[derive(Debug, Args)]
pub struct PowerStatusArgs {
    /// Name of the host
    pub host: String,
    /// How
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// A host, and no question asked.
#[derive(Debug, Args)]
pub struct ConfirmedHostArgs {
    /// Name of the host
    pub host: String,
    /// Do not ask; needed without a terminal
    #[arg(short, long)]
    pub yes: bool,
}

/// Whether to stay until it is over.
#[derive(Debug, Args)]
pub struct FollowArgs {
    /// Stay until it is over; the exit code tells how it ended
    #[arg(long)]
    pub wait: bool,
    /// How long to stay: 60s, 5m, 1h
    #[arg(long, default_value = "1h", value_parser = duration)]
    pub timeout: Duration,
}

/// A host.
#[derive(Debug, Args)]
pub struct HostArgs {
    /// Name of the host
    pub host: String,
    #[command(flatten)]
    pub follow: FollowArgs,
}

/// `evacuate`.
#[derive(Debug, Args)]
pub struct EvacuateArgs {
    /// Name of the host
    pub host: String,
    /// How guests leave: Auto drains a host that lives and rebuilds the guests of a dead one
    #[arg(long, value_enum, default_value_t)]
    pub mode: Mode,
    /// Whether the host may be powered off to prove it dead
    #[arg(long, value_enum, default_value_t)]
    pub fence: Fence,
    /// Guests whose disk is on the host: left there, or rebuilt from their image with the disk lost
    #[arg(long, value_enum, default_value_t)]
    pub local_disks: LocalDisks,
    /// Only show where its guests would go if it were dead now, and which would stay and why
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask; needed without a terminal
    #[arg(short, long)]
    pub yes: bool,
    #[command(flatten)]
    pub follow: FollowArgs,
}

words!(
    /// `spec.mode` of an Evacuation.
    Mode {
        /// Live migration if it lives, rebuild if it is dead, wait if in doubt.
        #[default]
        Auto,
        /// Live migration only.
        LiveMigrate,
        /// Fence the host and rebuild, alive or not.
        Rebuild,
    }
);
words!(
    /// `spec.fence` of an Evacuation.
    Fence {
        /// It may be powered off.
        #[default]
        IfNeeded,
        /// It may not: only a host that reads off is rebuilt.
        Forbidden,
    }
);
words!(
    /// `spec.localDisks` of an Evacuation.
    LocalDisks {
        /// They stay, each named.
        #[default]
        Refuse,
        /// They start anew; what was on the disk is lost.
        Rebuild,
    }
);
words!(
    /// `spec.method` of a HostOperation of type Initialise.
    Method {
        /// By what the BMC says of its system.
        #[default]
        Identity,
        /// By power-cycling the empty host.
        Cycle,
        /// You state that the link is right.
        Attestation,
    }
);
/// `shutdown`.
#[derive(Debug, Args)]
pub struct ShutdownArgs {
    /// Name of the host
    pub host: String,
    /// Guests that cannot be moved are shut down and stay; else they hold the shutdown
    #[arg(long)]
    pub allow_off_vm: bool,
    /// Do not ask; needed without a terminal
    #[arg(short, long)]
    pub yes: bool,
    #[command(flatten)]
    pub follow: FollowArgs,
}

/// `initialise`.
#[derive(Debug, Args)]
pub struct InitialiseArgs {
    /// Name of the host
    pub host: String,
    /// PowerLink; may be left out if the host has one
    #[arg(long)]
    pub link: Option<String>,
    /// How
    #[arg(long, value_enum, default_value_t)]
    pub method: Method,
    /// Do not ask; needed without a terminal for Cycle and Attestation
    #[arg(short, long)]
    pub yes: bool,
    #[command(flatten)]
    pub follow: FollowArgs,
}
