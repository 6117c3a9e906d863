"""Marks that views wear."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

ViewT = TypeVar("ViewT", bound=Callable[..., Any])

_MARK = "backsoon_always_open"


def always_open(view: ViewT) -> ViewT:
    """Keep *view* reachable while the site is closed.

    The view itself is returned, only marked, so that it works alike on sync and async functions
    and on what ``View.as_view()`` returns (``@method_decorator(always_open, name="dispatch")``
    marks a class).
    """
    setattr(view, _MARK, True)
    return view


def is_always_open(view: object) -> bool:
    """Whether *view*, or the class it was made from, or its ``dispatch`` is marked."""
    if getattr(view, _MARK, False):
        return True
    view_class = getattr(view, "view_class", None)
    return bool(
        view_class is not None
        and (getattr(view_class, _MARK, False) or getattr(view_class.dispatch, _MARK, False))
    )
