"""A proxy between the program and Nova: it counts the program's own calls, and makes them fail as a story says."""
import http.client
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

READS = [(r"/os-services(\?|$)", "Services"), (r"/os-hypervisors", "Hypervisors"), (r"/servers/[0-9a-f-]{36}/migrations", "Migrations"),
         (r"/os-migrations", "Migrations"), (r"/servers/[0-9a-f-]{36}(\?|$)", "Server"), (r"/servers", "Servers"),
         (r"/os-aggregates", "Aggregates"), (r"/os-server-groups", "ServerGroups")]
ACTIONS = {"evacuate": "Evacuate", "os-migrateLive": "LiveMigrate", "migrate": "ColdMigrate", "confirmResize": "ConfirmResize", "os-start": "Start",
           "os-stop": "Stop"}
CHANGES = ("UpdateService", *ACTIONS.values())


def kind_of(method, path, body):
    """Which call it is, by the names that stories have for them; "" is none of them."""
    if method == "GET":
        return next((kind for pattern, kind in READS if re.search(pattern, path)), "")
    if method == "PUT" and "/os-services/" in path:
        return "UpdateService"
    if method == "POST" and path.endswith("/action"):
        return ACTIONS.get(next(iter(json.loads(body)), ""), "")
    return ""


class Fault:
    """What becomes of calls of one kind, so many times, and of one object only if `of` is in the path."""

    def __init__(self, how, times, of):
        self.how, _, self.value = how.partition("=")
        self.times, self.of = times, of


class Through:
    """Runs until `stop`; its URL is what the program takes for Nova."""

    def __init__(self, target):
        parts = urlsplit(target)
        self._address, self._lock = (parts.hostname, parts.port), threading.Lock()
        self.calls, self._faults = [], {}
        # Called before a changing call is sent on; gives what to call in place of its answer, after it or before, or None.
        self.death = None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}{parts.path}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()

    def fail(self, kind, how, times=None, of=None):
        """From now on calls of this kind fail so."""
        with self._lock:
            self._faults[kind] = Fault(how, times, of)

    def well(self):
        with self._lock:
            self._faults.clear()

    def count(self, kind):
        """Changing calls of this kind that were sent so far."""
        return self.calls.count(kind)

    def _dies(self, kind):
        """("before" or "after", what to do) if the program's life ends with this call."""
        with self._lock:
            return self.death(kind) if self.death and kind in CHANGES else None

    def _fault(self, kind, path):
        with self._lock:
            if kind in CHANGES:
                self.calls.append(kind)
            fault = self._faults.get(kind)
            if fault is None or (fault.of and fault.of not in path):
                return None, None
            if fault.times is not None:
                fault.times -= 1
                if fault.times <= 0:
                    del self._faults[kind]
            return fault.how, fault.value

    def _ask(self, method, path, body, headers):
        connection = http.client.HTTPConnection(*self._address, timeout=120)
        try:
            connection.request(method, path, body=body, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def _handler(self):
        through = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def _relay(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                # With the host that was asked for: Nova's links to itself come through here as well.
                headers = {k: v for k, v in self.headers.items() if k.lower() not in ("connection", "content-length", "accept-encoding")}
                kind = kind_of(self.command, self.path, body)
                dies = through._dies(kind)
                how, value = through._fault(kind, self.path)
                ask = lambda: through._ask(self.command, self.path, body, headers)

                def later(word):
                    timer = threading.Timer(int(word.rstrip("s")), ask)
                    timer.daemon = True
                    timer.start()
                if dies:
                    if dies[0] == "after":
                        ask()
                    else:
                        through.calls.remove(kind)
                    dies[1]()
                    self.close_connection = True
                    return None
                if how == "status":
                    return self._answer(int(value), [("Content-Type", "application/json")], b'{"error": {"message": "a story wants it so"}}')
                if how == "nonsense":
                    return self._answer(200, [("Content-Type", "text/html")], b"<html>It works!</html>")
                if how in ("lost-request", "late"):
                    if how == "late":
                        later(value)
                    self.close_connection = True
                    return None
                if how == "duplicate":
                    later(value)
                if how == "slow":
                    time.sleep(int(value.rstrip("s")))
                status, found, text = ask()
                if how == "lost-answer":
                    self.close_connection = True
                    return None
                if how == "partial":
                    text = _half(text)
                return self._answer(status, found, text)

            def _answer(self, status, headers, text):
                self.send_response_only(status)
                for name, value in headers:
                    if name.lower() not in ("connection", "content-length", "transfer-encoding", "keep-alive"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _relay
        return Handler


def _half(text):
    """The first half of every list in the answer, which does not say that there is more."""
    answer = json.loads(text)
    for key, value in list(answer.items()):
        if isinstance(value, list):
            answer[key] = value[: len(value) // 2]
    return json.dumps({k: v for k, v in answer.items() if not k.endswith("_links")}).encode()
