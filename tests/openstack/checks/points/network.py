"""Points about the way here: HAProxy, IPv6, TLS, the catalogue."""
import json
import threading
import time

from .. import keystone
from ..common import HOST
from ..wait import check, until
from ..wire import Wire

# Time-outs of the proxy here; a bookmark comes every 15 s, which is what keeps a watch alive. `watch-haproxy` takes longer.
PROXY_SECONDS = 20


class QuietWatch(threading.Thread):
    """A watch of what never changes in any scenario that has one, read line by line."""

    def __init__(self, url, token):
        super().__init__(daemon=True)
        self.begun, self.lines, self.ended = time.monotonic(), [], None
        self._connection, self._answer = Wire(url, token).begin("GET", "/v1/standbypools?watch=1", timeout=120)
        check(self._answer.status == 200, f"the watch gave {self._answer.status}")

    def run(self):
        try:
            for line in self._answer:
                self.lines.append((time.monotonic(), json.loads(line)["type"]))
            self.ended = (time.monotonic(), "its end")
        except Exception as error:
            self.ended = (time.monotonic(), repr(error))

    @property
    def age(self):
        return (self.ended[0] if self.ended else time.monotonic()) - self.begun


def a_watch_lives_through_a_proxy_that_closes_what_is_silent(c):
    def old_enough():
        watch = c.quiet
        check(watch.ended is None, f"it ended after {watch.age:.0f} s with {watch.ended and watch.ended[1]}; lines {[t for _, t in watch.lines]}")
        return watch.age > 2.5 * PROXY_SECONDS, f"{watch.age:.0f} s"
    until("the watch outlives the proxy's time-outs", 90, old_enough)
    kinds = [kind for _, kind in c.quiet.lines]
    check(set(kinds) == {"BOOKMARK"} and len(kinds) >= 3, f"it told {kinds}")


def _links_keep(c, wire, base):
    """Every link that a client follows begins with the URL that it asked."""
    root = wire.get("/").gives(300, 200)
    hrefs = [root.json()["versions"][0]["links"][0]["href"], wire.get("/v1/").json()["version"]["links"][0]["href"], root.headers["Location"]]
    page = wire.get("/v1/failuredomains?limit=1", token=c.admin.token).gives(200)
    hrefs += [link["href"] for link in page.json()["links"]]
    made = wire.post("/v1/failuredomains", {"metadata": {"generateName": "linked-"}, "spec": {"type": "Rack"}}, token=c.admin.token).gives(201)
    hrefs.append(made.headers["Location"])
    odd = [href for href in hrefs if not href.startswith(f"{base}/")]
    check(not odd, f"{wire.url} was asked, and links lead elsewhere: {odd}")


def _keystoneauth_finds(url, ca):
    from keystoneauth1 import discover, session

    found = discover.Discover(session.Session(verify=ca), url, authenticated=False).version_data()
    check([v["url"].rstrip("/") for v in found] == [f"{url}/v1"], f"keystoneauth found {found} at {url}")


def it_listens_on_ipv6(c):
    with c.restarted(address="[::1]"):
        wire = Wire(c.program.url)
        wire.get("/v1/hosts", token=c.admin.token).gives(200)
        _links_keep(c, wire, c.program.url)
        _keystoneauth_finds(c.program.url, None)


def it_speaks_tls_itself(c):
    with c.restarted(authority=c.certificates["authority"], tls_cert_file=c.certificates["certificate"], tls_key_file=c.certificates["key"]):
        wire = Wire(c.program.url, ca=c.certificates["authority"])
        check(c.program.url.startswith("https://"), f"it listens at {c.program.url}")
        wire.get("/v1/hosts", token=c.admin.token).gives(200)
        _links_keep(c, wire, c.program.url)
        _keystoneauth_finds(c.program.url, c.certificates["authority"])


def behind_a_proxy_that_ends_tls_links_keep_the_public_endpoint(c):
    for suffix in ("", "/v1"):
        with c.restarted(public_endpoint=c.proxy.tls + suffix):
            c.proxy.lets_through()
            _links_keep(c, Wire(c.proxy.tls, ca=c.certificates["authority"]), c.proxy.tls)
            _keystoneauth_finds(c.proxy.tls, c.certificates["authority"])


def behind_a_trusted_proxy_links_keep_https_by_its_headers(c):
    with c.restarted(trusted_proxies="127.0.0.1"):
        c.proxy.lets_through()
        for url in (c.proxy.tls, c.proxy.forwarded):
            _links_keep(c, Wire(url, ca=c.certificates["authority"]), url)
            _keystoneauth_finds(url, c.certificates["authority"])


def behind_another_proxy_its_headers_are_not_believed(c):
    root = Wire(c.proxy.tls, ca=c.certificates["authority"]).get("/").gives(300, 200)
    href = root.json()["versions"][0]["links"][0]["href"]
    check(href.startswith("http://"), f"a proxy that nobody named made the links {href}")


def the_catalogue_may_name_it_with_and_without_the_version(c):
    from keystoneauth1 import adapter

    for suffix in ("", "/v1", "/v1/"):
        c.keystone.endpoint(c.url + suffix)
        session = keystone.session()
        client = adapter.Adapter(session, service_type=keystone.SERVICE, interface="public", region_name="RegionOne", min_version="1", max_version="1.latest")
        found = client.get_endpoint_data()
        seen = (found.url.rstrip("/"), found.api_version, found.min_microversion)
        check(seen == (f"{c.url}/v1", (1, 0), (1, 0)), f"{suffix or 'bare'}: keystoneauth takes {seen}")
        said = client.get("/hosts", microversion="1.0")
        check(said.headers["OpenStack-API-Version"] == "cloud-manager 1.0", f"{suffix or 'bare'}: spoken is {said.headers['OpenStack-API-Version']}")
        done = c.program.cli("get", "hosts", "-o", "name", env={"CLOUD_MANAGER_ENDPOINT": ""})
        check(f"host/{HOST}" in done.stdout, f"{suffix or 'bare'}: cloud-manager get hosts shows {done.stdout}")
    c.keystone.endpoint(c.url)
