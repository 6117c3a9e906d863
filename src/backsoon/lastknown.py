"""What this host read last, kept on its disk for processes born while the database is away.

A copy is nobody's truth: it is read only where the database cannot be, and the next reading
replaces it. Nothing here raises; what goes wrong is logged once, until it changes.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from . import environment, hostfiles
from .core.vocabulary import Mode, Notice, Policy, Switch, Window, Words
from .hostfiles import Folder, Signature, UnusableError
from .snapshots import Mark, Snapshot

logger = logging.getLogger("backsoon")

KIND = "copy"

SETTLED_SECONDS = 60
"""A copy with higher numbers than ours is another process's later reading; but if it is older than
this, the database was set back since, and what it says now counts."""

_written: tuple[bytes, Signature] | None = None
"""What this process wrote or saw there last, and how the file looked then."""

_told: dict[str, str] = {}
"""What was logged last, by topic."""


def save(snapshot: Snapshot) -> None:
    """Keep *snapshot*, unless it is there already. Does nothing in tests."""
    if environment.in_test_environment():
        return
    payload = _encoded(snapshot)
    try:
        if _written is None or _written != (payload, hostfiles.signature(KIND)):
            with hostfiles.writing() as folder:
                _replace(folder, snapshot.mark, payload)
    except (UnusableError, ImproperlyConfigured) as error:
        _retract()
        _warn(
            "save",
            f"the state cannot be kept on this host ({error}). A process that starts while the "
            "database is away will be closed.",
        )
    else:
        _told.pop("save", None)


def load() -> Snapshot | None:
    """What this host knew last; ``None`` when it knows nothing that can be trusted."""
    try:
        with hostfiles.reading() as folder:
            found = folder.read(KIND) if folder is not None else None
        snapshot = _decoded(found[0]) if found is not None else None
        if snapshot is not None:
            _require_kept_up_to_date(snapshot)
    except (UnusableError, ImproperlyConfigured) as error:
        _warn("load", f"the last known state cannot be used: {error}. It counts as not there.")
        return None
    _told.pop("load", None)
    return snapshot


def _retract() -> None:
    """Take away what cannot be replaced, if it would let visitors into a site closed since."""
    with suppress(UnusableError, ImproperlyConfigured), hostfiles.writing() as folder:
        found = folder.read(KIND)
        if found is not None and _lets_in(_decoded(found[0])):
            folder.remove(KIND)


def _lets_in(snapshot: Snapshot) -> bool:
    return snapshot.policy.switch.mode is not Mode.CLOSED


def _require_kept_up_to_date(snapshot: Snapshot) -> None:
    """Refuse a copy that lets visitors in and could not have been replaced since."""
    if _lets_in(snapshot) and not os.access(hostfiles.directory(), os.W_OK | os.X_OK):
        raise UnusableError(
            f"it says {snapshot.policy.switch.mode}, and {hostfiles.directory()} cannot be "
            "written to, so it may be outdated"
        )


def _replace(folder: Folder, mark: Mark, payload: bytes) -> None:
    global _written
    try:
        found = folder.read(KIND)
    except UnusableError:
        found = None  # it is about to be replaced
    if found is not None and found[0] == payload:
        _written = payload, found[1]
    elif found is None or not _is_later(found, mark):
        _written = payload, folder.write(KIND, payload)


def _is_later(found: tuple[bytes, Signature], mark: Mark) -> bool:
    age = time.time() - found[1].changed_ns / 1e9
    try:
        there = _decoded(found[0]).mark
    except UnusableError:
        return False
    return (there.epoch, there.revision) > (mark.epoch, mark.revision) and age < SETTLED_SECONDS


def _warn(topic: str, sentence: str) -> None:
    if _told.get(topic) != sentence:
        _told[topic] = sentence
        logger.warning("Backsoon: %s See: manage.py maintenance doctor", sentence)


_MOMENTS = ("since", "overdue_at", "cut_streams_at")

# -- As text -----------------------------------------------------------------------------------


def _encoded(snapshot: Snapshot) -> bytes:
    """What state and page are drawn from. Equal snapshots give equal bytes."""
    policy, switch = snapshot.policy, snapshot.policy.switch
    data = {
        "epoch": snapshot.mark.epoch,
        "revision": snapshot.mark.revision,
        "generation": policy.generation,
        "ends_at": iso(policy.ends_at),
        "switch": {
            "mode": switch.mode.value,
            "since": iso(switch.since),
            "by": switch.by,
            "reason": switch.reason,
            "open_at_end": switch.open_at_end,
            "overdue_at": iso(switch.overdue_at),
            "opens_when_overdue": switch.opens_when_overdue,
            "cut_streams_at": iso(switch.cut_streams_at),
            "run": switch.run,
        },
        "notices": {
            code: {name: getattr(notice, name) for name in Notice.__dataclass_fields__}
            for code, notice in policy.notices.items()
        },
        "windows": [
            {
                "starts_at": iso(window.starts_at),
                "ends_at": iso(window.ends_at),
                "mode": window.mode.value,
                "keep_logins": window.keep_logins,
                "reason": window.reason,
                "uid": window.uid,
                "number": window.number,
                "words": {
                    code: [words.title, words.message] for code, words in window.words.items()
                },
                "notice": window.notice.total_seconds() if window.notice is not None else None,
                "sequence": window.sequence,
                "series": window.series,
                "occurrence": iso(window.occurrence),
            }
            for window in snapshot.windows
        ],
    }
    return json.dumps(data, sort_keys=True).encode()


def _decoded(payload: bytes) -> Snapshot:
    """The snapshot again. Raises :class:`backsoon.hostfiles.UnusableError`."""
    try:
        data = json.loads(payload)
        switch = data["switch"]
        return Snapshot(
            policy=Policy(
                switch=_switch(**switch),
                ends_at=moment(data["ends_at"]),
                generation=int(data["generation"]),
                notices={code: Notice(**notice) for code, notice in data["notices"].items()},
            ),
            windows=tuple(_window(**window) for window in data["windows"]),
            mark=Mark(int(data["epoch"]), int(data["revision"])),
        )
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise UnusableError(f"it says what this version does not understand ({error!r})") from error


def _switch(*, mode: str, **others: Any) -> Switch:
    moments: dict[str, Any] = {name: moment(others.pop(name, None)) for name in _MOMENTS}
    return Switch(Mode(mode), **others, **moments)


def _window(
    *,
    starts_at: str,
    ends_at: str | None,
    mode: str,
    # One of an earlier version has none of these.
    words: Mapping[str, Sequence[str]] = MappingProxyType({}),
    notice: float | None = None,
    occurrence: str | None = None,
    **others: Any,
) -> Window:
    begin = moment(starts_at)
    if begin is None:
        raise ValueError("a window without a beginning")
    told = {code: Words(*texts) for code, texts in words.items()}
    return Window(
        begin,
        moment(ends_at),
        Mode(mode),
        words=MappingProxyType(told),
        notice=None if notice is None else dt.timedelta(seconds=notice),
        occurrence=moment(occurrence),
        **others,
    )


def iso(value: dt.datetime | None) -> str | None:
    """A moment as text."""
    return value.isoformat() if value is not None else None


def moment(text: str | None) -> dt.datetime | None:
    """A moment from text. Raises ``ValueError`` or ``TypeError``."""
    return dt.datetime.fromisoformat(text) if text is not None else None
