//! The IPMI driver with the real `ipmitool` against OpenIPMI's simulator of a BMC, which knows cipher suite 3 only.

mod common;

use common::{PASSWORD, Server, says, script, skip, target, until, until_power, with_password};
use power::{Command, Drivers, Power, PowerDriver, PowerError, Target};
use schemas::v1::Protocol;
use std::{fs, net::UdpSocket, path::Path, process, time::Duration};

struct Sim {
    dir: tempfile::TempDir,
    server: Server,
    target: Target,
}

/// `None` (and said so) if a program is missing.
async fn start() -> Option<Sim> {
    for (program, package) in [("ipmi_sim", "openipmi"), ("ipmitool", "ipmitool")] {
        if process::Command::new(program).arg("-V").stdout(process::Stdio::null()).stderr(process::Stdio::null()).status().is_err() {
            skip(&format!("{program} is not there; install the package {package}"));
            return None;
        }
    }
    // Somebody else may take the port between its choice and its use.
    let mut log = String::new();
    for _ in 0..5 {
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let dir = tempfile::tempdir().unwrap();
        let server = spawn(dir.path(), port);
        let mut sim = Sim { dir, server, target: target(Protocol::IPMI, port) };
        let ready = until("ipmi_sim", Duration::from_secs(30), async || {
            if sim.server.0.try_wait().unwrap().is_some() {
                return Some(false);
            }
            Drivers::new().read(&sim.target).await.is_ok().then_some(true)
        });
        if ready.await {
            return Some(sim);
        }
        log = fs::read_to_string(sim.dir.path().join("log")).unwrap_or_default();
    }
    panic!("ipmi_sim does not start: {log}");
}

fn spawn(dir: &Path, port: u16) -> Server {
    let shown = dir.display();
    let chassis = "power=$1; shift; op=$1; shift
while [ $# -gt 0 ]; do
  case $op:$1 in
    get:power) echo \"power:$(cat \"$power\")\";;
    get:boot) echo boot:default;;
    set:power) echo \"$2\" >\"$power\"; shift;;
    set:shutdown) echo 0 >\"$power\"; echo soft >\"$power.how\"; shift;;
    set:*) shift;;
  esac
  shift
done";
    script(&dir.join("chassis"), &format!("#!/bin/sh\n{chassis}\n"));
    fs::write(dir.join("power"), "1\n").unwrap();
    let auths = "none md2 md5 straight";
    fs::write(
        dir.join("lan.conf"),
        format!(
            "name \"bmc\"\nset_working_mc 0x20\n  startlan 1\n    addr 127.0.0.1 {port}\n    priv_limit admin\n    allowed_auths_callback {auths}\n    \
             allowed_auths_user {auths}\n    allowed_auths_operator {auths}\n    allowed_auths_admin {auths}\n    guid a123456789abcdefa123456789abcdef\n  \
             endlan\n  chassis_control \"{shown}/chassis {shown}/power\"\n  user 1 false \"\" \"\" user 10 {auths}\n  user 2 true \"admin\" \"{PASSWORD}\" \
             admin 10 {auths}\n"
        ),
    )
    .unwrap();
    fs::write(
        dir.join("sim.emu"),
        "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr\nsel_enable 0x20 1000 0x0a\nmc_enable 0x20\n",
    )
    .unwrap();
    let mut command = process::Command::new("ipmi_sim");
    command.arg("-c").arg(dir.join("lan.conf")).arg("-f").arg(dir.join("sim.emu")).args(["-n", "-d", "-s"]).arg(dir.join("state"));
    let log = fs::File::create(dir.join("log")).unwrap();
    command.stdin(process::Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    Server(command.spawn().unwrap())
}

#[tokio::test]
async fn power_is_set_and_read_back_on_a_real_bmc() {
    let Some(sim) = start().await else { return };
    let driver = Drivers::new();
    assert_eq!(driver.read(&sim.target).await, Ok(Power::On));
    driver.set(&sim.target, Command::ForceOff).await.unwrap();
    until_power(&driver, &sim.target, Power::Off).await;
    // Already off is success.
    driver.set(&sim.target, Command::ForceOff).await.unwrap();
    driver.set(&sim.target, Command::On).await.unwrap();
    until_power(&driver, &sim.target, Power::On).await;
    driver.set(&sim.target, Command::SoftOff).await.unwrap();
    until_power(&driver, &sim.target, Power::Off).await;
    assert!(sim.dir.path().join("power.how").exists(), "it was shut down, not switched off");
}

#[tokio::test]
async fn a_wrong_password_or_user_is_bad_credentials_and_acts_on_nothing() {
    let Some(sim) = start().await else { return };
    let driver = Drivers::new();
    let nobody = Target { username: "nobody".into(), ..sim.target.clone() };
    let too_long = with_password(&sim.target, "more than the twenty bytes of IPMI");
    for wrong in [with_password(&sim.target, "wrong"), with_password(&sim.target, ""), nobody, too_long] {
        for error in [driver.read(&wrong).await.unwrap_err(), driver.set(&wrong, Command::ForceOff).await.unwrap_err()] {
            assert!(matches!(error, PowerError::BadCredentials(_)), "{error:?}");
            says(&error, &["bmc-1", "Credential"]);
        }
    }
    assert_eq!(driver.read(&sim.target).await, Ok(Power::On));
}

#[tokio::test]
async fn a_bmc_that_died_is_unknown_and_never_off() {
    let Some(mut sim) = start().await else { return };
    let driver = Drivers::new();
    driver.set(&sim.target, Command::ForceOff).await.unwrap();
    until_power(&driver, &sim.target, Power::Off).await;
    sim.server.0.kill().unwrap();
    sim.server.0.wait().unwrap();
    let error = driver.read(&sim.target).await.unwrap_err();
    assert!(matches!(error, PowerError::NotSent(_)), "{error:?}");
    says(&error, &["does not answer", "unknown"]);
    let error = driver.set(&sim.target, Command::ForceOff).await.unwrap_err();
    assert!(!error.may_have_acted(), "{error:?}");
}

#[tokio::test]
async fn a_real_bmc_says_who_it_is() {
    let Some(sim) = start().await else { return };
    let identity = Drivers::new().identify(&sim.target).await.unwrap();
    assert_eq!(identity.system_uuid.as_deref().map(str::len), Some(36));
    assert_eq!(identity.serial_number, None, "this BMC has no FRU");
}
