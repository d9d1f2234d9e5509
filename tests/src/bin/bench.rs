//! `make bench`: speed and size of the release binary, against the simulated cloud in this process.
//!
//! Prints one table with the machine and the sizes. Every figure is measured here and now.

use schemas::{DynObject, Time};
use serde_json::json;
use simulator::Topology;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use store::{Guard, KeyRing, Op, SqlStore, Store, StoreConfig};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

type Failure = Box<dyn std::error::Error + Send + Sync>;

struct Row {
    what: String,
    value: String,
    target: &'static str,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut rows = Vec::new();
    let small = Server::start(20, 200).await?;
    rows.push(row("`run`, start to ready, 20 hosts", format!("{} ms", small.ready_ms), "≤ 500 ms"));
    small.wait_for_hosts(20).await?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    rows.push(row("idle memory, 20 hosts, 200 guests", format!("{:.1} MB", small.memory_mb()?), "≤ 60 MB"));
    rows.push(row("GET one host, 8 connections, cached token", format!("{}/s", small.gets_per_second().await?), "≥ 3000/s"));
    let small = small.kill_and_restart().await?;
    rows.push(row("`run`, start to ready after SIGKILL", format!("{} ms", small.ready_ms), "≤ 500 ms"));
    drop(small);

    let large = Server::start(1_000, 10_000).await?;
    let synced = large.wait_for_hosts(1_000).await?;
    rows.push(row("1000 hosts known and looked at once, 10,000 guests", format!("{:.1} s", synced.as_secs_f64()), ""));
    tokio::time::sleep(Duration::from_secs(20)).await;
    rows.push(row("idle memory, 1000 hosts, 10,000 guests", format!("{:.1} MB", large.memory_mb()?), "≤ 120 MB"));
    let page = large.list_page_ms().await?;
    rows.push(row("list page of 500 hosts, median of 51", format!("{page:.1} ms"), "≤ 20 ms"));
    drop(large);

    for writers in [1, 4, 16] {
        let rate = write_transactions(writers).await?;
        rows.push(row(&format!("SQLite write transactions, {writers} writer(s), synchronous=FULL"), format!("{rate}/s"), ""));
    }
    print_table(&rows);
    Ok(())
}

fn row(what: &str, value: String, target: &'static str) -> Row {
    eprintln!("{what}: {value}");
    Row { what: what.into(), value, target }
}

fn print_table(rows: &[Row]) {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|l| l.strip_prefix("model name")).map(|l| l.trim_start_matches(['\t', ' ', ':'])).unwrap_or("unknown CPU");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!("Machine: {cores} cores, {model}; release build.\n");
    println!("| What | Measured | Target |\n|---|---|---|");
    for r in rows {
        println!("| {} | {} | {} |", r.what, r.value, r.target);
    }
}

/// The release binary under `run`, over a simulated cloud in this process.
struct Server {
    child: Child,
    api: SocketAddr,
    token: String,
    ready_ms: u128,
    dir: Arc<tempfile::TempDir>,
    front: Arc<simulator::Front>,
    password: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> Result<u16, Failure> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn binary() -> Result<PathBuf, Failure> {
    let path = std::env::current_exe()?.with_file_name("cloud-manager");
    if path.exists() { Ok(path) } else { Err(format!("{} is not built; run: make bench", path.display()).into()) }
}

impl Server {
    async fn start(hosts: usize, guests: usize) -> Result<Server, Failure> {
        let topology = Topology::sandbox(hosts, guests, 1);
        let now_ms = i64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_millis())?;
        let world = Arc::new(Mutex::new(topology.build(now_ms)));
        let front = Arc::new(simulator::serve(world, "127.0.0.1:0".parse()?).await?);
        let dir = Arc::new(tempfile::tempdir()?);
        let password = topology.settings.password.clone();
        let token = token(&front.auth_url(), &password).await?;
        Self::launch(dir, front, password, token).await
    }

    async fn launch(dir: Arc<tempfile::TempDir>, front: Arc<simulator::Front>, password: String, token: String) -> Result<Server, Failure> {
        let api: SocketAddr = format!("127.0.0.1:{}", free_port()?).parse()?;
        let config = dir.path().join("config.toml");
        std::fs::write(&config, configuration(dir.path(), api, &front.auth_url(), &password))?;
        let begun = Instant::now();
        let mut command = Command::new(binary()?);
        command.args(["run", "--config"]).arg(&config).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn()?;
        let mut server = Server { child, api, token, ready_ms: 0, dir, front, password };
        loop {
            if let Ok((200, _)) = server.get("/readyz").await {
                break;
            }
            if begun.elapsed() > Duration::from_secs(30) {
                return Err("`run` did not get ready within 30 s".into());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        server.ready_ms = begun.elapsed().as_millis();
        Ok(server)
    }

    async fn kill_and_restart(mut self) -> Result<Server, Failure> {
        self.child.kill()?;
        self.child.wait()?;
        let (dir, front, password, token) = (self.dir.clone(), self.front.clone(), self.password.clone(), self.token.clone());
        drop(self);
        Self::launch(dir, front, password, token).await
    }

    async fn get(&self, path: &str) -> Result<(u16, Vec<u8>), Failure> {
        let mut connection = Connection::open(self.api).await?;
        connection.get(path, &self.token).await
    }

    /// Waits until every host has a status.
    async fn wait_for_hosts(&self, hosts: usize) -> Result<Duration, Failure> {
        let begun = Instant::now();
        loop {
            let (status, body) = self.get("/v1/hosts?limit=1000").await?;
            if status == 200 {
                let list: serde_json::Value = serde_json::from_slice(&body)?;
                let seen = list["items"].as_array().map_or(0, |i| i.iter().filter(|h| !h["status"]["nova"].is_null()).count());
                if seen >= hosts {
                    return Ok(begun.elapsed());
                }
            }
            if begun.elapsed() > Duration::from_secs(180) {
                return Err(format!("only some of {hosts} hosts were looked at within 180 s").into());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    fn memory_mb(&self) -> Result<f64, Failure> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        let kb: f64 = line.split_whitespace().next().ok_or("no VmRSS")?.parse()?;
        Ok(kb / 1_000.0)
    }

    async fn gets_per_second(&self) -> Result<u64, Failure> {
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

    async fn list_page_ms(&self) -> Result<f64, Failure> {
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

fn configuration(dir: &Path, api: SocketAddr, auth_url: &str, password: &str) -> String {
    format!(
        "[api]\nlisten = \"{api}\"\nmetrics_listen = \"\"\n[database]\nurl = \"sqlite://{}\"\n[log]\nlevel = \"error\"\n\
         [openstack]\nauth_url = \"{auth_url}\"\nusername = \"admin\"\npassword = \"{password}\"\nproject_name = \"admin\"\n",
        dir.join("cloud-manager.db").display()
    )
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

/// A kept-alive HTTP/1.1 connection that costs the measuring side as little as possible.
struct Connection {
    tcp: TcpStream,
    address: SocketAddr,
    buffer: Vec<u8>,
}

impl Connection {
    async fn open(address: SocketAddr) -> Result<Connection, Failure> {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        Ok(Connection { tcp, address, buffer: Vec::new() })
    }

    async fn get(&mut self, path: &str, token: &str) -> Result<(u16, Vec<u8>), Failure> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nX-Auth-Token: {token}\r\n\r\n", self.address);
        self.tcp.write_all(request.as_bytes()).await?;
        loop {
            if let Some(end) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&self.buffer[..end]).to_lowercase();
                let status = head.split(' ').nth(1).ok_or("no status")?.parse()?;
                let length = head.lines().find_map(|l| l.strip_prefix("content-length:")).ok_or("no Content-Length")?.trim().parse::<usize>()?;
                while self.buffer.len() < end + 4 + length {
                    self.fill().await?;
                }
                let body = self.buffer[end + 4..end + 4 + length].to_vec();
                self.buffer.drain(..end + 4 + length);
                return Ok((status, body));
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> Result<(), Failure> {
        if self.tcp.read_buf(&mut self.buffer).await? == 0 {
            return Err("the server closed the connection".into());
        }
        Ok(())
    }
}

/// Updates of different objects by the write rule, for three seconds.
async fn write_transactions(writers: usize) -> Result<u64, Failure> {
    const SECONDS: u64 = 3;
    let dir = tempfile::tempdir()?;
    let config = StoreConfig { deadline: Duration::from_secs(60), ..StoreConfig::sqlite(dir.path().join("db")) };
    store::migrate(&config, None).await?;
    let store = Arc::new(SqlStore::open(&config, KeyRing::parse(&format!("k:{}", "01".repeat(32)))?).await?);
    let until = Instant::now() + Duration::from_secs(SECONDS);
    let mut tasks = Vec::new();
    for writer in 0..writers {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            let mut object = DynObject::new("Host", format!("h{writer}"), json!({"title": "x".repeat(1_000)}));
            object.metadata.uid = format!("00000000-0000-0000-0000-{writer:012}");
            let mut last = store.commit(Guard::Open, Time(0), vec![Op::Create(object)]).await?.last()?.clone();
            let mut done = 0u64;
            while Instant::now() < until {
                let expected = last.metadata.revision();
                last = store.commit(Guard::Open, Time(0), vec![Op::Update { object: last, expected }]).await?.last()?.clone();
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
