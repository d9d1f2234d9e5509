"""The end of a story's trace, compared with what the lab shows.

Named otherwise, but the same: hosts and guests, by the script's names. Not compared is what the lab cannot have, or what is
chance: messages but for their counts, on which of several free hosts a guest was placed, whether Nova has noticed yet that a
host is off, whether the watch has looked once more since, and whether a host that was fenced has looked at its latch since.
"""
import re

from . import lab
from .looks import condition, waits_for
from .wait import CheckFailed, check, until

KINDS = {"Evacuation": "evacuations", "HostOperation": "hostoperations", "FenceAttestation": "fenceattestations", "FenceDrill": "fencedrills",
         "RemediationPolicy": "remediationpolicies", "StandbyPool": "standbypools"}
# States of the watch that pass by themselves; a suspicion ends as Nova shows the host.
SOON = {"Recovering": lambda up: "Recovered", "Suspect": lambda up: "Up" if up else "Down"}
GUEST = re.compile(r"guest (\S+): (\S+) on (\S+(?: host)?), runs (nowhere|on .+?)(?:; (.*))?$")
COUNTS = re.compile(r"\d+ of \d+ moved(?:, \d+ \w+)*")


def expected(trace):
    """Lines of the trace's outcome."""
    lines, within = [], False
    for line in trace.splitlines():
        if line.startswith("== "):
            within = line == "== Outcome"
        elif within and line:
            lines.append(line)
    check(lines, "the trace has no outcome: tell it with UPDATE_STORIES=1")
    return lines


def fenced(trace):
    """Hosts that the program forced down."""
    return set(re.findall(r"^ +\[(\S+)\] Nova: disable and force down$", trace, re.M))


def compare(stage, lines, latched):
    """Waits until the lab shows the same; else tells every difference. The hosts that are `latched` were fenced, told or not by whom."""
    guests, rest = {}, []
    for line in lines:
        if match := GUEST.match(line):
            # Those of one `guests` line are alike: which of them goes first is chance.
            guests.setdefault(re.sub(r"-\d+$", "", match.group(1)), []).append(match)
        else:
            rest.append(line)

    def same():
        wrong = [difference for line in rest for difference in [_line(stage, line, latched)] if difference]
        wrong += [difference for alike in guests.values() for difference in [_guests(stage, alike)] if difference]
        wrong += _others(stage, lines)
        return not wrong, "\n  ".join(["", *wrong])
    until("the outcome is that of the simulator", 90, same, 3)


def _line(stage, line, latched):
    """None, or how the lab differs."""
    if line == "no guest ran twice":
        twice = {i: on for i, on in lab.running().items() if len(on) > 1}
        if stage.mark.double_runs() or twice:
            raise CheckFailed(f"guests ran twice: {stage.mark.double_runs()}, {twice}")
        return None
    if match := re.match(r"host (\S+): (.*)", line):
        wanted, there = _host_wanted(match.group(2)), _host(stage, match.group(1))
        if wanted["fenced by"] is None and wanted["forced down"] and match.group(1) in latched:
            # The simulator's story ended before the host told it.
            del wanted["fenced by"]
        differs = {k: (v, there[k]) for k, v in wanted.items() if there[k] != v}
    else:
        name, _, told = line.partition(": ")
        kind, _, name = name.partition("/")
        found = stage.object(kind, name)
        wanted, there = _object_wanted(told), _object(found) if found else ("", "", "", "it is not there")
        differs = {"(status, reason, counts, waits)": (wanted, there)} if wanted != there else {}
    return f"{line}\n    but " + "; ".join(f"{k}: the simulator {a}, the lab {b}" for k, (a, b) in differs.items()) if differs else None


def _host_wanted(told):
    words = told.split(", ")
    power = words.pop(0)
    wanted = {"power": power, "forced down": "forced down" in words, "enabled": "enabled" in words}
    if power == "on":
        wanted["up"] = "up" in words
    by = next((w[len("fenced by "):] for w in words if w.startswith("fenced by ")), None)
    wanted["fenced by"] = by
    state = next((w for w in words if w not in ("crashed", "enabled", "disabled", "up", "down", "forced down", "not judged") and not w.startswith("fenced")), None)
    if state and not (power == "off" and state in ("Up", "Off")):
        wanted["state"] = _soon(state, "up" in words)
    return wanted


def _host(stage, name):
    service = stage.cloud.service(stage.host(name))
    status = stage.object("Host", name).get("status") or {}
    state, fence = (status.get("availability") or {}).get("state"), (status.get("fence") or {}).get("by")
    return {"power": "on" if stage.is_on(name) else "off", "forced down": service["forced_down"], "enabled": service["status"] == "enabled",
            "up": service["state"] == "up", "fenced by": stage.back(fence) if fence else None, "state": _soon(state, service["state"] == "up")}


def _soon(state, up):
    return SOON[state](up) if state in SOON else state


def _guests(stage, alike):
    wanted = sorted((_guest_wanted(stage, *match.groups()) for match in alike), key=str)
    there = sorted((_guest(stage, match.group(1)) for match in alike), key=str)
    differs = [(w, t) for w, t in zip(wanted, there) if w != t]
    return f"guests {', '.join(m.group(1) for m in alike)}: " + "; ".join(f"the simulator {w}, the lab {t}" for w, t in differs) if differs else None


def _guest_wanted(stage, name, status, home, runs, records):
    first = stage.back(stage.first[stage.guest(name)])
    # The simulator's sorted word and ours: kind, source, state; where to is chance.
    found = (re.match(r"(\S+) (\S+) to (.+?) (\S+)$", r).group(1, 2, 4) for r in records.split(", ")) if records else ()
    told = sorted((kind, source, _state(stage, stage.host(source), state)) for kind, source, state in found)
    return {"status": status, "moved": home != first, "runs at home": runs == f"on {home}", "runs elsewhere": runs not in ("nowhere", f"on {home}"),
            "records": told}


def _guest(stage, name):
    home, status, _, runs = stage.guest_seen(name)
    records = sorted((kind, stage.back(source), _state(stage, source, state)) for kind, state, source, _ in stage.records(name))
    return {"status": status, "moved": home != stage.first[stage.guest(name)], "runs at home": runs == [home],
            "runs elsewhere": runs not in ([], [home]), "records": records}


def _state(stage, source, state):
    """Whether a fenced source has cleaned up by now depends on how fast it booted in between."""
    return "done" if state == "completed" and stage.cloud.service(source)["forced_down"] else state


def _object_wanted(told):
    if match := re.match(r"(\w+)=(\w+) (\w+)(?:: (.*))?$", told):
        counts = COUNTS.search(match.group(4) or "")
        return f"{match.group(1)}={match.group(2)}", match.group(3), counts.group() if counts else "", ""
    return "", "", "", told.removeprefix("waits for ")


def _object(found):
    for kind in ("Succeeded", "RemediationAllowed", "Sufficient"):
        status, reason, message = condition(found, kind)
        if reason and (status != "Unknown" or kind == "RemediationAllowed"):
            counts = COUNTS.search(message)
            return f"{kind}={status}", reason, counts.group() if counts else "", ""
    return "", "", "", waits_for(found) or "under way"


def _others(stage, lines):
    """Objects that the lab has, and the simulator has not."""
    told = {line.partition(": ")[0] for line in lines}
    there = [f"{kind}/{stage.back(o['metadata']['name'])}" for kind, plural in KINDS.items() for o in stage.objects(plural)
             if not o["metadata"]["name"].startswith("initialise-")]
    return [f"{name} is in the lab only" for name in there if name not in told]
