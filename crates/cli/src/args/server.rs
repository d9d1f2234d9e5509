//! Flags of the server roles and of the sandbox.

use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Configuration file, and flags that win over it and over the environment.
#[derive(Clone, Debug, Default, Args)]
pub struct ServerArgs {
    /// TOML file [default: /etc/cloud-manager/cloud-manager.toml if it is there]
    #[arg(long, env = "CLOUD_MANAGER_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// INI file in the manner of oslo.config; may be repeated, the later wins
    /// [default: /etc/aos/aos.conf, then /etc/aos/cloud_manager.conf, if they are there]
    #[arg(long, value_name = "FILE")]
    pub config_file: Vec<PathBuf>,
    /// Directory of INI files, *.conf, read in the order of their names after those of --config-file
    #[arg(long, value_name = "DIR")]
    pub config_dir: Vec<PathBuf>,
    /// api.listen: address and port of the API
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<String>,
    /// api.metrics_listen: address and port of /metrics
    #[arg(long, value_name = "ADDR:PORT")]
    pub metrics_listen: Option<String>,
    /// database.url; one with a password belongs in the file
    #[arg(long, value_name = "URL")]
    pub database_url: Option<String>,
    /// log.level: error, warn, info, debug, trace, or a filter per target
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// log.format: text or json
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
}

/// `sandbox`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct SandboxArgs {
    /// Hurt a running sandbox's cloud instead.
    #[command(subcommand)]
    pub command: Option<SandboxCommand>,
    #[command(flatten)]
    pub run: SandboxRunArgs,
}

/// Size and place of a sandbox.
#[derive(Clone, Debug, Args)]
pub struct SandboxRunArgs {
    /// Simulated compute hosts
    #[arg(long, default_value_t = 20)]
    pub hosts: u32,
    /// Simulated guests
    #[arg(long, default_value_t = 200)]
    pub guests: u32,
    /// Address and port of the API
    #[arg(long, default_value = "127.0.0.1:9362", value_name = "ADDR:PORT")]
    pub listen: String,
    /// Address and port of the simulated cloud
    #[arg(long, default_value = "127.0.0.1:9350", value_name = "ADDR:PORT")]
    pub cloud_listen: String,
    /// Where the database, openrc and clouds.yaml go [default: a new temporary directory]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Same seed, same cloud
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// `sandbox fault`.
#[derive(Debug, Subcommand)]
pub enum SandboxCommand {
    /// Hurt a host of the simulated cloud, or heal it
    Fault(FaultArgs),
}

/// `sandbox fault`.
#[derive(Debug, Args)]
pub struct FaultArgs {
    /// Name of the host
    pub host: String,
    /// What happens to it
    #[arg(value_enum)]
    pub fault: Fault,
    /// URL of the simulated cloud
    #[arg(long, default_value = "http://127.0.0.1:9350", value_name = "URL")]
    pub cloud: String,
}

/// `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// You looked at Nova and at the power of hosts: acts may go on
    #[arg(long)]
    pub accept: bool,
    /// Do not read the power devices
    #[arg(long)]
    pub no_bmc: bool,
    /// How
    #[arg(short, long, value_enum, default_value_t)]
    pub output: DoctorFormat,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// How findings are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DoctorFormat {
    /// One line each, and what to do.
    #[default]
    Table,
    /// JSON.
    Json,
}

/// `db backup`.
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// File to write; it must not be there yet
    pub file: PathBuf,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// `keys`.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Show the keys, in order, and how many Credentials each one sealed
    List(ServerArgs),
    /// Add a new key: it opens, and does not seal yet
    Add(ServerArgs),
    /// Seal with another key from now on, and seal every Credential anew with it
    Rotate {
        /// The key, as `keys list` shows it
        #[arg(value_name = "KEY")]
        id: String,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Remove keys that seal nothing any more
    Prune {
        /// The keys [default: all that seal nothing]
        ids: Vec<String>,
        #[command(flatten)]
        server: ServerArgs,
    },
}

impl KeysCommand {
    /// The configuration's flags.
    pub fn server(&self) -> &ServerArgs {
        match self {
            KeysCommand::List(server) | KeysCommand::Add(server) | KeysCommand::Rotate { server, .. } | KeysCommand::Prune { server, .. } => server,
        }
    }
}

/// `db`.
#[derive(Debug, Subcommand)]
pub enum DbCommand {
    /// Bring the schema to the newest version, or to another one
    Migrate {
        /// Number of the version; an older one takes the later ones back
        #[arg(long, value_name = "N")]
        migration: Option<u32>,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// List the versions this program knows
    List(ServerArgs),
    /// Show which version the database has
    Status(ServerArgs),
    /// Copy the database to a file while servers run
    Backup(BackupArgs),
}

words!(
    /// Faults of the sandbox's cloud.
    Fault {
        /// The host stops dead, its BMC still answers.
        Crash,
        /// nova-compute stops, guests run on.
        NovaComputeDown,
        /// The BMC does not answer.
        BmcUnreachable,
        /// All is well again.
        #[default]
        None,
    }
);
