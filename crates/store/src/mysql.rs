//! MySQL, MariaDB and Galera.

use crate::{
    StoreError, StoreResult,
    config::Server,
    connect::{Purpose, bad_certificate, idle_limit, millis, statement_limit, whole},
    schema::revision,
    tls, trouble,
};
use diesel::{ExpressionMethods, QueryDsl, QueryResult};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl};
use mysql_async::prelude::Queryable;
use secrecy::ExposeSecret;
use std::{collections::BTreeMap, time::Duration};

/// A connection.
pub(crate) type Conn = AsyncMysqlConnection;

/// Runs a transaction that writes. READ COMMITTED by the session.
macro_rules! in_transaction {
    ($c:expr, $body:expr) => {
        $c.transaction($body).await
    };
}

// The statements are plain diesel over `super::Conn`, compiled once for each database: a bound that says
// "all our queries work on this connection" would be longer than the queries.
#[path = "sql/mod.rs"]
pub(crate) mod sql;

pub(crate) use sql::audit::extend;

/// Takes the next revision. There is no RETURNING; the row is ours by now, so it is read as we left it.
pub(crate) async fn bump(c: &mut Conn) -> QueryResult<i64> {
    diesel::update(revision::table.find(1)).set(revision::current.eq(revision::current + 1)).execute(c).await?;
    revision::table.find(1).select(revision::current).first(c).await
}

/// What a MySQL server says about itself.
pub(crate) type Variables = BTreeMap<String, String>;

/// Whether a variable is on.
pub(crate) fn is_on(variables: &Variables, name: &str) -> bool {
    variables.get(name).is_some_and(|v| v.eq_ignore_ascii_case("on") || v == "1")
}

/// Whether it is MariaDB.
pub(crate) fn is_mariadb(variables: &Variables) -> bool {
    variables.get("version").is_some_and(|v| v.to_lowercase().contains("mariadb"))
}

/// Connects to MySQL or MariaDB.
pub(crate) async fn connect(server: &Server, purpose: Purpose) -> StoreResult<Conn> {
    Ok(connect_with_variables(server, purpose).await?.0)
}

/// Connects, and gives the variables read on the way.
pub(crate) async fn connect_with_variables(server: &Server, purpose: Purpose) -> StoreResult<(Conn, Variables)> {
    let ssl = if server.socket.is_some() { None } else { tls::mysql(server).map_err(StoreError::Config)? };
    let options = mysql_async::OptsBuilder::default()
        .ip_or_hostname(server.host.clone())
        .tcp_port(server.port)
        .socket(server.socket.as_ref().map(|p| p.to_string_lossy().into_owned()))
        // Otherwise the driver leaves a loopback address for a socket it hears of.
        .prefer_socket(false)
        .user(Some(server.user.clone()))
        .pass(server.password.as_ref().map(|p| p.expose_secret().to_string()))
        .db_name(Some(server.database.clone()))
        // Compare-and-set counts rows that matched, as on the other databases.
        .client_found_rows(true)
        .tcp_keepalive(Some(10_000u32))
        // diesel-async keeps prepared statements. A second memory closes those that it holds, one by one after the 32nd.
        .stmt_cache_size(0)
        .ssl_opts(ssl);
    let fail = |e: mysql_async::Error| refusal(server, &e);
    let mut conn = mysql_async::Conn::new(options).await.map_err(fail)?;
    let told: Vec<(String, String)> = conn
        .query("SHOW GLOBAL VARIABLES WHERE Variable_name IN ('version', 'read_only', 'super_read_only', 'wsrep_on', 'transaction_read_only', 'tx_read_only')")
        .await
        .map_err(fail)?;
    let variables: Variables = told.into_iter().collect();
    if matches!(purpose, Purpose::Calls(_)) && (is_on(&variables, "read_only") || is_on(&variables, "super_read_only")) {
        return Err(StoreError::ReadOnly(
            "this server is set to read_only, as a replica is, and what it shows may be old; use the address of the primary, or set read_only=OFF there".into(),
        ));
    }
    for statement in session(&variables, purpose) {
        conn.query_drop(statement).await.map_err(fail)?;
    }
    let conn = Conn::try_from(conn).await.map_err(|e| trouble::explain(&e.to_string()))?;
    Ok((conn, variables))
}

/// READ COMMITTED: under MySQL's own default a transaction that read before it waited for the counter would
/// compare with what was true before the takeover. English: errors are known by their words.
fn session(variables: &Variables, purpose: Purpose) -> Vec<String> {
    let mut all = vec![
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED".to_string(),
        "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO'".to_string(),
        "SET SESSION lc_messages = 'en_US'".to_string(),
    ];
    if is_on(variables, "wsrep_on") {
        // A read on another node than the last write waits until that write has arrived.
        all.push("SET SESSION wsrep_sync_wait = 1".into());
    }
    let Purpose::Calls(deadline) = purpose else { return all };
    let seconds = |time: Duration| time.as_secs().max(1);
    let lock = seconds(deadline * 4 / 5);
    all.push(format!("SET SESSION innodb_lock_wait_timeout = {lock}, lock_wait_timeout = {lock}"));
    let idle = seconds(idle_limit(deadline));
    if is_mariadb(variables) {
        let limit = statement_limit(deadline).as_secs_f64();
        all.push(format!("SET SESSION max_statement_time = {limit}, idle_transaction_timeout = {idle}"));
    } else {
        // MySQL knows no limit for idle transactions; this one ends idle connections of any kind, and the pool replaces them.
        let limit = millis(statement_limit(deadline));
        all.push(format!("SET SESSION max_execution_time = {limit}, wait_timeout = {}", idle.max(10)));
    }
    all
}

/// Why MySQL would not let us in, and what to do. Numbers: the server error reference of its manual.
fn refusal(server: &Server, error: &mysql_async::Error) -> StoreError {
    let text = whole(error);
    let code = match error {
        mysql_async::Error::Server(e) => Some(e.code),
        _ => None,
    };
    let advice = match code {
        Some(1045 | 1698) => "check user and password of database.url, and whether the user must use TLS (sslmode)",
        Some(1044 | 1049) => "make the database first (CREATE DATABASE … CHARACTER SET utf8mb4) and give the user all rights on it",
        Some(1130) => "the server does not let this machine in; check the host part of its user",
        Some(3159) => "the server does not take connections in plain text; write sslmode=verify-full (or require)",
        Some(_) => return trouble::explain(&text),
        None if text.contains("does not have this capability") || text.contains("CLIENT_SSL") => {
            "the server offers no TLS; switch it on there; sslmode=disable sends everything in plain text"
        }
        None if text.contains("certificate") || text.contains("Tls") => return bad_certificate(server, &text, "ssl_ca"),
        None => "check that it runs and can be reached from here, and host and port of database.url",
    };
    StoreError::Unavailable(format!("{text}; {advice}"))
}
