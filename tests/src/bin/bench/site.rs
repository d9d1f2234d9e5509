//! A simulated cloud, a database, and processes of the release binary over them.

use crate::{Failure, http::Connection};
use serde_json::json;
use simulator::{Topology, World};
use std::{
    fmt,
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use store::{KeyRing, SqlStore, StoreConfig};
use test_databases::{Kind, Options, Server};

/// Which database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    Sqlite,
    Postgres,
    Mariadb,
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Database::Sqlite => "SQLite",
            Database::Postgres => "PostgreSQL",
            Database::Mariadb => "MariaDB",
        })
    }
}

/// An empty database, and its server if it has one.
pub struct Place {
    pub url: String,
    _server: Option<Server>,
    _dir: tempfile::TempDir,
}

impl Place {
    pub fn new(database: Database) -> Result<Place, Failure> {
        let dir = tempfile::tempdir()?;
        let server = match database {
            Database::Sqlite => None,
            Database::Postgres => Some(Kind::Postgres),
            Database::Mariadb => Some(Kind::Mariadb),
        };
        let server =
            server.map(|kind| Server::start(kind, Options { durable: true, ..Options::default() }).ok_or(format!("{database} is not installed")));
        let server = server.transpose()?;
        let url = match &server {
            None => format!("sqlite://{}", dir.path().join("cloud-manager.db").display()),
            Some(server) => server.url(&server.create_database()),
        };
        Ok(Place { url, _server: server, _dir: dir })
    }

    /// A store of this process over it, its schema made if it has none.
    pub async fn store(&self) -> Result<Arc<SqlStore>, Failure> {
        let config = StoreConfig { deadline: Duration::from_secs(60), ..StoreConfig::parse(&self.url)? };
        store::migrate(&config, None).await?;
        Ok(Arc::new(SqlStore::open(&config, KeyRing::parse(&format!("k:{}", "01".repeat(32)))?).await?))
    }
}

/// What a process is started as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Run,
    ApiServer,
    Controller,
}

pub struct Site {
    pub place: Place,
    pub token: String,
    pub front: simulator::Front,
    pub password: String,
    world: Arc<Mutex<World>>,
    dir: tempfile::TempDir,
}

fn free_port() -> Result<u16, Failure> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn binary() -> Result<PathBuf, Failure> {
    let path = std::env::current_exe()?.with_file_name("cloud-manager");
    if path.exists() { Ok(path) } else { Err(format!("{} is not built; run: make bench", path.display()).into()) }
}

impl Site {
    pub async fn new(hosts: usize, guests: usize, database: Database) -> Result<Site, Failure> {
        let place = Place::new(database)?;
        if database != Database::Sqlite {
            place.store().await?;
        }
        let topology = Topology::sandbox(hosts, guests, 1);
        let now_ms = i64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_millis())?;
        let world = Arc::new(Mutex::new(topology.build(now_ms)));
        let front = simulator::serve(world.clone(), "127.0.0.1:0".parse()?).await?;
        let password = topology.settings.password.clone();
        let token = token(&front.auth_url(), &password).await?;
        Ok(Site { place, token, front, password, world, dir: tempfile::tempdir()? })
    }

    /// The simulated cloud itself, as it was when the front last looked at it.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a process and waits until it is ready (a controller alone serves nothing: it is not waited for).
    pub async fn start(&self, role: Role) -> Result<Process, Failure> {
        self.start_with(role, "").await
    }

    /// The same with more settings of `[api]`, one on a line.
    pub async fn start_with(&self, role: Role, api_settings: &str) -> Result<Process, Failure> {
        let port = free_port()?;
        let api: SocketAddr = format!("127.0.0.1:{port}").parse()?;
        let state = self.dir.path().join(port.to_string());
        std::fs::create_dir(&state)?;
        let config = state.join("config.toml");
        std::fs::write(&config, self.configuration(&state, api, api_settings))?;
        let begun = Instant::now();
        let mut command = Command::new(binary()?);
        command.arg(match role {
            Role::Run => "run",
            Role::ApiServer => "api-server",
            Role::Controller => "controller",
        });
        command.arg("--config").arg(&config).stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = Process { child: Mutex::new(command.spawn()?), api, token: self.token.clone(), ready_ms: 0 };
        if role != Role::Controller {
            process.ready(begun).await?;
        }
        process.ready_ms = begun.elapsed().as_millis();
        Ok(process)
    }

    fn configuration(&self, state: &std::path::Path, api: SocketAddr, api_settings: &str) -> String {
        format!(
            "[api]\nlisten = \"{api}\"\nmetrics_listen = \"\"\nmax_watches_per_user = 1000\nrequests_per_second = 0\n{api_settings}[database]\nurl = \"{}\"\n[controller]\nstate_dir = \"{}\"\n\
             [keys]\ncredential_key_file = \"{}\"\n[log]\nlevel = \"error\"\n\
             [openstack]\nauth_url = \"{}\"\nusername = \"admin\"\npassword = \"{}\"\nproject_name = \"admin\"\n",
            self.place.url,
            state.display(),
            self.dir.path().join("credential.key").display(),
            self.front.auth_url(),
            self.password,
        )
    }
}

async fn token(auth_url: &str, password: &str) -> Result<String, Failure> {
    let domain = json!({"name": "Default"});
    let body = json!({"auth": {
        "identity": {"methods": ["password"], "password": {"user": {"name": "admin", "domain": domain, "password": password}}},
        "scope": {"project": {"name": "admin", "domain": domain}},
    }});
    let url = format!("{}/auth/tokens", auth_url.trim_end_matches('/'));
    let answer = reqwest::Client::new().post(url).json(&body).send().await?.error_for_status()?;
    let token = answer.headers().get("x-subject-token").ok_or("Keystone gave no token")?;
    Ok(token.to_str()?.to_string())
}

/// A figure of `/proc/PROCESS/status`.
pub fn memory_mb(process: &str, figure: &str) -> Result<f64, Failure> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|l| l.strip_prefix(figure)?.strip_prefix(':')).ok_or(format!("no {figure}"))?;
    let kb: f64 = line.split_whitespace().next().ok_or(format!("no {figure}"))?.parse()?;
    Ok(kb / 1_000.0)
}

/// A process of the release binary; gone when dropped.
pub struct Process {
    pub api: SocketAddr,
    pub token: String,
    pub ready_ms: u128,
    child: Mutex<Child>,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

impl Process {
    /// SIGKILL, and waits for the end.
    pub fn kill(&self) -> Result<(), Failure> {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// SIGTERM.
    pub fn terminate(&self) -> Result<(), Failure> {
        let ended = Command::new("kill").arg(self.pid().to_string()).status()?;
        if ended.success() { Ok(()) } else { Err("the process is gone".into()) }
    }

    fn pid(&self) -> u32 {
        self.child.lock().unwrap_or_else(PoisonError::into_inner).id()
    }

    async fn ready(&self, begun: Instant) -> Result<(), Failure> {
        loop {
            if let Ok((200, _)) = self.get("/readyz").await {
                return Ok(());
            }
            if begun.elapsed() > Duration::from_secs(30) {
                return Err("a process did not get ready within 30 s".into());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub async fn get(&self, path: &str) -> Result<(u16, Vec<u8>), Failure> {
        let mut connection = Connection::open(self.api).await?;
        connection.get(path, &self.token).await
    }

    /// Waits until every host has a status.
    pub async fn wait_for_hosts(&self, hosts: usize) -> Result<Duration, Failure> {
        let (begun, mut last, mut moved) = (Instant::now(), 0, Instant::now());
        loop {
            let seen = self.list("hosts").await?.iter().filter(|h| !h["status"]["nova"].is_null()).count();
            if seen >= hosts {
                return Ok(begun.elapsed());
            }
            if seen > last {
                (last, moved) = (seen, Instant::now());
            }
            if moved.elapsed() > Duration::from_secs(120) {
                return Err(format!("only {seen} of {hosts} hosts were looked at, and no more within 120 s").into());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// All objects of a kind, page by page.
    pub async fn list(&self, plural: &str) -> Result<Vec<serde_json::Value>, Failure> {
        let (mut connection, mut all, mut marker) = (Connection::open(self.api).await?, Vec::new(), String::new());
        loop {
            let (status, body) = connection.get(&format!("/v1/{plural}?limit=1000{marker}"), &self.token).await?;
            if status != 200 {
                return Err(format!("the list of {plural} answered {status}: {}", String::from_utf8_lossy(&body)).into());
            }
            let mut page: serde_json::Value = serde_json::from_slice(&body)?;
            let serde_json::Value::Array(items) = page["items"].take() else { return Err("a list has no items".into()) };
            marker = items.last().and_then(|last| last["metadata"]["name"].as_str()).map(|name| format!("&marker={name}")).unwrap_or_default();
            let is_last = items.len() < 1_000;
            all.extend(items);
            if is_last {
                return Ok(all);
            }
        }
    }

    /// Seconds of processor time that it has used.
    pub fn cpu_seconds(&self) -> Result<f64, Failure> {
        /// Of `utime` and `stime` in `/proc/PID/stat`, per second, on every Linux that there is (`USER_HZ`).
        const TICKS: f64 = 100.0;
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()))?;
        // The name may hold anything; what follows its bracket does not.
        let fields: Vec<&str> = stat.rsplit(')').next().ok_or("no stat")?.split_whitespace().collect();
        let ticks = |n: usize| fields.get(n).ok_or("a short stat").and_then(|t| t.parse::<f64>().map_err(|_| "an odd stat"));
        Ok((ticks(11)? + ticks(12)?) / TICKS)
    }

    /// Resident memory.
    pub fn memory_mb(&self) -> Result<f64, Failure> {
        memory_mb(&self.pid().to_string(), "VmRSS")
    }

    pub async fn gets_per_second(&self) -> Result<u64, Failure> {
        const SECONDS: u64 = 5;
        let until = Instant::now() + Duration::from_secs(SECONDS);
        let mut tasks = Vec::new();
        for _ in 0..8 {
            let (api, token) = (self.api, self.token.clone());
            tasks.push(tokio::spawn(async move {
                let mut connection = Connection::open(api).await?;
                let mut done = 0u64;
                while Instant::now() < until {
                    let (status, _) = connection.get("/v1/hosts/compute-01", &token).await?;
                    if status != 200 {
                        return Err(format!("GET answered {status}").into());
                    }
                    done += 1;
                }
                Ok::<u64, Failure>(done)
            }));
        }
        let mut total = 0;
        for task in tasks {
            total += task.await??;
        }
        Ok(total / SECONDS)
    }

    /// Seconds for all hosts, page by page, read and parsed; median of 5.
    pub async fn list_all_seconds(&self, hosts: usize) -> Result<f64, Failure> {
        let mut times = Vec::new();
        for _ in 0..5 {
            let begun = Instant::now();
            let found = self.list("hosts").await?.len();
            times.push(begun.elapsed().as_secs_f64());
            if found != hosts {
                return Err(format!("{found} of {hosts} hosts were listed").into());
            }
        }
        times.sort_by(f64::total_cmp);
        Ok(times[2])
    }

    pub async fn list_page_ms(&self) -> Result<f64, Failure> {
        let mut connection = Connection::open(self.api).await?;
        let mut times = Vec::new();
        for _ in 0..51 {
            let begun = Instant::now();
            let (status, body) = connection.get("/v1/hosts?limit=500", &self.token).await?;
            if status != 200 || body.len() < 1_000 {
                return Err(format!("the list answered {status}").into());
            }
            times.push(begun.elapsed().as_secs_f64() * 1_000.0);
        }
        times.sort_by(f64::total_cmp);
        Ok(times[times.len() / 2])
    }
}
