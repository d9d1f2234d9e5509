//! Who leads, and whether that one lives.

use super::report::Report;
use std::time::Duration;
use store::{CONTROLLER_LEASE, LeaseRow, SqlStore, Store};
use tokio::time::Instant;

/// Pause between two looks at the row.
const LOOK: Duration = Duration::from_millis(250);

pub(super) async fn check(store: &SqlStore, report: &mut Report) {
    let start = "Start a controller: systemctl start cloud-manager (of a pair: cloud-manager-controller, on both)";
    let first = match store.lease(CONTROLLER_LEASE).await {
        Ok(row) => row,
        Err(error) => return report.fail("lease", error.to_string(), ""),
    };
    if first.holder.is_empty() {
        return report.warn("lease", format!("no controller leads, nothing is reconciled; the last token was {}", first.token), start);
    }
    let since = match first.acquired_at.0 {
        0 => String::new(),
        _ => format!(" since {}", first.acquired_at),
    };
    // A row that is renewed moves; clocks say nothing.
    let patience = Duration::from_millis(u64::try_from(first.duration_ms).unwrap_or(0)) * 5 / 4;
    let deadline = Instant::now() + patience;
    loop {
        tokio::time::sleep(LOOK).await;
        match store.lease(CONTROLLER_LEASE).await {
            Ok(row) if moved(&first, &row) => {
                let seconds = first.duration_ms as f64 / 1_000.0;
                return report.ok("lease", format!("{} leads{since} with token {}, for {seconds} s at a time", row.holder, row.token));
            }
            Ok(_) if Instant::now() < deadline => {}
            Ok(_) => {
                let what =
                    format!("{} holds the lease{since} (token {}) and has not renewed it for {} s", first.holder, first.token, patience.as_secs());
                return report.warn("lease", format!("{what}: it is dead, or hangs, and nobody has taken over"), start);
            }
            Err(error) => return report.fail("lease", error.to_string(), ""),
        }
    }
}

fn moved(before: &LeaseRow, after: &LeaseRow) -> bool {
    (before.token, before.renew_seq, &before.holder) != (after.token, after.renew_seq, &after.holder)
}
