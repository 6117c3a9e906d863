"""Celery with real workers on a real Redis: no task starts while the site is closed, none is lost.

The tests write down in Redis what ran; see `tests/celery_site.py`.
"""

from __future__ import annotations

import ast
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.database_servers import Redis
from tests.demo_server import FAST_SETTINGS, Console, environment, until

if TYPE_CHECKING:
    import redis

pytestmark = pytest.mark.servers("redis")

SECONDS = 20.0
"""How long anything here may take."""

PREFETCHED = 50
MANY = 30


@dataclass
class Site:
    """A demo with a broker, its workers' programs, and an operator."""

    directory: Path
    env: dict[str, str]
    console: Console
    client: redis.Redis

    @contextmanager
    def program(self, *arguments: str) -> Iterator[Program]:
        """A program of Celery's, which is stopped at the end."""
        log = self.directory / f"celery-{arguments[0]}-{time.monotonic_ns()}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "celery", "--app", "tests.celery_site", *arguments],
                env=self.env, cwd=self.directory, stdout=output, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
        program = Program(process, log)
        try:
            yield program
        finally:
            program.stop()
            # pytest shows this for a test that failed.
            print(program.words())  # noqa: T201

    def send(self, name: str, *arguments: Any, **options: Any) -> None:
        """Put a task into its queue."""
        from tests.celery_site import app

        app.send_task(f"tests.{name}", arguments, **options)

    def send_all(self, name: str, count: int, **options: Any) -> None:
        """Put *count* tasks into their queue, numbered."""
        for number in range(count):
            self.send(name, number, **options)

    # -- What is true ------------------------------------------------------------------------------

    def change(self, verb: str, **options: Any) -> int:
        """Have the operator change the state; the number of the change."""
        self.console.carry_out(verb, **options)
        ((epoch,),) = self.query("SELECT epoch FROM backsoon_maintenance")
        return int(epoch)

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Ask the demo's database."""
        with closing(sqlite3.connect(self.directory / "demo.sqlite3", timeout=10)) as connection:
            return connection.execute(statement).fetchall()

    def workers(self) -> list[tuple[Any, ...]]:
        """Those that are waited for."""
        return self.query("SELECT id FROM backsoon_worker WHERE ended_at IS NULL")

    def worker(self) -> tuple[Any, ...] | None:
        """Epoch acknowledged, and what runs, of the one worker that is alive."""
        rows = self.query(
            "SELECT acked_epoch, units, kind, pid FROM backsoon_worker WHERE ended_at IS NULL"
        )
        assert len(rows) <= 1
        return rows[0] if rows else None

    def acknowledges(self, epoch: int) -> bool | None:
        """Whether the one worker has said that nothing runs in it since the change *epoch*."""
        row = self.worker()
        return True if row is not None and row[0] == epoch else None

    def running(self) -> list[str]:
        """The names of what the worker's row says that it waits for."""
        row = self.worker()
        return [path for _method, path, _age in json.loads(row[1])] if row else []

    def ran(self) -> list[dict[str, Any]]:
        """What has run."""
        from tests.celery_site import ran

        return ran(self.client)

    def what_ran(self) -> list[Any]:
        """The arguments of what has run."""
        return [line["what"] for line in self.ran()]

    def waiting(self) -> list[Any]:
        """The arguments of what is in the ordinary queue, the next one first."""
        lines: list[bytes] = self.client.lrange("celery", 0, -1)  # type: ignore[assignment]
        bodies = [ast.literal_eval(json.loads(line)["headers"]["argsrepr"]) for line in lines]
        return [body[0] for body in reversed(bodies)]

    def unacknowledged(self) -> int:
        """How many messages are with a worker, as the broker sees it."""
        return int(self.client.hlen("unacked"))

    def forget(self) -> None:
        """Empty the broker, and open the site."""
        self.client.flushdb()
        self.console.carry_out("open")


@dataclass
class Program:
    """A running worker or beat."""

    process: subprocess.Popen[bytes]
    log: Path

    def words(self) -> str:
        """What it has said."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it and all that it has started."""
        if self.process.poll() is not None:
            return
        self.process.send_signal(number)
        try:
            self.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(SECONDS)
            raise AssertionError(f"It did not stop:\n{self.words()}") from None


@pytest.fixture(scope="module")
def running_site(
    new_directory: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """One broker and one operator for all tests."""
    directory = new_directory("celery")
    with Redis(tmp_path_factory.mktemp("redis")) as server, server.client() as client:
        env = environment(directory, FAST_SETTINGS, DEMO_BROKER_URL=server.url)
        console = Console(env, directory / "console.log")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DEMO_BROKER_URL", server.url)
            yield Site(directory, env, console, client)
        console.end()


@pytest.fixture
def site(running_site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """The site, open, with nothing in its broker."""
    from tests.celery_site import app

    monkeypatch.setattr(app.conf, "broker_url", running_site.env["DEMO_BROKER_URL"])
    running_site.forget()
    return running_site


def expect(ask: Callable[[], object], what: str) -> None:
    """Wait until *ask* answers with something true."""
    until(lambda: ask() or None, SECONDS, what)


WORKER = ("worker", "--concurrency=2", "--prefetch-multiplier=30", "--loglevel=info")
QUEUES = ("--queues=celery,urgent", "--without-gossip", "--without-mingle", "--without-heartbeat")


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_tasks_fetched_ahead_go_back_and_run_once_when_the_site_opens(
    site: Site, pool: str
) -> None:
    with site.program(*WORKER, *QUEUES, f"--pool={pool}"):
        site.send("stay", "a")
        site.send("stay", "b")
        expect(lambda: site.client.llen("tests:began") == 2, "two tasks that run")
        site.send_all("note", PREFETCHED)
        expect(lambda: site.unacknowledged() >= PREFETCHED, "tasks fetched ahead")

        epoch = site.change("close")
        # What runs is waited for, by its name.
        expect(lambda: site.running() == ["tests.stay"] * 2, "the names of what runs")
        assert not site.acknowledges(epoch)
        # What is sent now stays behind what was sent before.
        site.send("note", "later")
        site.send("urgent", "urgent")
        site.client.set("tests:let-go", 1)
        expect(lambda: site.acknowledges(epoch), "the acknowledgement")
        expect(lambda: "urgent" in site.what_ran(), "the task that may run")

        expect(lambda: site.waiting() == [*range(PREFETCHED), "later"], "the queue as it was")
        assert site.unacknowledged() == 0
        assert sorted(site.what_ran()) == ["a", "b", "urgent"]

        site.change("open")
        expect(lambda: len(site.ran()) >= PREFETCHED + 4, "all of them")
    lines = site.ran()
    assert len(lines) == PREFETCHED + 4
    assert {line["what"] for line in lines} == {*range(PREFETCHED), *"ab", "urgent", "later"}
    assert {line["retries"] for line in lines} == {0}


def test_a_worker_that_is_killed_while_closed_takes_no_task_with_it(site: Site) -> None:
    with site.program(*WORKER, *QUEUES, "--pool=prefork") as first:
        # Killed by its time limit, in the process that runs it.
        site.send("stay", "limited", time_limit=2)
        expect(lambda: site.client.llen("tests:began") == 1, "the task that runs too long")
        # Due while the site is closed; acknowledged early, and late.
        site.send("note", "early", countdown=1)
        site.send("late", "late", countdown=1)
        expect(lambda: site.unacknowledged() == 2, "the tasks that are not due")

        epoch = site.change("close")
        expect(lambda: site.acknowledges(epoch), "the acknowledgement")
        expect(lambda: sorted(site.waiting()) == ["early", "late"], "the tasks given back")
        first.stop(signal.SIGKILL)
    with site.program(*WORKER, *QUEUES, "--pool=solo"):
        expect(lambda: site.acknowledges(epoch), "the acknowledgement of the next one")
        assert sorted(site.waiting()) == ["early", "late"]
        assert site.ran() == []
        site.change("open")
        expect(lambda: len(site.ran()) >= 2, "both of them")
    assert sorted(site.what_ran()) == ["early", "late"]
    assert {line["retries"] for line in site.ran()} == {0}
    assert site.worker() is None, "a worker that ends takes its row away"


def test_processes_that_are_forked_while_the_main_one_reads_the_database_come_alive(
    site: Site, tmp_path: Path
) -> None:
    """A child that inherited a lock of SQLite's in use would wait for it for ever."""
    schedule = f"--schedule={tmp_path / 'schedule'}"
    for _start in range(2):
        with site.program(*WORKER, *QUEUES, "--pool=threads", "--beat", schedule):
            expect(lambda: len(site.workers()) == 2, "the rows of worker and embedded beat")
        assert site.workers() == [], "both sign off"
    # Each of these runs in a process of its own, forked while the watcher looks as often as it can.
    with site.program(*WORKER, *QUEUES, "--pool=prefork", "--max-tasks-per-child=1"):
        site.send_all("query", MANY)
        numbers = range(MANY)
        expect(lambda: set(numbers) <= set(site.what_ran()), "all of them")


def test_beat_sends_nothing_while_the_site_is_closed(site: Site, tmp_path: Path) -> None:
    with site.program("beat", f"--schedule={tmp_path / 'schedule'}", "--max-interval=1"):
        expect(lambda: site.waiting(), "what beat sends")
        epoch = site.change("close")
        expect(lambda: site.acknowledges(epoch), "the acknowledgement")
        sent = len(site.waiting())
        quiet_until = time.monotonic() + 1
        expect(lambda: time.monotonic() > quiet_until, "five times the interval")
        assert len(site.waiting()) == sent
        site.change("open")
        expect(lambda: len(site.waiting()) > sent, "what was due")
