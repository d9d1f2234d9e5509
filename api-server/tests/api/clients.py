"""Talks to a server as OpenStack's own clients do. Argument: its URL."""
import sys

import openstack.exceptions
from keystoneauth1 import adapter, discover, exceptions, plugin, session

base = sys.argv[1]


class Words(plugin.BaseAuthPlugin):
    """Tokens are given words; each new login takes the next."""

    def __init__(self, *words):
        super().__init__()
        self.words, self.logins = list(words), 1

    def get_token(self, session, **kwargs):
        return self.words[0]

    def get_endpoint(self, session, **kwargs):
        return base

    def invalidate(self):
        self.words.pop(0)
        self.logins += 1
        return bool(self.words)


def client(*words):
    auth = Words(*words)
    return auth, adapter.Adapter(session.Session(auth=auth), service_type="cloud-manager")


# Discovery from the root and from the version's URL, without a token.
for url in (base, base + "/", base + "/v1", base + "/v1/"):
    found = discover.Discover(session.Session(), url, authenticated=False).version_data()
    assert [v["version"] for v in found] == [(1, 0)], found
    assert found[0]["url"].rstrip("/").endswith("/v1"), found
    assert found[0]["max_microversion"] == (1, 0), found

# A microversion is negotiated by keystoneauth's own header.
_, admin = client("admin")
answer = admin.get("/v1/hosts", microversion="1.0")
assert answer.headers["OpenStack-API-Version"] == "cloud-manager 1.0"
assert admin.get("/v1/hosts", microversion="latest").status_code == 200

# An expired token: one new login, then success.
auth, expired = client("expired", "admin")
assert expired.get("/v1/hosts").status_code == 200
assert auth.logins == 2, auth.logins

# The sentence of an error, through keystoneauth and through openstacksdk.
body = {"metadata": {"name": "c1"}}
sentence = "Host/c1 exists already"
try:
    admin.post("/v1/hosts", json=body)
    raise SystemExit("a second c1 was made")
except exceptions.Conflict as error:
    assert sentence in str(error), str(error)
    assert error.request_id.startswith("req-"), error.request_id
try:
    openstack.exceptions.raise_from_response(admin.post("/v1/hosts", json=body, raise_exc=False))
    raise SystemExit("a second c1 was made")
except openstack.exceptions.ConflictException as error:
    assert sentence in str(error), str(error)

_, reader = client("reader")
try:
    reader.get("/v1/hosts")
    raise SystemExit("a reader of a project has read hosts")
except exceptions.Forbidden as error:
    assert "cloud-manager:hosts:list" in str(error), str(error)
try:
    openstack.exceptions.raise_from_response(reader.get("/v1/hosts", raise_exc=False))
    raise SystemExit("a reader of a project has read hosts")
except openstack.exceptions.HttpException as error:
    assert error.status_code == 403 and "cloud-manager:hosts:list" in str(error), str(error)

# Keystone down: 503 with seconds that keystoneauth can read, and no attempt to log in again.
auth, down = client("down", "admin")
try:
    down.get("/v1/hosts")
    raise SystemExit("a token was taken that could not be validated")
except exceptions.ServiceUnavailable as error:
    assert int(error.response.headers["Retry-After"]) >= 1
assert auth.logins == 1, auth.logins

print("all good")
