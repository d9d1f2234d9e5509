//! Databases that answer, and say no: who may not come in, what may not be written, and what `doctor` finds.

use crate::{at, eventually, host, keys, open, patient};
use serde_json::json;
use std::time::Duration;
use store::{Backend, Guard, Level, Op, SqlStore, Store, StoreConfig, StoreError, migration_status};
use test_databases::{Kind, Options, PASSWORD, Server, USER, shared};

const KINDS: [Kind; 2] = [Kind::Postgres, Kind::Mariadb];

async fn refused(url: &str) -> String {
    let config = patient(url);
    let error = SqlStore::open(&config, keys()).await.err().unwrap_or_else(|| panic!("{config} let us in"));
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(&config.describe()), "{text} does not name {config}");
    assert!(!text.contains(PASSWORD) && !text.contains("wrong-horse"), "{text}");
    text
}

async fn create(store: &SqlStore, name: &str) -> Result<i64, StoreError> {
    store.commit(Guard::Open, at(0), vec![Op::Create(host(name))]).await.map(|c| c.revision)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_a_missing_database_and_a_closed_port_are_named_with_the_way_out() {
    for server in KINDS.into_iter().filter_map(shared) {
        let (name, address) = (server.create_database(), format!("127.0.0.1:{}", server.port()));
        let text = refused(&server.url_with(&format!("{USER}:wrong-horse"), &address, &name)).await;
        assert!(text.contains("check user and password"), "{text}");
        let text = refused(&server.url("nowhere")).await;
        assert!(text.contains("make") && text.contains("first"), "{text}");
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let text = refused(&server.url_with(&format!("{USER}:{PASSWORD}"), &free.to_string(), &name)).await;
        assert!(text.contains("check that it runs"), "{text}");
        // The same server by its socket.
        open(&patient(&server.socket_url(&name))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_wants_tls_is_used_with_it_and_one_that_has_none_is_not_used_in_plain_text() {
    for kind in KINDS {
        let Some(plain) = shared(kind) else { continue };
        let url = |server: &Server, host: &str, name: &str, options: &str| {
            format!("{}?{options}", server.url_with(&format!("{USER}:{PASSWORD}"), &format!("{host}:{}", server.port()), name))
        };
        let text = refused(&url(plain, "127.0.0.1", &plain.create_database(), "sslmode=require")).await;
        assert!(text.contains("switch") && text.contains("sslmode=disable"), "{text}");

        let Some(server) = Server::start(kind, Options { require_tls: true, ..Options::default() }) else { continue };
        let name = server.create_database();
        let text = refused(&url(&server, "127.0.0.1", &name, "")).await;
        assert!(text.contains("sslmode"), "{text}");
        let ca = match kind {
            Kind::Postgres => format!("sslrootcert={}", server.ca_file().display()),
            Kind::Mariadb => format!("ssl_ca={}", server.ca_file().display()),
        };
        // Anyone; the right name; by the system's authorities; with the wrong name.
        open(&patient(&url(&server, "127.0.0.1", &name, "sslmode=require"))).await;
        open(&patient(&url(&server, "localhost", &name, &ca))).await;
        let text = refused(&url(&server, "localhost", &name, "sslmode=verify-full")).await;
        assert!(text.contains("certificate") && text.contains("authority"), "{text}");
        let text = refused(&url(&server, "127.0.0.1", &name, &ca)).await;
        assert!(text.contains("certificate") && text.contains("127.0.0.1"), "{text}");
        if kind == Kind::Postgres {
            open(&patient(&url(&server, "127.0.0.1", &name, &format!("sslmode=verify-ca&{ca}")))).await;
            let text = refused(&url(&server, "localhost", &name, "sslmode=verify-ca")).await;
            assert!(text.contains("certificate"), "{text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgresql_that_turns_read_only_is_named_found_by_doctor_and_used_again_afterwards() {
    let Some(server) = shared(Kind::Postgres) else { return };
    let name = server.create_database();
    let config = patient(&server.url(&name));
    let store = open(&config).await;
    assert_eq!(create(&store, "a").await.unwrap(), 1);
    let cut = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    server.sql("", &format!("ALTER DATABASE {name} SET default_transaction_read_only = on"));
    server.sql("", &cut);
    // A connection that was just used is taken as it is: who comes next may find out that it was cut.
    let error = eventually("a refusal", || async {
        match create(&store, "b").await {
            Err(error @ StoreError::ReadOnly(_)) => Ok(error),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert!(matches!(&error, StoreError::ReadOnly(why) if why.contains(&name) && why.contains("primary")), "{error:?}");
    assert!(store.get("Host", "a").await.unwrap().is_some(), "what is there can be read");
    let report = SqlStore::inspect(&config).await.unwrap();
    assert!(report.read_only && !report.replica);
    assert!(
        report.notes.iter().any(|n| n.level == Level::Fail && n.what.contains("default_transaction_read_only = on") && !n.way_out.is_empty()),
        "{report:?}"
    );
    server.sql("", &format!("ALTER DATABASE {name} SET default_transaction_read_only = off"));
    // The connections that were opened meanwhile were thrown away with the error.
    assert_eq!(eventually("a write", || create(&store, "b")).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mariadb_that_turns_read_only_is_named_found_by_doctor_and_used_again_afterwards() {
    let Some(server) = Server::start(Kind::Mariadb, Options { durable: true, ..Options::default() }) else { return };
    let config = patient(&server.url(&server.create_database()));
    let store = open(&config).await;
    assert_eq!(create(&store, "a").await.unwrap(), 1);
    server.sql("", "SET GLOBAL read_only = ON");
    for _ in 0..3 {
        let error = create(&store, "b").await.unwrap_err();
        assert!(matches!(&error, StoreError::ReadOnly(why) if why.contains("primary")), "{error:?}");
    }
    let report = SqlStore::inspect(&config).await.unwrap();
    assert!(report.read_only);
    assert!(
        report.notes.iter().any(|n| n.level == Level::Fail && n.what.contains("read_only") && n.way_out.contains("read_only = OFF")),
        "{report:?}"
    );
    server.sql("", "SET GLOBAL read_only = OFF");
    assert_eq!(create(&store, "b").await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_finds_nothing_wrong_with_a_sound_database_and_what_is_wrong_with_an_unsafe_one() {
    let dir = tempfile::tempdir().unwrap();
    let config = StoreConfig::sqlite(dir.path().join("db"));
    open(&config).await;
    let report = SqlStore::inspect(&config).await.unwrap();
    assert_eq!((report.backend, report.level()), (Backend::Sqlite, Level::Ok), "{report:?}");
    for kind in KINDS {
        let Some(careless) = shared(kind) else { continue };
        let setting = match kind {
            Kind::Postgres => "fsync = off",
            Kind::Mariadb => "innodb_flush_log_at_trx_commit = 2",
        };
        let report = SqlStore::inspect(&patient(&careless.url(&careless.create_database()))).await.unwrap();
        assert!(report.notes.iter().any(|n| n.level == Level::Fail && n.what == setting), "{report:?}");
        let Some(sound) = Server::start(kind, Options { durable: true, ..Options::default() }) else { continue };
        let report = SqlStore::inspect(&patient(&sound.url(&sound.create_database()))).await.unwrap();
        assert_eq!(report.level(), Level::Ok, "{report:?}");
        assert!(!report.version.is_empty() && !report.read_only && !report.replica);
    }
}

/// The statement that makes writes of change rows fail so, or fail so twice and then no more.
fn trigger(kind: Kind, error: &str, twice: bool) -> Vec<String> {
    let condition = match (kind, twice) {
        (_, false) => "true",
        (Kind::Postgres, true) => "nextval('strikes') <= 2",
        (Kind::Mariadb, true) => "NEXTVAL(strikes) <= 2",
    };
    match kind {
        Kind::Postgres => vec![
            "CREATE SEQUENCE strikes; GRANT ALL ON SEQUENCE strikes TO PUBLIC".into(),
            format!(
                "CREATE FUNCTION strike() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF {condition} THEN RAISE EXCEPTION USING {error}; END IF; RETURN NEW; END $$"
            ),
            "CREATE TRIGGER strike BEFORE INSERT ON changes FOR EACH ROW EXECUTE FUNCTION strike()".into(),
        ],
        Kind::Mariadb => vec![
            "CREATE SEQUENCE strikes NOCACHE".into(),
            format!("CREATE TRIGGER strike BEFORE INSERT ON changes FOR EACH ROW BEGIN IF {condition} THEN SIGNAL {error}; END IF; END"),
        ],
    }
}

fn untrigger(kind: Kind) -> &'static str {
    match kind {
        Kind::Postgres => "DROP TRIGGER strike ON changes",
        Kind::Mariadb => "DROP TRIGGER strike",
    }
}

fn set(server: &Server, name: &str, statements: Vec<String>) {
    for statement in statements {
        server.sql(name, &statement);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_named_and_the_store_lives_on() {
    for server in KINDS.into_iter().filter_map(shared) {
        let name = server.create_database();
        let store = open(&patient(&server.url(&name))).await;
        let full = match server.kind() {
            Kind::Postgres => "ERRCODE = '53100', MESSAGE = 'could not extend file: No space left on device'",
            Kind::Mariadb => "SQLSTATE 'HY000' SET MYSQL_ERRNO = 1021, MESSAGE_TEXT = 'Disk full (changes); waiting for someone to free some space'",
        };
        set(server, &name, trigger(server.kind(), full, false));
        let error = create(&store, "a").await.unwrap_err();
        assert!(matches!(&error, StoreError::Unavailable(why) if why.contains("make room") && why.contains(&name)), "{error:?}");
        server.sql(&name, untrigger(server.kind()));
        assert_eq!(store.revision().await.unwrap().current, 0, "rollback leaves no trace");
        assert_eq!(create(&store, "a").await.unwrap(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_the_server_ended_for_another_is_run_again_and_written_once() {
    for server in KINDS.into_iter().filter_map(shared) {
        let errors: &[&str] = match server.kind() {
            Kind::Postgres => &[
                "ERRCODE = '40P01', MESSAGE = 'deadlock detected'",
                "ERRCODE = '40001', MESSAGE = 'could not serialize access due to concurrent update'",
                "ERRCODE = '55P03', MESSAGE = 'canceling statement due to lock timeout'",
            ],
            Kind::Mariadb => &[
                "SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'Deadlock found when trying to get lock; try restarting transaction'",
                "SQLSTATE 'HY000' SET MYSQL_ERRNO = 1205, MESSAGE_TEXT = 'Lock wait timeout exceeded; try restarting transaction'",
            ],
        };
        for error in errors {
            let name = server.create_database();
            let store = open(&patient(&server.url(&name))).await;
            set(server, &name, trigger(server.kind(), error, true));
            assert_eq!(create(&store, "a").await.unwrap_or_else(|e| panic!("{error}: {e}")), 1);
            assert_eq!(store.changes(0, 10).await.unwrap().len(), 1);
            server.sql(&name, untrigger(server.kind()));
            set(server, &name, trigger(server.kind(), error, false).split_off(if server.kind() == Kind::Postgres { 2 } else { 1 }));
            if server.kind() == Kind::Postgres {
                server.sql(&name, "CREATE OR REPLACE FUNCTION strike() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40P01', MESSAGE = 'deadlock detected'; END $$");
            }
            let error = create(&store, "b").await.unwrap_err();
            assert!(matches!(error, StoreError::Contended(_)) && error.is_retryable(), "{error:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_deadlock_costs_nothing_but_time() {
    for server in KINDS.into_iter().filter_map(shared) {
        let name = server.create_database();
        let store = open(&patient(&server.url(&name))).await;
        let put = |expected, n: i64| vec![Op::PutEvidence { host: "h".into(), expected, body: json!({"n": n}) }, Op::Create(host(&format!("h{n}")))];
        store.commit(Guard::Open, at(0), put(0, 0)).await.unwrap();
        let other = match server.kind() {
            Kind::Postgres => "BEGIN; UPDATE evidence SET version = version; SELECT pg_sleep(0.5); UPDATE revision SET compacted = compacted; COMMIT",
            Kind::Mariadb => "BEGIN; UPDATE evidence SET version = version; SELECT SLEEP(0.5); UPDATE revision SET compacted = compacted; COMMIT",
        };
        let database = name.clone();
        // It may be the one that is ended; then its client says so and fails, which is no matter here.
        let rival = tokio::task::spawn_blocking(move || std::panic::catch_unwind(|| server.sql(&database, other)));
        for n in 1..=20 {
            store.commit(Guard::Open, at(0), put(n, n)).await.unwrap();
        }
        drop(rival.await.unwrap());
        assert_eq!(store.evidence("h").await.unwrap().version, 21);
        assert_eq!(store.changes(0, 100).await.unwrap().len(), 21);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_who_holds_the_counter_delays_a_write_until_its_deadline_and_nothing_is_written_late() {
    for server in KINDS.into_iter().filter_map(shared) {
        let name = server.create_database();
        let config = patient(&server.url(&name));
        let (patient_store, hasty) = (open(&config).await, open(&StoreConfig { deadline: Duration::from_secs(2), ..config.clone() }).await);
        let holding = match server.kind() {
            Kind::Postgres => "BEGIN; UPDATE revision SET compacted = compacted; SELECT pg_sleep(6); COMMIT",
            Kind::Mariadb => "BEGIN; UPDATE revision SET compacted = compacted; SELECT SLEEP(6); COMMIT",
        };
        let database = name.clone();
        let holder = tokio::task::spawn_blocking(move || server.sql(&database, holding));
        let sleeping = match server.kind() {
            Kind::Postgres => {
                "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep(6)%' AND pid <> pg_backend_pid()"
            }
            Kind::Mariadb => "SELECT count(*) FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP(6)%' AND id <> CONNECTION_ID()",
        };
        while server.sql(&name, sleeping).trim() == "0" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let error = create(&hasty, "late").await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable(_) | StoreError::Contended(_)), "{error:?}");
        assert!(hasty.get("Host", "late").await.unwrap().is_none(), "readers are not held up");
        // One who is patient gets through, and the hasty one's write has not slipped in before it.
        assert_eq!(create(&patient_store, "patient").await.unwrap(), 1);
        assert!(hasty.get("Host", "late").await.unwrap().is_none());
        holder.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_connections_are_named() {
    for server in KINDS.into_iter().filter_map(shared) {
        let name = server.create_database();
        let config = patient(&server.url(&name));
        open(&config).await;
        match server.kind() {
            Kind::Postgres => server.sql("", &format!("ALTER DATABASE {name} CONNECTION LIMIT 0")),
            Kind::Mariadb => server.sql(
                "",
                &format!("CREATE USER one@'%' IDENTIFIED BY '{PASSWORD}' WITH MAX_CONNECTIONS_PER_HOUR 1; GRANT ALL ON {name}.* TO one@'%'"),
            ),
        };
        let config = match server.kind() {
            Kind::Postgres => config,
            Kind::Mariadb => patient(&server.url_with(&format!("one:{PASSWORD}"), &format!("127.0.0.1:{}", server.port()), &name)),
        };
        let mut error = migration_status(&config).await.err();
        if error.is_none() {
            error = migration_status(&config).await.err();
        }
        let Some(StoreError::Unavailable(why)) = error else { panic!("{error:?}") };
        assert!(why.contains("limit of connections"), "{why}");
    }
}
