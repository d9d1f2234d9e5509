//! PostgreSQL.

use crate::{
    AuditChain, AuditRow, StoreError, StoreResult,
    config::{Server, TlsMode},
    connect::{Purpose, bad_certificate, idle_limit, millis, statement_limit, whole},
    schema::revision,
    tls, trouble,
};
use diesel::{
    ExpressionMethods, QueryDsl, QueryResult,
    pg::Pg,
    query_builder::{AstPass, QueryFragment, QueryId},
    sql_types::{BigInt, Bool, Text},
};
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

/// Writes audit records and the ends of the chain with them; see [`sql::audit::extend`]. One record, as almost every
/// transaction has, takes one statement: it is what the audit costs a write here.
pub(crate) async fn extend(c: &mut Conn, seal: &str, chain: &AuditChain, rows: &[AuditRow]) -> QueryResult<bool> {
    match rows {
        [row] => Ok(ExtendByOne { seal, chain, row }.execute(c).await? == 1),
        rows => sql::audit::extend(c, seal, chain, rows).await,
    }
}

/// Diesel has no `WITH` that writes.
struct ExtendByOne<'a> {
    seal: &'a str,
    chain: &'a AuditChain,
    row: &'a AuditRow,
}

impl QueryId for ExtendByOne<'_> {
    type QueryId = ExtendByOne<'static>;
}

impl QueryFragment<Pg> for ExtendByOne<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let ExtendByOne { seal, chain, row } = self;
        out.push_sql("WITH ends AS (UPDATE audit_chain SET last_seq = ");
        out.push_bind_param::<BigInt, _>(&chain.last_seq)?;
        let texts =
            [(", last_mac = ", &chain.last_mac), (", anchor_mac = ", &chain.anchor_mac), (", key_id = ", &chain.key_id), (", seal = ", &chain.seal)];
        for (column, value) in texts {
            out.push_sql(column);
            out.push_bind_param::<Text, _>(value)?;
        }
        out.push_sql(", anchor_seq = ");
        out.push_bind_param::<BigInt, _>(&chain.anchor_seq)?;
        out.push_sql(" WHERE id = 1 AND seal = ");
        out.push_bind_param::<Text, _>(*seal)?;
        out.push_sql(
            " RETURNING id) INSERT INTO audit (id, action, outcome, target, target_uid, host, initiator, body, key_id, previous, mac, \
             seq, at_micros, by_user) SELECT ",
        );
        let texts = [&row.id, &row.action, &row.outcome, &row.target, &row.target_uid, &row.host, &row.initiator, &row.body, &row.key_id];
        for value in texts.into_iter().chain([&row.previous, &row.mac]) {
            out.push_bind_param::<Text, _>(value)?;
            out.push_sql(", ");
        }
        out.push_bind_param::<BigInt, _>(&row.seq)?;
        out.push_sql(", ");
        out.push_bind_param::<BigInt, _>(&row.at.0)?;
        out.push_sql(", ");
        out.push_bind_param::<Bool, _>(&row.by_user)?;
        out.push_sql(" FROM ends");
        Ok(())
    }
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
