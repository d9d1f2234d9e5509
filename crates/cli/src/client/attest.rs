//! `attest`: a person's word that a host is dead (I4).

use super::{
    confirm::confirm,
    host::{Guests, links},
    operate, own_kind, text,
};
use crate::{
    args::AttestArgs,
    output::{self, Failure, table::now},
};
use ::client::{Client, Exit};
use schemas::DynObject;
use serde_json::json;

pub async fn attest(client: &Client, args: AttestArgs) -> Result<Exit, Failure> {
    let host = client.get(own_kind("Host")?.plural, &args.host).await?;
    let present = host.status["epoch"].as_i64().unwrap_or(0).max(1);
    let epoch = args.epoch.unwrap_or(present);
    let guests = Guests::of(client, &args.host).await;
    let seconds = i64::try_from(args.expires_in.as_secs()).unwrap_or(i64::MAX);
    let expires_at = now().plus_seconds(seconds);
    confirm(args.yes, &plan(&host, epoch, present, &guests, &expires_at.to_string()))?;
    let spec = json!({"hostRef": {"name": args.host}, "powerEpoch": epoch, "statement": args.statement, "expiresAt": expires_at});
    let name = operate::make(client, own_kind("FenceAttestation")?, "attest", &args.host, spec).await?;
    output::note(&format!("It counts for power epoch {epoch} until {expires_at}. Withdraw it: cloud-manager cancel fenceattestation {name}"));
    Ok(Exit::Ok)
}

fn plan(host: &DynObject, epoch: i64, present: i64, guests: &Guests, until: &str) -> String {
    let name = &host.metadata.name;
    let mut plan = vec![
        format!("You state that HOST {name} IS DEAD AND STAYS SO: that no guest runs on it, and that nobody powers it on."),
        format!("Its power links: {}. It is in power epoch {present}; the statement is about epoch {epoch}, and counts until {until}.", links(host)),
        format!(
            "Where its power cannot be read, an evacuation takes this for the proof: its guests ({}) are then STARTED ON OTHER HOSTS. If the host lives, they run twice and their disks are damaged.",
            guests.counted()
        ),
        "It does nothing against a link that reads on or a service that reports, and ends at the host's first sign of life.".into(),
    ];
    if host.status["nova"]["state"] == "up" {
        plan.push(format!("NOVA CALLS ITS SERVICE UP NOW ({}).", text(&host.status["nova"]["liveness"])));
    }
    plan.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_names_the_epoch_what_it_allows_and_a_service_that_is_up() {
        let mut host = DynObject::new("Host", "c1", json!({}));
        host.status = json!({"epoch": 4, "nova": {"state": "up", "liveness": "Alive"},
            "power": {"links": [{"name": "c1-bmc", "state": "Unknown", "verified": true}]}});
        let text = plan(&host, 3, 4, &Guests::none(), "2026-01-01T00:00:00Z");
        for part in [
            "c1 IS DEAD",
            "c1-bmc (Unknown, verified)",
            "in power epoch 4",
            "about epoch 3",
            "STARTED ON OTHER HOSTS",
            "NOVA CALLS ITS SERVICE UP NOW (Alive)",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
