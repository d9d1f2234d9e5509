//! Database URLs.

use crate::config::{Backend, Server, TlsMode, Where};
use secrecy::SecretString;
use std::{net::IpAddr, path::PathBuf};

const SCHEMES: &str = "sqlite:///path, postgresql://user:password@host/name or mysql://user:password@host/name";

/// What a query key means. Everything that is not here is an error: a TLS setting that is misspelt must not be ignored.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    TlsMode,
    CaFile,
    Socket,
    Charset,
}

const POSTGRES_KEYS: &[(&str, Key)] =
    &[("sslmode", Key::TlsMode), ("sslrootcert", Key::CaFile), ("host", Key::Socket), ("client_encoding", Key::Charset)];
const MYSQL_KEYS: &[(&str, Key)] = &[("sslmode", Key::TlsMode), ("ssl_ca", Key::CaFile), ("unix_socket", Key::Socket), ("charset", Key::Charset)];

/// Errors show no part of the URL that may be a password.
pub(crate) fn parse(url: &str) -> Result<Where, String> {
    let (scheme, rest) = url.split_once("://").ok_or_else(|| format!("it has no scheme; write {SCHEMES}"))?;
    let backend = match scheme.split('+').next().unwrap_or_default() {
        "sqlite" => return file(rest),
        "postgresql" | "postgres" => Backend::Postgres,
        "mysql" | "mariadb" => Backend::Mysql,
        _ => return Err(format!("its scheme {scheme:?} is not supported; write {SCHEMES}")),
    };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) =
        rest.split_once('/').ok_or("it names no database; write …host/name, and percent-encode '/', '?' and '#' in a password")?;
    let (account, address) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = match account.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (account, None),
    };
    let user = decode(user, "the user")?;
    let password = password.map(|p| decode(p, "the password")).transpose()?.filter(|p| !p.is_empty());
    let (host, port) = host_and_port(address, if backend == Backend::Postgres { 5432 } else { 3306 })?;
    let database = decode(database, "the database's name")?;
    let mut server = Server {
        backend,
        socket: host.starts_with('/').then(|| PathBuf::from(&host)),
        host,
        port,
        user,
        password: password.map(SecretString::from),
        database,
        tls: TlsMode::Disable,
        ca_file: None,
    };
    if server.user.is_empty() {
        return Err("it names no user; write …//user@host/name".into());
    }
    let mode = options(&mut server, query)?;
    if server.host.is_empty() && server.socket.is_none() {
        server.host = "localhost".into();
    }
    if server.database.is_empty() || server.database.contains('/') {
        return Err("it names no database; write …host/name".into());
    }
    server.tls = tls_mode(&server, mode)?;
    Ok(Where::Server(server))
}

fn file(path: &str) -> Result<Where, String> {
    if path.contains('?') {
        return Err("sqlite takes no options; write sqlite:///path".into());
    }
    let path = decode(path, "the path")?;
    if path.is_empty() || path.ends_with('/') {
        return Err("it names no file; write sqlite:///path/to/cloud-manager.db".into());
    }
    Ok(Where::File(path.into()))
}

fn host_and_port(address: &str, default: u16) -> Result<(String, u16), String> {
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or("its IPv6 address has no ']'")?;
            (host, port.strip_prefix(':'))
        }
        None => match address.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        },
    };
    if host.contains(',') {
        return Err("it names several hosts; write one, such as the address that follows the primary".into());
    }
    let port = match port.filter(|p| !p.is_empty()) {
        // What stands here may be the end of a password that holds an '@'.
        Some(port) => port.parse().map_err(|_| "its port is not a number; percent-encode '@', ':' and '/' in a password")?,
        None => default,
    };
    Ok((decode(host, "the host")?, port))
}

fn options(server: &mut Server, query: &str) -> Result<Option<String>, String> {
    let known = if server.backend == Backend::Postgres { POSTGRES_KEYS } else { MYSQL_KEYS };
    let mut mode = None;
    for pair in query.split('&').filter(|p| !p.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let Some((name, key)) = known.iter().find(|(k, _)| *k == name) else {
            let names: Vec<&str> = known.iter().map(|(k, _)| *k).collect();
            // What does not look like a name may be the end of a password that holds a '?'.
            let name = if name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c)) { format!("{name:?} ") } else { String::new() };
            return Err(format!("its option {name}is not known to {}; known are {}", server.backend, names.join(", ")));
        };
        let value = decode(value, name)?;
        if value.is_empty() {
            return Err(format!("its option {name:?} has no value"));
        }
        match key {
            Key::TlsMode => mode = Some(value),
            Key::CaFile => server.ca_file = Some(value.into()),
            Key::Socket if value.starts_with('/') => server.socket = Some(value.into()),
            Key::Socket => return Err(format!("its option {name:?} is the path of a socket; the host stands before the first '/'")),
            // UTF-8 is spoken whatever is written; another charset would not be.
            Key::Charset if matches!(value.to_lowercase().as_str(), "utf8" | "utf8mb3" | "utf8mb4" | "utf-8") => {}
            Key::Charset => return Err(format!("its option {name:?} must be utf8")),
        }
    }
    Ok(mode)
}

/// As libpq has it, without its silent downgrades.
fn tls_mode(server: &Server, mode: Option<String>) -> Result<TlsMode, String> {
    let local = server.socket.is_some() || is_loopback(&server.host);
    let mode = match mode.as_deref() {
        None if server.ca_file.is_none() && local => TlsMode::Disable,
        None => TlsMode::VerifyFull,
        Some("disable") if server.ca_file.is_some() => return Err("it names a certificate authority, and sslmode=disable; leave one out".into()),
        Some("disable") => TlsMode::Disable,
        // A root certificate makes libpq check it.
        Some("require") if server.ca_file.is_some() => TlsMode::VerifyCa,
        Some("require") => TlsMode::Require,
        Some("verify-ca") => TlsMode::VerifyCa,
        Some("verify-full") => TlsMode::VerifyFull,
        Some(other @ ("prefer" | "allow")) => {
            return Err(format!("sslmode={other} falls back to plain text unseen; write disable, require, verify-ca or verify-full"));
        }
        Some(other) => return Err(format!("sslmode={other:?} is not known; write disable, require, verify-ca or verify-full")),
    };
    if server.backend == Backend::Mysql && mode == TlsMode::VerifyCa {
        return Err("for MySQL there is no check of the authority alone; write sslmode=verify-full with ssl_ca, or sslmode=require without it".into());
    }
    Ok(mode)
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn decode(text: &str, what: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let hex = rest.get(..2).and_then(|h| std::str::from_utf8(h).ok()).filter(|h| h.bytes().all(|b| b.is_ascii_hexdigit()));
        let byte =
            hex.and_then(|h| u8::from_str_radix(h, 16).ok()).ok_or_else(|| format!("{what} has a '%' without two hex digits; write %25 for '%'"))?;
        bytes.push(byte);
        rest = &rest[2..];
    }
    match String::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(text),
        _ => Err(format!("{what} is not a text")),
    }
}

#[cfg(test)]
mod tests {
    use crate::{Backend, StoreConfig, StoreError, TlsMode};
    use std::path::Path;

    fn parsed(url: &str) -> StoreConfig {
        StoreConfig::parse(url).unwrap_or_else(|e| panic!("{url}: {e}"))
    }

    fn refused(url: &str) -> String {
        match StoreConfig::parse(url) {
            Err(StoreError::Config(why)) => why,
            other => panic!("{url}: {other:?}"),
        }
    }

    #[test]
    fn the_urls_of_the_three_databases_and_of_oslo_are_understood() {
        assert_eq!(parsed("sqlite:///var/lib/x.db").sqlite_path(), Some(Path::new("/var/lib/x.db")));
        assert_eq!(parsed("sqlite://x.db").sqlite_path(), Some(Path::new("x.db")));
        for (url, described) in [
            ("postgresql://cm:pw@db.example:5433/cm", "PostgreSQL cm@db.example:5433/cm"),
            ("postgres://cm@db.example/cm", "PostgreSQL cm@db.example:5432/cm"),
            ("postgresql+psycopg2://cm:pw@db/cm?client_encoding=utf8", "PostgreSQL cm@db:5432/cm"),
            ("postgresql://cm@/cm?host=/run/postgresql", "PostgreSQL cm@/run/postgresql/cm"),
            ("postgresql://cm@%2Frun%2Fpostgresql/cm", "PostgreSQL cm@/run/postgresql/cm"),
            ("mysql://cm:pw@[::1]:3307/cm", "MySQL cm@[::1]:3307/cm"),
            ("mariadb://cm:pw@db/cm", "MySQL cm@db:3306/cm"),
            ("mysql+pymysql://cm:p%40w@db/cm?charset=utf8", "MySQL cm@db:3306/cm"),
            ("mysql://cm@localhost/cm?unix_socket=/run/mysqld/mysqld.sock", "MySQL cm@/run/mysqld/mysqld.sock/cm"),
        ] {
            assert_eq!(parsed(url).describe(), described, "{url}");
        }
        assert_eq!(parsed("mariadb://cm@db/cm").backend(), Backend::Mysql);
    }

    #[test]
    fn a_host_elsewhere_must_prove_itself_unless_the_url_says_otherwise() {
        for (url, mode) in [
            ("postgresql://u@db.example/d", TlsMode::VerifyFull),
            ("postgresql://u@localhost/d", TlsMode::Disable),
            ("postgresql://u@127.0.0.1/d", TlsMode::Disable),
            ("postgresql://u@[::1]/d", TlsMode::Disable),
            ("postgresql://u@127.0.0.1.example/d", TlsMode::VerifyFull),
            ("postgresql://u@/d?host=/run/postgresql", TlsMode::Disable),
            ("postgresql://u@localhost/d?sslrootcert=/ca.pem", TlsMode::VerifyFull),
            ("postgresql://u@db/d?sslmode=disable", TlsMode::Disable),
            ("postgresql://u@db/d?sslmode=require", TlsMode::Require),
            ("postgresql://u@db/d?sslmode=require&sslrootcert=/ca.pem", TlsMode::VerifyCa),
            ("postgresql://u@db/d?sslmode=verify-ca", TlsMode::VerifyCa),
            ("mysql://u@db/d", TlsMode::VerifyFull),
            ("mysql://u@db/d?ssl_ca=/ca.pem", TlsMode::VerifyFull),
            ("mysql://u@127.0.0.1/d", TlsMode::Disable),
        ] {
            assert_eq!(parsed(url).tls(), Some(mode), "{url}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_the_way_out_and_without_the_password() {
        for (url, words) in [
            ("/var/lib/x.db", "no scheme"),
            ("oracle://u:hunter2@h/d", "oracle"),
            ("sqlite://", "names no file"),
            ("sqlite:///x?mode=ro", "no options"),
            ("postgresql://u:hunter2@h/d?sslmode=prefer", "falls back to plain text"),
            ("postgresql://u:hunter2@h/d?sslmode=full", "verify-full"),
            ("postgresql://u:hunter2@h/d?ssl_mode=require", "known are sslmode, sslrootcert, host"),
            ("mysql://u:hunter2@h/d?sslrootcert=/x", "known are sslmode, ssl_ca, unix_socket, charset"),
            ("mysql://u:hunter2@h/d?sslmode=verify-ca", "verify-full"),
            ("mysql://u:hunter2@h/d?charset=latin1", "utf8"),
            ("mysql://u:hunter2@h/d?sslmode", "no value"),
            ("postgresql://u:hunter2@h/d?sslmode=disable&sslrootcert=/ca", "leave one out"),
            ("postgresql://u:hunter2@h", "names no database"),
            ("postgresql://u:hunter2@h/", "names no database"),
            ("postgresql://h/d", "names no user"),
            ("postgresql://u:hunter2@a,b/d", "several hosts"),
            ("postgresql://u:p@hunter2:x/d", "percent-encode"),
            ("postgresql://u:hunter2%zz@h/d", "%25"),
            ("postgresql://u:hun/ter?hunter2@h/d?sslmode=require", "percent-encode"),
            ("postgresql://u@h/d?hunter2@x", "known are"),
        ] {
            let why = refused(url);
            assert!(why.contains(words), "{url}: {why}");
            assert!(!why.contains("hunter2"), "{why}");
        }
    }

    #[test]
    fn the_password_is_in_no_description() {
        let config = parsed("mysql://cm:hunter2@db/cm");
        assert!(!format!("{config:?} {config} {}", config.describe()).contains("hunter2"));
        let config = parsed("mysql://cm@db/cm").with_password("hunter2".into());
        assert!(!format!("{config:?} {config}").contains("hunter2"));
    }
}
