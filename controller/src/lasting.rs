//! A trouble that lasts is told when it begins or changes, once a minute, and when it is over.

use std::time::Duration;
use tokio::time::Instant;

const AGAIN_AFTER: Duration = Duration::from_secs(60);

/// What was told last of a pass that fails, and when.
#[derive(Debug, Default)]
pub(crate) struct Lasting(Option<(String, Instant)>);

impl Lasting {
    /// Whether this failure is worth telling.
    pub fn is_news(&mut self, error: &str) -> bool {
        let known = self.0.as_ref().is_some_and(|(told, at)| told == error && at.elapsed() < AGAIN_AFTER);
        if !known {
            self.0 = Some((error.into(), Instant::now()));
        }
        !known
    }

    /// Whether this success ends a trouble that was told.
    pub fn is_over(&mut self) -> bool {
        self.0.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_trouble_is_told_when_it_begins_or_changes_once_a_minute_and_when_it_is_over() {
        let mut trouble = Lasting::default();
        assert!(!trouble.is_over());
        assert!(trouble.is_news("Nova: 503") && !trouble.is_news("Nova: 503"));
        assert!(trouble.is_news("Nova: 401") && trouble.is_news("Nova: 503"));
        tokio::time::advance(Duration::from_secs(59)).await;
        assert!(!trouble.is_news("Nova: 503"));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(trouble.is_news("Nova: 503") && !trouble.is_news("Nova: 503"));
        assert!(trouble.is_over() && !trouble.is_over());
        assert!(trouble.is_news("Nova: 503"));
    }
}
