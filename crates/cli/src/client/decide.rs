//! `decide`: what would be begun without a person now, and why not more.

use super::{manifest, operate::plan_table, text};
use crate::{
    args::{DecideArgs, Shape},
    output::{self, Failure},
};
use ::client::{Client, Exit};
use serde_json::Value;

/// Asks and tells. Nothing is written.
pub async fn decide(client: &Client, args: DecideArgs) -> Result<Exit, Failure> {
    let policies: Vec<Value> = read_policies(&args.policies)?.into_iter().map(|(_, value)| value).collect();
    let answer = client.decisions(args.host.as_deref(), &policies).await?;
    match args.output {
        Shape::Json => output::data(&output::json(&answer)),
        Shape::Yaml => output::data(&output::yaml(&answer)),
        Shape::Text => output::data(&told(&answer, args.host.as_deref())),
    }
    Ok(Exit::Ok)
}

/// The RemediationPolicies of some files, each with its place: name and spec alone, as nothing else of them counts.
pub fn read_policies(files: &[String]) -> Result<Vec<(String, Value)>, Failure> {
    let mut all = Vec::new();
    for document in manifest::read(files)? {
        let found = document.checked().map_err(Failure::usage)?;
        if found.kind.kind != "RemediationPolicy" {
            return Err(Failure::usage(format!("{}: is a {}; only a RemediationPolicy can be tried out", found.place, found.kind.kind)));
        }
        all.push((found.place, serde_json::json!({"metadata": {"name": found.name}, "spec": found.value["spec"]})));
    }
    Ok(all)
}

fn told(answer: &Value, one: Option<&str>) -> String {
    let mut lines = vec![format!("By what the controller saw {} s ago. Nothing is done.", answer["ageSeconds"])];
    if let Some(doubt) = answer["doubt"].as_str() {
        lines.push(format!("THIS SAYS NOTHING OF NOW: {doubt}."));
    }
    if let Some(names) = answer["laidOver"].as_array().filter(|names| !names.is_empty()) {
        let names: Vec<&str> = names.iter().map(text).collect();
        lines.push(format!("As if RemediationPolicy {} were as given.", names.join(", ")));
    }
    for policy in list(&answer["policies"]) {
        let allowed = &policy["allowed"];
        let may = if allowed["status"] == "True" { "may begin" } else { "begins nothing" };
        lines.push(format!("\nRemediationPolicy {}: {may} ({}): {}", text(&policy["policy"]), text(&allowed["reason"]), text(&allowed["message"])));
        lines.push(format!(
            "  {} of {} hosts are down or not heard; {} more may fail; {} begun within the hour",
            policy["unhealthy"], policy["covered"], policy["budgetLeft"], policy["begunWithinHour"]
        ));
    }
    for domain in list(&answer["domains"]).iter().filter(|d| d["broken"].is_string()) {
        lines.push(format!("\nFailureDomain {}: {}", text(&domain["domain"]), text(&domain["broken"])));
    }
    for host in list(&answer["hosts"]) {
        lines.push(String::new());
        lines.extend(of_host(host));
    }
    match (one, list(&answer["hosts"]).is_empty()) {
        (Some(host), true) => lines.push(format!("\nHost {host}: the controller has not looked at it yet")),
        (Some(host), false) => lines.extend(evacuation(host, &answer["evacuation"])),
        (None, _) => lines.push(format!("\n{} hosts are up, or off as they should be: nothing is begun for them.", answer["unremarkable"])),
    }
    lines.join("\n")
}

fn of_host(host: &Value) -> Vec<String> {
    let (availability, allowed) = (&host["availability"], &host["allowed"]);
    let state = text(&availability["state"]);
    let policy = host["policy"].as_str().map(|p| format!(" (RemediationPolicy {p})")).unwrap_or_default();
    let before = host["before"].as_str().filter(|b| *b != state).map(|b| format!("{b} -> ")).unwrap_or_default();
    let mut lines = vec![format!("Host {}: {before}{state}{policy}", text(&host["host"]))];
    let nova = &host["nova"];
    let why = nova["why"].as_str().filter(|w| !w.is_empty()).map(|w| format!(" ({w})")).unwrap_or_default();
    let guests = host["guests"].as_i64().map_or_else(|| "guests not counted".into(), |n| format!("{n} guests"));
    lines.push(format!("  service {}{why}, power {}, epoch {}, {guests}", text(&nova["service"]), text(&host["power"]), host["epoch"]));
    if let Some(by) = host["fence"]["by"].as_str() {
        lines.push(format!("  fenced by {by}"));
    }
    let evidence: Vec<&str> = list(&availability["evidence"]).iter().map(text).collect();
    if !evidence.is_empty() {
        lines.push(format!("  evidence of its death: {}", evidence.join(", ")));
    }
    let why = format!("{}: {}", text(&allowed["reason"]), text(&allowed["message"]));
    match (host["begin"].as_str(), host["cancel"].as_str(), state) {
        (Some(begin), ..) => lines.push(format!("  WOULD BEGIN {begin} now ({why})")),
        (None, Some(cancel), _) => lines.push(format!("  would cancel {cancel}, which took too long ({why})")),
        // What may be begun for a host is a question only once it is down.
        (None, None, "Up" | "Off" | "Suspect" | "Unknown") if allowed["status"] == "True" => {
            lines.push("  would begin nothing: it does not count as down".into());
        }
        (None, None, _) => lines.push(format!("  would begin nothing ({why})")),
    }
    lines
}

/// Where its guests would go.
fn evacuation(host: &str, plan: &Value) -> Vec<String> {
    if let Some(why) = plan["unknown"].as_str() {
        return vec![format!("\nWhere its guests would go is not known now: {why}")];
    }
    let table = plan_table(plan);
    if table.is_empty() {
        return vec![format!("\nNova shows no guest on host {host}.")];
    }
    let mut lines = vec![format!("\nIf it were evacuated now, of {} hosts that could take guests:", plan["hosts"])];
    lines.extend(table.render().lines().map(|line| format!("  {line}").trim_end().to_string()));
    lines
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}
