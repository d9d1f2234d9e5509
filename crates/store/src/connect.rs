//! Making connections: what the three databases have in common.

use crate::{
    StoreConfig, StoreError, StoreResult,
    config::{Backend, Server, Where},
    mysql, postgres, sqlite,
};
use std::time::Duration;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The pool: bounded by the deadline of a call, on the primary only.
    Calls(Duration),
    /// Migrations and `doctor`: as long as it takes, on any server.
    Upkeep,
}

/// A connection of whichever database it is, outside the pool.
pub(crate) enum Single {
    Sqlite(sqlite::Conn),
    Postgres(Box<postgres::Conn>),
    Mysql(Box<mysql::Conn>),
}

/// Connects for upkeep.
pub(crate) async fn single(config: &StoreConfig) -> StoreResult<Single> {
    let connecting = async {
        Ok(match &config.place.0 {
            Where::File(path) => Single::Sqlite(sqlite::connect(path).await?),
            Where::Server(server) if server.backend == Backend::Postgres => {
                Single::Postgres(Box::new(postgres::connect(server, Purpose::Upkeep).await?))
            }
            Where::Server(server) => Single::Mysql(Box::new(mysql::connect(server, Purpose::Upkeep).await?)),
        })
    };
    let late = || {
        Err(StoreError::Unavailable(format!("no answer within {} s; check that it runs and can be reached from here", config.deadline.as_secs_f32())))
    };
    tokio::time::timeout(config.deadline, connecting).await.unwrap_or_else(|_| late()).map_err(|e| e.at(&config.describe()))
}

/// An error with everything behind it: the drivers' own texts say "db error" and no more.
pub(crate) fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = cause.source();
    }
    text
}

pub(crate) fn millis(time: Duration) -> u128 {
    time.as_millis().max(1)
}

/// A holder of the counter's lock that falls silent (a paused process, a lost machine) must not hold up
/// everybody for long: its transaction is ended by the server.
pub(crate) fn idle_limit(deadline: Duration) -> Duration {
    (deadline / 2).max(Duration::from_secs(2))
}

/// Longer than a call, so that the server never ends a `COMMIT` that someone still waits for: what
/// PostgreSQL then calls a success may not be on its standby.
pub(crate) fn statement_limit(deadline: Duration) -> Duration {
    deadline * 2
}

/// What to do about a certificate that is not trusted.
pub(crate) fn bad_certificate(server: &Server, text: &str, key: &str) -> StoreError {
    StoreError::Unavailable(format!(
        "{text}; the server must show a certificate for {:?} by a trusted authority: name the authority's file with {key}, and use the name in the certificate",
        server.host
    ))
}
