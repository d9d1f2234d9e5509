//! `policy`: the rules of who may what, without a server.

use crate::{
    args::{PolicyCheckArgs, PolicyCommand, ScopeWord},
    output::{self, Failure, Table},
};
use ::client::Exit;
use api_server::policy::{Policy, RULES, sample};
use cloud::TokenInfo;
use schemas::Time;
use std::{io::Read, path::Path};

/// Runs `policy`.
pub fn run(command: PolicyCommand) -> Result<Exit, Failure> {
    match command {
        PolicyCommand::Generate => {
            output::data(sample().trim_end());
            Ok(Exit::Ok)
        }
        PolicyCommand::Check(args) => check(&args),
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = match path.to_str() {
        Some("-") => std::io::stdin().lock().read_to_string(&mut text).map(drop),
        _ => std::fs::read_to_string(path).map(|whole| text = whole),
    };
    read.map(|()| text).map_err(|e| Failure::usage(format!("{}: it cannot be read: {e}", path.display())))
}

fn check(args: &PolicyCheckArgs) -> Result<Exit, Failure> {
    let place = args.file.display();
    let policy = Policy::read(&read(&args.file)?).map_err(|wrong| {
        let told: Vec<String> = wrong.iter().map(|w| format!("{place}: {w}")).collect();
        Failure::usage(told.join("\nerror: "))
    })?;
    for warning in &policy.warnings {
        output::note(&format!("warning: {place}: {warning}"));
    }
    let Some(who) = token(args)? else {
        output::note(&format!("{place}: nothing is wrong. With --role it tells what a token may do."));
        return Ok(Exit::Ok);
    };
    let mut table = Table::new(["RULE", "ALLOWED", "CHECK"]);
    for rule in RULES.iter().filter(|rule| !rule.operations.is_empty()) {
        let verdict = policy.verdict(&rule.name, &who);
        let scope = verdict.scope_wanted.iter().map(|s| s.word()).collect::<Vec<_>>().join(" or ");
        let allowed = match (verdict.allowed, scope.as_str()) {
            (true, _) => "yes".to_string(),
            (false, "") => "no".into(),
            (false, scope) => format!("no: wants scope {scope}"),
        };
        table.row([rule.name.clone(), allowed, policy.check_of(&rule.name)]);
    }
    output::data(&table.render());
    Ok(Exit::Ok)
}

/// The token that the flags describe, if they describe any.
fn token(args: &PolicyCheckArgs) -> Result<Option<TokenInfo>, Failure> {
    if args.roles.is_empty() && args.scope.is_none() && args.project_id.is_none() && args.user_id.is_none() && !args.admin_project {
        return Ok(None);
    }
    let scope = args.scope.unwrap_or(ScopeWord::Project);
    if scope != ScopeWord::Project && (args.project_id.is_some() || args.admin_project) {
        return Err(Failure::usage("--project-id and --admin-project are of a token with --scope project"));
    }
    let project = args.project_id.clone().unwrap_or_else(|| "(some project)".into());
    Ok(Some(TokenInfo {
        user_id: args.user_id.clone().unwrap_or_else(|| "(some user)".into()),
        user_name: String::new(),
        project_id: (scope == ScopeWord::Project).then_some(project),
        system_scope: scope == ScopeWord::System,
        is_admin_project: args.admin_project,
        roles: args.roles.clone(),
        expires_at: Time(i64::MAX),
        access_rules: None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(file: &Path) -> PolicyCheckArgs {
        PolicyCheckArgs { file: file.into(), roles: Vec::new(), scope: None, project_id: None, user_id: None, admin_project: false }
    }

    #[test]
    fn a_wrong_file_is_told_with_file_line_and_rule_and_a_right_one_may_be_asked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("policy.yaml");
        std::fs::write(&path, "observer: \"role:\"\nadmin: \"http://x\"\n").unwrap();
        let failure = check(&args(&path)).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(
            failure.message.contains("policy.yaml: line 1: rule \"observer\"") && failure.message.contains("line 2: rule \"admin\""),
            "{failure}"
        );
        std::fs::write(&path, sample()).unwrap();
        assert_eq!(check(&args(&path)).unwrap(), Exit::Ok);
        let asked = PolicyCheckArgs { roles: vec!["admin".into()], ..args(&path) };
        assert_eq!(check(&asked).unwrap(), Exit::Ok);
        let odd = PolicyCheckArgs { scope: Some(ScopeWord::System), project_id: Some("p".into()), ..args(&path) };
        assert!(check(&odd).unwrap_err().message.contains("--scope project"));
        assert!(check(&args(&dir.path().join("none"))).unwrap_err().message.contains("cannot be read"));
    }
}
