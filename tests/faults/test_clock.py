"""The time of day of the workers' machine is wrong, or steps; the database's stays right."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from tests import programs
from tests.demo_server import WORKERS, until
from tests.faults.conftest import SiteMaker
from tests.faults.report import Report
from tests.faults.site import BACK_WITHIN, POLL, FaultySite, python_path, wrong
from tests.faults.visitors import Ask, burst

pytestmark = [pytest.mark.timed, pytest.mark.servers("postgresql", "redis", "faketime")]

HOUR = 3600

NEWS_WITHIN = BACK_WITHIN + 2.0
"""libfaketime stands between the workers and each of their looks at a clock, and makes them several
times slower, with the right time as with a wrong one. That is the tool's own doing, so what is
measured here tells nothing of the site's speed."""

NOBODY = Ask("nobody", "/quiet/")

CLOCKS = """
import json, time
clocks = time.CLOCK_REALTIME, time.CLOCK_MONOTONIC, time.CLOCK_BOOTTIME
print(json.dumps([time.clock_gettime(clock) for clock in clocks]))
"""


class Clock:
    """The time of day as some processes see it, moved at will while they run.

    Source of the variables' meaning: the documentation of libfaketime 0.9.10.
    """

    def __init__(self, directory: Path) -> None:
        self._file = directory / "clock"
        self.move(0)
        self.environment = {
            "LD_PRELOAD": str(programs.find("faketime")),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            # Reading the file at each look at the clock would slow the workers down.
            "FAKETIME_CACHE_DURATION": "1",
            # Real steps of a clock move nothing but the time of day.
            "DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
            "PYTHONPATH": python_path(Path(__file__).with_name("moved_clock")),
        }

    def move(self, seconds: int, site: FaultySite | None = None) -> None:
        """Let the clock be *seconds* ahead of the true time; wait until the workers live by it."""
        self._file.write_text(f"{seconds:+d}\n")
        moved: set[int] = set()

        def all_have_moved() -> bool | None:
            assert site is not None
            for reply in burst(site.server.port, [NOBODY] * WORKERS):
                told = parsedate_to_datetime(reply.headers["date"])
                ahead = (told - dt.datetime.now(dt.UTC)).total_seconds()
                if abs(ahead - seconds) < 60:
                    moved.add(reply.worker)
            return True if len(moved) >= WORKERS else None

        if site is not None:
            until(all_have_moved, 15, "the time of day in the answers of all workers")


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> Clock:
    """The clock of the workers."""
    return Clock(tmp_path_factory.mktemp("clock"))


@pytest.fixture(scope="module")
def clocked(new_site: SiteMaker, clock: Clock) -> Iterator[FaultySite]:
    """A site whose workers live by *clock*, while operators' commands have the true time."""
    with new_site("gunicorn", **clock.environment) as site:
        site.server.env = {
            name: value for name, value in site.server.env.items() if name not in clock.environment
        }
        yield site


@pytest.fixture(autouse=True)
def _right_at_first(clock: Clock) -> None:
    clock.move(0)


def test_only_the_time_of_day_is_moved(clock: Clock) -> None:
    def read() -> list[float]:
        done = subprocess.run(
            [sys.executable, "-c", CLOCKS],
            env={**os.environ, **clock.environment}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        found: list[float] = json.loads(done.stdout)
        return found

    before = read()
    clock.move(HOUR)
    of_day, monotonic, boot = (now - then for now, then in zip(read(), before, strict=True))
    assert HOUR <= of_day < HOUR + 60
    assert 0 <= monotonic < 60
    assert 0 <= boot < 60


@pytest.mark.parametrize("shift", [HOUR, -HOUR], ids=["ahead", "back"])
def test_a_clock_that_jumps_neither_opens_a_closed_site_nor_closes_an_open_one(
    clocked: FaultySite, clock: Clock, shift: int, report: Report
) -> None:
    clocked.close()
    clock.move(shift, clocked)
    replies = clocked.visit(48) + clocked.visits_during(POLL + 0.5)
    back = clocked.seconds_until_well()
    report.add(f"clock {shift // 60:+d} min", "gunicorn", replies, back=back)
    assert list(wrong(replies)) == []
    assert back <= NEWS_WITHIN
    # News travel as fast as ever, and the clock may jump home again.
    clocked.server.open()
    assert clocked.seconds_until_each_worker_says(NOBODY, 200) <= NEWS_WITHIN
    clock.move(0, clocked)
    replies = clocked.visits_during(POLL + 0.5, [NOBODY], at_once=2)
    report.add(f"clock {shift // 60:+d} min, and home again", "gunicorn", replies, site="open")
    assert {reply.text for reply in replies} == {"quiet"}


def test_a_timer_does_not_open_early_because_a_workers_clock_is_ahead(
    clocked: FaultySite, clock: Clock, report: Report
) -> None:
    end = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=HOUR / 2)
    clocked.close(until=end.isoformat(), open_at_end=True)
    clock.move(HOUR, clocked)
    replies = clocked.visit(48) + clocked.visits_during(POLL + 0.5)
    report.add("clock +60 min, timer ends in 30 min", "gunicorn", replies)
    assert list(wrong(replies)) == []


def test_a_timer_does_not_open_late_because_a_workers_clock_is_behind(
    clocked: FaultySite, clock: Clock
) -> None:
    clock.move(-HOUR, clocked)
    clocked.close()  # from now on it takes no time to be carried out
    lasts = 2.0
    end = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=lasts)
    clocked.close(until=end.isoformat(), open_at_end=True)
    assert clocked.seconds_until_each_worker_says(NOBODY, 200) <= lasts + NEWS_WITHIN
