"""Failures in words: what happened, what is true now, what to do."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError
from django.db import connections

from backsoon import conf, store
from backsoon.core.state import resolve_state
from backsoon.core.vocabulary import Mode
from backsoon.exceptions import (
    BacksoonError,
    ConflictError,
    InvalidSettingError,
    NotMigratedError,
    OutdatedTablesError,
    StoreUnavailableError,
)
from backsoon.services import END_KEY, MESSAGE_KEY

from . import words
from .console import ExitCode, printable

CONNECT_SECONDS = 2
"""How long a command waits for a database that does not answer at all."""

ONLY_LOOKING = frozenset({"status", "workers", "list", "history", "explain", "doctor", "quiet"})
"""Sub-commands of which nobody expects that they changed anything."""

WITHOUT_DATABASE = {
    "on": (
        "Not known to be closed",
        ", or close this host without it: manage.py maintenance on --local",
    ),
    "off": (
        "Not known to be open",
        ", or open this host without it: manage.py maintenance off --local",
    ),
}
"""How a sentence begins and ends where the database that knows the state is away."""

OPTIONS = {MESSAGE_KEY: "--message", END_KEY: "--until"}
_PORTS = {"postgresql": 5432, "mysql": 3306, "oracle": 1521}
_NETWORKED = ("postgresql", "mysql")


def do_not_wait_long(*, for_anything: bool = False) -> None:
    """Let connecting to our database fail soon, unless the project says how long to wait.

    With *for_anything* queries, too, whatever the project says. Only for a process that does
    nothing else: it changes the settings of the connection.
    """
    if conf.problems():
        return  # which database is ours is not known; whoever asks for it will be told why
    if for_anything:
        store.use_short_timeouts()
        return
    connection = connections[store.alias()]
    if connection.vendor in _NETWORKED:
        connection.settings_dict["OPTIONS"].setdefault("connect_timeout", CONNECT_SECONDS)


def require_time_zones() -> None:
    """Raise ``ImproperlyConfigured`` where moments could not be stored with their zone."""
    if not settings.USE_TZ:
        raise ImproperlyConfigured(
            "USE_TZ is False, so moments cannot be stored with their time zone. Nothing was "
            "changed. Set USE_TZ = True in the settings; TIME_ZONE stays as it is."
        )


def as_command_error(error: Exception, failure: str, sub_command: str = "") -> CommandError:
    """*error* as the sentences and the exit code of a command that did not do what it should."""
    looking = sub_command in ONLY_LOOKING
    if isinstance(error, NotMigratedError):
        return CommandError(
            f"{failure}: the database {database_place()} has no tables of Backsoon yet. Without "
            "them the site counts as open. Run: manage.py migrate",
            returncode=ExitCode.UNREACHABLE,
        )
    if isinstance(error, OutdatedTablesError):
        return CommandError(
            f"{failure}: the tables of Backsoon in the database {database_place()} are those of an "
            f"earlier version. {'' if looking else 'Nothing was changed. '}Run: manage.py migrate "
            "backsoon",
            returncode=ExitCode.UNREACHABLE,
        )
    if isinstance(error, StoreUnavailableError):
        failure, way_out = WITHOUT_DATABASE.get(sub_command, (failure, ""))
        unchanged = "Each" if looking else "Nothing was changed: each"
        return CommandError(
            f"{failure}: {what_happened(error)} {unchanged} running process keeps the state that "
            f"it read last. Bring the database back and repeat the command{way_out}.",
            returncode=ExitCode.UNREACHABLE,
        )
    if isinstance(error, ConflictError):
        by = error.by or "somebody else"
        return CommandError(
            f"{failure}: {by} switched in the meantime. {state_now()} Repeat the command if you "
            "still want it.",
            returncode=ExitCode.OVERTAKEN,
        )
    if isinstance(error, InvalidSettingError):
        problems = "; ".join(
            f"{OPTIONS.get(key, key)}: {' '.join(texts)}" for key, texts in error.errors.items()
        )
        return CommandError(f"{failure}: {problems}", returncode=ExitCode.USAGE)
    return CommandError(f"{failure}: {error}", returncode=ExitCode.ERROR)


EXPLAINED = (BacksoonError, ImproperlyConfigured)
"""What :func:`as_command_error` has sentences for; anything else is a fault of ours."""


def what_happened(error: StoreUnavailableError) -> str:
    """One sentence: which database, reached or not, and the driver's words."""
    said = " ".join(str(error).split()).rstrip(".")
    verb = "could not be reached" if not _is_connected() else "answered with an error"
    return f"the database {database_place()} {verb} ({said})."


def database_place() -> str:
    """Where our database is: host and port, or the file. Never a user or a password."""
    connection = connections[store.alias()]
    given: dict[str, Any] = connection.settings_dict
    name = str(given.get("NAME") or "")
    if connection.vendor == "sqlite":
        return name
    host = str(given.get("HOST") or "")
    port = given.get("PORT") or _PORTS.get(connection.vendor, "")
    if not host or host.startswith("/"):
        return f"{name} on {host or 'the local socket'}".strip()
    place = f"[{host}]" if ":" in host else host
    return f"{name} on {place}:{port}".rstrip(":").strip()


def state_now() -> str:
    """What is true now, in one line, if it can be read."""
    try:
        snapshot = store.load()
    except StoreUnavailableError:
        return "The state cannot be read."
    now = store.utc_now()
    state = resolve_state(snapshot.policy, snapshot.windows, now)
    return words.state_line(state, snapshot.mark, snapshot.policy.switch, now)


def who_switched(since: dt.datetime) -> str:
    """Who has moved the switch *since* then, as far as that can be read, and what to do."""
    try:
        snapshot = store.load()
    except StoreUnavailableError:
        return "somebody else switched, and the state cannot be read."
    switch, now = snapshot.policy.switch, store.utc_now()
    state = resolve_state(snapshot.policy, snapshot.windows, now)
    if switch.since is None or switch.since <= since or state.mode is not switch.mode:
        line = words.state_line(state, snapshot.mark, switch, now)
        return (
            f"somebody else switched, or a time is over that was set before. {line} Repeat the "
            "command if you still want it."
        )
    did = {
        Mode.OPEN: "opened the site",
        Mode.READ_ONLY: "made the site read-only",
        Mode.CLOSED: "closed the site",
    }
    at = words.clock(switch.since, now)
    return (
        f"{printable(switch.by or 'somebody')} {did[switch.mode]} at {at}. Talk to them; then "
        "repeat the command."
    )


def _is_connected() -> bool:
    return connections[store.alias()].connection is not None
