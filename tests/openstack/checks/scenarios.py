"""The scenarios. Each takes a Context and leaves cleaning up to its caller."""
import statistics
import time

from . import affinity, automatic, contract, lab, pairs, standby, stopped, stories, watch_haproxy
from .access import roles
from .common import (HOST, REBUILT, all_elsewhere, back_in_service, by_hand, drained_and_off, evacuated, nobody_ran_twice, nova_shows_down,
                     rebuilt_elsewhere, returned, wait_off)
from .wait import check, throughout, until

DECLARED_OFF = {"kind": "Host", "metadata": {"name": HOST}, "spec": {"power": "Off"}}
DECLARED_ON = {"kind": "Host", "metadata": {"name": HOST}, "spec": {"power": "On"}}


def drain_off(ctx):
    """A host declared off is drained by live migration and powered off; declared on it comes back."""
    ids = ctx.cloud.boot(HOST, ctx.count)
    ctx.ready()
    mark, begun = ctx.mark(), time.monotonic()
    ctx.program.apply(DECLARED_OFF)
    wait_off(ctx, 90 + 20 * ctx.count)
    ctx.note(f"{ctx.count} guests drained, host proven empty and off: {time.monotonic() - begun:.1f} s")
    drained_and_off(ctx.cloud, mark, ids)
    begun = time.monotonic()
    ctx.program.apply(DECLARED_ON)
    back_in_service(ctx, 120)
    ctx.note(f"on and enabled again: {time.monotonic() - begun:.1f} s")
    nobody_ran_twice(mark, ids)


def _crash_and_evacuate(ctx):
    """Gives the guests, and the seconds from the moment Nova shows the host down to the last ACTIVE."""
    ids = ctx.cloud.boot(HOST, ctx.count)
    mark = ctx.mark()
    lab.run("host-kill", HOST)
    name = ctx.program.evacuate(HOST)
    begun = nova_shows_down(ctx.cloud)
    rebuilt_elsewhere(ctx.cloud, ids, 240)
    took = time.monotonic() - begun
    evacuated(ctx, ids, mark, name)
    return ids, took


def evacuate_crashed(ctx):
    """A crashed host is fenced by IPMI and every guest rebuilt elsewhere once, about as fast as by hand."""
    ctx.ready()
    ours, manual = [], []
    for run in range(ctx.runs):
        if ctx.baseline:
            manual.append(by_hand(ctx))
        ids, took = _crash_and_evacuate(ctx)
        ours.append(took)
        hand = f", by hand {manual[-1]:.1f} s" if manual else ""
        ctx.note(f"run {run + 1}: {ctx.count} guests, down to last ACTIVE {took:.1f} s{hand}")
        returned(ctx, ids)
        lab.restore(ctx.cloud, ctx.hosts)
    if manual:
        took, hand = statistics.median(ours), statistics.median(manual)
        limit = 1.25 * hand + 15
        ctx.note(f"median {took:.1f} s, by hand {hand:.1f} s, limit {limit:.1f} s")
        check(took <= limit, f"evacuation took {took:.1f} s from down to the last ACTIVE; 1.25 x {hand:.1f} s by hand + 15 s is {limit:.1f} s")


def bmc_unreachable(ctx):
    """Without a BMC that answers nothing is evacuated, and `describe` says why; with it, it goes on."""
    ids = ctx.cloud.boot(HOST, ctx.count)
    ctx.ready()
    mark = ctx.mark()
    lab.run("host-kill", HOST)
    lab.run("bmc-kill", HOST)
    name = ctx.program.evacuate(HOST)
    nova_shows_down(ctx.cloud)

    def explained():
        said = ctx.program.describe("evacuation", name)
        told = said.lower()
        return f"bmc-{HOST}" in told and ("cannot be read" in told or "unreadable" in told) and "reachable" in told, said
    until("describe says that the BMC cannot be read and what to do", 60, explained, 1)
    check("bmc-" + HOST in ctx.program.describe("host", HOST), "describe host does not name the BMC")

    def nothing_done():
        writes, steps, records = mark.service_writes(ctx.cloud.service(HOST)["id"]), mark.steps(HOST, ""), ctx.cloud.records(ids, "evacuation")
        return not (writes or steps or records), f"PUTs {writes}, steps {steps}, records {records}"
    throughout("nothing is evacuated on a guess", 25, nothing_done)
    ctx.note("nothing was done for 25 s; the reason is told")
    lab.run("bmc-start", HOST)
    begun = time.monotonic()
    rebuilt_elsewhere(ctx.cloud, ids, 180)
    ctx.note(f"from the BMC's answer to the last ACTIVE: {time.monotonic() - begun:.1f} s")
    evacuated(ctx, ids, mark, name)


def service_kill(ctx):
    """With only nova-compute dead its guests run on until the host is off; none is started before that."""
    ids = ctx.cloud.boot(HOST, ctx.count)
    ctx.ready()
    mark = ctx.mark()
    lab.run("service-kill", HOST)
    name = ctx.program.evacuate(HOST)

    def step():
        # In this order: what is seen as evacuated after the power-off was read as missing would be a breach.
        records = ctx.cloud.records(ids, "evacuation")
        off = mark.power(HOST)
        running = lab.running()
        if records:
            check(off == ["0"], f"evacuations {records} before the power-off")
        if not off:
            check(all(running.get(i) == [HOST] for i in ids) or mark.power(HOST), f"guests do not run on before the fence: {running}")
        nobody_twice = [i for i in ids if len(running.get(i, [])) > 1]
        check(not nobody_twice, f"guests run twice: {nobody_twice}")
        seen = ctx.cloud.where(ids)
        return all(h != HOST and s == "ACTIVE" and t is None for h, s, t in seen.values()), seen
    until("guests ACTIVE elsewhere", 180, step, 0.3)
    evacuated(ctx, ids, mark, name)
    returned(ctx, ids)


def _kill_at(ctx, moment, probe):
    """SIGKILL as soon as something is seen in the world; then a new process on the same data."""
    until(moment, 180, lambda: (bool(seen := probe()), seen), 0.1)
    ctx.program.kill()
    begun = time.monotonic()
    ctx.program.start()
    ctx.note(f"killed at {moment} ({len(probe())} seen); answers again after {time.monotonic() - begun:.1f} s")


def crash_resume(ctx):
    """SIGKILL in the middle of an evacuation and of a drain: the next process adopts, and repeats nothing."""
    ids = ctx.cloud.boot(HOST, ctx.count)
    ctx.ready()
    mark = ctx.mark()
    lab.run("host-kill", HOST)
    name = ctx.program.evacuate(HOST)
    _kill_at(ctx, "the power-off", lambda: mark.power(HOST))
    _kill_at(ctx, "the first evacuation record", lambda: ctx.cloud.records(ids, "evacuation"))
    rebuilt_elsewhere(ctx.cloud, ids, 300)
    evacuated(ctx, ids, mark, name)
    returned(ctx, ids)
    lab.restore(ctx.cloud, ctx.hosts)

    ids = ctx.cloud.boot(HOST, ctx.count)
    mark = ctx.mark()
    ctx.program.apply(DECLARED_OFF)
    _kill_at(ctx, "the first live-migration record", lambda: ctx.cloud.records(ids, "live-migration"))
    wait_off(ctx, 180 + 20 * ctx.count)
    drained_and_off(ctx.cloud, mark, ids)


def return_to_service(ctx):
    """A fenced host that is powered on is released only after Nova cleaned it up, and takes guests again."""
    ctx.ready()
    ids, _ = _crash_and_evacuate(ctx)
    mark = ctx.mark()
    # Held by the latch: nothing powers it on by itself.
    throughout("a fenced host stays off by itself", 10, lambda: (not mark.power(HOST), mark.power(HOST)))
    check(ctx.program.condition("host", HOST, "Fenced")[0] == "True", f"Fenced: {ctx.program.condition('host', HOST, 'Fenced')}")
    returned(ctx, ids)
    check(mark.power(HOST) == ["1"], f"BMC carried out {mark.power(HOST)}")
    nobody_ran_twice(mark, ids)
    all_elsewhere(ctx.cloud, ids, 5)
    ctx.cloud.boot(HOST, 1)


def initialise_cycle(ctx):
    """A link is verified by cycling the empty host: exactly this service falls silent and comes back."""
    host = "c3"
    ctx.ready(verified=[])
    mark, begun = ctx.mark(), time.monotonic()
    ctx.program.cli("initialise", host, "--method", "Cycle", "--yes", "--wait", "--timeout", "240s")
    ctx.note(f"verified by a cycle: {time.monotonic() - begun:.1f} s")
    check(mark.power(host) == ["0", "1"], f"BMC of {host} carried out {mark.power(host)}")
    check(not any(mark.power(other) for other in ctx.hosts if other != host), "another host's power was changed")
    ctx.program.wait_for("powerlink", f"bmc-{host}", "Verified", 30)
    by = ctx.program.get("powerlink", f"bmc-{host}")["status"]["verification"]["by"]
    check(by == "Cycle", f"verified by {by}")
    back_in_service(ctx, 60, host)


SCENARIOS = {
    "drain-off": drain_off,
    "evacuate-crashed": evacuate_crashed,
    "bmc-unreachable": bmc_unreachable,
    "service-kill": service_kill,
    "roles": roles,
    "crash-resume": crash_resume,
    "return": return_to_service,
    "initialise-cycle": initialise_cycle,
    **contract.SCENARIOS,
    **watch_haproxy.SCENARIOS,
    **automatic.SCENARIOS,
    **affinity.SCENARIOS,
    **standby.SCENARIOS,
    **stopped.SCENARIOS,
    **pairs.SCENARIOS,
    **stories.SCENARIOS,
}
# Words that stand for several.
GROUPS = {"all": list(SCENARIOS), "stories": list(stories.SCENARIOS)}
