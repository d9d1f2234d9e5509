//! A real server that tells a real receiver, and dies in the middle of it.

mod site;

use serde_json::Value;
use site::{Site, bad, until};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate, matchers::any};

/// Takes everything, but the first of a reason it only takes after a while.
struct Slow {
    reason: &'static str,
    seen: Arc<AtomicUsize>,
}

impl Respond for Slow {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let first = body["reason"] == self.reason && self.seen.fetch_add(1, Ordering::SeqCst) == 0;
        ResponseTemplate::new(200).set_delay(Duration::from_secs(if first { 50 } else { 0 }))
    }
}

/// What came, in order.
async fn told(receiver: &MockServer) -> Vec<Value> {
    receiver.received_requests().await.unwrap().iter().map(|r| serde_json::from_slice(&r.body).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_while_it_tells_of_a_fence_tells_of_it_again_under_the_same_id() {
    let receiver = MockServer::start().await;
    let seen = Arc::new(AtomicUsize::new(0));
    Mock::given(any()).respond_with(Slow { reason: "Fencing", seen: seen.clone() }).mount(&receiver).await;
    let site = Site::new(1_000).await;
    site.configure(&format!("[webhook]\nurl = \"{}\"\nsecret = \"correct-horse-battery\"\ntimeout_seconds = 60\n", receiver.uri()));
    let server = site.start();
    site.wire();
    let host = "compute-02";
    site.world().fault(host, simulator::HostFault::Crash).unwrap();
    site.ok(&["evacuate", host, "--yes", "--mode", "Rebuild"]);
    let asked = seen.clone();
    until("the receiver hears of the fence", || (asked.load(Ordering::SeqCst) > 0).then_some(()));
    server.kill();

    let _server = site.start();
    until("the receiver hears of the fence again", || (seen.load(Ordering::SeqCst) > 1).then_some(()));
    let name = site.ok(&["get", "evacuations", "-o", "name"]).trim().split('/').next_back().unwrap().to_string();
    site.ok(&["wait", "evacuation", &name, "--for=condition=Succeeded", "--timeout", "180s"]);
    assert!(site.world().double_runs().is_empty());
    until("nothing is left to tell", || {
        let (_, findings) = site.doctor(&["--no-bmc"]);
        findings.iter().any(|f| f.0 == "ok" && f.1 == "webhook" && f.2.contains("nothing waits")).then_some(())
    });
    let told = told(&receiver).await;
    let mut by_id: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for one in &told {
        by_id.entry(one["id"].as_str().unwrap()).or_default().push(one);
    }
    assert!(by_id.values().all(|all| all.iter().all(|one| *one == all[0])), "an id always has the same words: {told:?}");
    let fence: Vec<_> = by_id.values().filter(|all| all[0]["reason"] == "Fencing").collect();
    assert_eq!(fence.iter().map(|all| all.len()).collect::<Vec<_>>(), [2], "one fence, told twice: {told:?}");
    assert_eq!(fence[0][0]["regarding"]["name"], name.as_str());
    assert!(told.iter().all(|one| one["type"] == "Warning"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_names_a_receiver_that_takes_nothing() {
    let receiver = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(503).set_body_string("the pager is out")).mount(&receiver).await;
    let site = Site::new(1_000).await;
    site.configure(&format!("[webhook]\nurl = \"{}/\"\nsecret = \"correct-horse-battery\"\nmin_type = \"Normal\"\n", receiver.uri()));
    let _server = site.start();
    site.wire();
    site.world().fault("compute-02", simulator::HostFault::Crash).unwrap();
    site.ok(&["evacuate", "compute-02", "--yes", "--mode", "Rebuild"]);
    until("doctor names it", || {
        let (_, findings) = site.doctor(&["--no-bmc"]);
        bad(&findings, "webhook").iter().any(|f| f.contains("the pager is out") && f.contains("wait")).then_some(())
    });
    let dump = site.ok(&["config", "dump"]);
    assert!(dump.contains("[webhook]") && dump.contains("secret = \"***\"") && !dump.contains("correct-horse"), "{dump}");
}
