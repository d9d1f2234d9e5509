"""One dead host with every kind of guest that Nova, or its server group, does not let go just like that."""
import time

from . import lab
from .automatic import crash, watched
from .common import HOST, REBUILT, fenced_in_one_write
from .wait import check, until


def auto_mixed(ctx):
    """Anti-affinity, affinity, a paused, a resized and a stopped guest on one dead host: each comes back as it was, or is named."""
    cloud = ctx.cloud
    apart = cloud.group("apart", "anti-affinity", max_server_per_host=2)
    alone = cloud.group("alone", "anti-affinity")
    together = cloud.group("together", "affinity")
    plain = cloud.boot(HOST, 2)
    # Two of a host are allowed; one member lives on c2 already.
    pair = cloud.boot(HOST, 2, group=apart)
    single, elsewhere = cloud.boot(HOST, 1, group=alone), cloud.boot("c2", 1, group=alone)
    bound = cloud.boot(HOST, 2, group=together)
    paused, stopped = cloud.boot(HOST, 1), cloud.boot(HOST, 1)
    resized = cloud.boot("c3", 1)
    cloud.act(paused[0], "pause")
    cloud.act(stopped[0], "os-stop")
    cloud.act(resized[0], "migrate", host=HOST)
    cloud.becomes(paused[0], HOST, "PAUSED", None)
    cloud.becomes(stopped[0], HOST, "SHUTOFF", None)
    cloud.becomes(resized[0], HOST, "VERIFY_RESIZE", None)
    mark = watched(ctx)
    begun = crash()
    move, stay = [*plain, *pair, *single, *stopped], [*bound, *paused, *resized]

    def rebuilt():
        records = cloud.records([*move, *stay], "evacuation")
        return {m["instance_uuid"] for m in records if m["status"] in REBUILT} >= set(move), [(m["instance_uuid"], m["status"]) for m in records]
    until("what can be evacuated is", 240, rebuilt, 0.5)
    ctx.note(f"{len(move)} of {len(move) + len(stay)} guests, from the crash to the last rebuilt: {time.monotonic() - begun:.1f} s")
    name = f"auto-{HOST}-1"
    ended = lambda: ctx.program.condition("evacuation", name, "Succeeded")
    until("the evacuation has ended", 60, lambda: ((e := ended())[0] in ("True", "False"), e))
    ctx.note(f"it ended with {ended()[1]}: {ended()[2]}")
    told = {g["id"]: (g["outcome"], g.get("reason", ""), g.get("message", "")) for g in ctx.program.get("evacuation", name)["status"]["guests"]}
    for guest in move:
        check(told[guest][0] == "Moved", f"{guest}: {told[guest]}")
    for guests, word in ((bound, "affinity"), (paused, "paused"), (resized, "resized")):
        for guest in guests:
            check(told[guest][0] != "Moved" and word in told[guest][2], f"{guest} is not named as {word}: {told[guest]}")
            check(guest in (said := ctx.program.describe("evacuation", name)) or word in said, f"describe does not name it: {said}")
    fenced_in_one_write(cloud, mark)
    records = [m["instance_uuid"] for m in cloud.records([*move, *stay], "evacuation")]
    check(sorted(records) == sorted(move), f"records, want one each of {move} and no other: {records}")
    where, running = cloud.where([*move, *stay, *elsewhere]), lab.running()
    for guest in [*plain, *pair, *single]:
        host, status, task = where[guest]
        check((status, task) == ("ACTIVE", None) and host != HOST and running.get(guest) == [host], f"{guest}: {where[guest]}, running {running}")
    check(where[stopped[0]][0] != HOST and where[stopped[0]][1] == "SHUTOFF" and stopped[0] not in running, f"the stopped one: {where[stopped[0]]}, {running}")
    check(where[single[0]][0] != where[elsewhere[0]][0], f"anti-affinity is broken: {where}")
    check(all(where[g][0] == HOST and g not in running for g in stay), f"those that stay: {where}, {running}")
    check(not mark.double_runs(), f"guests ran twice: {mark.double_runs()}")
    # The host comes back, and with it the guests that were left on it.
    ctx.program.cli("power", "on", HOST)
    until("it is back in service", 180, lambda: ((s := cloud.service(HOST))["status"] == "enabled" and s["state"] == "up" and not s["forced_down"], s), 1)
    until("the guests that stayed with it run again", 60, lambda: (all((r := lab.running()).get(g) == [HOST] for g in bound), r))
    running = lab.running()
    check(all(len(on) == 1 for on in running.values()) and not mark.double_runs(), f"guests run twice: {running}, {mark.double_runs()}")


SCENARIOS = {"auto-mixed": auto_mixed}
