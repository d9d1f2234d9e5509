//! `exclude`, `include`, `approve`.

use clap::Args;

/// `exclude`, `include`, `approve`.
#[derive(Debug, Args)]
pub struct HostNameArgs {
    /// Name of the host
    pub host: String,
}
