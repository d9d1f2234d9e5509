//! Which database, and how it is reached.

use crate::{OutboxRule, StoreError, StoreResult, url};
use secrecy::SecretString;
use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

/// Which database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// One file, one machine.
    Sqlite,
    /// PostgreSQL.
    Postgres,
    /// MySQL, MariaDB, Galera.
    Mysql,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Backend::Sqlite => "SQLite",
            Backend::Postgres => "PostgreSQL",
            Backend::Mysql => "MySQL",
        })
    }
}

/// How a connection is encrypted and whom it trusts; the words are libpq's. There is no `prefer`:
/// it falls back to plain text when somebody in the middle asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// Plain text.
    Disable,
    /// Encrypted, whoever answers.
    Require,
    /// Encrypted, certificate signed by a trusted authority (PostgreSQL only).
    VerifyCa,
    /// Encrypted, certificate signed by a trusted authority, for this host name.
    VerifyFull,
}

/// A database server.
#[derive(Clone)]
pub(crate) struct Server {
    pub backend: Backend,
    /// Name or address; unused with a socket.
    pub host: String,
    pub port: u16,
    /// The directory of the socket (PostgreSQL) or the socket (MySQL).
    pub socket: Option<PathBuf>,
    pub user: String,
    pub password: Option<SecretString>,
    pub database: String,
    pub tls: TlsMode,
    pub ca_file: Option<PathBuf>,
}

/// Where a database is. Made by [`StoreConfig::parse`] and [`StoreConfig::sqlite`].
#[derive(Clone)]
pub struct Place(pub(crate) Where);

#[derive(Clone)]
pub(crate) enum Where {
    File(PathBuf),
    Server(Server),
}

impl fmt::Display for Place {
    /// Never with the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Where::File(path) => write!(f, "SQLite {}", path.display()),
            Where::Server(s) => {
                let at = match &s.socket {
                    Some(socket) => socket.display().to_string(),
                    None if s.host.contains(':') => format!("[{}]:{}", s.host, s.port),
                    None => format!("{}:{}", s.host, s.port),
                };
                write!(f, "{} {}@{at}/{}", s.backend, s.user, s.database)
            }
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({self})")
    }
}

/// How to reach a database.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// Where it is.
    pub place: Place,
    /// Longest time a call may take.
    pub deadline: Duration,
    /// Connections.
    pub connections: usize,
    /// Which tellings are also written to the outbox; none: nobody delivers them.
    pub outbox: Option<OutboxRule>,
}

impl fmt::Display for StoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)
    }
}

impl StoreConfig {
    /// SQLite at `path`, 5 s per call, 4 connections.
    pub fn sqlite(path: impl Into<PathBuf>) -> Self {
        StoreConfig { place: Place(Where::File(path.into())), deadline: Duration::from_secs(5), connections: 4, outbox: None }
    }

    /// Reads a URL: `sqlite:///path`, `postgresql://user:password@host:5432/name?sslmode=verify-full`,
    /// `mysql://user:password@host:3306/name?ssl_ca=/etc/ca.pem`; 5 s per call, 4 connections to a file, 8 to a server.
    /// SQLAlchemy's spellings (`mysql+pymysql://`, `postgresql+psycopg2://`) are taken too.
    ///
    /// Without `sslmode` a socket or a loopback address is spoken to in plain text, and any other host
    /// must show a certificate for its name (`verify-full`).
    ///
    /// # Errors
    /// [`StoreError::Config`], which names the part that is wrong and never the password.
    pub fn parse(url: &str) -> StoreResult<Self> {
        let place = url::parse(url).map_err(|why| StoreError::Config(format!("the database URL: {why}")))?;
        let connections = if matches!(place, Where::File(_)) { 4 } else { 8 };
        Ok(StoreConfig { place: Place(place), deadline: Duration::from_secs(5), connections, outbox: None })
    }

    /// The same database with this password instead of the URL's. Without effect on SQLite.
    #[must_use]
    pub fn with_password(mut self, password: SecretString) -> Self {
        if let Where::Server(server) = &mut self.place.0 {
            server.password = Some(password);
        }
        self
    }

    /// The file, if it is SQLite.
    pub fn sqlite_path(&self) -> Option<&Path> {
        match &self.place.0 {
            Where::File(path) => Some(path),
            Where::Server(_) => None,
        }
    }

    /// Which database it is.
    pub fn backend(&self) -> Backend {
        match &self.place.0 {
            Where::File(_) => Backend::Sqlite,
            Where::Server(server) => server.backend,
        }
    }

    /// How the connection is encrypted; none for a file.
    pub fn tls(&self) -> Option<TlsMode> {
        match &self.place.0 {
            Where::File(_) => None,
            Where::Server(server) => Some(server.tls),
        }
    }

    /// What it is and where, without the password.
    pub fn describe(&self) -> String {
        self.place.to_string()
    }
}
