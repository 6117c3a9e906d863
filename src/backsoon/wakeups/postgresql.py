"""PostgreSQL's LISTEN and NOTIFY, on the connection that the watcher has anyway.

Notifications are delivered at commit. One that comes while nobody listens is lost, so a reading
follows whenever a connection has begun to listen. With psycopg 3; other databases and drivers have
nothing to listen to, and polling does it all.
"""

from __future__ import annotations

import logging
import selectors
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from django.db import Error as DatabaseError
from django.db import OperationalError, connections, transaction

from backsoon import conf, store

from .channels import CHANNEL, Channel, Outage, Reach, private_channel, told
from .echo import Echo

if TYPE_CHECKING:
    from psycopg import Connection, Notify
    from psycopg.errors import Diagnostic

logger = logging.getLogger("backsoon")

NAME = "PostgreSQL"

AGAIN_SECONDS = 300.0
"""When a connection that did not hear, or could not be tested, is tested again."""

SHORT_LIFE_SECONDS = 1.0
"""A connection that ends this soon after LISTEN may have ended because of it."""

TELL_TIMEOUT_MS = 250

HINT = (
    "A pooler in transaction mode does that. Name a database in "
    'BACKSOON["DATABASE"] that goes around it, or set BACKSOON["LISTEN"] to False.'
)


# -- Hearing -----------------------------------------------------------------------------------


class Listener:
    """Makes the calling thread's connection listen. All of it belongs to the watcher's thread."""

    def __init__(self, *, aloud: bool = True) -> None:
        self._wake: Callable[[], None] = lambda: None
        self._raw: Connection[Any] | None = None
        self._began = 0.0
        self._private = ""
        self._farewell = ""
        self._echo: Echo | None = None
        self._test_at = 0.0
        self._not_before = 0.0
        self._outage = Outage(
            "PostgreSQL's notifications do not reach this process; changes arrive by polling alone",
            "PostgreSQL's notifications reach this process.",
            aloud=aloud,
        )
        self.reach = Reach.OFF
        self.why: object = ""

    def start(self, wake: Callable[[], None]) -> None:
        """Whatever the last connection was: the next one is new."""
        self._wake = wake
        self._raw = None

    @property
    def testing(self) -> bool:
        """Whether it is not known yet if word comes through, and soon will be."""
        return self.reach is Reach.UNTESTED and time.monotonic() >= self._test_at

    def attend(self) -> Connection[Any] | None:
        """Begin to listen if the connection is a new one; what to wait for, if anything."""
        wrapper = connections[store.alias()]
        raw = wrapper.connection
        if not conf.current().listen or not can_listen(wrapper):
            self.reach = Reach.OFF
            return None
        if raw is None or raw.closed or time.monotonic() < self._not_before:
            return None
        if raw is not self._raw:
            self._begin(wrapper)
        elif self.reach is not Reach.OFF:
            self._test()
        if self._take_in():  # it came together with the answer to a query
            self._wake()
        return raw if self.reach is not Reach.OFF else None

    def hear(self) -> None:
        """Take in what has come. The connection is closed if that was its end."""
        wrapper = connections[store.alias()]
        if self._raw is None or wrapper.connection is not self._raw:
            return
        try:
            with wrapper.wrap_database_errors:
                self._raw.pgconn.consume_input()
                self._take_in()
                if self._farewell:
                    # To ask on it once more would look like a database that cannot be read.
                    raise OperationalError(self._farewell)
        except DatabaseError as error:
            wrapper.close()
            if time.monotonic() - self._began < SHORT_LIFE_SECONDS:
                self._refused(error)

    def _begin(self, wrapper: Any) -> None:
        self._raw = raw = wrapper.connection
        self._private, self._farewell, self._echo = private_channel(), "", None
        self._began, self._test_at = time.monotonic(), 0.0
        try:
            with wrapper.cursor() as cursor:
                cursor.execute(f'LISTEN "{CHANNEL}"; LISTEN "{self._private}"')
        except DatabaseError as error:
            self._refused(error)
            return
        # What comes in the middle of a query is handed over by psycopg; without a handler it would
        # pile up.
        raw.add_notify_handler(self._while_asking)
        raw.add_notice_handler(self._told)
        self.reach = Reach.UNTESTED
        self._wake()  # for what was said while nobody listened

    def _refused(self, error: Exception) -> None:
        """LISTEN cannot be had (on a standby, for one): not to be asked for at every tick."""
        self.reach, self.why = Reach.OFF, error
        self._not_before = time.monotonic() + AGAIN_SECONDS
        self._raw = None
        self._outage.begins(error)

    def _take_in(self) -> bool:
        """Whether anything has come that asks for a reading."""
        news = False
        while self._raw is not None and (notification := self._raw.pgconn.notifies()) is not None:
            if notification.relname.decode() == self._private:
                self._heard()
            else:
                news = True
        return news

    def _while_asking(self, notification: Notify) -> None:
        if notification.channel != self._private:
            self._wake()
        elif self.reach is not Reach.LISTENING:
            # In the middle of a transaction even a pooler hands it on: that proves nothing.
            self._echo = None

    def _told(self, notice: Diagnostic) -> None:
        """A message that belongs to no query; the last one says that the session ends.

        Source: PostgreSQL, "Error Codes", class 57: operator intervention.
        """
        state = notice.sqlstate or ""
        if notice.severity_nonlocalized == "FATAL" or state.startswith("57P"):
            self._farewell = notice.message_primary or state

    # Whether word comes through: a pooler in transaction mode takes LISTEN without a murmur, and
    # whoever is idle gets nothing.

    def _test(self) -> None:
        now = time.monotonic()
        if self.reach is Reach.LISTENING or now < self._test_at:
            return
        if self._echo is None:
            self._echo = Echo(self._private)
            self._echo.call()
        elif self._echo.error is not None:
            self._try_later(Reach.UNTESTED, self._echo.error)
        elif self._echo.is_overdue(now):
            self._try_later(Reach.SILENT, "what it sent itself did not come back")
            self._outage.begins(f"{self.why}. {HINT}".rstrip("."))

    def _try_later(self, reach: Reach, why: object) -> None:
        self.reach, self.why = reach, why
        self._echo = None
        self._test_at = time.monotonic() + AGAIN_SECONDS

    def _heard(self) -> None:
        self.reach, self.why = Reach.LISTENING, ""
        self._echo = None
        self._outage.ends()


def can_listen(wrapper: Any) -> bool:
    """Whether this database has notifications and its driver, psycopg 3, hands them on."""
    if wrapper.vendor != "postgresql":
        return False
    from django.db.backends.postgresql.psycopg_any import is_psycopg3

    return bool(is_psycopg3)


# -- Telling -----------------------------------------------------------------------------------

_unheard = Outage(
    "PostgreSQL could not announce a change; the other processes learn of it by polling",
    "PostgreSQL announces changes again.",
)


def tell() -> None:
    """Notify, by the calling thread's connection, in a transaction of its own after the caller's.

    So a full queue, or one that somebody blocks, fails nothing but this.
    """
    if connections[store.alias()].vendor != "postgresql":
        return
    try:
        transaction.on_commit(_notify, using=store.alias())
    except DatabaseError as error:
        _unheard.begins(error)


def _notify() -> None:
    name = store.alias()
    try:
        with transaction.atomic(using=name), connections[name].cursor() as cursor:
            # Commits that notify wait for each other, under a lock; the statement's timeout does
            # not cover a commit.
            cursor.execute(
                f"SET LOCAL lock_timeout = {TELL_TIMEOUT_MS}; "
                f"SET LOCAL statement_timeout = {TELL_TIMEOUT_MS}"
            )
            cursor.execute("SELECT pg_notify(%s, '')", [CHANNEL])
    except Exception as error:  # noqa: BLE001  (a change is not less made because nobody hears of it)
        _unheard.begins(error)
    else:
        _unheard.ends()


# -- Examining ---------------------------------------------------------------------------------


def examine() -> Channel:
    """Listen on a connection of our own and see whether word from another one comes through."""
    if not can_listen(connections[store.alias()]):
        return Channel(NAME, Reach.OFF, "Only PostgreSQL with psycopg 3 notifies.")
    if not conf.current().listen:
        return Channel(NAME, Reach.OFF, 'BACKSOON["LISTEN"] is False.')
    with ThreadPoolExecutor(1, "backsoon-examination") as pool:
        return pool.submit(_examine).result()


def _examine() -> Channel:
    listener = Listener(aloud=False)
    try:
        store.use_short_timeouts()
        connections[store.alias()].ensure_connection()
        sound = listener.attend()
        while sound is not None and listener.testing:
            with selectors.DefaultSelector() as selector:
                selector.register(sound, selectors.EVENT_READ)
                if selector.select(0.05):
                    listener.hear()
            sound = listener.attend()
    except DatabaseError as error:
        return Channel(NAME, Reach.UNTESTED, f"The database cannot be reached ({told(error)}).")
    finally:
        connections.close_all()
    return _verdict(listener)


def _verdict(listener: Listener) -> Channel:
    if listener.reach is Reach.LISTENING:
        return Channel(NAME, Reach.LISTENING, "PostgreSQL's notifications come through.")
    if listener.reach is Reach.SILENT:
        return Channel(NAME, Reach.SILENT, "PostgreSQL's notifications do not come through.", HINT)
    if listener.reach is Reach.OFF:
        return Channel(
            NAME,
            Reach.SILENT,
            f"PostgreSQL refuses LISTEN ({told(listener.why)}).",
            'BACKSOON["DATABASE"] must name a database that takes writes, directly.',
        )
    return Channel(
        NAME,
        Reach.UNTESTED,
        f"A second connection to PostgreSQL cannot be had ({told(listener.why)}).",
        "Allow the site's role one more connection for a moment.",
    )
