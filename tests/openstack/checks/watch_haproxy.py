"""A watch through HAProxy for a quarter of an hour, through restarts and through the end of history."""
import os
import time

from .contract import Contract
from .points.network import QuietWatch
from .points.objects import by_links, domain, pages
from .wait import check, until
from .watching import Database, Historian, Watcher, Writer, caught_up, seen
from .wire import Wire

# Time-outs of HAProxy as they usually are, and how long one watch has to outlive them.
PROXY_SECONDS = 60
MINUTES = float(os.environ.get("WATCH_MINUTES", "15"))
# Revisions of history that the program keeps, and how often it looks (controller/src/gc.rs, run.rs).
KEPT, HOUSEKEEPING = 10_000, 300
ROUND, PER_SECOND, NAMES = 500, 4, 40


def _fill(wire, database, beyond):
    """Writes more revisions than are kept."""
    n = 0
    while database.revision()[0] < beyond:
        n += 1
        items = [domain(f"fill-{i:03}", metadata={"name": f"fill-{i:03}", "labels": {"round": str(n)}}) for i in range(ROUND)]
        wire.post("/v1/apply?fieldManager=e2e", {"kind": "List", "items": items}).gives(200)
    return n


def _same(who, watcher, database, listed):
    """The watcher's view, a fresh list and the database are one and the same."""
    mine, theirs = seen(watcher.view), database.objects()
    fresh = seen(listed)
    for what, other in (("a fresh list", fresh), ("the database", theirs)):
        differ = sorted(name for name in mine.keys() | other.keys() if mine.get(name) != other.get(name))
        check(not differ, f"{who} and {what} differ in {len(differ)} of {len(other)} objects: " +
              "; ".join(f"{name}: {mine.get(name)} against {other.get(name)}" for name in differ[:3]))
    check(not watcher.wrong, f"{who} was told wrong {len(watcher.wrong)} times: {watcher.wrong[:5]}")


def watch_haproxy(ctx):
    """A watch outlives HAProxy's time-outs of 60 s (WATCH_MINUTES, 15), loses nothing over restarts, and lists again where history ended."""
    c = Contract(ctx, PROXY_SECONDS)
    ctx.program.start()
    c.proxy.start()
    database, url, token = Database(c.database), c.proxy.plain, c.admin.token
    wire = Wire(url, token)
    historian, writer = Historian(database), Writer(url, token, NAMES, PER_SECOND)
    watcher, left_behind = Watcher(url, token), Watcher(url, token)
    threads = [historian, watcher, left_behind, writer]
    try:
        historian.start()
        writer.start()
        until("something is there", 30, lambda: (len(writer.acknowledged) > 10, len(writer.acknowledged)))
        quiet = QuietWatch(url, token)
        for thread in (quiet, watcher, left_behind):
            thread.start()
        for who in (watcher, left_behind):
            until("a watcher is told of changes", 30, lambda: (len(who.told) > 5, f"{len(who.told)} told, {who.died}"))
        left_behind.hold()
        where = left_behind.revision
        begun = time.monotonic()
        rounds = _fill(wire, database, where + KEPT + ROUND)
        written = database.revision()[0] - where
        ctx.note(f"{rounds} rounds of {ROUND} objects, {written} revisions in {time.monotonic() - begun:.0f} s; one client stands at {where}")

        def waited(what, seconds, probe):
            """As `until`, as long as nobody has ended."""
            def alive():
                for thread in threads:
                    thread.alive()
                return probe()
            return until(what, seconds, alive)

        def lives():
            check(len(watcher.streams) == 1 and not watcher.streams[0]["ended"], f"the stream ended: {watcher.streams}")
            check(quiet.ended is None, f"the silent stream ended after {quiet.age:.0f} s with {quiet.ended}")
            return min(watcher.age, quiet.age) > 60 * MINUTES, f"{watcher.age:.0f} s"
        waited(f"one stream of changes and one silent one live for {MINUTES:g} minutes", 60 * MINUTES + 120, lives)
        ctx.note(f"one stream of {watcher.age:.0f} s with {len(watcher.told)} changes, longest silence {watcher.streams[0]['silence']:.1f} s; "
                 f"one of {quiet.age:.0f} s with nothing but {len(quiet.lines)} bookmarks")
        waited("history was compacted beyond the client that was left behind", HOUSEKEEPING + 90,
               lambda: ((r := database.revision())[1] > where, f"current {r[0]}, compacted {r[1]}"))
        check(not left_behind.gone and left_behind.lists == 1, f"it listed again before: {left_behind.gone}")
        left_behind.go_on()
        waited("the client that was left behind has listed again", 60, lambda: (left_behind.lists == 2, left_behind.gone))
        check(left_behind.gone == [(where, "cloud-manager.expired")], f"it was told {left_behind.gone}, standing at {where}")
        ctx.note(f"compacted up to {database.revision()[1]}: 410 for {where}, listed again")

        for how in ("kill", "stop"):
            streams, before, unanswered = len(watcher.streams), len(writer.acknowledged), writer.unanswered
            getattr(ctx.program, how)()
            waited("a write finds nobody", 60, lambda: (writer.unanswered > unanswered, writer.unanswered))
            ctx.program.start()
            waited("the watcher has a new stream", 60, lambda: (len(watcher.streams) > streams and not watcher.streams[-1]["ended"], watcher.streams[-1]))
            waited("writes are taken again", 60, lambda: (len(writer.acknowledged) > before + 5, len(writer.acknowledged)))
            ctx.note(f"after {how} and start: stream {len(watcher.streams)}, {writer.unanswered} writes unanswered so far")
        writer.end()
        for who in (watcher, left_behind):
            caught_up(who, database)
        historian.end()
        historian.copy()
        fresh = pages(c, "/v1/failuredomains?limit=500", by_links(c))
        listed = {o["metadata"]["name"]: o for page in fresh for o in page.json()["items"]}
        _same("the watcher", watcher, database, listed)
        _same("the client that was left behind", left_behind, database, listed)
        check(watcher.lists == 1 and not watcher.gone, f"the watcher listed again: {watcher.gone}")
        # Not one change is missing, told twice or out of order, over all streams.
        first = watcher.told[0][0]
        happened = [change for change in historian.changes if change[0] >= first]
        check(watcher.told == happened, f"told {len(watcher.told)} changes, {len(happened)} happened; first difference: "
              f"{next(((a, b) for a, b in zip(watcher.told, happened) if a != b), 'one has more')}")
        told = {(str(revision), name) for revision, _, name in watcher.told}
        lost = [w for w in writer.acknowledged if w[0] and int(w[0]) >= first and (w[0], w[2]) not in told]
        check(not lost, f"acknowledged writes that nobody was told of: {lost[:5]}")
        # That the controller writes a status meanwhile stands against no write that names no version.
        check(not writer.conflicts, f"{len(writer.conflicts)} writes without a version were in conflict: {writer.conflicts[:5]}")
        ctx.note(f"{len(watcher.told)} changes, each told once and in order; {len(writer.acknowledged)} writes acknowledged, {writer.unanswered} unanswered, "
                 f"none in conflict; {len(listed)} objects the same in view, list and database")
    finally:
        for thread in threads:
            thread.ending.set()
        c.proxy.stop()


watch_haproxy.hosts = 1
SCENARIOS = {"watch-haproxy": watch_haproxy}
