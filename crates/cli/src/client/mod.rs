//! The client commands: one file per group, nothing but the API behind them.

mod apply;
mod attest;
mod audit;
mod batch;
mod cancel;
mod checkout;
mod confirm;
mod decide;
mod delete;
mod describe;
mod diff;
mod edit;
mod explain;
mod follow;
mod get;
mod gitops;
mod host;
mod lease;
mod manifest;
mod operate;
mod policy;
mod power;
mod remediation;
pub mod replay;
pub mod rules;
pub mod sandbox;
mod wait;
mod whoami;

use crate::{
    args::{AccessArgs, AuditCommand, Command, WatchArgs},
    output::{self, Failure},
};
use ::client::{
    AuthOptions, Client, Environment, Error, Exit, Options,
    object::{condition, ended, text},
};
use schemas::{DynObject, KindInfo, kinds};
use serde_json::Value;

/// Runs a client command.
pub async fn dispatch(access: AccessArgs, command: Command) -> Result<Exit, Failure> {
    let client = connect(access).await?;
    let result = match command {
        Command::Get(args) => get::get(&client, args).await,
        Command::Describe(args) => describe::describe(&client, &args.kind, &args.name).await,
        Command::Why(args) => match args.host {
            Some(host) => describe::why_host(&client, &host).await,
            None => describe::why_cloud(&client).await,
        },
        Command::Decide(args) => decide::decide(&client, args).await,
        Command::Apply(args) => apply::apply(&client, args).await,
        Command::Diff(args) => diff::diff(&client, args).await,
        Command::Prune(args) => apply::prune(&client, args).await,
        Command::Edit(args) => edit::edit(&client, args).await,
        Command::Delete(args) => delete::delete(&client, args).await,
        Command::Watch(WatchArgs { kind, name, output, selector }) => {
            let info = find_kind(&kind)?;
            get::watch(&client, info, name.as_deref(), selector.as_deref(), output, true).await
        }
        Command::Wait(args) => wait::wait(&client, args).await,
        Command::Power(command) => power::power(&client, command).await,
        Command::Evacuate(args) => operate::evacuate(&client, args).await,
        Command::Attest(args) => attest::attest(&client, args).await,
        Command::Shutdown(args) => operate::shutdown(&client, args).await,
        Command::Drain(args) => operate::simple(&client, "Drain", args).await,
        Command::Enable(args) => operate::simple(&client, "Enable", args).await,
        Command::Disable(args) => operate::simple(&client, "Disable", args).await,
        Command::Initialise(args) => operate::initialise(&client, args).await,
        Command::Cancel(args) => cancel::cancel(&client, args).await,
        Command::Exclude(args) => remediation::remediation(&client, args, "Excluded").await,
        Command::Include(args) => remediation::remediation(&client, args, "ByPolicy").await,
        Command::Approve(args) => remediation::approve(&client, args).await,
        Command::Freeze => policy::operations(&client, "Frozen").await,
        Command::Thaw => policy::operations(&client, "Normal").await,
        Command::Audit(AuditCommand::List(args)) => audit::list(&client, &args).await,
        Command::Whoami(args) => whoami::whoami(&client, &args).await,
        Command::Explain(args) => explain::explain(&client, &args.path).await,
        Command::Run(_)
        | Command::ApiServer(_)
        | Command::Controller(_)
        | Command::Sandbox(_)
        | Command::Config(_)
        | Command::Replay(_)
        | Command::Policy(_)
        | Command::Audit(AuditCommand::Verify(_))
        | Command::Db(_)
        | Command::Keys(_)
        | Command::Doctor(_)
        | Command::Completion { .. } => Err(Failure::new(Exit::Internal, "a server command came to the client; this is a bug")),
    };
    for warning in client.take_warnings() {
        output::note(&format!("warning: {warning}"));
    }
    result
}

async fn connect(access: AccessArgs) -> Result<Client, Failure> {
    let options = AuthOptions {
        cloud: access.os_cloud,
        token: access.os_token,
        region: access.os_region_name,
        interface: access.os_interface,
        ca_file: access.os_cacert,
        insecure: access.insecure,
    };
    let resolved = options.resolve(&Environment::of_process())?;
    let endpoint = access.endpoint.filter(|e| !e.is_empty()).map(|e| (e, "--endpoint or CLOUD_MANAGER_ENDPOINT"));
    Ok(Client::connect(Options { endpoint, access: resolved }).await?)
}

/// Finds a kind by any of its names.
fn find_kind(word: &str) -> Result<&'static KindInfo, Failure> {
    kinds::find(word).ok_or_else(|| {
        let known: Vec<&str> = kinds::KINDS.iter().map(|k| k.plural).collect();
        Failure::usage(format!("there is no kind '{word}'; there are {}", known.join(", ")))
    })
}

/// The columns and plurals of kinds that commands name themselves.
fn own_kind(kind: &str) -> Result<&'static KindInfo, Failure> {
    kinds::find(kind).ok_or_else(|| Failure::new(Exit::Internal, format!("this program does not know its own kind {kind}")))
}

/// Reads an object, changes it, writes it; once more if somebody else was faster. `None` if the
/// change changes nothing.
async fn modify(client: &Client, kind: &KindInfo, name: &str, change: impl Fn(&mut Value)) -> Result<Option<DynObject>, Error> {
    let mut tries = 0;
    loop {
        let live = output::value(&client.get(kind.plural, name).await?);
        let mut wanted = live.clone();
        change(&mut wanted);
        if wanted == live {
            return Ok(None);
        }
        match client.update(kind.plural, name, &wanted).await {
            Err(e) if tries == 0 && was_faster(&e) => tries += 1,
            other => return other.map(Some),
        }
    }
}

/// Whether the write failed only because the object changed in between.
fn was_faster(error: &Error) -> bool {
    match error {
        Error::Api(e) => e.status == 412 || (e.status == 409 && matches!(e.code.as_str(), "conflict" | "already-exists" | "")),
        _ => false,
    }
}
