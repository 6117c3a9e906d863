"""Tables for terminals: columns side by side, no wider than the screen, drawn again in place."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING

from backsoon.quiesce import Condition, Progress, Standing

from . import worker_words
from .console import printable

if TYPE_CHECKING:
    from django.core.management.base import OutputWrapper

GAP = "  "

_ORDER = {
    Condition.BUSY: 0,
    Condition.SILENT: 1,
    Condition.UNAWARE: 2,
    Condition.QUIET: 3,
    Condition.ENDED: 4,
}
"""Who is waited for comes first: a low screen does not show all."""


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """*rows* as lines with their columns below one another."""
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    return [
        GAP.join(
            cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]


def fitted(line: str, columns: int) -> str:
    """*line*, cut where it would reach the last but one of so many *columns*."""
    if _width(line) < columns:
        return line
    shown, room = "", columns - 2
    for character in line:
        room -= _width(character)
        if room < 0:
            break
        shown += character
    return f"{shown}…"


def _width(text: str) -> int:
    """How many columns *text* takes. Source: Unicode Standard Annex 11."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def drawn(progress: Progress, seconds: float, columns: int, height: int) -> list[str]:
    """How far a wait of so many *seconds* has come, on a screen of that size."""
    # Who had ended before the wait began is not what anybody waits for.
    concerned = [s for s in progress.workers if (s.report.ended_ago or 0.0) <= progress.elapsed]
    standings = sorted(concerned, key=lambda s: (_ORDER[s.condition], s.report.place, s.report.id))
    counts = [
        f"{number} {condition.value}"
        for condition in _ORDER
        if (number := sum(standing.condition is condition for standing in standings))
    ]
    head = (
        f"Waiting for {worker_words.count(len(standings))}, "
        f"{progress.elapsed:.0f} s of {seconds:g} s. {', '.join(counts)}"
    ).rstrip()
    body = [f"  {line}" for line in aligned(_rows(standings))] if standings else []
    room = max(1, height - 2)
    if len(body) > room:
        body = [*body[: room - 1], f"  … and {len(body) - room + 1} lines more"]
    return [fitted(printable(line), columns) for line in [head, *body]]


def _rows(standings: Sequence[Standing]) -> list[tuple[str, str, str, str]]:
    rows = [("WORKER", "KIND", "STATE", "RUNNING")]
    for standing in standings:
        report = standing.report
        first, *others = worker_words.running_in(standing) or [""]
        rows.append((printable(report.place), report.kind, worker_words.state(standing), first))
        rows += [("", "", "", other) for other in others]
    return rows


class LiveTable:
    """A table that is drawn again and again at the same place of a terminal.

    It neither hides the cursor nor colours anything: whatever ends the command, nothing has to be
    put right.
    """

    def __init__(self, out: OutputWrapper) -> None:
        self._out = out
        self._height = 0

    def show(self, progress: Progress, seconds: float) -> None:
        """Draw over what was drawn before."""
        columns, height = shutil.get_terminal_size()
        lines = drawn(progress, seconds, columns, height)
        encoding = getattr(self._out, "encoding", None) or "utf-8"
        text = "\n".join(lines).encode(encoding, "replace").decode(encoding)
        # Up to the first line, and all that stands from there on away. Source: ECMA-48 (CUU, ED).
        up = f"\x1b[{self._height}A" if self._height else ""
        self._out.write(f"\r{up}\x1b[J{text}\n", style_func=str, ending="")
        self._out.flush()
        self._height = len(lines)
