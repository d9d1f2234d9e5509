//! `whoami`: what the token is, and what it may do.

use crate::{
    args::{Format, WhoamiArgs},
    output::{self, Failure},
};
use ::client::{Client, Exit};
use serde_json::Value;

pub async fn whoami(client: &Client, args: &WhoamiArgs) -> Result<Exit, Failure> {
    let who = client.get_raw("/v1/whoami").await?;
    match args.output {
        Format::Json => output::data(&output::json(&who)),
        Format::Yaml => output::data(&output::yaml(&who)),
        Format::Name => output::data(who["user"]["name"].as_str().unwrap_or_default()),
        Format::Table | Format::Wide => output::data(&render(&who, args.output == Format::Wide)),
    }
    Ok(Exit::Ok)
}

fn words(list: &Value) -> String {
    let words: Vec<&str> = list.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if words.is_empty() { "-".into() } else { words.join(", ") }
}

fn render(who: &Value, all: bool) -> String {
    let text = |pointer: &str| who.pointer(pointer).and_then(Value::as_str).unwrap_or("-").to_string();
    let scope = match who.pointer("/scope/projectId").and_then(Value::as_str) {
        Some(project) => format!("project {project}"),
        None => text("/scope/type").to_lowercase(),
    };
    let mut out = format!(
        "User:     {} ({})\nScope:    {scope}\nRoles:    {}\nPersonas: {}\nExpires:  {}",
        text("/user/name"),
        text("/user/id"),
        words(&who["roles"]),
        words(&who["personas"]),
        text("/expiresAt")
    );
    if all {
        for rule in who["allowed"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            out.push_str(&format!("\nMay:      {rule}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_token_is_told_in_a_few_lines_and_what_it_may_with_wide() {
        let who = json!({"user": {"id": "1", "name": "ann"}, "scope": {"type": "Project", "projectId": "p"}, "roles": ["admin"],
            "personas": ["admin", "tenant"], "expiresAt": "2026-01-01T00:00:00Z", "allowed": ["cloud-manager:hosts:get"]});
        assert!(render(&who, false).contains("ann (1)\nScope:    project p\nRoles:    admin\nPersonas: admin, tenant"));
        assert!(!render(&who, false).contains("hosts:get") && render(&who, true).ends_with("May:      cloud-manager:hosts:get"));
        assert!(render(&json!({"scope": {"type": "System"}}), false).contains("Scope:    system\nRoles:    -"));
    }
}
