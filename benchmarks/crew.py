"""The workers of a measurement, and rounds that go through all of them in turn."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.alternatives import Alternative, configuration

ROOT = Path(__file__).resolve().parents[1]

END_SECONDS = 10.0
MOST_AT_ONCE = 20_000


def log(text: str) -> None:
    """Tell whoever waits what is going on."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def own_processor() -> int | None:
    """The processor that workers are held to; ``None`` where there is no second one to spare."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[-1] if len(allowed) > 1 else None


def environment(site: Mapping[str, Any], **more: str) -> dict[str, str]:
    """The environment of a process with the site that *site* describes."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DJANGO_")}
    return {
        **kept,
        "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
        "PYTHONHASHSEED": "0",  # or each process would lay its dictionaries out differently
        "DJANGO_SETTINGS_MODULE": "benchmarks.site.settings",
        "BENCHMARK_SITE": json.dumps(site),
        **more,
    }


class WorkerFailed(Exception):
    """A worker could not do what it was asked for."""


@dataclass
class Crewman:
    """One worker and the alternative that it stands for."""

    alternative: Alternative
    process: subprocess.Popen[str]
    cookie: str
    how_many: dict[str, int] = field(default_factory=dict)

    def ask(self, do: str, **question: Any) -> dict[str, Any]:
        """The worker's answer. Raises :class:`WorkerFailed`."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do, **question}) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def greet(self) -> None:
        """Wait until the worker says that it is ready."""
        self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": "it ended"}
        if "error" in answer:
            raise WorkerFailed(f"{self.alternative.name}: {answer['error']}")
        return answer

    def seconds(self, do: str, style: str, cookie: str, budget: float) -> tuple[float, float]:
        """What one of *do* takes, as the mean of as many as fit into *budget* seconds.

        In time that passes, and in time of the worker's processor.
        """
        key = f"{do} {style} {bool(cookie)}"
        if key not in self.how_many:
            one = 1.0
            for count in (2, 10):  # the first few warm up
                one = self.ask(do, style=style, cookie=cookie, count=count)["seconds"]
            self.how_many[key] = max(3, min(MOST_AT_ONCE, int(budget / one)))
        count = self.how_many[key]
        told = self.ask(do, style=style, cookie=cookie, count=count)
        return told["seconds"], told["processor"]

    def end(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(END_SECONDS)


@dataclass(frozen=True)
class Place:
    """Where the sites of one run live, and which services they can have."""

    directory: Path
    services: Mapping[str, str]

    def prepared(self, alternative: Alternative) -> str:
        """Set the alternative's kind of database up once; the cookie of its ordinary user."""
        cookie = self.directory / f"{alternative.database}.cookie"
        if not cookie.exists():
            template = self.directory / alternative.database
            template.mkdir()
            with_tables = Alternative("template", apps=("backsoon",), database=alternative.database)
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.site.prepare"],
                env=environment(configuration(with_tables, template, self.services)),
                cwd=ROOT, capture_output=True, text=True, check=False,
            )  # fmt: skip
            if done.returncode:
                raise WorkerFailed(f"{alternative.database} could not be set up: {done.stderr}")
            cookie.write_text(done.stdout.strip(), encoding="ascii")
        return cookie.read_text(encoding="ascii")

    def site(self, alternative: Alternative) -> dict[str, Any]:
        """The description of a fresh site, with a copy of its own of an SQLite database."""
        self.prepared(alternative)
        number = sum(1 for _ in self.directory.glob("site-*"))
        own = self.directory / f"site-{number}"
        own.mkdir()
        template = self.directory / "sqlite" / "site.sqlite3"
        if alternative.database == "sqlite":
            shutil.copyfile(template, own / "site.sqlite3")
        return configuration(alternative, own, self.services)

    @contextmanager
    def worker(
        self, alternative: Alternative, site: Mapping[str, Any] | None = None
    ) -> Iterator[Crewman]:
        """A worker with *site*, else with a fresh one."""
        with self.starting(alternative, site) as worker:
            worker.greet()
            yield worker

    @contextmanager
    def starting(
        self, alternative: Alternative, site: Mapping[str, Any] | None = None
    ) -> Iterator[Crewman]:
        """As :meth:`worker`, without waiting until it is ready."""
        processor = own_processor()
        pinned = [] if processor is None else [str(processor)]
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", *pinned],
            env=environment(site or self.site(alternative)), cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        crewman = Crewman(alternative, process, self.prepared(alternative))
        try:
            yield crewman
        finally:
            crewman.end()

    @contextmanager
    def crew(self, alternatives: Iterable[Alternative]) -> Iterator[list[Crewman]]:
        """Workers for all alternatives that can be measured here."""
        with ExitStack() as stack:
            workers = [
                stack.enter_context(self.starting(alternative))
                for alternative in alternatives
                if not alternative.missing(self.services)
            ]
            for worker in workers:
                worker.greet()
            yield workers


@dataclass(frozen=True)
class Rounds:
    """How long a measurement may take."""

    number: int
    seconds: float
    """Of one alternative in one round."""


Task = tuple[str, Crewman, str, str, str]
"""Name, who, what, style, cookie."""


Times = dict[str, list[float]]
"""Seconds by name and round."""


@dataclass(frozen=True)
class Timed:
    """What rounds gave, in seconds."""

    wall: Times
    processor: Times
    """Of the worker's own processor time: less noise, but without what it waits for."""


def in_turn(tasks: Sequence[Task], rounds: Rounds) -> Timed:
    """All tasks in each round, in an order that changes."""
    chance = random.Random(20)  # noqa: S311  (an order that is the same in each run)
    timed = Timed({name: [] for name, *_ in tasks}, {name: [] for name, *_ in tasks})
    order = list(tasks)
    for _ in range(rounds.number):
        chance.shuffle(order)
        for name, worker, do, style, cookie in order:
            wall, processor = worker.seconds(do, style, cookie, rounds.seconds)
            timed.wall[name].append(wall)
            timed.processor[name].append(processor)
    return timed
