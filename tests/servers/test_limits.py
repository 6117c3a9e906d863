"""Statements that do not wait: PostgreSQL by its own means, locked, stopped and hung."""

from __future__ import annotations

import copy
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import DatabaseError, OperationalError, connections, transaction

from backsoon.http.unreachable import is_unreachable
from backsoon.limits import IDLE_SHARE, MILLISECONDS, bounded, hanging_up
from tests.database_servers import PostgreSQL

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from pytest_django import DjangoDbBlocker

pytestmark = [pytest.mark.timed, pytest.mark.servers("postgresql")]

ALIAS = "locked"
AT_ONCE = MILLISECONDS / 1000 / 2
"""Seconds that nothing takes that does not wait for the limit."""

IN_TIME = 1.5
"""Seconds in which whatever is limited is over, on a busy machine too."""


@pytest.fixture(scope="module")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgreSQL]:
    with PostgreSQL(tmp_path_factory.mktemp("postgresql")) as server:
        server.execute("CREATE TABLE django_content_type (id bigint, app_label text, model text)")
        rows = "SELECT n, 'app', 'm' FROM generate_series(1, 5000) AS n"
        server.execute(f"INSERT INTO django_content_type {rows}")
        yield server


@pytest.fixture
def connection(
    postgresql: PostgreSQL, django_db_blocker: DjangoDbBlocker
) -> Iterator[BaseDatabaseWrapper]:
    """This thread's connection, with the settings that a project would have."""
    database = copy.deepcopy(connections.settings["default"])
    database.update(
        ENGINE="django.db.backends.postgresql", NAME="postgres", USER="backsoon",
        HOST="127.0.0.1", PORT=str(postgresql.port),
        OPTIONS={"options": "-c statement_timeout=9s -c lock_timeout=8s"},
    )  # fmt: skip
    connections.settings[ALIAS] = database
    try:
        with django_db_blocker.unblock():
            yield connections[ALIAS]
            connections[ALIAS].close()
    finally:
        del connections[ALIAS]
        del connections.settings[ALIAS]


def ask(connection: BaseDatabaseWrapper, sql: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone() if cursor.description else None


def timeout_of(connection: BaseDatabaseWrapper, of: str = "statement") -> str:
    (value,) = ask(connection, f"SHOW {of}_timeout")
    return str(value)


@contextmanager
def taking(least: float, most: float) -> Iterator[None]:
    started = time.monotonic()
    yield
    assert least <= time.monotonic() - started < most


def test_a_locked_table_is_waited_for_no_longer_than_the_limit(
    postgresql: PostgreSQL, connection: BaseDatabaseWrapper
) -> None:
    ask(connection, "SELECT 1")
    with postgresql.locked("postgres", "django_content_type"), bounded() as limit:
        with taking(AT_ONCE, IN_TIME), pytest.raises(OperationalError, match="timeout"):
            ContentType.objects.using(ALIAS).first()
        assert limit.faults == 1
    assert ContentType.objects.using(ALIAS).count() == 5000


def test_behind_a_lock_nothing_gets_on_so_it_is_given_up_sooner_than_a_slow_statement(
    postgresql: PostgreSQL, connection: BaseDatabaseWrapper
) -> None:
    ask(connection, "SELECT 1")
    with (
        postgresql.locked("postgres", "django_content_type"),
        bounded(1000),
        pytest.raises(OperationalError, match="lock timeout"),
    ):
        ContentType.objects.using(ALIAS).first()
    with bounded(1000), pytest.raises(OperationalError, match="statement timeout"):
        ask(connection, "SELECT pg_sleep(9)")


def test_what_a_fault_has_used_up_the_next_statement_has_no_more(
    postgresql: PostgreSQL, connection: BaseDatabaseWrapper
) -> None:
    with postgresql.locked("postgres", "django_content_type"), bounded():
        with pytest.raises(OperationalError):
            ContentType.objects.using(ALIAS).first()
        for _again in range(5):
            with taking(0, AT_ONCE), pytest.raises(OperationalError, match="is used up"):
                ContentType.objects.using(ALIAS).first()


def test_in_a_transaction_the_limit_holds_and_the_savepoint_can_be_rolled_back(
    postgresql: PostgreSQL, connection: BaseDatabaseWrapper
) -> None:
    with bounded(), transaction.atomic(using=ALIAS):
        assert timeout_of(connection) == f"{MILLISECONDS}ms"
        with (
            postgresql.locked("postgres", "django_content_type"),
            pytest.raises(OperationalError),
            transaction.atomic(using=ALIAS),
        ):
            ContentType.objects.using(ALIAS).first()
        assert not connection.needs_rollback


def test_nothing_stays_behind_on_the_connection(connection: BaseDatabaseWrapper) -> None:
    with bounded():
        assert timeout_of(connection) == f"{MILLISECONDS}ms"
        assert timeout_of(connection, "lock") == f"{int(MILLISECONDS * IDLE_SHARE)}ms"
        assert connection.get_autocommit()
    assert timeout_of(connection) == "9s"
    assert timeout_of(connection, "lock") == "8s"
    assert not connection.execute_wrappers


def test_a_transaction_that_goes_on_gets_back_what_it_had(
    connection: BaseDatabaseWrapper,
) -> None:
    with transaction.atomic(using=ALIAS):
        ask(connection, "SET LOCAL statement_timeout = '7s'")
        ask(connection, "SET LOCAL lock_timeout = '6s'")
        with bounded():
            assert timeout_of(connection) == f"{MILLISECONDS}ms"
        assert timeout_of(connection) == "7s"
        assert timeout_of(connection, "lock") == "6s"
    assert timeout_of(connection) == "9s"


def test_no_session_wide_setting_is_ever_sent(connection: BaseDatabaseWrapper) -> None:
    # A pooler in transaction mode hands the session to somebody else after each commit: what is
    # true there between two statements must be what was true before.
    ask(connection, "SELECT 1")
    with bounded():
        ask(connection, "SELECT 2")
        # Outside of Django, in the same session, between two statements.
        for name, own in (("statement", "9s"), ("lock", "8s")):
            (value,) = connection.connection.execute(f"SHOW {name}_timeout").fetchone()
            assert value == own


def test_rows_that_come_in_pieces_come_all(connection: BaseDatabaseWrapper) -> None:
    with bounded():
        rows = ContentType.objects.using(ALIAS).values_list("id").iterator(chunk_size=100)
        assert sum(1 for _row in rows) == 5000


def test_what_is_written_is_committed(
    postgresql: PostgreSQL, connection: BaseDatabaseWrapper
) -> None:
    with bounded(), connection.cursor() as cursor:
        cursor.execute("CREATE TABLE written (n int)")
        cursor.executemany("INSERT INTO written VALUES (%s)", [(1,), (2,)])
    assert postgresql.execute("SELECT count(*) FROM written") == [(2,)]


def test_without_autocommit_the_limit_holds(connection: BaseDatabaseWrapper) -> None:
    connection.set_autocommit(False)
    with bounded():
        assert timeout_of(connection) == f"{MILLISECONDS}ms"
        connection.rollback()


def test_no_connection_is_opened_for_the_limit_and_one_that_opens_later_has_it(
    connection: BaseDatabaseWrapper,
) -> None:
    with bounded():
        assert connection.connection is None
        assert connection.settings_dict["OPTIONS"]["connect_timeout"] == 2
        assert timeout_of(connection) == f"{MILLISECONDS}ms"
    assert "connect_timeout" not in connection.settings_dict["OPTIONS"]
    assert "connect_timeout" not in connections.settings[ALIAS]["OPTIONS"]


def test_a_block_inside_another_keeps_the_outer_limit(connection: BaseDatabaseWrapper) -> None:
    with bounded(100) as outer, bounded(5000) as inner:
        assert inner is outer
        assert timeout_of(connection) == "100ms"
    assert timeout_of(connection) == "9s"


def test_a_server_that_hangs_is_hung_up_on(
    postgresql: PostgreSQL, connection: BaseDatabaseWrapper
) -> None:
    ask(connection, "SELECT 1")
    with postgresql.paused(), bounded() as limit:
        with taking(AT_ONCE, IN_TIME), pytest.raises(OperationalError):
            ask(connection, "SELECT 1")
        assert limit.seconds == 0
        # Nor is it called again: that would take even longer.
        for _again in range(5):
            with taking(0, AT_ONCE), pytest.raises(OperationalError, match="is used up"):
                ask(connection, "SELECT 1")
    connection.close()
    assert ask(connection, "SELECT 1") == (1,)


def test_a_server_that_hangs_is_not_waited_for_at_the_opening_either(
    postgresql: PostgreSQL, connection: BaseDatabaseWrapper
) -> None:
    connection.close()
    with postgresql.paused(), bounded() as limit:
        with taking(AT_ONCE, IN_TIME), pytest.raises(OperationalError, match="took too long"):
            ask(connection, "SELECT 1")
        with taking(0, AT_ONCE), pytest.raises(OperationalError, match="is used up"):
            ask(connection, "SELECT 1")
        assert limit.faults == 1
    assert ask(connection, "SELECT 1") == (1,)


class Pool:
    """A pool of one connection, with what Django asks of those of psycopg."""

    timeout = 30.0

    def __init__(self, connection: Any) -> None:
        self._raw: Any = psycopg.connect(**connection.get_connection_params(), autocommit=True)
        self._raw._pool = self  # as psycopg_pool marks its own
        self._free = queue.SimpleQueue[Any]()
        self._free.put(self._raw)
        self.given = 0

    def open(self) -> None: ...

    def getconn(self, timeout: float | None = None) -> Any:
        try:
            raw = self._free.get(timeout=self.timeout if timeout is None else timeout)
        except queue.Empty:
            raise psycopg.OperationalError("couldn't get a connection") from None
        self.given += 1
        return raw

    def putconn(self, raw: Any) -> None:
        self._free.put(raw)

    def close(self) -> None:
        self._raw.close()


@pytest.fixture
def pool(connection: BaseDatabaseWrapper, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pool]:
    """The pool that the connection's come from."""
    pool = Pool(connection)
    connection.settings_dict["OPTIONS"] = {"pool": True}
    pools: dict[str, Pool] = type(connection)._connection_pools  # type: ignore[attr-defined]
    monkeypatch.setitem(pools, ALIAS, pool)
    yield pool
    connection.close()
    pool.close()


def test_a_pool_with_nothing_to_give_is_waited_for_no_longer_than_the_limit(
    connection: BaseDatabaseWrapper, pool: Pool
) -> None:
    taken = pool.getconn()
    with bounded() as limit:
        with taking(AT_ONCE, IN_TIME), pytest.raises(OperationalError, match="couldn't get"):
            ask(connection, "SELECT 1")
        assert limit.is_felt
    pool.putconn(taken)
    assert ask(connection, "SELECT 1") == (1,)


def test_what_a_pool_gives_is_kept_and_not_asked_for_twice(
    connection: BaseDatabaseWrapper, pool: Pool
) -> None:
    # Between two askings somebody else may take it, and the second has no limit.
    with bounded():
        assert timeout_of(connection) == f"{MILLISECONDS}ms"
    assert pool.given == 1
    assert "_connection_pools" not in vars(connection)
    connection.close()
    assert pool.getconn(timeout=0.01)


def test_a_server_that_was_restarted_is_no_worse_than_without_a_limit(
    postgresql: PostgreSQL, connection: BaseDatabaseWrapper
) -> None:
    ask(connection, "SELECT 1")
    postgresql.stop()
    with bounded() as limit:
        for _again in range(2):
            with taking(0, AT_ONCE), pytest.raises(OperationalError):
                ask(connection, "SELECT 1")
        assert limit.faults == 2  # what broke, and that it could not be opened again
    postgresql.start()
    connection.close_if_unusable_or_obsolete()
    assert ask(connection, "SELECT 1") == (1,)


def test_a_server_that_is_away_is_told_from_one_that_says_no(
    postgresql: PostgreSQL, connection: BaseDatabaseWrapper
) -> None:
    def error_of(sql: str) -> BaseException:
        with pytest.raises(DatabaseError) as found:
            ask(connection, sql)
        return found.value

    for sql in ("SELECT * FROM nowhere", "SELECT 1/0", "SELECT pg_sleep(5)"):
        with bounded():
            assert not is_unreachable(error_of(sql))
    (pid,) = ask(connection, "SELECT pg_backend_pid()")
    postgresql.execute(f"SELECT pg_terminate_backend({pid})")
    assert is_unreachable(error_of("SELECT 1"))  # in the middle of a session
    connection.close()
    postgresql.stop()
    assert is_unreachable(error_of("SELECT 1"))  # no session at all
    postgresql.start()
    connection.close()
    assert ask(connection, "SELECT 1") == (1,)


def test_other_threads_are_not_limited(
    connection: BaseDatabaseWrapper, django_db_blocker: DjangoDbBlocker
) -> None:
    found: list[str] = []

    def elsewhere() -> None:
        found.append(timeout_of(connections[ALIAS]))
        connections[ALIAS].close()

    with bounded():
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    assert found == ["9s"]


def test_whoever_is_in_time_is_not_hung_up_on(
    connection: BaseDatabaseWrapper, monkeypatch: pytest.MonkeyPatch
) -> None:
    late: list[Callable[[], None]] = []

    class Timer:
        """One that goes off although it was cancelled, as one does that is just going off."""

        def __init__(self, seconds: float, act: Callable[[], None]) -> None:
            late.append(act)

        def start(self) -> None: ...

        def cancel(self) -> None: ...

    ask(connection, "SELECT 1")
    monkeypatch.setattr(threading, "Timer", Timer)
    with hanging_up(connection.connection, 0.25):
        assert len(late) == 1
    late[0]()
    assert ask(connection, "SELECT 1") == (1,)
