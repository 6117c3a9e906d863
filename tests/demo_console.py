"""An operator's process beside the demo's workers: does what it reads, one line of JSON each.

It is a process of its own, as `manage.py` is, and it stays, so that a test that needs the site in
some state does not wait a second for an interpreter to start. It answers each line with the
revision that every worker has to know for the change to be everywhere.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

import django

Verb = Callable[..., None]


def close(until: str | None = None, mode: str = "closed", **options: Any) -> None:
    """Close the site; *until* is in ISO 8601."""
    from backsoon import services
    from backsoon.core.vocabulary import Mode

    end = dt.datetime.fromisoformat(until) if until else None
    services.close_site(until=end, mode=Mode(mode), **options)


def open_again() -> None:
    """Open the site."""
    from backsoon import services

    services.open_site()


def plan(minutes: float, length: float, title: str = "", message: str = "") -> None:
    """Plan a closure *minutes* from now that lasts *length* minutes, instead of any other."""
    from backsoon import services
    from backsoon.core.vocabulary import Words

    call_off()
    start = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=minutes)
    words = {"": Words(title, message)}
    services.schedule(start, start + dt.timedelta(minutes=length), words=words)


def call_off() -> None:
    """Take back every planned closure that is not over."""
    from backsoon import services, store

    now = store.utc_now()
    for window in store.load().windows:
        if window.ends_at is None or window.ends_at > now:
            services.cancel(window.uid)


def save(entries: Mapping[str, Mapping[str, Any]]) -> None:
    """Store settings: ``{key: {"value": …, "translations": {…}}}``."""
    from backsoon import services
    from backsoon.snapshots import Entry

    services.save_settings({key: Entry(**entry) for key, entry in entries.items()})


def write_by_hand(key: str, value: str) -> None:
    """Put into the table what no form would take, and let every process look at once."""
    from backsoon import store
    from backsoon.models import SystemSetting

    SystemSetting.objects.filter(key=key).update(value=value)
    store.bump_revision()


def reset() -> None:
    """Open the site and forget every plan, text and setting."""
    from backsoon import services
    from backsoon.definitions import DEFINITIONS
    from backsoon.snapshots import Entry

    call_off()
    services.open_site()
    switch = services.SWITCH_KEY
    services.save_settings({d.key: Entry() for d in DEFINITIONS if d.key != switch})


def nothing() -> None:
    """Only look at what is stored."""


VERBS: dict[str, Verb] = {
    "call_off": call_off,
    "close": close,
    "nothing": nothing,
    "open": open_again,
    "plan": plan,
    "reset": reset,
    "save": save,
    "write_by_hand": write_by_hand,
}


def answer(line: str) -> dict[str, Any]:
    """Carry out one line."""
    from django.core.exceptions import ValidationError
    from django.db import connections

    from backsoon import store
    from backsoon.exceptions import BacksoonError

    request = json.loads(line)
    try:
        VERBS[request["verb"]](**request["options"])
        return {"revision": store.load().mark.revision}
    except (BacksoonError, ValidationError) as error:
        return {"error": f"{type(error).__name__}: {error}"}
    finally:
        # As a command of its own would: the database may be another process by the next line.
        connections.close_all()


def main() -> None:
    """Answer every line until the input ends."""
    django.setup()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer(line)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
