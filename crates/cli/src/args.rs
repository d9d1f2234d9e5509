//! The command line: every command, flag and default.

use clap::{Args, Parser, Subcommand, ValueEnum};
use secrecy::SecretString;
use std::{path::PathBuf, time::Duration};

// Words of a spec, written as in the spec.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
        #[value(rename_all = "PascalCase")]
        pub enum $name { $($(#[$variant_doc])* $variant),* }
        impl $name {
            /// As it stands in a spec.
            pub fn word(self) -> &'static str {
                match self { $($name::$variant => stringify!($variant)),* }
            }
        }
    };
}

mod attest;
mod audit;
mod decide;
mod declare;
mod hosts;
mod policy;
mod remediation;
mod server;

pub use attest::AttestArgs;
pub use audit::{AuditCommand, AuditListArgs};
pub use decide::{DecideArgs, ReplayArgs, Shape};
pub use declare::{ApplyArgs, DeclareArgs, DiffArgs, EditArgs, PruneArgs, SetArgs};
pub use hosts::{
    ConfirmedHostArgs, EvacuateArgs, Fence, FollowArgs, HostArgs, InitialiseArgs, LocalDisks, Method, Mode, PowerCommand, PowerStatusArgs,
    ShutdownArgs,
};
pub use policy::{PolicyCheckArgs, PolicyCommand, ScopeWord};
pub use remediation::HostNameArgs;
pub use server::{BackupArgs, DbCommand, DoctorArgs, DoctorFormat, FaultArgs, KeysCommand, SandboxArgs, SandboxCommand, SandboxRunArgs, ServerArgs};

/// Controls compute hosts of an OpenStack cloud: power, scheduling, draining, evacuation.
///
/// Data goes to standard output, words for people to standard error.
/// Exit codes: 0 done, 1 a condition is false or something differs, 2 usage, 3 not found, 4 not authenticated or not
/// allowed, 5 conflict, 6 timed out, 7 refused because it is not safe, 10 anything else.
#[derive(Debug, Parser)]
#[command(name = "cloud-manager", version, verbatim_doc_comment)]
pub struct Cli {
    /// Where the API is and who asks.
    #[command(flatten)]
    pub access: AccessArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Where the API is and who asks.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Access")]
pub struct AccessArgs {
    /// URL of the API; else from Keystone's catalogue, else http://127.0.0.1:9362.
    #[arg(long, global = true, env = "CLOUD_MANAGER_ENDPOINT", value_name = "URL")]
    pub endpoint: Option<String>,
    /// Cloud in clouds.yaml; else the OS_* variables.
    #[arg(long, global = true, value_name = "NAME")]
    pub os_cloud: Option<String>,
    /// Keystone token. Other users of this machine can see it here; OS_TOKEN hides it.
    #[arg(long, global = true, value_name = "TOKEN", value_parser = secret)]
    pub os_token: Option<SecretString>,
    /// Region in the catalogue.
    #[arg(long, global = true, value_name = "REGION")]
    pub os_region_name: Option<String>,
    /// public, internal or admin.
    #[arg(long, global = true, value_name = "INTERFACE")]
    pub os_interface: Option<String>,
    /// PEM file with further certificate authorities.
    #[arg(long, global = true, value_name = "FILE")]
    pub os_cacert: Option<PathBuf>,
    /// Do not check certificates; only for trying.
    #[arg(long, global = true)]
    pub insecure: bool,
}

fn secret(text: &str) -> Result<SecretString, std::convert::Infallible> {
    Ok(SecretString::from(text))
}

/// Every command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show objects: `get hosts`, `get host c1 -o yaml`, `get guests c1`
    Get(GetArgs),
    /// Show one object, what happened to it, and why nothing is happening
    Describe(ObjectArgs),
    /// Tell why nothing is happening, and what to do: of one host, or of the whole cloud
    Why(WhyArgs),
    /// Tell what would be begun without a person now, and why not more: for one host, or for the whole cloud. Does nothing
    Decide(DecideArgs),
    /// Run the decisions over what a controller recorded, and tell where they differ. Needs no server
    Replay(ReplayArgs),
    /// Make objects as files declare them; delete what they declare no longer; or follow a directory
    Apply(ApplyArgs),
    /// Show what `apply` would change. Exit code 0: nothing, 1: something, more: it could not be told
    Diff(DiffArgs),
    /// Delete what an ApplySet holds and files declare no longer, and apply nothing
    Prune(PruneArgs),
    /// Change an object in an editor
    Edit(EditArgs),
    /// Delete objects
    Delete(DeleteArgs),
    /// Show objects of a kind and each change, until interrupted
    Watch(WatchArgs),
    /// Wait until a condition of an object holds
    Wait(WaitArgs),
    /// Declare a host's power, or show it
    #[command(subcommand)]
    Power(PowerCommand),
    /// Get every guest off a host, alive or dead; may power it off
    Evacuate(EvacuateArgs),
    /// State that a host is dead whose BMC died with it, so that its guests may be rebuilt
    Attest(AttestArgs),
    /// Move guests away and power the host off
    Shutdown(ShutdownArgs),
    /// Move guests away by live migration; the host stays disabled until `enable`
    Drain(HostArgs),
    /// Let Nova place guests on a host; releases a fenced host
    Enable(HostArgs),
    /// Keep Nova from placing guests on a host
    Disable(HostArgs),
    /// Verify a host's power link, so that it may be used
    #[command(alias = "initialize")]
    Initialise(InitialiseArgs),
    /// Cancel a HostOperation, Evacuation or FenceAttestation, or all that is open on a host
    Cancel(CancelArgs),
    /// Begin nothing for a host without a person, neither a restart nor an evacuation, until `include`
    Exclude(HostNameArgs),
    /// End `exclude`
    Include(HostNameArgs),
    /// Let a recovered host be brought back whose policy asks for a person's approval
    Approve(HostNameArgs),
    /// Begin nothing disruptive anywhere until `thaw`
    Freeze,
    /// End `freeze`
    Thaw,
    /// Explain a kind or a field: `explain host`, `explain host.spec.power`
    Explain(ExplainArgs),
    /// Show who the token belongs to, and what it may do
    Whoami(WhoamiArgs),
    /// Who may what: print the rules, or check a file of rules. Needs no server
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Who did what: list the records, or look whether any was changed
    #[command(subcommand)]
    Audit(AuditCommand),
    /// The server's configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Run the API server and the controller in one process
    Run(ServerArgs),
    /// Run the API server alone
    ApiServer(ServerArgs),
    /// Run the controller alone
    Controller(ServerArgs),
    /// Run everything against a simulated cloud, or hurt that cloud
    Sandbox(SandboxArgs),
    /// The database: its schema, and backups
    #[command(subcommand)]
    Db(DbCommand),
    /// The keys that seal Credentials
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Check database, keys, clock, leader, OpenStack and power devices; let acts go on after a restore
    Doctor(DoctorArgs),
    /// Print what makes a shell complete these commands: `source <(cloud-manager completion bash)`
    Completion {
        /// The shell
        shell: CompletionShell,
    },
}

/// Shells that can complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CompletionShell {
    /// bash
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
}

/// How objects are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns.
    #[default]
    Table,
    /// More columns.
    Wide,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// kind/name.
    Name,
}

/// How `get` shows objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum GetFormat {
    /// Columns.
    #[default]
    Table,
    /// More columns.
    Wide,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// kind/name.
    Name,
    /// Columns, as comma-separated values.
    Csv,
    /// Columns, with nothing around them.
    Value,
}

impl GetFormat {
    /// The same where objects are not shown by columns that are picked.
    pub fn whole(self) -> Option<Format> {
        match self {
            GetFormat::Table => Some(Format::Table),
            GetFormat::Wide => Some(Format::Wide),
            GetFormat::Json => Some(Format::Json),
            GetFormat::Yaml => Some(Format::Yaml),
            GetFormat::Name => Some(Format::Name),
            GetFormat::Csv | GetFormat::Value => None,
        }
    }
}

/// `get`.
#[derive(Debug, Args)]
pub struct GetArgs {
    /// Kind, plural or short name; or `guests`
    pub kind: String,
    /// Names; all objects if none is given. With `guests`: the host
    pub names: Vec<String>,
    /// How; also `-f`, as for other OpenStack clients
    #[arg(short, long, value_enum, default_value_t, visible_short_alias = 'f', visible_alias = "format")]
    pub output: GetFormat,
    /// Only these columns, in this order; may be repeated
    #[arg(short = 'c', long = "column", value_name = "COLUMN")]
    pub columns: Vec<String>,
    /// Only objects with these labels: a=b,c!=d,e in (x,y)
    #[arg(short = 'l', long)]
    pub selector: Option<String>,
    /// Go on showing changes
    #[arg(short, long)]
    pub watch: bool,
}

/// `whoami`.
#[derive(Debug, Args)]
pub struct WhoamiArgs {
    /// How
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// One object.
#[derive(Debug, Args)]
pub struct ObjectArgs {
    /// Kind, plural or short name
    pub kind: String,
    /// Name
    pub name: String,
}

/// `why`.
#[derive(Debug, Args)]
pub struct WhyArgs {
    /// Name of the host; without, everything that waits or is held
    pub host: Option<String>,
}

/// `delete`.
#[derive(Debug, Args)]
#[command(override_usage = "cloud-manager delete KIND NAME...\n       cloud-manager delete -f FILE|DIR|-")]
pub struct DeleteArgs {
    /// Kind, plural or short name
    #[arg(required_unless_present = "files", conflicts_with = "files", requires = "names")]
    pub kind: Option<String>,
    /// Names
    pub names: Vec<String>,
    /// Delete the objects that these files name
    #[arg(short = 'f', long = "filename", value_name = "FILE|DIR|-")]
    pub files: Vec<String>,
    /// An object that is not there is no error
    #[arg(long)]
    pub ignore_not_found: bool,
}

/// `watch`.
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// Kind, plural or short name
    pub kind: String,
    /// Only this object
    pub name: Option<String>,
    /// How; json gives one {"type","object"} per line
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
    /// Only objects with these labels
    #[arg(short = 'l', long)]
    pub selector: Option<String>,
}

/// `wait`.
#[derive(Debug, Args)]
pub struct WaitArgs {
    /// Kind, plural or short name
    pub kind: String,
    /// Name
    pub name: String,
    /// condition=TYPE[=True|False|Unknown], or delete
    #[arg(long = "for", value_name = "WHAT")]
    pub condition: String,
    /// How long: 60s, 5m, 1h
    #[arg(long, default_value = "60s", value_parser = duration)]
    pub timeout: Duration,
}

/// `cancel`.
#[derive(Debug, Args)]
#[command(override_usage = "cloud-manager cancel KIND NAME\n       cloud-manager cancel HOST")]
pub struct CancelArgs {
    /// Kind of the object, or the host
    #[arg(value_name = "KIND|HOST")]
    pub kind_or_host: String,
    /// Name of the object
    pub name: Option<String>,
}

/// `explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Kind, or kind and field: host.spec.power
    pub path: String,
}

/// `config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print every value and where it came from; secrets as ***
    Dump(ServerArgs),
}

/// Reads `60s`, `5m`, `1h30m`, or plain seconds.
fn duration(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    let parsed = text.parse::<jiff::SignedDuration>().ok().and_then(|d| Duration::try_from(d).ok());
    parsed.ok_or_else(|| format!("'{text}' is no duration; write 60s, 5m or 1h"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(words: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(words.split(' '))
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, seconds) in [("60s", 60), ("5m", 300), ("1h30m", 5_400), ("90", 90)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert!(duration("soon").unwrap_err().contains("60s"));
        assert!(duration("-5s").is_err());
    }

    #[test]
    fn words_of_a_spec_are_written_as_in_the_spec() {
        let cli = parse("cloud-manager evacuate c1 --mode LiveMigrate --fence Forbidden --local-disks Rebuild --yes").unwrap();
        let Command::Evacuate(args) = cli.command else { panic!() };
        assert_eq!((args.mode.word(), args.fence.word(), args.local_disks.word(), args.yes), ("LiveMigrate", "Forbidden", "Rebuild", true));
        assert!(parse("cloud-manager sandbox fault c1 BmcUnreachable").is_ok());
    }

    #[test]
    fn deleting_nothing_is_a_usage_error() {
        assert!(parse("cloud-manager delete").is_err());
        assert!(parse("cloud-manager delete host").is_err());
        assert!(parse("cloud-manager delete host c1 c2").is_ok());
        assert!(parse("cloud-manager delete -f x.yaml").is_ok());
    }

    #[test]
    fn a_token_on_the_command_line_is_not_shown_by_debug() {
        let cli = parse("cloud-manager --os-token hunter2 get hosts").unwrap();
        assert!(!format!("{cli:?}").contains("hunter2"));
    }
}
