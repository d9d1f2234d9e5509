"""Private PostgreSQL and MariaDB servers for a pair of controllers, from Debian's packages."""
import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile

from .wait import CheckFailed, check, until

USER, PASSWORD, NAME = "cloud_manager", "pair-secret", "cloud_manager"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A database server with its own data, in the foreground."""

    name = package = scheme = None

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

    def _give_to(self, user, *paths):
        """Lets a server that does not run as root have its directory."""
        if os.getuid() != 0:
            return
        owner = pwd.getpwnam(user)
        for path in (self.directory, *paths):
            os.chown(path, owner.pw_uid, owner.pw_gid)
        above = os.path.dirname(self.directory)
        while above != tempfile.gettempdir() and above != "/":
            os.chmod(above, os.stat(above).st_mode | 0o011)
            above = os.path.dirname(above)

    def end_checks(self):
        """What must hold of the database once the work is done."""

    def _run(self, *command, **more):
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, **more)
        if done.returncode != 0:
            raise CheckFailed(f"{' '.join(command)}: {done.stderr.strip()}")


class PostgreSQL(Server):
    name, package, scheme = "PostgreSQL", "postgresql", "postgresql"

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
        self._give_to("postgres", self.data)
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
    name, package, scheme = "MariaDB", "mariadb-server", "mysql"
    user = pwd.getpwuid(os.getuid()).pw_name

    def _prepare(self):
        self.data = os.path.join(self.directory, "data")
        self.socket = os.path.join(self.directory, "s")
        check(shutil.which("mariadbd"), "mariadbd is not installed: apt-get install mariadb-server")
        if not os.path.isdir(self.data):
            self._run("mariadb-install-db", "--no-defaults", f"--user={self.user}", f"--datadir={self.data}",
                      "--auth-root-authentication-method=normal")

    def _command(self):
        return ["mariadbd", "--no-defaults", f"--user={self.user}", f"--datadir={self.data}", f"--socket={self.socket}",
                f"--port={self.port}", "--bind-address=127.0.0.1", "--skip-name-resolve", "--sync-binlog=1"]

    def _sql(self, statement):
        return subprocess.run(["mariadb", "--no-defaults", "-uroot", f"--socket={self.socket}", "-e", statement], capture_output=True, text=True, timeout=30)

    def _setup(self):
        return [f"CREATE USER {USER}@'%' IDENTIFIED BY '{PASSWORD}'", f"CREATE DATABASE {NAME}", f"GRANT ALL ON {NAME}.* TO {USER}@'%'"]


class Galera(MariaDB):
    """Two nodes that replicate synchronously; one takes all writes, the other only follows."""

    name, provider = "Galera", "/usr/lib/galera/libgalera_smm.so"

    def __init__(self, directory, first=None):
        super().__init__(directory)
        self.group, self.transfer, self.increment = free_port(), free_port(), free_port()
        self.first = first
        # As root, rsync would give its files to nobody.
        self.user = "mysql" if os.getuid() == 0 else self.user
        self.second = None if first else Galera(os.path.join(directory, "second"), self)

    def start(self):
        check(os.path.exists(self.provider), "galera-4 is not installed: apt-get install galera-4")
        super().start()
        if self.second:
            self.second.start()
            until("both nodes are in step", 60, lambda: ((seen := self.status("wsrep_cluster_size")) == "2", seen))

    def stop(self):
        if self.second:
            self.second.stop()
        super().stop()

    def status(self, name):
        rows = self._sql(f"SHOW STATUS LIKE '{name}'").stdout.split()
        return rows[-1] if rows else None

    def contents(self):
        """Every row of the tables that are not renewed all the time, for comparing nodes."""
        tables = ("revision", "resources", "changes", "host_claims", "evidence")
        return {t: self._sql(f"SELECT * FROM {NAME}.{t} ORDER BY 1, 2").stdout for t in tables}

    def end_checks(self):
        def same():
            ours, theirs = self.contents(), self.second.contents()
            return ours == theirs and bool(ours["changes"]), [t for t in ours if ours[t] != theirs[t]]
        until("both Galera nodes hold the same rows", 30, same)

    def _prepare(self):
        self._give_to(self.user)
        super()._prepare()

    def _setup(self):
        # What the first node has comes to the second by itself.
        return super()._setup() if self.first is None else []

    def _command(self):
        others = f"127.0.0.1:{self.first.group}" if self.first else ""
        return [*super()._command(), "--wsrep-on=ON", f"--wsrep-provider={self.provider}", "--binlog-format=ROW", "--innodb-autoinc-lock-mode=2",
                "--innodb-flush-log-at-trx-commit=1", "--wsrep-cluster-name=pair", f"--wsrep-cluster-address=gcomm://{others}",
                f"--wsrep-provider-options=gmcast.listen_addr=tcp://127.0.0.1:{self.group};ist.recv_addr=127.0.0.1:{self.increment}",
                f"--wsrep-node-address=127.0.0.1:{self.group}", "--wsrep-sst-method=rsync", f"--wsrep-sst-receive-address=127.0.0.1:{self.transfer}"]
