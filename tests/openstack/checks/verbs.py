"""Verbs of stories (tests/tests/stories/scene.rs, world.rs, operator.rs), as far as a lab can do them."""
import time

from . import lab, script
from .access import call
from .stage import flavor
from .wait import CheckFailed, check, until

# What the lab says of what the simulator says; `strict`: an IPMI BMC never refuses to switch off what is off.
BMC = {"says-off": "says-off", "says-on": "says-on", "does-nothing": "does-nothing", "honest": "honest", "soft-off-ignored": "ignores-soft"}
# A rebuild or a live migration that takes longer than this many seconds takes SLOWEST in the lab: enough for the recovery of another host.
LONG, SLOWEST = 60, 120
# A whole machine, or nova-compute alone: the lab's commands for either do nothing to what is well.
HEALS = ("heal", "compute-starts")


def set_scene(stage, lines):
    """Hosts are named already: the cloud's behaviour, the policy, the links."""
    policy, verified, cables = {}, True, {}
    # On the simulator a host that boots starts no guests unless Nova is told to.
    lab.run("behave", "resume", "no")
    for line in lines:
        if line.verb == "host":
            check(len(line.words) == 2, f"`{line.text}`: a host of the lab is like the others")
        elif line.verb == "cluster":
            policy = line.yaml
        elif line.verb == "links":
            if line.words[1] == "unverified":
                verified = False
            else:
                cables[line.words[2]] = line.words[3]
    stage.begin(policy, verified, cables)
    # After the set-up, and never for it.
    for line in lines:
        if line.verb == "cloud":
            behaves(stage, line)


def behaves(stage, line):
    for key, value in script.pairs(line.words[1:]).items():
        if key in ("rebuild", "live-migration"):
            takes = script.seconds(value)
            if key == "rebuild":
                _begun(stage)
            lab.run("behave", key, str(takes if takes <= LONG else SLOWEST))
        elif key == "resume-guests":
            lab.run("behave", "resume", value)
        elif key == "boot":
            long = script.seconds(value) >= 3600
            lab.run("host-break" if long else "host-mend", *stage.ctx.hosts)
        elif key != "microversion":
            raise CheckFailed(f"the lab cannot be told {key}={value}")


def _begun(stage):
    """Waits until rebuilds that were asked for have begun: one takes as long as was said when it did, and Nova is a moment on its way to it."""
    ids = list(stage.guests.values())
    if not ids:
        return

    def spawning():
        # A call counts before Nova has it.
        calls, records = stage.through.count("Evacuate"), stage.cloud.records(ids, "evacuation")
        there = {i: task for i, (_, _, task) in stage.cloud.where({m["instance_uuid"] for m in records if m["status"] not in lab.FINAL}).items()}
        return len(records) >= calls and all(task == "rebuild_spawning" for task in there.values()), f"{calls} calls, {there}"
    until("the rebuilds have begun", 60, spawning)
    # Nova says so just before it tells the hypervisor.
    time.sleep(1)


def guest(stage, line, count):
    name, host = line.words[1], stage.host(line.words[2])
    options = script.pairs(line.words[3 if count is None else 4:])
    known = {"stopped", "cannot-migrate", "ram", "group"}
    check(all(o in known or o.startswith("meta.") for o in options), f"the lab has no guests like {options}")
    for n in range(count or 1):
        called = name if count is None else f"{name}-{n}"
        first = host
        if resized := any(x.words == ["vm-state", called, "resized"] for x in stage.ahead):
            first = next(h for h in stage.hosts.values() if h != host)
        metadata = {k[5:]: v for k, v in options.items() if k.startswith("meta.")}
        group = stage.groups[options["group"]] if "group" in options else None
        made = stage.cloud.order(called, first, flavor(int(options["ram"])) if "ram" in options else lab.FLAVOR, group, metadata)
        stage.guests[called], stage.first[made] = made, host
        if resized:
            stage.late[made] = host
        if "stopped" in options:
            stage.stopped.append(made)
        if "cannot-migrate" in options:
            lab.run("stuck", made)


def vm_state(stage, line):
    name, state = line.words[1:3]
    stage.settle()
    if state == "paused":
        stage.cloud.act(stage.guest(name), "pause")
        stage.cloud.becomes(stage.guest(name), stage.first[stage.guest(name)], "PAUSED", None)
    elif state == "error":
        stage.cloud.act(stage.guest(name), "os-resetState", state="error")
        stage.cloud.becomes(stage.guest(name), stage.first[stage.guest(name)], "ERROR", None)
    else:
        check(state == "resized", f"the lab cannot make a guest {state}")


def bmc(stage, line):
    host, what = stage.host(line.words[1]), line.words[2]
    if what in ("silent", "answers"):
        lab.run("bmc-kill" if what == "silent" else "bmc-start", host)
    elif what == "late":
        lab.run("bmc-lie", host, f"late={script.seconds(line.words[3])}")
    elif what != "strict":
        lab.run("bmc-lie", host, BMC[what])


def press(host, what):
    check(what in ("on", "off"), "the lab's button is on or off")
    lab.run("bmc-power", host, what)


def someone(stage, line):
    does, what = line.words[1:3]
    cloud = stage.cloud
    changes = {"enables": {"status": "enabled"}, "forces-down": {"forced_down": True}, "frees": {"forced_down": False}}
    if does == "presses":
        press(stage.host(what), line.words[3])
    elif does == "disables":
        cloud.put_service(stage.host(what), status="disabled", disabled_reason=line.words[3])
    elif does in changes:
        cloud.put_service(stage.host(what), **changes[does])
    elif does == "deletes":
        cloud.delete([stage.guests.pop(what)])
    elif does == "live-migrates":
        cloud.act(stage.guest(what), "os-migrateLive", host=stage.host(line.words[3]), block_migration="auto")
    elif does == "evacuates":
        cloud.act(stage.guest(what), "evacuate", host=stage.host(line.words[3]))
    else:
        check(does in ("starts", "stops"), f"nobody `{does}` in the lab")
        cloud.act(stage.guest(what), "os-start" if does == "starts" else "os-stop")


def dies(stage, when, number):
    """The program is killed before or after its n-th changing call from now on, be it to a BMC or to Nova; to Nova it is."""
    mark, sent, dead = stage.ctx.mark(), len(stage.through.calls), stage.died
    powered = lambda: sum(len(mark.power(host)) for host in stage.ctx.hosts)

    def death(_):
        if dead.is_set() or powered() + len(stage.through.calls) - sent + 1 < number:
            return None

        def kill():
            stage.program.kill()
            dead.set()
        stage.through.death = None
        return when, kill
    stage.through.death = death


def controller(stage, line):
    does = line.words[1]
    if does == "crashes":
        stage.program.kill()
    elif does == "dies":
        stage.died.clear()
        dies(stage, line.words[2], int(line.words[3]))
    elif does == "is-dead":
        check(stage.died.wait(180), "the controller lives on: it never came to that call")
    else:
        check(does == "takes-over", f"the lab's controller never `{does}`")
        stage.program.start()


def watch(stage, line):
    detection = {"intervalSeconds": 10, "downConfirmations": 2, "quietSeconds": 20}
    stage.apply("RemediationPolicy", "default", {"limits": line.yaml or {"maxDownHosts": 1}, "detection": detection})
    seen = lambda: {o["metadata"]["name"]: ((o.get("status") or {}).get("availability") or {}).get("state") for o in stage.objects("hosts")}
    until("every host is judged", 120, lambda: (set((s := seen()).values()) <= {"Up", "Off"}, s))
    ready = lambda: stage.program.condition("remediationpolicy", "default", "RemediationAllowed")
    until("the policy is past its quiet period", 90, lambda: ((r := ready())[1] not in (None, "", "QuietPeriod"), r))


def attest(stage, line, refused):
    host, options = line.words[1], script.pairs(line.words[2:])
    epoch = int(options["epoch"]) if "epoch" in options else stage.object("Host", host)["status"].get("epoch", 1)
    # Told twice within a second it would be the same request, which is answered with what is there.
    ends = time.time() + script.seconds(options.get("for", "1h")) + refused
    expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ends))
    spec = {"hostRef": {"name": host}, "powerEpoch": epoch, "statement": "burnt, I pulled its cables", "expiresAt": expires}
    # Nobody states it in a file.
    body = {"metadata": {"name": stage.there(options.get("as", f"attest-{host}"))}, "spec": stage.placed(spec)}
    status, _, text = call(stage.program, "POST", "/v1/fenceattestations", stage.cloud.token(), body)
    check((status >= 300) == refused, f"POST /v1/fenceattestations gave {status}: {text[:300]}")


def act(stage, line):
    """Does what the line says."""
    refused = line.verb == "refused"
    line = line.rest() if refused else line
    words, verb = line.words, line.verb
    if verb in ("apply", "attest", "evacuate", "operate"):
        return _object(stage, line, refused)
    check(not refused, f"`refused {verb}` is not known in the lab")
    if verb == "guest":
        guest(stage, line, None)
    elif verb == "guests":
        guest(stage, line, int(words[3]))
    elif verb == "group":
        stage.groups[words[1]] = stage.cloud.group(words[1], "soft-anti-affinity" if words[2] == "soft" else words[2])
    elif verb == "vm-state":
        vm_state(stage, line)
    elif verb == "crash":
        lab.run("host-kill", *(stage.host(h) for h in words[1:]))
    elif verb == "compute-dies":
        # One that is to be healed hangs only: it reports at once then, as on the simulator; to start anew takes seconds.
        heals = {h for x in stage.ahead if x.verb in HEALS for h in x.words[1:]}
        for name in words[1:]:
            lab.run("service-stop" if name in heals else "service-kill", stage.host(name))
    elif verb in HEALS:
        for how in ("host-start", "service-continue"):
            lab.run(how, *(stage.host(h) for h in words[1:]))
    elif verb == "feed-lost":
        press(stage.host(words[1]), "off")
        lab.run("bmc-kill", stage.host(words[1]))
    elif verb == "feed-back":
        lab.run("bmc-start", stage.host(words[1]))
        press(stage.host(words[1]), "on")
    elif verb == "bmc":
        bmc(stage, line)
    elif verb == "control-plane":
        lab.run("conductor-start" if words[1] == "up" else "conductor-kill")
    elif verb == "nova":
        _nova(stage, words)
    elif verb == "behaves":
        behaves(stage, line)
    elif verb == "someone":
        someone(stage, line)
    elif verb == "watch":
        watch(stage, line)
    elif verb == "label":
        kind, name = words[1].split("/")
        stage.apply(kind, name, {}, labels=dict([words[2].split("=", 1)]))
    elif verb == "delete":
        stage.program.cli("delete", *(lambda k, n: (k.lower(), stage.there(n)))(*words[1].split("/")))
    elif verb == "cancel":
        kind, name = words[1].split("/")
        stage.apply(kind, name, {"cancel": "Requested"})
    elif verb in ("freeze", "thaw"):
        stage.program.cli(verb)
    elif verb == "hear":
        stage.hear(words[1], words[2], script.seconds(words[3][4:]) if len(words) > 3 else 1)
    elif verb == "channel":
        stage.channels.pop(words[1], None)
        if words[2] != "ends":
            stage.hear(words[1], words[2], ttl=30)
            stage.channels[words[1]] = words[2]
    elif verb == "controller":
        controller(stage, line)
    else:
        raise CheckFailed(f"the lab has no verb `{verb}`; say `# lab: no, needs …` in the script")
    return None


def _nova(stage, words):
    if words[1] == "well":
        return stage.through.well()
    options = script.pairs(words[3:])
    of = options.get("of")
    of = stage.guests.get(of, stage.hosts.get(of, of))
    return stage.through.fail(words[1], words[2], int(options["times"]) if "times" in options else None, of)


def _object(stage, line, refused):
    words, more = line.words, line.yaml or {}
    name = next((w[3:] for w in words if w.startswith("as=")), None)
    if line.verb == "apply":
        kind, called = words[1].split("/")
        stage.apply(kind, called, more, refused)
    elif line.verb == "attest":
        attest(stage, line, refused)
    elif line.verb == "evacuate":
        stage.apply("Evacuation", name or f"evacuation-{words[1]}", {"hostRef": {"name": words[1]}, **more}, refused)
    else:
        stage.apply("HostOperation", name or f"{words[1].lower()}-{words[2]}", {"hostRef": {"name": words[2]}, "type": words[1], **more}, refused)
