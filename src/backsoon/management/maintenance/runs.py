"""The stored record of ``maintenance run``: for which command the site is closed, and where.

It lies in the control row, so that everybody learns of it; what ends the closure takes it away. It
may be read back from a table that somebody changed by hand, so nothing about it is taken for sure.
"""

from __future__ import annotations

import datetime as dt
import shlex
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from backsoon import processes, store
from backsoon.core.vocabulary import Mode
from backsoon.models import Maintenance
from backsoon.processes import Process

from . import words
from .console import origin, printable

LONGEST_COMMAND = 200
"""Characters of a command line that are kept."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a command with the site closed."""

    id: str
    command: str
    by: str
    host: str
    machine: str
    pid: int
    started: int | None
    """When its process started, in clock ticks since the machine did."""
    since: str
    ended: str = ""
    """When it was over; empty while it runs, and for ever if it was killed."""
    exit_code: int | None = None
    """``None`` also where nothing was run after all."""

    @property
    def data(self) -> dict[str, Any]:
        """What is stored."""
        return asdict(self)

    @property
    def is_over(self) -> bool:
        """Whether it ended and could say so."""
        return bool(self.ended)

    @property
    def is_here(self) -> bool:
        """Whether its process can be looked for from here."""
        return bool(self.machine) and self.machine == processes.machine()

    @property
    def is_gone(self) -> bool:
        """Whether its process has ended beyond doubt."""
        return processes.is_gone(Process(self.host, self.machine, self.pid, self.started))

    @property
    def may_live(self) -> bool:
        """Whether it has to be reckoned with."""
        return not self.is_over and not self.is_gone

    def over(self, exit_code: int | None) -> Run:
        """The same, ended now."""
        return replace(self, ended=words.iso(store.utc_now()) or "", exit_code=exit_code)

    def line(self, now: dt.datetime) -> str:
        """What is known of it, in one line."""
        begun = f"{self.command} ({self.by}, process {self.pid}, since {_clock(self.since, now)})"
        if self.is_over:
            at = _clock(self.ended, now)
            if self.exit_code is None:
                return printable(f"{begun}; at {at} it was given up before it began")
            return printable(f"{begun}; at {at} it ended with exit code {self.exit_code}")
        if self.is_gone:
            return printable(
                f"{begun}; this process is gone without a word, as after a kill -9. See whether "
                "what it started has ended, too"
            )
        if self.is_here:
            return printable(f"{begun}; it is still there")
        return printable(f"{begun}; whether it is still there can only be seen on {self.host}")


def begun(command: Sequence[str]) -> Run:
    """The record of a run that this process begins now."""
    process = processes.this_process()
    line = shlex.join(command)
    return Run(
        id=uuid.uuid4().hex,
        command=line if len(line) <= LONGEST_COMMAND else f"{line[: LONGEST_COMMAND - 1]}…",
        by=origin().label,
        host=process.host,
        machine=process.machine,
        pid=process.pid,
        started=process.started,
        since=words.iso(store.utc_now()) or "",
    )


def read() -> Run | None:
    """The one that the site is closed for; ``None`` when there is none, or the site is open.

    Raises :class:`backsoon.exceptions.StoreUnavailableError`.
    """
    with store.translated_errors():
        rows = Maintenance.objects.using(store.alias()).filter(pk=Maintenance.ONLY_PK)
        row = rows.exclude(mode=Mode.OPEN.value).values_list("run", flat=True).first()
    return _of(row) if isinstance(row, Mapping) and row else None


def _of(row: Mapping[str, Any]) -> Run:
    def number(name: str) -> int | None:
        value = row.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    texts = {
        name: str(row.get(name) or "")
        for name in ("id", "command", "by", "host", "machine", "since", "ended")
    }
    return Run(
        **texts,
        pid=number("pid") or 0,
        started=number("started"),
        exit_code=number("exit_code"),
    )


def _clock(text: str, now: dt.datetime) -> str:
    try:
        return words.clock(dt.datetime.fromisoformat(text), now)
    except (ValueError, OverflowError):
        return "an unknown time"
