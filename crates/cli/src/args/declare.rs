//! Declaring objects in files: `apply`, `diff`, `prune`, `edit`.

use super::duration;
use clap::Args;
use std::{path::PathBuf, time::Duration};

/// By whom something is declared, and as what.
#[derive(Debug, Args)]
pub struct DeclareArgs {
    /// Who declares the fields: what is left out next time goes, unless others declare it too [default: cloud-manager; with --watch gitops]
    #[arg(long, value_name = "NAME")]
    pub field_manager: Option<String>,
    /// Take over fields that others own, and objects of other sets
    #[arg(long)]
    pub force_conflicts: bool,
    /// The set that they are applied as
    #[command(flatten)]
    pub set: SetArgs,
}

/// The set that objects are applied as.
#[derive(Debug, Args)]
pub struct SetArgs {
    /// Name of the ApplySet that remembers what was declared; it is made if it is not there
    #[arg(long = "applyset", value_name = "NAME")]
    pub name: Option<String>,
    /// So many objects may be deleted because they are declared no longer; else 3, or a tenth of the set
    #[arg(long, value_name = "N", requires = "name")]
    pub max_deletes: Option<u32>,
    /// What is applied, noted on the set; else the commit of the Git checkout that the files are in
    #[arg(long, value_name = "ID", requires = "name")]
    pub revision: Option<String>,
    /// Apply also what is not newer than what the set has: to go back, or after the history was rewritten
    #[arg(long, requires = "name")]
    pub any_revision: bool,
}

/// `apply`.
#[derive(Debug, Args)]
#[command(
    override_usage = "cloud-manager apply -f FILE|DIR|-\n       cloud-manager apply -f DIR --applyset NAME --prune\n       cloud-manager apply --applyset NAME --prune --watch DIR"
)]
pub struct ApplyArgs {
    /// YAML or JSON file, directory of such files, or - for standard input; may be repeated
    #[arg(short = 'f', long = "filename", value_name = "FILE|DIR|-", required_unless_present = "watch")]
    pub files: Vec<String>,
    /// By whom, and as what
    #[command(flatten)]
    pub declare: DeclareArgs,
    /// Delete what the set had, and what is declared no longer
    #[arg(long, requires = "name")]
    pub prune: bool,
    /// Do not ask before something is deleted
    #[arg(long)]
    pub yes: bool,
    /// Only show what would be done; the server checks everything, and writes nothing
    #[arg(long, value_name = "server", num_args = 0..=1, require_equals = true, default_missing_value = "server", value_parser = ["server"])]
    pub dry_run: Option<String>,
    /// Apply this directory whenever it changes, and look whether all still stands so, until interrupted
    #[arg(long, value_name = "DIR", requires = "name", conflicts_with_all = ["files", "dry_run", "revision"])]
    pub watch: Option<PathBuf>,
    /// With --watch: how often
    #[arg(long, default_value = "30s", value_parser = duration)]
    pub interval: Duration,
    /// How long to wait for what was deleted to be gone
    #[arg(long, default_value = "60s", value_parser = duration)]
    pub timeout: Duration,
}

/// `diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// YAML or JSON file, directory of such files, or - for standard input; may be repeated
    #[arg(short = 'f', long = "filename", value_name = "FILE|DIR|-", required = true)]
    pub files: Vec<String>,
    /// By whom, and as what
    #[command(flatten)]
    pub declare: DeclareArgs,
    /// Show also what the set had, and what is declared no longer
    #[arg(long, requires = "name")]
    pub prune: bool,
    /// Say also what would be done next about each object that would change, all else as it stands
    #[arg(long)]
    pub explain: bool,
}

/// `prune`.
#[derive(Debug, Args)]
pub struct PruneArgs {
    /// YAML or JSON file, directory of such files, or - for standard input; may be repeated
    #[arg(short = 'f', long = "filename", value_name = "FILE|DIR|-", required = true)]
    pub files: Vec<String>,
    /// By whom, and as what
    #[command(flatten)]
    pub declare: DeclareArgs,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// Only show what would be done
    #[arg(long, value_name = "server", num_args = 0..=1, require_equals = true, default_missing_value = "server", value_parser = ["server"])]
    pub dry_run: Option<String>,
    /// How long to wait for what was deleted to be gone
    #[arg(long, default_value = "60s", value_parser = duration)]
    pub timeout: Duration,
}

/// `edit`.
#[derive(Debug, Args)]
pub struct EditArgs {
    /// Kind, plural or short name
    pub kind: String,
    /// Name
    pub name: String,
}
