"""What a site has to show before it opens: which checks there are, and what came of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """The checks that there are."""

    MIGRATIONS = "migrations"
    """No migration waits to be applied."""
    SYSTEM = "checks"
    """The system checks find no error."""
    VISIT = "visit"
    """An address answers a visitor."""
    CALL = "call"
    """A function of the project agrees."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check, as it was asked for."""

    name: str
    """How it is written in the settings; for people."""
    kind: Kind
    target: Any = ""
    """The address, the function or its dotted path."""
    databases: tuple[str, ...] = ()
    """Which ones to ask for migrations; empty for all."""
    deploy: bool = False
    """Whether the checks for deployment are asked as well."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of a check."""

    name: str
    why_not: str
    """A sentence about what is wrong; empty when nothing is."""
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against opening."""
        return not self.why_not

    def record(self) -> dict[str, Any]:
        """As the history keeps it."""
        return {
            "name": self.name,
            "passed": self.passed,
            "why_not": self.why_not,
            "seconds": round(self.seconds, 3),
        }


def checked_of(records: object) -> list[Checked]:
    """What :meth:`Checked.record` made; what somebody broke by hand is left out."""
    found = []
    for record in records if isinstance(records, list) else ():
        if not isinstance(record, Mapping):
            continue
        seconds = record.get("seconds")
        found.append(
            Checked(
                str(record.get("name", "")),
                str(record.get("why_not", "")),
                float(seconds) if isinstance(seconds, (int, float)) else 0.0,
            )
        )
    return found


def failed(results: Iterable[Checked]) -> tuple[Checked, ...]:
    """Those that speak against opening."""
    return tuple(result for result in results if not result.passed)


def parse_check(text: str) -> Check:
    """Read ``migrations``, ``migrations:default,other``, ``checks``, ``checks:deploy``, an address
    (``/orders/``, ``https://example.com/orders/``) or a dotted path.

    Raises ``ValueError``.
    """
    word, colon, rest = text.partition(":")
    if word == Kind.MIGRATIONS:
        aliases = tuple(alias.strip() for alias in rest.split(",")) if colon else ()
        if not all(aliases):
            raise ValueError(f"{text!r} names no database")
        return Check(text, Kind.MIGRATIONS, databases=aliases)
    if word == Kind.SYSTEM:
        if colon and rest != "deploy":
            raise ValueError(f"{text!r} is neither 'checks' nor 'checks:deploy'")
        return Check(text, Kind.SYSTEM, deploy=bool(colon))
    if _is_address(text):
        return Check(text, Kind.VISIT, target=text)
    if "." in text and all(part.isidentifier() for part in text.split(".")):
        return Check(text, Kind.CALL, target=text)
    raise ValueError(f"{text!r} is no check")


def _is_address(text: str) -> bool:
    if any(ord(sign) <= 32 for sign in text) or "#" in text:
        return False
    if text.startswith("/"):
        return not text.startswith("//")
    scheme, separator, rest = text.partition("://")
    host = rest.partition("/")[0]
    return separator != "" and scheme in ("http", "https") and host != "" and "@" not in host
