"""A server whose visitors write, an operator beside it, and a crowd that keeps coming."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.database_servers import children
from tests.demo_server import (
    COMMANDS,
    HOST,
    PATIENT,
    ROOT,
    DemoServer,
    environment,
    serving,
    until,
)

SETTINGS = "tests.faults.writers.settings"

_GUNICORN = ["--workers", "2", "--log-level", "warning", "--no-control-socket"]
_THREADS = [*_GUNICORN, "--threads", "4"]
_UVICORN = ["--workers", "2", "--lifespan", "off", "--log-level", "warning", *PATIENT]

_PLACE = "tests.faults.writers"

KINDS: dict[str, list[str]] = {
    "gunicorn-sync": ["gunicorn", f"{_PLACE}.wsgi:application", *_GUNICORN],
    "gunicorn-gthread": ["gunicorn", f"{_PLACE}.wsgi:application", *_THREADS],
    "gunicorn-preload-guarded": ["gunicorn", f"{_PLACE}.wsgi:guarded", *_THREADS, "--preload"],
    "uvicorn": ["uvicorn", f"{_PLACE}.asgi:application", *_UVICORN],
    "uvicorn-guarded": ["uvicorn", f"{_PLACE}.asgi:guarded", *_UVICORN],
}

COMMANDS.update({f"writers-{kind}": command for kind, command in KINDS.items()})

PATIENCE = 10.0

_numbers = itertools.count()


class Operator:
    """The process of `operating.py`, which answers one line after the other."""

    def __init__(self, env: dict[str, str], log: Path) -> None:
        self._log = log
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.writers.operating"],
                env=env, cwd=ROOT, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
            )  # fmt: skip

    def ask(self, verb: str, **options: Any) -> dict[str, Any]:
        """What came of *verb*. Raises AssertionError where it could not be done."""
        answer = self.try_to(verb, **options)
        assert "error" not in answer, f"{verb}: {answer}"
        return answer

    def try_to(self, verb: str, **options: Any) -> dict[str, Any]:
        """What came of *verb*, which may be an error."""
        self.begin(verb, **options)
        return self.result(verb)

    def begin(self, verb: str, **options: Any) -> None:
        """Let it begin; :meth:`result` waits for what comes of it."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"verb": verb, "options": options}) + "\n")
        self.process.stdin.flush()

    def result(self, verb: str) -> dict[str, Any]:
        """What came of what was begun."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            words = self._log.read_text(encoding="utf-8")
            raise AssertionError(f"The operator could not {verb}:\n{words}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def kill(self) -> None:
        """End it in the middle of whatever it does."""
        self.process.kill()
        self.process.wait(PATIENCE)

    def end(self) -> None:
        """End the process."""
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        self.process.wait(PATIENCE)


@dataclass(frozen=True)
class Begun:
    """A request that is under way."""

    status: Future[int]
    pid: int
    """The process that has it in hand."""


@dataclass
class Crew:
    """A running server with its operator. Made by :func:`crew`."""

    server: DemoServer
    operator: Operator
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(16))

    @property
    def is_async(self) -> bool:
        """Whether the server speaks ASGI."""
        return "uvicorn" in self.server.kind

    # -- Visitors ------------------------------------------------------------------------------

    def request(
        self, path: str, method: str = "GET", *, timeout: float = PATIENCE, **query: Any
    ) -> int:
        """The status of the answer to one request on a connection of its own; 0 for none."""
        connection = http.client.HTTPConnection(HOST, self.server.port, timeout=timeout)
        try:
            address = f"{path}?{urllib.parse.urlencode(query)}" if query else path
            connection.request(method, address, headers={"Connection": "close"})
            response = connection.getresponse()
            response.read()
            return response.status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()

    def begin(self, path: str, **query: Any) -> Begun:
        """A request that goes on by itself, and that some worker has surely begun with."""
        word = f"begun-{next(_numbers)}"
        status = self.pool.submit(self.request, path, begun=word, **query)

        def whose() -> int | None:
            notes = self.operator.ask("written")["notes"]
            return next(
                (int(note.split()[1]) for note in notes if note.startswith(f"{word} ")), None
            )

        return Begun(
            status, until(whose, PATIENCE, lambda: f"{path}: {self.server.words()[-4000:]}")
        )

    @contextmanager
    def crowd(self, visitors: int = 3) -> Iterator[None]:
        """So many visitors who come again and again, whatever they get."""
        over = threading.Event()
        paths = ("/write/", "/awrite/", "/astream/") if self.is_async else ("/write/", "/stream/")

        def visit(seed: int) -> None:
            chance = random.Random(seed)
            while not over.is_set():
                path = chance.choice(paths)
                method = chance.choice(("GET", "POST")) if "write" in path else "GET"
                if self.request(path, method, ms=chance.randrange(25)) != 200:
                    over.wait(0.04)  # whoever is refused does not hammer at the door

        threads = [threading.Thread(target=visit, args=(seed,)) for seed in range(visitors)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join(PATIENCE)

    # -- Workers -------------------------------------------------------------------------------

    def pids(self) -> set[int]:
        """The processes that the server has started to answer requests."""
        found = set(children(self.server.process.pid))
        if self.is_async:  # multiprocessing's tracker is one more child
            found = {pid for pid in found if b"spawn_main" in _command_line(pid)}
        return found

    def notes(self) -> list[str]:
        """What has been written, in its order."""
        found: list[str] = self.operator.ask("written")["notes"]
        return found

    def registered(self) -> list[dict[str, Any]]:
        """The workers that are waited for."""
        return [w for w in self.operator.ask("look")["workers"] if not w["ended"]]

    def wake_all(self) -> None:
        """Let every worker answer a request, so that it has registered."""

        def all_have() -> bool | None:
            list(self.pool.map(lambda _: self.request("/write/", ms=5, note="wake"), range(8)))
            return {w["pid"] for w in self.registered()} >= self.pids() or None

        until(all_have, PATIENCE, lambda: f"{self.pids()} in {self.operator.ask('look')}")

    def settle(self) -> None:
        """Open the site for all workers, each of which is registered."""
        self.operator.ask("open")
        self.wake_all()
        self.operator.ask("open", wait=PATIENCE)

    def must_stay_quiet(self) -> None:
        """Whoever asks now is refused, and nothing is written any more."""
        before = self.operator.ask("written")
        assert {self.request("/write/", "POST") for _ in range(12)} == {503}
        assert self.operator.ask("written") == before

    def stop(self) -> None:
        """End the operator and let visitors go."""
        if self.operator.process.poll() is None:
            self.operator.end()
        self.pool.shutdown(cancel_futures=True)


def pids(told: dict[str, Any], condition: str) -> set[int]:
    """The processes that stand so, by what the operator was told."""
    return {worker["pid"] for worker in told["workers"] if worker["condition"] == condition}


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """The process stands still, as on a machine that is paused."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def crew(kind: str, directory: Path, **more: str) -> Iterator[Crew]:
    """A server of one of :data:`KINDS` in *directory*, in whose database all tables are made."""
    env = environment(directory, SETTINGS, **more)
    with serving(f"writers-{kind}", directory, SETTINGS, **more) as server:
        made = Crew(server, Operator(env, directory / "operator.log"))
        try:
            yield made
        finally:
            made.stop()


def prepared(directory: Path, **more: str) -> Path:
    """Make all tables of a site in *directory*, or in the database of ``DATABASE_URL``."""
    directory.mkdir(parents=True, exist_ok=True)
    operator = Operator(environment(directory, SETTINGS, **more), directory / "operator.log")
    try:
        operator.ask("prepare")
    finally:
        operator.end()
    return directory


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
