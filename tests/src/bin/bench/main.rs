//! `make bench`: speed and size of the release binary, against the simulated cloud in this process and private
//! database servers that sync to disk at each commit.
//!
//! Prints one table with the machine and the sizes. Every figure is measured here and now. With names of parts, only these.

mod apply;
mod cost;
mod decisions;
mod http;
mod pair;
mod rack;
mod site;
mod steady;
mod watchers;
mod wired;
mod writes;

use site::{Database, Role, Site};
use std::{process::ExitCode, time::Duration};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What can be asked for by name.
const PARTS: [&str; 12] = ["start", "sync", "list", "writes", "apply", "cost", "watchers", "crowd", "pairs", "decisions", "steady", "rack"];

struct Row {
    what: String,
    value: String,
    target: &'static str,
    /// Whether the target was met; `None`: there is none.
    met: Option<bool>,
}

#[derive(Default)]
struct Table(Vec<Row>);

impl Table {
    fn row(&mut self, what: impl Into<String>, value: String, target: &'static str, met: Option<bool>) {
        let row = Row { what: what.into(), value, target, met };
        eprintln!("{}: {}{}", row.what, row.value, row.verdict());
        self.0.push(row);
    }

    /// A figure that has a target.
    fn note(&mut self, what: impl Into<String>, value: String, target: &'static str, met: bool) {
        self.row(what, value, target, Some(met));
    }

    /// A figure that has none.
    fn tell(&mut self, what: impl Into<String>, value: String) {
        self.row(what, value, "", None);
    }

    fn print(&self) {
        let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpu.lines().find_map(|l| l.strip_prefix("model name")).map(|l| l.trim_start_matches(['\t', ' ', ':'])).unwrap_or("unknown CPU");
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        println!("Machine: {cores} cores, {model}; release build.\n");
        println!("| What | Measured | Target | |\n|---|---|---|---|");
        for r in &self.0 {
            println!("| {} | {} | {} | {} |", r.what, r.value, r.target, r.verdict().trim());
        }
    }
}

impl Row {
    fn verdict(&self) -> &'static str {
        match self.met {
            Some(true) => " ok",
            Some(false) => " MISSED",
            None => "",
        }
    }
}

#[tokio::main]
async fn main() -> Result<ExitCode, Failure> {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    if asked == [decisions::PLAN_ONLY] {
        let decisions::Planned { ms, placed, guests, peak_mb } = decisions::plan_for_a_rack()?;
        println!("{ms} {placed} {guests} {peak_mb}");
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(unknown) = asked.iter().find(|a| !PARTS.contains(&a.as_str())) {
        eprintln!("bench: {unknown} is none of {}", PARTS.join(", "));
        return Ok(ExitCode::from(2));
    }
    let mut table = Table::default();
    for part in PARTS.into_iter().filter(|part| asked.is_empty() || asked.iter().any(|a| a == part)) {
        match part {
            "start" => start(&mut table).await?,
            "sync" => sync(&mut table).await?,
            "writes" => write(&mut table).await,
            "list" => list(&mut table).await?,
            "apply" => declare(&mut table).await,
            "cost" => add(&mut table).await,
            "watchers" => watch(&mut table).await,
            "crowd" => crowd(&mut table).await?,
            "pairs" => pairs(&mut table).await,
            "decisions" => decide(&mut table)?,
            "steady" => stay(&mut table).await?,
            _ => die(&mut table).await?,
        }
    }
    table.print();
    Ok(ExitCode::SUCCESS)
}

async fn start(table: &mut Table) -> Result<(), Failure> {
    let site = Site::new(20, 200, Database::Sqlite).await?;
    let small = site.start(Role::Run).await?;
    table.note("`run`, start to ready, 20 hosts", format!("{} ms", small.ready_ms), "≤ 500 ms", small.ready_ms <= 500);
    small.wait_for_hosts(20).await?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let memory = small.memory_mb()?;
    table.note("idle memory, 20 hosts, 200 guests", format!("{memory:.1} MB"), "≤ 60 MB", memory <= 60.0);
    let gets = small.gets_per_second().await?;
    table.note("GET one host, 8 connections, cached token", format!("{gets}/s"), "≥ 3000/s", gets >= 3_000);
    small.kill()?;
    let small = site.start(Role::Run).await?;
    table.note("`run`, start to ready after SIGKILL", format!("{} ms", small.ready_ms), "≤ 500 ms", small.ready_ms <= 500);
    Ok(())
}

async fn sync(table: &mut Table) -> Result<(), Failure> {
    for database in [Database::Sqlite, Database::Postgres, Database::Mariadb] {
        let site = match Site::new(1_000, 10_000, database).await {
            Ok(site) => site,
            Err(why) => {
                eprintln!("skipped: {why}");
                continue;
            }
        };
        let large = site.start(Role::Run).await?;
        let synced = large.wait_for_hosts(1_000).await?.as_secs_f64();
        let (what, value) = (format!("1000 hosts, 10,000 guests synced first time, {database}"), format!("{synced:.1} s"));
        if database == Database::Postgres {
            table.note(what, value, "≤ 10 s", synced <= 10.0);
        } else {
            table.tell(what, value);
        }
        if database == Database::Sqlite {
            tokio::time::sleep(Duration::from_secs(20)).await;
            let memory = large.memory_mb()?;
            table.note("idle memory, 1000 hosts, 10,000 guests", format!("{memory:.1} MB"), "≤ 120 MB", memory <= 120.0);
            let page = large.list_page_ms().await?;
            table.note("list page of 500 hosts, median of 51", format!("{page:.1} ms"), "≤ 20 ms", page <= 20.0);
        }
    }
    Ok(())
}

async fn write(table: &mut Table) {
    for database in [Database::Sqlite, Database::Postgres, Database::Mariadb] {
        let mut rates = Vec::new();
        for writers in [1, 4, 16] {
            match writes::per_second(database, writers).await {
                Ok(rate) => rates.push(rate.to_string()),
                Err(why) => eprintln!("skipped: {why}"),
            }
        }
        if !rates.is_empty() {
            table.tell(format!("write transactions, 1 / 4 / 16 writers, {database}, synced to disk"), format!("{} per s", rates.join(" / ")));
        }
    }
}

async fn list(table: &mut Table) -> Result<(), Failure> {
    const HOSTS: usize = 10_000;
    let site = Site::new(HOSTS, HOSTS, Database::Sqlite).await?;
    let process = site.start(Role::Run).await?;
    process.wait_for_hosts(HOSTS).await?;
    let seconds = process.list_all_seconds(HOSTS).await?;
    table.note("10,000 hosts listed in pages of 1000, median of 5", format!("{seconds:.2} s"), "≤ 1 s", seconds <= 1.0);
    Ok(())
}

async fn declare(table: &mut Table) {
    for database in [Database::Sqlite, Database::Postgres, Database::Mariadb] {
        match apply::declared(database).await {
            Ok(apply::Declared { new, unchanged, diff }) => {
                let what = format!("{} objects applied at once, new / unchanged / diff of all, {database}", apply::OBJECTS);
                let value = format!("{new:.2} / {unchanged:.2} / {diff:.2} s");
                if database == Database::Mariadb {
                    table.tell(what, value);
                } else {
                    table.note(what, value, "≤ 5 / 1 / 2 s", new <= 5.0 && unchanged <= 1.0 && diff <= 2.0);
                }
            }
            Err(why) => eprintln!("skipped: {why}"),
        }
    }
}

async fn add(table: &mut Table) {
    for database in [Database::Sqlite, Database::Postgres, Database::Mariadb] {
        match cost::of_a_write(database).await {
            Ok(cost::Cost { bare, audited, authorised }) => {
                let added = 100.0 * (audited - bare + authorised) / bare;
                let what = format!("authorisation and audit, added to a write through the API, median, {database}");
                let value = format!("{added:.0} % ({bare:.2} ms bare, {audited:.2} ms audited, {authorised:.2} ms judged by a rule)");
                table.note(what, value, "≤ 20 %", added <= 20.0);
            }
            Err(why) => eprintln!("skipped: {why}"),
        }
    }
}

async fn crowd(table: &mut Table) -> Result<(), Failure> {
    let (late, memory) = watchers::crowd(Database::Postgres).await?;
    let what = format!("100 changes a second of {} hosts, {} watchers of all, p99, PostgreSQL", watchers::CROWD_HOSTS, watchers::CROWD);
    table.note(what, format!("{:.0} ms ({:.0} ms median)", late.p99_ms, late.median_ms), "≤ 150 ms", late.p99_ms <= 150.0);
    table.note("… memory", format!("{memory:.0} MB"), "≤ 250 MB", memory <= 250.0);
    Ok(())
}

async fn watch(table: &mut Table) {
    for database in [Database::Postgres, Database::Mariadb] {
        match watchers::late(database, 100).await {
            Ok(late) => {
                let what = format!("change written at one API server to 100 watchers of another, p99, {database}");
                let value = format!("{:.0} ms ({:.0} ms median)", late.p99_ms, late.median_ms);
                table.note(what, value, "≤ 100 ms", late.p99_ms <= 100.0);
            }
            Err(why) => eprintln!("skipped: {why}"),
        }
    }
}

async fn pairs(table: &mut Table) {
    for database in [Database::Postgres, Database::Mariadb] {
        match pair::changes_of_leader(database).await {
            Ok(took) => {
                let (killed, planned) = (took.after_kill.as_secs_f64(), took.planned.as_secs_f64());
                let what = format!("takeover after SIGKILL of the leader, longest of {}, {database}", pair::RUNS);
                table.note(what, format!("{killed:.1} s"), "≤ 9 s", killed <= 9.0);
                let what = format!("planned handover, longest of {}, {database}", pair::RUNS);
                table.note(what, format!("{planned:.2} s"), "≤ 1 s", planned <= 1.0);
            }
            Err(why) => eprintln!("skipped: {why}"),
        }
    }
}

fn decide(table: &mut Table) -> Result<(), Failure> {
    let ms = decisions::over_hosts_ms(5_000);
    table.note("who is down, one decision over 5,000 hosts, median of 51", format!("{ms:.1} ms"), "≤ 20 ms", ms <= 20.0);
    let decisions::Planned { ms, placed, guests, peak_mb } = decisions::plan_for_a_rack_apart()?;
    let what = format!("plan for the {guests} guests of a 40-host rack of 5,000 hosts and 150,000 guests ({placed} placed), median of 51");
    table.note(what, format!("{ms:.0} ms"), "≤ 500 ms", ms <= 500.0);
    table.note("… memory of the process that makes it, at most", format!("{peak_mb:.0} MB"), "< 500 MB", peak_mb < 500.0);
    Ok(())
}

async fn stay(table: &mut Table) -> Result<(), Failure> {
    let steady::Steady { lists_per_tick, requests_per_tick, cpu_percent, memory_mb } = steady::watched().await?;
    let (hosts, guests, seconds) = (steady::HOSTS, steady::GUESTS, steady::WATCHED.as_secs());
    let what = format!("steady, {hosts} hosts with BMCs, {guests} guests, over {seconds} s: lists of Nova per look at its services");
    let value = format!("{lists_per_tick:.2} ({requests_per_tick:.1} requests: a page of 1000 each)");
    table.note(what, value, "≤ 2", lists_per_tick <= 2.0);
    table.note("… processor", format!("{cpu_percent:.1} % of a core"), "< 3 %", cpu_percent < 3.0);
    table.note("… memory", format!("{memory_mb:.1} MB"), "≤ 200 MB", memory_mb <= 200.0);
    Ok(())
}

async fn die(table: &mut Table) -> Result<(), Failure> {
    let rack::Fenced { last_seconds, confirmed_seconds, ended_seconds, guests, service_lists, memory_mb } = rack::dies().await?;
    let (dead, hosts) = (rack::DEAD, rack::HOSTS);
    let what = format!("{dead} of {hosts} hosts die at once: from the look that confirms it to the last fence command");
    table.note(what, format!("{last_seconds:.1} s"), "≤ 30 s", last_seconds <= 30.0);
    table.tell("… from the crash to that look (Nova 8 s, two looks 5 s apart)", format!("{confirmed_seconds:.1} s"));
    table.tell("… lists of services meanwhile", service_lists.to_string());
    table.tell(format!("… from that look to the end of all {dead} evacuations, {guests} guests"), format!("{ended_seconds:.1} s"));
    table.tell("… memory", format!("{memory_mb:.1} MB"));
    Ok(())
}
