//! `exclude`, `include`, `approve`: what is done for one host without a person.

use super::{modify, own_kind};
use crate::{
    args::HostNameArgs,
    output::{self, Failure},
};
use ::client::{
    Client, Exit,
    object::{condition, text},
};
use schemas::v1::reasons;

/// Sets `spec.remediation` of the Host.
pub async fn remediation(client: &Client, args: HostNameArgs, wanted: &str) -> Result<Exit, Failure> {
    // What is not there is the usual.
    let is = |object: &serde_json::Value| object["spec"]["remediation"].as_str().unwrap_or("ByPolicy").to_string();
    let changed = modify(client, own_kind("Host")?, &args.host, |host| {
        if is(host) != wanted {
            host["spec"]["remediation"] = wanted.into();
        }
    })
    .await?;
    let already = if changed.is_none() { " already" } else { "" };
    output::data(&format!("host/{} remediation: {wanted}{already} declared", args.host));
    if wanted == "Excluded" {
        output::note("Nothing is begun for it without a person. What was begun ends before it was fenced; afterwards it sends no new request.");
    }
    Ok(Exit::Ok)
}

/// Lets the one recovery of the host that has ended be followed by a return.
pub async fn approve(client: &Client, args: HostNameArgs) -> Result<Exit, Failure> {
    let kind = own_kind("Host")?;
    let host = client.get(kind.plural, &args.host).await?;
    let availability = &host.status["availability"];
    let (state, evacuation) = (text(&availability["state"]), text(&availability["evacuation"]));
    if state != "Recovered" || evacuation.is_empty() {
        let message = format!(
            "host {} is {}, so there is no return to approve; nothing was done. An approval is given after a recovery, when `why {}` says ApprovalRequired.",
            args.host,
            if state.is_empty() { "not judged yet" } else { state },
            args.host
        );
        return Err(Failure::new(Exit::Conflict, message));
    }
    let changed = modify(client, kind, &args.host, |host| host["spec"]["approvedReturn"] = evacuation.into()).await?;
    let already = if changed.is_none() { " already" } else { "" };
    output::data(&format!("host/{} return after evacuation/{evacuation} approved{already}", args.host));
    if condition(&host, "RemediationAllowed").is_none_or(|c| c.reason != reasons::APPROVAL_REQUIRED) {
        output::note(&format!("Something else may keep it from coming back: cloud-manager why {}", args.host));
    }
    Ok(Exit::Ok)
}
