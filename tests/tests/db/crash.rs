//! `kill -9` of the database during writes: nothing acknowledged is missing, nothing is there twice.

use crate::{at, eventually, host, keys, open, patient};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use store::{AuditEntry, AuditLog, AuditQuery, ChangeOp, Guard, ListQuery, Op, SqlStore, Store, StoreConfig, StoreError};
use test_databases::{Kind, Options, Server};

const WRITERS: usize = 4;

/// How often to kill; `DATABASE_KILLS` raises it.
fn kills() -> usize {
    std::env::var("DATABASE_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(50)
}

/// What a writer was told about each object it made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Written,
    NotWritten,
    /// Not known then; a look after the restart found it, or did not.
    Unknown,
}

type Book = Arc<Mutex<BTreeMap<String, Told>>>;

/// Makes one object after the other, never the same twice, and books the answers.
async fn write(store: SqlStore, writer: usize, book: Book, acknowledged: Arc<AtomicUsize>, stop: Arc<AtomicBool>) {
    let mut n = 0;
    while !stop.load(Ordering::SeqCst) {
        let name = format!("w{writer}-{n}");
        n += 1;
        let told = match store.commit(Guard::Open, at(0), vec![Op::Create(host(&name)), Op::Audit(record(&name)), Op::RequireNotFrozen]).await {
            Ok(_) => Told::Written,
            Err(StoreError::OutcomeUnknown(_)) => Told::Unknown,
            Err(error) if error.is_retryable() => Told::NotWritten,
            Err(other) => panic!("{name}: {other}"),
        };
        book.lock().unwrap().insert(name, told);
        match told {
            Told::Written => drop(acknowledged.fetch_add(1, Ordering::SeqCst)),
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// That a host was made.
fn record(name: &str) -> AuditEntry {
    AuditEntry {
        action: "create".into(),
        outcome: "success".into(),
        target: format!("Host/{name}"),
        initiator: "ann".into(),
        body: serde_json::json!({}),
        ..AuditEntry::default()
    }
}

/// The books against the table and against history.
async fn audit(store: &SqlStore, book: &BTreeMap<String, Told>) {
    let there: BTreeMap<String, i64> =
        store.list("Host", ListQuery::default()).await.unwrap().items.into_iter().map(|o| (o.metadata.name.clone(), o.metadata.revision())).collect();
    for (name, told) in book {
        match told {
            Told::Written => assert!(there.contains_key(name), "{name} was acknowledged and is missing"),
            Told::NotWritten => assert!(!there.contains_key(name), "{name} was said not to be written, and is there"),
            Told::Unknown => {}
        }
    }
    let current = store.revision().await.unwrap().current;
    let mut made = BTreeMap::new();
    let mut last = 0;
    while last < current {
        for change in store.changes(last, 500).await.unwrap() {
            assert_eq!(change.revision, last + 1, "history has a hole");
            last = change.revision;
            assert_eq!(change.op, ChangeOp::Added);
            let again = made.insert(change.object.metadata.name.clone(), last);
            assert_eq!(again, None, "{} was made twice", change.object.metadata.name);
        }
    }
    assert_eq!(made, there, "history and table differ");
    assert!(there.keys().all(|name| book.contains_key(name)), "something is there that nobody wrote");
    // A host and the record of it are never apart, and no record is out of the chain.
    let records = store.audit_records(AuditQuery { limit: i64::MAX, ..AuditQuery::default() }).await.unwrap();
    let recorded: Vec<String> = records.iter().map(|r| r.target.trim_start_matches("Host/").to_string()).collect();
    let mut in_order: Vec<(&String, &i64)> = there.iter().collect();
    in_order.sort_by_key(|(_, revision)| **revision);
    assert_eq!(recorded, in_order.into_iter().map(|(name, _)| name.clone()).collect::<Vec<_>>(), "records and objects differ");
    let report = store.audit_verify().await.unwrap();
    assert_eq!((report.findings, report.records), (Vec::new(), there.len() as i64));
}

fn wait_until(what: &str, happened: impl Fn() -> bool) {
    let since = std::time::Instant::now();
    while !happened() {
        assert!(since.elapsed() < Duration::from_secs(120), "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

async fn kill_it_during_writes(kind: Kind) {
    let Some(server) = Server::start(kind, Options { durable: true, ..Options::default() }) else { return };
    let server = Arc::new(server);
    let config = patient(&server.url(&server.create_database()));
    // Two stores, as two processes have.
    let stores = [open(&config).await, open(&config).await];
    let (book, acknowledged, stop) = (Book::default(), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let writers: Vec<_> =
        (0..WRITERS).map(|w| tokio::spawn(write(stores[w % 2].clone(), w, book.clone(), acknowledged.clone(), stop.clone()))).collect();
    for kill in 0..kills() {
        let (server, acknowledged) = (server.clone(), acknowledged.clone());
        let before = acknowledged.load(Ordering::SeqCst);
        tokio::task::spawn_blocking(move || {
            // At another moment of the writes each time.
            wait_until("no writer gets on", || acknowledged.load(Ordering::SeqCst) >= before + 3 + kill % 7);
            server.kill();
            server.start_again();
        })
        .await
        .unwrap();
    }
    stop.store(true, Ordering::SeqCst);
    for writer in writers {
        writer.await.unwrap();
    }
    let book = book.lock().unwrap().clone();
    let store = eventually("the store opens", || SqlStore::open(&config, keys())).await;
    audit(&store, &book).await;
    let count = |told| book.values().filter(|t| **t == told).count();
    eprintln!(
        "{kind:?}: {} kills, {} written, {} not written, {} unknown",
        kills(),
        count(Told::Written),
        count(Told::NotWritten),
        count(Told::Unknown)
    );
    assert!(count(Told::Written) >= 3 * kills());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_postgresql_loses_nothing_acknowledged_and_repeats_nothing() {
    kill_it_during_writes(Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_mariadb_loses_nothing_acknowledged_and_repeats_nothing() {
    kill_it_during_writes(Kind::Mariadb).await;
}

const FILE: &str = "TEST_SQLITE_FILE";
const PREFIX: &str = "TEST_SQLITE_PREFIX";

/// The process that the next test kills; by itself it does nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a part of the next test"]
async fn a_process_that_writes_until_it_is_killed() {
    let (Ok(file), Ok(prefix)) = (std::env::var(FILE), std::env::var(PREFIX)) else { return };
    let store = SqlStore::open(&StoreConfig { deadline: Duration::from_secs(60), ..StoreConfig::sqlite(file) }, keys()).await.unwrap();
    for n in 0.. {
        let name = format!("{prefix}-{n}");
        println!("about {name}");
        store.commit(Guard::Open, at(0), vec![Op::Create(host(&name)), Op::Audit(record(&name))]).await.unwrap();
        println!("done {name}");
    }
}

/// Runs that process, kills it after `enough` acknowledgements, and books what it said.
fn one_life(file: &Path, prefix: &str, enough: usize, book: &mut BTreeMap<String, Told>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["crash::a_process_that_writes_until_it_is_killed", "--exact", "--ignored", "--nocapture"])
        .env(FILE, file)
        .env(PREFIX, prefix)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut done = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
        if let Some((_, name)) = line.split_once("about ") {
            book.insert(name.into(), Told::Unknown);
        } else if let Some(name) = line.strip_prefix("done ") {
            book.insert(name.into(), Told::Written);
            done += 1;
        }
        if done == enough {
            child.kill().unwrap();
        }
    }
    assert!(done >= enough, "the writer ended by itself");
    child.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_on_sqlite_loses_nothing_acknowledged_and_repeats_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("db");
    let config = StoreConfig { deadline: Duration::from_secs(60), ..StoreConfig::sqlite(&file) };
    drop(open(&config).await);
    let book = tokio::task::spawn_blocking(move || {
        let mut book = BTreeMap::new();
        for life in 0..kills() {
            one_life(&file, &format!("life{life}"), 3 + life % 7, &mut book);
        }
        book
    })
    .await
    .unwrap();
    let store = SqlStore::open(&config, keys()).await.unwrap();
    audit(&store, &book).await;
    assert!(book.values().filter(|t| **t == Told::Written).count() >= 3 * kills());
}
