"""What was measured, as JSON for tools and as Markdown in the documentation."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.findings import Section, Table

ORDER = ("open", "closed", "throughput", "switching", "waiting", "memory", "growth", "polling")


def as_json(machine: Mapping[str, str], sections: Iterable[Section]) -> str:
    """Everything, all rounds included."""
    found: dict[str, Any] = {"machine": dict(machine), "sections": {}}
    for section in sections:
        found["sections"][section.name] = {
            **dataclasses.asdict(section),
            "findings": [
                {**dataclasses.asdict(finding), "verdict": finding.verdict}
                for finding in section.findings
            ],
        }
    return json.dumps(found, indent=1, default=str) + "\n"


def blocks(machine: Mapping[str, str], sections: Sequence[Section]) -> dict[str, str]:
    """The generated parts of the documentation, by name."""
    found = {
        "machine": _table(["", ""], list(machine.items())),
        "targets": _table(
            ["", "target", "measured", ""],
            [
                (finding.what, finding.target, finding.measured, f"**{finding.verdict}**")
                for section in sections
                for finding in section.findings
            ],
        ),
    }
    for section in sections:
        parts = [_part(table) for table in section.tables]
        parts += [f"Left out: {reason}." for reason in section.left_out]
        found[section.name] = "\n\n".join(parts)
    return found


def _part(table: Table) -> str:
    text = f"**{table.title}**\n\n{_table(table.columns, table.rows)}"
    return f"{text}\n\n{table.note}" if table.note else text


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def rewrite(page: Path, parts: Mapping[str, str]) -> None:
    """Put the generated parts between their marks. Raises ``ValueError`` when marks are missing."""
    text = page.read_text(encoding="utf-8")
    for name, part in parts.items():
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise ValueError(f"{page.name} needs one {begin} and one {end}.")
        before, _begin, rest = text.partition(begin)
        after = rest.partition(end)[2]
        text = f"{before}{begin}\n\n{part}\n\n{end}{after}"
    page.write_text(text, encoding="utf-8")
