"""Who gets through: an ordered table of rules, first match decides.

The middleware, ``maintenance explain``, the reference in the docs and the admin's "why?" are all
drawn from :data:`RULES`. A rule is a question about the state and the facts, never a look-up. When
the facts do not suffice the answer is :data:`NEED_USER`, and the shell comes again with the user.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final, Literal

from .vocabulary import Facts, Mode, State, UserKind

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""Methods that ask for no change (RFC 9110, 9.2.1)."""


class Reason(StrEnum):
    """Why a request was admitted or refused; the value is stable and may be logged."""

    OPEN = "open"
    ALWAYS_OPEN = "always-open"
    EXEMPT = "exempt"
    NETWORK = "network"
    READ_ONLY_SAFE = "read-only-safe"
    ADMINISTRATOR = "administrator"
    STRANGER = "stranger"
    ORDINARY = "ordinary"


@dataclass(frozen=True, slots=True)
class Admit:
    """The request may go on."""

    reason: Reason
    detail: str = ""

    @property
    def admitted(self) -> bool:
        """True."""
        return True


@dataclass(frozen=True, slots=True)
class Refuse:
    """The request gets the page."""

    reason: Reason
    detail: str = ""

    @property
    def admitted(self) -> bool:
        """False."""
        return False


class _NeedUser(Enum):
    NEED_USER = "need-user"


NEED_USER: Final = _NeedUser.NEED_USER
"""Only the user could still open the door, and nobody has looked yet."""

Decision = Admit | Refuse
Answer = Admit | Refuse | Literal[_NeedUser.NEED_USER]


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table."""

    reason: Reason
    summary: str
    """What the rule says, as a sentence for operators (English; it is part of the reference)."""
    answer: Callable[[State, Facts], Answer | None]
    """The answer if the rule applies, ``None`` if the next rule should be asked."""


def _open(state: State, facts: Facts) -> Answer | None:
    return Admit(Reason.OPEN) if state.mode is Mode.OPEN else None


def _always_open(state: State, facts: Facts) -> Answer | None:
    return Admit(Reason.ALWAYS_OPEN) if facts.always_open else None


def _exempt(state: State, facts: Facts) -> Answer | None:
    return Admit(Reason.EXEMPT, facts.exempt_by) if facts.exempt_by else None


def _network(state: State, facts: Facts) -> Answer | None:
    return Admit(Reason.NETWORK, facts.network) if facts.network else None


def _read_only_safe(state: State, facts: Facts) -> Answer | None:
    safe = state.mode is Mode.READ_ONLY and facts.method in SAFE_METHODS
    return Admit(Reason.READ_ONLY_SAFE, facts.method) if safe else None


def _administrator(state: State, facts: Facts) -> Answer | None:
    if facts.user is UserKind.ADMINISTRATOR:
        return Admit(Reason.ADMINISTRATOR)
    if facts.user is UserKind.UNKNOWN and facts.holds_pass:
        return NEED_USER
    return None


def _ordinary(state: State, facts: Facts) -> Answer | None:
    return Refuse(Reason.ORDINARY) if facts.user is UserKind.ORDINARY else None


def _stranger(state: State, facts: Facts) -> Answer | None:
    return Refuse(Reason.STRANGER)


RULES: Final[tuple[Rule, ...]] = (
    Rule(Reason.OPEN, "The site is open: everybody gets through.", _open),
    Rule(Reason.ALWAYS_OPEN, "The view is marked @always_open.", _always_open),
    Rule(Reason.EXEMPT, "The path is exempt: login, logout, the maintenance pages, static "
         "and media files, or a path that the settings name.", _exempt),
    Rule(Reason.NETWORK, "The address lies in a network that the settings exempt.", _network),
    Rule(Reason.READ_ONLY_SAFE, "The site is read-only and the method changes nothing.",
         _read_only_safe),
    Rule(Reason.ADMINISTRATOR, "The user is an administrator: active, and superuser or holder of "
         "backsoon.bypass_maintenance.", _administrator),
    Rule(Reason.ORDINARY, "The user is logged in but is not an administrator.", _ordinary),
    Rule(Reason.STRANGER, "Nobody is logged in as an administrator.",
         _stranger),
)  # fmt: skip


def decide(state: State, facts: Facts) -> Answer:
    """Whether the request that *facts* describe gets through while *state* holds."""
    return deciding_rule(state, facts)[1]


def deciding_rule(state: State, facts: Facts) -> tuple[Rule, Answer]:
    """The first rule that applies, and its answer: what ``explain`` shows."""
    for rule in RULES:
        answer = rule.answer(state, facts)
        if answer is not None:
            return rule, answer
    raise AssertionError("the last rule applies to everything")
