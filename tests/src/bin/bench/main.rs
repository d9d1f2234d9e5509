//! `make bench`: speed and size of the release binary, against the simulated cloud in this process and private
//! database servers that sync to disk at each commit.
//!
//! Prints one table with the machine and the sizes. Every figure is measured here and now.

mod decisions;
mod http;
mod pair;
mod site;
mod watchers;
mod writes;

use site::{Database, Role, Site};
use std::time::Duration;

type Failure = Box<dyn std::error::Error + Send + Sync>;

struct Row {
    what: String,
    value: String,
    target: &'static str,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut rows = Vec::new();
    let mut note = |what: String, value: String, target: &'static str| {
        eprintln!("{what}: {value}");
        rows.push(Row { what, value, target });
    };

    let site = Site::new(20, 200, Database::Sqlite).await?;
    let small = site.start(Role::Run).await?;
    note("`run`, start to ready, 20 hosts".into(), format!("{} ms", small.ready_ms), "≤ 500 ms");
    small.wait_for_hosts(20).await?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    note("idle memory, 20 hosts, 200 guests".into(), format!("{:.1} MB", small.memory_mb()?), "≤ 60 MB");
    note("GET one host, 8 connections, cached token".into(), format!("{}/s", small.gets_per_second().await?), "≥ 3000/s");
    small.kill()?;
    let small = site.start(Role::Run).await?;
    note("`run`, start to ready after SIGKILL".into(), format!("{} ms", small.ready_ms), "≤ 500 ms");
    drop((small, site));

    for database in [Database::Sqlite, Database::Postgres, Database::Mariadb] {
        let site = match Site::new(1_000, 10_000, database).await {
            Ok(site) => site,
            Err(why) => {
                eprintln!("skipped: {why}");
                continue;
            }
        };
        let large = site.start(Role::Run).await?;
        let synced = large.wait_for_hosts(1_000).await?;
        let target = if database == Database::Postgres { "≤ 10 s" } else { "" };
        note(format!("1000 hosts, 10,000 guests synced first time, {database}"), format!("{:.1} s", synced.as_secs_f64()), target);
        if database == Database::Sqlite {
            tokio::time::sleep(Duration::from_secs(20)).await;
            note("idle memory, 1000 hosts, 10,000 guests".into(), format!("{:.1} MB", large.memory_mb()?), "≤ 120 MB");
            note("list page of 500 hosts, median of 51".into(), format!("{:.1} ms", large.list_page_ms().await?), "≤ 20 ms");
        }
    }

    for database in [Database::Sqlite, Database::Postgres, Database::Mariadb] {
        let mut rates = Vec::new();
        for writers in [1, 4, 16] {
            match writes::per_second(database, writers).await {
                Ok(rate) => rates.push(rate.to_string()),
                Err(why) => eprintln!("skipped: {why}"),
            }
        }
        if !rates.is_empty() {
            note(format!("write transactions, 1 / 4 / 16 writers, {database}, synced to disk"), format!("{} per s", rates.join(" / ")), "");
        }
    }

    for database in [Database::Postgres, Database::Mariadb] {
        match watchers::late(database, 100).await {
            Ok(late) => {
                let value = format!("{:.0} ms ({:.0} ms median)", late.p99_ms, late.median_ms);
                note(format!("change written at one API server to 100 watchers of another, p99, {database}"), value, "≤ 100 ms");
            }
            Err(why) => eprintln!("skipped: {why}"),
        }
    }
    for database in [Database::Postgres, Database::Mariadb] {
        match pair::changes_of_leader(database).await {
            Ok(took) => {
                note(
                    format!("takeover after SIGKILL of the leader, longest of {}, {database}", pair::RUNS),
                    format!("{:.1} s", took.after_kill.as_secs_f64()),
                    "≤ 9 s",
                );
                note(format!("planned handover, longest of {}, {database}", pair::RUNS), format!("{:.2} s", took.planned.as_secs_f64()), "≤ 1 s");
            }
            Err(why) => eprintln!("skipped: {why}"),
        }
    }
    note("who is down, one decision over 5,000 hosts, median of 51".into(), format!("{:.1} ms", decisions::over_hosts_ms(5_000)), "≤ 20 ms");
    let (ms, placed, guests) = decisions::plan_for_a_rack_ms();
    let what = format!("plan for the {guests} guests of a 40-host rack of 5,000 hosts and 150,000 guests ({placed} placed), median of 51");
    note(what, format!("{ms:.0} ms"), "≤ 500 ms");
    print_table(&rows);
    Ok(())
}

fn print_table(rows: &[Row]) {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|l| l.strip_prefix("model name")).map(|l| l.trim_start_matches(['\t', ' ', ':'])).unwrap_or("unknown CPU");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!("Machine: {cores} cores, {model}; release build.\n");
    println!("| What | Measured | Target |\n|---|---|---|");
    for r in rows {
        println!("| {} | {} | {} |", r.what, r.value, r.target);
    }
}
