//! `power on|off|status`: one truth for power, the host's spec (S12).

use super::{confirm::confirm, host::Guests, modify, operate, own_kind, text};
use crate::{
    args::{ConfirmedHostArgs, Format, PowerCommand, PowerStatusArgs},
    output::{self, Failure, Table},
};
use ::client::{Client, Exit};
use schemas::DynObject;
use serde_json::json;

pub async fn power(client: &Client, command: PowerCommand) -> Result<Exit, Failure> {
    match command {
        PowerCommand::On(args) => on(client, args).await,
        PowerCommand::Off(args) => off(client, args).await,
        PowerCommand::Status(args) => status(client, args).await,
    }
}

async fn on(client: &Client, args: ConfirmedHostArgs) -> Result<Exit, Failure> {
    let kind = own_kind("Host")?;
    let host = client.get(kind.plural, &args.host).await?;
    declare(client, &args.host, "On").await?;
    // While the latch holds, the spec is not enforced; an operator's PowerOn releases it (S10).
    if host.status["fence"].is_object() {
        let by = text(&host.status["fence"]["by"]);
        output::note(&format!("Host {} was fenced by {by} and is held down until an operator releases it: a PowerOn does that.", args.host));
        operate::create(client, "PowerOn", &args.host, json!({})).await?;
    }
    Ok(Exit::Ok)
}

async fn off(client: &Client, args: ConfirmedHostArgs) -> Result<Exit, Failure> {
    let kind = own_kind("Host")?;
    let host = client.get(kind.plural, &args.host).await?;
    if host.spec["power"] == "Off" {
        output::data(&format!("host/{} power: Off already declared", args.host));
        return Ok(Exit::Ok);
    }
    let guests = Guests::of(client, &args.host).await;
    confirm(args.yes, &plan_off(&host, &guests))?;
    declare(client, &args.host, "Off").await?;
    output::note(&format!("See where it stands: cloud-manager describe host {}", args.host));
    Ok(Exit::Ok)
}

fn plan_off(host: &DynObject, guests: &Guests) -> String {
    let name = &host.metadata.name;
    let running = match host.spec["guestsOnPowerOff"].as_str() {
        Some("Stop") => "its running guests are shut down and stay on it",
        Some("Wait") => "nothing is done to its running guests, and the power-off waits until they are gone",
        _ => "its running guests are live-migrated to other hosts, and one that cannot move holds the power-off",
    };
    format!(
        "Host {name} has {}. Declared off, it is disabled in Nova; {running}; stopped guests stay on it and are down with it. \
         Once it is proven to run no guest it is powered off, through {}.",
        guests.counted(),
        super::host::links(host)
    )
}

async fn declare(client: &Client, host: &str, wish: &str) -> Result<(), Failure> {
    let changed = modify(client, own_kind("Host")?, host, |object| object["spec"]["power"] = wish.into()).await?;
    let already = if changed.is_none() { " already" } else { "" };
    output::data(&format!("host/{host} power: {wish}{already} declared"));
    Ok(())
}

async fn status(client: &Client, args: PowerStatusArgs) -> Result<Exit, Failure> {
    let host = client.get(own_kind("Host")?.plural, &args.host).await?;
    let (power, wanted) = (&host.status["power"], host.spec["power"].as_str().unwrap_or("Unmanaged"));
    let whole = json!({"host": args.host, "wanted": wanted, "state": power["state"].as_str().unwrap_or("Unknown"),
                       "links": power["links"].as_array().cloned().unwrap_or_default(), "fence": host.status["fence"]});
    match args.output {
        Format::Json => output::data(&output::json(&whole)),
        Format::Yaml => output::data(&output::yaml(&whole)),
        Format::Name => output::data(text(&whole["state"])),
        Format::Table | Format::Wide => {
            output::data(&table(&host, text(&whole["state"])).render());
            output::note(&format!("Wanted: {wanted}."));
            if host.status["fence"].is_object() {
                output::note(&format!("Fenced by {}: held down until 'power on' or 'enable'.", text(&host.status["fence"]["by"])));
            }
        }
    }
    Ok(Exit::Ok)
}

fn table(host: &DynObject, state: &str) -> Table {
    let mut table = Table::new(["NAME", "STATE", "VERIFIED", "ERROR"]);
    table.row([output::short("host", &host.metadata.name), state.into(), "-".into(), "-".into()]);
    for link in host.status["power"]["links"].as_array().into_iter().flatten() {
        let verified = if link["verified"] == true { "True" } else { "False" };
        let state = link["state"].as_str().unwrap_or("Unknown");
        let name = output::short("powerlink", text(&link["name"]));
        table.row([name, state.to_string(), verified.into(), link["error"].as_str().unwrap_or("-").into()]);
    }
    table
}
