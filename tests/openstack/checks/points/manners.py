"""Points about HTTP itself: discovery, request ids, versions, refusals, bodies of errors."""
import socket
import sqlite3
import uuid

from ..wait import check
from ..wire import REQUEST_ID

BIG = 3 * 1024 * 1024 + 1
RACK = {"metadata": {"name": "rack-1"}, "spec": {"type": "Rack"}}


def the_root_lists_versions_without_a_token(c):
    from keystoneauth1 import discover, session

    for path in ("/", ""):
        said = c.anyone.get(path).gives(300, 200)
        check(said.headers["Content-Type"].startswith("application/json"), f"GET / is {said.headers['Content-Type']}")
        check([v["id"] for v in said.json()["versions"]] == ["v1.0"], f"GET / says {said.json()}")
    for url in (c.url, f"{c.url}/", f"{c.url}/v1", f"{c.url}/v1/"):
        found = discover.Discover(session.Session(), url, authenticated=False).version_data()
        check([v["version"] for v in found] == [(1, 0)], f"keystoneauth found {found} at {url}")
        check(found[0]["url"].rstrip("/") == f"{c.url}/v1", f"keystoneauth takes {found[0]['url']} for the API")
        check(found[0]["min_microversion"] == (1, 0) and found[0]["max_microversion"] >= (1, 0), f"microversions: {found[0]}")


def the_version_is_told_with_and_without_a_slash(c):
    bodies = [c.anyone.get(path).gives(200).json() for path in ("/v1", "/v1/")]
    check(bodies[0] == bodies[1] and bodies[0]["version"]["id"] == "v1.0", f"/v1 and /v1/ say {bodies}")
    check(set(bodies[0]["version"]) == {"id", "status", "min_version", "max_version", "links"}, f"members: {bodies[0]['version']}")


def every_answer_has_a_request_id_and_a_callers_own_is_only_logged(c):
    theirs = f"req-{uuid.uuid4()}"
    said = c.admin.post("/v1/failuredomains", {**RACK, "metadata": {"name": "with-an-id"}}, headers={"X-Openstack-Request-Id": theirs}).gives(201)
    check(said.request_id != theirs, "the caller's request id came back as ours")
    check(theirs not in str(said.headers) and theirs not in said.body.decode(), "the caller's request id is in the answer")
    check(any(theirs in line and said.request_id in line for line in c.log()), "no line of the log has both ids")
    forged = "req-1\r\nforged"
    c.admin.get("/v1/failuredomains", headers={"X-Openstack-Request-Id": forged.replace("\r\n", " ")}).gives(200)
    check(not any("forged" in line for line in c.log()), "an id that is none was logged")
    # `Wire` looks at each answer of all the points.
    check(len(c.admin.ids) + len(c.anyone.ids) > 10, "nothing was looked at")


def a_version_is_absent_exact_latest_malformed_too_high_or_for_another_service(c):
    asks = lambda value: c.admin.get("/v1/failuredomains", headers={"OpenStack-API-Version": value} if value else {})
    for good in (None, "cloud-manager 1.0", "cloud-manager latest", "compute 2.93", "compute 2.93, cloud-manager 1.0"):
        said = asks(good).gives(200)
        check(said.headers["OpenStack-API-Version"].startswith("cloud-manager 1."), f"{good}: spoken is {said.headers['OpenStack-API-Version']}")
        check("OpenStack-API-Version" in ",".join(said.headers.get_all("Vary")), f"{good}: Vary is {said.headers.get_all('Vary')}")
    check(asks(None).headers["OpenStack-API-Version"] == "cloud-manager 1.0", "without the header it is not the oldest")
    for bad in ("cloud-manager", "cloud-manager 1", "cloud-manager one", "cloud-manager 1.0 x"):
        asks(bad).fails(400, "microversion-malformed")
    for unknown in ("cloud-manager 1.999", "cloud-manager 2.0", "cloud-manager 0.9"):
        error = asks(unknown).fails(406, "microversion-unsupported").json()["errors"][0]
        check(error["min_version"] == "1.0" and error["max_version"] >= "1.0", f"{unknown}: {error}")


def what_is_not_known_is_refused_and_methods_are_told(c):
    c.admin.get("/v1/failuredomains?limits=1").fails(400, "unknown-parameter")
    c.admin.post("/v1/failuredomains?pretty=1", RACK).fails(400, "unknown-parameter")
    for odd in ({**RACK, "spec": {"type": "Rack", "colour": "red"}}, {**RACK, "colour": "red"}, {**RACK, "metadata": {"name": "rack-1", "colour": "red"}}):
        error = c.admin.post("/v1/failuredomains", odd).fails(400, "unknown-field").json()["errors"][0]
        check("colour" in error["causes"][0]["field"], f"the cause names {error['causes']}")
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/json-patch+json"):
        c.admin.post("/v1/failuredomains", "{}", headers={"Content-Type": kind}).fails(415, "unsupported-media-type")
    c.admin.get("/v1/failuredomains/rack-1").fails(404, "not-found")
    for path, status in (("/v1/hosts", 200), ("/v1", 200), ("/v1/hosts/none", 404)):
        whole, head = c.admin.get(path).gives(status), c.admin.send("HEAD", path).gives(status)
        check(head.body == b"", f"HEAD {path} has a body: {head.body[:100]}")
        for name in ("Content-Type", "ETag"):
            check(head.headers.get(name) == whole.headers.get(name), f"{name} of HEAD {path} is {head.headers.get(name)}, of GET {whole.headers.get(name)}")
    for method, path, among in (("OPTIONS", "/v1/hosts", "POST"), ("OPTIONS", "/v1/hosts/c1", "PATCH"), ("DELETE", "/v1/hosts", "POST"),
                                ("PUT", "/v1/info", "GET"), ("POST", "/v1/operations", "GET")):
        said = c.admin.send(method, path)
        said.gives(200, 204, 405) if method == "OPTIONS" else said.fails(405, "method-not-allowed")
        check(among in (said.headers.get("Allow") or ""), f"{method} {path}: Allow is {said.headers.get('Allow')}")


def _raw(c, text):
    """What is answered to these bytes."""
    with socket.create_connection((c.wire_host, c.wire_port), timeout=30) as connection:
        connection.sendall(text)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def _too_large(c):
    """A server may answer before it has read all of a body, and close."""
    connection = c.admin.connect()
    connection.putrequest("POST", "/v1/failuredomains")
    for name, value in (("X-Auth-Token", c.admin.token), ("Content-Type", "application/json"), ("Content-Length", str(BIG))):
        connection.putheader(name, value)
    connection.endheaders()
    try:
        connection.send(b" " * BIG)
    except (BrokenPipeError, ConnectionResetError):
        pass
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body


def errors_are_json_wherever_they_come_from(c):
    for path in ("/nowhere", "/v2/hosts", "/v1/hosts/c1/nope", "/v1/hosts/", "/v1/hosts/%ff", "/v1/flavors", "//v1/hosts", "/v1/../etc/passwd"):
        said = c.admin.get(path)
        check(said.status in (400, 404), f"GET {path} gave {said.status}")
        said.fails(said.status)
    c.anyone.get("/nowhere").fails(404, "not-found")
    c.admin.send("TRACE", "/v1/hosts").fails(405, "method-not-allowed")
    c.admin.send("BREW", "/v1/hosts").fails(405, "method-not-allowed")
    for broken in ("", "{", "[]", '"x"', '{"spec": {"type": "Rack", "type": "Rack"}}', "[" * 100_000):
        said = c.admin.post("/v1/failuredomains", broken, headers={"Content-Type": "application/json"})
        said.fails(400)
    answer, body = _too_large(c)
    check(answer.status == 413 and answer.headers["Content-Type"].startswith("application/json"), f"a body of {BIG} bytes gave {answer.status}")
    check(b'"message"' in body and REQUEST_ID.fullmatch(answer.headers["X-Openstack-Request-Id"]), f"413 says {body[:200]}")
    c.admin.get("/v1/hosts", headers={"X-Long": "x" * 40_000}).fails(431, "headers-too-large")
    said = _raw(c, b"GET /v1/hosts HTTP/1.0\r\n\r\n")
    check(b" 401 " in said.split(b"\r\n")[0] and b'"message"' in said, f"HTTP/1.0 without a Host gave {said[:300]}")


def a_fault_inside_is_json_and_tells_nothing_of_itself(c):
    """A damaged record in the database makes a real 500. The last point of all: nobody relies on this database any longer."""
    c.admin.post("/v1/failuredomains", {**RACK, "metadata": {"name": "damaged"}}).gives(201)
    with sqlite3.connect(c.database) as database:
        changed = database.execute("UPDATE resources SET spec = 'secret words' WHERE kind = 'FailureDomain' AND name = 'damaged'").rowcount
    check(changed == 1, "the record to be damaged is not there")
    said = c.admin.get("/v1/failuredomains/damaged").fails(500, "internal")
    check("secret" not in said.body.decode() and "expected" not in said.message, f"the 500 tells {said.body}")
    told = [line for line in c.log() if said.request_id in line and ("ERROR" in line or "WARN" in line)]
    check(told, "no line of the log tells what was wrong under the request's id")
    c.admin.get("/v1/failuredomains/with-an-id").gives(200)
