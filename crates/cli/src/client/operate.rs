//! One-shot commands on a host: they make a HostOperation or an Evacuation.

use super::{
    confirm::confirm,
    follow::follow,
    host::{Guests, links},
    own_kind,
};
use crate::{
    args::{EvacuateArgs, Fence, FollowArgs, HostArgs, InitialiseArgs, LocalDisks, Method, Mode, ShutdownArgs},
    output::{self, Failure, Table},
};
use ::client::{Client, Error, Exit};
use schemas::{DynObject, KindInfo, apply::merge_patch};
use serde_json::{Value, json};

/// `evacuate`.
pub async fn evacuate(client: &Client, args: EvacuateArgs) -> Result<Exit, Failure> {
    let host = client.get(own_kind("Host")?.plural, &args.host).await?;
    if host.spec["evacuation"] == "Denied" {
        let message = format!("host {} has spec.evacuation: Denied; nothing was done. Set it to Allowed first.", args.host);
        return Err(Failure::new(Exit::Safety, message));
    }
    if args.dry_run {
        return preview(client, &args.host).await;
    }
    let guests = Guests::of(client, &args.host).await;
    confirm(args.yes, &plan_evacuation(&host, &guests, &args))?;
    let spec = json!({"hostRef": {"name": args.host}, "mode": args.mode.word(), "fence": args.fence.word(), "localDisks": args.local_disks.word()});
    let name = make(client, own_kind("Evacuation")?, "ev", &args.host, spec).await?;
    finish(client, own_kind("Evacuation")?, &name, &args.follow).await
}

/// Where the guests would go. Nothing is done.
async fn preview(client: &Client, host: &str) -> Result<Exit, Failure> {
    let plan = client.evacuation_plan(host).await?;
    let table = plan_table(&plan);
    output::note(&format!("If host {host} were dead now, of {} hosts that could take guests (nothing is done):", plan["hosts"]));
    if table.is_empty() {
        output::note(&format!("Nova shows no guest on host {host}."));
    } else {
        output::data(&table.render());
    }
    Ok(Exit::Ok)
}

/// Where each guest of a plan goes, or why it stays.
pub fn plan_table(plan: &Value) -> Table {
    let mut table = Table::new(["GUEST", "PRIORITY", "DESTINATION", "WHY NOT"]);
    let word = |value: &Value| value.as_str().filter(|t| !t.is_empty()).unwrap_or("-").to_string();
    let items = plan["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    for item in items {
        table.row([word(&item["name"]), item["priority"].to_string(), word(&item["destination"]), word(&item["why"])]);
    }
    table
}

fn plan_evacuation(host: &DynObject, guests: &Guests, args: &EvacuateArgs) -> String {
    let name = &host.metadata.name;
    let mut plan = vec![format!("Host {name} has {}.", guests.counted())];
    plan.push(match args.mode {
        Mode::Auto => "If it is alive, its running guests are live-migrated away. If it is dead, they are rebuilt on other hosts. If neither is sure, nothing is done until it is.".into(),
        Mode::LiveMigrate => "Its running guests are live-migrated away; nothing else is done.".into(),
        Mode::Rebuild => "Its guests are rebuilt on other hosts, whether it is alive or not.".into(),
    });
    if args.mode != Mode::LiveMigrate {
        plan.push(match args.fence {
            Fence::IfNeeded => format!("HOST {name} MAY BE POWERED OFF to prove that its guests run nowhere twice, through {}.", links(host)),
            Fence::Forbidden => format!("Host {name} is not powered off: its guests are rebuilt only if it is proven off already."),
        });
        plan.push(match args.local_disks {
            LocalDisks::Refuse => "Guests whose disk is on the host are left there, each named.".into(),
            LocalDisks::Rebuild => format!(
                "GUESTS WHOSE DISK IS ON THE HOST START FROM THEIR IMAGE, THE DISK IS LOST. Not started from a volume: {}.",
                guests.on_image()
            ),
        });
    }
    plan.join("\n")
}

/// `shutdown`.
pub async fn shutdown(client: &Client, args: ShutdownArgs) -> Result<Exit, Failure> {
    let host = client.get(own_kind("Host")?.plural, &args.host).await?;
    let guests = Guests::of(client, &args.host).await;
    let stuck = if args.allow_off_vm { "one that cannot move is shut down and stays" } else { "one that cannot move holds the shutdown" };
    confirm(
        args.yes,
        &format!(
            "Host {} has {}. It is disabled in Nova, its running guests are live-migrated away, {stuck}; then HOST {} IS POWERED OFF, through {}.",
            args.host,
            guests.counted(),
            args.host,
            links(&host)
        ),
    )?;
    let more = if args.allow_off_vm { json!({"allowOffVm": "Allow"}) } else { json!({}) };
    let name = create(client, "Shutdown", &args.host, more).await?;
    finish(client, own_kind("HostOperation")?, &name, &args.follow).await
}

/// `drain`, `enable`, `disable`.
pub async fn simple(client: &Client, kind: &str, args: HostArgs) -> Result<Exit, Failure> {
    client.get(own_kind("Host")?.plural, &args.host).await?;
    let name = create(client, kind, &args.host, json!({})).await?;
    finish(client, own_kind("HostOperation")?, &name, &args.follow).await
}

/// `initialise`.
pub async fn initialise(client: &Client, args: InitialiseArgs) -> Result<Exit, Failure> {
    client.get(own_kind("Host")?.plural, &args.host).await?;
    let link = args.link.as_deref().unwrap_or("its power link");
    match args.method {
        Method::Identity => {}
        Method::Cycle => confirm(
            args.yes,
            &format!(
                "HOST {} IS POWERED OFF AND ON AGAIN through {link}, once it is proven empty, to see that exactly its service falls silent and comes back.",
                args.host
            ),
        )?,
        Method::Attestation => confirm(
            args.yes,
            &format!(
                "You state that {link} powers host {} and no other machine. Evacuations will believe it: if it is wrong, guests can run twice and another machine can be powered off.",
                args.host
            ),
        )?,
    }
    let mut more = json!({"method": args.method.word()});
    if let Some(link) = &args.link {
        more["linkRef"] = json!({"name": link});
    }
    let name = create(client, "Initialise", &args.host, more).await?;
    finish(client, own_kind("HostOperation")?, &name, &args.follow).await
}

/// Makes a HostOperation of this type, and gives its name.
pub async fn create(client: &Client, kind: &str, host: &str, more: Value) -> Result<String, Failure> {
    let mut spec = json!({"hostRef": {"name": host}, "type": kind});
    merge_patch(&mut spec, &more);
    make(client, own_kind("HostOperation")?, &kind.to_ascii_lowercase(), host, spec).await
}

pub(super) async fn make(client: &Client, kind: &KindInfo, prefix: &str, host: &str, spec: Value) -> Result<String, Failure> {
    let name = fresh_name(prefix, host, rand::random());
    let object = json!({"apiVersion": schemas::API_VERSION, "kind": kind.kind, "metadata": {"name": name}, "spec": spec});
    match client.create(kind.plural, &object).await {
        Ok(made) => {
            // The same request as one under way gives that one.
            let done = if made.metadata.name == name { "created" } else { "is under way already" };
            output::data(&format!("{} {done}", output::short(kind.kind, &made.metadata.name)));
            Ok(made.metadata.name)
        }
        Err(e @ (Error::Timeout { may_have_happened: true, .. } | Error::Unreachable { may_have_happened: true, .. })) => {
            let look = format!("cloud-manager get {} {name}", kind.kind.to_ascii_lowercase());
            Err(Failure::new(e.exit(), format!("{e} Look: {look}")))
        }
        Err(e) => Err(e.into()),
    }
}

/// `ev-c12-0a1b2c`; a host name that is too long is cut.
fn fresh_name(prefix: &str, host: &str, number: u32) -> String {
    let room = 253 - prefix.len() - 8;
    let host: String = host.chars().take(room).collect();
    format!("{prefix}-{host}-{:06x}", number & 0xff_ffff)
}

async fn finish(client: &Client, kind: &KindInfo, name: &str, args: &FollowArgs) -> Result<Exit, Failure> {
    let word = kind.kind.to_ascii_lowercase();
    if args.wait {
        let exit = follow(client, kind, name, args.timeout).await?;
        if exit != Exit::Ok {
            output::note(&format!("See why: cloud-manager describe {word} {name}"));
        }
        return Ok(exit);
    }
    output::note(&format!("See where it stands: cloud-manager describe {word} {name}"));
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_name_says_what_and_where_and_fits() {
        assert_eq!(fresh_name("ev", "c12", 0xffab_cdef), "ev-c12-abcdef");
        let long = fresh_name("initialise", &"x".repeat(253), 1);
        assert_eq!(long.len(), 253);
        assert!(long.ends_with("-000001"));
    }
}
