//! `cloud-manager`: the one binary, client and server roles.

mod args;
mod client;
mod config;
mod output;
mod server;

use ::client::Exit;
use args::{AuditCommand, Cli, Command, CompletionShell, ConfigCommand, SandboxCommand};
use clap::{CommandFactory, Parser};
use output::Failure;
use std::process::ExitCode;

/// glibc keeps what many threads freed: with 1,000 hosts more than twice the memory stays resident.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return finish(Err(Failure::new(Exit::Internal, format!("the async runtime cannot be started: {e}")))),
    };
    finish(runtime.block_on(dispatch(cli)))
}

async fn dispatch(cli: Cli) -> Result<Exit, Failure> {
    let served = match cli.command {
        Command::Run(args) => server::run(args).await,
        Command::ApiServer(args) => server::api_server(args).await,
        Command::Controller(args) => server::controller(args).await,
        Command::Db(command) => server::db(command).await,
        Command::Keys(command) => server::keys(command).await,
        Command::Doctor(args) => return server::doctor(args).await,
        Command::Completion { shell } => {
            output::data(completion(shell).trim_end());
            return Ok(Exit::Ok);
        }
        Command::Sandbox(args) => match args.command {
            Some(SandboxCommand::Fault(fault)) => return client::sandbox::fault(fault).await,
            None => server::sandbox(args.run).await,
        },
        Command::Config(ConfigCommand::Dump(args)) => {
            output::data(&server::config_dump(&args).await?);
            return Ok(Exit::Ok);
        }
        Command::Audit(AuditCommand::Verify(args)) => return server::audit_verify(args).await,
        Command::Policy(command) => return client::rules::run(command),
        Command::Replay(args) => return client::replay::replay(&args),
        command => return client::dispatch(cli.access, command).await,
    };
    served.map(|()| Exit::Ok).map_err(Failure::from)
}

/// The script for a shell, made from the very definition of the commands.
fn completion(shell: CompletionShell) -> String {
    use clap_complete::Shell;
    let shell = match shell {
        CompletionShell::Bash => Shell::Bash,
        CompletionShell::Zsh => Shell::Zsh,
        CompletionShell::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "cloud-manager", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

fn finish(result: Result<Exit, Failure>) -> ExitCode {
    let exit = result.unwrap_or_else(|failure| {
        output::note(&format!("error: {}", failure.message));
        failure.exit
    });
    ExitCode::from(exit as u8)
}
