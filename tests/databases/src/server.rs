//! One server: start, SIGKILL, start again.

use crate::{
    Kind, PASSWORD, USER, launch, new_name,
    program::{Account, find, run, skip},
    tls,
};
use std::{
    fs::File,
    net::TcpListener,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How a server is set up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Syncs to disk at each commit, as in production. Without it a SIGKILL still loses nothing, a power cut would.
    pub durable: bool,
    /// Offers TLS; its authority is [`Server::ca_file`].
    pub tls: bool,
    /// Takes no plain text over TCP.
    pub require_tls: bool,
}

/// A private server. Its processes end with it, and with the test's process.
pub struct Server {
    kind: Kind,
    port: u16,
    options: Options,
    account: Option<Account>,
    child: Mutex<Option<Child>>,
    dir: tempfile::TempDir,
}

/// A busy machine may take its time.
const PATIENCE: Duration = Duration::from_secs(120);

fn wait_for(what: &str, mut happened: impl FnMut() -> bool) {
    let since = Instant::now();
    while !happened() {
        assert!(since.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn signal(name: &str, pids: &[u32]) {
    let kill = Command::new("kill").arg(format!("-{name}")).args(pids.iter().map(u32::to_string)).stderr(Stdio::null()).status();
    // One that has ended meanwhile is no failure.
    kill.expect("kill is installed");
}

/// Processes whose parent is `parent`.
fn children(parent: u32) -> Vec<u32> {
    let pids = std::fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let after_name = stat.rsplit(')').next().unwrap_or_default().to_string();
        after_name.split_whitespace().nth(1).and_then(|p| p.parse().ok()) == Some(parent)
    })
    .collect()
}

fn is_gone(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.is_empty() || stat.rsplit(')').next().is_some_and(|s| s.trim_start().starts_with('Z'))
}

/// Begins the name of each server's folder; the process id of its test follows.
const PREFIX: &str = "cm-db-";

/// A server that all tests of a binary share is never dropped: whoever comes later clears its folder away.
fn sweep() {
    for folder in std::fs::read_dir("/tmp").into_iter().flatten().flatten() {
        let name = folder.file_name();
        let owner = name.to_str().and_then(|n| n.strip_prefix(PREFIX)?.split('-').next()?.parse::<u32>().ok());
        if owner.is_some_and(is_gone) {
            // Another test may clear it away at the same time.
            let _ = std::fs::remove_dir_all(folder.path());
        }
    }
}

impl Server {
    /// Sets a server up and starts it. `None`, and a loud word, if it is not installed.
    pub fn start(kind: Kind, options: Options) -> Option<Server> {
        if let Some(missing) = kind.missing() {
            skip(&missing);
            return None;
        }
        let account = Account::for_server(kind);
        sweep();
        let dir = tempfile::Builder::new().prefix(&format!("{PREFIX}{}-", std::process::id())).tempdir_in("/tmp").expect("/tmp can be written");
        Account::own(account, dir.path());
        if options.tls || options.require_tls {
            tls::certificates(dir.path(), account);
        }
        match kind {
            Kind::Postgres => init_postgres(dir.path(), account, options),
            Kind::Mariadb => init_mariadb(dir.path(), account),
        }
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("there is a free port").port();
        let server = Server { kind, port, options, account, child: Mutex::new(None), dir };
        server.start_again();
        server.sql(
            "",
            &match kind {
                Kind::Postgres => format!("CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'"),
                Kind::Mariadb => format!("CREATE USER {USER}@'%' IDENTIFIED BY '{PASSWORD}'"),
            },
        );
        Some(server)
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which server.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its TCP port on 127.0.0.1; the same after each start.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The authority of its certificate, which is for `localhost` and not for 127.0.0.1.
    pub fn ca_file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// What it logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    fn socket(&self) -> PathBuf {
        match self.kind {
            Kind::Postgres => self.dir.path().join(format!(".s.PGSQL.{}", self.port)),
            Kind::Mariadb => self.dir.path().join("socket"),
        }
    }

    /// Makes an empty database and gives its name.
    pub fn create_database(&self) -> String {
        let name = new_name();
        match self.kind {
            Kind::Postgres => self.sql("", &format!("CREATE DATABASE {name} OWNER {USER}")),
            Kind::Mariadb => self.sql("", &format!("CREATE DATABASE {name} CHARACTER SET utf8mb4; GRANT ALL ON {name}.* TO {USER}@'%'")),
        };
        name
    }

    /// URL of a database over TCP.
    pub fn url(&self, database: &str) -> String {
        self.url_with(&format!("{USER}:{PASSWORD}"), &format!("127.0.0.1:{}", self.port), database)
    }

    /// URL of a database with another account or address.
    pub fn url_with(&self, account: &str, address: &str, database: &str) -> String {
        let scheme = match self.kind {
            Kind::Postgres => "postgresql",
            Kind::Mariadb => "mysql",
        };
        format!("{scheme}://{account}@{address}/{database}")
    }

    /// URL of a database over the server's socket.
    pub fn socket_url(&self, database: &str) -> String {
        let socket = match self.kind {
            Kind::Postgres => format!("host={}", self.dir.path().display()),
            Kind::Mariadb => format!("unix_socket={}", self.socket().display()),
        };
        format!("{}?{socket}", self.url_with(&format!("{USER}:{PASSWORD}"), &format!(":{}", self.port), database))
    }

    /// Runs SQL as the superuser and gives what it printed: rows as lines, columns parted by tabs. An empty name: no database of ours.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let mut client = match self.kind {
            Kind::Postgres => {
                let mut psql = Command::new(find("psql").expect("psql was there"));
                psql.args(["-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-U", "postgres"]);
                psql.arg("-h").arg(self.dir.path()).arg("-p").arg(self.port.to_string());
                psql.arg("-d").arg(if database.is_empty() { "postgres" } else { database }).arg("-c").arg(sql);
                psql
            }
            Kind::Mariadb => {
                let mut mariadb = Command::new(find("mariadb").expect("mariadb was there"));
                mariadb.arg("--no-defaults").arg("--batch").arg("--skip-column-names").arg("-uroot");
                mariadb.arg(format!("--socket={}", self.socket().display())).arg("-e").arg(sql);
                if sql.starts_with("CREATE TRIGGER") {
                    // Its body has semicolons of its own.
                    mariadb.arg("--delimiter=//");
                }
                if !database.is_empty() {
                    mariadb.arg(database);
                }
                mariadb
            }
        };
        String::from_utf8_lossy(&run(&mut client).stdout).into_owned()
    }

    /// SIGKILL to every process of it, and waits until none is left.
    pub fn kill(&self) {
        let Some(mut child) = self.child().take() else { return };
        let mut all = children(child.id());
        // The parent first: it would start recovery for a child that dies before it.
        all.insert(0, child.id());
        signal("KILL", &all);
        child.wait().expect("it was started here");
        all.extend(children(child.id()));
        wait_for("its processes end", || all.iter().all(|pid| is_gone(*pid)));
    }

    /// Stops all its processes without ending them: it hangs, and the kernel still takes connections for it.
    pub fn pause(&self) {
        self.to_all("STOP");
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.to_all("CONT");
    }

    fn to_all(&self, name: &str) {
        let pid = self.child().as_ref().map(Child::id).expect("it runs");
        let mut all = children(pid);
        all.push(pid);
        signal(name, &all);
    }

    /// Starts it, with what its folder holds, and waits until it serves.
    pub fn start_again(&self) {
        let log = File::options().create(true).append(true).open(self.dir.path().join("log")).expect("the folder can be written");
        let mut command = self.command();
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log);
        let started = launch::spawn(command).expect("it was found");
        let pid = started.id();
        *self.child() = Some(started);
        wait_for("the server serves", || {
            let ended = self.child().as_mut().and_then(|c| c.try_wait().ok().flatten());
            assert!(ended.is_none(), "the server ended ({ended:?}): {}", self.log());
            self.serves()
        });
        assert_eq!(self.child().as_ref().map(Child::id), Some(pid), "one start at a time");
    }

    fn serves(&self) -> bool {
        match self.kind {
            Kind::Postgres => {
                let mut ready = Command::new(find("pg_isready").expect("pg_isready was there"));
                ready.arg("-q").arg("-h").arg(self.dir.path()).arg("-p").arg(self.port.to_string());
                ready.status().is_ok_and(|s| s.success())
            }
            // It listens only once it has recovered.
            Kind::Mariadb => UnixStream::connect(self.socket()).is_ok(),
        }
    }

    fn command(&self) -> Command {
        let dir = self.dir.path();
        let path = |name: &str| dir.join(name).display().to_string();
        let tls = self.options.tls || self.options.require_tls;
        match self.kind {
            Kind::Postgres => {
                let mut c = Account::command(self.account, "postgres");
                c.arg("-D").arg(dir.join("data")).args(["-p", &self.port.to_string(), "-k", &dir.display().to_string()]);
                let mut set = vec![
                    "listen_addresses=127.0.0.1".to_string(),
                    "shared_buffers=16MB".into(),
                    "max_connections=100".into(),
                    "autovacuum=off".into(),
                    format!("fsync={}", if self.options.durable { "on" } else { "off" }),
                ];
                if tls {
                    set.extend(["ssl=on".into(), format!("ssl_cert_file={}", path("server.pem")), format!("ssl_key_file={}", path("server.key"))]);
                }
                for setting in set {
                    c.arg("-c").arg(setting);
                }
                c
            }
            Kind::Mariadb => {
                let mut c = Account::command(self.account, "mariadbd");
                c.arg("--no-defaults").arg(format!("--datadir={}", path("data"))).arg(format!("--socket={}", self.socket().display()));
                c.arg(format!("--port={}", self.port)).args(["--bind-address=127.0.0.1", "--skip-name-resolve", "--skip-log-bin"]);
                c.arg(format!("--pid-file={}", path("pid"))).arg(format!("--tmpdir={}", dir.display()));
                c.args(["--innodb-buffer-pool-size=32M", "--innodb-log-file-size=16M", "--performance-schema=OFF", "--max-connections=100"]);
                c.arg(format!("--innodb-flush-log-at-trx-commit={}", if self.options.durable { 1 } else { 2 }));
                if tls {
                    c.arg(format!("--ssl-cert={}", path("server.pem")))
                        .arg(format!("--ssl-key={}", path("server.key")))
                        .arg(format!("--ssl-ca={}", path("ca.pem")));
                }
                if self.options.require_tls {
                    c.arg("--require-secure-transport=ON");
                }
                c
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn init_postgres(dir: &Path, account: Option<Account>, options: Options) {
    let data = dir.join("data");
    run(Account::command(account, "initdb").arg("-D").arg(&data).args([
        "--no-sync",
        "-A",
        "trust",
        "-U",
        "postgres",
        "--encoding=UTF8",
        "--locale=C",
    ]));
    let tcp = if options.require_tls { "hostssl" } else { "host" };
    let rules = format!("local all all trust\n{tcp} all all 127.0.0.1/32 scram-sha-256\n");
    std::fs::write(data.join("pg_hba.conf"), rules).expect("the folder can be written");
}

fn init_mariadb(dir: &Path, account: Option<Account>) {
    let mut install = Account::command(account, "mariadb-install-db");
    install.arg("--no-defaults").arg(format!("--datadir={}", dir.join("data").display()));
    install.args(["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]);
    // A server that starts clears its temporary folder of what it takes for its own: two must not share /tmp.
    run(install.env("TMPDIR", dir));
}
