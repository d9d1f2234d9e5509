"""The language of tests/stories, as tests/tests/stories/script.rs reads it: a line is a verb and its words, with YAML behind."""
import re

# Verbs that set the scene, and stand before all others.
SCENE = ("hosts", "host", "cloud", "cluster", "links")


class Line:
    """A line: its number from 1, its words, and what is described in YAML (None if nothing is)."""

    def __init__(self, number, text, words, yaml):
        self.number, self.text, self.words, self.yaml = number, text, words, yaml

    @property
    def verb(self):
        return self.words[0]

    def rest(self):
        """The same without its verb, for verbs that go before others."""
        return Line(self.number, self.text, self.words[1:], self.yaml)


def parse(text):
    """All lines that say something."""
    # Here, because the lab may have to be installed first.
    import yaml

    lines, found = iter(enumerate(text.splitlines(), 1)), []
    for number, raw in lines:
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        head, brace, tail = line.partition(" {")
        described = "{" + tail if brace else None
        words = [w.strip('"') for w in re.findall(r'"[^"]*"|\S+', head)]
        if words[-1].startswith("<<"):
            end, body = words.pop()[2:], []
            for _, more in lines:
                if more.strip() == end:
                    break
                body.append(more)
            described = "\n".join(body)
        found.append(Line(number, line, words, yaml.safe_load(described) if described is not None else None))
    return found


def tag(text):
    """What the first comment says of the lab: ("yes", ""), or ("no", why)."""
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        if match := re.match(r"# lab: (yes|no)(?:, (.+))?$", line):
            return match.group(1), match.group(2) or ""
    return "no", "nobody said so"


def tale(text):
    """The first comment, in one line."""
    said = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# lab:"):
            said.append(line[1:].strip())
    return " ".join(said)


def pairs(words):
    """`key=value` words as a dictionary; others as keys with None."""
    return {k: v if sep else None for k, sep, v in (w.partition("=") for w in words)}


def seconds(word):
    """`90s`, `5m`, `2h`."""
    return int(word[:-1]) * {"s": 1, "m": 60, "h": 3600}[word[-1]]


def microversion(text):
    """The highest API version of Nova that the story asks for, or None."""
    found = re.search(r"^cloud .*\bmicroversion=(\d+)\.(\d+)", text, re.M)
    return (int(found.group(1)), int(found.group(2))) if found else None
