"""The rows of the workers: written by each of them, read by whoever waits.

Moments are by the database's clock where it has one, so that hosts need not agree on the time.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.conf import settings as django_settings
from django.db import transaction
from django.db.models.functions import Now

from . import fencing, processes, store
from .core.quiesce import Report, Running
from .models import Worker
from .processes import Process

SHOWN = 5
"""How many of the units that a worker waits for its row names: the oldest ones."""

LONGEST_PATH = 200

BEAT_SECONDS = 5.0
"""How often a worker says that it is alive."""

FORGOTTEN_SECONDS = 24 * 3600.0
"""After such a silence nobody waits for a worker any more, and rows of the dead are taken away."""

SKEW_SECONDS = 6 * FORGOTTEN_SECONDS
"""How much longer that takes where each host tells moments by its own clock: one may be wrong, or
mean another zone."""

PROVEN = frozenset({Worker.Ending.GONE})
"""The endings that are certain."""


def new_id() -> str:
    """An identifier that no other process has or ever had."""
    return uuid.uuid4().hex


def add(identity: str, process: Process, kind: str, version: str, session_name: str) -> None:
    """Write the row of a process that was just born. Raises :class:`StoreUnavailableError`."""
    with _writing():
        now = _now()
        Worker.objects.using(store.alias()).bulk_create(
            [
                Worker(
                    id=identity,
                    kind=kind,
                    host=process.host,
                    machine=process.machine,
                    pid=process.pid,
                    pid_started=process.started,
                    version=version,
                    session_name=session_name,
                    born_at=now,
                    seen_at=now,
                )
            ]
        )


def beat(identity: str, **news: Any) -> bool:
    """Say that the worker is alive, and what is new about it; false when its row counts no more.

    Raises :class:`StoreUnavailableError`.
    """
    with _writing():
        rows = Worker.objects.using(store.alias()).filter(pk=identity, ended_at=None)
        return bool(rows.update(seen_at=_now(), **news))


def remove(identity: str) -> None:
    """Take the row of a worker away that ends cleanly. Raises :class:`StoreUnavailableError`."""
    with _writing():
        Worker.objects.using(store.alias()).filter(pk=identity).delete()


def end(identity: str, how: Worker.Ending, by: str = "") -> bool:
    """Note that nobody has to wait for the worker; false when somebody was faster.

    Raises :class:`StoreUnavailableError`.
    """
    with _writing():
        rows = Worker.objects.using(store.alias()).filter(pk=identity, ended_at=None)
        return bool(rows.update(ended_at=_now(), ended_how=how, ended_by=by[:200]))


def bury_the_dead() -> int:
    """Note the workers of this machine that have ended, and forget others of long ago.

    Only what has surely ended counts: a process of this very boot whose number is free, or given
    to another one, and of whose statements PostgreSQL carries out none any more. Says how many.
    Raises :class:`StoreUnavailableError`.
    """
    with _writing():
        rows = Worker.objects.using(store.alias())
        own = processes.machine()
        living = list(rows.filter(machine=own, ended_at=None)) if own else []
        gone = [row for row in living if processes.is_gone(process_of(row))]
        left = fencing.at_work(store.alias(), [row.session_name for row in gone])
        ended = [row.pk for row in gone if row.session_name not in left]
        buried = _end_all(ended, Worker.Ending.GONE)
        long_ago = _ago(FORGOTTEN_SECONDS + (0 if store.has_a_clock() else SKEW_SECONDS))
        silent = rows.filter(seen_at__lt=long_ago, ended_at=None)
        if own:
            silent = silent.exclude(machine=own)  # of those it is known whether they have ended
        buried += _end_all(list(silent.values_list("pk", flat=True)), Worker.Ending.SILENT)
        rows.filter(ended_at__lt=long_ago).delete()
        return buried


def reports() -> list[Report]:
    """What all of them said last. Raises :class:`StoreUnavailableError`."""
    with store.translated_errors(), store.bounded():
        rows = Worker.objects.using(store.alias())
        if store.has_a_clock():
            found: list[Any] = list(rows.annotate(store_time=Now()))
            return [report_of(row, row.store_time) for row in found]
        now = _own_clock()
        return [report_of(row, now) for row in rows.all()]


def report_of(row: Worker, now: dt.datetime) -> Report:
    """What *row* says at *now*, by the clock that its moments are of."""
    silence = _since(row.seen_at, now)
    return Report(
        id=row.pk,
        kind=row.kind,
        host=row.host,
        pid=row.pid,
        version=row.version,
        age=_since(row.born_at, now),
        silence=silence,
        seen_epoch=row.seen_epoch,
        acked_epoch=row.acked_epoch,
        in_flight=row.in_flight,
        apart=row.apart,
        units=tuple(_running(row.units, silence)),
        ended_how=row.ended_how or ("ended" if row.ended_at else ""),
        ended_ago=_since(row.ended_at, now) if row.ended_at else None,
        ended_proven=row.ended_how in PROVEN,
        session_name=row.session_name,
    )


def process_of(row: Worker) -> Process:
    """The process that *row* tells of."""
    return Process(row.host, row.machine, row.pid, row.pid_started)


def told(units: Iterable[tuple[Any, float]], now: float) -> list[list[Any]]:
    """The oldest of *units* for the row: method, path and age in seconds at *now*.

    Paths come from strangers; they are cut, and cannot break what they are stored in.
    """
    oldest: Sequence[tuple[Any, float]] = sorted(units, key=lambda unit: unit[1])[:SHOWN]
    return [
        [_text(unit.method, 20), _text(unit.path, LONGEST_PATH), round(max(0.0, now - start), 3)]
        for unit, start in oldest
    ]


@contextmanager
def _writing() -> Iterator[None]:
    """All or nothing, and no harm to a transaction around it."""
    using = store.alias()
    with store.translated_errors(), store.bounded(), transaction.atomic(using=using):
        yield


def _text(value: Any, longest: int) -> str:
    # PostgreSQL stores neither null characters nor halves of pairs.
    text = str(value).encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _running(units: Any, silence: float) -> Iterable[Running]:
    for unit in units if isinstance(units, list) else ():
        try:
            method, path, age = unit
            yield Running(str(method), str(path), float(age) + silence)
        except (TypeError, ValueError):
            continue  # somebody wrote into the table by hand


def _end_all(identities: list[str], how: Worker.Ending) -> int:
    if not identities:
        return 0
    rows = Worker.objects.using(store.alias()).filter(pk__in=identities, ended_at=None)
    return rows.update(ended_at=_now(), ended_how=how)


def _since(moment: dt.datetime, now: dt.datetime) -> float:
    return max(0.0, (now - moment).total_seconds())


def _now() -> Any:
    return Now() if store.has_a_clock() else _own_clock()


def _ago(seconds: float) -> Any:
    return _now() - dt.timedelta(seconds=seconds)


def _own_clock() -> dt.datetime:
    now = store.utc_now()
    return now if django_settings.USE_TZ else now.replace(tzinfo=None)
