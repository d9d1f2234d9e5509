//! power, evacuate, shutdown, drain, cancel, freeze: what is asked, and what is written.

mod common;

use common::*;
use serde_json::{Value, json};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{method, path, query_param},
};

/// A server with host c1, its guests, and POST that gives back what it gets.
async fn server(spec: Value, status: Value) -> MockServer {
    let server = MockServer::start().await;
    let live = host("c1", spec, status);
    on(&server, "GET", "/v1/hosts/c1", ok(&live)).await;
    on(&server, "PUT", "/v1/hosts/c1", ok(&live)).await;
    on(&server, "GET", "/v1/hosts/gone", error(404, "not-found", "There is no Host 'gone'.")).await;
    let guests = json!([{"name": "web", "vmState": "active", "bootFromVolume": false}, {"name": "db", "vmState": "stopped", "bootFromVolume": true}]);
    on(&server, "GET", "/v1/hosts/c1/guests", ok(&json!({"guests": guests}))).await;
    let created = |request: &wiremock::Request| {
        let mut body: Value = serde_json::from_slice(&request.body).unwrap();
        body["metadata"]["resourceVersion"] = "9".into();
        ResponseTemplate::new(202).set_body_json(body)
    };
    Mock::given(method("POST")).respond_with(created).mount(&server).await;
    server
}

fn power() -> Value {
    json!({"power": {"state": "On", "links": [{"name": "c1-bmc", "state": "On", "verified": true}, {"name": "c1-pdu", "state": "Unknown", "verified": false, "error": "no answer"}]}})
}

#[tokio::test]
async fn destructive_commands_without_a_terminal_need_yes_and_say_what_would_happen() {
    let server = server(json!({}), power()).await;
    for words in [
        vec!["evacuate", "c1"],
        vec!["shutdown", "c1"],
        vec!["power", "off", "c1"],
        vec!["initialise", "c1", "--method", "Cycle"],
        vec!["initialise", "c1", "--method", "Attestation"],
    ] {
        let ran = run(&server, &words).await;
        assert_eq!(ran.code, 2, "{words:?} {ran:?}");
        assert!(ran.err.contains("nothing was done") && ran.err.contains("--yes") && ran.err.contains("c1"), "{words:?} {ran:?}");
    }
    assert!(bodies(&server, "POST").await.is_empty() && bodies(&server, "PUT").await.is_empty(), "nothing is written before the answer");
}

#[tokio::test]
async fn evacuate_counts_the_guests_names_the_links_and_creates_what_was_asked() {
    let server = server(json!({}), power()).await;
    let ran = run(&server, &["evacuate", "c1", "--mode", "Rebuild", "--local-disks", "Rebuild", "--yes"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    for told in ["2 guests (1 active, 1 stopped)", "HOST c1 MAY BE POWERED OFF", "c1-bmc (On, verified)", "Not started from a volume: web."] {
        assert!(ran.err.contains(told), "{told}: {ran:?}");
    }
    let body = &bodies(&server, "POST").await[0];
    assert_eq!(body["kind"], "Evacuation");
    assert_eq!(body["spec"], json!({"hostRef": {"name": "c1"}, "mode": "Rebuild", "fence": "IfNeeded", "localDisks": "Rebuild"}));
    let name = body["metadata"]["name"].as_str().unwrap();
    let hex = name.strip_prefix("ev-c1-").unwrap();
    assert!(hex.len() == 6 && hex.bytes().all(|b| b.is_ascii_hexdigit()), "{name}");
    assert_eq!(ran.out, format!("evacuation/{name} created\n"));
}

#[tokio::test]
async fn a_request_that_repeats_one_under_way_names_that_one() {
    let server = server(json!({}), power()).await;
    let open =
        json!({"apiVersion": "cloud-manager/v1", "kind": "Evacuation", "metadata": {"name": "ev-c1-first"}, "spec": {"hostRef": {"name": "c1"}}});
    let given = ResponseTemplate::new(200).set_body_json(&open);
    Mock::given(method("POST")).and(path("/v1/evacuations")).respond_with(given).with_priority(1).mount(&server).await;
    let ran = run(&server, &["evacuate", "c1", "--yes"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (0, "evacuation/ev-c1-first is under way already\n"), "{ran:?}");
    assert!(ran.err.contains("cloud-manager describe evacuation ev-c1-first"), "{ran:?}");
}

#[tokio::test]
async fn guests_that_could_not_be_counted_are_told_as_unknown() {
    let server = MockServer::start().await;
    on(&server, "GET", "/v1/hosts/c1", ok(&host("c1", json!({}), json!({})))).await;
    on(&server, "GET", "/v1/hosts/c1/guests", error(502, "upstream", "Nova answered 500.")).await;
    let ran = run(&server, &["evacuate", "c1"]).await;
    assert!(ran.err.contains("an unknown number of guests (Nova answered 500."), "{ran:?}");
    assert!(ran.err.contains("through no power link"), "{ran:?}");
}

#[tokio::test]
async fn a_host_that_denies_evacuation_is_refused_for_safety() {
    let server = server(json!({"evacuation": "Denied"}), json!({})).await;
    let ran = run(&server, &["evacuate", "c1", "--yes"]).await;
    assert_eq!(ran.code, 7, "{ran:?}");
    assert!(bodies(&server, "POST").await.is_empty());
}

#[tokio::test]
async fn an_unknown_host_is_not_found_by_every_command() {
    let server = server(json!({}), json!({})).await;
    on(&server, "GET", "/v1/hostoperations", ok(&list(&[]))).await;
    on(&server, "GET", "/v1/evacuations", ok(&list(&[]))).await;
    for words in
        [vec!["evacuate", "gone", "-y"], vec!["drain", "gone"], vec!["power", "on", "gone"], vec!["power", "status", "gone"], vec!["cancel", "gone"]]
    {
        assert_eq!(run(&server, &words).await.code, 3, "{words:?}");
    }
    assert!(bodies(&server, "POST").await.is_empty());
}

#[tokio::test]
async fn power_off_declares_it_in_the_spec() {
    let server = server(json!({"power": "On", "title": "x"}), power()).await;
    let ran = run(&server, &["power", "off", "c1", "--yes"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (0, "host/c1 power: Off declared\n"), "{ran:?}");
    let put = &bodies(&server, "PUT").await[0];
    assert_eq!((&put["spec"], &put["metadata"]["resourceVersion"]), (&json!({"power": "Off", "title": "x"}), &json!("5")));
    assert!(bodies(&server, "POST").await.is_empty());
}

#[tokio::test]
async fn power_on_of_a_fenced_host_releases_it_by_an_operation() {
    let fenced = server(json!({"power": "On"}), json!({"fence": {"epoch": 2, "by": "ev-c1-aa"}})).await;
    let ran = run(&fenced, &["power", "on", "c1"]).await;
    assert!(ran.out.starts_with("host/c1 power: On already declared\nhostoperation/poweron-c1-"), "{ran:?}");
    assert!(ran.err.contains("fenced by ev-c1-aa"), "{ran:?}");
    assert_eq!(bodies(&fenced, "POST").await[0]["spec"], json!({"hostRef": {"name": "c1"}, "type": "PowerOn"}));
    let free = server(json!({"power": "Off"}), json!({})).await;
    run(&free, &["power", "on", "c1"]).await;
    assert!(bodies(&free, "POST").await.is_empty());
    assert_eq!(bodies(&free, "PUT").await[0]["spec"]["power"], "On");
}

#[tokio::test]
async fn power_status_shows_each_link_and_its_error() {
    let server = server(json!({"power": "On"}), power()).await;
    let ran = run(&server, &["power", "status", "c1"]).await;
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines[1], "host/c1           On       -         -", "{ran:?}");
    assert_eq!(lines[3], "powerlink/c1-pdu  Unknown  False     no answer", "{ran:?}");
    let json: Value = serde_json::from_str(&run(&server, &["power", "status", "c1", "-o", "json"]).await.out).unwrap();
    assert_eq!((&json["state"], &json["wanted"], &json["links"][1]["state"]), (&json!("On"), &json!("On"), &json!("Unknown")));
}

#[tokio::test]
async fn the_other_host_commands_make_operations() {
    let server = server(json!({}), json!({})).await;
    for words in [
        vec!["drain", "c1"],
        vec!["enable", "c1"],
        vec!["disable", "c1"],
        vec!["shutdown", "c1", "--allow-off-vm", "--yes"],
        vec!["initialise", "c1", "--link", "c1-bmc"],
        vec!["initialise", "c1", "--method", "Attestation", "--yes"],
    ] {
        assert_eq!(run(&server, &words).await.code, 0, "{words:?}");
    }
    let specs: Vec<Value> = bodies(&server, "POST").await.into_iter().map(|b| b["spec"].clone()).collect();
    let on_c1 = |more: Value| {
        let mut spec = json!({"hostRef": {"name": "c1"}});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec
    };
    let want = [
        on_c1(json!({"type": "Drain"})),
        on_c1(json!({"type": "Enable"})),
        on_c1(json!({"type": "Disable"})),
        on_c1(json!({"type": "Shutdown", "allowOffVm": "Allow"})),
        on_c1(json!({"type": "Initialise", "method": "Identity", "linkRef": {"name": "c1-bmc"}})),
        on_c1(json!({"type": "Initialise", "method": "Attestation"})),
    ];
    assert_eq!(specs, want);
    // Each of them is what the kind accepts.
    let kind = schemas::kinds::find("hostoperation").unwrap();
    for spec in &specs {
        (kind.normalise)("x", spec).unwrap();
    }
}

fn one_shot(kind: &str, name: &str, succeeded: &str, reason: &str) -> Value {
    object(
        kind,
        name,
        json!({"hostRef": {"name": "c1"}, "cancel": "No"}),
        json!({"conditions": [{"type": "Succeeded", "status": succeeded, "reason": reason, "message": "That is how.", "observedGeneration": 1}]}),
    )
}

#[tokio::test]
async fn evacuate_with_wait_ends_as_the_evacuation_ends() {
    for (status, reason, code) in [("True", "Succeeded", 0), ("False", "Failed", 1), ("False", "FenceForbidden", 7)] {
        let server = server(json!({}), json!({})).await;
        on(&server, "GET", "/v1/evacuations", ok(&list(&[one_shot("Evacuation", "ev", status, reason)]))).await;
        let ran = run(&server, &["evacuate", "c1", "--yes", "--wait"]).await;
        assert_eq!(ran.code, code, "{ran:?}");
        assert!(ran.err.contains(&format!("has ended: {reason}: That is how.")), "{ran:?}");
    }
}

#[tokio::test]
async fn cancelling_a_host_cancels_all_that_is_open_on_it_and_nothing_else() {
    let server = server(json!({}), json!({})).await;
    let running = one_shot("Evacuation", "ev1", "Unknown", "Progressing");
    let over = one_shot("Evacuation", "ev0", "True", "Succeeded");
    let lists = Mock::given(path("/v1/evacuations")).and(query_param("fieldSelector", "spec.hostRef.name=c1"));
    lists.respond_with(ok(&list(&[over, running.clone()]))).mount(&server).await;
    on(&server, "GET", "/v1/hostoperations", ok(&list(&[]))).await;
    on(&server, "GET", "/v1/fenceattestations", ok(&list(&[]))).await;
    on(&server, "GET", "/v1/evacuations/ev1", ok(&running)).await;
    on(&server, "PUT", "/v1/evacuations/ev1", ok(&running)).await;
    let ran = run(&server, &["cancel", "c1"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (0, "evacuation/ev1 is being cancelled\n"), "{ran:?}");
    assert_eq!(bodies(&server, "PUT").await[0]["spec"]["cancel"], "Requested");
    assert_eq!(run(&server, &["cancel", "ev", "ev1"]).await.code, 0);
    assert_eq!(run(&server, &["cancel", "host", "c1"]).await.code, 2);
}

#[tokio::test]
async fn freeze_and_thaw_write_the_one_policy_and_make_it_if_need_be() {
    let server = MockServer::start().await;
    let policy = object("ClusterPolicy", "default", json!({"operations": "Frozen", "maxPerHost": 8}), json!({}));
    on(&server, "GET", "/v1/clusterpolicies/default", ok(&policy)).await;
    on(&server, "PUT", "/v1/clusterpolicies/default", ok(&policy)).await;
    assert!(run(&server, &["freeze"]).await.out.contains("Frozen already"));
    assert_eq!(run(&server, &["thaw"]).await.code, 0);
    assert_eq!(bodies(&server, "PUT").await[0]["spec"], json!({"operations": "Normal", "maxPerHost": 8}));
    let empty = MockServer::start().await;
    on(&empty, "GET", "/v1/clusterpolicies/default", error(404, "not-found", "none")).await;
    on(&empty, "POST", "/v1/clusterpolicies", ResponseTemplate::new(201).set_body_json(&policy)).await;
    assert_eq!(run(&empty, &["freeze"]).await.code, 0);
    assert_eq!(bodies(&empty, "POST").await[0]["spec"], json!({"operations": "Frozen"}));
}

#[tokio::test]
async fn exclude_and_include_declare_whether_anything_is_begun_for_a_host() {
    let server = server(json!({}), json!({})).await;
    assert!(run(&server, &["include", "c1"]).await.out.contains("ByPolicy already declared"), "what is not there is the usual");
    let ran = run(&server, &["exclude", "c1"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (0, "host/c1 remediation: Excluded declared\n"), "{ran:?}");
    assert_eq!(bodies(&server, "PUT").await[0]["spec"], json!({"remediation": "Excluded"}));
}

#[tokio::test]
async fn an_approval_names_the_recovery_that_the_host_has_had_and_no_other() {
    let recovered = json!({"availability": {"state": "Recovered", "evacuation": "auto-c1-3"},
        "conditions": [{"type": "RemediationAllowed", "status": "False", "reason": "ApprovalRequired", "message": "all is ready"}]});
    let waiting = server(json!({}), recovered).await;
    let ran = run(&waiting, &["approve", "c1"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (0, "host/c1 return after evacuation/auto-c1-3 approved\n"), "{ran:?}");
    assert_eq!(bodies(&waiting, "PUT").await[0]["spec"], json!({"approvedReturn": "auto-c1-3"}));
    let up = server(json!({}), json!({"availability": {"state": "Up", "evacuation": "auto-c1-3"}})).await;
    let ran = run(&up, &["approve", "c1"]).await;
    assert_eq!(ran.code, 5, "{ran:?}");
    assert!(ran.err.contains("host c1 is Up") && bodies(&up, "PUT").await.is_empty(), "{ran:?}");
}

#[tokio::test]
async fn a_fault_goes_to_the_simulated_cloud_without_any_login() {
    let cloud = MockServer::start().await;
    on(&cloud, "POST", "/sandbox/faults", ok(&json!({}))).await;
    let secret = [("OS_TOKEN", "hunter2"), ("CLOUD_MANAGER_ENDPOINT", "http://127.0.0.1:1")];
    let ran = run_with(&["sandbox", "fault", "c1", "Crash", "--cloud", &cloud.uri()], "", &secret).await;
    assert_eq!((ran.code, ran.out.as_str()), (0, "host/c1 fault: Crash\n"), "{ran:?}");
    let requests = cloud.received_requests().await.unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&requests[0].body).unwrap(), json!({"host": "c1", "fault": "Crash"}));
    assert!(requests[0].headers.get("x-auth-token").is_none());
}

#[tokio::test]
async fn config_dump_shows_values_with_their_origin_and_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.toml");
    std::fs::write(&file, "[openstack]\npassword = \"hunter2\"\n").unwrap();
    let path = file.display().to_string();
    let environment = [("CLOUD_MANAGER_LOG__LEVEL", "debug")];
    let ran = run_with(&["config", "dump", "--config", &path, "--listen", "127.0.0.1:1"], "", &environment).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let line = |key: &str| ran.out.lines().find(|l| l.starts_with(key)).unwrap().to_string();
    assert!(line("listen = \"127.0.0.1:1\"").ends_with("# flag --listen"));
    assert!(line("level = \"debug\"").ends_with("# env CLOUD_MANAGER_LOG__LEVEL"));
    assert!(line("password = \"***\"").ends_with("c.toml:2"));
    assert!(line("url = ").ends_with("# default"));
    assert!(!ran.out.contains("hunter2"));
    std::fs::write(&file, "[api]\nlisten = 1\n").unwrap();
    let wrong = run_with(&["config", "dump", "--config", &path], "", &[]).await;
    assert_eq!(wrong.code, 2);
    assert!(wrong.err.contains("c.toml:2: api.listen"), "{wrong:?}");
}
