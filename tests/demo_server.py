"""The demo on a real server, as `make demo` and `make demo-asgi` start it, for tests.

Each server has a directory of its own (database, secret key, static files, log) and a free port of
this machine. Nothing here hopes that a moment is long enough: every wait asks until it is answered,
up to a deadline, and shows the server's log when there is no answer.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[1]
HOST = "127.0.0.1"
WORKERS = 2
PASSWORD = "backsoon-demo"
HEADER = "X-Worker"
"""The header in which `demo_apps.py` names the worker that answered."""

START_SECONDS = 30.0
STOP_SECONDS = 15.0
"""More than the ten seconds that both servers give to running requests."""

PATIENT = ["--timeout-worker-healthcheck", str(int(START_SECONDS))]
"""uvicorn gives up a worker that needs longer to start, and ends one that stands still as long."""

KINDS: dict[str, list[str]] = {
    "gunicorn": [
        *("gunicorn", "tests.demo_apps:wsgi", "--workers", str(WORKERS), "--threads", "4"),
        *("--graceful-timeout", "10", "--log-level", "warning", "--no-control-socket"),
    ],
    "uvicorn": [
        *("uvicorn", "tests.demo_apps:asgi", "--workers", str(WORKERS), "--lifespan", "off"),
        *("--timeout-graceful-shutdown", "10", "--log-level", "warning", *PATIENT),
    ],
}
KINDS["gunicorn-preload"] = [*KINDS["gunicorn"], "--preload"]

COMMANDS = {
    **KINDS,
    # One request at a time in each worker: whoever makes it wait, makes everybody wait.
    "gunicorn-sync": [part for part in KINDS["gunicorn"] if part not in ("--threads", "4")],
    # What Django answers itself is marked as such.
    "gunicorn-guarded": ["gunicorn", "tests.guarded_apps:wsgi", *KINDS["gunicorn"][2:]],
    "uvicorn-guarded": ["uvicorn", "tests.guarded_apps:asgi", *KINDS["uvicorn"][2:]],
    # One process, which signs off at the end of its lifespan.
    "uvicorn-alone": [
        *("uvicorn", "demo.core.asgi:application", "--lifespan", "on"),
        *("--timeout-graceful-shutdown", "10", "--log-level", "warning"),
    ],
}
"""The kinds, and further ones that only some tests want."""

OWN_SETTINGS = "demo.core.settings"
FAST_SETTINGS = "tests.demo_settings"

_OF_THE_DEMO = ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS")


def environment(directory: Path, settings: str = OWN_SETTINGS, **more: str) -> dict[str, str]:
    """The environment of a demo in *directory*, whatever this shell has set for another."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in _OF_THE_DEMO and not name.startswith(("DEMO_", "DJANGO_", "GUNICORN_"))
    }
    own = {"DEMO_VAR_DIR": str(directory), "DJANGO_SETTINGS_MODULE": settings}
    return {**kept, **own, "PYTHONPATH": str(ROOT), "DEMO_PASSWORD": PASSWORD, **more}


def manage(
    env: dict[str, str], *arguments: str, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run the demo's `manage.py` and wait for it; its words are part of the error if it fails."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), *arguments],
        env=env, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    if check and done.returncode:
        raise AssertionError(f"manage.py {' '.join(arguments)}: {done.stdout}{done.stderr}")
    return done


def set_up(directory: Path, settings: str = OWN_SETTINGS, **more: str) -> None:
    """Make a demo in *directory* with the commands of `scripts/demo.sh`."""
    env = environment(directory, settings, **more)
    manage(env, "migrate", "--verbosity", "0")
    manage(env, "init_default_settings")
    manage(env, "seed_demo")
    manage(env, "collectstatic", "--no-input", "--verbosity", "0")


def until(ask: Callable[[], T | None], seconds: float, what: str | Callable[[], str]) -> T:
    """What *ask* answers, as soon as it is not None. Raises AssertionError after *seconds*."""
    deadline = time.monotonic() + seconds
    while True:
        answer = ask()
        if answer is not None:
            return answer
        if time.monotonic() >= deadline:
            words = what if isinstance(what, str) else what()
            raise AssertionError(f"Not within {seconds:g} s: {words}")
        time.sleep(0.01)


def is_running(process: int) -> bool:
    """Whether there is a process of this number."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def free_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True)
class Answer:
    """What one worker says of the state of the site."""

    worker: int
    mode: str
    revision: int


@dataclass
class DemoServer:
    """A running server. Made by :func:`serving`."""

    kind: str
    directory: Path
    env: dict[str, str]
    port: int
    process: subprocess.Popen[bytes]
    log: Path
    console: Console | None = field(default=None)

    @property
    def url(self) -> str:
        """The address of the site, without a slash at the end."""
        return f"http://{HOST}:{self.port}"

    def client(self, **options: Any) -> httpx.Client:
        """A client that follows no redirect, so that a test sees each answer."""
        # Here, so that the fast suite collects these tests where only what it needs is installed.
        import httpx

        return httpx.Client(base_url=self.url, timeout=10, **options)

    def logged_in(self, username: str, **options: Any) -> httpx.Client:
        """A client that has logged in at the site's own door."""
        client = self.client(**options)
        client.get("/login/").raise_for_status()
        form = {
            "username": username,
            "password": PASSWORD,
            "csrfmiddlewaretoken": client.cookies["csrftoken"],
        }
        answer = client.post("/login/", data=form)
        assert answer.status_code == 302, f"{username} could not log in: {answer.status_code}"
        return client

    def manage(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `manage.py` beside the server."""
        return manage(self.env, *arguments, check=check)

    def words(self, since: int = 0) -> str:
        """The server's log from byte *since* on."""
        with self.log.open("rb") as log:
            log.seek(since)
            return log.read().decode(errors="replace")

    def log_size(self) -> int:
        """How long the log is, in bytes; for :meth:`words`."""
        return self.log.stat().st_size

    # -- What the workers know -----------------------------------------------------------------

    def ask(self) -> list[Answer]:
        """Ask for the state on several new connections at once, so that idle workers answer too."""
        # Each closes as soon as it has its answer: gunicorn's threads wait for that.
        with ThreadPoolExecutor(4 * WORKERS) as pool:
            return list(pool.map(lambda _: self._ask_one(), range(4 * WORKERS)))

    def _ask_one(self) -> Answer:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=10)
        try:
            connection.request("GET", "/maintenance/status.json", headers={"Connection": "close"})
            response = connection.getresponse()
            body = json.loads(response.read())
            return Answer(int(response.headers[HEADER]), body["mode"], body["revision"])
        finally:
            connection.close()

    def workers(self, seconds: float = 10.0) -> set[int]:
        """The process ids of all workers."""
        seen: set[int] = set()

        def all_of_them() -> set[int] | None:
            seen.update(answer.worker for answer in self.ask())
            return seen if len(seen) >= WORKERS else None

        return until(all_of_them, seconds, lambda: f"an answer of {WORKERS} workers, only {seen}")

    def settle(
        self, revision: int = 0, mode: str | None = None, seconds: float = 10.0
    ) -> dict[int, Answer]:
        """Wait until every worker knows *revision*, and *mode* if it is given."""
        last: dict[int, Answer] = {}

        def all_know() -> dict[int, Answer] | None:
            last.update({answer.worker: answer for answer in self.ask()})
            for gone in [worker for worker in last if not is_running(worker)]:
                del last[gone]
            know = [
                answer
                for answer in last.values()
                if answer.revision >= revision and mode in (None, answer.mode)
            ]
            return last if len(know) == len(last) >= WORKERS else None

        wanted = f"all workers at revision {revision}, {mode or 'any mode'}"
        return until(all_know, seconds, lambda: f"{wanted}; last answers: {last}")

    # -- What an operator does elsewhere ---------------------------------------------------------

    def close(self, **options: Any) -> None:
        """Close the site in another process and wait until every worker knows."""
        self._carry_out("close", **options)

    def open(self) -> None:
        """Open the site in another process and wait until every worker knows."""
        self._carry_out("open")

    def plan(self, minutes: float, length: float, **texts: str) -> None:
        """Plan a closure, instead of any other, and wait until every worker knows."""
        self._carry_out("plan", minutes=minutes, length=length, **texts)

    def call_off(self) -> None:
        """Take back every planned closure, and wait until every worker knows."""
        self._carry_out("call_off")

    def reset(self) -> None:
        """Open the site, forget every plan and text, and wait until every worker knows."""
        self._carry_out("reset")

    def save(self, **values: str | dict[str, str]) -> None:
        """Store settings; a dict holds texts by language, the main text under ``""``."""
        entries = {}
        for key, value in values.items():
            texts = {"": value} if isinstance(value, str) else dict(value)
            entries[key] = {"value": texts.pop("", ""), "translations": texts}
        self._carry_out("save", entries=entries)

    def settle_now(self) -> None:
        """Wait until every worker knows what somebody else, with a browser, has just stored."""
        self._carry_out("nothing")

    def write_by_hand(self, key: str, value: str) -> None:
        """Put a value into the table that no form would take."""
        self._carry_out("write_by_hand", key=key, value=value)

    def _carry_out(self, verb: str, **options: Any) -> None:
        if self.console is None:
            self.console = Console(self.env, self.directory / "console.log")
        self.settle(self.console.carry_out(verb, **options))

    # -- The end -------------------------------------------------------------------------------

    def signal(self, number: int) -> None:
        """Send a signal to the server's main process, as a supervisor does."""
        self.process.send_signal(number)

    def stop(self) -> float:
        """End the server as a supervisor does; how long that took, in seconds."""
        begun = time.monotonic()
        if self.console is not None:
            self.console.end()
            self.console = None
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(STOP_SECONDS)
                raise AssertionError(
                    f"{self.kind} did not stop within {STOP_SECONDS:g} s:\n{self.words()}"
                ) from None
        return time.monotonic() - begun


class Console:
    """The operator's process; see `demo_console.py`."""

    def __init__(self, env: dict[str, str], log: Path) -> None:
        self.log = log
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.demo_console"],
                env=env, cwd=ROOT, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
            )  # fmt: skip

    def carry_out(self, verb: str, **options: Any) -> int:
        """Have a change made; the revision that it led to."""
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps({"verb": verb, "options": options}) + "\n")
        stdin.flush()
        line = stdout.readline()
        answer = json.loads(line or "{}")
        if "revision" not in answer:
            said = answer.get("error") or self.log.read_text(encoding="utf-8")
            raise AssertionError(f"The console could not {verb}: {said}")
        revision: int = answer["revision"]
        return revision

    def end(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(STOP_SECONDS)


@contextmanager
def serving(
    kind: str, directory: Path, settings: str = OWN_SETTINGS, **more: str
) -> Iterator[DemoServer]:
    """The demo of *directory* (see :func:`set_up`) on a server, which is always stopped."""
    port, log = free_port(), directory / f"{kind}.log"
    env = environment(directory, settings, **more)
    with log.open("ab") as output:
        process = _start(kind, port, env, output)
    server = DemoServer(kind, directory, env, port, process, log)
    try:
        until(
            lambda: _is_ready(server),
            START_SECONDS,
            lambda: f"an answer of {kind}:\n{server.words()}",
        )
        yield server
    finally:
        server.stop()


def _start(kind: str, port: int, env: dict[str, str], output: IO[bytes]) -> subprocess.Popen[bytes]:
    module, application, *options = COMMANDS[kind]
    place = (
        ["--host", HOST, "--port", str(port)]
        if module == "uvicorn"
        else ["--bind", f"{HOST}:{port}"]
    )
    return subprocess.Popen(
        [sys.executable, "-m", module, application, *place, *options],
        env=env, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


def _is_ready(server: DemoServer) -> bool | None:
    if server.process.poll() is not None:
        raise AssertionError(f"{server.kind} ended at once:\n{server.words()}")
    import httpx

    try:
        return True if httpx.get(f"{server.url}/healthz", timeout=2).text == "ok" else None
    except httpx.TransportError:
        return None
