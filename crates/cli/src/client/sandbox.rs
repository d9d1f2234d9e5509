//! `sandbox fault`: hurting the simulated cloud of a running sandbox.

use crate::{
    args::FaultArgs,
    output::{self, Failure},
};
use ::client::{AuthOptions, Client, Environment, Exit, Options};
use serde_json::json;

pub async fn fault(args: FaultArgs) -> Result<Exit, Failure> {
    // The simulated cloud asks for no login here, and must not be shown a real one.
    let access = AuthOptions::default().resolve(&Environment::default())?;
    let client = Client::connect(Options { endpoint: Some((args.cloud, "--cloud")), access }).await?;
    client.post_raw("/sandbox/faults", &json!({"host": args.host, "fault": args.fault.word()})).await?;
    output::data(&format!("host/{} fault: {}", args.host, args.fault.word()));
    Ok(Exit::Ok)
}
