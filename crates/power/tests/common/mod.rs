//! Shared by the tests of this crate.
#![allow(dead_code)]

use power::{Power, PowerDriver, PowerError, Target};
use schemas::v1::{DeviceType, Endpoint, PowerDeviceSpec, Protocol, power_device::Scheme};
use std::{
    io::Write,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Distinctive, so that finding it anywhere is a leak.
pub const PASSWORD: &str = "correct-horse";

pub fn target(protocol: Protocol, port: u16) -> Target {
    let redfish = protocol == Protocol::Redfish;
    Target {
        device_uid: "0b5a7e52-0000-4000-8000-000000000001".into(),
        device_name: "bmc-1".into(),
        spec: PowerDeviceSpec {
            title: String::new(),
            r#type: DeviceType::BMC,
            protocol,
            endpoint: Endpoint {
                host: "127.0.0.1".into(),
                port: Some(i64::from(port)),
                scheme: redfish.then_some(Scheme::HTTP),
                certificate_sha256: None,
                system: None,
            },
            credential_ref: None,
            ports: 1,
        },
        port: 1,
        username: "admin".into(),
        password: PASSWORD.into(),
    }
}

pub fn with_password(target: &Target, password: &str) -> Target {
    Target { password: password.into(), ..target.clone() }
}

/// Says that a test was not run because something is not installed. With `REQUIRE_REAL_PEERS=1` that is a failure.
pub fn skip(why: &str) {
    assert!(std::env::var_os("REQUIRE_REAL_PEERS").is_none(), "REQUIRE_REAL_PEERS is set, but {why}");
    // Past the capture of `println!`, so that it is seen.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}

/// A server that ends with the test.
pub struct Server(pub Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Writes an executable script. A process of its own holds the file open for writing: were it this one, a fork in
/// another thread could inherit it, and running the script would fail with "text file busy".
pub fn script(path: &Path, text: &str) {
    let mut writer = Command::new("sh").args(["-c", "cat >\"$0\" && chmod 755 \"$0\""]).arg(path).stdin(Stdio::piped()).spawn().expect("sh");
    writer.stdin.take().expect("piped").write_all(text.as_bytes()).expect("script");
    assert!(writer.wait().expect("sh").success());
}

/// Waits until `check` gives something.
pub async fn until<T>(what: &str, limit: Duration, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = check().await {
            return value;
        }
        assert!(start.elapsed() < limit, "{what} did not come within {limit:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until the device reads so.
pub async fn until_power(driver: &dyn PowerDriver, target: &Target, wanted: Power) {
    until(&format!("{wanted:?}"), Duration::from_secs(40), async || (driver.read(target).await == Ok(wanted)).then_some(())).await;
}

pub fn says(error: &PowerError, words: &[&str]) {
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "\"{word}\" is missing in: {text}");
    }
    assert!(!text.contains(PASSWORD), "{text}");
    assert!(!format!("{error:?}").contains(PASSWORD), "{error:?}");
}
