//! The model's rows as Nova writes them in JSON.

use crate::model::World;
use cloud::{Aggregate, Hypervisor, Server, ServerGroup, Service};
use schemas::Time;
use serde_json::{Map, Value, json};

/// A time without a fraction, as servers have it.
fn seconds(ms: i64) -> String {
    Time(ms.div_euclid(1000) * 1_000_000).to_string()
}

/// A row of os-services; of a cell that is down only three fields (2.69).
pub(super) fn service(s: &Service) -> Value {
    let Some(enabled) = s.enabled else {
        return json!({"binary": s.binary, "host": s.host, "status": "UNKNOWN"});
    };
    json!({
        "id": s.id, "binary": s.binary, "host": s.host, "zone": s.zone,
        "status": if enabled { "enabled" } else { "disabled" },
        "state": if s.up == Some(true) { "up" } else { "down" },
        "updated_at": s.updated_at, "disabled_reason": s.disabled_reason, "forced_down": s.forced_down,
    })
}

/// A row of os-hypervisors/detail (2.88).
pub(super) fn hypervisor(world: &World, h: &Hypervisor) -> Value {
    let host = world.hosts.get(&h.service_host);
    json!({
        "id": h.id, "hypervisor_hostname": h.hostname, "hypervisor_type": h.hypervisor_type, "hypervisor_version": 7_002_000,
        "state": if world.is_up(&h.service_host) == Some(true) { "up" } else { "down" },
        "status": if host.is_some_and(|h| h.enabled) { "enabled" } else { "disabled" },
        "host_ip": "127.0.0.1", "uptime": null,
        "service": {"id": host.map(|h| h.service_id.clone()), "host": h.service_host, "disabled_reason": host.and_then(|h| h.disabled_reason.clone())},
    })
}

/// A server in full; of a cell that is down only what the API's own database knows (2.69).
pub(super) fn server(world: &World, base: &str, s: &Server) -> Value {
    let guest = world.guests.get(&s.id);
    let created = seconds(guest.map_or(0, |g| g.created));
    let links =
        json!([{"rel": "self", "href": format!("{base}/v2.1/servers/{}", s.id)}, {"rel": "bookmark", "href": format!("{base}/servers/{}", s.id)}]);
    if s.status == "UNKNOWN" {
        return json!({"id": s.id, "status": "UNKNOWN", "tenant_id": "admin", "created": created, "links": links});
    }
    let image = if s.boot_from_volume { json!("") } else { json!({"id": "11111111-0000-4000-8000-000000000001"}) };
    let host_status = match s.host.as_ref().and_then(|h| world.hosts.get(h)) {
        None => "",
        Some(h) if !h.enabled => "MAINTENANCE",
        Some(h) if world.service_is_up(h) => "UP",
        Some(h) if h.forced_down => "DOWN",
        Some(_) => "UNKNOWN",
    };
    let mut row = json!({
        "id": s.id, "name": s.name, "status": s.status, "tenant_id": s.project, "user_id": "admin", "metadata": s.metadata,
        "hostId": s.host.clone().unwrap_or_default(), "image": image,
        "flavor": {"vcpus": s.vcpus, "ram": s.ram_mb, "disk": s.disk_gb, "ephemeral": s.ephemeral_gb, "swap": s.swap_mb, "original_name": format!("m{}", s.ram_mb), "extra_specs": s.extra_specs},
        "created": created, "updated": seconds(guest.map_or(0, |g| g.updated)), "addresses": {}, "accessIPv4": "", "accessIPv6": "", "links": links,
        "OS-DCF:diskConfig": "MANUAL", "progress": 0, "OS-EXT-AZ:availability_zone": s.zone.clone().unwrap_or_default(),
        "config_drive": "", "key_name": null, "OS-SRV-USG:launched_at": created, "OS-SRV-USG:terminated_at": null,
        "OS-EXT-SRV-ATTR:host": s.host, "OS-EXT-SRV-ATTR:hypervisor_hostname": s.host, "OS-EXT-SRV-ATTR:instance_name": s.name, "OS-EXT-SRV-ATTR:hostname": s.name,
        "OS-EXT-STS:task_state": s.task_state, "OS-EXT-STS:vm_state": s.vm_state, "OS-EXT-STS:power_state": s.power_state,
        "os-extended-volumes:volumes_attached": [], "host_status": host_status, "locked": s.locked, "locked_reason": null, "description": null, "tags": [],
    });
    if let Some(fault) = &s.fault {
        row["fault"] = json!({"code": 500, "message": fault, "created": created});
    }
    row
}

/// A row of os-migrations (2.80), by the record's id.
pub(super) fn migration(world: &World, id: i64) -> Value {
    let Some(r) = world.record(id) else { return Value::Null };
    let time = |ms| crate::model::nova_time(ms, false);
    json!({
        "id": r.id, "uuid": r.uuid, "source_compute": r.source, "dest_compute": r.dest, "source_node": r.source, "dest_node": r.dest, "dest_host": null,
        "old_instance_type_id": 1, "new_instance_type_id": 1, "instance_uuid": r.guest, "status": r.status, "migration_type": r.kind,
        "user_id": "admin", "project_id": "admin", "created_at": time(r.created), "updated_at": time(r.updated),
    })
}

/// A row of os-aggregates.
pub(super) fn aggregate(index: usize, a: &Aggregate) -> Value {
    json!({
        "id": index + 1, "uuid": format!("00000000-0000-4000-9000-{:012}", index + 1), "name": a.name, "hosts": a.hosts, "metadata": a.metadata,
        "availability_zone": a.metadata.get("availability_zone"), "created_at": "2026-01-01T00:00:00.000000", "updated_at": null, "deleted": false, "deleted_at": null,
    })
}

/// A row of os-server-groups.
pub(super) fn server_group(g: &ServerGroup, version: (u32, u32)) -> Value {
    let mut row = json!({"id": g.id, "name": g.name, "members": g.members, "project_id": "admin", "user_id": "admin"});
    if version >= (2, 64) {
        row["policy"] = json!(g.policy);
        row["rules"] = if g.policy == "anti-affinity" { json!({"max_server_per_host": g.max_per_host}) } else { json!({}) };
    } else {
        row["policies"] = json!([g.policy]);
        row["metadata"] = json!({});
    }
    row
}

/// A list with its `_links`, if a next page may follow: Nova says so whenever a page is full.
pub(super) fn list(name: &str, rows: Vec<Value>, next: Option<String>) -> Value {
    let mut body = Map::new();
    body.insert(name.into(), Value::Array(rows));
    if let Some(next) = next {
        body.insert(format!("{name}_links"), json!([{"rel": "next", "href": next}]));
    }
    Value::Object(body)
}
