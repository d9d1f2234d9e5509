"""The scripts of tests/stories that say `# lab: yes`, acted out on the lab: what was told of the simulator must come of it here as well."""
import glob
import os

from . import looks, outcome, script, verbs
from .stage import Stage, shorter
from .wait import CheckFailed, check, until

FOLDER = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "stories")
# Real seconds that anything is waited for at least: the lab's machine may be busy with something else, and what a script sets itself,
# such as how long a standby may take to wake, is not shortened.
PATIENCE = 420


def names():
    """Names of all stories."""
    return sorted(os.path.basename(os.path.dirname(p)) for p in glob.glob(os.path.join(FOLDER, "*", "script")))


def _read(name, file="script"):
    try:
        with open(os.path.join(FOLDER, name, file)) as f:
            return f.read()
    except FileNotFoundError:
        raise CheckFailed(f"tests/stories/{name}/{file} is missing; UPDATE_STORIES=1 tells a trace") from None


def _told(name):
    """A story as a scenario."""
    text = _read(name)

    def scenario(ctx):
        lines = script.parse(text)
        scene = [line for line in lines if line.verb in script.SCENE]
        trace = _read(name, "trace")
        wanted = outcome.expected(trace), outcome.fenced(trace)
        hosts = [h for line in scene if line.verb in ("hosts", "host") for h in (line.words[1:] if line.verb == "hosts" else line.words[1:2])]
        stage = Stage(ctx, hosts)
        try:
            _play(stage, scene, lines[len(scene):], wanted)
        finally:
            stage.end()
    scenario.__doc__ = script.tale(text)
    scenario.microversion = script.microversion(text)
    scenario.hosts = 5
    return scenario


def _play(stage, scene, lines, wanted):
    verbs.set_scene(stage, scene)
    stage.ahead = lines
    for line in lines:
        try:
            _line(stage, line)
        except CheckFailed as error:
            raise CheckFailed(f"line {line.number}, {line.text}: {error}") from None
    outcome.compare(stage, *wanted)


def _line(stage, line):
    stage.speak()
    if line.verb not in ("guest", "guests", "group", "vm-state"):
        stage.settle()
    if line.verb == "wait":
        asked, patience = looks.parse_wait(line)
        quick = asked.verb == "calls"

        def probe():
            stage.speak()
            return looks.look(stage, asked, True)
        until("it is so", max(PATIENCE, shorter(patience)), probe, 0.1 if quick else 0.7)
    elif line.verb == "expect":
        # Calls are as they are; what else the lab shows may be a moment behind.
        until("it is so", 0 if line.words[1] == "calls" else 15, lambda: looks.look(stage, line.rest(), False), 0.7)
    elif line.verb == "pass":
        stage.pass_by(shorter(script.seconds(line.words[1])))
    elif line.verb == "why":
        said = stage.program.cli("why", stage.host(line.words[1]), fails=True)
        check(said.returncode in (0, 1) and said.stdout.strip(), f"why gave {said.returncode}: {said.stdout}{said.stderr}")
    else:
        verbs.act(stage, line)


SCENARIOS = {f"story-{name}": _told(name) for name in names() if script.tag(_read(name))[0] == "yes"}
