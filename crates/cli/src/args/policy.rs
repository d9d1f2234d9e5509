//! `policy`.

use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// `policy`.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Print all rules as a policy.yaml that changes nothing
    Generate,
    /// Tell what is wrong in a policy.yaml, or what a token may do by it
    Check(PolicyCheckArgs),
}

/// `policy check`.
#[derive(Debug, Args)]
pub struct PolicyCheckArgs {
    /// The file; - for standard input
    pub file: PathBuf,
    /// A role that the token has; may be repeated. With none of these flags only errors are told
    #[arg(long = "role", value_name = "ROLE")]
    pub roles: Vec<String>,
    /// What the token is bound to [default: project]
    #[arg(long, value_enum)]
    pub scope: Option<ScopeWord>,
    /// Id of its project
    #[arg(long, value_name = "ID")]
    pub project_id: Option<String>,
    /// Id of its user
    #[arg(long, value_name = "ID")]
    pub user_id: Option<String>,
    /// Its project is Keystone's admin project
    #[arg(long)]
    pub admin_project: bool,
}

/// What a token is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScopeWord {
    /// One project.
    Project,
    /// The whole cloud.
    System,
    /// Nothing.
    None,
}
