//! Whether people are told: what waits in the outbox, and when something arrived last.

use super::report::Report;
use crate::config::Webhook;
use engine::{Clock, SystemClock};
use schemas::Time;
use store::{Outbox, OutboxState, SqlStore};

/// A letter that waits for so long does not only wait for its turn, in seconds.
const LATE: i64 = 600;
/// Letters that were lost are worth a word for so long, in seconds.
const REMEMBERED: i64 = 7 * 86_400;
const LOOK: &str = "See the log of the leading controller, and whether the receiver at webhook.url answers 2xx";

pub(super) async fn check(store: &SqlStore, config: &Webhook, report: &mut Report) {
    let place = match config.receiver().map(::cloud::webhook::Webhook::new) {
        None => None,
        Some(Ok(webhook)) => Some(webhook.place()),
        Some(Err(why)) => return report.fail("webhook", why, "Correct [webhook] in the configuration"),
    };
    match store.outbox().await {
        Ok(state) => judge(place.as_deref(), &state, SystemClock.now(), report),
        Err(error) => report.fail("webhook", error.to_string(), ""),
    }
}

fn judge(place: Option<&str>, state: &OutboxState, now: Time, report: &mut Report) {
    let Some(place) = place else {
        return match state.length {
            0 => report.ok("webhook", "none is configured: people are told by Events and metrics alone"),
            n => report.warn(
                "webhook",
                format!("none is configured here, and {n} letter(s) wait in the outbox"),
                "Set [webhook] on every server, or on none; what nobody delivers is thrown away after 7 days",
            ),
        };
    };
    let last = state.delivered_at.map_or("nothing was delivered yet".to_string(), |at| format!("delivered last at {at}"));
    let waiting = match state.oldest {
        None => "nothing waits".to_string(),
        Some(oldest) => format!("{} letter(s) wait, the oldest since {oldest}", state.length),
    };
    let what = format!("{place}: {waiting}; {} delivered, {last}", state.delivered);
    let late = state.oldest.is_some_and(|oldest| now.seconds_since(oldest) > LATE);
    let failing = state.length > 0 && state.failed_at.is_some_and(|failed| state.delivered_at.is_none_or(|at| failed > at));
    if late || failing {
        let why = if state.failure.is_empty() { String::new() } else { format!("; the last failure: {}", state.failure) };
        report.warn("webhook", format!("{what}{why}"), LOOK);
    } else {
        report.ok("webhook", what);
    }
    if let Some(at) = state.lost_at.filter(|at| now.seconds_since(*at) < REMEMBERED) {
        let lost = format!("{} letter(s) were refused for good and {} dropped, the last at {at}: {}", state.given_up, state.dropped, state.failure);
        report.warn("webhook", lost, "`cloud-manager get events` has what they told; mend the receiver");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::doctor::report::Level;

    fn at(seconds: i64) -> Time {
        Time(1_800_000_000_000_000).plus_seconds(seconds)
    }

    fn judged(place: Option<&str>, state: &OutboxState) -> Vec<(Level, String)> {
        let mut report = Report::default();
        judge(place, state, at(0), &mut report);
        report.0.into_iter().map(|f| (f.level, f.what)).collect()
    }

    #[test]
    fn what_waits_too_long_or_was_lost_is_a_warning_and_the_rest_is_well() {
        let well =
            OutboxState { delivered: 3, delivered_at: Some(at(-5)), failed_at: Some(at(-60)), failure: "503".into(), ..OutboxState::default() };
        assert_eq!(judged(Some("https://hook"), &well)[0].0, Level::Ok);
        let busy = OutboxState { length: 2, oldest: Some(at(-3)), ..well.clone() };
        assert_eq!(judged(Some("https://hook"), &busy)[0].0, Level::Ok);
        let late = OutboxState { oldest: Some(at(-700)), ..busy.clone() };
        assert_eq!(judged(Some("https://hook"), &late)[0].0, Level::Warn);
        let failing = OutboxState { failed_at: Some(at(-1)), ..busy };
        let found = judged(Some("https://hook"), &failing);
        assert!(found[0].0 == Level::Warn && found[0].1.contains("503"), "{found:?}");
        let lost = OutboxState { given_up: 1, dropped: 4, lost_at: Some(at(-60)), ..well.clone() };
        let found = judged(Some("https://hook"), &lost);
        assert!(found.len() == 2 && found[1].0 == Level::Warn && found[1].1.contains("4 dropped"), "{found:?}");
        assert_eq!(judged(Some("https://hook"), &OutboxState { lost_at: Some(at(-8 * 86_400)), ..lost }).len(), 1, "long ago");
        assert_eq!(judged(None, &OutboxState::default())[0].0, Level::Ok);
        assert_eq!(judged(None, &failing)[0].0, Level::Warn);
    }
}
