"""A thread whose statements wait for the database no longer than a moment.

While the site is closed only few requests may reach the project's database at all, and then it may
be locked by a migration, or hung. :func:`bounded` keeps such a request from hanging with it: by the
database's own means, through the thread's own connections, for one block of code. Nothing stays
behind on a connection that a pooler may hand to somebody else.

- PostgreSQL: ``SET LOCAL statement_timeout`` and ``lock_timeout`` ahead of each statement, inside
  its transaction (one of its own where there is none), because a transaction is the most that a
  pooler keeps together. A server that does not even keep that time is hung up on.
- MySQL, MariaDB: session variables, put back at the end. Waits for locks end after one second, the
  shortest that both accept.
- SQLite: ``PRAGMA busy_timeout``, put back at the end.
- Other databases: their own time limits hold.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from django.db import InterfaceError, OperationalError, connections, transaction

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

logger = logging.getLogger("backsoon")

MILLISECONDS = 200
"""What a statement of a request may wait for while the site is closed. With the grace below, no
request loses more than a quarter of a second to PostgreSQL, whatever is the matter with it. (MySQL
knows no shorter wait for a lock than a second.)
"""

IDLE_SHARE = 0.75
"""The part of a limit that may pass while nothing is being done: in wait for a lock in PostgreSQL,
or for a connection to open. A statement that is slow on a busy server gets on; behind the lock of a
migration nothing does, and a worker that serves one request after the other has a queue of visitors
behind it.
"""

GRACE_SECONDS = 0.05
"""What a server gets on top to report by itself that the time is over."""

CONNECT_SECONDS = 2
"""When opening a connection to PostgreSQL is given up in the background, where nobody waits for it
any more; libpq knows no shorter time.
"""


class Limit:
    """The time that one block of code may lose to the database.

    A statement that fails uses up what it waited; the next one has the rest, and when nothing is
    left there is no next one. Who waited in vain for a lock or a connection has nothing left. So
    however many statements a view tries, a lock stalls it once.
    """

    def __init__(self, milliseconds: float) -> None:
        self._seconds = milliseconds / 1000
        self._idle_seconds = self._seconds * IDLE_SHARE
        self._lost = 0.0
        self.faults = 0
        """How many statements failed for a reason of the database's, a timeout for one."""

    @property
    def seconds(self) -> float:
        """What the next statement may wait for."""
        return max(0.0, self._seconds - self._lost)

    @property
    def milliseconds(self) -> int:
        """The same in whole milliseconds; 0 when it is used up."""
        return int(self.seconds * 1000)

    @property
    def idle_milliseconds(self) -> int:
        """What of it may be spent in wait for a lock or a connection."""
        return min(self.milliseconds, int(self._idle_seconds * 1000))

    @property
    def is_felt(self) -> bool:
        """Whether statements that failed have cost time: half of the limit, or more.

        Errors that come at once do not count, although databases report some of them alike. MySQL
        calls it an ``OperationalError`` when a text does not suit the collation of a column.
        """
        return self._lost >= self._seconds / 2

    def charge(self, seconds: float) -> None:
        """Count a statement that failed after *seconds*."""
        self.faults += 1
        self._lost += seconds if seconds < self._idle_seconds else self._seconds


@contextmanager
def bounded(
    milliseconds: float = MILLISECONDS, aliases: Iterable[str] | None = None
) -> Iterator[Limit]:
    """Let no statement of the calling thread wait for a database longer than *milliseconds*.

    Applies to the databases *aliases*, all of the project by default. Opens no connection; one that
    is opened inside the block is bounded from its first statement on. Enter and leave in the same
    thread. Inside another such block the outer limit stays in force, and is what is yielded. A
    statement over its time raises ``django.db.OperationalError``.
    """
    limit = Limit(milliseconds)
    with ExitStack() as stack:
        for alias in connections if aliases is None else aliases:
            connection = connections[alias]
            kind = _KINDS.get(connection.vendor)
            outer = [w for w in connection.execute_wrappers if isinstance(w, _Guard)]
            if outer:
                limit = outer[0].limit
            if kind is None or outer:
                continue
            guard = kind(connection, limit)
            stack.callback(guard.leave)
            guard.enter()
        yield limit


_ENDS = ("ROLLBACK", "RELEASE")
"""The statements that end a savepoint: they wait for nothing, and after a failure they have to come
first, or the whole transaction is lost.
"""


class _Guard(ABC):
    """Stands around every statement of one connection (an execute wrapper of Django)."""

    def __init__(self, connection: BaseDatabaseWrapper, limit: Limit) -> None:
        self.connection: Any = connection
        self.limit = limit

    def enter(self) -> None:
        """Take the post."""
        self.connection.execute_wrappers.append(self)
        self.connection.connect = self._connect  # in front of the method of the class

    def leave(self) -> None:
        """Leave the connection as it was."""
        self.connection.execute_wrappers.remove(self)
        del self.connection.connect

    def __call__(
        self,
        execute: Callable[..., Any],
        sql: Any,
        params: Any,
        many: bool,
        context: Any,
    ) -> Any:
        def run() -> Any:
            return execute(sql, params, many, context)

        if str(sql).startswith(_ENDS):
            return run()
        self.connection.validate_no_broken_transaction()
        with self._charged():
            return self.bound(run)

    @abstractmethod
    def bound(self, run: Callable[[], Any]) -> Any:
        """Run a statement with its time limited."""

    def connect(self) -> None:
        """Open the connection; the driver's errors are still its own."""
        opening = self.connection.get_new_connection
        # In front of the method of the class, for as long as it takes.
        self.connection.get_new_connection = lambda params: soon(
            lambda: opening(params), self.limit.idle_milliseconds / 1000
        )
        try:
            type(self.connection).connect(self.connection)
        finally:
            del self.connection.get_new_connection

    def _connect(self) -> None:
        with self._charged(), self.connection.wrap_database_errors:
            self.connect()

    @contextmanager
    def _charged(self) -> Iterator[None]:
        if self.limit.milliseconds < 1:
            raise OperationalError(
                "The time that this request may wait for the database while the site is closed "
                "is used up."
            )
        started = time.monotonic()
        try:
            yield
        except (OperationalError, InterfaceError):
            self.limit.charge(time.monotonic() - started)
            raise

    def _ask(self, sql: str) -> Any:
        """Execute *sql* past Django's own cursors, whose statements are ours to bound."""
        with self.connection.wrap_database_errors:
            cursor = self.connection.connection.cursor()
            try:
                cursor.execute(sql)
                return cursor.fetchone() if cursor.description else None
            finally:
                cursor.close()


class _PostgreSQL(_Guard):
    def __init__(self, connection: BaseDatabaseWrapper, limit: Limit) -> None:
        super().__init__(connection, limit)
        self._settings = connection.settings_dict
        self._previous: tuple[str, str] | None = None

    def enter(self) -> None:
        super().enter()
        options = self._settings.get("OPTIONS") or {}
        if not options.get("pool"):  # what a pool opens is there for everybody
            options = {**options, "connect_timeout": CONNECT_SECONDS}
            # Copies: the dicts belong to all threads.
            self.connection.settings_dict = {**self._settings, "OPTIONS": options}

    def connect(self) -> None:
        pool = getattr(self.connection, "pool", None)
        if pool is not None:
            # Django waits for a pool as long as the pool says, half a minute by default, and looks
            # for it in this dict of the class. So for the moment the connection has one of its own.
            patient = _PatientPool(pool, self.limit.idle_milliseconds / 1000)
            self.connection._connection_pools = {self.connection.alias: patient}
            try:
                type(self.connection).connect(self.connection)
            finally:
                del self.connection._connection_pools
        else:
            super().connect()

    def bound(self, run: Callable[[], Any]) -> Any:
        connection = self.connection
        with hanging_up(connection.connection, self.limit.seconds + GRACE_SECONDS):
            if connection.in_atomic_block or not connection.autocommit:
                self._shorten()
                return run()
            with transaction.atomic(using=connection.alias):
                try:
                    self._shorten()
                    return run()
                except (OperationalError, InterfaceError):
                    if connection.connection.closed:
                        # Said inside the transaction: at its end Django would open a new one, to
                        # put it in order.
                        connection.close()
                    raise

    def _shorten(self) -> None:
        statement, lock, *_now = self._ask(
            "SELECT current_setting('statement_timeout'), current_setting('lock_timeout'), "
            f"{_set_local(self.limit.milliseconds, self.limit.idle_milliseconds)}"
        )
        self._previous = self._previous or (statement, lock)

    def leave(self) -> None:
        super().leave()
        connection = self.connection
        connection.settings_dict = self._settings
        in_the_middle = connection.in_atomic_block and not connection.needs_rollback
        if self._previous and in_the_middle and connection.connection is not None:
            # A transaction that goes on behind the block gets back what it had. If it cannot be
            # told, it has failed, and ends soon.
            with suppress(Exception):
                self._ask(f"SELECT {_set_local(*self._previous)}")


def _set_local(statement: int | str, lock: int | str) -> str:
    """What sets both timeouts until the end of the transaction, in a ``SELECT``."""
    return (
        f"set_config('statement_timeout', '{statement}', true), "
        f"set_config('lock_timeout', '{lock}', true)"
    )


class _PatientPool:
    """A pool of psycopg, asked to give a connection within *seconds*."""

    def __init__(self, pool: Any, seconds: float) -> None:
        self._pool = pool
        self._seconds = seconds

    def getconn(self) -> Any:
        """As the pool's own; raises ``psycopg_pool.PoolTimeout``, or ``OperationalError`` when the
        pool does not keep the time, because it first checks a connection to a server that hangs.
        """
        return soon(
            lambda: self._pool.getconn(timeout=self._seconds),
            self._seconds + GRACE_SECONDS,
            self._pool.putconn,
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)


class _Session(_Guard):
    """A database whose limit belongs to the session: set once, put back at the end."""

    def __init__(self, connection: BaseDatabaseWrapper, limit: Limit) -> None:
        super().__init__(connection, limit)
        self._raw: Any = None
        self._previous: Sequence[Any] = ()

    def bound(self, run: Callable[[], Any]) -> Any:
        if self._raw is not self.connection.connection:
            self._previous = self._ask(self.reading())
            self._ask(self.writing(self.limits(self.limit)))
            self._raw = self.connection.connection
        return run()

    def leave(self) -> None:
        super().leave()
        if self._raw is None or self._raw is not self.connection.connection:
            return
        try:
            self._ask(self.writing(self._previous))
        except Exception as error:  # noqa: BLE001  (whatever it is: nobody may get it like this)
            logger.debug("Backsoon: a connection is closed, its limits stayed: %s", error)
            self.connection.close()

    @abstractmethod
    def limits(self, limit: Limit) -> Sequence[Any]:
        """The values that keep *limit*."""

    @abstractmethod
    def reading(self) -> str:
        """The statement that tells the present values."""

    @abstractmethod
    def writing(self, values: Sequence[Any]) -> str:
        """The statement that sets *values*."""


class _SQLite(_Session):
    def connect(self) -> None:
        type(self.connection).connect(self.connection)  # a file is opened without waiting

    def limits(self, limit: Limit) -> Sequence[Any]:
        return (limit.milliseconds,)

    def reading(self) -> str:
        return "PRAGMA busy_timeout"

    def writing(self, values: Sequence[Any]) -> str:
        return f"PRAGMA busy_timeout = {int(values[0])}"


class _MySQL(_Session):
    """``max_execution_time`` of MySQL ends reading statements only, MariaDB's counterpart all.

    Sources: MySQL 8.4 Reference Manual, 7.1.8; MariaDB Server Documentation, "Aborting Statements
    that Exceed a Certain Time to Execute".
    """

    def limits(self, limit: Limit) -> Sequence[Any]:
        statement = limit.seconds if self.connection.mysql_is_mariadb else limit.milliseconds
        return (1, 1, statement)

    def reading(self) -> str:
        return "SELECT " + ", ".join(f"@@SESSION.{name}" for name in self._names())

    def writing(self, values: Sequence[Any]) -> str:
        pairs = zip(self._names(), values, strict=True)
        return "SET " + ", ".join(f"SESSION {name} = {value}" for name, value in pairs)

    def _names(self) -> Sequence[str]:
        mariadb = self.connection.mysql_is_mariadb
        statement = "max_statement_time" if mariadb else "max_execution_time"
        return ("lock_wait_timeout", "innodb_lock_wait_timeout", statement)


_KINDS: dict[str, type[_Guard]] = {
    "postgresql": _PostgreSQL, "mysql": _MySQL, "sqlite": _SQLite,
}  # fmt: skip


@contextmanager
def hanging_up(raw: Any, seconds: float) -> Iterator[None]:
    """End the driver's connection *raw* if the block takes longer than *seconds*.

    The time limit of a server is worth nothing while the server, or the network, hangs. *raw* must
    have ``fileno()``, as those of psycopg have.
    """
    try:
        # Of its own, because the number of a socket that was closed is soon another one's.
        line = socket.fromfd(raw.fileno(), socket.AF_INET, socket.SOCK_STREAM)
    except Exception:  # noqa: BLE001  (it is broken already; the statement will say so)
        yield
        return
    lock, over = threading.Lock(), threading.Event()

    def hang_up() -> None:
        with lock, suppress(OSError):
            if not over.is_set():
                line.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, hang_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        with lock:
            over.set()
        timer.cancel()
        line.close()


def soon(
    connect: Callable[[], Any], seconds: float, discard: Callable[[Any], Any] | None = None
) -> Any:
    """The driver's connection that *connect* opens, if it does so within *seconds*.

    Drivers wait for a server that hangs for seconds at least, and for a name that does not resolve
    without an end. So the waiting is left to a thread, which closes what comes too late, or calls
    *discard* with it. Raises ``django.db.OperationalError`` then, and whatever *connect* raises.
    """
    opened: Future[Any] = Future()

    def run() -> None:
        try:
            raw = connect()
        except BaseException as error:  # noqa: BLE001  (raised where it is waited for)
            with suppress(InvalidStateError):
                opened.set_exception(error)
            return
        try:
            opened.set_result(raw)
        except InvalidStateError:  # nobody waits any more
            with suppress(Exception):
                raw.close() if discard is None else discard(raw)

    threading.Thread(target=run, name="backsoon-connecting", daemon=True).start()
    try:
        return opened.result(seconds)
    except TimeoutError:
        if opened.cancel():
            raise OperationalError(
                "The database took too long to open a connection while the site is closed."
            ) from None
        return opened.result()  # it came, or failed, at this very moment
