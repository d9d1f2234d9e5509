"""HTTP as it is on the wire: no redirect is followed, nothing is logged in for, every header is to be seen."""
import http.client
import json
import re
import ssl
from urllib.parse import urlsplit

from .wait import check

REQUEST_ID = re.compile(r"req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Answer:
    def __init__(self, what, status, headers, body):
        self.what, self.status, self.headers, self.body = what, status, headers, body

    def json(self):
        try:
            return json.loads(self.body)
        except ValueError:
            check(False, f"{self.what}: no JSON, but {self.body[:200]!r}")

    def gives(self, *statuses):
        check(self.status in statuses, f"{self.what} gave {self.status}, want {' or '.join(map(str, statuses))}: {self.body[:300]!r}")
        return self

    def fails(self, status, word=None):
        """An error as clients of OpenStack and programs read it; `word` is the end of its code."""
        self.gives(status)
        kind = self.headers.get("Content-Type") or ""
        check(kind.startswith("application/json"), f"{self.what}: the error's Content-Type is {kind!r}")
        said = self.json()
        error = said.get("error") or {}
        check(error.get("code") == status and len(error.get("message") or "") > 20, f"{self.what}: the error says {said}")
        if status != 401:
            program = said["errors"][0]
            check(program["status"] == status and program["detail"] == error["message"], f"{self.what}: error and errors differ: {said}")
            check(program["request_id"] == self.request_id, f"{self.what}: the body's request id is not the header's")
            check(word is None or program["code"] == f"cloud-manager.{word}", f"{self.what}: the code is {program['code']}, want {word}")
        return self

    @property
    def request_id(self):
        return self.headers.get("X-Openstack-Request-Id")

    @property
    def message(self):
        return self.json()["error"]["message"]


class Wire:
    """Requests to one URL, and the id of each answer. `proxied`: while the program is down, who stands before it answers, without an id."""

    def __init__(self, url, token=None, ca=None, proxied=False):
        parts = urlsplit(url)
        self.url, self.token, self.ids, self._proxied = url, token, [], proxied
        self._host, self._port, self._base = parts.hostname, parts.port, parts.path.rstrip("/")
        self._tls = ssl.create_default_context(cafile=ca) if parts.scheme == "https" else None

    def connect(self, timeout=60):
        if self._tls:
            return http.client.HTTPSConnection(self._host, self._port, timeout=timeout, context=self._tls)
        return http.client.HTTPConnection(self._host, self._port, timeout=timeout)

    def begin(self, method, path, body=None, headers=None, token=None, timeout=60):
        """Sends a request; gives the connection, and the answer of which no body is read yet."""
        sent = {**({"X-Auth-Token": token or self.token} if token or self.token else {}), **(headers or {})}
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
            sent.setdefault("Content-Type", "application/json")
        connection = self.connect(timeout)
        connection.request(method, self._base + path, body=body, headers=sent)
        return connection, connection.getresponse()

    def send(self, method, path, body=None, headers=None, token=None):
        connection, answer = self.begin(method, path, body, headers, token)
        try:
            got = Answer(f"{method} {path}", answer.status, answer.headers, answer.read())
        finally:
            connection.close()
        if self._proxied and got.status in (502, 503, 504) and got.request_id is None:
            return got
        # On every answer there is, whatever it is.
        check(REQUEST_ID.fullmatch(got.request_id or ""), f"{got.what} ({got.status}): its request id is {got.request_id!r}")
        check(got.request_id not in self.ids, f"{got.what}: the request id {got.request_id} was given before")
        self.ids.append(got.request_id)
        return got

    def get(self, path, **more):
        return self.send("GET", path, **more)

    def post(self, path, body=None, **more):
        return self.send("POST", path, body, **more)
