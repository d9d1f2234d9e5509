"""What several scenarios check and do."""
import time

from . import lab
from .wait import check, until

HOST = "c1"
# States of an evacuation record whose guest is ACTIVE on its new host; `completed` comes when the source returns.
REBUILT = {"done", "completed"}


class Context:
    """One scenario's run: the cloud and its hosts, the program under test, how many guests, how often."""

    def __init__(self, cloud, hosts, program, guests, runs, baseline):
        self.cloud, self.hosts, self.program, self.count, self.runs, self.baseline = cloud, hosts, program, guests, runs, baseline
        self.results = []

    def ready(self, verified=None):
        """Program running, links verified."""
        self.program.start()
        self.program.set_up(self.hosts, verified)

    def mark(self):
        """A point in time: the logs of the lab and the calls of the program from here on."""
        return Mark(self.program)

    def note(self, text):
        self.results.append(text)
        print(f"    {text}", flush=True)


class Mark(lab.Mark):
    """Also remembers which calls the program had made."""

    def __init__(self, program):
        super().__init__()
        self._program, self._before = program, {o["metadata"]["name"] for o in program.operations()}

    def steps(self, host, kind):
        """Steps of a kind that were written down for a host, answered or not, in order."""
        new = [o for o in self._program.operations() if o["metadata"]["name"] not in self._before and o["spec"]["host"] == host]
        return [o["spec"]["step"] for o in sorted(new, key=lambda o: o["spec"]["issuedAt"]) if o["spec"]["step"].startswith(kind)]


def nobody_ran_twice(mark, ids):
    check(not mark.double_runs(), f"guests ran twice: {mark.double_runs()}")
    running = lab.running()
    twice = {i: on for i, on in running.items() if len(on) > 1}
    check(not twice, f"guests run on several hosts: {twice}")
    lost = [i for i in ids if i not in running]
    check(not lost, f"guests run nowhere: {lost}")


def rebuilt_elsewhere(cloud, ids, seconds, source=HOST):
    """Waits until every guest was evacuated and is ACTIVE on another host. Looks at the records first: to list
    servers is so much work for Nova that it would slow down what is measured."""
    def recorded():
        seen = {m["instance_uuid"]: m["status"] for m in cloud.records(ids, "evacuation")}
        return len(seen) == len(ids) and all(s in lab.FINAL for s in seen.values()), seen
    begun = time.monotonic()
    until(f"{len(ids)} evacuation records over", seconds, recorded, 0.3)
    all_elsewhere(cloud, ids, seconds - (time.monotonic() - begun), source)


def all_elsewhere(cloud, ids, seconds, source=HOST):
    """Waits until every guest is ACTIVE on another host and Nova is done with it."""
    def probe():
        seen = cloud.where(ids)
        return len(seen) == len(ids) and all(h != source and s == "ACTIVE" and t is None for h, s, t in seen.values()), seen
    until(f"{len(ids)} guests ACTIVE elsewhere", seconds, probe, 0.3)


def one_record_each(cloud, ids, kind, states):
    """Exactly one migration record of this kind per guest, in one of these states, and none of the other kind."""
    records = cloud.records(ids, kind)
    per_guest = {i: [(m["id"], m["status"]) for m in records if m["instance_uuid"] == i] for i in ids}
    check(all(len(r) == 1 and r[0][1] in states for r in per_guest.values()), f"{kind} records, want one of {states} each: {per_guest}")
    other = "evacuation" if kind == "live-migration" else "live-migration"
    check(not cloud.records(ids, other), f"there are {other} records: {cloud.records(ids, other)}")


def fenced_in_one_write(cloud, mark, host=HOST):
    """Off by its BMC, and disabled and forced down by exactly one PUT."""
    check(mark.power(host)[:1] == ["0"], f"BMC of {host} carried out: {mark.power(host)}")
    check(lab.power(host) == "off", f"BMC of {host} says {lab.power(host)}")
    service = cloud.service(host)
    check((service["status"], service["forced_down"]) == ("disabled", True), f"service of {host}: {service}")
    writes = mark.service_writes(service["id"])
    check(len(writes) == 1, f"want one PUT on the service of {host}, found {len(writes)}: {writes}")
    # Nova logs a request when it answers; one that hangs shows here only.
    steps = mark.steps(host, "NovaService/")
    check(steps == ["NovaService/enabled=false,forcedDown=true"], f"writes to the service of {host}: {steps}")


def evacuated(ctx, ids, mark, name, host=HOST):
    """What must hold once an evacuation by rebuild is over."""
    ctx.program.wait_for("evacuation", name, "Succeeded", 60)
    fenced_in_one_write(ctx.cloud, mark, host)
    one_record_each(ctx.cloud, ids, "evacuation", REBUILT)
    nobody_ran_twice(mark, ids)


def drained_and_off(cloud, mark, ids, host=HOST):
    """No guest lost, rebuilt or started twice, one live migration each; the host off and disabled."""
    all_elsewhere(cloud, ids, 5, host)
    one_record_each(cloud, ids, "live-migration", {"completed"})
    for guest in ids:
        actions = cloud.actions(guest)
        check(actions == ["create", "live-migration"], f"guest {guest} was asked to: {actions}")
    check(lab.power(host) == "off", f"BMC of {host} says {lab.power(host)}")
    check(cloud.service(host)["status"] == "disabled", f"service: {cloud.service(host)}")
    nobody_ran_twice(mark, ids)


def wait_off(ctx, seconds, host=HOST):
    """Waits until the declared power-off is done, as Nova and the BMC show it."""
    def off():
        state = (lab.power(host), ctx.cloud.service(host)["status"])
        return state == ("off", "disabled"), lambda: f"{state}\n{ctx.program.describe('host', host)}"
    until(f"{host} off and disabled", seconds, off, 2)
    ctx.program.wait_for("host", host, "Ready", 60)


def back_in_service(ctx, seconds, host=HOST):
    """Waits until a host is on, up, enabled and not forced down."""
    def back():
        s = ctx.cloud.service(host)
        state = (lab.power(host), s["state"], s["status"], s["forced_down"])
        return state == ("on", "up", "enabled", False), lambda: f"{state}\n{ctx.program.describe('host', host)}"
    until(f"{host} back in service", seconds, back, 1)
    ctx.program.wait_for("host", host, "Ready", 60)


def returned(ctx, ids, host=HOST, how=None):
    """`power on`, or what is done in place of it, brings a fenced host back: Nova cleaned up first, then forced_down cleared,
    then enabled."""
    if how is None:
        ctx.program.cli("power", "on", host)
    else:
        how()

    def back():
        # Services first: a record that ends between the two reads must not look like a breach.
        s = ctx.cloud.service(host)
        open_records = [(m["id"], m["status"]) for m in ctx.cloud.records_from(host, "evacuation") if m["status"] not in ("completed", "failed", "error")]
        if not s["forced_down"] or s["status"] == "enabled":
            check(not open_records, f"{host} was released (forced_down={s['forced_down']}, {s['status']}) before Nova settled {open_records}")
        done = s["state"] == "up" and s["status"] == "enabled" and not s["forced_down"]
        return done, lambda: f"service {s}, records {open_records}\n{ctx.program.describe('host', host)}"
    until(f"{host} back in service", 180, back, 0.3)
    one_record_each(ctx.cloud, ids, "evacuation", {"completed"})
    check(lab.power(host) == "on", f"BMC of {host} says {lab.power(host)}")
    ctx.program.wait_for("host", host, "Ready", 60)
    fenced = ctx.program.condition("host", host, "Fenced")
    check(fenced[0] == "False", f"Fenced is {fenced}")


def nova_shows_down(cloud, host=HOST):
    until(f"Nova shows {host} down", 60, lambda: ((s := cloud.service(host)["state"]) == "down", s), 0.3)
    return time.monotonic()


def by_hand(ctx, host=HOST):
    """What a person with a script would do without the program: as soon as Nova shows the host down,
    force it down, post every evacuation, wait. Gives the seconds from down to the last ACTIVE."""
    cloud = ctx.cloud
    ids = cloud.boot(host, ctx.count)
    lab.run("host-kill", host)
    begun = nova_shows_down(cloud, host)
    cloud.put_service(host, forced_down=True)
    for guest in ids:
        cloud.evacuate(guest)
    rebuilt_elsewhere(cloud, ids, 180, host)
    took = time.monotonic() - begun
    lab.restore(cloud, ctx.hosts)
    return took
