"""What was measured, for whoever wants to read it: `var/faults.json` and `var/faults.md`."""

from __future__ import annotations

import json
import os
import platform
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.faults.visitors import Reply, percentile


@dataclass(frozen=True)
class Row:
    """One fault on one server."""

    fault: str
    server: str
    site: str
    answers: dict[str, int]
    p50_ms: float
    p99_ms: float
    longest_ms: float
    back_after_s: float | None
    note: str = ""


@dataclass
class Report:
    """All rows of a run."""

    rows: list[Row] = field(default_factory=list)

    def add(
        self,
        fault: str,
        server: str,
        replies: Iterable[Reply],
        *,
        site: str = "closed",
        back: float | None = None,
        note: str = "",
    ) -> Row:
        """Write down what *replies* were, and how soon all was well again, in seconds."""
        replies = list(replies)
        row = Row(
            fault, server, site,
            answers=dict(sorted(Counter(_kind(reply) for reply in replies).items())),
            p50_ms=_milliseconds(percentile(replies, 0.5)),
            p99_ms=_milliseconds(percentile(replies, 0.99)),
            longest_ms=_milliseconds(max(reply.seconds for reply in replies)),
            back_after_s=None if back is None else round(back, 2),
            note=note,
        )  # fmt: skip
        self.rows.append(row)
        return row

    def write(self, directory: Path) -> None:
        """Write both files; nothing happens when nothing was measured."""
        if not self.rows:
            return
        directory.mkdir(exist_ok=True)
        machine = f"{os.cpu_count()} processors, Python {platform.python_version()}"
        found = {"machine": machine, "rows": [asdict(row) for row in self.rows]}
        (directory / "faults.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
        (directory / "faults.md").write_text(self._table(machine), encoding="utf-8")

    def _table(self, machine: str) -> str:
        lines = [
            f"Measured on {machine}; times in milliseconds.",
            "",
            "| site | fault | server | answers | p50 | p99 | longest | well again after | |",
            "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        ]
        for row in self.rows:
            answers = ", ".join(f"{count} × {kind}" for kind, count in row.answers.items())
            back = "" if row.back_after_s is None else f"{row.back_after_s:.2f} s"
            lines.append(
                f"| {row.site} | {row.fault} | {row.server} | {answers} | {row.p50_ms:.0f} "
                f"| {row.p99_ms:.0f} | {row.longest_ms:.0f} | {back} | {row.note} |"
            )
        return "\n".join([*lines, ""])


def _kind(reply: Reply) -> str:
    if reply.is_maintenance:
        return "redirect to the page" if reply.status == 302 else "page"
    return "login form" if reply.is_login_form else str(reply.status or "no answer")


def _milliseconds(seconds: float) -> float:
    return round(1000 * seconds, 1)
