//! `freeze` and `thaw`.

use super::{modify, own_kind};
use crate::output::{self, Failure};
use ::client::{Client, Exit};
use serde_json::json;

/// Sets `spec.operations` of the one ClusterPolicy, which is made if it is not there.
pub async fn operations(client: &Client, wanted: &str) -> Result<Exit, Failure> {
    let kind = own_kind("ClusterPolicy")?;
    let changed = match modify(client, kind, "default", |policy| policy["spec"]["operations"] = wanted.into()).await {
        Err(e) if e.status() == Some(404) => {
            let policy =
                json!({"apiVersion": schemas::API_VERSION, "kind": kind.kind, "metadata": {"name": "default"}, "spec": {"operations": wanted}});
            Some(client.create(kind.plural, &policy).await?)
        }
        other => other?,
    };
    let already = if changed.is_none() { " already" } else { "" };
    output::data(&format!("clusterpolicy/default operations: {wanted}{already}"));
    if wanted == "Frozen" {
        output::note(
            "Nothing disruptive is begun any longer; what is under way is settled, and a host that is being switched off and on gets its power back.",
        );
        output::note("It is in force once the controller says so: cloud-manager wait clusterpolicy default --for=condition=Paused");
    }
    Ok(Exit::Ok)
}
