//! `db backup`: a copy of the database that a restore can begin from.

use super::database;
use crate::{
    args::BackupArgs,
    config::{self, Config},
    output::{self, Failure},
};
use std::path::Path;

/// `cloud-manager db backup FILE`.
pub(super) async fn run(args: BackupArgs) -> anyhow::Result<()> {
    let config = config::load(&args.server)?.config;
    if let Some(command) = other_tool(&config, &args.file) {
        return Err(Failure::usage(command).into());
    }
    let place = database::store_config(&config)?;
    if let Some(path) = place.sqlite_path().filter(|p| !p.exists()) {
        return Err(Failure::usage(format!("there is no database at {}; check database.url", path.display())).into());
    }
    store::backup(&place, &args.file).await?;
    output::note(&format!("{place} was copied to {}.", args.file.display()));
    let key = database::key_file(&config)?;
    output::note(&format!("It needs the key file to be of use: keep a copy of {} as well, but not beside it.", key.display()));
    Ok(())
}

/// What to run where the database has tools of its own. The password goes by a file: an argument would show it to
/// every user of the machine.
fn other_tool(config: &Config, file: &Path) -> Option<String> {
    let (scheme, rest) = config.database.url.split_once("://")?;
    let kind = scheme.split('+').next().unwrap_or_default();
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (login, place) = authority.rsplit_once('@').unwrap_or(("", authority));
    let user = login.split(':').next().unwrap_or_default();
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (host, Some(port)),
        _ => (place, None),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let name = path.split('?').next().unwrap_or_default();
    let file = file.display();
    let nothing = "nothing was written: this database has a tool of its own, which takes a copy while servers run";
    match kind {
        "postgresql" | "postgres" => {
            let port = port.unwrap_or("5432");
            Some(format!(
                "{nothing}. Put {host}:{port}:{name}:{user}:PASSWORD into a file of mode 0600 and run:\n  \
                 PGPASSFILE=THAT_FILE pg_dump --host={host} --port={port} --username={user} --format=custom --file={file} {name}"
            ))
        }
        "mysql" | "mariadb" => {
            let port = port.unwrap_or("3306");
            Some(format!(
                "{nothing}. Put these lines into a file of mode 0600:\n  [client]\n  host={host}\n  port={port}\n  user={user}\n  password=PASSWORD\nand run:\n  \
                 mariadb-dump --defaults-extra-file=THAT_FILE --single-transaction --hex-blob --result-file={file} {name}"
            ))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(url: &str) -> Option<String> {
        let mut config = Config::default();
        config.database.url = url.into();
        other_tool(&config, Path::new("/b/x"))
    }

    #[test]
    fn other_databases_get_their_own_command_and_no_password_in_it() {
        let pg = told("postgresql://cm:hunter2@db.example.org:6432/cloud_manager?sslmode=verify-full").unwrap();
        assert!(pg.contains("pg_dump --host=db.example.org --port=6432 --username=cm --format=custom --file=/b/x cloud_manager"), "{pg}");
        let my = told("mysql+pymysql://aos:hunter2@127.0.0.1/cloud_manager?charset=utf8").unwrap();
        assert!(my.contains("--single-transaction") && my.contains("port=3306") && my.ends_with("--result-file=/b/x cloud_manager"), "{my}");
        assert!(!pg.contains("hunter2") && !my.contains("hunter2"));
        assert_eq!(told("sqlite:///var/lib/x.db"), None);
    }
}
