//! One test, on each database.

use crate::keys;
use diesel::{Connection, SqliteConnection, connection::SimpleConnection};
use std::{fmt, path::Path, sync::Arc, time::Duration};
use store::{SqlStore, StoreConfig, migrate};
use test_databases::{Kind, Server};

/// A new, empty database.
#[derive(Clone)]
pub struct Site(Arc<Place>);

enum Place {
    File(tempfile::TempDir),
    Server(&'static Server, String),
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.config())
    }
}

impl Site {
    pub fn sqlite() -> Site {
        Site(Arc::new(Place::File(tempfile::tempdir().unwrap())))
    }

    /// `None` if the server is not installed; that was said aloud.
    pub fn server(kind: Kind) -> Option<Site> {
        let server = test_databases::shared(kind)?;
        let name = server.create_database();
        Some(Site(Arc::new(Place::Server(server, name))))
    }

    /// A busy machine may take its time; the tests of deadlines set their own.
    pub fn config(&self) -> StoreConfig {
        let config = match &*self.0 {
            Place::File(dir) => StoreConfig::sqlite(dir.path().join("db")),
            Place::Server(server, name) => StoreConfig::parse(&server.url(name)).unwrap(),
        };
        StoreConfig { deadline: Duration::from_secs(60), ..config }
    }

    /// A store of its own: it shares nothing with another but the database, as two processes do.
    pub async fn open(&self) -> SqlStore {
        migrate(&self.config(), None).await.unwrap();
        SqlStore::open(&self.config(), keys()).await.unwrap()
    }

    pub fn dir(&self) -> &Path {
        match &*self.0 {
            Place::File(dir) => dir.path(),
            Place::Server(server, _) => server.dir(),
        }
    }

    /// Runs SQL behind the store's back.
    pub fn raw(&self, sql: &str) {
        match &*self.0 {
            Place::File(_) => {
                let path = self.config().sqlite_path().unwrap().to_string_lossy().into_owned();
                SqliteConnection::establish(&path).unwrap().batch_execute(sql).unwrap();
            }
            Place::Server(server, name) => drop(server.sql(name, sql)),
        }
    }

    /// Everything there is of tables, columns and indexes, but the list of migrations.
    pub fn schema(&self) -> Vec<String> {
        match &*self.0 {
            Place::File(_) => sqlite_schema(self),
            Place::Server(server, name) => {
                let sql = match server.kind() {
                    Kind::Postgres => POSTGRES_SCHEMA.to_string(),
                    Kind::Mariadb => MARIADB_SCHEMA.replace("NAME", name),
                };
                server.sql(name, &sql).lines().map(String::from).filter(|l| !l.contains("__diesel")).collect()
            }
        }
    }
}

const POSTGRES_SCHEMA: &str = "SELECT 'column', table_name, column_name, data_type, is_nullable, collation_name FROM information_schema.columns \
     WHERE table_schema = 'public' UNION ALL SELECT 'index', tablename, indexname, indexdef, '', '' FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2, 3";
const MARIADB_SCHEMA: &str = "SELECT 'column', table_name, column_name, column_type, is_nullable, collation_name FROM information_schema.columns \
     WHERE table_schema = 'NAME' UNION ALL SELECT 'index', table_name, index_name, column_name, seq_in_index, non_unique FROM information_schema.statistics \
     WHERE table_schema = 'NAME' ORDER BY 1, 2, 3, 4";

fn sqlite_schema(site: &Site) -> Vec<String> {
    use diesel::{QueryableByName, RunQueryDsl, sql_query, sql_types::Text};
    #[derive(QueryableByName)]
    struct Part {
        #[diesel(sql_type = Text)]
        sql: String,
    }
    let path = site.config().sqlite_path().unwrap().to_string_lossy().into_owned();
    let mut conn = SqliteConnection::establish(&path).unwrap();
    let sql = "SELECT name || ' ' || coalesce(sql, '') AS sql FROM sqlite_master WHERE name NOT LIKE '__diesel%' AND name NOT LIKE 'sqlite_%' ORDER BY name";
    sql_query(sql).load::<Part>(&mut conn).unwrap().into_iter().map(|p| p.sql).collect()
}

/// Makes a test of each database out of one.
macro_rules! on_each_database {
    ($($(#[doc = $doc:literal])* async fn $name:ident($site:ident) $body:block)*) => {$(
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            $(#[doc = $doc])*
            async fn body($site: $crate::site::Site) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_sqlite() {
                body($crate::site::Site::sqlite()).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_postgresql() {
                if let Some(site) = $crate::site::Site::server(test_databases::Kind::Postgres) {
                    body(site).await;
                }
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_mariadb() {
                if let Some(site) = $crate::site::Site::server(test_databases::Kind::Mariadb) {
                    body(site).await;
                }
            }
        }
    )*};
}
pub(crate) use on_each_database;
