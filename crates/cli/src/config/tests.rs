//! What people get wrong in configurations, and what they are told.

use super::{layers::Origin, *};
use std::path::PathBuf;

struct Setup {
    dir: tempfile::TempDir,
    environment: Vec<(String, String)>,
    flags: Vec<(String, String, String)>,
}

impl Setup {
    fn new() -> Self {
        Setup { dir: tempfile::tempdir().unwrap(), environment: Vec::new(), flags: Vec::new() }
    }

    fn file(self, text: &str) -> Self {
        std::fs::write(self.path(), text).unwrap();
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    fn flag(mut self, flag: &str, key: &str, value: &str) -> Self {
        self.flags.push((flag.into(), key.into(), value.into()));
        self
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("c.toml")
    }

    fn load(&self) -> Result<Loaded, ConfigError> {
        let file = Some(self.path()).filter(|p| p.exists());
        Loaded::from(Sources { file, environment: self.environment.clone(), flags: self.flags.clone() })
    }

    /// The error, with the directory taken off.
    fn error(&self) -> String {
        self.load().unwrap_err().to_string().replace(&format!("{}/", self.dir.path().display()), "")
    }
}

#[test]
fn defaults_stand_by_themselves() {
    let loaded = Setup::new().load().unwrap();
    assert_eq!(loaded.config.api.listen, "127.0.0.1:9362");
    assert_eq!(loaded.config.controller.lease_millis, 6_000);
    assert!(loaded.dump().contains("listen = \"127.0.0.1:9362\""));
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let setup = Setup::new()
        .file("[api]\nlisten = \"10.0.0.1:1\"\nmetrics_listen = \"10.0.0.1:2\"\n\n[log]\nlevel = \"warn\"\n")
        .variable("CLOUD_MANAGER_API__LISTEN", "10.0.0.2:1")
        .variable("CLOUD_MANAGER_API__METRICS_LISTEN", "10.0.0.2:2")
        .flag("--listen", "api.listen", "10.0.0.3:1");
    let loaded = setup.load().unwrap();
    assert_eq!(loaded.config.api.listen, "10.0.0.3:1");
    assert_eq!(loaded.config.api.metrics_listen.as_deref(), Some("10.0.0.2:2"));
    assert_eq!(loaded.config.log.level, "warn");
    assert_eq!(loaded.origin("api.listen").to_string(), "flag --listen");
    assert_eq!(loaded.origin("api.metrics_listen").to_string(), "env CLOUD_MANAGER_API__METRICS_LISTEN");
    assert_eq!(*loaded.origin("log.level"), Origin::File { path: setup.path(), line: 6 });
    assert_eq!(*loaded.origin("log.format"), Origin::Default);
}

#[test]
fn an_unknown_key_names_file_and_line_and_the_keys_there_are() {
    let e = Setup::new().file("[api]\nlisten = \"127.0.0.1:1\"\nlisen = 3\n").error();
    assert_eq!(e, "c.toml:3: unknown key api.lisen: [api] has listen, metrics_listen, public_endpoint.");
    let e = Setup::new().file("\n[apii]\nlisten = \"x\"\n").error();
    assert!(e.starts_with("c.toml:3: unknown key apii.listen: there is no section 'apii'; there are api, controller"), "{e}");
    let e = Setup::new().file("[nothing]\n").error();
    assert!(e.starts_with("c.toml:1: unknown key nothing"), "{e}");
    let e = Setup::new().file("api = 3\n").error();
    assert_eq!(e, "c.toml:1: unknown key api: it is a section; write [api] and its keys below.");
}

#[test]
fn an_empty_known_section_is_no_error() {
    Setup::new().file("[api]\n[log]\n").load().unwrap();
}

#[test]
fn a_wrong_value_names_file_and_line() {
    let e = Setup::new().file("[controller]\n\nlease_millis = \"long\"\n").error();
    assert!(e.starts_with("c.toml:3: controller.lease_millis: found string \"long\", expected a whole number"), "{e}");
    let e = Setup::new().file("[api]\nlisten = 9362\n").error();
    assert!(e.starts_with("c.toml:2: api.listen:"), "{e}");
    let e = Setup::new().file("[api]\nlisten = \"localhost\"\n").error();
    assert!(e.starts_with("c.toml:2: api.listen: 'localhost' is no address"), "{e}");
    let e = Setup::new().file("[log]\nformat = \"xml\"\n").error();
    assert_eq!(e, "c.toml:2: log.format: 'xml' is not known; use text or json.");
    let e = Setup::new().file("[controller]\nrenew_deadline_millis = 7000\n").error();
    assert!(e.starts_with("c.toml:2: controller.renew_deadline_millis: it must be less than controller.lease_millis"), "{e}");
}

#[test]
fn a_wrong_variable_is_named() {
    let e = Setup::new().variable("CLOUD_MANAGER_CONTROLLER__LEASE_MILLIS", "long").error();
    assert!(e.starts_with("env CLOUD_MANAGER_CONTROLLER__LEASE_MILLIS: controller.lease_millis: found string \"long\""), "{e}");
    let e = Setup::new().variable("CLOUD_MANAGER_API__LISTNE", "x").error();
    assert!(e.starts_with("env CLOUD_MANAGER_API__LISTNE: unknown key api.listne"), "{e}");
    let e = Setup::new().variable("CLOUD_MANAGER_DATABASE_URL", "x").error();
    assert_eq!(e, "env CLOUD_MANAGER_DATABASE_URL: two underscores part section and key: CLOUD_MANAGER_DATABASE__URL.");
    Setup::new().variable("CLOUD_MANAGER_ENDPOINT", "http://x").load().unwrap();
}

#[test]
fn a_file_that_is_no_toml_names_its_line_and_never_shows_it() {
    let e = Setup::new().file("[openstack]\npassword = hunter2\n").error();
    assert!(e.starts_with("c.toml:2: this is not TOML"), "{e}");
    assert!(!e.contains("hunter2"), "{e}");
    let e = Loaded::from(Sources { file: Some("/no/such/file.toml".into()), ..Default::default() }).unwrap_err().to_string();
    assert!(e.starts_with("/no/such/file.toml: cannot be read"), "{e}");
}

#[test]
fn values_of_the_environment_that_look_like_numbers_still_fit() {
    let setup = Setup::new()
        .variable("CLOUD_MANAGER_OPENSTACK__PASSWORD", "12345")
        .variable("CLOUD_MANAGER_OPENSTACK__USERNAME", "007")
        .variable("CLOUD_MANAGER_OPENSTACK__PROJECT_NAME", "true")
        .variable("CLOUD_MANAGER_CONTROLLER__RESYNC_SECONDS", "30");
    let config = setup.load().unwrap().config;
    assert_eq!(secrecy::ExposeSecret::expose_secret(&config.openstack.password.unwrap()), "12345");
    assert_eq!((config.openstack.username.as_deref(), config.openstack.project_name.as_deref()), (Some("007"), Some("true")));
    assert_eq!(config.controller.resync_seconds, 30);
}

#[test]
fn secrets_are_shown_nowhere() {
    let setup = Setup::new()
        .file("[openstack]\npassword = \"hunter2\"\napplication_credential_secret = \"hunter3\"\n[database]\nurl = \"postgres://u:hunter4@h/d\"\n");
    let loaded = setup.load().unwrap();
    let dump = loaded.dump();
    assert!(!dump.contains("hunter"), "{dump}");
    assert!(dump.contains("password = \"***\""), "{dump}");
    assert!(dump.contains("postgres://u:***@h/d"), "{dump}");
    assert!(dump.contains("c.toml:2"), "{dump}");
    assert!(!format!("{:?}", loaded.config).contains("hunter"));
    let e = Setup::new().file("[openstack]\npassword = 424242\n").error();
    assert_eq!(e, "c.toml:2: openstack.password: must be a text in quotes.");
}

#[test]
fn the_dump_can_be_read_back() {
    let dump = Setup::new().file("[log]\nlevel = \"debug\"\n").load().unwrap().dump();
    let again = Setup::new().file(&dump).load().unwrap();
    assert_eq!(again.config.log.level, "debug");
    assert_eq!(again.config.controller.lease_millis, 6_000);
}

#[test]
fn os_variables_count_only_while_nothing_else_speaks_of_openstack() {
    let plain = Setup::new().variable("OS_AUTH_URL", "http://k/v3").variable("OS_PASSWORD", "x").load().unwrap();
    assert_eq!(plain.config.openstack.auth_url.as_deref(), Some("http://k/v3"));
    assert_eq!(plain.origin("openstack.auth_url").to_string(), "env OS_AUTH_URL");
    let mixed = Setup::new().file("[openstack]\ncloud = \"prod\"\n").variable("OS_AUTH_URL", "http://k/v3").load().unwrap();
    assert_eq!((mixed.config.openstack.cloud.as_deref(), mixed.config.openstack.auth_url), (Some("prod"), None));
}
