"""The lab as a person at its machines sees it: Nova's API, the BMCs, the guests' files, the logs."""
import os
import re
import subprocess

from .wait import check, until

SCRIPT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lab")
DIR = os.environ.get("LAB_DIR", "/tmp/openstack-lab")
PREFIX = "e2e-"
MICROVERSION = "2.88"
FLAVOR = "m64"
# Migration records in one of these states are over (Nova, api-ref os-migrations).
FINAL = {"completed", "confirmed", "reverted", "error", "failed", "cancelled", "done", "finished"}


def run(*args):
    done = subprocess.run([SCRIPT, *args], capture_output=True, text=True, timeout=180)
    check(done.returncode == 0, f"lab {' '.join(args)}: {done.stderr.strip()}")
    return done.stdout


def environment():
    """This process' environment with the lab's OS_* variables, and none of anyone else's."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("OS_", "CLOUD_MANAGER_"))}
    for line in run("env").splitlines():
        for name, value in re.findall(r"(OS_\w+)=(\S+)", line):
            env[name] = value
    return env


def nova():
    """Where the Nova that runs was installed; "": Debian's."""
    try:
        with open(os.path.join(DIR, "nova")) as f:
            return f.read().strip()
    except FileNotFoundError:
        return ""


def hosts():
    """Names of the lab's compute hosts, first to last."""
    found = [re.fullmatch(r"compute-(c(\d+))\.conf", name) for name in os.listdir(os.path.join(DIR, "etc"))]
    return [m.group(1) for m in sorted(filter(None, found), key=lambda m: int(m.group(2)))]


class Mark:
    """A point in the lab's logs; what is asked for is what came after it."""

    def __init__(self):
        self._at = {name: self._size(name) for name in ("nova.out", "power.log", "double-run.log")}

    @staticmethod
    def _path(name):
        return os.path.join(DIR, "log", name)

    def _size(self, name):
        try:
            return os.path.getsize(self._path(name))
        except FileNotFoundError:
            return 0

    def lines(self, name):
        try:
            with open(self._path(name), errors="replace") as log:
                log.seek(self._at[name])
                return log.read().splitlines()
        except FileNotFoundError:
            return []

    def service_writes(self, service_id):
        """PUTs on a service that Nova's API answered, whoever sent them."""
        return [line for line in self.lines("nova.out") if f'"PUT /v2.1/os-services/{service_id}' in line]

    def power(self, host):
        """Power commands that the host's BMC carried out: "0" off, "1" on."""
        return [line.split()[3] for line in self.lines("power.log") if line.split()[1] == host]

    def double_runs(self):
        return self.lines("double-run.log")


def session_of(env):
    """A Keystone session of the user that these OS_* variables name."""
    # Here, because the lab may have to be installed first.
    from keystoneauth1 import session
    from keystoneauth1.identity import v3

    auth = v3.Password(env["OS_AUTH_URL"], username=env["OS_USERNAME"], password=env["OS_PASSWORD"], project_name=env["OS_PROJECT_NAME"],
                       user_domain_name="Default", project_domain_name="Default")
    return session.Session(auth=auth, timeout=90)


class Cloud:
    """Nova as its administrator sees it."""

    def __init__(self):
        from keystoneauth1 import adapter

        env = environment()
        self._session, self._region = session_of(env), env["OS_REGION_NAME"]
        self._nova = adapter.Adapter(self._session, service_type="compute", interface="public", region_name=env["OS_REGION_NAME"],
                                     default_microversion=MICROVERSION)
        image = self._session.get("/v2/images?name=tiny", endpoint_filter={"service_type": "image", "interface": "public", "region_name": env["OS_REGION_NAME"]})
        self._image = image.json()["images"][0]["id"]

    def _read(self, path, **more):
        """A GET. Nova on a busy machine answers 500 now and then, when it waited too long for one of its own parts."""
        return self._nova.get(path, status_code_retries=3, retriable_status_codes=[500, 502, 503], **more)

    def endpoint(self):
        """Nova's URL."""
        return self._nova.get_endpoint()

    def second_region(self, name, nova):
        """Makes a region of the catalogue where Nova has this URL, and all else is where it is."""
        keystone = {"endpoint_filter": {"service_type": "identity", "interface": "public"}}
        if self._session.get(f"/regions/{name}", raise_exc=False, **keystone).status_code == 404:
            self._session.post("/regions", json={"region": {"id": name}}, **keystone)
        kinds = {s["id"]: s["type"] for s in self._session.get("/services", **keystone).json()["services"]}
        public = self._session.get("/endpoints?interface=public", **keystone).json()["endpoints"]
        for old in (e for e in public if e["region_id"] == name):
            self._session.delete(f"/endpoints/{old['id']}", **keystone)
        for of in (e for e in public if e["region_id"] != name):
            url = nova if kinds[of["service_id"]] == "compute" else of["url"]
            made = {"service_id": of["service_id"], "interface": "public", "region_id": name, "url": url}
            self._session.post("/endpoints", json={"endpoint": made}, **keystone)

    def microversion(self):
        """Highest version of Nova's API."""
        return tuple(int(n) for n in self._nova.get_endpoint_data().max_microversion)

    def token(self):
        return self._session.get_token()

    def services(self):
        found = self._read("/os-services?binary=nova-compute").json()["services"]
        return {s["host"]: s for s in found}

    def service(self, host):
        return self.services()[host]

    def put_service(self, host, **change):
        self._nova.put(f"/os-services/{self.service(host)['id']}", json=change)

    def guests(self, ids=None):
        """Guests by id, all or those of `ids`."""
        found = self._read("/servers/detail?all_tenants=1&limit=1000").json()["servers"]
        return {s["id"]: s for s in found if ids is None or s["id"] in ids}

    def guests_on(self, host):
        return [s for s in self.guests().values() if s["OS-EXT-SRV-ATTR:host"] == host]

    def where(self, ids):
        """`{id: (host, status, task)}` of these guests."""
        return {i: (s["OS-EXT-SRV-ATTR:host"], s["status"], s["OS-EXT-STS:task_state"]) for i, s in self.guests(ids).items()}

    def boot(self, host, count, flavor=FLAVOR, group=None):
        """Boots guests on a host, as members of a server group if one is given, and gives their ids."""
        ids = []
        for i in range(count):
            body = {"name": f"{PREFIX}{host}-{i}", "imageRef": self._image, "flavorRef": flavor, "networks": "none", "host": host}
            hints = {"os:scheduler_hints": {"group": group}} if group else {}
            ids.append(self._nova.post("/servers", json={"server": body, **hints}).json()["server"]["id"])

        def active():
            seen = self.where(ids)
            return len(seen) == count and all(s == (host, "ACTIVE", None) for s in seen.values()), seen
        until(f"{count} guests ACTIVE on {host}", 90 + 5 * count, active)
        return ids

    def order(self, name, host, flavor=FLAVOR, group=None, metadata=None):
        """Orders one guest on a host and gives its id, without waiting for it."""
        body = {"name": name, "imageRef": self._image, "flavorRef": flavor, "networks": "none", "host": host, "metadata": metadata or {}}
        hints = {"os:scheduler_hints": {"group": group}} if group else {}
        return self._nova.post("/servers", json={"server": body, **hints}).json()["server"]["id"]

    def act(self, guest, action, **arguments):
        self._nova.post(f"/servers/{guest}/action", json={action: arguments or None})

    def evacuate(self, guest):
        self._nova.post(f"/servers/{guest}/action", json={"evacuate": {}})

    def becomes(self, guest, *wanted, seconds=60):
        """Waits until a guest is so: host, status, task."""
        until(f"{guest} is {wanted}", seconds, lambda: ((seen := self.where([guest]).get(guest)) == wanted, seen))

    def group(self, name, policy, **rules):
        """Makes a server group and gives its id."""
        body = {"name": PREFIX + name, "policy": policy, **({"rules": rules} if rules else {})}
        return self._nova.post("/os-server-groups", json={"server_group": body}).json()["server_group"]["id"]

    def delete_groups(self):
        for group in self._read("/os-server-groups?all_projects=1").json()["server_groups"]:
            self._nova.delete(f"/os-server-groups/{group['id']}")

    def records(self, ids, kind):
        """Nova's migration records of a kind for these guests."""
        found = self._read(f"/os-migrations?migration_type={kind}&limit=1000", microversion="2.80").json()["migrations"]
        return [m for m in found if m["instance_uuid"] in ids]

    def records_from(self, host, kind):
        found = self._read(f"/os-migrations?migration_type={kind}&source_compute={host}&limit=1000", microversion="2.80").json()["migrations"]
        return [m for m in found if m["source_compute"] == host]

    def actions(self, guest):
        """What was ever asked of a guest, oldest first."""
        found = self._read(f"/servers/{guest}/os-instance-actions").json()["instanceActions"]
        return [a["action"] for a in reversed(found)]

    def delete(self, ids):
        for guest in ids:
            self._nova.delete(f"/servers/{guest}", raise_exc=False)
        until("guests deleted", 90, lambda: (not (left := self.guests(ids)), sorted(left)))

    def delete_all(self):
        """Deletes every guest. The lab has no others than those of tests."""
        self.delete(list(self.guests()))

    def delete_allocations(self):
        """Gives back what Placement holds for guests that are no more: a request that came twice leaves such behind in Nova."""
        placement = {"endpoint_filter": {"service_type": "placement", "interface": "public", "region_name": self._region}}
        for provider in self._session.get("/resource_providers", **placement).json()["resource_providers"]:
            held = self._session.get(f"/resource_providers/{provider['uuid']}/allocations", **placement).json()["allocations"]
            for consumer in held:
                self._session.delete(f"/allocations/{consumer}", raise_exc=False, **placement)


def power(host):
    """What the host's BMC says: "on", "off", or why it says nothing."""
    address = run("bmc", host).split()[0]
    ip, port = address.split(":")
    command = ["ipmitool", "-I", "lanplus", "-C", "3", "-N", "1", "-R", "1", "-H", ip, "-p", port, "-U", "admin", "-E", "chassis", "power", "status"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, env={**os.environ, "IPMI_PASSWORD": "labpass"})
    said = re.search(r"Chassis Power is (on|off)", done.stdout)
    return said.group(1) if said else f"nothing ({done.stderr.strip()})"


def bmc(host):
    """Address and port of a host's BMC."""
    ip, port = run("bmc", host).split()[0].split(":")
    return ip, int(port)


def running():
    """`{guest: [hosts it runs on]}`, from the hypervisors themselves."""
    found = {}
    for line in run("guests").splitlines():
        if match := re.match(r"(\S+) (\S+):RUNNING", line):
            found.setdefault(match.group(2), []).append(match.group(1))
    return found


def restore(cloud, hosts):
    """Brings everything back as it was: services running, BMCs answering, hosts on, up, enabled, no guests."""
    run("rabbit-start")
    run("conductor-start")
    run("keystone-start")
    run("behave", "normal")
    run("service-continue", *hosts)
    run("bmc-start", *hosts)
    down = [h for h, s in cloud.services().items() if h in hosts and (s["state"] != "up" or s["forced_down"])]
    # Only one that starts cleans up what was evacuated; before that a newer Nova does not let it be forced up.
    run("service-kill", *(h for h, s in cloud.services().items() if h in hosts and s["forced_down"]))
    before = {h: s["updated_at"] for h, s in cloud.services().items()}
    run("host-start", *hosts)

    def beating():
        now = cloud.services()
        silent = [h for h in down if now[h]["updated_at"] == before[h]]
        return not silent, f"silent: {silent}"
    until("nova-compute reports again", 120, beating)
    for host in hosts:
        service = cloud.service(host)
        if service["forced_down"]:
            # Nova-compute cleans up what was evacuated before it reports; only then may it be used again.
            cloud.put_service(host, forced_down=False)
        if service["status"] != "enabled":
            cloud.put_service(host, status="enabled")

    def ready():
        now = cloud.services()
        seen = {h: (now[h]["status"], now[h]["state"], now[h]["forced_down"]) for h in hosts}
        return all(s == ("enabled", "up", False) for s in seen.values()), seen
    until("hosts enabled and up", 90, ready)
    cloud.delete_all()
    cloud.delete_groups()
    until("no guest runs anywhere", 60, lambda: (not (left := running()), left))
    cloud.delete_allocations()


