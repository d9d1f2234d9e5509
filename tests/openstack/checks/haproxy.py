"""A HAProxy of one's own before the program, from Debian's package: plain, and with TLS that ends there."""
import os
import subprocess

from .databases import free_port
from .wait import check, until
from .wire import Wire

CONFIG = """global
    log stdout format raw local0
    maxconn 500
defaults
    log global
    mode http
    timeout connect 3s
    timeout check 3s
    timeout client {seconds}s
    timeout server {seconds}s
frontend plain
    bind 127.0.0.1:{plain}
    default_backend api
frontend tls
    bind 127.0.0.1:{tls} ssl crt {pem}
    http-request set-header X-Forwarded-Proto https
    default_backend api
frontend forwarded
    bind 127.0.0.1:{forwarded} ssl crt {pem}
    http-request set-header Forwarded proto=https;host=%[req.hdr(Host)]
    default_backend api
backend api
    option forwardfor
    option httpchk GET /healthcheck
    http-check expect status 200
    default-server check inter 1s fall 2 rise 1
    server one {server}
"""


def certificate(directory):
    """Files: an authority, a certificate of it for this machine, its key, and both of these in one."""
    names = {what: os.path.join(directory, f"{what}.pem") for what in ("authority", "authority-key", "certificate", "key", "both")}
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    _openssl(*new, "-subj", "/CN=e2e authority", "-keyout", names["authority-key"], "-out", names["authority"])
    of = ["-CA", names["authority"], "-CAkey", names["authority-key"], "-addext", "basicConstraints=critical,CA:FALSE"]
    _openssl(*new, *of, "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1", "-keyout", names["key"],
             "-out", names["certificate"])
    with open(names["both"], "w") as both:
        for part in ("certificate", "key"):
            with open(names[part]) as f:
                both.write(f.read())
    return names


def _openssl(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    check(done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()}")


class HAProxy:
    def __init__(self, directory, server, certificates, seconds):
        """`server`: host and port of what it stands before; `seconds`: the time-outs of both sides."""
        os.makedirs(directory, exist_ok=True)
        self.log, self._config = os.path.join(directory, "haproxy.log"), os.path.join(directory, "haproxy.cfg")
        ports = {name: free_port() for name in ("plain", "tls", "forwarded")}
        self.plain, self.tls, self.forwarded = (f"http{'' if name == 'plain' else 's'}://127.0.0.1:{port}" for name, port in ports.items())
        with open(self._config, "w") as f:
            f.write(CONFIG.format(seconds=seconds, pem=certificates["both"], server=server, **ports))
        self._process = None

    def start(self):
        log = open(self.log, "a")
        self._process = subprocess.Popen(["haproxy", "-db", "-f", self._config], stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        self.lets_through()

    def lets_through(self):
        """Waits for a check of its own to have seen the program: after a restart it answers 503 itself until then."""
        def answers():
            check(self._process.poll() is None, f"haproxy ended: {self._tail()}")
            try:
                status = Wire(self.plain, proxied=True).get("/healthcheck").status
            except OSError as error:
                return False, str(error)
            return status == 200, status
        until("haproxy lets through", 20, answers, 0.2)

    def stop(self):
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)

    def _tail(self):
        with open(self.log, errors="replace") as f:
            return "".join(f.readlines()[-5:]).strip()

