//! `audit`.

use super::{Format, ServerArgs};
use clap::{Args, Subcommand};

/// `audit`.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Show records, newest first
    List(AuditListArgs),
    /// Look at the whole chain in the database: whether a record was changed, removed or moved. Needs the key file
    Verify(ServerArgs),
}

/// `audit list`.
#[derive(Debug, Args)]
pub struct AuditListArgs {
    /// Only about this KIND/NAME: a host with all that was done on it, a power device with its actions
    #[arg(long, value_name = "KIND/NAME")]
    pub target: Option<String>,
    /// Only of this user (id) or controller
    #[arg(long, value_name = "ID")]
    pub initiator: Option<String>,
    /// Only this action: create, update, delete, start, stop, update/evacuate
    #[arg(long, value_name = "ACTION")]
    pub action: Option<String>,
    /// Only with this outcome: success, failure, pending, unknown
    #[arg(long, value_name = "OUTCOME")]
    pub outcome: Option<String>,
    /// Only before this record: ar-000000000042
    #[arg(long, value_name = "NAME")]
    pub before: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub limit: u32,
    /// How
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}
