//! PostgreSQL.

use crate::{
    StoreError, StoreResult,
    config::{Server, TlsMode},
    connect::{Purpose, bad_certificate, idle_limit, millis, statement_limit, whole},
    schema::revision,
    tls, trouble,
};
use diesel::{ExpressionMethods, QueryDsl, QueryResult};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use secrecy::ExposeSecret;
use std::time::Duration;

/// A connection.
pub(crate) type Conn = AsyncPgConnection;

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

/// Takes the next revision.
pub(crate) async fn bump(c: &mut Conn) -> QueryResult<i64> {
    diesel::update(revision::table.find(1)).set(revision::current.eq(revision::current + 1)).returning(revision::current).get_result(c).await
}

/// Connects to PostgreSQL.
pub(crate) async fn connect(server: &Server, purpose: Purpose) -> StoreResult<Conn> {
    let mut options = tokio_postgres::Config::new();
    options.user(&server.user).dbname(&server.database).port(server.port).application_name("cloud-manager");
    options.keepalives(true).keepalives_idle(Duration::from_secs(10)).keepalives_interval(Duration::from_secs(3)).keepalives_retries(3);
    match &server.socket {
        Some(directory) => options.host_path(directory),
        None => options.host(&server.host),
    };
    if let Some(password) = &server.password {
        options.password(password.expose_secret());
    }
    if let Purpose::Calls(deadline) = purpose {
        options.tcp_user_timeout(deadline);
    }
    let fail = |e: tokio_postgres::Error| refusal(server, &e);
    let mut conn = if server.tls == TlsMode::Disable || server.socket.is_some() {
        options.ssl_mode(tokio_postgres::config::SslMode::Disable);
        let (client, connection) = options.connect(tokio_postgres::NoTls).await.map_err(fail)?;
        Conn::try_from_client_and_connection(client, connection).await
    } else {
        options.ssl_mode(tokio_postgres::config::SslMode::Require);
        let tls = tls::postgres(server).map_err(StoreError::Config)?;
        let (client, connection) = options.connect(tokio_postgres_rustls::MakeRustlsConnect::new(tls)).await.map_err(fail)?;
        Conn::try_from_client_and_connection(client, connection).await
    }
    .map_err(|e| trouble::explain(&e.to_string()))?;
    // `on` at least: an acknowledged intent must be on disk. More (`remote_apply`) is left as it is.
    let mut session = String::from(
        "SET default_transaction_isolation = 'read committed'; SET client_min_messages = warning; \
         SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write');",
    );
    if let Purpose::Calls(deadline) = purpose {
        session += &format!(
            "SET statement_timeout = {}; SET lock_timeout = {}; SET idle_in_transaction_session_timeout = {};",
            millis(statement_limit(deadline)),
            millis(deadline * 4 / 5),
            millis(idle_limit(deadline)),
        );
    }
    conn.batch_execute(&session).await?;
    if matches!(purpose, Purpose::Calls(_)) {
        let standby: bool = diesel::select(diesel::dsl::sql::<diesel::sql_types::Bool>("pg_is_in_recovery()")).get_result(&mut conn).await?;
        if standby {
            return Err(StoreError::ReadOnly(
                "this server is a standby (in recovery), and what it shows may be old; use the address of the primary".into(),
            ));
        }
    }
    Ok(conn)
}

/// Why PostgreSQL would not let us in, and what to do. SQLSTATEs: Appendix A of its manual.
fn refusal(server: &Server, error: &tokio_postgres::Error) -> StoreError {
    let text = whole(error);
    let advice = match error.code().map(tokio_postgres::error::SqlState::code) {
        Some("28P01") => "check user and password of database.url",
        Some("28000") if text.contains("no encryption") || text.contains("SSL off") => {
            "the server does not take this connection in plain text; write sslmode=verify-full (or require), or change pg_hba.conf"
        }
        Some("28000") => "the server does not let this user in from here; check the user of database.url and the server's pg_hba.conf",
        Some("3D000") => "make it first: createdb --owner=USER NAME",
        Some("57P03") => "the server is starting or stopping; it is tried again",
        Some(_) => return trouble::explain(&text),
        None if text.contains("does not support TLS") => "switch TLS on at the server; sslmode=disable sends everything in plain text",
        None if text.contains("certificate") => return bad_certificate(server, &text, "sslrootcert"),
        None => "check that it runs and can be reached from here, and host and port of database.url",
    };
    StoreError::Unavailable(format!("{text}; {advice}"))
}
