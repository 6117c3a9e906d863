"""The emergency brake: an order that holds on this host as long as its file is there.

It is for the hour in which the database is away and somebody must close or open all the same. The
file is all that a command has to write and all that a watcher has to look at.
"""

from __future__ import annotations

import json
import logging

from django.core.exceptions import ImproperlyConfigured

from . import hostfiles
from .core.vocabulary import Brake, Mode
from .hostfiles import Signature, UnusableError
from .lastknown import iso, moment

logger = logging.getLogger("backsoon")

KIND = "brake"

_seen: tuple[Signature, Brake | None] | None = None
"""What was read last, and how the file looked then."""


_damaged = False
"""Whether there is an order that this process could never read."""


def put(brake: Brake) -> None:
    """Put *brake* in force on this host, in the place of an earlier one.

    Raises :class:`backsoon.hostfiles.UnusableError`; then nothing is in force that was not before.
    """
    with hostfiles.writing() as folder:
        folder.write(KIND, _encoded(brake))


def read() -> Brake | None:
    """The brake in force on this host. Costs one system call while nothing changes.

    What cannot be read says neither closed nor open. It is logged once, and what was read before
    holds until the file is gone or replaced.
    """
    global _seen, _damaged
    signature = hostfiles.signature(KIND)
    if signature is None:
        _seen, _damaged = None, False
        return None
    if _seen is not None and _seen[0] == signature:
        return _seen[1]
    try:
        with hostfiles.reading() as folder:
            found = folder.read(KIND) if folder is not None else None
        if found is None:  # taken away between the two looks
            _seen = None
            return None
        _seen, _damaged = (found[1], _decoded(found[0])), False
    except (UnusableError, ImproperlyConfigured) as error:
        _seen = signature, _seen[1] if _seen is not None else None
        _damaged = _seen[1] is None
        logger.warning(
            "Backsoon: the order that was given on this host cannot be read: %s. What was known "
            "before stays in force, and a process that knew nothing stays closed without the "
            "database. Give it again: manage.py maintenance on --local (or off)",
            error,
        )
    return _seen[1]


def is_damaged() -> bool:
    """Whether an order was given here that nobody in this process could ever read."""
    return _damaged


def release(brake: Brake) -> bool:
    """Take *brake* out of force unless another one has replaced it; whether it is gone.

    Raises :class:`backsoon.hostfiles.UnusableError`.
    """
    if hostfiles.signature(KIND) is None:
        return True  # without making the directory
    with hostfiles.writing() as folder:
        found = folder.read(KIND)
        if found is None:
            return True
        if _decoded(found[0]) != brake:
            return False
        folder.remove(KIND)
    return True


def _encoded(brake: Brake) -> bytes:
    data = {
        "mode": brake.mode.value,
        "at": iso(brake.at),
        "by": brake.by,
        "reason": brake.reason,
        "host": brake.host,
        "generation": brake.generation,
        "epoch": brake.epoch,
    }
    return json.dumps(data, sort_keys=True).encode()


def _decoded(payload: bytes) -> Brake:
    """The brake again. Raises :class:`backsoon.hostfiles.UnusableError`."""
    try:
        data = json.loads(payload)
        at = moment(data.pop("at"))
        if at is None:
            raise ValueError("an order without a time")
        return Brake(mode=Mode(data.pop("mode")), at=at, **data)
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise UnusableError(f"it says what this version does not understand ({error!r})") from error
