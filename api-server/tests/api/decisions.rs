use crate::fixture::{Api, api};
use ::store::{Guard, Op};
use engine::{Clock, SystemClock};
use planner::{
    Fact,
    remediation::{HostRow, Input, Looked, Observer},
};
use reqwest::Method;
use schemas::{Object, ObjectMeta, Time, v1};
use serde_json::{Value, json};

/// Hosts, as the leader last saw them: name, and whether Nova calls it up.
async fn site(hosts: &[(&str, bool)], seconds_ago: i64) -> Api {
    let api = api().await;
    api.registry.ensure_defaults(&Default::default(), now()).await.unwrap();
    policy(&api, json!({"limits": {"maxDownHosts": 1}, "detection": {"downConfirmations": 1, "quietSeconds": 0}})).await;
    for (host, _) in hosts {
        api.host(host).await;
        let mut object = api.registry.store().get("Host", host).await.unwrap().unwrap();
        object.status = json!({"observedGeneration": 1, "availability": {"state": "Up"}});
        let expected = object.metadata.revision();
        api.registry.store().commit(Guard::Open, now(), vec![Op::Update { object, expected }]).await.unwrap();
    }
    saw(&api, hosts, seconds_ago).await;
    api
}

fn now() -> Time {
    SystemClock.now()
}

async fn policy(api: &Api, spec: Value) {
    let mut live = api.get("/v1/remediationpolicies/default").await.gives(200).body;
    live["spec"] = spec;
    api.put("/v1/remediationpolicies/default", &live).await.gives(200);
}

/// The leader has looked.
async fn saw(api: &Api, hosts: &[(&str, bool)], seconds_ago: i64) {
    let at = now().plus_seconds(-seconds_ago);
    let row = |(name, up): &(&str, bool)| {
        let host: Object<v1::Host> = Object { metadata: ObjectMeta::named(*name), spec: Default::default(), status: Default::default() };
        HostRow::plain(host, Fact::Seen(*up, at))
    };
    let input = Input {
        hosts: hosts.iter().map(row).collect(),
        policies: Vec::new(),
        domains: Vec::new(),
        observer: Observer { conductor_up: true, computes_up: 2, unread: None },
        now: at,
        led_since: at.plus_seconds(-3_600),
        frozen: false,
        halted: None,
    };
    let kept = Looked::of(&input).observation(now()).unwrap();
    api.registry.store().commit(Guard::Open, now(), vec![Op::PutObservation(kept)]).await.unwrap();
}

async fn revision(api: &Api) -> i64 {
    api.registry.store().revision().await.unwrap().current
}

#[tokio::test]
async fn what_would_be_begun_now_is_told_for_the_whole_cloud_and_nothing_is_written() {
    let api = site(&[("c1", false), ("c2", true), ("c3", true)], 3).await;
    let before = revision(&api).await;
    let body = api.get("/v1/decisions").await.gives(200).body;
    assert_eq!((&body["doubt"], &body["unremarkable"]), (&Value::Null, &json!(2)), "{body:#}");
    assert!((3..20).contains(&body["ageSeconds"].as_i64().unwrap()), "{body:#}");
    let [host] = body["hosts"].as_array().unwrap().as_slice() else { panic!("{body:#}") };
    assert_eq!(
        (&host["host"], &host["before"], &host["begin"], &host["guests"]),
        (&json!("c1"), &json!("Up"), &json!("Evacuation/auto-c1-1"), &json!(1))
    );
    assert_eq!((&host["availability"]["state"], &host["allowed"]["reason"]), (&json!("Down"), &json!("WithinLimits")));
    assert_eq!(host["availability"]["evidence"], json!(["L0 ServiceSilent"]));
    let policy = &body["policies"][0];
    assert_eq!((&policy["covered"], &policy["unhealthy"], &policy["budgetLeft"]), (&json!(3), &json!(1), &json!(0)), "{body:#}");
    assert_eq!(revision(&api).await, before);
    assert!(api.get("/v1/evacuations").await.body["items"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn why_nothing_would_be_begun_is_told_with_the_numbers() {
    let api = site(&[("c1", false), ("c2", false), ("c3", true)], 3).await;
    let body = api.get("/v1/decisions").await.gives(200).body;
    assert!(body["hosts"].as_array().unwrap().iter().all(|h| h["begin"].is_null() && h["allowed"]["reason"] == "StormLimit"), "{body:#}");
    assert!(body["policies"][0]["allowed"]["message"].as_str().unwrap().contains("2 of 3 hosts are down, the limit is 1"), "{body:#}");
    // The objects count as they are now, not as they were at the look.
    policy(&api, json!({"limits": {"maxDownHosts": 5}, "detection": {"downConfirmations": 1, "quietSeconds": 0}})).await;
    let body = api.get("/v1/decisions").await.gives(200).body;
    assert!(body["hosts"].as_array().unwrap().iter().all(|h| h["begin"].is_string()), "{body:#}");
}

#[tokio::test]
async fn of_one_host_it_is_told_where_its_guests_would_go() {
    let api = site(&[("c1", false), ("c2", true), ("dark", false)], 3).await;
    let body = api.get("/v1/decisions?host=c2").await.gives(200).body;
    assert_eq!((&body["hosts"][0]["host"], &body["hosts"][0]["nova"]["service"]), (&json!("c2"), &json!("Up")), "also of one that is up");
    assert_eq!(body["evacuation"]["items"][0]["destination"], "c2");
    assert_eq!(body["hosts"].as_array().unwrap().len(), 1);
    let dark = api.get("/v1/decisions?host=dark").await.gives(200).body;
    assert!(dark["evacuation"]["unknown"].as_str().unwrap().contains("cannot be read"), "{dark:#}");
    api.get("/v1/decisions?host=nowhere").await.fails(404, "not-found");
    api.get("/v1/decisions?policy=x").await.fails(400, "unknown-parameter");
}

#[tokio::test]
async fn policies_can_be_tried_out_and_are_not_kept() {
    let api = site(&[("c1", false), ("c2", false), ("c3", true)], 3).await;
    let before = revision(&api).await;
    let with = |limits: Value| json!({"policies": [{"metadata": {"name": "default"}, "spec": {"limits": limits, "detection": {"downConfirmations": 1, "quietSeconds": 0}}}]});
    let body = api.post("/v1/decisions", with(json!({"maxDownHosts": 2}))).await.gives(200).body;
    assert_eq!(body["laidOver"], json!(["default"]));
    assert!(body["hosts"].as_array().unwrap().iter().all(|h| h["begin"].is_string()), "{body:#}");
    assert_eq!(revision(&api).await, before);
    let limit = &api.get("/v1/remediationpolicies/default").await.body["spec"]["limits"]["maxDownHosts"];
    assert_eq!(*limit, 1);
    for (body, field) in [
        (with(json!({"maxDownHosts": -1})), "policies[0].spec.limits.maxDownHosts"),
        (json!({"policies": [{"spec": {}}]}), "policies[0].metadata.name"),
        (json!({"policies": {}}), "policies"),
        (json!({}), "policies"),
    ] {
        let wrong = api.post("/v1/decisions", body).await.gives(400);
        assert_eq!(wrong.body["errors"][0]["causes"][0]["field"], field, "{}", wrong.text);
    }
    api.post("/v1/decisions", json!({"polices": []})).await.gives(400);
}

#[tokio::test]
async fn a_look_that_is_too_old_says_nothing_of_now_and_no_look_is_told_as_none() {
    let api = site(&[("c1", false), ("c2", true)], 600).await;
    let body = api.get("/v1/decisions").await.gives(200).body;
    assert!(body["doubt"].as_str().unwrap().contains("s old"), "{body:#}");
    assert!(body["hosts"].as_array().unwrap().iter().all(|h| h["begin"].is_null() && h["nova"]["service"] == "Unknown"), "{body:#}");
    // A leader whose clock was set back is believed at once.
    saw(&api, &[("c1", true), ("c2", true)], 0).await;
    saw(&api, &[("c1", false), ("c2", true)], 2).await;
    let body = api.get("/v1/decisions").await.gives(200).body;
    assert_eq!((&body["doubt"], &body["hosts"][0]["begin"]), (&Value::Null, &json!("Evacuation/auto-c1-1")), "{body:#}");

    let empty = crate::fixture::api().await;
    let none = empty.get("/v1/decisions").await.fails(503, "unavailable");
    assert!(none.message().contains("no controller has looked"), "{}", none.message());
}

#[tokio::test]
async fn who_may_read_may_ask_and_nobody_else_and_a_look_is_evidence_about_no_host() {
    let api = site(&[("c1", false), ("c2", true)], 3).await;
    api.get_as("system-reader", "/v1/decisions").await.gives(200);
    for token in ["reader", "member"] {
        api.get_as(token, "/v1/decisions").await.fails(403, "forbidden");
        let post = api.anonymous(Method::POST, "/v1/decisions").header("x-auth-token", token);
        api.send(post.json(&json!({"policies": []}))).await.fails(403, "forbidden");
    }
    api.send(api.anonymous(Method::GET, "/v1/decisions")).await.gives(401);
    assert!(api.get("/v1/hosts/c1/evidence").await.gives(200).body["items"].as_array().unwrap().is_empty());
    assert!(api.registry.store().observations(None).await.unwrap().is_empty());
}
