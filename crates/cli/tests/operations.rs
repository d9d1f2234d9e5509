//! What an operator does to a site that runs: doctor, keys, backup and restore, reload, completion.

mod site;

use site::{Site, bad, restore, said, until};
use std::{collections::HashMap, os::unix::fs::PermissionsExt, path::Path};

fn key_ids(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().map(|l| l.split(':').next().unwrap().to_string()).collect()
}

/// How often each guest was asked to be evacuated.
fn evacuations(site: &Site) -> HashMap<String, usize> {
    let mut count = HashMap::new();
    for call in site.world().calls().filter(|c| c.kind == simulator::CallKind::Evacuate) {
        *count.entry(call.target.clone()).or_default() += 1;
    }
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_database_freezes_acts_and_what_was_sent_after_the_backup_is_adopted() {
    let site = Site::new(20_000).await;
    let server = site.start();
    site.wire();
    let host = "compute-02";
    site.world().set_bmc_reachable(host, false);
    site.world().fault(host, simulator::HostFault::Crash).unwrap();
    site.ok(&["evacuate", host, "--yes", "--mode", "Rebuild"]);
    let name = site.ok(&["get", "evacuations", "-o", "name"]).trim().split('/').next_back().unwrap().to_string();
    site.shows(&["describe", "evacuation", &name], "PowerUnreadable");

    let backup = site.path("backup.db");
    site.ok(&["db", "backup", backup.to_str().unwrap()]);
    assert_eq!(std::fs::metadata(&backup).unwrap().permissions().mode() & 0o777, 0o600);
    let again = said(&site.run(&["db", "backup", backup.to_str().unwrap()]));
    assert!(again.contains("is there already and is not overwritten"), "{again}");
    assert!(evacuations(&site).is_empty(), "nothing is sent without proof");
    let revision = |text: &str| text.split("at revision ").nth(1).and_then(|t| t.split([',', ' ']).next()).and_then(|n| n.parse::<i64>().ok());
    let (_, findings) = site.doctor(&["--no-bmc"]);
    let at_backup = findings.iter().filter(|f| f.1 == "database").find_map(|f| revision(&f.2)).unwrap();

    site.world().set_bmc_reachable(host, true);
    until("an evacuation was sent", || (!evacuations(&site).is_empty()).then_some(()));
    let state = site.database().with_extension("state.json");
    until("the state file is past the backup", || {
        let state: serde_json::Value = serde_json::from_slice(&std::fs::read(&state).ok()?).ok()?;
        (state["highestRevision"].as_i64()? > at_backup).then_some(())
    });
    server.kill();
    let sent = evacuations(&site);
    restore(&backup, &site.database());

    let server = site.start();
    server.logs("acts are frozen");
    let (code, findings) = site.doctor(&["--no-bmc"]);
    assert_eq!(code, 1, "{findings:?}");
    let history = bad(&findings, "history");
    assert!(history.len() == 1 && history[0].contains("restored or lost commits") && history[0].contains("doctor --accept"), "{findings:?}");
    site.shows(&["describe", "evacuation", &name], "DatabaseWentBack");
    assert_eq!(evacuations(&site), sent, "nothing is sent while acts are frozen");

    let accepted = site.ok(&["doctor", "--accept"]);
    assert!(accepted.contains("accepted"), "{accepted}");
    site.ok(&["wait", "evacuation", &name, "--for=condition=Succeeded", "--timeout", "180s"]);
    let all = evacuations(&site);
    assert!(all.values().all(|n| *n == 1), "each guest was asked for once: {all:?}");
    assert!(site.world().double_runs().is_empty());
    assert_eq!(site.doctor(&["--no-bmc"]).1.iter().find(|f| f.1 == "history").map(|f| f.0.as_str()), Some("ok"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_finds_everything_well_and_names_what_is_not() {
    let site = Site::new(4_000).await;
    let server = site.start();
    site.wire();
    let (code, findings) = site.doctor(&[]);
    assert_eq!(code, 0, "{findings:?}");
    for check in ["config", "database", "calls", "history", "keys", "lease", "clock", "keystone", "nova", "marks", "placement", "bmc"] {
        assert!(findings.iter().any(|f| f.1 == check && f.0 == "ok"), "{check}: {findings:?}");
    }
    let table = site.ok(&["doctor", "--no-bmc"]);
    assert!(table.ends_with("0 failed\n") && !table.contains("bmc"), "{table}");
    let leases = site.run(&["get", "leases"]);
    let shown = said(&leases);
    assert!(shown.contains("LEADER") && shown.contains("6s") && shown.contains("leads"), "{shown}");

    // What no API shows is a person's to look at, and no failure.
    let policy = site.path("returns.yaml");
    std::fs::write(
        &policy,
        "apiVersion: cloud-manager/v1\nkind: RemediationPolicy\nmetadata: {name: default}\nspec: {returnToService: {mode: Automatic}}\n",
    )
    .unwrap();
    site.ok(&["apply", "-f", policy.to_str().unwrap()]);
    let (code, findings) = site.doctor(&["--no-bmc"]);
    let returns: Vec<&String> = findings.iter().filter(|f| f.1 == "returns" && f.0 == "warn").map(|f| &f.2).collect();
    assert!(code == 0 && returns.len() == 1 && returns[0].contains("RemediationPolicy default"), "{findings:?}");

    site.world().set_bmc_reachable("compute-01", false);
    let service = site.world().services_shown().into_iter().find(|s| s.host == "compute-03" && s.binary == "nova-compute").unwrap();
    let reason = Some("cloud-manager/11111111-2222-4333-8444-555555555555: declared off".to_string());
    let change = cloud::ServiceChange { enabled: Some(false), disabled_reason: reason, ..Default::default() };
    let _ = site.world().call(simulator::Call::UpdateService { id: service.id, change });
    server.kill();
    let (code, findings) = site.doctor(&[]);
    assert_eq!(code, 1, "{findings:?}");
    assert!(bad(&findings, "bmc").len() == 1 && bad(&findings, "bmc")[0].starts_with("compute-01: "), "{findings:?}");
    assert!(bad(&findings, "marks")[0].contains("host compute-03") && bad(&findings, "marks")[0].contains("11111111"), "{findings:?}");
    assert!(bad(&findings, "lease")[0].contains("has not renewed it"), "{findings:?}");
    // A wrong password is named, and everything else is looked at nevertheless.
    site.configure("");
    let text = std::fs::read_to_string(site.path("cm.toml")).unwrap();
    let wrong = text.lines().map(|l| if l.starts_with("password") { "password = \"hunter2\"" } else { l }).collect::<Vec<_>>().join("\n");
    std::fs::write(site.path("cm.toml"), wrong).unwrap();
    let (code, findings) = site.doctor(&["--no-bmc"]);
    assert_eq!(code, 1, "{findings:?}");
    assert!(bad(&findings, "keystone")[0].contains("does not accept our credentials"), "{findings:?}");
    assert!(!format!("{findings:?}").contains("hunter2") && findings.iter().any(|f| f.1 == "database" && f.0 == "ok"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_rotated_while_a_server_runs_and_none_that_is_used_goes() {
    let site = Site::new(4_000).await;
    let server = site.start();
    site.wire();
    let file = site.path("credential.key");
    let old = key_ids(&file)[0].clone();
    assert!(site.fails(7, &["keys", "prune", &old]).contains("it still seals bmc"));
    let new = site.ok(&["keys", "add"]).trim().to_string();
    assert_eq!(key_ids(&file), [old.clone(), new.clone()]);
    let listed = site.ok(&["keys", "list"]);
    assert!(listed.contains(&format!("{old}  seals and opens  1")) && listed.contains(&format!("{new}  opens            0")), "{listed}");
    assert!(site.ok(&["keys", "rotate", &new]).contains("1 Credential(s) sealed anew"));
    assert_eq!(key_ids(&file), [new.clone(), old.clone()]);
    assert!(site.ok(&["keys", "rotate", &new]).contains("0 Credential(s)"), "it may be repeated");
    assert!(site.fails(7, &["keys", "prune", &new]).contains("it still seals bmc"));
    assert!(site.ok(&["keys", "prune"]).contains(&format!("{old} removed")));
    assert_eq!(key_ids(&file), std::slice::from_ref(&new));
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    // The running server opens with the new key, and seals with it.
    site.shows(&["power", "status", "compute-01"], "On");
    let manifest = site.path("second.yaml");
    std::fs::write(&manifest, "apiVersion: cloud-manager/v1\nkind: Credential\nmetadata: {name: second}\nspec: {data: {username: a, password: b}}\n")
        .unwrap();
    site.ok(&["apply", "-f", manifest.to_str().unwrap()]);
    assert!(site.ok(&["keys", "list"]).contains(&format!("{new}  seals and opens  2")));
    let (_, findings) = site.doctor(&[]);
    assert!(bad(&findings, "keys").is_empty() && bad(&findings, "bmc").is_empty(), "{findings:?}");
    let log = server.log();
    let text = std::fs::read_to_string(&file).unwrap();
    let secret = text.trim().split(':').nth(1).unwrap();
    assert!(!log.contains(secret) && !listed.contains(secret));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_file_that_was_forgotten_to_be_copied_is_told_and_not_made_up_for() {
    let site = Site::new(4_000).await;
    let server = site.start();
    site.wire();
    server.kill();
    let old = key_ids(&site.path("credential.key"))[0].clone();
    site.configure(&format!("[keys]\ncredential_key_file = {:?}\n", site.path("elsewhere.key")));
    let refused = site.fails(10, &["run"]);
    assert!(refused.contains("elsewhere.key") && refused.contains(&old) && refused.contains("copy the key file"), "{refused}");
    assert!(!site.path("elsewhere.key").exists(), "no key was made up");
    let (code, findings) = site.doctor(&["--no-bmc"]);
    assert_eq!(code, 1);
    assert!(bad(&findings, "keys")[0].contains("elsewhere.key"), "{findings:?}");
    // With a key of its own a process starts, and says which key is missing and where it belongs.
    std::fs::write(site.path("elsewhere.key"), format!("mine:{}\n", "ab".repeat(32))).unwrap();
    std::fs::set_permissions(site.path("elsewhere.key"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let server = site.start();
    let log = server.logs("power devices are unreadable");
    assert!(log.contains(&old) && log.contains("elsewhere.key") && log.contains("bmc"), "{log}");
    let (_, findings) = site.doctor(&["--no-bmc"]);
    assert!(bad(&findings, "keys")[0].contains(&format!("key {old} sealed bmc")), "{findings:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hangup_takes_over_what_can_change_and_a_broken_file_changes_nothing() {
    let site = Site::new(4_000).await;
    let server = site.start();
    site.configure("[log]\nlevel = \"debug\"\n[keys]\ncredential_key_file = \"/elsewhere\"\n[policy]\nevacuation_retries = 4\n");
    server.signal("HUP");
    let log = server.logs("these settings only count when the objects named default are made");
    assert!(log.contains("the configuration was reloaded") && log.contains("log.level"), "{log}");
    assert!(log.contains("need a restart") && log.contains("keys.credential_key_file"), "{log}");
    // The new level is in force.
    server.logs("DEBUG");
    // The object was made before.
    let dump = site.ok(&["config", "dump"]);
    assert!(dump.contains("ClusterPolicy default, which says otherwise") && dump.contains("spec.evacuationRetries = 2 (configured: 4)"), "{dump}");
    assert!(dump.contains("# In force: RemediationPolicy default"), "{dump}");
    std::fs::write(site.path("cm.toml"), "[api]\nlisten = 3\n").unwrap();
    server.signal("HUP");
    let log = server.logs("NOT reloaded");
    assert!(log.contains("cm.toml:2: api.listen"), "{log}");
    site.shows(&["get", "hosts"], "compute-01");
    site.configure("");
    server.signal("HUP");
    until("two reloads", || (server.log().matches("the configuration was reloaded").count() == 2).then_some(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_products_files_start_a_server_and_what_they_cannot_do_is_said_once() {
    let site = Site::new(4_000).await;
    let ini = site.path("cloud_manager.conf");
    std::fs::write(&ini, "[host_tasks]\nrecovery_priority = 7\ndeny_evacuate = a,b\n[balancing]\nenabled = True\napprox = 0.2\n").unwrap();
    let file = ini.to_str().unwrap();
    let dump = site.ok(&["config", "dump", "--config-file", file]);
    assert!(dump.contains("default_recovery_priority = 7") && dump.contains("cloud_manager.conf:2 [host_tasks] recovery_priority"), "{dump}");
    assert!(dump.contains("[balancing] approx: is known; its feature (balancing) comes later"), "{dump}");
    let wrong = site.path("wrong.conf");
    std::fs::write(&wrong, "[host_tasks]\nrecovery_priorty = 7\n").unwrap();
    let refused = site.fails(2, &["run", "--config-file", wrong.to_str().unwrap()]);
    assert!(refused.contains("wrong.conf:2") && refused.contains("did you mean recovery_priority?"), "{refused}");
    // By directory, beside the TOML file.
    let dir = site.path("conf.d");
    std::fs::create_dir(&dir).unwrap();
    std::fs::rename(&ini, dir.join("10.conf")).unwrap();
    std::fs::write(dir.join("20.conf"), "[host_tasks]\nrecovery_priority = 8\n").unwrap();
    std::fs::write(dir.join("readme.txt"), "not a configuration").unwrap();
    let dump = site.ok(&["config", "dump", "--config-dir", dir.to_str().unwrap()]);
    assert!(dump.contains("default_recovery_priority = 8") && dump.contains("20.conf:2"), "{dump}");
}

#[test]
fn each_shell_gets_a_script_that_knows_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let out = std::process::Command::new(site::BINARY).args(["completion", shell]).output().unwrap();
        let script = String::from_utf8(out.stdout).unwrap();
        assert!(out.status.success() && script.contains("evacuate") && script.contains("doctor"), "{shell}");
    }
    let out = std::process::Command::new("bash")
        .args(["-c", &format!("source <({} completion bash) && complete -p cloud-manager", site::BINARY)])
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", said(&out));
}
