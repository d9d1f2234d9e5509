//! The Redfish driver against sushy-emulator, the Redfish BMC that OpenStack Ironic is tested with.

mod common;

use common::{Server, says, skip, target, until, until_power, with_password};
use power::{Command, Drivers, Power, PowerDriver, PowerError, Target};
use schemas::v1::{Protocol, power_device::Scheme};
use std::{fs, path::Path, process, time::Duration};

/// "correct-horse" as the emulator keeps it.
const ACCOUNT: &str = "admin:$2b$04$4Sca2yx0ndbk9smMChbM3elmuFRWabis1OhAhFSa8pkZwsrfwbLgK\n";
const UUIDS: [&str; 3] = ["27946b59-9e44-4fa7-8e91-f3527a1ef091", "27946b59-9e44-4fa7-8e91-f3527a1ef092", "27946b59-9e44-4fa7-8e91-f3527a1ef093"];

struct Emulator {
    _dir: tempfile::TempDir,
    _server: Server,
    target: Target,
}

/// Starts one with as many Systems as power states. `None` (and said so) if it cannot be installed.
async fn start(states: &[&str], tls: bool) -> Option<Emulator> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/tools/redfish-emulator.sh");
    let found = process::Command::new("sh").arg(script).output().unwrap();
    if !found.status.success() {
        skip(&format!("the Redfish emulator cannot be had: {}", String::from_utf8_lossy(&found.stderr).trim()));
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let (config, log) = (dir.path().join("config.py"), dir.path().join("log"));
    let systems: Vec<String> = states
        .iter()
        .zip(UUIDS)
        .map(|(state, uuid)| format!("{{'uuid': '{uuid}', 'name': 'node-{uuid}', 'power_state': '{state}', 'nics': []}}"))
        .collect();
    fs::write(dir.path().join("accounts"), ACCOUNT).unwrap();
    let shown = dir.path().display();
    fs::write(
        &config,
        format!(
            "SUSHY_EMULATOR_FAKE_DRIVER = True\nSUSHY_EMULATOR_LISTEN_IP = '127.0.0.1'\nSUSHY_EMULATOR_LISTEN_PORT = 0\n\
             SUSHY_EMULATOR_STATE_DIR = '{shown}'\nSUSHY_EMULATOR_AUTH_FILE = '{shown}/accounts'\nSUSHY_EMULATOR_FAKE_SYSTEMS = [{}]\n",
            systems.join(", ")
        ),
    )
    .unwrap();
    let output = fs::File::create(&log).unwrap();
    let mut emulator = process::Command::new(String::from_utf8(found.stdout).unwrap().trim());
    emulator.arg("--fake").arg("--config").arg(&config).env("PYTHONUNBUFFERED", "1");
    let pin = if tls { Some(certify(dir.path(), &mut emulator)?) } else { None };
    emulator.stdin(process::Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
    let mut server = Server(emulator.spawn().unwrap());
    let port = until("the emulator", Duration::from_secs(60), async || {
        let text = fs::read_to_string(&log).unwrap();
        assert!(server.0.try_wait().unwrap().is_none(), "the emulator does not start: {text}");
        let (_, rest) = text.split_once("://127.0.0.1:")?;
        rest.split_once('\n')?.0.trim().parse().ok()
    })
    .await;
    let mut target = target(Protocol::Redfish, port);
    if tls {
        target.spec.endpoint.scheme = Some(Scheme::HTTPS);
        target.spec.endpoint.certificate_sha256 = pin;
    }
    Some(Emulator { _dir: dir, _server: server, target })
}

/// Gives the emulator a certificate of its own; answers its fingerprint as `openssl` shows it.
fn certify(dir: &Path, emulator: &mut process::Command) -> Option<String> {
    let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    let mut openssl = process::Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=bmc", "-out"]).arg(&cert).arg("-keyout").arg(&key);
    let Ok(made) = openssl.output() else {
        skip("openssl is not there; install the package openssl");
        return None;
    };
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let shown = process::Command::new("openssl").args(["x509", "-noout", "-fingerprint", "-sha256", "-in"]).arg(&cert).output().unwrap();
    emulator.arg("--ssl-certificate").arg(&cert).arg("--ssl-key").arg(&key);
    Some(String::from_utf8(shown.stdout).unwrap().split_once('=').unwrap().1.trim().to_owned())
}

fn at(emulator: &Emulator, system: usize) -> Target {
    let mut target = emulator.target.clone();
    target.spec.endpoint.system = Some(UUIDS[system].into());
    target
}

#[tokio::test]
async fn power_is_set_and_read_back_on_each_system_alone() {
    let Some(emulator) = start(&["On", "Off", "On"], false).await else { return };
    let driver = Drivers::new();
    let targets = [at(&emulator, 0), at(&emulator, 1), at(&emulator, 2)];
    for (target, state) in targets.iter().zip([Power::On, Power::Off, Power::On]) {
        assert_eq!(driver.read(target).await, Ok(state));
    }
    for (target, command) in targets.iter().zip([Command::ForceOff, Command::On, Command::SoftOff]) {
        driver.set(target, command).await.unwrap();
    }
    for (target, wanted) in targets.iter().zip([Power::Off, Power::On, Power::Off]) {
        until_power(&driver, target, wanted).await;
    }
}

#[tokio::test]
async fn several_systems_want_a_choice_and_identify_themselves() {
    let Some(emulator) = start(&["On", "Off"], false).await else { return };
    let driver = Drivers::new();
    let error = driver.read(&emulator.target).await.unwrap_err();
    assert!(matches!(error, PowerError::NotSent(_)), "{error:?}");
    says(&error, &[UUIDS[0], UUIDS[1], "spec.endpoint.system"]);
    let identity = driver.identify(&at(&emulator, 1)).await.unwrap();
    assert_eq!(identity.system_uuid.as_deref(), Some(UUIDS[1]));
}

#[tokio::test]
async fn a_wrong_password_is_bad_credentials() {
    let Some(emulator) = start(&["On"], false).await else { return };
    let driver = Drivers::new();
    let wrong = with_password(&emulator.target, "wrong");
    for error in [driver.read(&wrong).await.unwrap_err(), driver.set(&wrong, Command::ForceOff).await.unwrap_err()] {
        assert!(matches!(error, PowerError::BadCredentials(_)), "{error:?}");
    }
    assert_eq!(driver.read(&emulator.target).await, Ok(Power::On));
}

#[tokio::test]
async fn its_own_certificate_is_believed_by_fingerprint() {
    let Some(emulator) = start(&["On"], true).await else { return };
    let driver = Drivers::new();
    assert_eq!(driver.read(&emulator.target).await, Ok(Power::On));
    let mut other = emulator.target.clone();
    other.spec.endpoint.certificate_sha256 = Some("00".repeat(32));
    assert!(matches!(driver.read(&other).await, Err(PowerError::NotSent(_))));
}
