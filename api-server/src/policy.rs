//! Who may what (S15), in one function. No role passes the safety rules behind it.

use crate::errors::{ApiError, ApiResult, Code};
use cloud::TokenInfo;

/// What a route asks of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing, not even a token.
    Open,
    /// To look.
    Read,
    /// To change.
    Write,
    /// To state that a host is dead: FenceAttestations.
    Attest,
    /// To send what a channel saw of hosts.
    Observe,
}

impl Access {
    /// What a request asks for: some kinds have a rule of their own.
    pub fn named(self, path: &str) -> Access {
        let attests = path.split('/').nth(2) == Some("fenceattestations");
        if self == Access::Write && attests { Access::Attest } else { self }
    }
}

/// S15: writes need role `admin`; reads need `admin`, or `reader` with system scope; all else is 403.
/// A plain `reader` reads nothing: every tenant has that role, and hosts are not tenants' business.
pub fn decide(access: Access, who: &TokenInfo) -> ApiResult<()> {
    let has = |role: &str| who.roles.iter().any(|r| r == role);
    match access {
        Access::Open => return Ok(()),
        // A valid token: 401 would only make the client log in again.
        _ if who.project_id.is_none() && !who.system_scope => {
            return Err(ApiError::new(Code::ScopeRequired, "The token is bound to no project and not to the system; ask Keystone for one that is."));
        }
        Access::Write | Access::Attest | Access::Observe if has("admin") => return Ok(()),
        Access::Read if has("admin") || (has("reader") && who.system_scope) => return Ok(()),
        Access::Read | Access::Write | Access::Attest | Access::Observe => {}
    }
    let needed = match access {
        Access::Write => "changing anything needs the role admin",
        Access::Attest => "stating that a host is dead needs the role admin",
        Access::Observe => "sending evidence needs the role admin",
        _ => "reading needs the role admin, or reader with system scope all",
    };
    Err(ApiError::new(Code::Forbidden, format!("The token does not allow this: {needed}.")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::Time;

    fn who(roles: &[&str], project: bool, system: bool) -> TokenInfo {
        TokenInfo {
            user_id: "u".into(),
            user_name: "u".into(),
            project_id: project.then(|| "p".into()),
            system_scope: system,
            roles: roles.iter().map(ToString::to_string).collect(),
            expires_at: Time(0),
        }
    }

    #[test]
    fn attestations_have_a_rule_of_their_own() {
        assert_eq!(Access::Write.named("/v1/fenceattestations"), Access::Attest);
        assert_eq!(Access::Write.named("/v1/fenceattestations/x"), Access::Attest);
        assert_eq!(Access::Read.named("/v1/fenceattestations"), Access::Read);
        assert_eq!(Access::Write.named("/v1/hosts/fenceattestations"), Access::Write);
    }

    #[test]
    fn who_may_what_is_rule_s15_and_nothing_else() {
        let code = |access, who: &TokenInfo| decide(access, who).err().map(|e| e.code());
        for (roles, project, system, read, write) in [
            (&["admin"][..], true, false, None, None),
            (&["admin"], false, true, None, None),
            (&["reader"], false, true, None, Some(Code::Forbidden)),
            (&["reader"], true, false, Some(Code::Forbidden), Some(Code::Forbidden)),
            (&["reader", "member"], true, false, Some(Code::Forbidden), Some(Code::Forbidden)),
            (&["manager"], false, true, Some(Code::Forbidden), Some(Code::Forbidden)),
            (&["Admin"], true, false, Some(Code::Forbidden), Some(Code::Forbidden)),
            (&[], false, false, Some(Code::ScopeRequired), Some(Code::ScopeRequired)),
            (&["admin"], false, false, Some(Code::ScopeRequired), Some(Code::ScopeRequired)),
        ] {
            let who = who(roles, project, system);
            assert_eq!((code(Access::Read, &who), code(Access::Write, &who)), (read, write), "{who:?}");
            assert_eq!((code(Access::Attest, &who), code(Access::Observe, &who)), (write, write), "{who:?}");
            assert_eq!(code(Access::Open, &who), None);
        }
    }
}
