"""The program under test: one `cloud-manager run` with its own data, driven by its command line only."""
import json
import os
import signal
import subprocess
import time

from . import lab
from .databases import free_port
from .wait import CheckFailed, check, until

# Checks ask as fast as they can.
CONFIG = """[api]
listen = "{address}:{port}"
metrics_listen = ""
requests_per_second = 0
{api}[database]
url = "sqlite://{data}/cloud-manager.db"
[controller]
node_sync_interval_seconds = 3
"""


class Program:
    def __init__(self, binary, directory):
        self.binary, self.directory = binary, directory
        os.makedirs(directory, mode=0o700, exist_ok=True)
        self.log = os.path.join(directory, "run.log")
        self.transcript = os.path.join(directory, "commands.log")
        self.config = os.path.join(directory, "cloud-manager.toml")
        self.data = os.path.join(directory, "data")
        self.port = free_port()
        self.env = lab.environment()
        self.configure()
        self._process = None

    def configure(self, address="127.0.0.1", authority=None, **api):
        """Writes where it listens, and further settings of `[api]`; counts when it starts next. `authority`: who vouches for its certificate."""
        settings = "".join(f"{name} = {json.dumps(value)}\n" for name, value in api.items())
        with open(self.config, "w") as f:
            f.write(CONFIG.format(address=address, port=self.port, api=settings, data=self.data))
        self.url = f"http{'s' if authority else ''}://{address}:{self.port}"
        self.env["CLOUD_MANAGER_ENDPOINT"] = self.url
        self.env.pop("OS_CACERT", None)
        if authority:
            self.env["OS_CACERT"] = authority

    def start(self):
        log = open(self.log, "a")
        self._process = subprocess.Popen([self.binary, "run", "--config", self.config], stdout=log, stderr=log, env=self.env, start_new_session=True)

        def answers():
            if self._process.poll() is not None:
                self._process = None
                raise CheckFailed(f"cloud-manager run ended: {self._tail()}")
            done = self.cli("get", "clusterpolicies", fails=True)
            return done.returncode == 0, done.stderr.strip()
        until("the API answers", 30, answers, 0.2)

    def kill(self):
        """As a power cut would."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(10)
        self._process = None

    def stop(self):
        """Politely; not ending in time is a failure."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            code = process.wait(45)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
            raise CheckFailed("cloud-manager run did not end within 45 s of SIGTERM") from None
        check(code == 0, f"cloud-manager run ended with {code}: {self._tail()}")

    def _tail(self):
        with open(self.log, errors="replace") as f:
            return "".join(f.readlines()[-5:]).strip()

    def cli(self, *args, stdin=None, fails=False, env=None, timeout=300):
        """One command. Unless `fails`, it must succeed."""
        done = subprocess.run([self.binary, *args], input=stdin, capture_output=True, text=True, timeout=timeout, env={**self.env, **(env or {})})
        with open(self.transcript, "a") as f:
            f.write(f"{time.strftime('%T')} $ cloud-manager {' '.join(args)}  -> {done.returncode}\n{done.stdout}{done.stderr}")
        check(fails or done.returncode == 0, f"cloud-manager {' '.join(args)} gave {done.returncode}: {done.stdout.strip()} {done.stderr.strip()}")
        return done

    def apply(self, *objects):
        """Applies objects, as a list in JSON."""
        items = [{"apiVersion": "cloud-manager/v1", **o} for o in objects]
        return self.cli("apply", "-f", "-", stdin=json.dumps({"kind": "List", "items": items}))

    def get(self, kind, name):
        return json.loads(self.cli("get", kind, name, "-o", "json").stdout)

    def operations(self):
        """The calls it has written down, if it runs."""
        return json.loads(self.cli("get", "operations", "-o", "json").stdout).get("items", []) if self._process else []

    def condition(self, kind, name, condition):
        """Status and reason of a condition."""
        for c in self.get(kind, name)["status"].get("conditions", []):
            if c["type"] == condition:
                return c["status"], c["reason"], c["message"]
        return None, None, None

    def wait_for(self, kind, name, condition, seconds):
        """By `cloud-manager wait`."""
        done = self.cli("wait", kind, name, f"--for=condition={condition}", f"--timeout={seconds}s", fails=True, timeout=seconds + 30)
        if done.returncode != 0:
            raise CheckFailed(f"{kind} {name} did not become {condition} within {seconds} s: {done.stderr.strip()}\n{self.describe(kind, name)}")

    def describe(self, kind, name):
        return self.cli("describe", kind, name, fails=True).stdout

    @staticmethod
    def cluster_policy(**more):
        """What the lab is: disks on shared storage, its report interval."""
        spec = {"novaReportIntervalSeconds": int(os.environ.get("LAB_REPORT", "3")), "guestDisks": "Shared", **more}
        return {"kind": "ClusterPolicy", "metadata": {"name": "default"}, "spec": spec}

    def set_up(self, hosts, verified=None, policy=None, wrong_cables=None):
        """Declares the lab, with a BMC per host, or with that of another one as `wrong_cables` has it; verifies the links."""
        objects = [self.cluster_policy(**(policy or {})),
                   {"kind": "Credential", "metadata": {"name": "lab"}, "spec": {"data": {"username": "admin", "password": "labpass"}}}]
        for host in hosts:
            ip, port = lab.bmc((wrong_cables or {}).get(host, host))
            device = {"type": "BMC", "protocol": "IPMI", "endpoint": {"host": ip, "port": port}, "credentialRef": {"name": "lab"}}
            objects.append({"kind": "PowerDevice", "metadata": {"name": f"bmc-{host}"}, "spec": device})
            link = {"hostRef": {"name": host}, "deviceRef": {"name": f"bmc-{host}"}}
            objects.append({"kind": "PowerLink", "metadata": {"name": f"bmc-{host}"}, "spec": link})
        names = lambda: self.cli("get", "hosts", "-o", "name").stdout.split()
        until("the hosts appear from Nova", 60, lambda: (all(f"host/{h}" in names() for h in hosts), names()))
        self.apply(*objects)
        verified = hosts if verified is None else verified
        for host in verified:
            self.cli("initialise", host, "--method", "Attestation", "--yes")
        for host in verified:
            self.wait_for("powerlink", f"bmc-{host}", "Verified", 60)

    def evacuate(self, host, *more):
        """Gives the name of the Evacuation."""
        said = self.cli("evacuate", host, "--yes", *more).stdout
        return said.split()[0].split("/")[1]
