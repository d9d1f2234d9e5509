//! The programs that are needed, and what is said when they are missing.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// Which database server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// PostgreSQL.
    Postgres,
    /// MariaDB.
    Mariadb,
}

/// Says that a test was not run because something is not installed. With `REQUIRE_REAL_PEERS=1` that is a failure.
pub fn skip(why: &str) {
    assert!(std::env::var_os("REQUIRE_REAL_PEERS").is_none(), "REQUIRE_REAL_PEERS is set, but {why}");
    // Past the capture of `println!`, so that it is seen.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}

/// Where a program is: in the `PATH`, or where distributions hide servers.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let hidden = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|e| e.path().join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let known = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/libexec".into()]);
    // The versioned folder first: Debian's wrappers of the same names serve its own clusters.
    hidden.chain(known).map(|dir| dir.join(program)).find(|p| p.is_file())
}

impl Kind {
    /// The programs of this kind that are missing.
    pub(crate) fn missing(self) -> Option<String> {
        let (needed, package): (&[&str], _) = match self {
            Kind::Postgres => (&["postgres", "initdb", "psql", "pg_isready"], "postgresql"),
            Kind::Mariadb => (&["mariadbd", "mariadb-install-db", "mariadb"], "mariadb-server"),
        };
        let missing: Vec<&str> = needed.iter().chain(&["setpriv", "openssl"]).copied().filter(|p| find(p).is_none()).collect();
        (!missing.is_empty()).then(|| format!("{} is missing; tests/tools/install-peers installs Debian's {package}", missing.join(", ")))
    }
}

/// Runs a program to its end.
pub(crate) fn run(command: &mut Command) -> Output {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().unwrap_or_else(|e| panic!("{name}: {e}"));
    assert!(
        output.status.success(),
        "{name}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// An account of this machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account {
    pub uid: u32,
    pub gid: u32,
}

impl Account {
    /// Servers refuse to run as root; then the account that the package made, or `nobody`.
    pub(crate) fn for_server(kind: Kind) -> Option<Account> {
        if effective_uid() != 0 {
            return None;
        }
        let named = match kind {
            Kind::Postgres => "postgres",
            Kind::Mariadb => "mysql",
        };
        lookup(named).or_else(|| lookup("nobody"))
    }

    /// Gives it a file or folder.
    pub(crate) fn own(account: Option<Account>, path: &Path) {
        if let Some(a) = account {
            std::os::unix::fs::chown(path, Some(a.uid), Some(a.gid)).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        }
    }

    /// A command run as this account. It dies with the thread that starts it.
    pub(crate) fn command(account: Option<Account>, program: &str) -> Command {
        let mut command = Command::new(find("setpriv").expect("setpriv was there"));
        if let Some(a) = account {
            command.arg(format!("--reuid={}", a.uid)).arg(format!("--regid={}", a.gid)).arg("--clear-groups");
        }
        command.arg("--pdeathsig=KILL").arg("--").arg(find(program).unwrap_or_else(|| panic!("{program} was there")));
        command
    }
}

fn lookup(name: &str) -> Option<Account> {
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    let line = passwd.lines().find(|l| l.split(':').next() == Some(name))?;
    let mut ids = line.split(':').skip(2).map(|n| n.parse().ok());
    Some(Account { uid: ids.next()??, gid: ids.next()?? })
}

fn effective_uid() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let uids = status.lines().find_map(|l| l.strip_prefix("Uid:")).unwrap_or_default().to_string();
    uids.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0)
}
