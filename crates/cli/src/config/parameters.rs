//! Every parameter of the product's `aos.conf` and `cloud_manager.conf`: type, default, and what becomes of it here.

/// What a value has to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Type {
    /// `True`/`False`, `yes`/`no`, `on`/`off`, `1`/`0`; case does not matter.
    Bool,
    /// A whole number between these, both included.
    Int(i64, i64),
    /// A number of at least 0.
    Number,
    /// Any text.
    Text,
    /// A text that is never shown.
    Secret,
    /// Texts parted by commas.
    List,
}

/// What becomes of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It sets our key to its value.
    Sets(&'static str),
    /// It sets both of our keys to its value.
    SetsBoth(&'static str, &'static str),
    /// It sets our key to the first word if it is true, to the second if not.
    Switches(&'static str, [&'static str; 2]),
    /// Minutes: it sets our key, which is in seconds.
    Minutes(&'static str),
    /// It sets our key together with its neighbours; see `product`.
    Shares(&'static str),
    /// Its feature is still to come.
    Later(&'static str),
    /// It has no effect here, and this is why.
    Nothing(&'static str),
}

/// One parameter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parameter {
    pub section: &'static str,
    pub key: &'static str,
    pub r#type: Type,
    /// The product's default, as text; empty if there is none.
    pub default: &'static str,
    pub effect: Effect,
}

/// Largest number of seconds, tries and the like; more is a slip.
const MANY: i64 = 1_000_000;
const AGENT: Effect = Effect::Later("the agent on compute nodes");
const BALANCING: Effect = Effect::Later("balancing");
const DRS: Effect = Effect::Later("the external DRS");
const STORAGE_CHECK: Effect = Effect::Later("the availability check through storage");
const STORAGES: Effect = Effect::Later("synchronisation of storages");
const LISTENER: Effect = Effect::Later("the listener for Nova's notifications");
const DISCOVERY: Effect = Effect::Later("discovery of new machines");
const LOG: Effect = Effect::Nothing("all log lines go to standard error, where systemd's journal takes them");
const POLLS: Effect = Effect::Nothing("what was begun is looked at until it has ended, however long that takes");
const ALWAYS: Effect = Effect::Nothing("hosts are always compared with Nova, since nothing is safe without");

const fn p(section: &'static str, key: &'static str, r#type: Type, default: &'static str, effect: Effect) -> Parameter {
    Parameter { section, key, r#type, default, effect }
}

/// THE table.
pub(super) const PARAMETERS: [Parameter; 56] = {
    use Effect::*;
    use Type::*;
    [
        p("DEFAULT", "dhcp_leases", List, "/var/lib/dhcp/dhcpd/state/dhcpd.leases, /var/lib/dhcp/dhcpd.leases", DISCOVERY),
        p("agent", "agent_confirm_timeout", Int(1, MANY), "10", AGENT),
        p("agent", "agent_response_timeout", Int(1, MANY), "60", AGENT),
        p("agent", "backoff_factor", Number, "0.3", AGENT),
        p("agent", "enabled", Bool, "False", AGENT),
        p("agent", "logfile", Text, "", LOG),
        p("api", "audit_enabled", Bool, "True", Switches("api.audit_enabled", ["true", "false"])),
        p("api", "host", Text, "", Shares("api.listen")),
        p("api", "logfile", Text, "", LOG),
        p("api", "port", Int(1, 65_535), "9362", Shares("api.listen")),
        p("balancing", "approx", Number, "0.1", BALANCING),
        p("balancing", "enabled", Bool, "False", BALANCING),
        p("balancing", "migration_retries", Int(0, MANY), "3", BALANCING),
        p("balancing", "periodic_time", Int(1, MANY), "24", BALANCING),
        p("database", "url", Secret, "mysql+pymysql://aos:password@localhost:3306/cloud_manager?charset=utf8", Sets("database.url")),
        p("drs", "host", Text, "", DRS),
        p("drs", "password", Secret, "", DRS),
        p("drs", "port", Int(1, 65_535), "80", DRS),
        p("drs", "username", Text, "", DRS),
        p("drs_trigger", "enabled", Bool, "True", DRS),
        p("drs_trigger", "logfile", Text, "", LOG),
        p("drs_trigger", "trigger_interval", Int(1, MANY), "600", DRS),
        p("extra_availability_check", "attempts", Int(1, MANY), "2", STORAGE_CHECK),
        p("extra_availability_check", "delay", Int(0, MANY), "60", STORAGE_CHECK),
        p("extra_availability_check", "enabled", Bool, "False", STORAGE_CHECK),
        p("extra_availability_check", "instance_rate", Int(0, 100), "100", STORAGE_CHECK),
        p("host_tasks", "allow_evacuate_host", Bool, "True", Switches("remediation.evacuation", ["Allowed", "Forbidden"])),
        p("host_tasks", "deny_evacuate", List, "", Sets("remediation.excluded_hosts")),
        p("host_tasks", "evacuation_retries", Int(0, 20), "2", SetsBoth("policy.evacuation_retries", "remediation.evacuation_retries")),
        p(
            "host_tasks",
            "prioritized_evacuation_timeout",
            Int(0, 86_400),
            "60",
            SetsBoth("policy.group_pause_seconds", "remediation.group_pause_seconds"),
        ),
        p("host_tasks", "recovery_priority", Int(0, 10), "5", Sets("policy.default_recovery_priority")),
        p("host_tasks", "retries_wait_for_node_state", Int(0, MANY), "240", POLLS),
        p("host_tasks", "retries_wait_for_vm_status", Int(0, MANY), "60", POLLS),
        p("listener", "durability", Bool, "True", LISTENER),
        p("listener", "logfile", Text, "", LOG),
        p("listener", "nova_rabbit_vhost", Text, "/", LISTENER),
        p("node_sync", "enabled", Bool, "True", ALWAYS),
        p("node_sync", "logfile", Text, "", LOG),
        p("node_sync", "reserve_interval", Int(0, MANY), "60", Sets("policy.standby_idle_after_seconds")),
        p("node_sync", "sync_interval", Int(1, MANY), "60", Sets("controller.node_sync_interval_seconds")),
        p("node_tracker", "allow_host_auto_power_off", Bool, "False", Switches("remediation.restart", ["Allow", "Forbid"])),
        p("node_tracker", "enabled", Bool, "True", Switches("remediation.watching", ["On", "Off"])),
        p("node_tracker", "host_restart_timeout", Int(1, 86_400), "600", Sets("remediation.restart_timeout_seconds")),
        p("node_tracker", "logfile", Text, "", LOG),
        p("node_tracker", "loop_time", Int(1, MANY), "30", Sets("remediation.interval_seconds")),
        p("node_tracker", "max_down_hosts", Int(0, MANY), "0", Sets("remediation.max_down_hosts")),
        p("node_tracker", "mutex", Int(1, MANY), "3", Sets("remediation.down_confirmations")),
        p("node_tracker", "mutex_up", Int(1, MANY), "1", Sets("remediation.up_confirmations")),
        p("node_tracker", "timeout_reserv_node_up", Int(1, 10_080), "15", Minutes("policy.standby_wake_timeout_seconds")),
        p("nova_database", "url", Secret, "", Nothing("Nova is asked through its API; its database is never read")),
        p("power", "shutdown_interval", Int(1, 86_400), "30", Shares("policy.soft_off_timeout_seconds")),
        p("power", "shutdown_max_tick", Int(1, 86_400), "10", Shares("policy.soft_off_timeout_seconds")),
        p("pxe", "conf_dir", Text, "/var/lib/tftpboot/pxelinux.cfg/", DISCOVERY),
        p("storage_sync", "enabled", Bool, "True", STORAGES),
        p("storage_sync", "logfile", Text, "", LOG),
        p("storage_sync", "sync_interval", Int(1, MANY), "60", STORAGES),
    ]
};

/// A parameter by its section and key.
pub(super) fn find(section: &str, key: &str) -> Option<&'static Parameter> {
    PARAMETERS.iter().find(|p| p.section.eq_ignore_ascii_case(section) && p.key == key)
}

/// Of these names the one that is most like `word`, if one is like it at all.
pub(super) fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let distance = |name: &str| strsim::damerau_levenshtein(&word, &name.to_lowercase());
    let (distance, name) = names.into_iter().map(|name| (distance(name), name)).min()?;
    (distance <= name.len().max(4) / 3 + 1).then_some(name)
}

impl Type {
    /// Whether a value fits; otherwise what it should be. The value itself is not repeated here.
    pub(super) fn check(self, value: &str) -> Result<(), String> {
        let text = value.trim();
        match self {
            Type::Bool => boolean(text).map(drop).ok_or_else(|| "write True or False".into()),
            // As the product has it, an empty number is one that is not set.
            Type::Int(..) | Type::Number if text.is_empty() => Ok(()),
            Type::Int(min, max) => match text.parse::<i64>() {
                Ok(n) if (min..=max).contains(&n) => Ok(()),
                _ => Err(format!("write a whole number between {min} and {max}")),
            },
            Type::Number => match text.parse::<f64>() {
                Ok(n) if n.is_finite() && n >= 0.0 => Ok(()),
                _ => Err("write a number of at least 0, such as 0.3".into()),
            },
            Type::Text | Type::Secret | Type::List => Ok(()),
        }
    }

    /// Whether a value may stand in a message.
    pub(super) fn may_be_shown(self) -> bool {
        self != Type::Secret
    }
}

/// A truth value as oslo writes it.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}
