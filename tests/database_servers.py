"""PostgreSQL and Redis for tests: real servers of their own, on free ports of this machine.

    with PostgreSQL(tmp_path) as postgresql:
        url = postgresql.create_database("site")
        ...
        with postgresql.locked(url, "auth_user"):
            ...
        postgresql.stop()
        postgresql.start()

Both can be stopped, started again on the same port, and paused: a paused server's port still takes
connections, and nobody answers them. They keep nothing: what they hold is gone with them.
"""

from __future__ import annotations

import atexit
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tests import programs
from tests.demo_server import HOST, is_running, until

if TYPE_CHECKING:
    from typing import Self

    import psycopg
    import redis

START_SECONDS = 30.0
STOP_SECONDS = 15.0

USER = "backsoon"

_FOR_TESTS = {
    # Nothing of this has to survive the machine.
    "fsync": "off",
    "full_page_writes": "off",
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "300",
    "shared_buffers": "32MB",
    "max_wal_size": "128MB",
    "autovacuum": "off",
    "log_line_prefix": "%m [%p] %a ",
}


def quiet_port() -> int:
    """A free port that the system does not also hand out to clients.

    While a server is stopped on purpose, a client's own end must not take its place.
    """
    for port in random.sample(range(20_000, 32_000), 200):
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        return port
    raise AssertionError("No free port below those that the system hands out.")


class _Server(ABC):
    """A process that can be started and stopped more than once on its port."""

    name = ""
    gentle_stop = signal.SIGTERM

    def __init__(self, directory: Path) -> None:
        self.port = quiet_port()
        self.log = directory / f"{self.name}-{self.port}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._paused: list[int] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it unless it runs, and wait until it answers."""
        if self.process is not None:
            return
        with self.log.open("ab") as output:
            self.process = self._launch(output)
        until(self._answers, START_SECONDS, lambda: f"an answer of {self.name}:\n{self.words()}")

    def stop(self, number: int | None = None) -> None:
        """End it, paused or not; nothing happens where it does not run."""
        process, self.process = self.process, None
        if process is None:
            return
        self._resume()
        process.send_signal(self.gentle_stop if number is None else number)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            for pid in [process.pid, *children(process.pid)]:
                _send(pid, signal.SIGKILL)
            process.wait(STOP_SECONDS)
            raise AssertionError(f"{self.name} did not stop:\n{self.words()}") from None

    def kill(self, number: int) -> None:
        """Send a signal to the server's main process and all that it has started."""
        assert self.process is not None, f"{self.name} does not run"
        # The main process first: paused, it starts no more of them.
        _send(self.process.pid, number)
        for pid in children(self.process.pid):
            _send(pid, number)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Hang: every process of the server is stopped in its tracks, its port stays open."""
        assert self.process is not None, f"{self.name} does not run"
        self.kill(signal.SIGSTOP)
        self._paused = [self.process.pid, *children(self.process.pid)]
        try:
            yield
        finally:
            self._resume()

    def words(self) -> str:
        """The server's log."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def _resume(self) -> None:
        for pid in self._paused:
            _send(pid, signal.SIGCONT)
        self._paused = []

    @abstractmethod
    def _launch(self, output: IO[bytes]) -> subprocess.Popen[bytes]: ...

    @abstractmethod
    def _responds(self) -> bool: ...

    def _answers(self) -> bool | None:
        assert self.process is not None
        if self.process.poll() is not None:
            self.process = None
            raise AssertionError(f"{self.name} ended at once:\n{self.words()}")
        return True if self._responds() else None


class PostgreSQL(_Server):
    """A cluster of its own; *directory* gets its log. Needs the program ``postgresql``."""

    name = "postgresql"
    gentle_stop = signal.SIGQUIT  # "immediate": what is open is not waited for
    smart, fast, immediate = signal.SIGTERM, signal.SIGINT, signal.SIGQUIT

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._data = Path()

    def __enter__(self) -> Self:
        # Not in *directory*: pytest's are closed to the account that PostgreSQL runs under.
        home = _home()
        self._data = home / "data"
        try:
            shutil.copytree(_empty_cluster(), self._data)
            _give_to_account(self._data)
            return super().__enter__()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        shutil.rmtree(self._data.parent, ignore_errors=True)

    @property
    def url(self) -> str:
        """The address of the database that is always there."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """The address of a database on this server."""
        return f"postgres://{USER}@{HOST}:{self.port}/{database}"

    def create_database(self, name: str, template: str = "template1") -> str:
        """Make a database and return its address. Nobody may be connected to the *template*."""
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        # PostgreSQL 15 logs a copied sequence as it stands, and trusts that it is logged some
        # numbers ahead: after a crash it would give the same ones again. Not behind a checkpoint.
        self.execute("CHECKPOINT")
        return self.url_of(name)

    def drop_database(self, name: str) -> None:
        """Remove a database, whoever is still connected."""
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    @contextmanager
    def connection(self, database: str = "postgres") -> Iterator[psycopg.Connection[Any]]:
        """A connection without a transaction, closed at the end."""
        # Here, so that tests can be collected where only what the fast suite needs is installed.
        import psycopg

        where = {"host": HOST, "port": self.port, "user": USER, "dbname": database}
        with psycopg.connect(**where, autocommit=True, connect_timeout=10) as connection:  # type: ignore[arg-type]
            yield connection

    def execute(self, statement: str, *values: Any, database: str = "postgres") -> list[Any]:
        """Carry out one statement; its rows, if it gives any."""
        with self.connection(database) as connection:
            cursor = connection.execute(statement.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def locked(self, database: str, *tables: str) -> Iterator[None]:
        """Hold *tables* as a migration does: nobody else can even read them."""
        with self.connection(database) as connection, connection.transaction():
            connection.execute(f"LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE".encode())
            yield

    def _launch(self, output: IO[bytes]) -> subprocess.Popen[bytes]:
        options = [part for item in _FOR_TESTS.items() for part in ("-c", "=".join(item))]
        return subprocess.Popen(
            [program("postgres"), "-D", str(self._data), "-p", str(self.port), *options],
            stdout=output, stderr=subprocess.STDOUT, start_new_session=True, cwd="/", **_account(),
        )  # fmt: skip

    def _responds(self) -> bool:
        command = [program("pg_isready"), "-q", "-h", HOST, "-p", str(self.port)]
        return subprocess.run(command, check=False, timeout=10).returncode == 0


class Redis(_Server):
    """A Redis that keeps everything in memory. Needs the program ``redis``."""

    name = "redis"

    @property
    def url(self) -> str:
        """The address of its first database."""
        return f"redis://{HOST}:{self.port}/0"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._directory = directory

    def client(self) -> redis.Redis:
        """A client that does not wait long."""
        from redis import Redis as Client

        return Client(host=HOST, port=self.port, socket_timeout=2, socket_connect_timeout=2)

    def flush(self) -> None:
        """Forget everything, as FLUSHALL does."""
        with self.client() as client:
            client.flushall()

    def _launch(self, output: IO[bytes]) -> subprocess.Popen[bytes]:
        program = programs.find("redis")
        assert program is not None
        return subprocess.Popen(
            [
                *(str(program), "--port", str(self.port), "--bind", HOST),
                *("--save", "", "--appendonly", "no", "--dir", str(self._directory)),
            ],
            stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def _responds(self) -> bool:
        from redis.exceptions import RedisError

        try:
            with self.client() as client:
                return bool(client.ping())
        except RedisError:
            return False


def program(name: str) -> str:
    """The path of one of PostgreSQL's programs."""
    initdb = programs.find("postgresql")
    assert initdb is not None
    return str(initdb.parent / name)


@cache
def _account() -> dict[str, Any]:
    """Whom PostgreSQL runs as: it refuses to be root's, which is who runs tests in a container."""
    if os.geteuid() != 0:
        return {}
    return {"user": "postgres", "group": "postgres", "extra_groups": []}


def _home() -> Path:
    home = Path(tempfile.mkdtemp(prefix="backsoon-postgresql-"))
    _give_to_account(home)
    return home


def _give_to_account(directory: Path) -> None:
    if not _account():
        return
    entry = pwd.getpwnam("postgres")
    for path in (directory, *directory.rglob("*")):
        os.chown(path, entry.pw_uid, entry.pw_gid)


@cache
def _empty_cluster() -> Path:
    """A cluster that was never started, made once for all that copy it."""
    home = _home()
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    made = subprocess.run(
        [
            *(program("initdb"), "-D", str(home / "data"), "--username", USER, "--auth=trust"),
            *("--no-sync", "--no-instructions", "--encoding=UTF8", "--locale=C"),
        ],
        capture_output=True, text=True, timeout=120, check=False, cwd="/", **_account(),
    )  # fmt: skip
    if made.returncode:
        raise AssertionError(f"initdb failed:\n{made.stdout}{made.stderr}")
    return home / "data"


def children(parent: int) -> list[int]:
    """The processes that *parent* has started. Each of PostgreSQL's is a group of its own."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # "pid (name) state ppid …"; the name may hold spaces and brackets.
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended meanwhile
        if int(fields[1]) == parent:
            found.append(int(stat.parent.name))
    return found


def _send(pid: int, number: int) -> None:
    if is_running(pid):
        os.kill(pid, number)
