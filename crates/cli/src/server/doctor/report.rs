//! Findings, and how they are shown.

use crate::output;
use serde_json::{Value, json};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// As it should be.
    Ok,
    /// Works, and wants a look.
    Warn,
    /// Does not work, or is not safe.
    Fail,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Level::Ok => "ok",
            Level::Warn => "warn",
            Level::Fail => "fail",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub level: Level,
    /// One word.
    pub check: &'static str,
    pub what: String,
    /// What to do; empty if there is nothing to do.
    pub way_out: String,
}

/// All findings, in order.
#[derive(Debug, Default)]
pub(crate) struct Report(pub Vec<Finding>);

impl Report {
    pub(crate) fn ok(&mut self, check: &'static str, what: impl Into<String>) {
        self.add(Level::Ok, check, what, "");
    }

    pub(crate) fn warn(&mut self, check: &'static str, what: impl Into<String>, way_out: impl Into<String>) {
        self.add(Level::Warn, check, what, way_out);
    }

    pub(crate) fn fail(&mut self, check: &'static str, what: impl Into<String>, way_out: impl Into<String>) {
        self.add(Level::Fail, check, what, way_out);
    }

    pub(crate) fn add(&mut self, level: Level, check: &'static str, what: impl Into<String>, way_out: impl Into<String>) {
        self.0.push(Finding { level, check, what: what.into(), way_out: way_out.into() });
    }

    /// The worst level.
    pub(crate) fn worst(&self) -> Level {
        self.0.iter().map(|f| f.level).max().unwrap_or(Level::Ok)
    }

    /// One line each, what to do below it, and a last line that sums up.
    pub(crate) fn text(&self) -> String {
        let width = self.0.iter().map(|f| f.check.len()).max().unwrap_or(0);
        let mut lines = Vec::new();
        for f in &self.0 {
            lines.push(format!("{:<4}  {:<width$}  {}", f.level.word(), f.check, f.what));
            if !f.way_out.is_empty() {
                lines.push(format!("{:<4}  {:<width$}  -> {}", "", "", f.way_out));
            }
        }
        let count = |level: Level| self.0.iter().filter(|f| f.level == level).count();
        lines.push(format!("{} ok, {} to look at, {} failed", count(Level::Ok), count(Level::Warn), count(Level::Fail)));
        lines.join("\n")
    }

    /// For programs.
    pub(crate) fn json(&self) -> String {
        let finding = |f: &Finding| json!({"status": f.level.word(), "check": f.check, "found": f.what, "wayOut": f.way_out});
        let findings: Vec<Value> = self.0.iter().map(finding).collect();
        output::json(&json!({"status": self.worst().word(), "findings": findings}))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_finding_decides_and_each_tells_its_way_out() {
        let mut report = Report::default();
        report.ok("database", "answers");
        assert_eq!(report.worst(), Level::Ok);
        report.warn("clock", "9 s ahead", "Set it");
        assert_eq!(report.worst(), Level::Warn);
        report.fail("keys", "k1 is missing", "Put it back");
        assert_eq!(report.worst(), Level::Fail);
        assert_eq!(
            report.text(),
            "ok    database  answers\nwarn  clock     9 s ahead\n                -> Set it\nfail  keys      k1 is missing\n                -> Put it back\n1 ok, 1 to look at, 1 failed"
        );
        let json: Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!((json["status"].as_str(), json["findings"][2]["wayOut"].as_str()), (Some("fail"), Some("Put it back")));
    }
}
