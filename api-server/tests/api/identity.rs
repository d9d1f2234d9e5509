use crate::fixture::api;
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn without_a_token_or_with_a_bad_one_the_answer_is_keystones_401() {
    let api = api().await;
    for request in [
        api.anonymous(Method::GET, "/v1/hosts"),
        api.anonymous(Method::GET, "/v1/hosts").header("x-auth-token", "nonsense"),
        api.anonymous(Method::GET, "/v1/hosts").header("x-auth-token", "expired"),
        api.anonymous(Method::GET, "/v1/hosts").header("x-auth-token", "x".repeat(20_000)),
        api.anonymous(Method::POST, "/v1/hosts/c1/actions/evacuate"),
        api.anonymous(Method::GET, "/v1/no-such-kind"),
    ] {
        let answer = api.send(request).await.gives(401);
        assert_eq!(answer.header("www-authenticate"), "Keystone uri=\"http://keystone.example:5000/v3\"");
        assert_eq!(
            answer.body,
            json!({"error": {"code": 401, "title": "Unauthorized", "message": "The request you have made requires authentication."}})
        );
        assert!(answer.header("x-openstack-request-id").starts_with("req-"));
    }
}

#[tokio::test]
async fn a_keystone_that_is_down_is_503_with_retry_after_and_never_401() {
    let api = api().await;
    let answer = api.get_as("down", "/v1/hosts").await.fails(503, "unavailable");
    assert!(answer.header("retry-after").parse::<u32>().unwrap() >= 1);
    assert_eq!(answer.header("www-authenticate"), "");
}

#[tokio::test]
async fn readers_and_members_of_projects_read_and_write_nothing() {
    let api = api().await;
    api.host("c1").await;
    for token in ["reader", "member"] {
        for path in [
            "/v1/hosts",
            "/v1/hosts/c1",
            "/v1/hosts/c1/guests",
            "/v1/hosts/c1/evacuation-plan",
            "/v1/tasks",
            "/v1/leases",
            "/v1/hosts?watch=1",
            "/v1/credentials",
        ] {
            api.get_as(token, path).await.fails(403, "forbidden");
        }
    }
    for token in ["reader", "member", "system-reader"] {
        for (method, path) in [(Method::POST, "/v1/hosts"), (Method::DELETE, "/v1/hosts/c1"), (Method::POST, "/v1/hosts/c1/actions/evacuate")] {
            api.send(api.anonymous(method, path).header("x-auth-token", token)).await.fails(403, "forbidden");
        }
    }
    api.get("/v1/hosts/c1").await.gives(200);
}

#[tokio::test]
async fn a_reader_of_the_system_reads() {
    let api = api().await;
    api.host("c1").await;
    api.get_as("system-reader", "/v1/hosts").await.gives(200);
    api.get_as("system-reader", "/v1/hosts/c1").await.gives(200);
}

#[tokio::test]
async fn a_token_without_scope_is_403_because_a_new_login_would_not_help() {
    let api = api().await;
    api.get_as("unscoped", "/v1/hosts").await.fails(403, "scope-required");
}

#[tokio::test]
async fn identity_headers_from_outside_count_for_nothing() {
    let api = api().await;
    let forged = |r: reqwest::RequestBuilder| r.header("x-roles", "admin").header("x-user-id", "root").header("x-identity-status", "Confirmed");
    api.send(forged(api.anonymous(Method::GET, "/v1/hosts"))).await.gives(401);
    api.send(forged(api.anonymous(Method::GET, "/v1/hosts").header("x-auth-token", "reader"))).await.gives(403);
}
