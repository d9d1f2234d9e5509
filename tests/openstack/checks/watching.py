"""Who watches, who writes meanwhile, and what the database says happened."""
import http.client
import json
import random
import sqlite3
import threading
import time

from .wait import check, until
from .wire import Wire

KIND, PLURAL = "FailureDomain", "failuredomains"
WORD = {"added": "ADDED", "modified": "MODIFIED", "deleted": "DELETED"}
# A client's rules: no line for so long is a dead connection; pause before it is tried again.
SILENCE, PAUSE = 45, 0.5


class Thread(threading.Thread):
    """Goes on until it is told to end; what it ended of by itself is kept."""

    def __init__(self):
        super().__init__(daemon=True)
        self.ending, self.died = threading.Event(), None

    def run(self):
        try:
            self.work()
        except Exception as error:
            self.died = repr(error)

    def alive(self):
        """Whether all is well; else tells why not."""
        check(self.died is None and (self.is_alive() or self.ending.is_set()), f"{type(self).__name__} ended: {self.died}")

    def end(self):
        self.ending.set()
        self.join(SILENCE + 15)
        self.alive()


class Watcher(Thread):
    """Keeps a view of all objects: lists, watches from there, goes on from its last revision when a stream ends or is cut; on 410 it lists again."""

    def __init__(self, url, token):
        super().__init__()
        self.view, self.told, self.streams, self.wrong = {}, [], [], []
        # Up to where it was told, how often it listed, and why it did again.
        self.revision, self.lists, self.gone = None, 0, []
        self._wire, self._held, self._horizon = Wire(url, token, proxied=True), threading.Event(), 0

    @property
    def age(self):
        """Seconds that its first stream has lived."""
        first = self.streams[0]
        return (first["ended"] or (time.monotonic(),))[0] - first["begun"]

    def hold(self):
        """Nobody reads any longer, until `go_on`."""
        self._held.set()
        until("the watcher has let go", 30, lambda: (self.streams[-1]["ended"] is not None, self.streams[-1]))

    def go_on(self):
        self._held.clear()

    def work(self):
        while not self.ending.is_set():
            if not self._held.is_set():
                try:
                    if self.revision is None:
                        self._list()
                    self._watch()
                except (OSError, http.client.HTTPException) as error:
                    self._closed(repr(error))
            self.ending.wait(PAUSE)

    def _page(self, query):
        said = self._wire.get(f"/v1/{PLURAL}?{query}")
        if said.status != 200:
            raise http.client.HTTPException(f"the list gave {said.status}")
        return said.json()

    def _list(self):
        """All pages; their revision is the first one's, and what changed meanwhile is told again."""
        page = self._page("limit=500")
        view, onwards = {}, page["metadata"].get("continue")
        revision = int(page["metadata"]["resourceVersion"])
        while True:
            view.update({o["metadata"]["name"]: o for o in page["items"]})
            if not onwards:
                break
            page = self._page(f"limit=500&continue={onwards}")
            onwards = page["metadata"].get("continue")
        self._horizon = int(self._page("limit=1")["metadata"]["resourceVersion"])
        self.view, self.revision, self.lists = view, revision, self.lists + 1

    def _watch(self):
        connection, answer = self._wire.begin("GET", f"/v1/{PLURAL}?watch=1&timeoutSeconds=3600&resourceVersion={self.revision}", timeout=SILENCE)
        try:
            if answer.status == 410:
                return self._too_old(json.loads(answer.read()))
            if answer.status != 200:
                raise http.client.HTTPException(f"the watch gave {answer.status}")
            now = time.monotonic()
            self.streams.append({"begun": now, "last": now, "silence": 0.0, "ended": None})
            for line in answer:
                # What was cut in the middle of a line is told again.
                if not line.endswith(b"\n") or not self._line(json.loads(line)) or self.ending.is_set() or self._held.is_set():
                    break
            return self._closed("its end")
        finally:
            connection.close()

    def _too_old(self, error):
        self.gone.append((self.revision, error["errors"][0]["code"]))
        self.revision = None

    def _closed(self, why):
        if self.streams and self.streams[-1]["ended"] is None:
            self.streams[-1]["ended"] = (time.monotonic(), why)

    def _line(self, line):
        """Whether the stream goes on."""
        stream, now = self.streams[-1], time.monotonic()
        stream["silence"], stream["last"] = max(stream["silence"], now - stream["last"]), now
        word, thing = line["type"], line["object"]
        if word == "ERROR":
            self._too_old(thing)
            return False
        revision, name = int(thing["metadata"]["resourceVersion"]), thing["metadata"].get("name")
        bookmark = word == "BOOKMARK"
        if revision < self.revision or (revision == self.revision and not bookmark):
            self.wrong.append(f"{word} {name} at {revision} came after {self.revision}")
        self.revision = revision
        if bookmark:
            return True
        if revision > self._horizon and (word == "ADDED") == (name in self.view):
            self.wrong.append(f"{word} of {name} at {revision}, which was{'' if name in self.view else ' not'} there")
        self.told.append((revision, word, name))
        if word == "DELETED":
            self.view.pop(name, None)
        else:
            self.view[name] = thing
        return True


class Writer(Thread):
    """Makes, changes and deletes objects, so many a second; what an unanswered write came to it looks up."""

    def __init__(self, url, token, names, per_second):
        super().__init__()
        self._wire, self._pause = Wire(url, token, proxied=True), 1 / per_second
        self._names = [f"w-{n:03}" for n in range(names)]
        self._there, self._count, self._random = set(), 0, random.Random(17)
        self.acknowledged, self.unanswered, self.conflicts = [], 0, []

    def work(self):
        while not self.ending.is_set():
            name = self._random.choice(self._names)
            self._count += 1
            try:
                said = self._write(name)
                lost = said.status >= 500
            except (OSError, http.client.HTTPException):
                lost = True
            if lost:
                self.unanswered += 1
                self._look(name)
            self.ending.wait(self._pause)

    def _write(self, name):
        labels = {"metadata": {"name": name, "labels": {"n": str(self._count)}}}
        if name not in self._there:
            said = self._wire.post(f"/v1/{PLURAL}", {**labels, "spec": {"type": "Rack"}})
            word = "ADDED"
        elif self._random.random() < 0.2:
            said, word = self._wire.send("DELETE", f"/v1/{PLURAL}/{name}"), "DELETED"
        else:
            said = self._wire.send("PATCH", f"/v1/{PLURAL}/{name}", labels, headers={"Content-Type": "application/merge-patch+json"})
            word = "MODIFIED"
        if said.status == 409:
            self.conflicts.append(f"{said.what}: {said.message}")
        elif said.status < 500:
            said.gives(200, 201, 204)
            (self._there.discard if word == "DELETED" else self._there.add)(name)
            self.acknowledged.append((said.json()["metadata"]["resourceVersion"] if said.body else None, word, name))
        return said

    def _look(self, name):
        while not self.ending.is_set():
            try:
                status = self._wire.get(f"/v1/{PLURAL}/{name}").status
                if status in (200, 404):
                    return (self._there.add if status == 200 else self._there.discard)(name)
            except (OSError, http.client.HTTPException):
                pass
            self.ending.wait(PAUSE)
        return None


class Database:
    """The program's own database, read beside it."""

    def __init__(self, path):
        self._path = path

    def rows(self, query, *values):
        with sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=30) as database:
            return database.execute(query, values).fetchall()

    def revision(self):
        """The newest revision, and up to which history is gone."""
        return self.rows("SELECT current, compacted FROM revision")[0]

    def objects(self):
        return {name: (str(revision), json.loads(spec), json.loads(status), json.loads(metadata).get("labels") or {})
                for name, revision, spec, status, metadata in
                self.rows("SELECT name, resource_version, spec, status, metadata FROM resources WHERE kind = ?", KIND)}


class Historian(Thread):
    """Copies history before it is compacted: every change of the kind, in order."""

    def __init__(self, database):
        super().__init__()
        self._database, self.last = database, database.revision()[0]
        self.begins, self.changes = self.last, []

    def work(self):
        while not self.ending.is_set():
            self.copy()
            self.ending.wait(PAUSE)

    def copy(self):
        for revision, kind, name, op in self._database.rows("SELECT rv, kind, name, op FROM changes WHERE rv > ? ORDER BY rv", self.last):
            check(revision == self.last + 1, f"history jumps from {self.last} to {revision}")
            self.last = revision
            if kind == KIND:
                self.changes.append((revision, WORD[op.lower()], name))


def seen(objects):
    """Objects as they are compared."""
    return {name: (o["metadata"]["resourceVersion"], o["spec"], o.get("status") or {}, o["metadata"].get("labels") or {}) for name, o in objects.items()}


def caught_up(watcher, database):
    current = database.revision()[0]
    until("the watcher has caught up", 60, lambda: (watcher.revision >= current, f"it is at {watcher.revision}, the database at {current}"))
