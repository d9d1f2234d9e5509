"""Standby hosts: woken for one recovery, given back, and drilled."""
import time

from . import lab
from .automatic import becomes, crash, policy, state
from .common import HOST, evacuated, nobody_ran_twice, rebuilt_elsewhere
from .wait import check, throughout, until

SPARES = ("c4", "c5")
# Where guests of these two flavors run there is no room for another of the larger one.
LARGE, FILL = "m4096", "m2048"


def _pool(ctx, **more):
    """The spares are put to rest."""
    ctx.ready()
    policy(ctx)
    begun = time.monotonic()
    ctx.program.apply({"kind": "StandbyPool", "metadata": {"name": "spare"}, "spec": {"members": list(SPARES), "size": 2, "idleAfterSeconds": 5, **more}})
    at_rest(ctx, SPARES)
    ctx.note(f"{len(SPARES)} standby hosts are off and free after {time.monotonic() - begun:.1f} s")


def at_rest(ctx, hosts, seconds=240):
    """Waits until the pool counts all of these as free, and they are off and disabled."""
    def resting():
        seen = {h: (lab.power(h), ctx.cloud.service(h)["status"]) for h in hosts}
        free = ctx.program.get("standbypool", "spare")["status"].get("free")
        done = all(s == ("off", "disabled") for s in seen.values()) and free == len(SPARES)
        return done, lambda: f"free {free}, {seen}\n{ctx.program.describe('standbypool', 'spare')}"
    until(f"{', '.join(hosts)} at rest", seconds, resting, 2)


def auto_standby(ctx):
    """Guests of a dead host fit nowhere: a powered-off standby is woken, used, and given back when it is empty again."""
    full = [i for host in ("c2", "c3") for flavor in (LARGE, FILL) for i in ctx.cloud.boot(host, 1, flavor)]
    ids = ctx.cloud.boot(HOST, 1, LARGE)
    _pool(ctx)
    for host in ("c1", "c2", "c3"):
        becomes(ctx, "Up", 60, host)
    seen = ctx.program.get("remediationpolicy", "default")["status"]
    check(seen["unhealthy"] == 0, f"standby hosts count as down: {seen}")
    mark, begun = ctx.mark(), crash()
    until("a standby is being woken", 120, lambda: (any(mark.power(h) == ["1"] for h in SPARES), ctx.program.describe("standbypool", "spare")), 1)
    woken = next(h for h in SPARES if mark.power(h) == ["1"])
    ctx.note(f"{woken} is powered on {time.monotonic() - begun:.1f} s after the crash")
    rebuilt_elsewhere(ctx.cloud, ids, 300)
    ctx.note(f"the guest is ACTIVE on it {time.monotonic() - begun:.1f} s after the crash")
    evacuated(ctx, ids, mark, f"auto-{HOST}-1")
    check({h for h, _, _ in ctx.cloud.where(ids).values()} == {woken}, f"guests are at {ctx.cloud.where(ids)}")
    idle = next(h for h in SPARES if h != woken)
    check(mark.power(idle) == [], f"{idle} was woken as well: {mark.power(idle)}")
    throughout("a standby with a guest on it stays in service", 20, lambda: (mark.power(woken) == ["1"], mark.power(woken)), 1)
    check(all(s[1] == "ACTIVE" for s in ctx.cloud.where(full).values()), f"others: {ctx.cloud.where(full)}")
    nobody_ran_twice(mark, [*ids, *full])
    begun = time.monotonic()
    ctx.cloud.delete(ids)
    at_rest(ctx, SPARES)
    ctx.note(f"{woken} is off and free again {time.monotonic() - begun:.1f} s after its guest was deleted")
    check(mark.power(woken) == ["1", "0"], f"the BMC of {woken} carried out {mark.power(woken)}")
    check(state(ctx) == "Recovered", f"{HOST} counts as {state(ctx)}")


def fence_drill(ctx):
    """A drill powers each standby host on and off again, one at a time, and touches no other host."""
    _pool(ctx)
    mark, begun = ctx.mark(), time.monotonic()
    ctx.program.apply({"kind": "FenceDrill", "metadata": {"name": "drill"}, "spec": {"poolRef": {"name": "spare"}, "depth": "Cycle"}})
    drill = lambda: ctx.program.get("fencedrill", "drill")["status"]
    until("the drill has ended", 400, lambda: (drill().get("finishedAt"), lambda: ctx.program.describe("fencedrill", "drill")), 2)
    outcome = {h["host"]: (h["outcome"], h.get("message")) for h in drill()["hosts"]}
    check(all(outcome.get(h, ("?",))[0] == "Passed" for h in SPARES), f"outcome: {outcome}")
    ctx.note(f"{len(SPARES)} hosts drilled in {time.monotonic() - begun:.1f} s; power {({h: mark.power(h) for h in SPARES})}")
    check(all(mark.power(h)[:1] == ["1"] and mark.power(h)[-1:] == ["0"] for h in SPARES), f"power: {({h: mark.power(h) for h in SPARES})}")
    check(not any(mark.power(h) for h in ctx.hosts if h not in SPARES), "other hosts were touched")
    at_rest(ctx, SPARES)


for scenario in (auto_standby, fence_drill):
    scenario.hosts = 5
SCENARIOS = {"auto-standby": auto_standby, "fence-drill": fence_drill}
