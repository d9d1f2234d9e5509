"""A story's hosts, guests and objects on the lab: what the script calls them, and what they are called here."""
import json
import os
import re
import threading
import time

from . import lab
from .access import call
from .through import Through
from .wait import check, until

# Nova gives a host up after 60 s on the simulator and after 12 s in the lab: what passes in a story is that much shorter, but no
# shorter than it takes to notice a dead host by two looks ten seconds apart.
FASTER, LEAST = 4, 45
# MiB of a simulated host, and of one of the lab (lab_driver.py, less what Nova keeps for itself).
SIMULATED_RAM, RAM = 65536, 7680
# Region of the catalogue in which Nova is behind the proxy.
REGION = "Story"
FLAVORS = (64, 256, 512, 1024, 2048, 3072, 4096)


def shorter(seconds, least=LEAST):
    """How long the lab lets pass what the script calls so many seconds."""
    return seconds if seconds <= least else max(least, seconds / FASTER)


def flavor(ram):
    """The flavor that takes about the same share of a host as this many MiB do on the simulator."""
    share = ram * RAM / SIMULATED_RAM
    return f"m{min(FLAVORS, key=lambda mb: abs(mb - share))}"


class Stage:
    """The lab under the names of a script."""

    def __init__(self, ctx, names):
        check(len(names) <= len(ctx.hosts), f"the story has {len(names)} hosts, the lab {len(ctx.hosts)}")
        self.ctx, self.cloud, self.program = ctx, ctx.cloud, ctx.program
        self.hosts = dict(zip(names, ctx.hosts))
        self.spare = ctx.hosts[len(names):]
        self.guests, self.first, self.groups, self.stopped, self.late = {}, {}, {}, [], {}
        self.channels, self._spoke, self._settled, self.ahead = {}, 0.0, set(), []
        self.mark = self.through = None
        self.died = threading.Event()

    # ---- names ----------------------------------------------------------------------------

    def host(self, name):
        check(name in self.hosts, f"there is no host `{name}` in the story")
        return self.hosts[name]

    def guest(self, name):
        check(name in self.guests, f"there is no guest `{name}`")
        return self.guests[name]

    def there(self, text):
        """A name of the script, such as auto-a-1, as it is in the lab: auto-c1-1."""
        return "-".join(self.hosts.get(part, part) for part in text.split("-"))

    def back(self, text):
        """What the lab says, in the names of the script."""
        for name, there in self.hosts.items():
            text = re.sub(rf"\b{there}\b", name, text)
        for name, there in self.guests.items():
            text = text.replace(there, name)
        return text

    def placed(self, value):
        """YAML of the script with the lab's names of hosts."""
        if isinstance(value, dict):
            return {k: self.placed(v) for k, v in value.items()}
        if isinstance(value, list):
            return [self.placed(v) for v in value]
        return self.hosts.get(value, value) if isinstance(value, str) else value

    # ---- the scene ------------------------------------------------------------------------

    def begin(self, policy, verified, cables):
        """The program runs behind its proxy and knows the hosts of the story; the others of the lab take no guests."""
        for host in self.spare:
            self.cloud.put_service(host, status="disabled", disabled_reason="not in this story")
        self.through = Through(self.cloud.endpoint())
        self.cloud.second_region(REGION, self.through.url)
        self.program.env["OS_REGION_NAME"] = REGION
        self.program.start()
        self.program.set_up(self.ctx.hosts, None if verified else [], policy, {self.host(h): self.host(m) for h, m in cables.items()})
        self.restart()

    def restart(self):
        """What was called until now is not the story."""
        self.mark = self.ctx.mark()
        self.through.calls.clear()

    def end(self):
        if self.through:
            self.through.stop()

    def settle(self):
        """Guests that were ordered are there, and as they should be, before the story goes on."""
        ids = [i for i in self.guests.values() if i not in self._settled]
        if not ids:
            return

        def active():
            seen = self.cloud.where(ids)
            return len(seen) == len(ids) and all(s == "ACTIVE" and t is None for _, s, t in seen.values()), seen
        until("the guests are ACTIVE", 180, active)
        for guest in self.stopped:
            self.cloud.act(guest, "os-stop")
        for guest, host in self.late.items():
            self.cloud.act(guest, "migrate", host=host)
        for guest in self.stopped:
            self.cloud.becomes(guest, self.first[guest], "SHUTOFF", None)
        for guest, host in self.late.items():
            self.cloud.becomes(guest, host, "VERIFY_RESIZE", None)
        self._settled.update(ids)
        self.stopped, self.late = [], {}

    # ---- objects --------------------------------------------------------------------------

    def object(self, kind, name):
        """An object by its name in the script, or None."""
        done = self.program.cli("get", kind.lower(), self.there(name), "-o", "json", fails=True)
        if done.returncode == 3:
            return None
        check(done.returncode == 0, f"get {kind} {name} gave {done.returncode}: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def objects(self, plural):
        return json.loads(self.program.cli("get", plural, "-o", "json").stdout)["items"]

    def apply(self, kind, name, spec, refused=False, labels=None):
        """Makes an object, or lays fields over the spec of one that is there. Gives why it was refused, if it should be."""
        known = self.object(kind, name)
        kept = ((known or {}).get("metadata") or {}).get("labels") or {}
        metadata = {"name": self.there(name), "labels": {**kept, **(labels or {})}}
        spec = _laid_over(known["spec"], self.placed(spec)) if known else self.placed(spec)
        items = {"kind": "List", "items": [{"apiVersion": "cloud-manager/v1", "kind": kind, "metadata": metadata, "spec": spec}]}
        done = self.program.cli("apply", "-f", "-", stdin=json.dumps(items), fails=True)
        if refused:
            check(done.returncode != 0, f"{kind}/{name} is taken, and should be refused")
            return done.stderr.strip()
        check(done.returncode == 0, f"{kind}/{name} is refused: {done.stdout.strip()} {done.stderr.strip()}")
        return None

    # ---- channels -------------------------------------------------------------------------

    def hear(self, name, says, ago=1, ttl=600):
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - ago))
        seen = {"host": self.host(name), "channel": "storage", "says": says.capitalize(), "ttlSeconds": ttl, "observedAt": at}
        status, _, text = call(self.program, "POST", "/v1/evidence", self.cloud.token(), seen)
        check(status < 300, f"POST /v1/evidence gave {status}: {text[:300]}")

    def speak(self):
        """What channels say that go on speaking, each ten seconds."""
        if self.channels and time.monotonic() - self._spoke >= 10:
            self._spoke = time.monotonic()
            for name, says in self.channels.items():
                self.hear(name, says, ttl=30)

    def pass_by(self, seconds):
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.speak()
            time.sleep(min(left, 1))

    # ---- the world ------------------------------------------------------------------------

    def is_on(self, name):
        """Whether the machine has power, in truth: its BMC may lie, or be dead."""
        with open(os.path.join(lab.DIR, "state", f"power-{self.host(name)}")) as f:
            return f.read().strip() == "1"

    def guest_seen(self, name):
        """Host, status and task by Nova, and the hosts it runs on in truth, in the lab's names."""
        guest = self.guest(name)
        return (*self.cloud.where([guest]).get(guest, (None, None, None)), lab.running().get(guest, []))

    def records(self, name):
        """Kind, status, source and destination of a guest's migration records, oldest first."""
        found = [m for kind in ("evacuation", "live-migration") for m in self.cloud.records([self.guest(name)], kind)]
        return [(m["migration_type"], m["status"], m["source_compute"], m["dest_compute"]) for m in sorted(found, key=lambda m: m["id"])]


def _laid_over(under, over):
    """RFC 7386."""
    if not isinstance(over, dict):
        return over
    under = dict(under) if isinstance(under, dict) else {}
    for key, value in over.items():
        if value is None:
            under.pop(key, None)
        else:
            under[key] = _laid_over(under.get(key), value)
    return under
