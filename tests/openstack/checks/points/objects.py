"""Points about objects: pages, creating and deleting, tasks, versions, times."""
import re
from urllib.parse import urlsplit

from ..common import HOST
from ..wait import check, until

MOST = 1_000
MANY = 7


def domain(name, **more):
    """A FailureDomain: an object that nothing is done for."""
    return {"apiVersion": "cloud-manager/v1", "kind": "FailureDomain", "metadata": {"name": name}, "spec": {"type": "Rack"}, **more}


def below(c, href):
    """The path of a link to this server."""
    check(href.startswith(f"{c.url}/v1/"), f"the link {href} does not lead to {c.url}")
    parts = urlsplit(href)
    return parts.path + (f"?{parts.query}" if parts.query else "")


def pages(c, path, follow):
    """Every page, by what each says of the next."""
    found = []
    while path:
        check(len(found) < 50, f"the loop of pages does not end; the last is {path}")
        found.append(c.admin.get(path).gives(200))
        path = follow(found[-1])
    return found


def by_links(c):
    def follow(said):
        found = [link["href"] for link in said.json()["links"] if link["rel"] == "next"]
        return below(c, found[0]) if found else None
    return follow


def by_header(c):
    def follow(said):
        found = re.fullmatch(r'<([^>]+)>; rel="next"', said.headers.get("Link") or "")
        return below(c, found.group(1)) if found else None
    return follow


def by_marker(path):
    def follow(said):
        items = said.json()["items"]
        return f"{path}&marker={items[-1]['metadata']['name']}" if items else None
    return follow


def all_names(c, plural):
    """Names of all objects, in pages of 100."""
    return [o["metadata"]["name"] for page in pages(c, f"/v1/{plural}?limit=100", by_links(c)) for o in page.json()["items"]]


def loops_of_pages_end_and_limits_are_checked(c):
    names = [f"page-{n}" for n in range(MANY)]
    for name in names:
        c.admin.post("/v1/failuredomains", domain(name)).gives(201)
    path = "/v1/failuredomains?limit=3"
    for how, follow in (("links", by_links(c)), ("the Link header", by_header(c)), ("marker", by_marker(path))):
        lists = [[o["metadata"]["name"] for o in page.json()["items"]] for page in pages(c, path, follow)]
        found = sum(lists, [])
        check(found == sorted(set(found)) and set(names) <= set(found), f"by {how} came {found}")
        check(all(len(part) <= 3 for part in lists), f"by {how} came pages longer than asked for: {lists}")
    for page in pages(c, path, by_links(c)):
        check(by_links(c)(page) == by_header(c)(page), f"links say {by_links(c)(page)}, the Link header {by_header(c)(page)}")
    for bad in ("0", "-1", "x", "1.5"):
        c.admin.get(f"/v1/failuredomains?limit={bad}").fails(400, "invalid")
    made = c.admin.post("/v1/apply?fieldManager=e2e", {"kind": "List", "items": [domain(f"many-{n:04}") for n in range(MOST)]}).gives(200)
    check(len(made.json()["items"]) == MOST, f"applied: {made.body[:300]}")
    said = c.admin.get(f"/v1/failuredomains?limit={5 * MOST}").gives(200)
    check(len(said.json()["items"]) == MOST and by_links(c)(said), f"a limit over the most gave {len(said.json()['items'])}, next {by_links(c)(said)}")


def created_twice_is_a_conflict_and_deleted_twice_not_found(c):
    c.admin.post("/v1/failuredomains", domain("twice")).gives(201)
    again = c.admin.post("/v1/failuredomains", domain("twice")).fails(409, "already-exists")
    check("FailureDomain/twice" in again.message, f"the sentence is {again.message}")
    c.admin.send("DELETE", "/v1/failuredomains/twice").gives(204)
    c.admin.send("DELETE", "/v1/failuredomains/twice").fails(404, "not-found")
    # One that is done once: the same again is the one there is.
    once = {"metadata": {"name": "once"}, "spec": {"hostRef": {"name": HOST}, "type": "Enable"}}
    first = c.admin.post("/v1/hostoperations", once).gives(202).json()
    second = c.admin.post("/v1/hostoperations", once).gives(200, 409)
    check(second.status == 409 or second.json()["metadata"]["uid"] == first["metadata"]["uid"], "the same operation again is another")
    c.admin.post("/v1/hostoperations", {**once, "spec": {**once["spec"], "type": "Disable"}}).fails(409)


def work_is_accepted_with_a_place_to_look_at(c):
    ended = lambda path: until(f"{path} ended", 90, lambda: ((s := c.admin.get(path).gives(200).json())["status"].get("finishedAt"), s))
    ended("/v1/hostoperations/once")
    for verb in ("enable", "drain", "enable"):
        made = c.admin.post(f"/v1/hosts/{HOST}/actions/{verb}").gives(202)
        check(set(made.json()) == {"task_id"}, f"{verb} says {made.json()}")
        task, place = made.json()["task_id"], below(c, made.headers["Location"])
        check(place == f"/v1/tasks/{task}", f"the Location of task {task} is {place}")

        def over():
            seen = c.admin.get(place).gives(200).json()
            check(seen["id"] == task and seen["state"] in ("PENDING", "STARTED", "RETRY", "SUCCESS", "FAILURE", "REVOKED"), f"task: {seen}")
            return seen["state"] in ("SUCCESS", "FAILURE", "REVOKED"), seen
        seen = until(f"the task of {verb} is over", 90, over)
        check(seen["state"] == "SUCCESS", f"{verb}: {seen}")
        ended(below(c, seen["object"]["href"]))
    made = c.admin.post("/v1/hostoperations", {"metadata": {"generateName": "polled-"}, "spec": {"hostRef": {"name": HOST}, "type": "Enable"}}).gives(202)
    ended(below(c, made.headers["Location"]))


def versions_guard_writes_and_save_reads(c):
    # A kind that no controller writes to: its version is ours alone.
    path = "/v1/credentials/guarded"
    c.admin.post("/v1/credentials", {"metadata": {"name": "guarded"}, "spec": {"data": {"username": "u", "password": "p"}}}).gives(201)
    first = c.admin.get(path).gives(200)
    etag = first.headers["ETag"]
    check(etag == f'"{first.json()["metadata"]["resourceVersion"]}"', f"the ETag is {etag}")
    same = c.admin.get(path, headers={"If-None-Match": etag}).gives(304)
    check(same.body == b"" and same.headers["ETag"] == etag, f"304 has {same.body} and {same.headers['ETag']}")
    c.admin.get(path, headers={"If-None-Match": '"1"'}).gives(200)
    merge = {"Content-Type": "application/merge-patch+json"}
    labelled = lambda value: {"metadata": {"labels": {"row": value}}}
    for stale in ('"1"', f"W/{etag}"):
        c.admin.send("PATCH", path, labelled("a"), headers={**merge, "If-Match": stale}).fails(412, "precondition-failed")
        c.admin.send("PUT", path, first.json(), headers={"If-Match": stale}).fails(412, "precondition-failed")
        c.admin.send("DELETE", path, headers={"If-Match": stale}).fails(412, "precondition-failed")
    changed = c.admin.send("PATCH", path, labelled("a"), headers={**merge, "If-Match": etag}).gives(200)
    check(changed.headers["ETag"] != etag, "a write left the ETag as it was")
    c.admin.send("PATCH", path, labelled("b"), headers={**merge, "If-Match": etag}).fails(412, "precondition-failed")
    c.admin.get(path, headers={"If-None-Match": etag}).gives(200)


TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d")
UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def _times(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [time for part in value for time in _times(part)]
    return [value] if isinstance(value, str) and TIME.match(value) else []


def times_are_utc_with_a_z(c):
    for path in (f"/v1/hosts/{HOST}", "/v1/hostoperations", "/v1/auditrecords?limit=50", "/v1/leases", "/v1/whoami", "/v1/failuredomains?limit=5"):
        found = _times(c.admin.get(path).gives(200).json())
        check(found, f"{path} has no time at all")
        odd = [time for time in found if not UTC.fullmatch(time)]
        check(not odd, f"{path} has the times {odd}")
