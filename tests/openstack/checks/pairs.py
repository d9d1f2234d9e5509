"""Two controllers over one database: the active one is killed, or stopped and continued, in the middle of the work."""
import json
import os
import re
import signal
import subprocess
import time

from . import automatic, lab
from .common import HOST, REBUILT, all_elsewhere, drained_and_off, fenced_in_one_write, nobody_ran_twice, one_record_each, rebuilt_elsewhere, wait_off
from .databases import Galera, MariaDB, PostgreSQL, free_port
from .program import Program
from .wait import CheckFailed, check, until

CONFIG = """[api]
listen = "127.0.0.1:{port}"
metrics_listen = ""
[database]
url = "{url}"
[controller]
node_sync_interval_seconds = 3
state_dir = "{state}"
[keys]
credential_key_file = "{key}"
"""


class Pair(Program):
    """An API server and two controllers over a database server of their own."""

    def __init__(self, binary, directory, server):
        super().__init__(binary, directory)
        self.server = server(os.path.join(directory, "database"))
        self.nodes, self.taken = {}, {}

    def start(self):
        self.server.start()
        key = os.path.join(self.directory, "credential.key")
        ports = {"api": int(self.url.rsplit(":", 1)[1]), "one": free_port(), "two": free_port()}
        for name, port in ports.items():
            state = os.path.join(self.directory, name)
            os.makedirs(state, mode=0o700, exist_ok=True)
            with open(self._config(name), "w") as f:
                f.write(CONFIG.format(port=port, url=self.server.url, state=state, key=key))
        self.cli("db", "migrate", "--config", self._config("api"))
        self._launch("api", "api-server")

        def answers():
            check(self.nodes["api"].poll() is None, f"cloud-manager api-server ended: {self._said('api')}")
            done = self.cli("get", "clusterpolicies", fails=True)
            return done.returncode == 0, done.stderr.strip()
        until("the API answers", 30, answers, 0.2)
        self._process = self.nodes["api"]
        for name in ("one", "two"):
            self._launch(name, "controller")
        until("a controller leads", 30, lambda: (self.leader() is not None, self.lease()), 0.2)
        self._note_lease()

    def _config(self, name):
        return os.path.join(self.directory, f"{name}.toml")

    def _log(self, name):
        return os.path.join(self.directory, f"{name}.log")

    def _said(self, name):
        with open(self._log(name), errors="replace") as f:
            return "".join(f.readlines()[-5:]).strip()

    def _launch(self, name, role):
        log = open(self._log(name), "a")
        self.nodes[name] = subprocess.Popen([self.binary, role, "--config", self._config(name)], stdout=log, stderr=log, env=self.env, start_new_session=True)

    def lease(self):
        found = [o["spec"] for o in json.loads(self.cli("get", "leases", "-o", "json").stdout)["items"]]
        return found[0] if found else {}

    def leader(self):
        """Which of the two led last under the row's token, by its own log."""
        token = self.lease().get("token")
        for name in ("one", "two"):
            try:
                with open(self._log(name), errors="replace") as f:
                    led = re.findall(r"this process leads.*token=(\d+)", f.read())
            except FileNotFoundError:
                continue
            if led and int(led[-1]) == token:
                return name
        return None

    def _note_lease(self):
        lease = self.lease()
        self.taken[lease["token"]] = lease["acquiredAt"]

    def kill_leader(self):
        """SIGKILL. Gives the seconds until the other one leads; the killed one is started again as its standby."""
        name, before = self._settled_leader()
        begun = time.monotonic()
        self.nodes[name].send_signal(signal.SIGKILL)
        self.nodes[name].wait(10)
        took = self._taken_over(before, begun)
        self._launch(name, "controller")
        return took

    def pause_leader(self, meanwhile):
        """SIGSTOP; after the takeover and `meanwhile`, SIGCONT. It must stop to lead by itself; then it is started again."""
        name, before = self._settled_leader()
        begun = time.monotonic()
        self.nodes[name].send_signal(signal.SIGSTOP)
        took = self._taken_over(before, begun)
        meanwhile()
        self.nodes[name].send_signal(signal.SIGCONT)
        until(f"controller {name} ends, or stands by, after SIGCONT", 30, lambda: (self.nodes[name].poll() is not None, self._said(name)), 0.2)
        self._launch(name, "controller")
        return took

    def _settled_leader(self):
        until("one controller leads", 30, lambda: ((n := self.leader()) is not None and self.nodes[n].poll() is None, n), 0.1)
        return self.leader(), self.lease()["token"]

    def _taken_over(self, before, begun):
        until("the other controller leads", 30, lambda: (self.lease().get("token", 0) > before and self.leader() is not None, self.lease()), 0.1)
        took = time.monotonic() - begun
        self._note_lease()
        return took

    def old_tokens_wrote_nothing(self):
        """No call was written down under a token after the next one was taken."""
        tokens = sorted(self.taken)
        for operation in self.operations():
            spec = operation["spec"]
            later = [t for t in tokens if t > spec["token"]]
            if later:
                check(spec["issuedAt"] <= self.taken[later[0]], f"{spec['step']} on {spec['host']} was written at {spec['issuedAt']} under token "
                      f"{spec['token']}, after token {later[0]} was taken at {self.taken[later[0]]}")

    def stop(self):
        ended, self._process = {}, None
        for name, process in self.nodes.items():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for name, process in self.nodes.items():
            try:
                ended[name] = process.wait(45)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
                ended[name] = "SIGKILL after 45 s"
        self.nodes = {}
        self.server.stop()
        wrong = {n: code for n, code in ended.items() if code != 0}
        if wrong:
            raise CheckFailed(f"processes did not end well at SIGTERM: {wrong}")


def _strike(ctx, moment, probe, how):
    """As soon as something is seen in the world, the active controller is killed, or stopped and continued."""
    until(moment, 180, lambda: (bool(probe()), None), 0.1)
    if how == "kill":
        took = ctx.program.kill_leader()
    else:
        # Long enough for the new leader to settle what the old one had sent, and to do something itself.
        seen = len(ctx.program.operations())
        begun = time.monotonic()
        took = ctx.program.pause_leader(lambda: _until_or(10, lambda: len(ctx.program.operations()) > seen and time.monotonic() - begun > 2))
    ctx.note(f"{how} at {moment}: taken over after {took:.1f} s")


def _until_or(seconds, probe):
    end = time.monotonic() + seconds
    while time.monotonic() < end and not probe():
        time.sleep(0.2)


def _evacuation(ctx, how):
    ids = ctx.cloud.boot(HOST, ctx.count)
    ctx.ready()
    mark = ctx.mark()
    lab.run("host-kill", HOST)
    _struck_evacuation(ctx, how, mark, ids, ctx.program.evacuate(HOST), [("the request", lambda: True)])


def _hands_off(ctx, how):
    ids = ctx.cloud.boot(HOST, ctx.count)
    mark = automatic.watched(ctx)
    lab.run("host-kill", HOST)
    name = f"auto-{HOST}-1"
    begun = lambda: name in ctx.program.cli("get", "evacuations", "-o", "name").stdout
    first = [("the first silent look", lambda: automatic.state(ctx) in ("Suspect", "Down")), ("what is begun by itself", begun)]
    _struck_evacuation(ctx, how, mark, ids, name, first)
    automatic.begun_once(ctx, name)


def _struck_evacuation(ctx, how, mark, ids, name, first):
    """The leader is struck at these first moments, and then all through the evacuation."""
    service = ctx.cloud.service(HOST)["id"]
    over = lambda states: [m for m in ctx.cloud.records(ids, "evacuation") if m["status"] in states]
    for moment in (
        *first,
        ("the power-off", lambda: mark.power(HOST)),
        ("the one PUT", lambda: mark.service_writes(service)),
        ("the first evacuation record", lambda: ctx.cloud.records(ids, "evacuation")),
        ("half of the guests rebuilt", lambda: len(over(REBUILT)) * 2 >= len(ids)),
        ("the last guest rebuilt", lambda: len(over(REBUILT)) == len(ids)),
    ):
        _strike(ctx, *moment, how)
    rebuilt_elsewhere(ctx.cloud, ids, 400)
    ctx.program.wait_for("evacuation", name, "Succeeded", 120)
    fenced_in_one_write(ctx.cloud, mark)
    check(mark.power(HOST) == ["0"], f"the BMC carried out {mark.power(HOST)}: more than the one power-off")
    one_record_each(ctx.cloud, ids, "evacuation", REBUILT)
    nobody_ran_twice(mark, ids)
    ctx.program.old_tokens_wrote_nothing()


def _drain(ctx, how):
    ids = ctx.cloud.boot(HOST, ctx.count)
    ctx.ready()
    mark = ctx.mark()
    ctx.program.apply({"kind": "Host", "metadata": {"name": HOST}, "spec": {"power": "Off"}})
    moved = lambda: [m for m in ctx.cloud.records(ids, "live-migration") if m["status"] == "completed"]
    for moment in (
        ("the declaration", lambda: True),
        ("Nova disabled", lambda: ctx.cloud.service(HOST)["status"] == "disabled"),
        ("the first live-migration record", lambda: ctx.cloud.records(ids, "live-migration")),
        ("half of the guests moved", lambda: len(moved()) * 2 >= len(ids)),
        ("the last guest moved", lambda: len(moved()) == len(ids)),
        ("the power-off", lambda: mark.power(HOST)),
    ):
        _strike(ctx, *moment, how)
    wait_off(ctx, 300 + 20 * ctx.count)
    all_elsewhere(ctx.cloud, ids, 30)
    drained_and_off(ctx.cloud, mark, ids)
    check(mark.power(HOST) == ["0"], f"the BMC carried out {mark.power(HOST)}: more than the one power-off")
    ctx.program.old_tokens_wrote_nothing()


def _scenario(what, work, server, how):
    def scenario(ctx):
        work(ctx, how)
        ctx.program.server.end_checks()
    did = "killed" if how == "kill" else "stopped, and continued after the takeover,"
    scenario.__doc__ = f"Two controllers on {server.name}: the active one is {did} at several moments of {what}."
    scenario.program = lambda binary, directory: Pair(binary, directory, server)
    return scenario


WORK = {"evacuate": ("an evacuation", _evacuation), "drain": ("a drain", _drain), "auto": ("a recovery without a person", _hands_off)}
MATRIX = [(work, server, how) for server in (PostgreSQL, MariaDB) for work in ("evacuate", "drain") for how in ("kill", "pause")]
MATRIX += [("auto", PostgreSQL, how) for how in ("kill", "pause")]
SCENARIOS = {
    f"pair-{work}-{server.name.lower()}-{how}": _scenario(*WORK[work], server, how) for work, server, how in [*MATRIX, ("evacuate", Galera, "kill")]
}
