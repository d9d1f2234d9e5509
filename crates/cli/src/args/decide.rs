//! `decide` and `replay`.

use clap::{Args, ValueEnum};

/// How an answer is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Shape {
    /// Sentences.
    #[default]
    Text,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

/// `decide`.
#[derive(Debug, Args)]
pub struct DecideArgs {
    /// Name of the host; without, the whole cloud
    pub host: Option<String>,
    /// RemediationPolicies to try out: laid over those that there are; nothing is written. May be repeated
    #[arg(long = "policy", value_name = "FILE|DIR|-")]
    pub policies: Vec<String>,
    /// How
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Shape,
}

/// `replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// decisions.jsonl of a controller's state directory; or the directory, for all that is kept there
    pub file: std::path::PathBuf,
    /// Only this host and the policies
    #[arg(long)]
    pub host: Option<String>,
    /// RemediationPolicies to try out: laid over the recorded ones, to see what would have been done under them. May be repeated
    #[arg(long = "policy", value_name = "FILE|DIR|-")]
    pub policies: Vec<String>,
    /// How; json gives one object per line
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Shape,
}
