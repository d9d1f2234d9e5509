//! `cancel`.

use super::{find_kind, get::open_of_host, modify, own_kind};
use crate::{
    args::CancelArgs,
    output::{self, Failure},
};
use ::client::{Client, Exit};
use schemas::KindInfo;

pub async fn cancel(client: &Client, args: CancelArgs) -> Result<Exit, Failure> {
    let Some(name) = &args.name else { return cancel_host(client, &args.kind_or_host).await };
    let kind = find_kind(&args.kind_or_host)?;
    if !kind.one_shot {
        return Err(Failure::usage(format!(
            "a {} cannot be cancelled; HostOperations, Evacuations, FenceAttestations and FenceDrills can",
            kind.kind
        )));
    }
    let object = client.get(kind.plural, name).await?;
    if super::ended(&object) {
        output::note(&format!("{} has ended already.", output::short(kind.kind, name)));
        return Ok(Exit::Ok);
    }
    request(client, kind, name).await?;
    Ok(Exit::Ok)
}

async fn cancel_host(client: &Client, host: &str) -> Result<Exit, Failure> {
    let mut count = 0;
    for kind in ["HostOperation", "Evacuation", "FenceAttestation"] {
        for object in open_of_host(client, kind, host).await? {
            request(client, own_kind(kind)?, &object.metadata.name).await?;
            count += 1;
        }
    }
    if count == 0 {
        // A wrong name must not look like success.
        client.get(own_kind("Host")?.plural, host).await?;
        output::note(&format!("Nothing is open on host {host}."));
    }
    Ok(Exit::Ok)
}

async fn request(client: &Client, kind: &KindInfo, name: &str) -> Result<(), Failure> {
    let id = output::short(kind.kind, name);
    match modify(client, kind, name, |object| object["spec"]["cancel"] = "Requested".into()).await? {
        Some(_) => output::data(&format!("{id} is being cancelled")),
        None => output::data(&format!("{id} is being cancelled already")),
    }
    output::note("Nothing new is begun; what is under way is settled first.");
    Ok(())
}
