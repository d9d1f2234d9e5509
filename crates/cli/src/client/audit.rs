//! `audit list`.

use super::{find_kind, get, own_kind};
use crate::{args::AuditListArgs, output::Failure};
use ::client::{Client, Exit, List, Query};

pub async fn list(client: &Client, args: &AuditListArgs) -> Result<Exit, Failure> {
    let kind = own_kind("AuditRecord")?;
    let mut query = Query::all().page(args.limit, args.before.as_deref());
    let target = args.target.as_deref().map(target).transpose()?;
    for (field, wanted) in
        [("spec.target", &target), ("spec.initiator", &args.initiator), ("spec.action", &args.action), ("spec.outcome", &args.outcome)]
    {
        if let Some(wanted) = wanted {
            if wanted.contains([',', '=']) {
                return Err(Failure::usage(format!("'{wanted}': a value to look for has no comma and no equals sign")));
            }
            query = query.field(field, wanted);
        }
    }
    let list: List = client.list_page(kind.plural, &query).await?;
    get::print_list(kind, &list, args.output);
    Ok(Exit::Ok)
}

/// The kind as it is written in records, whatever name it was given by.
fn target(text: &str) -> Result<String, Failure> {
    match text.split_once('/') {
        Some(("Server" | "Path" | "Observation", _)) => Ok(text.into()),
        Some((kind, name)) if !name.is_empty() => Ok(format!("{}/{name}", find_kind(kind)?.kind)),
        _ => Err(Failure::usage(format!("'{text}' is no KIND/NAME; write host/c1 or powerdevice/bmc-c1"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_may_be_named_by_any_name_of_its_kind() {
        assert_eq!(target("ho/c1").unwrap(), "Host/c1");
        assert_eq!(target("powerdevices/p").unwrap(), "PowerDevice/p");
        assert_eq!(target("Server/x").unwrap(), "Server/x");
        assert!(target("c1").unwrap_err().message.contains("KIND/NAME"));
        assert!(target("nothing/x").unwrap_err().message.contains("no kind"));
    }
}
