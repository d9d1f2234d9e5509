//! Keystone, Nova and Placement: there, new enough, ours, and not somebody else's.

use super::report::Report;
use crate::{config::Config, server::cloud};
use ::cloud::{Compute, Service, openstack::OpenStack};
use engine::Metrics;
use planner::{facts::ServiceFacts, service::foreign};

/// Difference to Keystone's clock that is worth a word, and one that is too much, in seconds. Nothing here compares
/// clocks to decide; but a token is taken for good until it ends by our clock, and people compare logs.
const NOTABLE_SKEW: i64 = 5;
const WRONG_SKEW: i64 = 300;
/// The microversion that our calls need at least: migration records with their uuids and paging are 2.59 (Queens).
const NOVA_NEEDED: (u32, u32) = (2, 59);

pub(super) async fn check(config: &Config, cluster_uuid: Option<&str>, report: &mut Report) {
    let cloud = match cloud::connect(&config.openstack, Metrics::default()).await {
        Ok(cloud) => cloud,
        Err(error) => return report.fail("keystone", format!("{error:#}"), "Correct [openstack] in the configuration"),
    };
    clock(&cloud, report).await;
    if !login(&cloud, report).await {
        return;
    }
    match cloud.max_microversion().await {
        Ok(found) if found < NOVA_NEEDED => {
            let (want, have) = (version(NOVA_NEEDED), version(found));
            report.fail("nova", format!("its API is {have}, needed is {want}"), "Upgrade Nova");
        }
        Ok(found) => match cloud.services().await {
            Ok(services) => services_of(&version(found), &services, cluster_uuid, report),
            Err(error) => report.fail("nova", error.to_string(), "Our user needs the role admin to read Nova's services"),
        },
        Err(error) => {
            report.fail("nova", error.to_string(), "See whether nova-api runs, and its endpoint in the catalogue ([openstack] interface, region)")
        }
    }
    match cloud.placement_version().await {
        Ok(found) => report.ok("placement", format!("answers, API {}", version(found))),
        Err(error) => report.fail("placement", error.to_string(), "See whether Placement runs; without it no host is ever proven empty"),
    }
}

fn version((major, minor): (u32, u32)) -> String {
    format!("{major}.{minor}")
}

async fn clock(cloud: &OpenStack, report: &mut Report) {
    match cloud.keystone_ahead_seconds().await {
        Ok(None) => report.warn("clock", "Keystone's answer has no date, so the clocks cannot be compared", ""),
        Ok(Some(ahead)) => {
            let what = match ahead {
                0 => "as Keystone's".to_string(),
                n if n > 0 => format!("{n} s behind Keystone's"),
                n => format!("{} s ahead of Keystone's", -n),
            };
            match ahead.abs() {
                n if n > WRONG_SKEW => report.fail("clock", what, "Set this machine's clock, and keep it set (chrony)"),
                n if n > NOTABLE_SKEW => report.warn("clock", what, "Keep the clocks of both machines set (chrony)"),
                _ => report.ok("clock", what),
            }
        }
        // Keystone itself is told of by the login.
        Err(_) => {}
    }
}

async fn login(cloud: &OpenStack, report: &mut Report) -> bool {
    match cloud.whoami().await {
        Err(error) => {
            report.fail("keystone", error.to_string(), "See whether Keystone runs, and the login in [openstack]");
            false
        }
        Ok(None) => {
            report.fail(
                "keystone",
                "it gave us a token and does not know it, or access rules bind it",
                "Use an application credential without access rules",
            );
            true
        }
        Ok(Some(who)) => {
            let scope = match &who.project_id {
                Some(project) => format!("project {project}"),
                None if who.system_scope => "system scope".into(),
                None => "no scope".into(),
            };
            let what = format!("user {} in {scope}, roles {}", who.user_name, who.roles.join(", "));
            if who.roles.iter().any(|r| r == "admin") {
                report.ok("keystone", what);
            } else {
                let way_out = format!("Give it the role admin: openstack role add --user {} --project PROJECT admin", who.user_id);
                report.fail("keystone", what, way_out);
            }
            true
        }
    }
}

fn services_of(version: &str, services: &[Service], cluster_uuid: Option<&str>, report: &mut Report) {
    let computes: Vec<&Service> = services.iter().filter(|s| s.binary == "nova-compute").collect();
    let count = |up: Option<bool>| computes.iter().filter(|s| s.up == up).count();
    let (up, unknown) = (count(Some(true)), count(None));
    let what = format!("API {version}; {up} of {} nova-compute up", computes.len());
    if unknown > 0 {
        report.warn(
            "nova",
            format!("{what}, {unknown} unknown: a cell does not answer"),
            "See nova-manage cell_v2 list_cells, and the cell's database and message queue",
        );
    } else if !services.iter().any(|s| s.binary == "nova-conductor" && s.up == Some(true)) {
        report.fail("nova", format!("{what}, no nova-conductor up"), "Start nova-conductor: without one no host is taken for dead");
    } else {
        report.ok("nova", what);
    }
    let Some(ours) = cluster_uuid else { return };
    let mut strangers = 0;
    for service in &computes {
        let facts = ServiceFacts { disabled_reason: service.disabled_reason.clone(), ..ServiceFacts::default() };
        if let Some(uuid) = foreign(&facts, ours) {
            strangers += 1;
            let what = format!("host {} carries the mark of another Cloud Manager ({uuid}); nothing disruptive is done to it", service.host);
            let way_out =
                format!("Find that one and stop one of the two; then: openstack compute service set --enable {} nova-compute", service.host);
            report.fail("marks", what, way_out);
        }
    }
    if strangers == 0 {
        report.ok("marks", "no host carries the mark of another Cloud Manager");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::doctor::report::Level;

    fn service(binary: &str, host: &str, up: Option<bool>, reason: Option<&str>) -> Service {
        Service {
            id: host.into(),
            binary: binary.into(),
            host: host.into(),
            zone: "nova".into(),
            enabled: Some(reason.is_none()),
            up,
            forced_down: false,
            disabled_reason: reason.map(String::from),
            updated_at: None,
        }
    }

    fn found(services: &[Service]) -> Vec<(Level, String)> {
        let mut report = Report::default();
        services_of("2.93", services, Some("ours"), &mut report);
        report.0.into_iter().map(|f| (f.level, format!("{} {}", f.what, f.way_out))).collect()
    }

    #[test]
    fn a_foreign_mark_is_named_with_its_host_and_ours_is_not() {
        let conductor = service("nova-conductor", "ctl", Some(true), None);
        let ours = service("nova-compute", "c1", Some(true), Some("cloud-manager/ours: declared off"));
        let theirs = service("nova-compute", "c2", Some(true), Some("cloud-manager/theirs: declared off"));
        let found = found(&[conductor, ours, theirs]);
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!((found[0].0, found[1].0), (Level::Ok, Level::Fail));
        assert!(found[1].1.contains("host c2") && found[1].1.contains("theirs") && found[1].1.contains("--enable c2"), "{found:?}");
    }

    #[test]
    fn a_cell_that_does_not_answer_and_a_missing_conductor_are_named() {
        let unknown = found(&[service("nova-conductor", "ctl", Some(true), None), service("nova-compute", "c1", None, None)]);
        assert!(unknown[0].0 == Level::Warn && unknown[0].1.contains("1 unknown"), "{unknown:?}");
        let none = found(&[service("nova-compute", "c1", Some(true), None)]);
        assert!(none[0].0 == Level::Fail && none[0].1.contains("no nova-conductor"), "{none:?}");
    }
}
