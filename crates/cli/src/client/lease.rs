//! `get leases`: who leads, since when, and what the server that was asked says about it.

use super::text;
use crate::output::{self, Table, table::now};
use ::client::{Client, List};
use schemas::{DynObject, Time, kinds};
use serde_json::Value;

/// Prints the leases as a table, and the server's own view below it, for people.
pub async fn print(client: &Client, list: &List) {
    output::data(&table(&list.items, now()).render());
    match client.get_raw("/readyz").await {
        Ok(readiness) => views(&readiness).iter().for_each(|line| output::note(line)),
        // Not ready, or not for us to know: the lease itself was read.
        Err(error) => output::note(&format!("{} is not ready: {error}", client.endpoint())),
    }
}

fn table(leases: &[DynObject], now: Time) -> Table {
    let mut table = Table::new(["NAME", "LEADER", "TOKEN", "AGE", "DURATION", "RENEWALS"]);
    for lease in leases {
        let spec = &lease.spec;
        let number = |key: &str| spec[key].as_i64().map_or("-".into(), |n| n.to_string());
        let leader = match text(&spec["holder"]) {
            "" => "(nobody)",
            holder => holder,
        };
        let since = spec["acquiredAt"].as_str().and_then(|t| Time::parse(t).ok()).filter(|_| !text(&spec["holder"]).is_empty());
        let age = since.map_or("-".into(), |t| kinds::age(now.seconds_since(t)));
        let duration = spec["durationMillis"].as_i64().filter(|ms| *ms > 0).map_or("-".into(), |ms| format!("{}s", ms as f64 / 1_000.0));
        table.row([lease.metadata.name.clone(), leader.into(), number("token"), age, duration, number("renewals")]);
    }
    table
}

/// What `/readyz` says of the leader, and of everything that is not well.
fn views(readiness: &Value) -> Vec<String> {
    let checks = readiness["checks"].as_array().into_iter().flatten();
    let told = checks.filter(|c| c["name"] == "controller" || c["ok"] == false);
    told.map(|c| format!("{}: {}", text(&c["name"]), text(&c["message"]))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_lease_shows_leader_token_age_and_duration() {
        let now = Time::parse("2026-01-01T00:10:00Z").unwrap();
        let held = json!({"holder": "ctl-1", "token": 7, "renewals": 42, "durationMillis": 6000, "acquiredAt": "2026-01-01T00:05:00Z"});
        let free = json!({"holder": "", "token": 7, "renewals": 43, "durationMillis": 1500, "acquiredAt": "2026-01-01T00:05:00Z"});
        let shown = table(&[DynObject::new("Lease", "controller", held), DynObject::new("Lease", "free", free)], now).render();
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[1], "controller  ctl-1     7      5m   6s        42", "{shown}");
        assert_eq!(lines[2], "free        (nobody)  7      -    1.5s      43", "{shown}");
    }

    #[test]
    fn the_server_says_who_leads_and_what_is_not_well() {
        let check = |name: &str, ok: bool, message: &str| json!({"name": name, "ok": ok, "message": message});
        let checks =
            [check("database", true, "answers"), check("feed", false, "ended"), check("controller", true, "ctl-1 leads; this process stands by")];
        assert_eq!(views(&json!({"ok": false, "checks": checks})), ["feed: ended", "controller: ctl-1 leads; this process stands by"]);
        assert!(views(&json!({"ok": true})).is_empty());
    }
}
