//! Placement: what a host has, what is used, by whom.

use super::OpenStack;
use super::decode::{int, texts};
use super::http::{Call, Reply, Service};
use crate::{CloudResult, Inventory, Placement, Provider, Room, Share};
use async_trait::async_trait;
use serde_json::{Map, Value};

/// Train (2019); everything read here has its present form in it.
const VERSION: (u32, u32) = (1, 36);

impl OpenStack {
    async fn placement(&self, kind: &'static str, path: Vec<&str>, query: Vec<(String, String)>) -> CloudResult<(Value, Reply)> {
        let mut call = Call::get(Service::Placement, kind, format!("placement: {}", path.join("/")), path);
        call.query = query;
        call.version = Some(VERSION);
        let reply = self.send(call).await?;
        Ok((reply.json()?, reply))
    }

    /// One member of a provider, which must be there.
    async fn part(&self, kind: &'static str, id: &str, part: &'static str) -> CloudResult<(Value, Reply)> {
        self.placement(kind, vec!["resource_providers", id, part], Vec::new()).await
    }
}

fn object<'a>(body: &'a Value, key: &str, reply: &Reply) -> CloudResult<&'a Map<String, Value>> {
    body.get(key).and_then(Value::as_object).ok_or_else(|| reply.nonsense(format!("the answer has no `{key}`")))
}

/// Thousandths, so that 1.1 and 16.0 are exact.
fn permille(row: &Value) -> Option<i64> {
    let ratio = row.get("allocation_ratio").and_then(Value::as_f64).filter(|r| r.is_finite() && *r >= 0.0)?;
    Some((ratio * 1000.0).round() as i64)
}

#[async_trait]
impl Placement for OpenStack {
    async fn provider(&self, id: &str) -> CloudResult<Option<Provider>> {
        // By the list and not by its URL: an empty list can only be Placement's, a 404 anyone's.
        let (body, reply) = self.placement("provider", vec!["resource_providers"], vec![("uuid".to_owned(), id.to_owned())]).await?;
        let found = body.get("resource_providers").and_then(Value::as_array);
        if found.ok_or_else(|| reply.nonsense("the answer has no `resource_providers`"))?.is_empty() {
            return Ok(None);
        }
        let ((inventories, inv), (usages, used), (traits, tr), (allocations, al)) = futures::try_join!(
            self.part("inventories", id, "inventories"),
            self.part("usages", id, "usages"),
            self.part("traits", id, "traits"),
            self.part("allocations", id, "allocations"),
        )?;
        let mut provider = Provider { id: id.to_owned(), ..Provider::default() };
        for (class, row) in object(&inventories, "inventories", &inv)? {
            // An odd class is left out: a class that is not there has nothing free.
            if let (Some(total), Some(allocation_permille)) = (int(row, "total"), permille(row)) {
                let inventory = Inventory { total, reserved: int(row, "reserved").unwrap_or(0), allocation_permille };
                provider.inventories.insert(class.clone(), inventory);
            }
        }
        for class in object(&usages, "usages", &used)?.keys() {
            let usage = int(&usages["usages"], class).ok_or_else(|| used.nonsense(format!("the usage of {class} is not a number")))?;
            provider.usages.insert(class.clone(), usage);
        }
        if !traits.get("traits").is_some_and(Value::is_array) {
            return Err(tr.nonsense("the answer has no `traits`"));
        }
        provider.traits = texts(&traits, "traits");
        provider.consumers = object(&allocations, "allocations", &al)?.keys().cloned().collect();
        Ok(Some(provider))
    }

    async fn rooms(&self) -> CloudResult<Vec<Room>> {
        // The least that a guest can ask for; the summaries tell all there is (1.27).
        let query = [("resources", "MEMORY_MB:1"), ("required", "!COMPUTE_STATUS_DISABLED")].map(|(k, v)| (k.to_owned(), v.to_owned())).to_vec();
        let (body, reply) = self.placement("candidates", vec!["allocation_candidates"], query).await?;
        let mut rooms = Vec::new();
        for (id, row) in object(&body, "provider_summaries", &reply)? {
            // Providers below a compute node's are none that a guest can be asked to go to.
            if row.get("parent_provider_uuid").is_some_and(|p| !p.is_null()) {
                continue;
            }
            let classes =
                row.get("resources").and_then(Value::as_object).ok_or_else(|| reply.nonsense(format!("provider {id} has no `resources`")))?;
            // An odd class is left out: a class that is not there has nothing free.
            let share = |(class, row): (&String, &Value)| Some((class.clone(), Share { capacity: int(row, "capacity")?, used: int(row, "used")? }));
            rooms.push(Room { provider: id.clone(), resources: classes.iter().filter_map(share).collect(), traits: texts(row, "traits") });
        }
        Ok(rooms)
    }

    async fn providers_of(&self, consumer: &str) -> CloudResult<Vec<String>> {
        let (body, reply) = self.placement("allocations", vec!["allocations", consumer], Vec::new()).await?;
        Ok(object(&body, "allocations", &reply)?.keys().cloned().collect())
    }
}
