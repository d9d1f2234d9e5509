//! Many objects declared at once, as `cloud-manager apply` and `diff` send them.

use crate::{
    Failure,
    http::Connection,
    site::{Database, Process, Role, Site},
};
use serde_json::{Value, json};
use std::time::Instant;

pub const OBJECTS: usize = 1_000;
const RUNS: usize = 5;

/// Seconds, each from the first byte that is sent to the last that is answered.
pub struct Declared {
    pub new: f64,
    /// Median of [`RUNS`].
    pub unchanged: f64,
    /// Every object differs. Median of [`RUNS`].
    pub diff: f64,
}

pub async fn declared(database: Database) -> Result<Declared, Failure> {
    let site = Site::new(20, 200, database).await?;
    let process = site.start(Role::Run).await?;
    process.wait_for_hosts(20).await?;
    let mut client = Client { connection: Connection::open(process.api).await?, process: &process };
    let new = client.send("apply", "one", "created").await?;
    let unchanged = client.median("apply", "one", "unchanged").await?;
    let diff = client.median("diff", "another", "configured").await?;
    Ok(Declared { new, unchanged, diff })
}

fn hosts(title: &str) -> String {
    let host = |n: usize| {
        json!({
            "apiVersion": schemas::API_VERSION, "kind": "Host",
            "metadata": {"name": format!("declared-{n:04}"), "labels": {"room": "a"}},
            "spec": {"title": format!("{title} of {n}")},
        })
    };
    json!({"apiVersion": schemas::API_VERSION, "kind": "List", "items": Value::from_iter((0..OBJECTS).map(host))}).to_string()
}

struct Client<'a> {
    connection: Connection,
    process: &'a Process,
}

impl Client<'_> {
    /// Sends all, and looks whether this is what became of each.
    async fn send(&mut self, what: &str, title: &str, result: &str) -> Result<f64, Failure> {
        let body = hosts(title);
        let begun = Instant::now();
        let (status, said) = self.connection.post(&format!("/v1/{what}?fieldManager=bench"), &self.process.token, &body).await?;
        let took = begun.elapsed().as_secs_f64();
        let said = String::from_utf8_lossy(&said);
        let as_it_should = said.matches(&format!("\"result\":\"{result}\"")).count();
        if status != 200 || as_it_should != OBJECTS {
            return Err(format!("{what} answered {status}, {as_it_should} of {OBJECTS} {result}: {:.500}", said).into());
        }
        Ok(took)
    }

    async fn median(&mut self, what: &str, title: &str, result: &str) -> Result<f64, Failure> {
        let mut times = Vec::new();
        for _ in 0..RUNS {
            times.push(self.send(what, title, result).await?);
        }
        times.sort_by(f64::total_cmp);
        Ok(times[RUNS / 2])
    }
}
