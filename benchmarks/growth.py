"""Whether anything becomes slower when there is a lot of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import alternatives as known
from benchmarks.crew import Crewman, Place, Rounds, in_turn, log
from benchmarks.findings import Finding, Section, Table, duration, times
from benchmarks.samples import Sample, ratio

FLAT = 1.1
"""A ratio that counts as flat: more than rounds of the same differ by on a quiet machine."""


@dataclass(frozen=True)
class Size:
    """How much there is."""

    users: int
    sessions: int
    changes: int
    windows: int


FULL = Size(users=100_000, sessions=100_000, changes=1_000_000, windows=10_000)
QUICK = Size(users=1_000, sessions=1_000, changes=1_000, windows=100)

_FILL = {
    "users": """
        INSERT INTO auth_user (password, is_superuser, username, first_name, last_name, email,
                               is_staff, is_active, date_joined)
        SELECT '', 0, 'user' || value, '', '', '', 0, 1, '2026-01-01' FROM numbers""",
    "sessions": """
        INSERT INTO django_session (session_key, session_data, expire_date)
        SELECT 'session' || value, '', '2036-01-01' FROM numbers""",
    "changes": """
        INSERT INTO backsoon_change (at, actor_name, channel, action, reason, epoch, before, after)
        SELECT '2026-01-01', 'admin', 'web', 'closed', '', value, '{}', '{}' FROM numbers""",
    # One for each of the last days, half a day long.
    "windows": """
        INSERT INTO backsoon_window (uid, starts_at, ends_at, mode, keep_logins, title, message,
                                     translations, reason, planned_start, planned_by, created_at,
                                     sequence)
        SELECT 'window' || value, datetime('2026-01-01', '-' || value || ' days'),
               datetime('2026-01-01', '-' || value || ' days', '+12 hours'),
               'closed', 0, '', '', '{}', '', '2026-01-01', '', '2026-01-01', 0 FROM numbers""",
}


def fill(database: Path, size: Size) -> None:
    """Put as many rows as *size* says into an SQLite database of the site."""
    connection = sqlite3.connect(database)
    try:
        with connection:
            for name, statement in _FILL.items():
                count = getattr(size, name)
                numbers = (
                    "WITH RECURSIVE numbers(value) AS "
                    "(SELECT 1 UNION ALL SELECT value + 1 FROM numbers LIMIT ?)"
                )
                into, select = statement.split("SELECT", 1)
                connection.execute(f"{into} {numbers} SELECT {select}", (count,))
    finally:
        connection.close()


def measure(place: Place, rounds: Rounds, size: Size) -> Section:
    """The same requests, readings and switches on a small site and on a grown one."""
    section = Section("growth")
    shown = (
        f"{size.users:,} users, {size.sessions:,} sessions, {size.changes:,} rows of history, "
        f"{size.windows:,} past windows"
    )
    log(f"  growth: {shown}")
    small, grown = place.site(known.IN_PLACE), place.site(known.IN_PLACE)
    fill(Path(grown["database"].removeprefix("sqlite:///")), size)
    measured: dict[str, dict[str, list[float]]] = {}
    with place.worker(known.IN_PLACE, small) as a, place.worker(known.IN_PLACE, grown) as b:
        pair = {"small": a, "grown": b}
        for name, do in {"reading, all": True, "reading, numbers": False}.items():
            measured[name] = _readings(pair, do, rounds)
        measured["switch"] = {name: _switches(worker, rounds) for name, worker in pair.items()}
        for state in ("closed", "open"):
            for worker in pair.values():
                worker.ask("close" if state == "closed" else "open")
            for visitor in ("stranger", "user"):
                tasks = [
                    (name, worker, "whole", "wsgi", worker.cookie if visitor == "user" else "")
                    for name, worker in pair.items()
                ]
                measured[f"{state}, request of a {visitor}"] = in_turn(tasks, rounds).wall
    section.data["measured"] = measured
    _report(section, measured, shown)
    return section


def _readings(pair: Mapping[str, Crewman], full: bool, rounds: Rounds) -> dict[str, list[float]]:
    count = 5 if full else 20
    found: dict[str, list[float]] = {name: [] for name in pair}
    for _ in range(rounds.number):
        for name, worker in pair.items():
            found[name].append(worker.ask("poll", count=count, full=full)["wall"])
    return found


def _switches(worker: Crewman, rounds: Rounds) -> list[float]:
    found = []
    for number_ in range(2 * rounds.number):
        stamps: dict[str, Any] = worker.ask("switch", close=not number_ % 2)
        found.append(stamps["done"] - stamps["begun"])
    return found


def _report(
    section: Section,
    measured: Mapping[str, Mapping[str, list[float]]],
    shown: str,
) -> None:
    rows = []
    for name, pair in measured.items():
        grown = ratio(pair["grown"], pair["small"])
        rows.append(
            [
                name,
                duration(Sample.of(pair["small"]).median),
                duration(Sample.of(pair["grown"]).median),
                times(grown),
            ]
        )
        section.findings.append(
            Finding(
                f"Growth: {name}",
                f"flat (≤ {FLAT} × of a small site)",
                times(grown),
                grown.median <= FLAT,
            )
        )
    note = f"Grown: {shown}."
    section.tables.append(
        Table("A small site and a grown one", ["", "small", "grown", "grown ÷ small"], rows, note)
    )
