"""Ending the database sessions of a worker that cannot be heard.

Only PostgreSQL tells whose a session is. What the worker had begun and not committed is undone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from django.db import Error as DatabaseError
from django.db import connections

from .exceptions import BacksoonError

PATIENCE_SECONDS = 3.0
"""How long a session may take to end."""


class NotFencedError(BacksoonError):
    """Sessions of the worker may go on."""


def end_sessions(name: str, clock: Callable[[], float] = time.monotonic) -> int:
    """End all sessions called *name* on every PostgreSQL of the project, and say how many.

    Raises :class:`NotFencedError` when they cannot be told from others, or do not end.
    """
    if not name:
        raise NotFencedError(
            "its database sessions bear no name: the project names them otherwise "
            "(application_name), or its database is no PostgreSQL"
        )
    ended = 0
    try:
        for alias in _postgresqls():
            ended += len(_asked(alias, "pg_terminate_backend(pid)", name))
        until = clock() + PATIENCE_SECONDS
        while any(_asked(alias, "pid", name) for alias in _postgresqls()):
            if clock() >= until:
                raise NotFencedError("its database sessions do not end")
            time.sleep(0.02)
    except DatabaseError as error:
        raise NotFencedError(f"the database refused: {str(error).strip()}") from error
    return ended


def at_work(alias: str, names: Iterable[str]) -> set[str]:
    """Which of *names* belong to sessions that are in the middle of a statement.

    A server carries out the statement that it has begun with though the client was killed, and
    outside of a transaction its effect stays. It is asked on one server, that of *alias*; other
    databases than PostgreSQL do not tell whose their sessions are. Raises ``DatabaseError``.
    """
    asked = [name for name in names if name]
    if not asked or connections[alias].vendor != "postgresql":
        return set()
    with connections[alias].cursor() as cursor:
        # A pooler keeps idle sessions, with the name of whoever used them last.
        cursor.execute(
            "SELECT application_name FROM pg_stat_activity WHERE application_name = ANY(%s) "
            "AND (state IS NULL OR state NOT LIKE %s)",
            [asked, "idle%"],
        )
        return {name for (name,) in cursor.fetchall()}


def _postgresqls() -> Iterator[str]:
    return (alias for alias in connections if connections[alias].vendor == "postgresql")


def _asked(alias: str, what: str, name: str) -> list[object]:
    with connections[alias].cursor() as cursor:
        cursor.execute(
            f"SELECT {what} FROM pg_stat_activity "  # noqa: S608  (one of two words of ours)
            "WHERE application_name = %s AND pid <> pg_backend_pid()",
            [name],
        )
        return list(cursor.fetchall())
