//! What people get wrong in configurations, and what they are told.

use super::{layers::Origin, parameters::PARAMETERS, *};
use setup::Setup;

mod setup;

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
    assert_eq!(
        e,
        "c.toml:3: unknown key api.lisen: [api] has audit_enabled, audit_file, audit_reads, listen, max_watches_per_user, metrics_listen, policy_file, public_endpoint, requests_per_second, root_status, tls_cert_file, tls_key_file, trusted_proxies; did you mean listen?"
    );
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
    let e = Setup::new().file("[api]\nroot_status = 404\n").error();
    assert_eq!(e, "c.toml:2: api.root_status: 404 is not known; write 300 or 200.");
    let e = Setup::new().file("[api]\ntrusted_proxies = \"10.0.0.1, proxy\"\n").error();
    assert!(e.starts_with("c.toml:2: api.trusted_proxies: 'proxy' is no IP address"), "{e}");
    let e = Setup::new().file("[api]\ntls_cert_file = \"c.pem\"\n").error();
    assert!(e.ends_with("api.tls_key_file: it is empty, and a certificate is of no use without its key; name both or none."), "{e}");
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
    let elsewhere = Setup::new().variable("OS_AUTH_URL", "http://k/v3").variable("OS_COMPUTE_ENDPOINT_OVERRIDE", "http://n/v2.1").load().unwrap();
    assert_eq!(elsewhere.config.openstack.compute_endpoint_override.as_deref(), Some("http://n/v2.1"));
    let mixed = Setup::new().file("[openstack]\ncloud = \"prod\"\n").variable("OS_AUTH_URL", "http://k/v3").load().unwrap();
    assert_eq!((mixed.config.openstack.cloud.as_deref(), mixed.config.openstack.auth_url), (Some("prod"), None));
}

/// Every parameter of the product with its default, as its documentation has them.
const DOCUMENTED: &str = "\
DEFAULT dhcp_leases /var/lib/dhcp/dhcpd/state/dhcpd.leases, /var/lib/dhcp/dhcpd.leases
agent agent_confirm_timeout 10
agent agent_response_timeout 60
agent backoff_factor 0.3
agent enabled False
agent logfile
api audit_enabled True
api host
api logfile
api port 9362
balancing approx 0.1
balancing enabled False
balancing migration_retries 3
balancing periodic_time 24
database url mysql+pymysql://aos:password@localhost:3306/cloud_manager?charset=utf8
drs host
drs password
drs port 80
drs username
drs_trigger enabled True
drs_trigger logfile
drs_trigger trigger_interval 600
extra_availability_check attempts 2
extra_availability_check delay 60
extra_availability_check enabled False
extra_availability_check instance_rate 100
host_tasks allow_evacuate_host True
host_tasks deny_evacuate
host_tasks evacuation_retries 2
host_tasks prioritized_evacuation_timeout 60
host_tasks recovery_priority 5
host_tasks retries_wait_for_node_state 240
host_tasks retries_wait_for_vm_status 60
listener durability True
listener logfile
listener nova_rabbit_vhost /
node_sync enabled True
node_sync logfile
node_sync reserve_interval 60
node_sync sync_interval 60
node_tracker allow_host_auto_power_off False
node_tracker enabled True
node_tracker host_restart_timeout 600
node_tracker logfile
node_tracker loop_time 30
node_tracker max_down_hosts 0
node_tracker mutex 3
node_tracker mutex_up 1
node_tracker timeout_reserv_node_up 15
nova_database url
power shutdown_interval 30
power shutdown_max_tick 10
pxe conf_dir /var/lib/tftpboot/pxelinux.cfg/
storage_sync enabled True
storage_sync logfile
storage_sync sync_interval 60
";

#[test]
fn every_documented_parameter_is_in_the_table_with_its_default_and_nothing_else_is() {
    let table: String = PARAMETERS.iter().map(|p| format!("{} {} {}", p.section, p.key, p.default).trim_end().to_string() + "\n").collect();
    assert_eq!(table, DOCUMENTED);
}

#[test]
fn every_default_fits_its_type_and_every_key_that_is_set_exists() {
    let known = serde_json::to_value(Config::default()).unwrap();
    for p in &PARAMETERS {
        assert!(p.r#type.check(p.default).is_ok(), "[{}] {}", p.section, p.key);
        use parameters::Effect::{Minutes, Sets, SetsBoth, Shares, Switches};
        if let SetsBoth(one, other) = p.effect {
            for key in [one, other] {
                let (section, name) = key.split_once('.').unwrap();
                assert!(known[section].get(name).is_some(), "{key}");
            }
        }
        if let Sets(key) | Minutes(key) | Shares(key) | Switches(key, _) = p.effect {
            let (section, name) = key.split_once('.').unwrap();
            assert!(known[section].get(name).is_some(), "{key}");
        }
    }
}

#[test]
fn a_file_with_every_default_of_the_product_can_be_read() {
    let mut text = String::new();
    for p in &PARAMETERS {
        text.push_str(&format!("[{}]\n{} = {}\n", p.section, p.key, p.default));
    }
    let loaded = Setup::new().ini("cloud_manager.conf", &text).load().unwrap();
    let Config { api, controller, policy, database, .. } = &loaded.config;
    assert_eq!((api.listen.as_str(), controller.node_sync_interval_seconds), ("127.0.0.1:9362", 60));
    assert_eq!((policy.default_recovery_priority, policy.evacuation_retries, policy.soft_off_timeout_seconds), (5, 2, 300));
    assert_eq!(policy.group_pause_seconds, 60);
    assert!(database.url.starts_with("mysql+pymysql://"));
}

#[test]
fn the_module_file_wins_over_the_common_one_and_our_own_file_over_both() {
    let setup = Setup::new()
        .ini("aos.conf", "[api]\nhost = 10.0.0.1\nport = 1\n[node_sync]\nsync_interval = 10\n[host_tasks]\nrecovery_priority = 7\n")
        .ini("cloud_manager.conf", "[api]\nport: 2\n[node_sync]\nsync_interval = 20\n[power]\nshutdown_max_tick = 4\n")
        .file("[controller]\nnode_sync_interval_seconds = 30\n");
    let loaded = setup.load().unwrap();
    assert_eq!(loaded.config.api.listen, "10.0.0.1:2");
    assert_eq!(loaded.config.controller.node_sync_interval_seconds, 30);
    assert_eq!((loaded.config.policy.default_recovery_priority, loaded.config.policy.soft_off_timeout_seconds), (7, 120));
    let from = |key: &str| loaded.origin(key).to_string().replace(&format!("{}/", setup.dir.path().display()), "");
    assert_eq!(from("api.listen"), "cloud_manager.conf:2 [api] host and port");
    assert_eq!(from("policy.default_recovery_priority"), "aos.conf:7 [host_tasks] recovery_priority");
    assert_eq!(from("policy.soft_off_timeout_seconds"), "cloud_manager.conf:6 [power] shutdown_max_tick");
    assert_eq!(from("controller.node_sync_interval_seconds"), "c.toml:2");
}

#[test]
fn the_products_retries_and_pause_fill_both_policies_and_without_them_the_cluster_policy_holds_alone() {
    let given = "[host_tasks]\nevacuation_retries = 5\nprioritized_evacuation_timeout = 7\n";
    let config = Setup::new().ini("cloud_manager.conf", given).load().unwrap().config;
    let (cluster, recovery) = (config.policy.spec(), config.remediation.spec().evacuation);
    assert_eq!((cluster.evacuation_retries, cluster.group_pause_seconds), (5, 7));
    assert_eq!((recovery.retries, recovery.group_pause_seconds), (Some(5), Some(7)));
    let usual = Config::default();
    assert_eq!((usual.policy.spec().evacuation_retries, usual.policy.spec().group_pause_seconds), (2, 60));
    let recovery = usual.remediation.spec().evacuation;
    assert_eq!((recovery.retries, recovery.group_pause_seconds), (None, None));
}

#[test]
fn the_products_reserve_nodes_fill_the_default_policy_and_minutes_stay_minutes() {
    let given = "[node_tracker]\ntimeout_reserv_node_up = 20\n[node_sync]\nreserve_interval = 90\n";
    let setup = Setup::new().ini("cloud_manager.conf", given);
    let loaded = setup.load().unwrap();
    let spec = loaded.config.policy.spec();
    assert_eq!((spec.standby_wake_timeout_seconds, spec.standby_idle_after_seconds), (1_200, 90));
    assert!(loaded.origin("policy.standby_wake_timeout_seconds").to_string().ends_with("cloud_manager.conf:2 [node_tracker] timeout_reserv_node_up"));
}

#[test]
fn the_products_watch_over_nodes_fills_the_default_policy() {
    let tracker = "[node_tracker]\nenabled = False\nloop_time = 20\nmutex = 4\nmutex_up = 2\nmax_down_hosts = 3\nallow_host_auto_power_off = yes\nhost_restart_timeout = 300\n";
    let tasks = "[host_tasks]\nallow_evacuate_host = no\ndeny_evacuate = c1, c2\n";
    let spec = Setup::new().ini("cloud_manager.conf", &format!("{tracker}{tasks}")).load().unwrap().config.remediation.spec();
    let wanted = serde_json::json!({
        "detection": {"mode": "Off", "intervalSeconds": 20, "downConfirmations": 4, "upConfirmations": 2},
        "limits": {"maxDownHosts": 3},
        "evacuation": {"mode": "Forbidden", "excludedHosts": ["c1", "c2"]},
        "restart": "Allow",
        "restartTimeoutSeconds": 300,
    });
    assert_eq!(spec, serde_json::from_value(wanted).unwrap());
    // With what the product comes with nothing is ever begun by itself.
    let untouched = Setup::new().load().unwrap().config.remediation.spec();
    assert_eq!(untouched, Default::default());
    assert_eq!((untouched.limits.max_down_hosts, untouched.detection.interval_seconds), (0, 30));
}

#[test]
fn what_a_file_says_of_features_to_come_is_named_with_its_line() {
    let setup = Setup::new().ini("cloud_manager.conf", "[drs]\nhost = drs.example.org\npassword = hunter2\n\n[api]\nlogfile = /var/log/x\n");
    let notices = setup.notices();
    assert!(
        notices.contains(&"cloud_manager.conf:2 [drs] host: is known; its feature (the external DRS) comes later; it has no effect now".to_string()),
        "{notices:?}"
    );
    assert!(notices.iter().any(|n| n.starts_with("cloud_manager.conf:6 [api] logfile: is known and has no effect here")), "{notices:?}");
    let dump = setup.load().unwrap().dump();
    assert!(dump.contains("cloud_manager.conf:2 [drs] host: is known") && !dump.contains("hunter2"), "{dump}");
    Setup::new().file(&dump).load().unwrap();
    assert_eq!(told(&setup.load().unwrap().notices).len(), 2, "one line per reason");
}

#[test]
fn an_unknown_parameter_names_file_line_and_the_nearest_known_one() {
    let wrong = |text: &str| Setup::new().ini("cloud_manager.conf", text).error();
    assert_eq!(wrong("[host_task]\na = 1\n"), "cloud_manager.conf:1 [host_task]: there is no such section; did you mean [host_tasks]?");
    assert_eq!(
        wrong("[node_tracker]\nmutex_upp = 1\n"),
        "cloud_manager.conf:2 [node_tracker] mutex_upp: there is no such key; did you mean mutex_up?"
    );
    assert_eq!(wrong("[node_sync]\nloop_time = 1\n"), "cloud_manager.conf:2 [node_sync] loop_time: there is no such key; [node_tracker] has it");
    assert!(wrong("[database]\nconnection = x\n").contains("there are url"));
    let e = Loaded::from(Sources { ini: vec!["/no/such/aos.conf".into()], ..Default::default() }).unwrap_err().to_string();
    assert!(e.starts_with("/no/such/aos.conf: cannot be read"), "{e}");
    let e = Loaded::from(Sources { ini: vec![Setup::new().file("").path()], ..Default::default() }).unwrap_err().to_string();
    assert!(e.contains("cannot be read") || e.contains("give it by --config"), "{e}");
}

#[test]
fn in_the_common_file_what_is_of_other_modules_is_no_error_and_is_named() {
    let notices = Setup::new().ini("aos.conf", "[rabbit]\nurl = x\n[database]\npool = 3\n").notices();
    assert_eq!(notices.len(), 2, "{notices:?}");
    assert!(notices[0].starts_with("aos.conf:1 [rabbit]: is not a parameter of this module"), "{notices:?}");
    assert!(notices[1].starts_with("aos.conf:4 [database] pool: "), "{notices:?}");
}

#[test]
fn a_wrong_value_of_a_parameter_is_named_and_a_secret_one_not_shown() {
    let wrong = |text: &str| Setup::new().ini("cloud_manager.conf", text).error();
    assert_eq!(
        wrong("[node_tracker]\nmax_down_hosts = -1\n"),
        "cloud_manager.conf:2 [node_tracker] max_down_hosts: \"-1\" does not fit; write a whole number between 0 and 1000000."
    );
    assert!(wrong("[node_sync]\nenabled = maybe\n").contains("write True or False"));
    assert!(wrong("[balancing]\napprox = much\n").contains("number of at least 0"));
    assert!(wrong("[api]\nhost = controller\n").starts_with("cloud_manager.conf:2 [api] host: \"controller\" is no IP address"));
    let e = wrong("[database]\nurl = hunter2\n");
    assert!(e.starts_with("cloud_manager.conf:2 [database] url: database.url: it is no URL") && !e.contains("hunter2"), "{e}");
    assert!(
        wrong("[power]\nshutdown_interval = 80000\n").starts_with("cloud_manager.conf:2 [power] shutdown_interval: policy.soft_off_timeout_seconds:")
    );
    for yes in ["True", "yes", "on", "1", "TRUE"] {
        Setup::new().ini("cloud_manager.conf", &format!("[agent]\nenabled = {yes}\n")).load().unwrap();
    }
    Setup::new().ini("cloud_manager.conf", "[drs]\nport =\n").load().unwrap();
}

#[test]
fn names_with_a_dollar_stand_for_values() {
    let listen = |text: &str| Setup::new().ini("cloud_manager.conf", text).load().map(|l| l.config.api.listen).map_err(|e| e.to_string());
    assert_eq!(listen("[drs]\nhost = 10.0.0.7\n[api]\nhost = $drs.host\n"), Ok("10.0.0.7:9362".into()));
    assert_eq!(listen("[api]\nhost = 10.0.0.7\nport = ${drs.port}\n"), Ok("10.0.0.7:80".into()));
    assert!(listen("[api]\nhost = $port\nport = $host\n").unwrap_err().contains("in a circle"));
    let url = |text: &str| {
        Setup::new()
            .ini("cloud_manager.conf", &format!("[database]\nurl = {text}\n"))
            .load()
            .map(|l| l.config.database.url)
            .map_err(|e| e.to_string())
    };
    assert_eq!(url("mysql://a:p$$w@h/d"), Ok("mysql://a:p$w@h/d".into()));
    assert_eq!(url(r"mysql://a:p\$w@h/d"), Ok("mysql://a:p$w@h/d".into()));
    assert_eq!(url("mysql://a:p$@h/d"), Ok("mysql://a:p$@h/d".into()));
    let e = url("mysql://a:$hunter2@h/d").unwrap_err();
    assert!(e.contains("write $$ for a dollar sign") && !e.contains("hunter2"), "{e}");
}

#[test]
fn of_a_changed_configuration_each_key_is_named_with_when_it_counts() {
    let old = Setup::new().file("[openstack]\nauth_url = \"http://k\"\npassword = \"a\"\n").load().unwrap();
    let new = Setup::new()
        .file("[openstack]\nauth_url = \"http://k\"\npassword = \"b\"\n[log]\nlevel = \"debug\"\n[api]\nlisten = \"127.0.0.1:1\"\n[policy]\nevacuation_retries = 4\n")
        .load()
        .unwrap();
    let changes = Changes::between(&old, &new);
    assert_eq!(changes.at_once, ["log.level", "openstack.password"]);
    assert_eq!((changes.after_restart, changes.of_no_effect), (vec!["api.listen".to_string()], vec!["policy.evacuation_retries".to_string()]));
    assert_eq!(Changes::between(&old, &old), Changes::default());
}

#[test]
fn the_fingerprint_of_a_pair_differs_where_it_matters_and_nowhere_else() {
    let mark = |text: &str| Setup::new().file(text).load().unwrap().fingerprint();
    let one = mark("[openstack]\npassword = \"a\"\n[api]\nlisten = \"127.0.0.1:1\"\n");
    assert_eq!(one, mark("[openstack]\npassword = \"b\"\n[log]\nlevel = \"debug\"\n"));
    assert_ne!(one, mark("[controller]\nlease_millis = 9000\n"));
    assert_ne!(one, mark("[openstack]\nauth_url = \"http://k\"\n"));
}

const REFERENCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/CONFIGURATION.md");

#[test]
fn the_reference_has_every_key_with_its_default_and_whether_it_changes_at_once() {
    let text = std::fs::read_to_string(REFERENCE).unwrap();
    let rows: Vec<String> = text
        .lines()
        .filter_map(|l| Some(l.strip_prefix("| `")?.rsplit_once(" | ")?.0.to_string()))
        .filter(|l| l.contains('.') && !l.starts_with('['))
        .collect();
    let mut expected = Vec::new();
    for (section, keys) in serde_json::to_value(Config::default()).unwrap().as_object().unwrap() {
        for (name, value) in keys.as_object().unwrap() {
            let key = format!("{section}.{name}");
            let default = match value {
                serde_json::Value::Null => String::new(),
                serde_json::Value::String(text) => format!("`{text}` "),
                other => format!("`{other}` "),
            };
            let at_once = if reload::AT_ONCE.contains(&key.as_str()) { "yes " } else { "" };
            expected.push(format!("{key}` | {default}| {at_once}|").trim_end_matches([' ', '|']).to_string());
        }
    }
    let rows: Vec<String> = rows.iter().map(|r| r.trim_end_matches([' ', '|']).to_string()).collect();
    assert_eq!(rows, expected);
}

#[test]
fn the_reference_says_what_becomes_of_every_parameter() {
    const BEGIN: &str = "writes this table -->\n";
    const END: &str = "<!-- end of product parameters -->";
    let mut table = String::from("| Parameter | Default | Here |\n|---|---|---|\n");
    for p in &PARAMETERS {
        let default = if p.default.is_empty() { String::new() } else { format!("`{}` ", p.default) };
        let effect = match p.effect {
            parameters::Effect::Sets(key) => format!("`{key}`"),
            parameters::Effect::SetsBoth(one, other) => format!("`{one}` and `{other}`"),
            parameters::Effect::Switches(key, [on, off]) => format!("`{key}`: `{on}` or `{off}`"),
            parameters::Effect::Minutes(key) => format!("`{key}`, in minutes"),
            parameters::Effect::Shares(key) => format!("`{key}`, with its neighbours"),
            parameters::Effect::Later(feature) => format!("to come: {feature}"),
            parameters::Effect::Nothing(why) => format!("no effect: {why}"),
        };
        table.push_str(&format!("| `[{}] {}` | {default}| {effect} |\n", p.section, p.key));
    }
    let text = std::fs::read_to_string(REFERENCE).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (written, after) = rest.split_once(END).unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(REFERENCE, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
    } else {
        assert_eq!(written, table, "run UPDATE_DOCS=1 cargo test -p cloud-manager");
    }
}
