//! What is told reaches a real receiver, whatever it does and whoever dies: at least once, under one id, in order.

mod receiver;

use async_trait::async_trait;
use cloud::webhook::{self, Webhook, WebhookConfig};
use controller::{Delivery, deliver};
use engine::{Clock, Metrics, SystemClock};
use receiver::{Does, Receiver, Request};
use schemas::Time;
use secrecy::SecretString;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use store::{Fate, Guard, KeyRing, Letter, Op, Outbox, OutboxRule, OutboxState, SqlStore, Store, StoreConfig, StoreResult, Telling, migrate};
use test_databases::Kind;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const SECRET: &str = "correct-horse-battery-staple";

/// A database, and what delivers from it.
struct Site {
    config: StoreConfig,
    store: Arc<SqlStore>,
    metrics: Metrics,
    _dir: Option<tempfile::TempDir>,
}

impl Site {
    async fn at(config: StoreConfig, dir: Option<tempfile::TempDir>) -> Site {
        let config =
            StoreConfig { deadline: Duration::from_secs(60), outbox: Some(OutboxRule { warnings_only: true, reasons: Vec::new() }), ..config };
        migrate(&config, None).await.unwrap();
        let store = Arc::new(open(&config).await);
        Site { config, store, metrics: Metrics::default(), _dir: dir }
    }

    async fn sqlite() -> Site {
        let dir = tempfile::tempdir().unwrap();
        Site::at(StoreConfig::sqlite(dir.path().join("db")), Some(dir)).await
    }

    /// `None` if the server is not installed; that was said aloud.
    async fn server(kind: Kind) -> Option<Site> {
        let server = test_databases::shared(kind)?;
        Some(Site::at(StoreConfig::parse(&server.url(&server.create_database())).unwrap(), None).await)
    }

    async fn tell(&self, notes: std::ops::Range<usize>) {
        for n in notes {
            let telling = Telling {
                regarding: "Host/compute-01".into(),
                regarding_uid: "6f1a".into(),
                warning: true,
                reason: "HostDown".into(),
                note: format!("{n}"),
                reporter: "controller".into(),
            };
            let normal = Telling { warning: false, ..telling.clone() };
            self.store.commit(Guard::Open, SystemClock.now(), vec![Op::Tell(normal), Op::Tell(telling)]).await.unwrap();
        }
    }

    /// A leader's postman. Dropped or aborted, it is dead.
    fn postman(&self, url: &str, outbox: Arc<dyn Outbox>) -> Postman {
        let config = WebhookConfig { url: url.into(), secret: SecretString::from(SECRET), timeout: Duration::from_secs(2), ca_file: None };
        let to = Delivery { outbox, receiver: Arc::new(Webhook::new(config).unwrap()) };
        Postman(tokio::spawn(deliver(to, "the-cluster".into(), Arc::new(SystemClock), self.metrics.clone(), CancellationToken::new())))
    }

    /// Waits until nothing is left to deliver.
    async fn empty(&self) -> OutboxState {
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            let state = self.store.outbox().await.unwrap();
            if state.length == 0 {
                return state;
            }
            assert!(Instant::now() < deadline, "never empty: {state:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn open(config: &StoreConfig) -> SqlStore {
    SqlStore::open(config, KeyRing::parse(&format!("k:{}", "07".repeat(32))).unwrap()).await.unwrap()
}

struct Postman(JoinHandle<()>);

impl Postman {
    /// As SIGKILL does it: at whatever await it is.
    async fn kill(mut self) {
        self.0.abort();
        let _ = (&mut self.0).await;
    }
}

impl Drop for Postman {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn notes(got: &[Request]) -> Vec<String> {
    got.iter().map(Request::note).collect()
}

/// Each body is whole, names its deployment, and is signed by who has the secret.
fn check(request: &Request) {
    let (id, timestamp) = (request.header(webhook::ID_HEADER), request.header(webhook::TIMESTAMP_HEADER));
    let signature = webhook::signature(&SecretString::from(SECRET), timestamp, &request.body);
    assert_eq!(request.header(webhook::SIGNATURE_HEADER), signature);
    let sent = timestamp.parse::<i64>().unwrap();
    assert!((jiff::Timestamp::now().as_second() - sent).abs() < 300, "{timestamp}");
    let body = request.json();
    assert_eq!(body["id"], id);
    assert_eq!((body["cluster"].as_str(), body["type"].as_str(), body["reason"].as_str()), (Some("the-cluster"), Some("Warning"), Some("HostDown")));
    assert_eq!(body["regarding"], serde_json::json!({"kind": "Host", "name": "compute-01", "uid": "6f1a"}));
    assert_eq!(body["reporter"], "controller");
    assert!(Time::parse(body["time"].as_str().unwrap()).is_ok(), "{body}");
}

/// Makes a test of each database out of one.
macro_rules! on_each_database {
    ($(async fn $name:ident($site:ident) $body:block)*) => {$(
        mod $name {
            use super::*;

            async fn body($site: Site) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_sqlite() {
                body(Site::sqlite().await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_postgresql() {
                if let Some(site) = Site::server(Kind::Postgres).await {
                    body(site).await;
                }
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_mariadb() {
                if let Some(site) = Site::server(Kind::Mariadb).await {
                    body(site).await;
                }
            }
        }
    )*};
}

on_each_database! {
    async fn everything_arrives_once_signed_and_in_order(site) {
        let receiver = Receiver::start(&[]).await;
        site.tell(0..3).await;
        let _postman = site.postman(&receiver.url, site.store.clone());
        receiver.wait(3).await;
        site.tell(3..150).await;
        let state = site.empty().await;
        let got = receiver.got();
        assert_eq!(notes(&got), (0..150).map(|n| n.to_string()).collect::<Vec<_>>());
        got.iter().for_each(check);
        assert_eq!((state.delivered, state.given_up, state.dropped), (150, 0, 0));
        assert!(state.delivered_at.is_some() && state.failed_at.is_none());
        assert!(site.metrics.text().contains("cloud_manager_webhook_deliveries_total{result=\"delivered\"} 150"), "{}", site.metrics.text());
    }

    async fn a_postman_that_dies_before_the_answer_is_followed_by_one_that_delivers_the_same_again(site) {
        let receiver = Receiver::start(&[Does::Answer(204), Does::Hang]).await;
        site.tell(0..3).await;
        let first = site.postman(&receiver.url, site.store.clone());
        receiver.wait(2).await;
        first.kill().await;
        // As after a restart: nothing is known but what is in the database.
        let again = Arc::new(open(&site.config).await);
        let _second = site.postman(&receiver.url, again);
        site.empty().await;
        let got = receiver.got();
        assert_eq!(notes(&got), ["0", "1", "1", "2"]);
        got.iter().for_each(check);
        assert_eq!(got[1].header(webhook::ID_HEADER), got[2].header(webhook::ID_HEADER), "under the same id");
        assert_eq!(got[1].body, got[2].body, "with the same words");
    }

    async fn a_postman_that_dies_between_the_answer_and_the_note_of_it_is_followed_by_one_that_delivers_the_same_again(site) {
        let receiver = Receiver::start(&[]).await;
        site.tell(0..2).await;
        let stuck = Arc::new(Stuck { inner: site.store.clone(), reached: AtomicBool::new(false) });
        let first = site.postman(&receiver.url, stuck.clone());
        let deadline = Instant::now() + Duration::from_secs(60);
        while !stuck.reached.load(Ordering::SeqCst) {
            assert!(Instant::now() < deadline, "the first letter was never delivered");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(notes(&receiver.got()), ["0"]);
        first.kill().await;
        let _second = site.postman(&receiver.url, Arc::new(open(&site.config).await));
        let state = site.empty().await;
        let got = receiver.got();
        assert_eq!(notes(&got), ["0", "0", "1"]);
        assert_eq!(got[0].header(webhook::ID_HEADER), got[1].header(webhook::ID_HEADER));
        assert_eq!(state.delivered, 2, "noted once each");
    }
}

/// A database in which nothing can be noted any longer: whoever tries hangs there.
struct Stuck {
    inner: Arc<SqlStore>,
    reached: AtomicBool,
}

#[async_trait]
impl Outbox for Stuck {
    async fn letters(&self, limit: i64) -> StoreResult<Vec<Letter>> {
        self.inner.letters(limit).await
    }

    async fn settle_letter(&self, _: &str, _: &Fate, _: Time) -> StoreResult<()> {
        self.reached.store(true, Ordering::SeqCst);
        std::future::pending().await
    }

    async fn outbox(&self) -> StoreResult<OutboxState> {
        self.inner.outbox().await
    }

    async fn trim_outbox(&self, keep: i64, before: Time, now: Time) -> StoreResult<i64> {
        self.inner.trim_outbox(keep, before, now).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_fails_hangs_up_and_hangs_gets_everything_in_order_under_the_same_ids() {
    let site = Site::sqlite().await;
    let receiver = Receiver::start(&[Does::Answer(503), Does::Close, Does::Hang, Does::Answer(200), Does::Answer(429)]).await;
    site.tell(0..3).await;
    let _postman = site.postman(&receiver.url, site.store.clone());
    let state = site.empty().await;
    let got = receiver.got();
    assert_eq!(notes(&got), ["0", "0", "0", "0", "1", "1", "2"]);
    got.iter().for_each(check);
    let ids: Vec<&str> = got.iter().map(|r| r.header(webhook::ID_HEADER)).collect();
    assert!(ids[..4].iter().all(|id| *id == ids[0]) && ids[4] == ids[5] && ids[0] != ids[4] && ids[5] != ids[6], "{ids:?}");
    assert_eq!((state.delivered, state.given_up, state.dropped), (3, 0, 0));
    assert!(state.failure.contains("429"), "{state:?}");
    let text = site.metrics.text();
    assert!(text.contains("cloud_manager_webhook_deliveries_total{result=\"failed\"} 4"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_listens_and_later_somebody_does() {
    let site = Site::sqlite().await;
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = Receiver::start(&[]).await;
    let place = format!("http://{}/hook", free.local_addr().unwrap());
    drop(free);
    site.tell(0..2).await;
    let postman = site.postman(&place, site.store.clone());
    let deadline = Instant::now() + Duration::from_secs(60);
    while site.store.outbox().await.unwrap().failed_at.is_none() {
        assert!(Instant::now() < deadline, "a failure was never noted");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let state = site.store.outbox().await.unwrap();
    assert!(state.length == 2 && !state.failure.contains("/hook"), "nothing is lost, and no path is shown: {state:?}");
    postman.kill().await;
    let _postman = site.postman(&nobody.url, site.store.clone());
    site.empty().await;
    assert_eq!(notes(&nobody.got()), ["0", "1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_is_not_followed() {
    let site = Site::sqlite().await;
    let receiver = Receiver::start(&[Does::Redirect]).await;
    site.tell(0..1).await;
    let _postman = site.postman(&receiver.url, site.store.clone());
    let state = site.empty().await;
    // The receiver knows only one path, and says so aloud.
    assert_eq!(notes(&receiver.got()), ["0", "0"]);
    assert!(state.failure.contains("307"), "{state:?}");
}
