"""Who may what: the lab's users, and what the API answers them."""
import json
import urllib.error
import urllib.request

from . import lab
from .common import HOST
from .wait import check, until

# Writes that would change something if they were let through.
WRITES = [
    ("PUT", f"/v1/hosts/{HOST}", {"spec": {"power": "Off"}}),
    ("POST", "/v1/evacuations", {"apiVersion": "cloud-manager/v1", "kind": "Evacuation", "metadata": {"name": "x"}, "spec": {"hostRef": {"name": HOST}}}),
    ("POST", f"/v1/hosts/{HOST}/actions/evacuate", {}),
    ("DELETE", f"/v1/hosts/{HOST}", None),
]
READS = ["/v1/hosts", f"/v1/hosts/{HOST}", "/v1/credentials", "/v1/events", "/v1/hosts?watch=true"]


def call(program, method, path, token=None, body=None):
    """Status, headers and body."""
    request = urllib.request.Request(program.url + path, method=method, data=None if body is None else json.dumps(body).encode())
    request.add_header("Content-Type", "application/json")
    if token is not None:
        request.add_header("X-Auth-Token", token)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def _all_answer(ctx, who, want, token):
    for method, path, body in [("GET", path, None) for path in READS] + WRITES:
        status, headers, text = call(ctx.program, method, path, token, body)
        check(status == want, f"{who}: {method} {path} gave {status}, want {want}: {text[:300]}")
        check(want != 401 or headers.get("WWW-Authenticate"), f"{who}: {method} {path}: 401 without WWW-Authenticate")


def _token(ctx, user):
    return lab.session_of({**ctx.program.env, "OS_USERNAME": user}).get_token()


def roles(ctx):
    """Project roles reader and member read and write nothing; no token 401; without Keystone 503."""
    ctx.ready(verified=[])
    mark = ctx.mark()
    before = ctx.program.get("host", HOST)["spec"]
    for user in ("reader", "member"):
        _all_answer(ctx, user, 403, _token(ctx, user))
        for command in (["get", "hosts"], ["describe", "host", HOST], ["power", "off", HOST, "--yes"], ["evacuate", HOST, "--yes"], ["freeze"]):
            done = ctx.program.cli(*command, fails=True, env={"OS_USERNAME": user})
            check(done.returncode == 4, f"{user}: {' '.join(command)} gave {done.returncode}: {done.stdout}{done.stderr}")
            check(HOST not in done.stdout, f"{user} was shown {done.stdout}")
    _all_answer(ctx, "nobody", 401, None)
    _all_answer(ctx, "a made-up token", 401, "gAAAAAB-not-a-token")
    check(ctx.program.cli("get", "hosts", fails=True, env={"OS_PASSWORD": "wrong"}).returncode == 4, "a wrong password was not told as such")
    check(ctx.program.get("host", HOST)["spec"] == before, "the host's spec changed")
    for kind in ("evacuations", "hostoperations", "operations"):
        found = ctx.program.cli("get", kind, "-o", "name").stdout.split()
        check(not found, f"made by users who may not: {found}")
    check(not mark.power(HOST) and not mark.service_writes(ctx.cloud.service(HOST)["id"]), "something was done to the host")
    status, _, _ = call(ctx.program, "GET", f"/v1/hosts/{HOST}", ctx.cloud.token())
    check(status == 200, f"admin: {status}")
    ctx.note("reader and member 403, no token 401, wrong token 401, admin 200")
    unseen = _token(ctx, "reader")
    lab.run("keystone-kill")
    try:
        status, _, text = call(ctx.program, "GET", "/v1/hosts", unseen)
        check(status == 503, f"without Keystone: {status} {text[:300]}")
    finally:
        lab.run("keystone-start")

    def again():
        status, _, text = call(ctx.program, "GET", "/v1/hosts", unseen)
        return status == 403, f"{status} {text[:300]}"
    until("Keystone is asked again", 60, again)
    ctx.note("without Keystone 503, afterwards 403")
