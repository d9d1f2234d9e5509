//! The README's way through the sandbox, with the real binary.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

const BINARY: &str = env!("CARGO_BIN_EXE_cloud-manager");

struct Sandbox {
    child: Child,
    dir: tempfile::TempDir,
    api: String,
    cloud: String,
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_address() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

fn launch(dir: &Path, api: &str, cloud: &str) -> Child {
    let mut child = Command::new(BINARY)
        .args(["sandbox", "--hosts", "5", "--guests", "20", "--listen", api, "--cloud-listen", cloud, "--data-dir"])
        .arg(dir)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It says that it is ready; afterwards its log is drained, so that it never blocks on a full pipe.
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let first = lines.by_ref().map_while(Result::ok).find(|l| l.starts_with("sandbox:") || l.starts_with("error"));
    assert!(first.as_deref().unwrap_or("").starts_with("sandbox:"), "{first:?}");
    std::thread::spawn(move || lines.for_each(drop));
    child
}

impl Sandbox {
    fn start() -> Sandbox {
        let (dir, api, cloud) = (tempfile::tempdir().unwrap(), free_address(), free_address());
        let child = launch(dir.path(), &api, &cloud);
        Sandbox { child, dir, api, cloud }
    }

    fn run(&self, args: &[&str]) -> Output {
        let openrc = std::fs::read_to_string(self.dir.path().join("openrc")).unwrap();
        let variables = openrc.lines().filter_map(|l| l.strip_prefix("export ")?.split_once('='));
        Command::new(BINARY).args(args).envs(variables).stdin(Stdio::null()).output().unwrap()
    }

    fn ok(&self, args: &[&str]) -> String {
        let out = self.run(args);
        assert!(out.status.success(), "{args:?}: {}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    fn until(&self, args: &[&str], what: &str, limit: Duration) -> String {
        let deadline = Instant::now() + limit;
        loop {
            let out = self.ok(args);
            if out.contains(what) {
                return out;
            }
            assert!(Instant::now() < deadline, "{args:?} never showed {what:?}; the last: {out}");
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    fn fault(&self, host: &str, fault: &str) {
        self.ok(&["sandbox", "fault", host, fault, "--cloud", &format!("http://{}", self.cloud)]);
    }
}

#[test]
fn a_declared_off_host_drains_and_powers_off_and_comes_back() {
    let sandbox = Sandbox::start();
    sandbox.until(&["get", "powerlinks"], "True", Duration::from_secs(20));
    sandbox.ok(&["power", "off", "compute-01", "--yes"]);
    sandbox.until(&["describe", "host", "compute-01"], "ProvingEmpty", Duration::from_secs(120));
    sandbox.ok(&["wait", "host", "compute-01", "--for=condition=PoweredOn=False", "--timeout", "180s"]);
    let guests = sandbox.ok(&["get", "guests", "compute-01"]);
    assert!(!guests.contains("active"), "{guests}");
    sandbox.ok(&["power", "on", "compute-01"]);
    sandbox.until(&["get", "host", "compute-01"], "enabled", Duration::from_secs(60));
}

#[test]
fn a_crashed_host_is_evacuated_with_proof_only_and_held_until_it_is_released() {
    let sandbox = Sandbox::start();
    sandbox.until(&["get", "powerlinks"], "True", Duration::from_secs(20));
    sandbox.fault("compute-02", "BmcUnreachable");
    sandbox.fault("compute-02", "Crash");
    let refused = sandbox.run(&["evacuate", "compute-02"]);
    assert_eq!(refused.status.code(), Some(2), "without a terminal it needs --yes");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("POWERED OFF"));
    sandbox.ok(&["evacuate", "compute-02", "--yes", "--mode", "Rebuild"]);
    let name = sandbox.ok(&["get", "evacuations", "-o", "name"]).trim().split('/').next_back().unwrap().to_string();
    let why = sandbox.until(&["describe", "evacuation", &name], "PowerUnreadable", Duration::from_secs(60));
    assert!(why.contains("Unknown is never off"), "{why}");
    assert!(sandbox.ok(&["get", "operations"]).lines().all(|l| !l.contains("Evacuate/")), "nothing is evacuated without proof");
    sandbox.fault("compute-02", "None");
    sandbox.ok(&["wait", "evacuation", &name, "--for=condition=Succeeded", "--timeout", "120s"]);
    sandbox.until(&["get", "host", "compute-02"], "FencedAwaitingReturn", Duration::from_secs(60));
    sandbox.ok(&["power", "on", "compute-02"]);
    sandbox.until(&["get", "host", "compute-02"], "AsDesired", Duration::from_secs(90));
    sandbox.until(&["get", "host", "compute-02"], "enabled", Duration::from_secs(30));
}

#[test]
fn a_killed_sandbox_is_ready_again_at_once_on_the_same_directory() {
    let mut sandbox = Sandbox::start();
    sandbox.ok(&["freeze"]);
    sandbox.child.kill().unwrap();
    sandbox.child.wait().unwrap();
    sandbox.child = launch(sandbox.dir.path(), &sandbox.api, &sandbox.cloud);
    assert!(sandbox.ok(&["get", "clusterpolicies"]).contains("Frozen"));
    // A second process on the same directory is turned away by the lock (S14).
    let second = Command::new(BINARY)
        .args(["sandbox", "--listen", &free_address(), "--cloud-listen", &free_address(), "--data-dir"])
        .arg(sandbox.dir.path())
        .output()
        .unwrap();
    assert!(!second.status.success() && String::from_utf8_lossy(&second.stderr).contains("another cloud-manager"));
}

#[test]
fn logins_and_keys_are_readable_by_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let sandbox = Sandbox::start();
    for file in ["openrc", "clouds.yaml", "credential.key"] {
        let mode = std::fs::metadata(sandbox.dir.path().join(file)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{file}");
    }
    let shown = sandbox.ok(&["get", "credential", "bmc", "-o", "yaml"]);
    assert!(!shown.contains("password: "), "{shown}");
}

#[test]
fn what_would_be_begun_is_told_and_what_was_decided_can_be_replayed() {
    let sandbox = Sandbox::start();
    let deadline = Instant::now() + Duration::from_secs(120);
    let shown = |args: &[&str], what: &str| loop {
        let out = sandbox.run(args);
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        if out.status.success() && text.contains(what) {
            break text;
        }
        assert!(Instant::now() < deadline, "{args:?} never showed {what:?}; the last: {text}{}", String::from_utf8_lossy(&out.stderr));
        std::thread::sleep(Duration::from_millis(300));
    };
    let cloud = shown(&["decide"], "5 hosts are up, or off as they should be");
    assert!(cloud.contains("RemediationPolicy default: begins nothing (NeverEvacuate)"), "{cloud}");
    let host = shown(&["decide", "compute-01"], "If it were evacuated now");
    assert!(host.contains("service Up, power On"), "{host}");
    let dir = sandbox.dir.path().to_str().unwrap();
    shown(&["replay", dir, "--host", "compute-01"], "Host compute-01 (default): Unknown -> Up");
    assert!(sandbox.ok(&["get", "evacuations", "-o", "name"]).is_empty());
}
