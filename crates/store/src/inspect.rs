//! What `doctor` says about a database: whether it keeps what it acknowledges, and whether it is the right server.

use crate::{
    Backend, SqlStore, StoreConfig, StoreError, StoreResult,
    connect::{Single, single},
    mysql::{self, Variables, is_on},
    postgres, sqlite,
};
use diesel::{
    QueryableByName, sql_query,
    sql_types::{BigInt, Text},
};
use diesel_async::RunQueryDsl;
use std::{
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Ok,
    /// It works; a failure may cost more than it has to.
    Warn,
    /// It does not work, or acknowledged writes may be lost.
    Fail,
}

/// One thing found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What was found.
    pub what: String,
    /// What to do; empty if nothing.
    pub way_out: String,
}

/// See [`SqlStore::inspect`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseReport {
    /// Which database.
    pub backend: Backend,
    /// Its version, as it says it.
    pub version: String,
    /// Whether it takes no writes now.
    pub read_only: bool,
    /// Whether it is a standby or replica.
    pub replica: bool,
    /// Everything looked at.
    pub notes: Vec<Finding>,
}

/// Clocks further apart than this are named.
const SKEW: Duration = Duration::from_secs(2);

impl DatabaseReport {
    fn new(backend: Backend, version: String) -> Self {
        DatabaseReport { backend, version, read_only: false, replica: false, notes: Vec::new() }
    }

    fn note(&mut self, level: Level, what: impl Into<String>, way_out: impl Into<String>) {
        self.notes.push(Finding { level, what: what.into(), way_out: way_out.into() });
    }

    fn check(&mut self, good: bool, level: Level, what: impl Into<String>, way_out: &str) {
        if good { self.note(Level::Ok, what, "") } else { self.note(level, what, way_out) }
    }

    /// The worst finding.
    pub fn level(&self) -> Level {
        self.notes.iter().map(|n| n.level).max().unwrap_or(Level::Ok)
    }
}

impl SqlStore {
    /// Looks at a database's settings, without writing and whatever its schema is.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if it cannot be reached, with what to do.
    pub async fn inspect(config: &StoreConfig) -> StoreResult<DatabaseReport> {
        let looking = async {
            match single(config).await? {
                Single::Sqlite(mut conn) => look_sqlite(&mut conn, config.sqlite_path()).await,
                Single::Postgres(mut conn) => look_postgres(&mut conn).await,
                Single::Mysql(mut conn) => look_mysql(&mut conn).await,
            }
        };
        let late = || Err(StoreError::Unavailable(format!("no answer within {} s", config.deadline.as_secs_f32())));
        tokio::time::timeout(config.deadline, looking).await.unwrap_or_else(|_| late()).map_err(|e| e.at(&config.describe()))
    }
}

#[derive(QueryableByName)]
struct Named {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    value: String,
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    value: i64,
}

fn into_map(rows: Vec<Named>) -> Variables {
    rows.into_iter().map(|r| (r.name.to_lowercase(), r.value)).collect()
}

fn micros() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX))
}

/// Compares the clocks. The server's was read between `before` and `after`, so the round trip is no skew.
fn note_clock(report: &mut DatabaseReport, before: i64, server: i64, after: i64) {
    let off = if server < before { server - before } else { (server - after).max(0) };
    let skew = Duration::from_micros(off.unsigned_abs());
    let side = if off < 0 { "behind" } else { "ahead of" };
    let what = if skew < Duration::from_millis(100) {
        "its clock agrees with ours".into()
    } else {
        format!("its clock is {:.1} s {side} ours", skew.as_secs_f64())
    };
    report.check(skew <= SKEW, Level::Warn, what, "no decision depends on it, but times in logs and events will not fit together: run NTP on both");
}

async fn look_sqlite(conn: &mut sqlite::Conn, path: Option<&Path>) -> StoreResult<DatabaseReport> {
    let setting = async |conn: &mut sqlite::Conn, sql: &str| -> StoreResult<String> { Ok(sql_query(sql).get_result::<Named>(conn).await?.value) };
    let version = setting(conn, "SELECT '' AS name, sqlite_version() AS value").await?;
    let mut report = DatabaseReport::new(Backend::Sqlite, version);
    let journal = setting(conn, "SELECT '' AS name, journal_mode AS value FROM pragma_journal_mode").await?;
    report.check(
        journal == "wal",
        Level::Warn,
        format!("journal mode {journal}"),
        "WAL cannot be used here: readers will wait for writers; put the file on a local disk",
    );
    let synchronous = setting(conn, "SELECT '' AS name, CAST(synchronous AS TEXT) AS value FROM pragma_synchronous").await?;
    let kept = matches!(synchronous.as_str(), "2" | "3");
    report.check(kept, Level::Fail, format!("synchronous {synchronous}"), "acknowledged writes may be lost in a power cut");
    if let Some(path) = path {
        report.read_only = std::fs::metadata(path).is_ok_and(|m| m.permissions().readonly());
        report.check(
            !report.read_only,
            Level::Fail,
            format!("{} may{} be written", path.display(), if report.read_only { " not" } else { "" }),
            "make it writable for this user",
        );
        if let Some(kind) = filesystem_of(path) {
            let network =
                ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph", "glusterfs", "fuse.glusterfs", "lustre"].contains(&kind.as_str());
            report.check(
                !network,
                Level::Fail,
                format!("its file system is {kind}"),
                "locks and syncs of network file systems are not to be trusted: move the file to a local disk",
            );
        }
    }
    Ok(report)
}

/// Type of the file system that a path is on, by the longest mount point above it.
fn filesystem_of(path: &Path) -> Option<String> {
    let path = path.canonicalize().ok()?;
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    let above = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let point = fields.next()?.replace("\\040", " ");
        let kind = fields.next()?;
        path.starts_with(&point).then(|| (point.len(), kind.to_string()))
    });
    // Of two mounts at one place the later hides the earlier, which `max_by_key` takes.
    above.max_by_key(|(length, _)| *length).map(|(_, kind)| kind)
}

async fn look_postgres(conn: &mut postgres::Conn) -> StoreResult<DatabaseReport> {
    let settings: Vec<Named> = sql_query(
        "SELECT name::text AS name, setting::text AS value FROM pg_settings WHERE name IN \
         ('server_version', 'fsync', 'full_page_writes', 'default_transaction_read_only', 'synchronous_standby_names') \
         UNION ALL SELECT 'in_recovery', pg_is_in_recovery()::text \
         UNION ALL SELECT 'synchronous_commit', current_setting('synchronous_commit') \
         UNION ALL SELECT 'standbys', count(*)::text FROM pg_stat_replication",
    )
    .load(conn)
    .await?;
    let settings = into_map(settings);
    let value = |name: &str| settings.get(name).cloned().unwrap_or_default();
    let mut report = DatabaseReport::new(Backend::Postgres, value("server_version"));
    report.replica = value("in_recovery") == "true";
    report.check(
        !report.replica,
        Level::Fail,
        if report.replica { "it is a standby (in recovery)" } else { "it is the primary" },
        "use the address of the primary",
    );
    let default_off = value("default_transaction_read_only") == "on";
    report.read_only = report.replica || default_off;
    report.check(
        !default_off,
        Level::Fail,
        format!("default_transaction_read_only = {}", value("default_transaction_read_only")),
        "ALTER DATABASE or ALTER SYSTEM … SET default_transaction_read_only = off, when it is sure that this is the primary",
    );
    report.check(value("fsync") == "on", Level::Fail, format!("fsync = {}", value("fsync")), "a power cut destroys the database: set fsync = on");
    report.check(
        value("full_page_writes") == "on",
        Level::Warn,
        format!("full_page_writes = {}", value("full_page_writes")),
        "a power cut may destroy pages: set full_page_writes = on",
    );
    // What counts is what our sessions have: they raise it themselves.
    report.check(
        matches!(value("synchronous_commit").as_str(), "on" | "remote_apply"),
        Level::Fail,
        format!("synchronous_commit = {} in our sessions", value("synchronous_commit")),
        "acknowledged intents may be lost: let our user set synchronous_commit",
    );
    if value("standbys") != "0" && value("synchronous_standby_names").is_empty() {
        report.note(
            Level::Warn,
            format!("{} standby(s), none of them synchronous", value("standbys")),
            "a standby that is promoted may lack acknowledged writes; acts are then frozen until `doctor --accept` (S14): set synchronous_standby_names",
        );
    }
    let before = micros();
    let server: Number = sql_query("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS value").get_result(conn).await?;
    note_clock(&mut report, before, server.value, micros());
    Ok(report)
}

async fn look_mysql(conn: &mut mysql::Conn) -> StoreResult<DatabaseReport> {
    let variables: Vec<(String, String)> = shown(conn, "SHOW GLOBAL VARIABLES").await?;
    let variables: Variables = variables.into_iter().collect();
    let status: Variables = shown(conn, "SHOW GLOBAL STATUS LIKE 'wsrep%'").await?.into_iter().collect();
    let session: Variables = shown(conn, "SHOW SESSION VARIABLES LIKE 'wsrep_sync_wait'").await?.into_iter().collect();
    let mut report = judge_mysql(&variables, &status, &session);
    // Other servers replicate to this one by `SHOW REPLICA STATUS`, which needs a right that our user may not have; read_only tells enough.
    let before = micros();
    let server: Number = sql_query("SELECT CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED) AS value").get_result(conn).await?;
    note_clock(&mut report, before, server.value, micros());
    Ok(report)
}

/// `SHOW` gives columns that differ in letter case between servers, so they are read by place.
async fn shown(conn: &mut mysql::Conn, sql: &str) -> StoreResult<Vec<(String, String)>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text, column_name = "Variable_name")]
        name: String,
        #[diesel(sql_type = Text, column_name = "Value")]
        value: String,
    }
    let rows: Vec<Row> = sql_query(sql).load(conn).await?;
    Ok(rows.into_iter().map(|r| (r.name, r.value)).collect())
}

fn judge_mysql(variables: &Variables, status: &Variables, session: &Variables) -> DatabaseReport {
    let value = |name: &str| variables.get(name).map_or("", String::as_str);
    let mut report = DatabaseReport::new(Backend::Mysql, value("version").to_string());
    report.read_only = is_on(variables, "read_only") || is_on(variables, "super_read_only");
    report.replica = report.read_only;
    report.check(
        !report.read_only,
        Level::Fail,
        format!("read_only = {}", value("read_only")),
        "it is a replica, or was set so: use the address of the primary, or set read_only = OFF when it is sure that this is it",
    );
    report.check(
        value("innodb_flush_log_at_trx_commit") == "1",
        Level::Fail,
        format!("innodb_flush_log_at_trx_commit = {}", value("innodb_flush_log_at_trx_commit")),
        "a crash loses acknowledged writes: set it to 1",
    );
    let galera = is_on(variables, "wsrep_on");
    if is_on(variables, "log_bin") {
        report.check(
            value("sync_binlog") == "1" || galera,
            Level::Warn,
            format!("sync_binlog = {}", value("sync_binlog")),
            "a replica that takes over after a crash may lack acknowledged writes: set it to 1",
        );
        report.check(
            value("binlog_format") != "STATEMENT",
            Level::Fail,
            format!("binlog_format = {}", value("binlog_format")),
            "READ COMMITTED cannot be written to such a log, so every write fails: set it to ROW",
        );
    }
    if galera {
        judge_galera(&mut report, variables, status, session);
    }
    report
}

fn judge_galera(report: &mut DatabaseReport, variables: &Variables, status: &Variables, session: &Variables) {
    let value = |name: &str| status.get(name).or_else(|| variables.get(name)).map_or("", String::as_str);
    report.check(
        is_on(status, "wsrep_ready"),
        Level::Fail,
        format!("wsrep_ready = {}", value("wsrep_ready")),
        "this Galera node does not serve: use one that does, or wait until it has joined",
    );
    report.check(
        value("wsrep_cluster_status").eq_ignore_ascii_case("primary"),
        Level::Fail,
        format!("wsrep_cluster_status = {}", value("wsrep_cluster_status")),
        "this node is cut off from the majority: use one that is in the primary component",
    );
    report.check(
        value("binlog_format").eq_ignore_ascii_case("row"),
        Level::Fail,
        format!("binlog_format = {}", value("binlog_format")),
        "Galera replicates rows only: set it to ROW",
    );
    let sync_wait = session.get("wsrep_sync_wait").map_or("", String::as_str);
    report.check(
        sync_wait.parse::<u32>().is_ok_and(|bits| bits & 1 == 1),
        Level::Warn,
        format!("wsrep_sync_wait = {sync_wait} in our sessions"),
        "reads on another node than the last write may be old: let our user set it",
    );
    let size: u32 = value("wsrep_cluster_size").parse().unwrap_or(0);
    report.check(
        size >= 3,
        Level::Warn,
        format!("{size} node(s) in the cluster"),
        "with fewer than three, the loss of one may stop the rest: add an arbitrator or a node",
    );
    report.note(
        Level::Ok,
        "Galera: every API server and controller must write to one and the same node (writes to several only get in each other's way at the revision row)",
        "in HAProxy: one active server, the others `backup`",
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> Variables {
        pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
    }

    const SOUND: &[(&str, &str)] = &[
        ("version", "10.11.19-MariaDB"),
        ("read_only", "OFF"),
        ("innodb_flush_log_at_trx_commit", "1"),
        ("log_bin", "ON"),
        ("sync_binlog", "1"),
        ("binlog_format", "ROW"),
    ];

    fn with<'a>(extra: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        SOUND.iter().filter(|(k, _)| !extra.iter().any(|(e, _)| e == k)).chain(extra).copied().collect()
    }

    #[test]
    fn a_setting_that_loses_writes_is_a_failure_with_a_way_out() {
        assert_eq!(judge_mysql(&map(SOUND), &map(&[]), &map(&[])).level(), Level::Ok);
        for (setting, value, level) in [
            ("innodb_flush_log_at_trx_commit", "2", Level::Fail),
            ("read_only", "ON", Level::Fail),
            ("binlog_format", "STATEMENT", Level::Fail),
            ("sync_binlog", "0", Level::Warn),
        ] {
            let report = judge_mysql(&map(&with(&[(setting, value)])), &map(&[]), &map(&[]));
            let worst = report.notes.iter().max_by_key(|n| n.level).unwrap();
            assert_eq!(worst.level, level, "{setting}");
            assert!(worst.what.contains(setting) && !worst.way_out.is_empty(), "{worst:?}");
        }
    }

    #[test]
    fn a_galera_node_that_is_cut_off_or_not_ready_is_a_failure() {
        let variables = map(&with(&[("wsrep_on", "ON")]));
        let sound = [("wsrep_ready", "ON"), ("wsrep_cluster_status", "Primary"), ("wsrep_cluster_size", "3")];
        let waits = map(&[("wsrep_sync_wait", "1")]);
        assert_eq!(judge_mysql(&variables, &map(&sound), &waits).level(), Level::Ok);
        assert_eq!(judge_mysql(&variables, &map(&sound), &map(&[("wsrep_sync_wait", "0")])).level(), Level::Warn);
        for (i, bad) in ["OFF", "non-Primary"].iter().enumerate() {
            let mut status = sound;
            status[i].1 = bad;
            assert_eq!(judge_mysql(&variables, &map(&status), &waits).level(), Level::Fail, "{bad}");
        }
    }

    #[test]
    fn the_round_trip_to_a_server_is_no_clock_skew() {
        let mut report = DatabaseReport::new(Backend::Postgres, String::new());
        note_clock(&mut report, 0, 4_000_000, 5_000_000);
        note_clock(&mut report, 0, -3_000_000, 1);
        note_clock(&mut report, 0, 3_500_000, 1_000_000);
        let said: Vec<_> = report.notes.iter().map(|n| (n.level, n.what.as_str())).collect();
        assert_eq!(
            said,
            [
                (Level::Ok, "its clock agrees with ours"),
                (Level::Warn, "its clock is 3.0 s behind ours"),
                (Level::Warn, "its clock is 2.5 s ahead of ours")
            ]
        );
    }
}
