//! The Redfish driver against BMCs of every temper.

mod common;

use common::{PASSWORD, says, target, until};
use power::{Command, Power, PowerDriver, PowerError, RedfishDriver, Target};
use schemas::v1::Protocol;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use wiremock::{
    Mock, MockServer, Request, ResponseTemplate, Times,
    matchers::{basic_auth, body_json, header, header_exists, method, path},
};

const SESSIONS: &str = "/redfish/v1/SessionService/Sessions";
const SESSION: &str = "/redfish/v1/SessionService/Sessions/7";
const SYSTEM: &str = "/redfish/v1/Systems/1";
const RESET: &str = "/redfish/v1/Systems/1/Actions/Reset";

struct Bmc {
    server: MockServer,
    target: Target,
}

impl Bmc {
    /// Answers nothing yet.
    async fn empty() -> Self {
        let server = MockServer::start().await;
        let target = target(Protocol::Redfish, server.address().port());
        Self { server, target }
    }

    /// With sessions and one System.
    async fn new(system: Value) -> Self {
        let bmc = Self::with_sessions().await;
        bmc.get("/redfish/v1/Systems", json!({"Members": [{"@odata.id": SYSTEM}]})).await;
        bmc.get(SYSTEM, system).await;
        bmc
    }

    async fn with_sessions() -> Self {
        let bmc = Self::empty().await;
        bmc.get("/redfish/v1/", json!({"Links": {"Sessions": {"@odata.id": SESSIONS}}})).await;
        let login = body_json(json!({"UserName": "admin", "Password": PASSWORD}));
        let session = ResponseTemplate::new(201).insert_header("X-Auth-Token", "secret-token").insert_header("Location", SESSION);
        Mock::given(method("POST")).and(path(SESSIONS)).and(login).respond_with(session).mount(&bmc.server).await;
        let end = Mock::given(method("DELETE")).and(path(SESSION)).and(header("x-auth-token", "secret-token"));
        end.respond_with(ResponseTemplate::new(204)).mount(&bmc.server).await;
        bmc
    }

    async fn get(&self, at: &str, body: Value) {
        Mock::given(method("GET")).and(path(at)).respond_with(ResponseTemplate::new(200).set_body_json(body)).mount(&self.server).await;
    }

    async fn post(&self, at: &str, answer: ResponseTemplate, times: impl Into<Times>) {
        Mock::given(method("POST")).and(path(at)).respond_with(answer).expect(times).mount(&self.server).await;
    }

    async fn requests(&self, verb: &str, at: &str) -> Vec<Request> {
        let all = self.server.received_requests().await.unwrap();
        all.into_iter().filter(|request| request.method.as_str() == verb && request.url.path() == at).collect()
    }

    async fn resets(&self) -> Vec<Value> {
        self.requests("POST", RESET).await.iter().map(|request| request.body_json().unwrap()).collect()
    }

    async fn read(&self) -> Result<Power, PowerError> {
        RedfishDriver::new().read(&self.target).await
    }

    async fn set(&self, command: Command) -> Result<(), PowerError> {
        RedfishDriver::new().set(&self.target, command).await
    }

    async fn assert_closed(&self, sessions: usize) {
        assert_eq!(self.requests("POST", SESSIONS).await.len(), sessions, "sessions opened");
        assert_eq!(self.requests("DELETE", SESSION).await.len(), sessions, "sessions closed");
    }
}

fn system(power: &str) -> Value {
    let reset = json!({"target": RESET, "ResetType@Redfish.AllowableValues": ["On", "ForceOff", "GracefulShutdown"]});
    json!({"@odata.id": SYSTEM, "PowerState": power, "Actions": {"#ComputerSystem.Reset": reset}})
}

#[tokio::test]
async fn each_reading_has_a_session_of_its_own_that_is_closed() {
    let bmc = Bmc::new(system("Off")).await;
    let driver = RedfishDriver::new();
    assert_eq!(driver.read(&bmc.target).await, Ok(Power::Off));
    assert_eq!(driver.read(&bmc.target).await, Ok(Power::Off));
    bmc.assert_closed(2).await;
    for request in bmc.requests("GET", SYSTEM).await {
        assert_eq!(request.headers["x-auth-token"], "secret-token");
        assert!(!request.headers.contains_key("authorization"));
    }
}

#[tokio::test]
async fn only_on_and_off_are_believed() {
    assert_eq!(Bmc::new(system("On")).await.read().await, Ok(Power::On));
    for state in ["PoweringOff", "PoweringOn", "Paused", "off", ""] {
        let bmc = Bmc::new(system(state)).await;
        let error = bmc.read().await.unwrap_err();
        assert!(matches!(error, PowerError::Unknown(_)), "{error:?}");
        says(&error, &["bmc-1", "PowerState", state]);
        bmc.assert_closed(1).await;
    }
}

#[tokio::test]
async fn nonsense_is_unknown() {
    for body in ["", "null", "[]", "{", "\"Off\"", "<html>", "{\"PowerState\":{\"PowerState\":\"Off\"}}"] {
        let bmc = Bmc::with_sessions().await;
        bmc.get("/redfish/v1/Systems", json!({"Members": [{"@odata.id": SYSTEM}]})).await;
        let answer = ResponseTemplate::new(200).set_body_string(body);
        Mock::given(method("GET")).and(path(SYSTEM)).respond_with(answer).mount(&bmc.server).await;
        assert!(matches!(bmc.read().await, Err(PowerError::Unknown(_))), "{body}");
        bmc.assert_closed(1).await;
    }
    let bmc = Bmc::with_sessions().await;
    bmc.get("/redfish/v1/Systems", json!({"Members": [{}]})).await;
    assert!(matches!(bmc.read().await, Err(PowerError::Unknown(_))));
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let bmc = Bmc::with_sessions().await;
    bmc.get("/redfish/v1/Systems", json!({"Members": [], "x": "x".repeat(2 * 1024 * 1024)})).await;
    let error = bmc.read().await.unwrap_err();
    assert!(matches!(error, PowerError::Unknown(_)), "{error:?}");
    says(&error, &["1048576 bytes"]);
}

#[tokio::test]
async fn without_a_session_service_each_request_carries_the_password() {
    for status in [404, 405, 501] {
        let bmc = Bmc::empty().await;
        bmc.post(SESSIONS, ResponseTemplate::new(status), 1).await;
        needs_basic(&bmc).await;
        assert_eq!(bmc.read().await, Ok(Power::On), "{status}");
    }
    // A service root that knows of no sessions is not asked for one.
    let bmc = Bmc::empty().await;
    bmc.get("/redfish/v1/", json!({"Systems": {"@odata.id": "/redfish/v1/Systems"}})).await;
    needs_basic(&bmc).await;
    assert_eq!(bmc.read().await, Ok(Power::On));
    assert!(bmc.requests("POST", SESSIONS).await.is_empty());
}

async fn needs_basic(bmc: &Bmc) {
    for (at, body) in [("/redfish/v1/Systems", json!({"Members": [{"@odata.id": SYSTEM}]})), (SYSTEM, system("On"))] {
        let answer = ResponseTemplate::new(200).set_body_json(body);
        Mock::given(method("GET")).and(path(at)).and(basic_auth("admin", PASSWORD)).respond_with(answer).mount(&bmc.server).await;
    }
}

#[tokio::test]
async fn without_a_credential_none_is_sent() {
    let bmc = Bmc::new(system("On")).await;
    let anonymous = Target { username: String::new(), password: "".into(), ..bmc.target.clone() };
    Mock::given(header_exists("authorization")).respond_with(ResponseTemplate::new(500)).with_priority(1).expect(0).mount(&bmc.server).await;
    assert_eq!(RedfishDriver::new().read(&anonymous).await, Ok(Power::On));
    bmc.assert_closed(0).await;
}

#[tokio::test]
async fn a_wrong_password_is_tried_once() {
    for status in [401, 403] {
        let bmc = Bmc::empty().await;
        bmc.get("/redfish/v1/", json!({"SessionService": {}})).await;
        let body = json!({"error": {"@Message.ExtendedInfo": [{"Message": format!("no {PASSWORD} here")}]}});
        bmc.post(SESSIONS, ResponseTemplate::new(status).set_body_json(body), 1).await;
        let error = bmc.set(Command::ForceOff).await.unwrap_err();
        assert!(matches!(error, PowerError::BadCredentials(_)), "{error:?}");
        says(&error, &["bmc-1", "admin", "no *** here", "correct the Credential"]);
    }
}

#[tokio::test]
async fn the_system_is_named_or_the_only_one() {
    let bmc = Bmc::with_sessions().await;
    let first = json!({"Members": [{"@odata.id": "/redfish/v1/Systems/A"}], "Members@odata.nextLink": "/redfish/v1/Systems/more"});
    bmc.get("/redfish/v1/Systems", first).await;
    bmc.get("/redfish/v1/Systems/more", json!({"Members": [{"@odata.id": "/redfish/v1/Systems/B"}]})).await;
    bmc.get("/redfish/v1/Systems/A", system("On")).await;
    bmc.get("/redfish/v1/Systems/B", system("Off")).await;
    let read = async |system: Option<&str>| {
        let mut target = bmc.target.clone();
        target.spec.endpoint.system = system.map(str::to_owned);
        RedfishDriver::new().read(&target).await
    };
    assert_eq!(read(Some("A")).await, Ok(Power::On));
    assert_eq!(read(Some("/redfish/v1/Systems/B")).await, Ok(Power::Off));
    for wrong in [None, Some("b"), Some("C")] {
        let error = read(wrong).await.unwrap_err();
        assert!(matches!(error, PowerError::NotSent(_)), "{error:?}");
        says(&error, &["A, B", "spec.endpoint.system"]);
    }
}

#[tokio::test]
async fn a_command_goes_to_the_target_of_the_action_as_the_type_it_means() {
    let bmc = Bmc::new(system("On")).await;
    bmc.post(RESET, ResponseTemplate::new(202), 3).await;
    for command in [Command::On, Command::ForceOff, Command::SoftOff] {
        bmc.set(command).await.unwrap();
    }
    let kinds = ["On", "ForceOff", "GracefulShutdown"].map(|kind| json!({ "ResetType": kind }));
    assert_eq!(bmc.resets().await, kinds);
    bmc.assert_closed(3).await;
}

#[tokio::test]
async fn a_link_to_another_machine_is_followed_on_the_bmc() {
    let elsewhere = MockServer::start().await;
    let mut system = system("On");
    system["Actions"]["#ComputerSystem.Reset"]["target"] = json!(format!("{}{RESET}", elsewhere.uri()));
    let bmc = Bmc::new(system).await;
    bmc.post(RESET, ResponseTemplate::new(204), 1).await;
    bmc.set(Command::ForceOff).await.unwrap();
    assert!(elsewhere.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = MockServer::start().await;
    let bmc = Bmc::new(system("On")).await;
    bmc.post(RESET, ResponseTemplate::new(307).insert_header("Location", format!("{}{RESET}", elsewhere.uri())), 1).await;
    let error = bmc.set(Command::ForceOff).await.unwrap_err();
    assert!(matches!(error, PowerError::Refused(_)), "{error:?}");
    assert!(elsewhere.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_type_that_is_not_allowed_is_not_sent() {
    let mut system = system("On");
    system["Actions"]["#ComputerSystem.Reset"]["ResetType@Redfish.AllowableValues"] = json!(["On", "PushPowerButton"]);
    let bmc = Bmc::new(system).await;
    let error = bmc.set(Command::ForceOff).await.unwrap_err();
    assert!(matches!(error, PowerError::Refused(_)), "{error:?}");
    says(&error, &["ForceOff", "On, PushPowerButton"]);
    assert!(bmc.resets().await.is_empty());
    bmc.assert_closed(1).await;
}

#[tokio::test]
async fn allowed_types_are_looked_up_in_the_action_info_and_tried_when_nobody_says() {
    let mut system = system("On");
    system["Actions"]["#ComputerSystem.Reset"] = json!({"target": RESET, "@Redfish.ActionInfo": "/redfish/v1/Systems/1/ResetActionInfo"});
    let bmc = Bmc::new(system).await;
    bmc.post(RESET, ResponseTemplate::new(204), 1).await;
    // Not there (404): tried.
    bmc.set(Command::ForceOff).await.unwrap();
    bmc.get("/redfish/v1/Systems/1/ResetActionInfo", json!({"Parameters": [{"Name": "ResetType", "AllowableValues": ["On"]}]})).await;
    let error = bmc.set(Command::ForceOff).await.unwrap_err();
    assert!(matches!(error, PowerError::Refused(_)), "{error:?}");
    assert_eq!(bmc.resets().await.len(), 1);
}

#[tokio::test]
async fn a_refusal_because_it_is_so_already_is_success() {
    for status in [400, 409] {
        let bmc = Bmc::new(system("Off")).await;
        let body = json!({"error": {"message": "The state is already so."}});
        bmc.post(RESET, ResponseTemplate::new(status).set_body_json(body), 2).await;
        assert_eq!(bmc.set(Command::ForceOff).await, Ok(()));
        let error = bmc.set(Command::On).await.unwrap_err();
        assert!(matches!(error, PowerError::Refused(_)), "{error:?}");
        says(&error, &["The state is already so."]);
        bmc.assert_closed(2).await;
    }
    // A state in between is not the wanted one.
    let bmc = Bmc::new(system("PoweringOff")).await;
    bmc.post(RESET, ResponseTemplate::new(409), 1).await;
    assert!(matches!(bmc.set(Command::ForceOff).await, Err(PowerError::Refused(_))));
}

#[tokio::test]
async fn a_reset_that_fails_with_5xx_may_have_happened_and_a_failure_before_it_may_not() {
    let bmc = Bmc::new(system("On")).await;
    bmc.post(RESET, ResponseTemplate::new(503), 1).await;
    let error = bmc.set(Command::ForceOff).await.unwrap_err();
    assert!(error.may_have_acted(), "{error:?}");
    bmc.assert_closed(1).await;

    let bmc = Bmc::with_sessions().await;
    Mock::given(method("GET")).and(path("/redfish/v1/Systems")).respond_with(ResponseTemplate::new(500)).mount(&bmc.server).await;
    assert!(matches!(bmc.read().await, Err(PowerError::Unknown(_))));
    assert!(matches!(bmc.set(Command::ForceOff).await, Err(PowerError::NotSent(_))));
    bmc.assert_closed(2).await;
}

#[tokio::test]
async fn a_user_who_may_not_reset_is_bad_credentials() {
    let bmc = Bmc::new(system("On")).await;
    bmc.post(RESET, ResponseTemplate::new(403), 1).await;
    let error = bmc.set(Command::ForceOff).await.unwrap_err();
    assert!(matches!(error, PowerError::BadCredentials(_)), "{error:?}");
    bmc.assert_closed(1).await;
}

#[tokio::test]
async fn what_is_no_longer_allowed_is_not_sent() {
    let bmc = Bmc::new(system("On")).await;
    let error = RedfishDriver::new().set_if(&bmc.target, Command::ForceOff, &|| false).await.unwrap_err();
    assert!(matches!(error, PowerError::NotSent(_)), "{error:?}");
    assert!(bmc.resets().await.is_empty());
    bmc.assert_closed(1).await;
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_no_session_behind() {
    let bmc = Bmc::with_sessions().await;
    let slow = ResponseTemplate::new(200).set_delay(Duration::from_secs(60));
    Mock::given(method("GET")).and(path("/redfish/v1/Systems")).respond_with(slow).mount(&bmc.server).await;
    let target = bmc.target.clone();
    let reading = tokio::spawn(async move { RedfishDriver::new().read(&target).await });
    let asked = async || (!bmc.requests("GET", "/redfish/v1/Systems").await.is_empty()).then_some(());
    until("the request", Duration::from_secs(10), asked).await;
    reading.abort();
    until("the end of the session", Duration::from_secs(10), async || (!bmc.requests("DELETE", SESSION).await.is_empty()).then_some(())).await;
}

#[tokio::test]
async fn a_caller_that_goes_away_while_logging_in_leaves_no_session_behind() {
    let bmc = Bmc::with_sessions().await;
    let session = ResponseTemplate::new(201).insert_header("X-Auth-Token", "secret-token").insert_header("Location", SESSION);
    let slow = Mock::given(method("POST")).and(path(SESSIONS)).respond_with(session.set_delay(Duration::from_millis(300)));
    slow.with_priority(1).mount(&bmc.server).await;
    let target = bmc.target.clone();
    let reading = tokio::spawn(async move { RedfishDriver::new().read(&target).await });
    until("the login", Duration::from_secs(10), async || (!bmc.requests("POST", SESSIONS).await.is_empty()).then_some(())).await;
    reading.abort();
    until("the end of the session", Duration::from_secs(10), async || (!bmc.requests("DELETE", SESSION).await.is_empty()).then_some(())).await;
}

#[tokio::test]
async fn one_bmc_gets_one_command_at_a_time() {
    let bmc = Bmc::with_sessions().await;
    let slow = ResponseTemplate::new(200).set_body_json(json!({"Members": [{"@odata.id": SYSTEM}]})).set_delay(Duration::from_secs(3));
    Mock::given(method("GET")).and(path("/redfish/v1/Systems")).respond_with(slow).mount(&bmc.server).await;
    bmc.get(SYSTEM, system("On")).await;
    let driver = Arc::new(RedfishDriver::new());
    let (reader, target) = (driver.clone(), bmc.target.clone());
    let reading = tokio::spawn(async move { reader.read(&target).await });
    let asked = async || (!bmc.requests("GET", "/redfish/v1/Systems").await.is_empty()).then_some(());
    until("the request", Duration::from_secs(10), asked).await;
    let error = driver.set(&bmc.target, Command::ForceOff).await.unwrap_err();
    assert!(matches!(error, PowerError::NotSent(_)), "{error:?}");
    says(&error, &["busy"]);
    assert_eq!(reading.await.unwrap(), Ok(Power::On));
    assert!(bmc.resets().await.is_empty());
}

#[tokio::test]
async fn the_machine_says_who_it_is() {
    let bmc = Bmc::new(json!({"UUID": "4C4C4544-0042-3510-8052-B4C04F4D5A32", "SerialNumber": " 5GB5RM2 "})).await;
    let identity = RedfishDriver::new().identify(&bmc.target).await.unwrap();
    assert_eq!(identity.system_uuid.as_deref(), Some("4c4c4544-0042-3510-8052-b4c04f4d5a32"));
    assert_eq!(identity.serial_number.as_deref(), Some("5GB5RM2"));
    let bmc = Bmc::new(json!({"UUID": null, "SerialNumber": ""})).await;
    assert_eq!(RedfishDriver::new().identify(&bmc.target).await, Ok(Default::default()));
}
