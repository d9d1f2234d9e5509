"""Points about who asks: no token, an expired one, no Keystone, the wrong role, service tokens, application credentials."""
import json
import time

from .. import keystone, lab
from ..common import HOST
from ..wait import check, until
from ..wire import Wire

READ_HOSTS = [{"service": keystone.SERVICE, "method": "GET", "path": "/v1/hosts"}]
# The patterns of Keystone: a part, a part by name, the rest; and a rule for another service.
PATTERNS = [{"service": keystone.SERVICE, "method": "GET", "path": "/v1/hosts/*"},
            {"service": keystone.SERVICE, "method": "GET", "path": "/v1/schemas/{kind}"},
            {"service": keystone.SERVICE, "method": "GET", "path": "/v1/failuredomains/**"},
            {"service": "compute", "method": "GET", "path": "/v1/credentials"}]
# What the token of a role in a scope gives for a read and for a write.
WHO = [("admin", "project", 200, 201), ("admin", "system", 200, 201), ("reader", "system", 200, 403), ("reader", "project", 403, 403),
       ("member", "project", 403, 403), ("admin", "none", 403, 403), ("admin", "domain", 403, 403)]


def _client(session):
    """Keystoneauth's client of this service, found in the catalogue."""
    from keystoneauth1 import adapter

    return adapter.Adapter(session, service_type=keystone.SERVICE, interface="public", region_name="RegionOne")


def without_a_token_it_is_keystones_401(c):
    uri = f'Keystone uri="{c.keystone.url}"'
    for token in (None, "made-up", "gAAAAABmade-up"):
        for path in ("/v1/hosts", "/v1/hosts?watch=true", "/v1/whoami"):
            said = c.anyone.get(path, token=token).fails(401)
            check(said.headers["WWW-Authenticate"] == uri, f"{token}: WWW-Authenticate is {said.headers['WWW-Authenticate']}, want {uri}")
            check(set(said.json()) == {"error"}, f"401 says {said.json()}")
    forged = {"X-User-Id": "admin", "X-Roles": "admin", "X-Identity-Status": "Confirmed", "X-Project-Id": "admin"}
    c.anyone.get("/v1/hosts", headers=forged).fails(401)


def an_expired_token_is_401_and_one_new_login_is_enough(c):
    c.brief = keystone.token(url=c.brief_url)
    c.anyone.get("/v1/hosts", token=c.brief).gives(200)
    connection, stream = c.anyone.begin("GET", "/v1/standbypools?watch=1", token=c.brief)
    check(stream.status == 200, f"a watch gave {stream.status}")
    until("a token that was taken has expired", 60, lambda: ((s := c.anyone.get("/v1/hosts", token=c.brief).status) == 401, s))
    # It ends as it should, and is not cut: a cut raises here.
    kinds = [json.loads(line)["type"] for line in stream.read().splitlines()]
    connection.close()
    check(kinds and set(kinds) == {"BOOKMARK"}, f"the watch that ended with its token told {kinds}")
    logins = keystone.Logins()
    session = keystone.session(logins=logins)
    client = _client(session)
    first = session.get_token()
    check(logins.count == 1, f"{logins.count} logins before the first request")
    c.keystone.revoke(first)
    check(client.get("/v1/hosts").status_code == 200, "no answer after the new login")
    check(logins.count == 2, f"a client whose token was revoked logged in {logins.count - 1} times anew, want once")
    check(session.get_token() != first, "the client still has the old token")


def a_revoked_token_is_good_no_longer_than_it_is_remembered(c):
    """It was revoked when the scenario began, after it had been taken."""
    def refused():
        status = c.anyone.get("/v1/hosts", token=c.revoked).status
        return status == 401, f"{status}, {time.monotonic() - c.revoked_at:.0f} s after the token was revoked"
    until("a revoked token is refused", 90, refused, 1)
    c.anyone.get("/v1/hosts", token=c.revoked).fails(401)


def without_keystone_it_is_503_and_nobody_logs_in_again(c):
    from keystoneauth1 import exceptions

    logins = keystone.Logins()
    session = keystone.session(logins=logins)
    client, unseen = _client(session), session.get_token()
    client.get_endpoint()
    c.admin.get("/v1/hosts").gives(200)
    lab.run("keystone-kill")
    try:
        said = c.anyone.get("/v1/hosts", token=unseen).fails(503, "unavailable")
        check(said.headers["Retry-After"].isdigit() and int(said.headers["Retry-After"]) >= 1, f"Retry-After is {said.headers['Retry-After']}")
        check("Keystone" in said.message, f"the sentence is {said.message}")
        try:
            client.get("/v1/hosts")
            check(False, "keystoneauth got an answer without Keystone")
        except exceptions.ServiceUnavailable as error:
            check("Keystone" in str(error), f"keystoneauth says {error}")
        check(logins.count == 1, f"{logins.count} logins: a 503 made the client log in")
        remembered = c.admin.get("/v1/hosts").status
        check(remembered == 200, f"a token that is remembered gave {remembered} without Keystone")
    finally:
        lab.run("keystone-start")
    until("Keystone is asked again", 60, lambda: ((s := c.anyone.get("/v1/hosts", token=unseen).status) == 200, s))
    check(logins.count == 1 and client.get("/v1/hosts").status_code == 200, f"afterwards: {logins.count} logins")


def the_wrong_role_or_scope_is_403_and_every_client_shows_the_sentence(c):
    import openstack.exceptions
    from keystoneauth1 import exceptions

    for n, (user, scope, reads, writes) in enumerate(WHO):
        token = keystone.token(user, scope)
        body = {"metadata": {"name": f"by-{n}"}, "spec": {"type": "Rack"}}
        for said, wanted in ((c.anyone.get("/v1/hosts", token=token), reads), (c.anyone.post("/v1/failuredomains", body, token=token), writes)):
            check(said.status == wanted, f"{user} ({scope}): {said.what} gave {said.status}, want {wanted}: {said.body[:300]!r}")
            if wanted == 403:
                said.fails(403)
    client = _client(keystone.session("reader"))
    try:
        client.get("/v1/hosts")
        check(False, "a reader of a project was let through by keystoneauth")
    except exceptions.Forbidden as error:
        check("cloud-manager:hosts:list" in str(error) and error.request_id.startswith("req-"), f"keystoneauth shows {error}")
    try:
        openstack.exceptions.raise_from_response(client.get("/v1/hosts", raise_exc=False))
        check(False, "a reader of a project was let through by openstacksdk")
    except openstack.exceptions.HttpException as error:
        check("cloud-manager:hosts:list" in str(error), f"openstacksdk shows {error}")


def a_service_token_carries_an_expired_one_with_the_right_role_only(c):
    service, other = keystone.token("cloud-manager", project="service"), keystone.token("member")
    with_service = lambda user, service: c.anyone.get("/v1/hosts", token=user, headers={"X-Service-Token": service} if service else {})
    # Keystone itself would tell whose it was.
    c.keystone.admin.get(f"{c.keystone.url}/auth/tokens?allow_expired=1", headers={"X-Subject-Token": c.expired})
    for user, carried in (("a token that was seen before", c.brief), ("one that never was", c.expired)):
        with_service(carried, None).fails(401)
        with_service(carried, other).fails(401)
        with_service(carried, "made-up").fails(401)
        said = with_service(carried, service)
        check(said.status == 200, f"{user}, expired, with a token of role service gave {said.status}: {said.body[:300]!r}")
        # What was let through once with a service token is not let through without.
        with_service(carried, None).fails(401)
    with_service(keystone.token(), "made-up").fails(401)
    with_service(keystone.token(), service).gives(200)


def access_rules_of_an_application_credential_are_kept(c):
    from keystoneauth1 import exceptions

    whole = Wire(c.url, keystone.with_credential(c.keystone.credential("whole")).get_token())
    whole.get("/v1/hosts").gives(200)
    whole.post("/v1/failuredomains", {"metadata": {"name": "by-a-credential"}, "spec": {"type": "Rack"}}).gives(201)
    session = keystone.with_credential(c.keystone.credential("hosts-only", rules=READ_HOSTS))
    bound = Wire(c.url, session.get_token())
    body = {"metadata": {"name": "never"}, "spec": {"type": "Rack"}}
    for method, path, sent in (("POST", "/v1/hosts", body), ("GET", "/v1/failuredomains", None), ("GET", "/v1/hosts/c1", None), ("HEAD", "/v1/hosts", None),
                               ("DELETE", "/v1/hosts/c1", None), ("POST", "/v1/hosts/c1/actions/evacuate", {})):
        said = bound.send(method, path, sent).gives(401)
        check("WWW-Authenticate" in said.headers, f"{said.what}: 401 without WWW-Authenticate")
    try:
        _client(session).post("/v1/hosts", json=body)
        check(False, "keystoneauth posted beyond the rules")
    except exceptions.Unauthorized:
        pass
    for path in ("/v1/hosts", "/v1/hosts?limit=1"):
        said = bound.get(path)
        check(said.status == 200, f"GET {path}, which the rule names, gave {said.status}: {said.body[:300]!r}")
    by_pattern = Wire(c.url, keystone.with_credential(c.keystone.credential("patterns", rules=PATTERNS)).get_token())
    for path, wanted in ((f"/v1/hosts/{HOST}", 200), (f"/v1/hosts/{HOST}/events", 401), ("/v1/hosts", 401), ("/v1/schemas/Host", 200), ("/v1/kinds", 401),
                         ("/v1/failuredomains/with-an-id/events", 200), ("/v1/failuredomains", 401), ("/v1/credentials", 401)):
        said = by_pattern.get(path)
        check(said.status == wanted, f"GET {path} by a pattern gave {said.status}, want {wanted}: {said.body[:300]!r}")
    # Another service that acts for a user is bound by no rules of theirs.
    service = {"X-Service-Token": keystone.token("cloud-manager", project="service")}
    bound.get("/v1/failuredomains", headers=service).gives(200)
