"""Private PostgreSQL and MariaDB servers for a pair of controllers, from Debian's packages."""
import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess

from .wait import CheckFailed, check, until

USER, PASSWORD, NAME = "cloud_manager", "pair-secret", "cloud_manager"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A database server with its own data, in the foreground."""

    package = scheme = None

    def __init__(self, directory):
        self.directory, self.port = directory, free_port()
        self.log = os.path.join(directory, "server.log")
        os.makedirs(directory, exist_ok=True)
        self._process = None

    @property
    def url(self):
        return f"{self.scheme}://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{NAME}"

    def start(self):
        self._prepare()
        log = open(self.log, "a")
        self._process = subprocess.Popen(self._command(), stdout=log, stderr=log, start_new_session=True)

        def answers():
            check(self._process.poll() is None, f"{self.package} ended; see {self.log}")
            done = self._sql("SELECT 1;")
            return done.returncode == 0, done.stderr.strip()
        until(f"{self.package} answers", 60, answers, 0.2)
        for statement in self._setup():
            done = self._sql(statement)
            check(done.returncode == 0, f"{statement}: {done.stderr.strip()}")

    def stop(self):
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGINT if self.scheme == "postgresql" else signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)

    def _run(self, *command, **more):
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, **more)
        if done.returncode != 0:
            raise CheckFailed(f"{' '.join(command)}: {done.stderr.strip()}")


class PostgreSQL(Server):
    package, scheme = "postgresql", "postgresql"

    def _bin(self, program):
        found = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{program}"))
        check(found, f"{program} is not installed: apt-get install postgresql")
        return found[-1]

    def _as_user(self):
        """It refuses to run as root."""
        return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] if os.getuid() == 0 else []

    def _prepare(self):
        self.data = os.path.join(self.directory, "data")
        if os.path.isdir(self.data):
            return
        os.makedirs(self.data, mode=0o700)
        if os.getuid() == 0:
            owner = pwd.getpwnam("postgres")
            for path in (self.directory, self.data):
                os.chown(path, owner.pw_uid, owner.pw_gid)
            # The directories above are only ours to read.
            for path in (os.path.dirname(self.directory), os.path.dirname(os.path.dirname(self.directory))):
                os.chmod(path, os.stat(path).st_mode | 0o011)
        self._run(*self._as_user(), self._bin("initdb"), "-D", self.data, "-A", "trust", "-U", "postgres", "--no-locale", "-E", "UTF8", cwd="/")

    def _command(self):
        return [*self._as_user(), self._bin("postgres"), "-D", self.data, "-p", str(self.port), "-c", "listen_addresses=127.0.0.1",
                "-k", self.directory, "-c", "max_connections=100"]

    def _sql(self, statement):
        return subprocess.run(["psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-d", "postgres", "-c", statement],
                              capture_output=True, text=True, timeout=30)

    def _setup(self):
        return [f"CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'", f"CREATE DATABASE {NAME} OWNER {USER}"]


class MariaDB(Server):
    package, scheme = "mariadb-server", "mysql"

    def _prepare(self):
        self.data = os.path.join(self.directory, "data")
        self.socket = os.path.join(self.directory, "s")
        check(shutil.which("mariadbd"), "mariadbd is not installed: apt-get install mariadb-server")
        if not os.path.isdir(self.data):
            self._run("mariadb-install-db", "--no-defaults", f"--user={pwd.getpwuid(os.getuid()).pw_name}", f"--datadir={self.data}",
                      "--auth-root-authentication-method=normal")

    def _command(self):
        return ["mariadbd", "--no-defaults", f"--user={pwd.getpwuid(os.getuid()).pw_name}", f"--datadir={self.data}", f"--socket={self.socket}",
                f"--port={self.port}", "--bind-address=127.0.0.1", "--skip-name-resolve", "--sync-binlog=1"]

    def _sql(self, statement):
        return subprocess.run(["mariadb", "--no-defaults", "-uroot", f"--socket={self.socket}", "-e", statement], capture_output=True, text=True, timeout=30)

    def _setup(self):
        return [f"CREATE USER {USER}@'%' IDENTIFIED BY '{PASSWORD}'", f"CREATE DATABASE {NAME}", f"GRANT ALL ON {NAME}.* TO {USER}@'%'"]
