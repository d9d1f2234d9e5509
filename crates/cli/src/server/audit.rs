//! `audit verify`: a look at the whole chain of the audit, in the database itself.

use super::database;
use crate::{args::ServerArgs, config, output};
use ::client::Exit;
use store::{AuditLog, AuditReport, KeyRing, SqlStore};

/// `cloud-manager audit verify`.
pub(super) async fn verify(args: &ServerArgs) -> anyhow::Result<Exit> {
    let config = config::load(args)?.config;
    let keys = KeyRing::load(&database::key_file(&config)?)?;
    let store = SqlStore::open(&database::store_config(&config)?, keys).await?;
    let report = store.audit_verify().await?;
    output::data(&told(&report));
    if report.findings.is_empty() {
        return Ok(Exit::Ok);
    }
    output::note("The audit is not as it was written. Keep the database as it is, and compare it with a backup or with api.audit_file.");
    Ok(Exit::False)
}

fn told(report: &AuditReport) -> String {
    let mut out = String::new();
    for finding in &report.findings {
        out.push_str(&format!("record {}: {}\n", finding.seq, finding.what));
    }
    let range = match (report.chain.anchor_seq, report.chain.last_seq) {
        (_, 0) => "there are no records yet".into(),
        (0, last) => format!("{} records, 1 to {last}", report.records),
        (anchor, last) => format!("{} records, {} to {last}; those before were removed for their age", report.records, anchor + 1),
    };
    let verdict = match report.findings.len() {
        0 => "none was changed, removed or moved".to_string(),
        n => format!("{n} findings"),
    };
    out + &format!("{range}: {verdict}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::{AuditChain, AuditFinding};

    #[test]
    fn a_report_says_what_was_looked_at_and_each_finding() {
        assert_eq!(told(&AuditReport::default()), "there are no records yet: none was changed, removed or moved");
        let chain = AuditChain { last_seq: 9, anchor_seq: 4, ..AuditChain::default() };
        let findings = vec![AuditFinding { seq: 6, what: "it was changed after it was written".into() }];
        let text = told(&AuditReport { records: 5, chain, findings });
        assert!(
            text.starts_with("record 6: it was changed") && text.ends_with("5 records, 5 to 9; those before were removed for their age: 1 findings"),
            "{text}"
        );
    }
}
