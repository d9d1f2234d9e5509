//! What authorisation and audit add to a write through the API.

use crate::{
    Failure,
    http::Connection,
    site::{Database, Process, Role, Site},
};
use std::time::Instant;

/// Writes on each side, in turns, so that what else goes on hits both.
const WRITES: usize = 400;

/// Medians, in milliseconds.
pub struct Cost {
    pub bare: f64,
    pub audited: f64,
    /// Of an answer to a request that is judged by a rule, over the same to one that nobody is asked about: 404 both.
    pub authorised: f64,
}

pub async fn of_a_write(database: Database) -> Result<Cost, Failure> {
    let (here, there) = (Site::new(20, 200, database).await?, Site::new(20, 200, database).await?);
    let (with, without) = (here.start(Role::Run).await?, there.start_with(Role::Run, "audit_enabled = false\n").await?);
    with.wait_for_hosts(20).await?;
    without.wait_for_hosts(20).await?;
    let (mut audited, mut bare) = (Side::of(&with).await?, Side::of(&without).await?);
    let (mut open, mut judged) = (Vec::new(), Vec::new());
    for number in 0..WRITES {
        audited.write(number).await?;
        bare.write(number).await?;
        open.push(audited.nothing_at("/nothing").await?);
        judged.push(audited.nothing_at("/v1/schemas/Nothing").await?);
    }
    Ok(Cost { bare: median(bare.times), audited: median(audited.times), authorised: median(judged) - median(open) })
}

struct Side<'a> {
    connection: Connection,
    process: &'a Process,
    times: Vec<f64>,
}

impl<'a> Side<'a> {
    async fn of(process: &'a Process) -> Result<Side<'a>, Failure> {
        let mut connection = Connection::open(process.api).await?;
        // A kind whose writes are not recorded where the audit is off: what may disrupt always is.
        let (status, said) =
            connection.post("/v1/credentials", &process.token, r#"{"metadata": {"name": "bench"}, "spec": {"data": {"username": "u"}}}"#).await?;
        if status != 201 {
            return Err(format!("POST answered {status}: {}", String::from_utf8_lossy(&said)).into());
        }
        Ok(Side { connection, process, times: Vec::new() })
    }

    async fn write(&mut self, number: usize) -> Result<(), Failure> {
        let body = format!("{{\"metadata\": {{\"annotations\": {{\"bench\": \"{number}\"}}}}}}");
        let begun = Instant::now();
        let (status, said) = self.connection.patch("/v1/credentials/bench", &self.process.token, &body).await?;
        self.times.push(begun.elapsed().as_secs_f64() * 1_000.0);
        if status == 200 { Ok(()) } else { Err(format!("PATCH answered {status}: {}", String::from_utf8_lossy(&said)).into()) }
    }

    async fn nothing_at(&mut self, path: &str) -> Result<f64, Failure> {
        let begun = Instant::now();
        let (status, _) = self.connection.get(path, &self.process.token).await?;
        let took = begun.elapsed().as_secs_f64() * 1_000.0;
        if status == 404 { Ok(took) } else { Err(format!("{path} answered {status}").into()) }
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
