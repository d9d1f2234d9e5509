//! Rows of Nova's lists. A field that is missing or odd becomes its unknown value; a row without what
//! identifies it gives `None`. Never does an odd field read as one that allows more.

use super::decode::{flag, int, text, text_map, text_or_empty, texts};
use crate::{Aggregate, Hypervisor, Migration, Server, ServerGroup, Service};
use serde_json::Value;

/// Needs binary and host; a row of a cell that did not answer has no more than those and `UNKNOWN` (2.69).
pub(super) fn service(row: &Value) -> Option<Service> {
    let word = |key: &str, yes: &str, no: &str| match row.get(key).and_then(Value::as_str) {
        Some(w) if w == yes => Some(true),
        Some(w) if w == no => Some(false),
        _ => None,
    };
    Some(Service {
        id: text_or_empty(row, "id"),
        binary: text(row, "binary")?,
        host: text(row, "host")?,
        zone: text_or_empty(row, "zone"),
        enabled: word("status", "enabled", "disabled"),
        up: word("state", "up", "down"),
        forced_down: flag(row, "forced_down").unwrap_or(false),
        disabled_reason: text(row, "disabled_reason"),
        updated_at: text(row, "updated_at"),
    })
}

/// Needs the id and the service's host.
pub(super) fn hypervisor(row: &Value) -> Option<Hypervisor> {
    Some(Hypervisor {
        id: text(row, "id")?,
        hostname: text_or_empty(row, "hypervisor_hostname"),
        hypervisor_type: text_or_empty(row, "hypervisor_type"),
        service_host: row.get("service").and_then(|s| text(s, "host"))?,
    })
}

/// Needs the id; a guest of a cell that did not answer has little more, and the status `UNKNOWN` (2.69).
pub(super) fn server(row: &Value) -> Option<Server> {
    let flavor = row.get("flavor");
    let need = |key: &str| flavor.and_then(|f| int(f, key));
    // An empty string stands for no swap, as in older flavors.
    let swap = need("swap").or_else(|| (flavor?.get("swap")?.as_str() == Some("")).then_some(0));
    let ephemeral = need("ephemeral");
    // A guest whose local disks are not known does not count as one without any (S13).
    let from_volume = row.get("image").and_then(Value::as_str) == Some("");
    let boot_from_volume = from_volume && swap.is_some() && ephemeral.is_some();
    Some(Server {
        id: text(row, "id")?,
        name: text_or_empty(row, "name"),
        status: text(row, "status").map_or_else(|| "UNKNOWN".to_owned(), |s| s.to_uppercase()),
        host: text(row, "OS-EXT-SRV-ATTR:host"),
        vm_state: text_or_empty(row, "OS-EXT-STS:vm_state"),
        task_state: text(row, "OS-EXT-STS:task_state"),
        power_state: int(row, "OS-EXT-STS:power_state").unwrap_or(0),
        zone: text(row, "OS-EXT-AZ:availability_zone"),
        locked: row.get("locked").is_some_and(|l| l.as_bool() != Some(false)),
        boot_from_volume,
        vcpus: need("vcpus").unwrap_or(0),
        ram_mb: need("ram").unwrap_or(0),
        disk_gb: need("disk").unwrap_or(0),
        ephemeral_gb: ephemeral.unwrap_or(0),
        swap_mb: swap.unwrap_or(0),
        extra_specs: flavor.map(|f| text_map(f, "extra_specs")).unwrap_or_default(),
        project: text_or_empty(row, "tenant_id"),
        image_properties: row.get("image").filter(|i| i.get("properties").is_some_and(Value::is_object)).map(|i| text_map(i, "properties")),
        metadata: text_map(row, "metadata"),
        fault: row.get("fault").and_then(|f| text(f, "message")),
    })
}

/// Needs the id and the server. A status that cannot be read is empty: not a final one.
pub(super) fn migration(row: &Value) -> Option<Migration> {
    Some(Migration {
        id: int(row, "id")?,
        migration_type: text_or_empty(row, "migration_type"),
        status: text_or_empty(row, "status"),
        server: text(row, "instance_uuid")?,
        source: text(row, "source_compute"),
        destination: text(row, "dest_compute"),
    })
}

/// Needs the name, and hosts that are all names.
pub(super) fn aggregate(row: &Value) -> Option<Aggregate> {
    let hosts = texts(row, "hosts");
    let whole = row.get("hosts")?.as_array()?.len() == hosts.len();
    whole.then_some(())?;
    Some(Aggregate { name: text(row, "name")?, hosts, metadata: text_map(row, "metadata") })
}

/// Needs the id, the policy, and members that are all ids.
pub(super) fn server_group(row: &Value) -> Option<ServerGroup> {
    let members = texts(row, "members");
    let whole = row.get("members")?.as_array()?.len() == members.len();
    whole.then_some(())?;
    let max_per_host = row.get("rules").and_then(|r| int(r, "max_server_per_host")).filter(|n| *n > 0).unwrap_or(1);
    Some(ServerGroup { id: text(row, "id")?, name: text_or_empty(row, "name"), policy: text(row, "policy")?, max_per_host, members })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rows_of_a_cell_that_is_down_are_unknown_and_not_absent() {
        let down = service(&json!({"binary": "nova-compute", "host": "c9", "status": "UNKNOWN"})).unwrap();
        assert_eq!((down.enabled, down.up, down.id.as_str()), (None, None, ""));
        let stub = json!({"id": "s1", "status": "UNKNOWN", "tenant_id": "t", "created": "2026-01-01T00:00:00Z", "links": []});
        let stub = server(&stub).unwrap();
        assert_eq!((stub.status.as_str(), stub.host, stub.locked, stub.boot_from_volume), ("UNKNOWN", None, false, false));
    }

    #[test]
    fn a_guest_counts_as_on_a_volume_only_if_its_local_disks_are_known() {
        let guest = |flavor: Value| server(&json!({"id": "s1", "image": "", "flavor": flavor})).unwrap();
        assert!(guest(json!({"vcpus": 1, "ephemeral": 0, "swap": 0})).boot_from_volume);
        assert!(guest(json!({"vcpus": 1, "ephemeral": 0, "swap": ""})).boot_from_volume);
        assert!(!guest(json!({"vcpus": 1, "swap": 0})).boot_from_volume);
        assert!(!guest(json!({"vcpus": 1, "ephemeral": "?", "swap": 0})).boot_from_volume);
        assert!(!server(&json!({"id": "s1", "flavor": {"ephemeral": 0, "swap": 0}})).unwrap().boot_from_volume);
    }

    #[test]
    fn odd_fields_are_tolerated_and_a_missing_id_is_not() {
        let odd =
            json!({"id": "s1", "name": 7, "status": null, "OS-EXT-AZ:availability_zone": null, "locked": "perhaps", "metadata": {"a": 1, "b": {}}});
        let odd = server(&odd).unwrap();
        assert_eq!((odd.status.as_str(), odd.name.as_str(), odd.zone, odd.locked), ("UNKNOWN", "", None, true));
        assert_eq!(odd.metadata.into_iter().collect::<Vec<_>>(), [("a".to_owned(), "1".to_owned())]);
        assert!(server(&json!({"name": "x"})).is_none());
        assert!(server(&json!("x")).is_none());
        assert!(migration(&json!({"id": 3, "status": "done"})).is_none());
        assert!(aggregate(&json!({"name": "a", "hosts": ["c1", null]})).is_none());
        assert!(server_group(&json!({"id": "g", "policy": "affinity", "members": ["s1", 2]})).is_none());
        assert!(server_group(&json!({"id": "g", "members": []})).is_none());
    }
}
