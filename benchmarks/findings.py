"""What a measurement hands over: tables for people, findings against targets, numbers for tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.samples import Sample


@dataclass(frozen=True)
class Finding:
    """One target and what was measured."""

    what: str
    target: str
    measured: str
    met: bool | None
    """``None`` where it could not be measured here; *measured* then says why."""

    @property
    def verdict(self) -> str:
        """The finding in a word."""
        return {True: "met", False: "missed", None: "not measured"}[self.met]


@dataclass(frozen=True)
class Table:
    """Rows of cells under headings."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


@dataclass(frozen=True)
class Bars:
    """Values to be drawn side by side, in microseconds."""

    title: str
    values: Mapping[str, float]


@dataclass
class Section:
    """Everything that one measurement gave."""

    name: str
    findings: list[Finding] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    bars: list[Bars] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    """As JSON takes it, all rounds included."""
    left_out: list[str] = field(default_factory=list)


def at_most(what: str, limit: float, value: float, target: str, measured: str) -> Finding:
    """A finding that is met when *value* does not exceed *limit*."""
    return Finding(what, target, measured, value <= limit)


def at_least(what: str, limit: float, value: float, target: str, measured: str) -> Finding:
    """A finding that is met when *value* reaches *limit*."""
    return Finding(what, target, measured, value >= limit)


# -- Numbers in words --------------------------------------------------------------------------


def number(value: float) -> str:
    """Three digits that mean something, thousands apart."""
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    if size >= 10:
        return f"{value:.1f}"
    if size >= 1:
        return f"{value:.2f}"
    return f"{value:.3f}"


def duration(seconds: float) -> str:
    """Microseconds, or milliseconds from ten of them on."""
    if abs(seconds) >= 0.01:
        return f"{number(seconds * 1e3)} ms"
    return f"{number(seconds * 1e6)} µs"


def spread(sample: Sample) -> str:
    """The middle half of a sample of seconds."""
    return f"{duration(sample.low)} to {duration(sample.high)}"


def times(sample: Sample) -> str:
    """A ratio with the middle half of its rounds."""
    return f"{number(sample.median)} × ({number(sample.low)} to {number(sample.high)})"
