//! A whole site: a simulated cloud in this process, which outlives every server; `cloud-manager run` as a real process.

#![allow(dead_code)]

use serde_json::{Value, json};
use simulator::{Front, Topology, World};
use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

pub const BINARY: &str = env!("CARGO_BIN_EXE_cloud-manager");
/// Longest wait for anything; the machine may be busy.
pub const LIMIT: Duration = Duration::from_secs(180);

pub struct Site {
    pub dir: tempfile::TempDir,
    world: Arc<Mutex<World>>,
    front: Front,
    password: String,
    api: String,
    /// URL of the database; else it is a file in the directory.
    url: Option<String>,
}

/// A running server; killed when it goes.
pub struct Server {
    pub child: Child,
    log: Arc<Mutex<String>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until something is there.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "never seen: {what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

impl Server {
    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap().success());
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn logs(&self, words: &str) -> String {
        let deadline = Instant::now() + LIMIT;
        loop {
            let log = self.log();
            if log.contains(words) {
                return log;
            }
            assert!(Instant::now() < deadline, "never logged: {words}\n{log}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

fn free_address() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Both streams of a command.
pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

impl Site {
    /// A cloud of three hosts, and a configuration for it. Must be made inside of a tokio runtime with several threads.
    pub async fn new(rebuild_ms: i64) -> Site {
        Site::over(rebuild_ms, None).await
    }

    /// The same, with its objects in this database.
    pub async fn over(rebuild_ms: i64, url: Option<String>) -> Site {
        let topology = Topology::sandbox(3, 12, 7).with(|s| s.rebuild_ms = rebuild_ms);
        let world = Arc::new(Mutex::new(topology.build(jiff::Timestamp::now().as_millisecond())));
        let front = simulator::serve(world.clone(), "127.0.0.1:0".parse().unwrap()).await.unwrap();
        let site = Site { dir: tempfile::tempdir().unwrap(), world, front, password: topology.settings.password.clone(), api: free_address(), url };
        site.configure("");
        site
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn database(&self) -> PathBuf {
        self.path("cm.db")
    }

    /// Writes the configuration, with more of it at the end. Tests ask as fast as they can, so their rate has no limit.
    pub fn configure(&self, more: &str) {
        let text = format!(
            "[api]\nlisten = {:?}\nmetrics_listen = \"\"\nrequests_per_second = 0\n[database]\nurl = {:?}\n[controller]\nnode_sync_interval_seconds = 2\n\
             [openstack]\nauth_url = {:?}\nusername = \"admin\"\npassword = {:?}\nproject_name = \"admin\"\nuser_domain_name = \"Default\"\n\
             project_domain_name = \"Default\"\n{more}",
            self.api,
            self.url.clone().unwrap_or_else(|| format!("sqlite://{}", self.database().display())),
            self.front.auth_url(),
            self.password,
        );
        std::fs::write(self.path("cm.toml"), text).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command
            .args(args)
            .env_clear()
            .env("CLOUD_MANAGER_CONFIG", self.path("cm.toml"))
            .env("CLOUD_MANAGER_ENDPOINT", format!("http://{}", self.api));
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        for (name, value) in [("USERNAME", "admin"), ("PASSWORD", &self.password), ("PROJECT_NAME", "admin"), ("AUTH_URL", &self.front.auth_url())] {
            command.env(format!("OS_{name}"), value);
        }
        command.env("OS_USER_DOMAIN_NAME", "Default").env("OS_PROJECT_DOMAIN_NAME", "Default");
        command
    }

    /// Starts `cloud-manager run` and waits until its API is ready.
    pub fn start(&self) -> Server {
        let mut child = self.command(&["run"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        std::thread::spawn({
            let log = log.clone();
            move || {
                for line in lines.map_while(Result::ok) {
                    let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                    log.push_str(&line);
                    log.push('\n');
                }
            }
        });
        let server = Server { child, log };
        server.logs("the API server is ready");
        server
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).stdin(Stdio::null()).output().unwrap()
    }

    /// Starts a command; what it says is kept.
    pub fn spawn(&self, args: &[&str]) -> Child {
        self.command(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Runs a command with this editor.
    pub fn edit(&self, editor: &str, args: &[&str]) -> Output {
        self.command(args).env("EDITOR", editor).stdin(Stdio::null()).output().unwrap()
    }

    /// Runs a command that must succeed.
    pub fn ok(&self, args: &[&str]) -> String {
        let out = self.run(args);
        assert!(out.status.success(), "{args:?}: {}", said(&out));
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    /// Runs a command that must end with this code; both streams.
    pub fn fails(&self, code: i32, args: &[&str]) -> String {
        let out = self.run(args);
        assert_eq!(out.status.code(), Some(code), "{args:?}: {}", said(&out));
        said(&out)
    }

    pub fn shows(&self, args: &[&str], what: &str) -> String {
        until(&format!("{args:?} with {what:?}"), || Some(said(&self.run(args))).filter(|out| out.contains(what)))
    }

    /// Declares policy, Credential, PowerDevices and PowerLinks, and waits until each link is verified.
    pub fn wire(&self) {
        let hosts = self.world().host_names();
        let mut all = vec![
            object(
                "ClusterPolicy",
                "default",
                json!({"guestDisks": "Shared", "novaReportIntervalSeconds": 2, "softOffTimeoutSeconds": 60, "groupPauseSeconds": 1}),
            ),
            object("Credential", "bmc", json!({"data": {"username": "admin", "password": self.password}})),
        ];
        for host in &hosts {
            let identity = self.world().bmc_identity(host).unwrap().system_uuid.unwrap();
            let address = self.front.address();
            let endpoint = json!({"host": address.ip().to_string(), "port": address.port(), "scheme": "HTTP", "system": host});
            all.push(object(
                "PowerDevice",
                host,
                json!({"type": "BMC", "protocol": "Redfish", "endpoint": endpoint, "credentialRef": {"name": "bmc"}}),
            ));
            all.push(object(
                "PowerLink",
                host,
                json!({"hostRef": {"name": host}, "deviceRef": {"name": host}, "identity": {"systemUuid": identity}}),
            ));
        }
        let file = self.path("site.json");
        // YAML's separator, as JSON is YAML.
        std::fs::write(file.with_extension("yaml"), all.iter().map(Value::to_string).collect::<Vec<_>>().join("\n---\n")).unwrap();
        self.shows(&["get", "hosts", "-o", "name"], &format!("host/{}", hosts[hosts.len() - 1]));
        self.ok(&["apply", "-f", file.with_extension("yaml").to_str().unwrap()]);
        until("all links verified", || {
            let links: Value = serde_json::from_str(&self.ok(&["get", "powerlinks", "-o", "json"])).unwrap();
            let verified = |link: &Value| {
                link["status"]["conditions"].as_array().is_some_and(|c| c.iter().any(|c| c["type"] == "Verified" && c["status"] == "True"))
            };
            links["items"].as_array().filter(|l| l.len() == hosts.len() && l.iter().all(verified)).map(drop)
        });
    }

    /// Findings of `doctor`, and its exit code.
    pub fn doctor(&self, args: &[&str]) -> (i32, Vec<(String, String, String)>) {
        let words: Vec<&str> = ["doctor", "-o", "json"].iter().chain(args).copied().collect();
        let out = self.run(&words);
        let report: Value = serde_json::from_slice(&out.stdout).unwrap_or_else(|_| panic!("{}", said(&out)));
        let text = |f: &Value, key: &str| f[key].as_str().unwrap().to_string();
        let findings = report["findings"].as_array().unwrap().iter();
        let findings = findings.map(|f| (text(f, "status"), text(f, "check"), format!("{} {}", text(f, "found"), text(f, "wayOut"))));
        (out.status.code().unwrap(), findings.collect())
    }
}

fn object(kind: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": "cloud-manager/v1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

/// The findings of one check that are not well.
pub fn bad<'a>(findings: &'a [(String, String, String)], check: &str) -> Vec<&'a str> {
    findings.iter().filter(|f| f.1 == check && f.0 != "ok").map(|f| f.2.as_str()).collect()
}

/// Copies a backup over a database, as a restore does.
pub fn restore(backup: &Path, database: &Path) {
    for tail in ["-wal", "-shm"] {
        let mut side = database.as_os_str().to_owned();
        side.push(tail);
        let _ = std::fs::remove_file(side);
    }
    std::fs::copy(backup, database).unwrap();
}
