//! The table of errors: what no other test of the API causes, and that none is left out.

use crate::fixture::api;
use ::store::StoreError;
use api_server::errors::Code;
use serde_json::json;

#[tokio::test]
async fn what_stands_against_a_request_is_said_by_its_own_code() {
    let api = api().await;
    api.post("/v1/hosts", json!({"metadata": {"name": "kept", "protection": "PreventDelete"}})).await.gives(201);
    api.delete("/v1/hosts/kept").await.fails(409, "protected");
    api.post("/v1/credentials", json!({"metadata": {"name": "cred"}, "spec": {"data": {"username": "u", "password": "p"}}})).await.gives(201);
    let device = json!({"metadata": {"name": "bmc1"}, "spec": {"type": "BMC", "protocol": "IPMI", "endpoint": {"host": "10.0.0.1"}, "credentialRef": {"name": "cred"}}});
    api.post("/v1/powerdevices", device).await.gives(201);
    let link = |name: &str, host: &str| json!({"metadata": {"name": name}, "spec": {"hostRef": {"name": host}, "deviceRef": {"name": "bmc1"}}});
    api.post("/v1/powerlinks", link("l1", "c1")).await.gives(201);
    api.post("/v1/powerlinks", link("l2", "c2")).await.fails(409, "port-taken");
    let set = json!({"apiVersion": "cloud-manager/v1", "kind": "Host", "metadata": {"name": "c1"}});
    api.post("/v1/apply?fieldManager=a&applySet=one", set.clone()).await.gives(200);
    let other = api.post("/v1/apply?fieldManager=a&applySet=two", set).await;
    assert!(other.text.contains("cloud-manager.applyset-conflict"), "{}", other.text);
}

#[tokio::test]
async fn what_the_database_refuses_is_told_as_what_it_is() {
    let api = api().await;
    for (status, code, error) in [
        (409, "host-claimed", StoreError::Claimed { host: "c1".into(), owner: "Evacuation/e1".into() }),
        (409, "limit-reached", StoreError::LimitReached { what: "hosts draining".into(), max: 1 }),
        (409, "frozen", StoreError::Frozen),
        (500, "internal", StoreError::Corrupt("Host/c1".into())),
    ] {
        let mut error = Some(error);
        api.faults.fail(move |call, _| if call == "commit" { error.take() } else { None });
        api.post("/v1/hosts", json!({"metadata": {"name": "c1"}})).await.fails(status, code);
    }
    api.host("c1").await;
}

/// Every row. The match makes a new one fail to compile until it is here.
fn rows() -> Vec<Code> {
    use Code::*;
    let all = [
        Invalid,
        UnknownField,
        UnknownParameter,
        Malformed,
        ImmutableField,
        ResourceVersionRequired,
        ResourceVersionUnknown,
        MicroversionMalformed,
        Unauthorized,
        Forbidden,
        ScopeRequired,
        NotFound,
        KindNotFound,
        MethodNotAllowed,
        MicroversionUnsupported,
        NotAcceptable,
        AlreadyExists,
        Conflict,
        FieldConflict,
        HostClaimed,
        LimitReached,
        Frozen,
        Refused("port-taken"),
        Expired,
        ContinueExpired,
        PreconditionFailed,
        TooLarge,
        UnsupportedMediaType,
        RateLimited,
        HeadersTooLarge,
        Internal,
        Unavailable,
        Timeout,
        OutcomeUnknown,
    ];
    for code in all {
        match code {
            Invalid
            | UnknownField
            | UnknownParameter
            | Malformed
            | ImmutableField
            | ResourceVersionRequired
            | ResourceVersionUnknown
            | MicroversionMalformed
            | Unauthorized
            | Forbidden
            | ScopeRequired
            | NotFound
            | KindNotFound
            | MethodNotAllowed
            | MicroversionUnsupported
            | NotAcceptable
            | AlreadyExists
            | Conflict
            | FieldConflict
            | HostClaimed
            | LimitReached
            | Frozen
            | Refused(_)
            | Expired
            | ContinueExpired
            | PreconditionFailed
            | TooLarge
            | UnsupportedMediaType
            | RateLimited
            | HeadersTooLarge
            | Internal
            | Unavailable
            | Timeout
            | OutcomeUnknown => {}
        }
    }
    all.to_vec()
}

#[test]
fn every_row_of_the_table_is_caused_by_a_test_of_the_api() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/api");
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "rs"));
    let tests: String = files.map(|path| std::fs::read_to_string(path).unwrap()).collect();
    // Asked for with its status, in one of the two ways tests ask; a 401 has the shape that Keystone's clients expect.
    let is_caused = |code: Code| {
        let (status, word) = (code.status().as_u16(), code.word());
        status == 401 && tests.contains(".gives(401)")
            || [format!("fails({status}, \"{word}\")"), format!("({status}, \"{word}\",")].iter().any(|asked| tests.contains(asked))
    };
    let missing: Vec<&str> = rows().into_iter().filter(|code| !is_caused(*code)).map(Code::word).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
