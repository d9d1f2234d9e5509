//! `attest`.

use super::duration;
use clap::Args;
use std::time::Duration;

/// `attest`.
#[derive(Debug, Args)]
pub struct AttestArgs {
    /// Name of the host
    pub host: String,
    /// What was seen, by whom and where; kept with your name
    #[arg(long, value_name = "TEXT")]
    pub statement: String,
    /// For how long the statement counts: 30m, 1h, at most 24h
    #[arg(long, default_value = "1h", value_parser = duration, value_name = "DURATION")]
    pub expires_in: Duration,
    /// Power epoch that it is about; the host's present one if left out
    #[arg(long, value_name = "N")]
    pub epoch: Option<i64>,
    /// Do not ask; needed without a terminal
    #[arg(short, long)]
    pub yes: bool,
}
