"""What a story waits for and expects (tests/tests/stories/check.rs), looked up in Nova, the program and the machines."""
from . import lab, script
from .wait import check

# Steps of the program that a story counts as calls of this kind; those to Nova are counted on their way.
STEPS = {"PowerSet": "Power/"}


def look(stage, line, waiting):
    """Whether it is so, and what is there. `waiting`: more calls than asked for are as good."""
    subject, wants = line.verb, line.words[1:]
    if subject == "calls":
        return _calls(stage, wants, waiting)
    if subject == "host":
        return _host(stage, wants[0], wants[1:])
    if subject == "guest":
        return _guest(stage, wants[0], wants[1:])
    if subject == "event":
        there = {e["spec"]["reason"] for e in stage.objects("events")}
        return wants[0] in there, f"the events are {sorted(there)}"
    kind, _, name = subject.partition("/")
    found = stage.object(kind, name)
    if found is None:
        return wants == ["gone"], f"{subject} is not there"
    wrong = [w for w in wants if not _object(stage, found, w) or not _at_rest(found, w)]
    return not wrong, f"{subject} is not {' '.join(wrong)}: {_in_brief(stage, found)}"


def _at_rest(found, want):
    """On the simulator free standbys are off by the time that they are needed: a host is given up there only after it took longer
    than to put one to rest. In the lab they are free as soon as they are empty, and would be called while they are switched off."""
    if found["kind"] != "StandbyPool" or not want.startswith("status.free="):
        return True
    states = [m["state"] for m in (found.get("status") or {}).get("members") or []]
    return states.count("Idle") >= int(want.partition("=")[2])


def power_calls(stage):
    """Power commands that the program decided on since the story began."""
    return sum(1 for host in stage.ctx.hosts for _ in stage.mark.steps(host, STEPS["PowerSet"]))


def _calls(stage, wants, waiting):
    if wants == ["none"]:
        there = [*stage.through.calls, *["PowerSet"] * power_calls(stage)]
        return not there, f"there were {there}"
    kind, wanted = wants[0], int(wants[1])
    there = power_calls(stage) if kind in STEPS else stage.through.count(kind)
    return (there >= wanted if waiting else there == wanted), f"there were {there} of {kind}, and {stage.through.calls} in all"


def _host(stage, name, wants):
    there = stage.host(name)
    service = stage.cloud.service(there)
    now = {"on": stage.is_on(name), "up": service["state"] == "up", "enabled": service["status"] == "enabled", "forced-down": service["forced_down"],
           "empty": all(there not in on for on in lab.running().values())}
    now.update({"off": not now["on"], "down": not now["up"], "disabled": not now["enabled"], "not-forced-down": not now["forced-down"]})
    for want in wants:
        check(want in now, f"`{want}` is nothing that the lab shows of a host")
    return all(now[w] for w in wants), f"host {name}: {now}"


def _guest(stage, name, wants):
    home, status, task, runs = stage.guest_seen(name)
    records = stage.records(name)
    evacuations = [r for r in records if r[0] == "evacuation"]

    def so(want):
        key, _, value = want.partition("=")
        if key == "on":
            return home == stage.host(value)
        if key == "not-on":
            return home is not None and home != stage.host(value)
        if key == "status":
            return status == value
        if key == "runs":
            return runs == ([] if value == "nowhere" else [stage.host(value)])
        if key == "record":
            return any(f"{r[0]}:{r[1]}" == value for r in records)
        check(key == "rebuilt-from", f"`{want}` is nothing that the lab shows of a guest")
        return home != stage.host(value) and runs == [home] and status == "ACTIVE" and len(evacuations) == 1
    return all(so(w) for w in wants), lambda: stage.back(f"guest {name} is {status} ({task}) on {home}, runs on {runs}, its records are {records}")


def condition(found, kind):
    for c in (found.get("status") or {}).get("conditions") or []:
        if c["type"] == kind:
            return c["status"], c["reason"], c.get("message", "")
    return "", "", ""


def waits_for(found):
    """Why it waits, or "" (tests/src/lib.rs)."""
    return ((found.get("status") or {}).get("waiting") or {}).get("reason") or ""


def _object(stage, found, want):
    status, reason, _ = condition(found, "Succeeded")
    key, sep, value = want.partition("=")
    plain = {"exists": True, "gone": False, "ended": status in ("True", "False"), "succeeded": status == "True", "failed": status == "False",
             "waits": bool(waits_for(found))}
    if not sep:
        check(want in plain, f"`{want}` is nothing that an object can be")
        return plain[want]
    if key == "failed":
        return (status, reason) == ("False", value)
    if key == "succeeded":
        return (status, reason) == ("True", value)
    if key == "waits":
        return waits_for(found) == value
    if key == "is":
        return ((found.get("status") or {}).get("availability") or {}).get("state") == value
    if key == "says":
        told = [c.get("message", "") for c in (found.get("status") or {}).get("conditions") or []]
        return any(value in m for m in [*told, ((found.get("status") or {}).get("waiting") or {}).get("message", "")])
    if key.startswith(("status.", "spec.")):
        return _text(found, key.split(".")) == value
    return value in condition(found, key)[:2]


def _text(found, path):
    for part in path:
        found = found.get(part) if isinstance(found, dict) else None
    return "none" if found is None else str(found).lower() if isinstance(found, bool) else str(found)


def _in_brief(stage, found):
    told = "; ".join(f"{c['type']} {c['status']} {c['reason']}: {c.get('message', '')}" for c in (found.get("status") or {}).get("conditions") or [])
    state = ((found.get("status") or {}).get("availability") or {}).get("state")
    return stage.back(f"{state} waits for `{waits_for(found)}`; {told}")


def parse_wait(line):
    """The line without `within=`, and how long it is waited for in the script's seconds."""
    words, patience = list(line.words[1:]), 600
    if words[-1].startswith("within="):
        patience = script.seconds(words.pop()[7:])
    return script.Line(line.number, line.text, words, line.yaml), patience
