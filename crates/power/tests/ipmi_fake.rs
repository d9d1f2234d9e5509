//! The IPMI driver against an `ipmitool` that does what the test says.

mod common;

use common::{PASSWORD, says, script, target, until};
use power::{Command, IpmiDriver, Power, PowerDriver, PowerError, Target, end_of_life};
use schemas::v1::Protocol;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

const NO_SESSION: &str = "echo 'Error: Unable to establish IPMI v2 / RMCP+ session' >&2; exit 1";

/// A fake `ipmitool`: writes its arguments to `calls`, then runs `body` with `$suite`, `$what` (its last argument) and
/// `$dir`.
struct Fake {
    dir: tempfile::TempDir,
    driver: Arc<IpmiDriver>,
    target: Target,
}

impl Fake {
    fn new(body: &str) -> Self {
        let dir = tempfile::tempdir().expect("tempdir");
        let program = dir.path().join("ipmitool");
        let shown = dir.path().display();
        let preamble = format!("#!/bin/sh\ndir='{shown}'\necho \"$*\" >>\"$dir/calls\"\nsuite=$(echo \"$*\" | sed 's/.* -C \\([0-9]*\\) .*/\\1/')\n");
        script(&program, &format!("{preamble}for what; do :; done\necho 'Loading IANA PEN Registry...' >&2\n{body}\n"));
        Self { driver: Arc::new(IpmiDriver::new(program)), dir, target: target(Protocol::IPMI, 623) }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn calls(&self) -> Vec<String> {
        fs::read_to_string(self.file("calls")).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    fn suites(&self) -> Vec<u8> {
        let suite = |call: &String| call.split_whitespace().skip_while(|arg| *arg != "-C").nth(1)?.parse().ok();
        self.calls().iter().map(|call| suite(call).expect("-C")).collect()
    }

    async fn read(&self) -> Result<Power, PowerError> {
        self.driver.read(&self.target).await
    }

    async fn set(&self, command: Command) -> Result<(), PowerError> {
        self.driver.set(&self.target, command).await
    }
}

async fn appears(path: &Path) -> String {
    until(&path.display().to_string(), Duration::from_secs(10), async || fs::read_to_string(path).ok().filter(|text| text.ends_with('\n'))).await
}

#[tokio::test]
async fn the_exact_words_are_believed() {
    assert_eq!(Fake::new("echo 'Chassis Power is on'").read().await, Ok(Power::On));
    assert_eq!(Fake::new("echo 'Chassis Power is off'").read().await, Ok(Power::Off));
}

#[tokio::test]
async fn any_other_answer_is_unknown_and_never_off() {
    for body in [
        "echo off",
        "echo 'Chassis Power is off'; exit 1",
        "echo 'Chassis Power is off maybe'",
        "true",
        "printf 'Chassis Power is on\\nChassis Power is off\\n'",
    ] {
        let error = Fake::new(body).read().await.unwrap_err();
        assert!(matches!(error, PowerError::Unknown(_)), "{body}: {error:?}");
        says(&error, &["bmc-1", "power state"]);
    }
}

#[tokio::test]
async fn the_arguments_are_those_of_the_command_and_nothing_is_sent_twice() {
    let fake = Fake::new("echo 'Chassis Power Control: Down/Off'");
    fake.set(Command::On).await.unwrap();
    fake.set(Command::ForceOff).await.unwrap();
    fake.set(Command::SoftOff).await.unwrap();
    let fixed = "-I lanplus -H 127.0.0.1 -p 623 -U admin -E -C 17 -L ADMINISTRATOR -N 1 -R 1 -v chassis power";
    assert_eq!(fake.calls(), ["on", "off", "soft"].map(|what| format!("{fixed} {what}")));
}

#[tokio::test]
async fn the_password_is_in_the_environment_only_and_nothing_else_of_ours_is() {
    let body = "env >\"$dir/env\"; cat /proc/$$/cmdline /proc/$PPID/cmdline | tr '\\0' ' ' >\"$dir/cmdlines\"; echo 'Chassis Power is on'";
    let fake = Fake::new(body);
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some(), "the test has something in its environment to leak");
    fake.read().await.unwrap();
    let environment = fs::read_to_string(fake.file("env")).unwrap();
    assert!(environment.lines().any(|line| line == format!("IPMI_PASSWORD={PASSWORD}")));
    assert!(!environment.contains("CARGO_MANIFEST_DIR"), "{environment}");
    let cmdlines = fs::read_to_string(fake.file("cmdlines")).unwrap();
    assert!(cmdlines.contains("chassis power status") && cmdlines.contains("timeout -s KILL 8"), "{cmdlines}");
    assert!(!cmdlines.contains(PASSWORD), "{cmdlines}");
}

#[tokio::test]
async fn suite_3_follows_when_17_is_rejected_and_is_remembered() {
    for rejection in [
        "echo 'Error in open session response message : invalid authentication algorithm' >&2;",
        "echo 'Error: no response from RAKP 1 message' >&2;",
        "",
    ] {
        let fake = Fake::new(&format!("if [ $suite = 17 ]; then {rejection} {NO_SESSION}; fi; echo 'Chassis Power is on'"));
        assert_eq!(fake.read().await, Ok(Power::On));
        assert_eq!(fake.read().await, Ok(Power::On));
        assert_eq!(fake.suites(), [17, 3, 3], "{rejection}");
    }
}

#[tokio::test]
async fn a_remembered_suite_that_fails_gives_way_to_the_other() {
    let fake =
        Fake::new(&format!("[ -e \"$dir/new\" ] && good=17 || good=3; if [ $suite != $good ]; then {NO_SESSION}; fi; echo 'Chassis Power is on'"));
    assert_eq!(fake.read().await, Ok(Power::On));
    fs::write(fake.file("new"), "").unwrap();
    assert_eq!(fake.read().await, Ok(Power::On));
    assert_eq!(fake.read().await, Ok(Power::On));
    assert_eq!(fake.suites(), [17, 3, 3, 17, 17]);
}

#[tokio::test]
async fn a_wrong_password_is_said_once_and_not_tried_with_the_other_suite() {
    let fake = Fake::new(&format!("echo '> RAKP 2 HMAC is invalid' >&2; {NO_SESSION}"));
    let error = fake.set(Command::ForceOff).await.unwrap_err();
    assert!(matches!(error, PowerError::BadCredentials(_)), "{error:?}");
    says(&error, &["bmc-1", "admin", "RAKP 2 HMAC is invalid", "correct the Credential"]);
    assert_eq!(fake.suites(), [17]);
}

#[tokio::test]
async fn a_user_without_the_privilege_is_bad_credentials() {
    let fake = Fake::new(&format!("echo 'RAKP 2 message indicates an error : unauthorized role or privilege level requested' >&2; {NO_SESSION}"));
    let error = fake.read().await.unwrap_err();
    assert!(matches!(error, PowerError::BadCredentials(_)), "{error:?}");
    says(&error, &["ADMINISTRATOR"]);
}

#[tokio::test]
async fn without_a_session_nothing_was_sent() {
    let silent = "echo 'Get Auth Capabilities error' >&2;";
    for (text, attempts) in [(silent, 1), ("echo 'Address lookup for x failed' >&2;", 1), ("", 2)] {
        let fake = Fake::new(&format!("{text} {NO_SESSION}"));
        for error in [fake.set(Command::ForceOff).await.unwrap_err(), fake.read().await.unwrap_err()] {
            assert!(matches!(error, PowerError::NotSent(_)), "{error:?}");
            says(&error, &["bmc-1", "127.0.0.1:623"]);
        }
        assert_eq!(fake.suites().len(), 2 * attempts, "{text}");
    }
}

#[tokio::test]
async fn a_missing_ipmitool_names_the_package() {
    let error = IpmiDriver::new("/nonexistent/ipmitool").set(&target(Protocol::IPMI, 623), Command::On).await.unwrap_err();
    assert!(matches!(error, PowerError::NotSent(_)), "{error:?}");
    says(&error, &["/nonexistent/ipmitool", "install the package ipmitool"]);
}

#[tokio::test]
async fn a_hanging_ipmitool_is_dead_in_time_and_its_command_may_have_happened() {
    let fake = Fake::new("echo $$ >\"$dir/pid\"; sleep 600");
    let start = Instant::now();
    let error = fake.set(Command::ForceOff).await.unwrap_err();
    assert!(error.may_have_acted(), "{error:?}");
    assert!(start.elapsed() < end_of_life(Protocol::IPMI) + Duration::from_secs(4), "{:?}", start.elapsed());
    let pid = appears(&fake.file("pid")).await;
    let process = PathBuf::from(format!("/proc/{}", pid.trim()));
    until("its end", Duration::from_secs(2), async || (!process.exists()).then_some(())).await;
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_the_device_locked_until_its_command_is_over() {
    let fake = Fake::new(
        "case $what in off) echo started >\"$dir/started\"; while [ ! -e \"$dir/go\" ]; do sleep 0.05; done; echo off-is-over >>\"$dir/calls\"; echo 'Chassis Power Control: Down/Off';;
         *) echo 'Chassis Power is on';; esac",
    );
    let (driver, device) = (fake.driver.clone(), fake.target.clone());
    let setting = tokio::spawn(async move { driver.set(&device, Command::ForceOff).await });
    appears(&fake.file("started")).await;
    setting.abort();
    assert!(setting.await.unwrap_err().is_cancelled());

    // Another command does not wait long: it was allowed now, not later.
    let error = fake.set(Command::On).await.unwrap_err();
    assert!(matches!(error, PowerError::NotSent(_)), "{error:?}");
    says(&error, &["busy"]);

    let (driver, device) = (fake.driver.clone(), fake.target.clone());
    let reading = tokio::spawn(async move { driver.read(&device).await });
    fs::write(fake.file("go"), "").unwrap();
    assert_eq!(reading.await.unwrap(), Ok(Power::On));
    let order: Vec<String> = fake.calls().iter().filter_map(|call| call.split_whitespace().last().map(str::to_owned)).collect();
    assert_eq!(order, ["off", "off-is-over", "status"]);
}

#[tokio::test]
async fn commands_to_one_bmc_do_not_overlap() {
    let fake = Fake::new("mkdir \"$dir/busy\" || touch \"$dir/overlap\"; sleep 0.1; rmdir \"$dir/busy\"; echo 'Chassis Power is on'");
    let reads = (0..4).map(|i| {
        let (driver, mut device) = (fake.driver.clone(), fake.target.clone());
        // The same endpoint under another name is the same BMC.
        device.device_uid = format!("uid-{i}");
        tokio::spawn(async move { driver.read(&device).await })
    });
    for read in reads.collect::<Vec<_>>() {
        assert_eq!(read.await.unwrap(), Ok(Power::On));
    }
    assert_eq!(fake.calls().len(), 4);
    assert!(!fake.file("overlap").exists());
}

#[tokio::test]
async fn what_is_no_longer_allowed_is_not_sent() {
    let fake = Fake::new("echo 'Chassis Power Control: Down/Off'");
    let allowed = AtomicBool::new(false);
    let may_send = || allowed.load(Ordering::SeqCst);
    let error = fake.driver.set_if(&fake.target, Command::ForceOff, &may_send).await.unwrap_err();
    assert!(matches!(error, PowerError::NotSent(_)), "{error:?}");
    assert!(fake.calls().is_empty());
    allowed.store(true, Ordering::SeqCst);
    fake.driver.set_if(&fake.target, Command::ForceOff, &may_send).await.unwrap();
    assert_eq!(fake.calls().len(), 1);
}

#[tokio::test]
async fn a_refusal_because_it_is_so_already_is_success() {
    let refuse = "echo 'Set Chassis Power Control to Down/Off failed: Command not supported in present state' >&2; exit 1";
    let fake = Fake::new(&format!("case $what in status) echo 'Chassis Power is off';; *) {refuse};; esac"));
    assert_eq!(fake.set(Command::ForceOff).await, Ok(()));
    let error = fake.set(Command::On).await.unwrap_err();
    assert!(matches!(error, PowerError::Refused(_)), "{error:?}");
    says(&error, &["Command not supported in present state"]);
}

#[tokio::test]
async fn an_answer_that_is_neither_yes_nor_no_may_have_happened() {
    for body in [
        "true",
        "echo 'Set Chassis Power Control to Down/Off failed: Timeout' >&2; exit 1",
        "echo 'Unable to set Chassis Power Control to Down/Off' >&2; exit 1",
        "exit 1",
    ] {
        let error = Fake::new(body).set(Command::ForceOff).await.unwrap_err();
        assert!(error.may_have_acted(), "{body}: {error:?}");
    }
}

#[tokio::test]
async fn a_password_that_the_tool_repeats_does_not_reach_the_message() {
    let error = Fake::new("echo \"what is $IPMI_PASSWORD\" >&2; exit 1").read().await.unwrap_err();
    says(&error, &["what is ***"]);
}

#[tokio::test]
async fn the_machine_says_who_it_is() {
    let fru = "printf ' Board Serial          : B1\\n Product Serial        : 5GB5RM2\\n'";
    let guid = "printf 'System GUID   : 4C4C4544-0042-3510-8052-B4C04F4D5A32\\nGUID Encoding : SMBIOS\\n'";
    let both = Fake::new(&format!("case $what in guid) {guid};; 0) {fru};; esac"));
    let identity = both.driver.identify(&both.target).await.unwrap();
    assert_eq!(identity.system_uuid.as_deref(), Some("4c4c4544-0042-3510-8052-b4c04f4d5a32"));
    assert_eq!(identity.serial_number.as_deref(), Some("5GB5RM2"));

    let neither = Fake::new("echo 'Get GUID failed: Invalid command' >&2; exit 1");
    assert_eq!(neither.driver.identify(&neither.target).await, Ok(Default::default()));
    let dead = Fake::new(&format!("echo 'Get Auth Capabilities error' >&2; {NO_SESSION}"));
    assert!(matches!(dead.driver.identify(&dead.target).await, Err(PowerError::NotSent(_))));
}

/// Names the fake `ipmitool` to the process that is killed by the test below.
const VICTIM: &str = "POWER_TEST_VICTIM";

/// Not a test by itself: what the process does that the next test kills.
#[test]
#[ignore = "started by the test below"]
fn a_process_in_the_middle_of_a_command() {
    let Some(program) = std::env::var_os(VICTIM) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let driver = IpmiDriver::new(program);
    let ended = runtime.block_on(async move { driver.set(&target(Protocol::IPMI, 623), Command::ForceOff).await });
    panic!("it should have been killed: {ended:?}");
}

#[tokio::test]
async fn the_command_of_a_process_that_is_killed_dies_with_it() {
    let fake = Fake::new("echo $$ >\"$dir/pid\"; exec sleep 600");
    let program = fake.dir.path().join("ipmitool");
    let mut victim = std::process::Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "a_process_in_the_middle_of_a_command", "--ignored"])
        .env(VICTIM, program)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("a process to kill");
    let pid = appears(&fake.file("pid")).await;
    let stat = PathBuf::from(format!("/proc/{}/stat", pid.trim()));
    // Gone, or dead and waiting for somebody to notice.
    let dead = || fs::read_to_string(&stat).map_or(true, |text| text.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')));
    assert!(!dead(), "it is at work");
    victim.kill().expect("killed");
    victim.wait().expect("its end");
    // Its own time limit would end it after 8 s.
    until("its end", Duration::from_secs(4), async || dead().then_some(())).await;
}
