"""Answers that were made once, and what a copy of one needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from django.http import HttpResponse

    from . import asking, responses


class Visit(NamedTuple):
    """What an answer depends on, of a request that Django or nobody has read."""

    method: str
    path_info: str
    path: str
    """With the script prefix."""
    query: str
    """As it came."""
    prefix: str
    """The script prefix; begins and ends with ``/``."""
    wish: asking.Wish
    none_match: str = ""
    """``If-None-Match`` as it came."""


class Prepared(NamedTuple):
    """An answer that was made, and what a copy of it still needs."""

    copy: Callable[[responses.Changes, bool], HttpResponse]
    waits: bool
    """Whether it says how long to wait."""
    outside: dict[bool, Any]
    """What the guard made of it, by whether requests come encrypted."""


class Answer(NamedTuple):
    """One client's answer."""

    prepared: Prepared
    changes: dict[str, str]
    """The values of this moment, for headers that stand in what was prepared."""
    without_body: bool

    def response(self) -> HttpResponse:
        """As Django sends it."""
        return self.prepared.copy(self.changes, self.without_body)
