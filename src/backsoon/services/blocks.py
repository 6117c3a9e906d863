"""A closure for the length of a block of code, and how it is undone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from backsoon import store
from backsoon.changes import (
    CODE,
    Origin,
    Outcome,
)
from backsoon.core.vocabulary import Mode
from backsoon.editing import (
    END_KEY,
    Values,
    clean_given,
    stored,
)
from backsoon.exceptions import ConflictError
from backsoon.snapshots import Snapshot

from .saving import save_settings
from .switching import close_site, open_site


@contextmanager
def maintenance(
    *,
    message: str | None = None,
    until: dt.datetime | None = None,
    reason: str = "",
    keep_logins: bool = False,
    origin: Origin = CODE,
) -> Iterator[Outcome]:
    """Close the site for the length of a ``with`` block.

    On the way out, also by an exception, it undoes only what it did itself: the site opens if the
    block closed it and nobody switched meanwhile, and a setting goes back if it still has the
    value that the block gave it.
    """
    given = clean_given(message, until)
    before, outcome = _close_knowingly(
        origin=origin, reason=reason, message=message, until=until, keep_logins=keep_logins
    )
    try:
        yield outcome
    finally:
        _undoattempt(before, outcome, origin, reason)
        _undo_settings(before, given, origin, reason)


def _close_knowingly(**arguments: Any) -> tuple[Snapshot, Outcome]:
    """Close as :func:`close_site` does; also what was true when this very change was made."""
    for attempts_left in reversed(range(3)):
        before = store.load()
        try:
            return before, close_site(**arguments, expected=before.mark)
        except ConflictError:
            if not attempts_left:
                raise
    raise AssertionError("the last attempt returns or raises")


def _undoattempt(before: Snapshot, outcome: Outcome, origin: Origin, reason: str) -> None:
    """Bring the switch back to where *before* saw it, unless somebody else moved it since."""
    if outcome.mark.epoch == before.mark.epoch:
        return
    switch, end = before.policy.switch, before.policy.ends_at
    end_lies_ahead = end is not None and end > store.utc_now()
    try:
        if switch.mode is Mode.OPEN or (switch.open_at_end and not end_lies_ahead):
            open_site(origin=origin, reason=reason, expected=outcome.mark)
        else:
            close_site(
                origin=origin,
                reason=switch.reason,
                until=end if end_lies_ahead else None,
                mode=switch.mode,
                open_at_end=switch.open_at_end and end_lies_ahead,
                expected=outcome.mark,
            )
    except ConflictError:
        return


def _undo_settings(before: Snapshot, given: Values, origin: Origin, reason: str) -> None:
    """Bring back the settings that still have the value that the block gave them."""
    now = store.load()
    restored = {
        key: stored(before, key)
        for key, entry in given.items()
        if stored(now, key).digest() == entry.digest() != stored(before, key).digest()
    }
    old_end = before.policy.ends_at
    if old_end is not None and old_end <= store.utc_now():
        restored.pop(END_KEY, None)  # an end that has passed meanwhile is no promise to restore
    if restored:
        save_settings(restored, origin=origin, reason=reason)
