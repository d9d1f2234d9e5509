//! The resource ComputerSystem (DSP2046): which one is meant, and what it says.

use crate::{Command, Power};
use serde_json::Value;

/// The member that is meant: by its id (last segment) or its whole path, both case-sensitive. Without a choice only a
/// collection of exactly one will do. `Err` says what to do.
pub(super) fn pick(members: &[String], wanted: Option<&str>) -> Result<String, String> {
    let ids = || match members {
        [] => "none".to_owned(),
        _ => members.iter().map(|member| id(member)).collect::<Vec<_>>().join(", "),
    };
    let Some(wanted) = wanted else {
        return match members {
            [one] => Ok(one.clone()),
            _ => Err(format!("which System is meant is not clear (it has: {}); name one in spec.endpoint.system", ids())),
        };
    };
    let path = wanted.trim_end_matches('/');
    let means = |member: &&String| if wanted.starts_with('/') { member.trim_end_matches('/') == path } else { id(member) == path };
    match members.iter().filter(means).collect::<Vec<_>>().as_slice() {
        [one] => Ok((*one).clone()),
        _ => Err(format!("there is no System \"{wanted}\" (it has: {}); correct spec.endpoint.system", ids())),
    }
}

fn id(member: &str) -> &str {
    member.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
}

/// The links in one page of a collection; `None` if it is none.
pub(super) fn members(page: &Value) -> Option<Vec<String>> {
    page["Members"].as_array()?.iter().map(|member| member["@odata.id"].as_str().map(str::to_owned)).collect()
}

/// Only `On` and `Off` are believed: `PoweringOff` is still on, `Paused` is anything.
pub(super) fn power(system: &Value) -> Result<Power, String> {
    match &system["PowerState"] {
        Value::String(state) if state == "On" => Ok(Power::On),
        Value::String(state) if state == "Off" => Ok(Power::Off),
        Value::Null => Err("shows no PowerState".to_owned()),
        other => Err(format!("says that its PowerState is {other}; only On and Off are believed")),
    }
}

/// Where to send a reset, and which kinds the device says it allows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reset {
    /// Link to post to.
    pub(super) target: String,
    /// Allowed kinds; `None` if it does not say.
    pub(super) allowed: Option<Vec<String>>,
    /// Where it may say so instead.
    pub(super) info: Option<String>,
}

/// `None` if the System cannot be reset.
pub(super) fn reset(system: &Value) -> Option<Reset> {
    let action = &system["Actions"]["#ComputerSystem.Reset"];
    Some(Reset {
        target: action["target"].as_str()?.to_owned(),
        allowed: strings(&action["ResetType@Redfish.AllowableValues"]),
        info: action["@Redfish.ActionInfo"].as_str().map(str::to_owned),
    })
}

/// The allowed kinds in an ActionInfo.
pub(super) fn allowed(info: &Value) -> Option<Vec<String>> {
    let parameters = info["Parameters"].as_array()?;
    strings(&parameters.iter().find(|parameter| parameter["Name"] == "ResetType")?["AllowableValues"])
}

/// An empty list says as little as none.
fn strings(list: &Value) -> Option<Vec<String>> {
    let strings: Vec<String> = list.as_array()?.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect();
    (!strings.is_empty()).then_some(strings)
}

/// ResetType for a command, and the state it leads to.
pub(super) fn reset_type(command: Command) -> (&'static str, Power) {
    match command {
        Command::On => ("On", Power::On),
        Command::ForceOff => ("ForceOff", Power::Off),
        Command::SoftOff => ("GracefulShutdown", Power::Off),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn two() -> Vec<String> {
        vec!["/redfish/v1/Systems/Node1".into(), "/redfish/v1/Systems/Node2/".into()]
    }

    #[test]
    fn a_system_is_picked_by_id_or_by_path_and_never_by_guess() {
        assert_eq!(pick(&two(), Some("Node2")).as_deref(), Ok("/redfish/v1/Systems/Node2/"));
        assert_eq!(pick(&two(), Some("/redfish/v1/Systems/Node2")).as_deref(), Ok("/redfish/v1/Systems/Node2/"));
        assert_eq!(pick(&two()[..1], None).as_deref(), Ok("/redfish/v1/Systems/Node1"));
        for wrong in [Some("node1"), Some("Node"), Some(""), Some("/"), Some("/Systems/Node1"), None] {
            let why = pick(&two(), wrong).unwrap_err();
            assert!(why.contains("Node1, Node2") && why.contains("spec.endpoint.system"), "{why}");
        }
        assert!(pick(&[], None).unwrap_err().contains("none"));
    }

    #[test]
    fn two_systems_of_one_id_are_not_told_apart_by_it() {
        let twins = ["/redfish/v1/Systems/1".to_owned(), "/redfish/v1/Chassis/1".to_owned()];
        assert!(pick(&twins, Some("1")).is_err());
    }

    #[test]
    fn only_on_and_off_are_believed() {
        assert_eq!(power(&json!({"PowerState": "On"})), Ok(Power::On));
        assert_eq!(power(&json!({"PowerState": "Off"})), Ok(Power::Off));
        for state in [json!("PoweringOff"), json!("off"), json!("OFF"), json!("Paused"), json!(null), json!(0), json!(["Off"])] {
            assert!(power(&json!({ "PowerState": state })).is_err(), "{state}");
        }
        assert!(power(&json!({})).is_err());
    }

    #[test]
    fn the_allowed_kinds_are_found_in_both_places() {
        let system =
            json!({"Actions": {"#ComputerSystem.Reset": {"target": "/r", "ResetType@Redfish.AllowableValues": ["On"], "@Redfish.ActionInfo": "/i"}}});
        let found = reset(&system);
        assert_eq!(found, Some(Reset { target: "/r".into(), allowed: Some(vec!["On".into()]), info: Some("/i".into()) }));
        assert_eq!(reset(&json!({"Actions": {"#ComputerSystem.Reset": {}}})), None);
        let info = json!({"Parameters": [{"Name": "Other"}, {"Name": "ResetType", "AllowableValues": ["ForceOff"]}]});
        assert_eq!(allowed(&info), Some(vec!["ForceOff".to_owned()]));
        assert_eq!(allowed(&json!({"Parameters": []})), None);
    }

    #[test]
    fn a_collection_with_a_nonsensical_member_is_no_collection() {
        assert_eq!(members(&json!({"Members": [{"@odata.id": "/a"}]})), Some(vec!["/a".to_owned()]));
        assert_eq!(members(&json!({"Members": [{"@odata.id": "/a"}, {}]})), None);
        assert_eq!(members(&json!({})), None);
    }
}
