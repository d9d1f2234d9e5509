//! The HTTP front, driven as a client does.

mod common;

use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use simulator::{CallFault, CallKind, Front, Topology, World};
use std::sync::{Arc, Mutex};
use std::time::Duration;

struct Cloud {
    front: Front,
    world: Arc<Mutex<World>>,
    client: Client,
    token: String,
}

impl Cloud {
    /// Three hosts, six guests, and everything as fast as it goes.
    async fn start() -> Cloud {
        let topology = Topology::sandbox(3, 6, 3).with(|s| {
            (s.report_interval_ms, s.service_down_ms) = (100, 400);
            (s.password, s.bmc_password) = ("sandbox".into(), Some("sandbox".into()));
            (s.boot_ms, s.nova_start_ms, s.rebuild_ms, s.live_migration_ms, s.conductor_ms) = (100, 50, 50, 100, 20);
        });
        let world = Arc::new(Mutex::new(topology.build(jiff::Timestamp::now().as_millisecond())));
        let front = simulator::serve(Arc::clone(&world), "127.0.0.1:0".parse().unwrap()).await.unwrap();
        let mut cloud = Cloud { front, world, client: Client::new(), token: String::new() };
        cloud.token = cloud.log_in("admin", "sandbox", json!({"project": {"name": "admin", "domain": {"name": "Default"}}})).await.unwrap();
        cloud
    }

    async fn log_in(&self, user: &str, password: &str, scope: Value) -> Result<String, StatusCode> {
        let user = json!({"name": user, "domain": {"name": "Default"}, "password": password});
        let body = json!({"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}});
        let response = self.client.post(format!("{}/auth/tokens", self.front.auth_url())).json(&body).send().await.unwrap();
        match response.status() {
            StatusCode::CREATED => Ok(response.headers()["x-subject-token"].to_str().unwrap().to_string()),
            other => Err(other),
        }
    }

    async fn get(&self, path: &str) -> Response {
        let request = self.client.get(format!("{}{path}", self.front.url())).header("x-auth-token", &self.token);
        request.header("openstack-api-version", "compute 2.93").send().await.unwrap()
    }

    async fn json(&self, path: &str) -> Value {
        let response = self.get(path).await;
        assert!(response.status().is_success(), "{path}: {}", response.status());
        response.json().await.unwrap()
    }

    async fn send(&self, method: reqwest::Method, path: &str, body: Value) -> Response {
        let request = self.client.request(method, format!("{}{path}", self.front.url())).header("x-auth-token", &self.token);
        request.header("openstack-api-version", "compute 2.93").json(&body).send().await.unwrap()
    }

    async fn action(&self, server: &str, body: Value) -> Response {
        self.send(reqwest::Method::POST, &format!("/v2.1/servers/{server}/action"), body).await
    }

    async fn service(&self, host: &str) -> Value {
        self.json(&format!("/v2.1/os-services?binary=nova-compute&host={host}")).await["services"][0].clone()
    }

    async fn server(&self, id: &str) -> Value {
        self.json(&format!("/v2.1/servers/{id}")).await["server"].clone()
    }

    async fn system(&self, host: &str) -> Value {
        let request = self.client.get(format!("{}/redfish/v1/Systems/{host}", self.front.url())).basic_auth("admin", Some("sandbox"));
        request.send().await.unwrap().json().await.unwrap()
    }

    async fn reset(&self, host: &str, kind: &str) -> StatusCode {
        let url = format!("{}/redfish/v1/Systems/{host}/Actions/ComputerSystem.Reset", self.front.url());
        self.client.post(url).basic_auth("admin", Some("sandbox")).json(&json!({"ResetType": kind})).send().await.unwrap().status()
    }

    /// A running guest, and where it is.
    fn a_guest(&self) -> (String, String) {
        let world = self.world.lock().unwrap();
        let running = |g: &String| world.show(g).is_some_and(|s| s.status == "ACTIVE");
        let id = world.guest_ids().into_iter().find(running).unwrap();
        let host = world.show(&id).unwrap().host.unwrap();
        (id, host)
    }

    fn other_than(&self, host: &str) -> String {
        self.world.lock().unwrap().host_names().into_iter().find(|h| h != host).unwrap()
    }
}

/// Asks again until it is so; panics with the last answer after ten seconds.
async fn until<T: std::fmt::Debug, F: Future<Output = T>>(what: &str, ask: impl Fn() -> F, is: impl Fn(&T) -> bool) -> T {
    let end = tokio::time::Instant::now() + Duration::from_secs(10);
    loop {
        let answer = ask().await;
        if is(&answer) {
            return answer;
        }
        assert!(tokio::time::Instant::now() < end, "never {what}: {answer:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_crashed_host_is_fenced_evacuated_and_returned_over_http() {
    let c = Cloud::start().await;
    let (guest, source) = c.a_guest();
    let dest = c.other_than(&source);
    assert_eq!(c.action(&guest, json!({"evacuate": {"host": dest}})).await.status(), 400);
    let fault = json!({"host": source, "fault": "Crash"});
    assert_eq!(c.send(reqwest::Method::POST, "/sandbox/faults", fault).await.status(), 200);
    assert_eq!(c.system(&source).await["PowerState"], "On");
    until("down", || c.service(&source), |s| s["state"] == "down").await;
    assert_eq!(c.reset(&source, "ForceOff").await, 204);
    assert_eq!(c.system(&source).await["PowerState"], "Off");
    let id = c.service(&source).await["id"].as_str().unwrap().to_string();
    let both = json!({"status": "disabled", "disabled_reason": "fenced", "forced_down": true});
    let row: Value = c.send(reqwest::Method::PUT, &format!("/v2.1/os-services/{id}"), both).await.json().await.unwrap();
    assert_eq!((row["service"]["status"].as_str(), row["service"]["forced_down"].as_bool()), (Some("disabled"), Some(true)));
    let accepted = c.action(&guest, json!({"evacuate": {"host": dest}})).await;
    assert_eq!((accepted.status().as_u16(), accepted.bytes().await.unwrap().len()), (200, 0));
    until("moved", || c.server(&guest), |s| s["OS-EXT-SRV-ATTR:host"] == dest.as_str() && s["status"] == "ACTIVE").await;
    let records = c.json(&format!("/v2.1/os-migrations?instance_uuid={guest}&migration_type=evacuation")).await;
    assert_eq!(records["migrations"].as_array().unwrap().len(), 1);
    let up = json!({"forced_down": false});
    until("done", || c.json("/v2.1/os-migrations?status=done"), |m| m["migrations"].as_array().is_some_and(|m| m.len() == 1)).await;
    let refused = c.send(reqwest::Method::PUT, &format!("/v2.1/os-services/{id}"), up.clone()).await;
    assert_eq!(refused.status(), 400);
    assert_eq!(refused.json::<Value>().await.unwrap()["badRequest"]["code"], 400);
    let allocations = c.json(&format!("/placement/allocations/{guest}")).await;
    assert_eq!(allocations["allocations"].as_object().unwrap().len(), 2);
    assert_eq!(c.reset(&source, "On").await, 204);
    until("completed", || c.json("/v2.1/os-migrations?status=completed"), |m| m["migrations"].as_array().is_some_and(|m| m.len() == 1)).await;
    assert_eq!(c.send(reqwest::Method::PUT, &format!("/v2.1/os-services/{id}"), up).await.status(), 200);
    until("up", || c.service(&source), |s| s["state"] == "up").await;
    let state = c.json("/sandbox/state").await;
    assert_eq!(state["double_runs"], json!([]));
    c.front.stop().await;
}

#[tokio::test]
async fn a_guest_is_moved_live_stopped_and_started() {
    let c = Cloud::start().await;
    let (guest, source) = c.a_guest();
    let dest = c.other_than(&source);
    let live = json!({"os-migrateLive": {"host": dest, "block_migration": "auto"}});
    assert_eq!(c.action(&guest, live.clone()).await.status(), 202);
    let conflict = c.action(&guest, live).await;
    assert_eq!(conflict.status(), 409);
    assert!(conflict.json::<Value>().await.unwrap()["conflictingRequest"]["message"].as_str().unwrap().contains("task_state migrating"));
    until("moved", || c.server(&guest), |s| s["OS-EXT-SRV-ATTR:host"] == dest.as_str()).await;
    assert_eq!(c.action(&guest, json!({"os-stop": null})).await.status(), 202);
    until("stopped", || c.server(&guest), |s| s["status"] == "SHUTOFF" && s["OS-EXT-STS:power_state"] == 4).await;
    assert_eq!(c.action(&guest, json!({"os-start": null})).await.status(), 202);
    until("started", || c.server(&guest), |s| s["status"] == "ACTIVE").await;
    for (body, status) in
        [(json!({"reboot": {}}), 400), (json!({"evacuate": {"force": true}}), 400), (json!({"os-migrateLive": {}}), 400), (json!([]), 400)]
    {
        assert_eq!(c.action(&guest, body.clone()).await.status(), status, "{body}");
    }
    assert_eq!(c.action("nobody", json!({"os-stop": null})).await.status(), 404);
}

#[tokio::test]
async fn lists_are_paged_and_unknown_markers_keys_and_versions_are_refused() {
    let c = Cloud::start().await;
    let mut seen = Vec::new();
    let mut path = "/v2.1/servers/detail?all_tenants=1&limit=2".to_string();
    for _ in 0..4 {
        let body = c.json(&path).await;
        seen.extend(body["servers"].as_array().unwrap().iter().map(|s| s["id"].as_str().unwrap().to_string()));
        match body["servers_links"][0]["href"].as_str() {
            Some(next) => path = next.strip_prefix(&c.front.url()).unwrap().to_string(),
            None => break,
        }
    }
    let mut ids = c.world.lock().unwrap().guest_ids();
    ids.reverse();
    assert_eq!(seen, ids, "newest first, each once");
    let (_, host) = c.a_guest();
    let here = c.json(&format!("/v2.1/servers/detail?all_tenants=1&host={host}")).await;
    assert_eq!(here["servers"].as_array().unwrap().len(), c.world.lock().unwrap().guests_of(&host).len());
    for path in ["/v2.1/servers/detail?marker=nobody", "/v2.1/servers/detail?bogus=1", "/v2.1/os-services?bogus=1", "/v2.1/os-migrations?limit=x"] {
        assert_eq!(c.get(path).await.status(), 400, "{path}");
    }
    let url = format!("{}/v2.1/os-services", c.front.url());
    let response = c.client.get(&url).header("x-auth-token", &c.token).header("openstack-api-version", "compute 2.99").send().await.unwrap();
    assert_eq!(response.status(), 406);
    let response = c.get("/v2.1/os-hypervisors/detail?limit=1").await;
    assert_eq!(response.headers()["openstack-api-version"], "compute 2.93");
    assert!(response.headers()["x-openstack-request-id"].to_str().unwrap().starts_with("req-"));
    let hypervisors: Value = response.json().await.unwrap();
    let provider = hypervisors["hypervisors"][0]["id"].as_str().unwrap();
    assert!(hypervisors["hypervisors_links"].is_array());
    let inventories = c.json(&format!("/placement/resource_providers/{provider}/inventories")).await;
    assert_eq!(inventories["inventories"]["VCPU"]["allocation_ratio"], 16.0);
    assert_eq!(c.json(&format!("/placement/resource_providers/{provider}/usages")).await["usages"].as_object().unwrap().len(), 3);
    assert!(c.json(&format!("/placement/resource_providers/{provider}/traits")).await["traits"].is_array());
    assert_eq!(c.get("/placement/resource_providers/nobody/usages").await.status(), 404);
    assert_eq!(c.json("/placement/allocations/nobody").await["allocations"], json!({}));
    assert_eq!(c.json("/placement/resource_providers").await["resource_providers"].as_array().unwrap().len(), 3);
    assert_eq!(c.json("/v2.1/os-aggregates").await["aggregates"], json!([]));
}

#[tokio::test]
async fn keystone_tells_bad_callers_bad_subjects_and_roles_apart() {
    let c = Cloud::start().await;
    let project = json!({"project": {"name": "admin", "domain": {"name": "Default"}}});
    assert_eq!(c.log_in("admin", "wrong", project.clone()).await, Err(StatusCode::UNAUTHORIZED));
    assert_eq!(c.log_in("nobody", "sandbox", project.clone()).await, Err(StatusCode::UNAUTHORIZED));
    assert_eq!(c.log_in("reader", "sandbox", json!({"system": {"all": true}})).await, Err(StatusCode::UNAUTHORIZED));
    let reader = c.log_in("reader", "sandbox", project).await.unwrap();
    let validate = async |caller: &str, subject: &str| {
        let request = c.client.get(format!("{}/auth/tokens", c.front.auth_url())).header("x-auth-token", caller);
        request.header("x-subject-token", subject).send().await.unwrap()
    };
    let told: Value = validate(&c.token, &reader).await.json().await.unwrap();
    assert_eq!((told["token"]["user"]["name"].as_str(), told["token"]["roles"][0]["name"].as_str()), (Some("reader"), Some("reader")));
    let urls: Vec<&str> = told["token"]["catalog"].as_array().unwrap().iter().map(|s| s["type"].as_str().unwrap()).collect();
    assert_eq!(urls, ["identity", "compute", "placement"]);
    assert_eq!(validate(&c.token, "nonsense").await.status(), 404);
    let refused = validate("nonsense", &reader).await;
    assert_eq!(refused.status(), 401);
    assert!(refused.headers()["www-authenticate"].to_str().unwrap().starts_with("Keystone uri="));
    assert_eq!(validate(&reader, &c.token).await.status(), 403);
    let services = c.client.get(format!("{}/v2.1/os-services", c.front.url())).header("x-auth-token", &reader).send().await.unwrap();
    assert_eq!(services.status(), 403);
    assert_eq!(c.client.get(format!("{}/v2.1/os-services", c.front.url())).send().await.unwrap().status(), 401);
    let credential = json!({"auth": {"identity": {"methods": ["application_credential"], "application_credential": {"id": "5a4db0c5a4db0c5a4db0c5a4db0c5a4d", "secret": "sandbox"}}}});
    let given = c.client.post(format!("{}/auth/tokens", c.front.auth_url())).json(&credential).send().await.unwrap();
    assert_eq!(given.status(), 201);
    for path in ["/v3", "/v2.1", "/v2.1/", "/placement", "/redfish/v1"] {
        assert_eq!(c.client.get(format!("{}{path}", c.front.url())).send().await.unwrap().status(), 200, "{path}");
    }
    assert_eq!(Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap().get(c.front.url()).send().await.unwrap().status(), 300);
}

#[tokio::test]
async fn redfish_sessions_open_and_close_and_a_silent_bmc_never_answers() {
    let c = Cloud::start().await;
    let url = c.front.url();
    let sessions = format!("{url}/redfish/v1/SessionService/Sessions");
    let wrong = c.client.post(&sessions).json(&json!({"UserName": "admin", "Password": "wrong"})).send().await.unwrap();
    assert_eq!(wrong.status(), 401);
    let open = c.client.post(&sessions).json(&json!({"UserName": "admin", "Password": "sandbox"})).send().await.unwrap();
    assert_eq!(open.status(), 201);
    let (token, location) = (open.headers()["x-auth-token"].clone(), open.headers()["location"].to_str().unwrap().to_string());
    let systems: Value = c.client.get(format!("{url}/redfish/v1/Systems")).header("x-auth-token", &token).send().await.unwrap().json().await.unwrap();
    assert_eq!(systems["Members"].as_array().unwrap().len(), 3);
    let one = systems["Members"][0]["@odata.id"].as_str().unwrap();
    let system: Value = c.client.get(format!("{url}{one}")).header("x-auth-token", &token).send().await.unwrap().json().await.unwrap();
    assert!(system["UUID"].is_string() && system["SerialNumber"].is_string());
    assert_eq!(system["Actions"]["#ComputerSystem.Reset"]["ResetType@Redfish.AllowableValues"][1], "ForceOff");
    assert_eq!(c.client.delete(format!("{url}{location}")).header("x-auth-token", &token).send().await.unwrap().status(), 204);
    assert_eq!(c.client.get(format!("{url}{one}")).header("x-auth-token", &token).send().await.unwrap().status(), 401);
    assert_eq!(c.reset("compute-01", "Nmi").await, 400);
    assert_eq!(c.reset("compute-99", "On").await, 404);
    assert_eq!(c.send(reqwest::Method::POST, "/sandbox/faults", json!({"host": "compute-01", "fault": "BmcUnreachable"})).await.status(), 200);
    let silent =
        c.client.get(format!("{url}/redfish/v1/Systems/compute-01")).basic_auth("admin", Some("sandbox")).timeout(Duration::from_millis(300));
    assert!(silent.send().await.unwrap_err().is_timeout());
    assert_eq!(c.send(reqwest::Method::POST, "/sandbox/faults", json!({"host": "compute-01", "fault": "None"})).await.status(), 200);
    assert_eq!(c.system("compute-01").await["PowerState"], "On");
    assert_eq!(c.reset("compute-01", "GracefulShutdown").await, 204);
    for (body, status) in [(json!({"host": "nope", "fault": "Crash"}), 404), (json!({"host": "compute-01", "fault": "Explode"}), 400)] {
        assert_eq!(c.send(reqwest::Method::POST, "/sandbox/faults", body).await.status(), status);
    }
}

#[tokio::test]
async fn injected_faults_show_over_http() {
    let c = Cloud::start().await;
    let inject = |kind, fault| c.world.lock().unwrap().inject(kind, fault, 1);
    inject(CallKind::Services, CallFault::Status { status: 429, retry_after_s: Some(7) });
    let response = c.get("/v2.1/os-services").await;
    assert_eq!((response.status().as_u16(), response.headers()["retry-after"].to_str().unwrap()), (429, "7"));
    inject(CallKind::Servers, CallFault::Nonsense);
    assert!(c.get("/v2.1/servers/detail").await.json::<Value>().await.is_err());
    inject(CallKind::Servers, CallFault::Partial);
    assert_eq!(c.json("/v2.1/servers/detail").await["servers"].as_array().unwrap().len(), 3);
    let (guest, _) = c.a_guest();
    inject(CallKind::Stop, CallFault::LostAnswer);
    let request = c.client.post(format!("{}/v2.1/servers/{guest}/action", c.front.url())).header("x-auth-token", &c.token);
    assert!(request.json(&json!({"os-stop": null})).timeout(Duration::from_millis(300)).send().await.unwrap_err().is_timeout());
    until("stopped all the same", || c.server(&guest), |s| s["status"] == "SHUTOFF").await;
    c.world.lock().unwrap().set_cell("cell1", false);
    let rows = c.json("/v2.1/os-services?binary=nova-compute").await;
    assert_eq!(rows["services"][0], json!({"binary": "nova-compute", "host": "compute-01", "status": "UNKNOWN"}));
    assert_eq!(c.json("/v2.1/servers/detail?all_tenants=1&host=compute-01").await["servers"], json!([]));
    assert_eq!(c.json("/v2.1/servers/detail?all_tenants=1").await["servers"][0]["status"], "UNKNOWN");
}
