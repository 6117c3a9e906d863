"""Which errors say that a database cannot be reached.

Locks, timeouts of statements, missing tables and broken constraints do not: they are answers of a
database that is there.
"""

from __future__ import annotations

from typing import Any

from django.db import Error as DatabaseError
from django.db import InterfaceError

from backsoon.exceptions import StoreUnavailableError

_PG_UNREACHABLE = frozenset({"57P01", "57P02", "57P03", "53300"})
"""Shut down, crashed, starting up or shutting down, too many connections.

Source: PostgreSQL documentation, Appendix A, with class 08 (connection exceptions).
"""

_MYSQL_UNREACHABLE = frozenset({1040, 2002, 2003, 2006, 2013})
"""Too many connections; cannot connect (by socket, by network), gone away, lost while asking.

Source: MySQL 8.4 Error Message Reference, chapters 2 and 3.
"""

_SQLITE_UNREACHABLE = frozenset({10, 14})
"""SQLITE_IOERR, SQLITE_CANTOPEN (https://www.sqlite.org/rescode.html)."""


def is_unreachable(error: BaseException | None) -> bool:
    """Whether *error* says that a database cannot be reached.

    *error* is one of Django's, of ours, or the driver's itself; any other says no such thing, even
    where a database's error caused it: whoever raised it meant something else.
    """
    while isinstance(error, (DatabaseError, StoreUnavailableError)):
        if isinstance(error, InterfaceError) and _says_closed(error):
            return True
        error = error.__cause__
    if error is None:
        return False
    library = type(error).__module__.partition(".")[0]
    judge = _JUDGES.get(library)
    return judge is not None and judge(error)


def _by_postgresql(error: Any) -> bool:
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    if state is not None:
        return state.startswith("08") or state in _PG_UNREACHABLE
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if "InterfaceError" in kinds:  # most of them say that the driver is used in a wrong way
        return _says_closed(error)
    # Without a code it does not come from the server: there was no connection, or it broke.
    return "OperationalError" in kinds or type(error).__name__ == "DatabaseError"


def _by_mysql(error: Any) -> bool:
    number = error.args[0] if error.args else None
    # PyMySQL says (0, "") where its connection was closed.
    return number in _MYSQL_UNREACHABLE or (type(error).__name__ == "InterfaceError" and not number)


def _by_sqlite(error: Any) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _SQLITE_UNREACHABLE


_JUDGES = {
    "psycopg": _by_postgresql,
    "psycopg2": _by_postgresql,
    "psycopg_pool": _by_postgresql,
    "MySQLdb": _by_mysql,
    "pymysql": _by_mysql,
    "sqlite3": _by_sqlite,
}


def _says_closed(error: BaseException) -> bool:
    text = str(error)
    return "connection" in text and "closed" in text
