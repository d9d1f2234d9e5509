"""Guests that a GuestPolicy wants left stopped on their new host (Nova 2.95), and what a Nova that cannot do that leads to.

Nova does not leave it unstarted: it spawns the guest on its new host and stops it at once (2025.2, compute/manager.py,
_do_rebuild_instance), as it does with guests that were stopped. For that moment it runs, there and nowhere else.
"""
from . import lab
from .automatic import becomes, begun_once, crash, policy, watched
from .common import HOST, REBUILT, all_elsewhere, fenced_in_one_write, returned
from .wait import check, throughout, until

# From this version on an evacuation leaves a guest stopped (Nova, API history 2.95); before, Nova starts it.
LEAVES_STOPPED = (2, 95)


def evacuate_to_stopped(ctx):
    """A guest whose GuestPolicy says `targetState: Stopped` is stopped once it was moved; a Nova that would start it is not asked, and the guest is named."""
    cloud = ctx.cloud
    sealed = cloud.order("e2e-sealed", HOST, metadata={"tier": "sealed"})
    cloud.becomes(sealed, HOST, "ACTIVE", None, seconds=90)
    plain = cloud.boot(HOST, 2)
    mark = watched(ctx)
    spec = {"selector": {"metadata": "tier=sealed"}, "targetState": "Stopped"}
    ctx.program.apply({"kind": "GuestPolicy", "metadata": {"name": "sealed"}, "spec": spec})
    crash()
    name = f"auto-{HOST}-1"
    ended = lambda: ctx.program.condition("evacuation", name, "Succeeded") if begun() else (None, None, None)
    begun = lambda: f"evacuation/{name}" in ctx.program.cli("get", "evacuations", "-o", "name").stdout

    moment = set()

    def step():
        on = lab.running().get(sealed, [])
        check(HOST not in on and len(on) <= 1, f"the guest that is to be left stopped runs on {on}")
        moment.update(on)
        return (e := ended())[0] in ("True", "False"), lambda: f"{e}\n{ctx.program.describe('host', HOST)}"
    until("the host is fenced", 180, lambda: (mark.power(HOST) == ["0"], mark.power(HOST)), 0.2)
    until("the evacuation has ended", 240, step, 0.5)
    becomes(ctx, "Recovered", 30)
    told = {g["id"]: (g["outcome"], g.get("reason", ""), g.get("message", "")) for g in ctx.program.get("evacuation", name)["status"]["guests"]}
    ctx.note(f"API {'.'.join(map(str, cloud.microversion()))}: the evacuation ended with {ended()[1]}: {ended()[2]}; the sealed guest: {told[sealed]}")
    if moment:
        ctx.note(f"Nova ran it for a moment, on {moment}")
    all_elsewhere(cloud, plain, 30)
    check(all(told[g][0] == "Moved" for g in plain), f"{told}")
    records = [(m["instance_uuid"], m["status"]) for m in cloud.records([sealed, *plain], "evacuation")]
    host, status, task = cloud.where([sealed])[sealed]
    if cloud.microversion() >= LEAVES_STOPPED:
        check(told[sealed][0] == "Moved", f"{told[sealed]}")
        check(host != HOST and (status, task) == ("SHUTOFF", None), f"it is {status} on {host}, task {task}")
        check(sorted(i for i, _ in records) == sorted([sealed, *plain]) and all(s in REBUILT for _, s in records), f"records {records}")
        throughout("nobody starts it", 10, lambda: (sealed not in lab.running(), lab.running()), 1)
        cloud.act(sealed, "os-start")
        cloud.becomes(sealed, host, "ACTIVE", None)
        check(lab.running().get(sealed) == [host], f"it runs on {lab.running().get(sealed)}")
        moved = [sealed, *plain]
    else:
        check(told[sealed][0] != "Moved" and "2.95" in told[sealed][2], f"it is not named, with the version that it needs: {told[sealed]}")
        said = ctx.program.describe("evacuation", name)
        check("2.95" in said and "targetState" in said, f"describe does not name it, and the way out: {said}")
        check(host == HOST and not moment and sealed not in lab.running(), f"it is on {host}, {lab.running()}")
        check(sorted(i for i, _ in records) == sorted(plain) and all(s in REBUILT for _, s in records), f"records {records}")
        moved = plain
    fenced_in_one_write(cloud, mark)
    begun_once(ctx, name)
    check(not mark.double_runs(), f"guests ran twice: {mark.double_runs()}")
    policy(ctx, max_down=0)
    returned(ctx, moved)
    check(not mark.double_runs(), f"guests ran twice: {mark.double_runs()}")


SCENARIOS = {"auto-stopped": evacuate_to_stopped}
