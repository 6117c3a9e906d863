"""Word of a change by PostgreSQL and Redis: heard at once, and missed without harm.

The watchers here would look once an hour of themselves: what they notice, they were told.
"""

from __future__ import annotations

import gc
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections, transaction
from django.test import override_settings
from pytest_django import DjangoDbBlocker

from backsoon import environment, services, store, wakeups
from backsoon.core.vocabulary import Mode
from backsoon.exceptions import StoreUnavailableError
from backsoon.gate import Gate
from backsoon.management.maintenance.examinations import examine_wakeups
from backsoon.snapshots import Mark
from backsoon.wakeups import Reach, postgresql, pubsub
from backsoon.wakeups.channels import CHANNEL, Outage
from backsoon.watcher import Watcher
from tests.database_servers import PostgreSQL, Redis
from tests.demo_server import until

pytestmark = [
    pytest.mark.servers("postgresql", "redis"),
    # Python warns of forking where threads run; that a child gets away with it is tested here.
    pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning"),
]

ALIAS = "heard"
PATIENCE = 10.0
"""Seconds after which something that should have happened has not."""

NEVER = 3600.0
QUICKLY = 2.0
"""Far below every interval here, and far above what a word takes, on a busy machine too."""

WITHOUT_ENCRYPTION = "?sslmode=disable&gssencmode=disable"


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgreSQL]:
    with PostgreSQL(tmp_path_factory.mktemp("postgresql")) as server:
        yield server


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with Redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(autouse=True)
def _in_production(
    monkeypatch: pytest.MonkeyPatch, django_db_blocker: DjangoDbBlocker
) -> Iterator[None]:
    """As in a process that serves, one that has complained of nothing yet."""
    monkeypatch.setattr(wakeups, "in_test_environment", lambda: False)
    for module in (postgresql, pubsub):
        monkeypatch.setattr(module, "_unheard", Outage("word was lost", "word is taken"))
    with django_db_blocker.unblock():
        yield


@contextmanager
def site_at(url: str, **settings: Any) -> Iterator[None]:
    """Keep Backsoon's rows in the database at *url*."""
    # Here, so that tests can be collected where only what the fast suite needs is installed.
    import dj_database_url

    connections.settings[ALIAS] = {
        **connections.settings["default"],
        **dj_database_url.parse(url, conn_max_age=None),
    }
    try:
        with override_settings(BACKSOON={"DATABASE": ALIAS, **settings}):
            yield
    finally:
        connections[ALIAS].close()
        del connections[ALIAS]
        del connections.settings[ALIAS]


class Ticks:
    """A watcher that asks the database something at each tick, and counts."""

    def __init__(self, *, interval: float = NEVER, question: str = "pg_backend_pid()") -> None:
        self._question = question
        self.all: list[float] = []
        self.ears = wakeups.Ears()
        self.watcher = Watcher(
            self._tick,
            lambda: interval,
            on_start=store.use_short_timeouts,
            on_stop=connections.close_all,
            ear=self.ears,
        )
        self.backend = 0

    def __enter__(self) -> Ticks:
        self.watcher.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.watcher.stop()

    def _tick(self) -> None:
        try:
            with connections[ALIAS].cursor() as cursor:
                cursor.execute(f"SELECT {self._question}")
                self.backend = cursor.fetchone()[0]
        finally:
            self.all.append(time.monotonic())

    def after(self, act: Callable[[], object]) -> float:
        """How long after *act* began there was a tick, in seconds."""
        before, began = len(self.all), time.monotonic()
        act()
        until(lambda: len(self.all) > before or None, PATIENCE, "a tick")
        return self.all[before] - began

    def settle(self, reach: Reach = Reach.LISTENING) -> None:
        """Wait until PostgreSQL's channel stands so, and the ticks that come with that are over."""
        until(
            lambda: self.ears.postgresql.reach is reach or None,
            PATIENCE,
            lambda: f"{reach}; it is {self.ears.postgresql.reach}",
        )
        self.rest()

    def rest(self) -> None:
        """Wait until nothing has happened for a moment."""
        seen = (len(self.all), time.monotonic())

        def quiet() -> bool | None:
            nonlocal seen
            if len(self.all) != seen[0]:
                seen = (len(self.all), time.monotonic())
            return True if time.monotonic() - seen[1] > 0.4 else None

        until(quiet, PATIENCE, "quiet")


def elsewhere(act: Callable[[], object]) -> None:
    """Do it in a thread, with connections of its own as another process has."""

    def run() -> None:
        try:
            act()
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive()


# -- PostgreSQL --------------------------------------------------------------------------------


def test_postgresql_brings_word_of_a_change_at_once(postgres: PostgreSQL) -> None:
    with site_at(postgres.url), Ticks() as ticks:
        ticks.settle()
        for _each in range(5):
            assert ticks.after(lambda: elsewhere(wakeups.tell)) < QUICKLY
        assert len(connections_of_watchers(postgres)) == 1  # it is the one that asks, too


def connections_of_watchers(postgres: PostgreSQL) -> list[Any]:
    return postgres.execute(
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'"
        " AND pid <> pg_backend_pid() AND query NOT LIKE '%%pg_notify%%'"
    )


def test_word_that_comes_in_the_middle_of_a_reading_brings_another_one(
    postgres: PostgreSQL,
) -> None:
    asleep = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    with site_at(postgres.url), Ticks(question="pg_backend_pid(), pg_sleep(0.3)") as ticks:
        ticks.settle()
        before = len(ticks.all)
        ticks.watcher.wake()
        until(lambda: postgres.execute(asleep) or None, PATIENCE, "a reading")
        elsewhere(wakeups.tell)
        until(lambda: len(ticks.all) >= before + 2 or None, PATIENCE, "another one")


def test_word_is_given_after_the_commit_and_not_before(postgres: PostgreSQL) -> None:
    with site_at(postgres.url), Ticks() as ticks:
        ticks.settle()
        with transaction.atomic(using=ALIAS):
            wakeups.tell()
            ticks.rest()
            before = len(ticks.all)
        until(lambda: len(ticks.all) > before or None, QUICKLY, "a tick")


def test_a_transaction_that_is_taken_back_tells_nobody(postgres: PostgreSQL) -> None:
    with site_at(postgres.url), Ticks() as ticks:
        ticks.settle()
        before = len(ticks.all)
        with transaction.atomic(using=ALIAS):
            wakeups.tell()
            transaction.set_rollback(True, using=ALIAS)
        ticks.rest()
        assert len(ticks.all) == before


def test_after_a_lost_connection_it_looks_at_once_and_listens_again(postgres: PostgreSQL) -> None:
    with site_at(postgres.url), Ticks() as ticks:
        ticks.settle()
        first = ticks.backend
        # A connection that ends right after LISTEN would be another story.
        until(
            lambda: time.monotonic() - ticks.all[0] > postgresql.SHORT_LIFE_SECONDS or None,
            PATIENCE,
            "an older connection",
        )
        assert ticks.after(lambda: end_backend(postgres, first)) < QUICKLY
        ticks.settle()
        assert ticks.backend != first
        assert ticks.after(lambda: elsewhere(wakeups.tell)) < QUICKLY


def end_backend(postgres: PostgreSQL, process: int) -> None:
    assert postgres.execute("SELECT pg_terminate_backend(%s)", process) == [(True,)]


def test_a_flood_of_lies_costs_no_more_than_fifty_readings_a_second(postgres: PostgreSQL) -> None:
    with site_at(postgres.url), Ticks() as ticks, postgres.connection() as liar:
        ticks.settle()
        before, began = len(ticks.all), time.monotonic()
        while time.monotonic() - began < 0.5:
            liar.execute("SELECT pg_notify(%s, md5(random()::text))", [CHANNEL])
        # As many as fit, and the one that was due at the beginning and at the end.
        assert 3 <= len(ticks.all) - before <= 0.5 * 50 + 2


def test_telling_a_database_that_is_gone_raises_nothing_and_is_reported_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        PostgreSQL(tmp_path) as own,
        site_at(own.url),
        caplog.at_level(logging.INFO, logger="backsoon"),
    ):
        wakeups.tell()
        own.stop()
        for _each in range(3):
            wakeups.tell()
            connections[ALIAS].close()  # as at the end of a request
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        own.start()
        wakeups.tell()
        assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_a_queue_that_somebody_blocks_holds_nobody_up(postgres: PostgreSQL) -> None:
    with site_at(postgres.url), blocked_queue(postgres):
        began = time.monotonic()
        wakeups.tell()
        assert 0.2 < time.monotonic() - began < QUICKLY
    with site_at(postgres.url), Ticks() as ticks:
        ticks.settle()
        assert ticks.after(wakeups.tell) < QUICKLY


@contextmanager
def blocked_queue(postgres: PostgreSQL) -> Iterator[None]:
    """Hold the lock of those who notify: by a commit that waits for a standby there is not."""

    def set_standby(name: str) -> None:
        postgres.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'")
        postgres.execute("SELECT pg_reload_conf()")

    def commit() -> None:
        with postgres.connection() as connection:
            connection.execute("SET synchronous_commit = on")
            with connection.transaction():
                connection.execute("CREATE TABLE waits ()")
                connection.execute("NOTIFY another")

    set_standby("nobody")
    stuck = threading.Thread(target=commit)
    stuck.start()
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    try:
        until(lambda: postgres.execute(waiting) or None, PATIENCE, "a commit that waits")
        yield
    finally:
        set_standby("")
        stuck.join(PATIENCE)
        postgres.execute("DROP TABLE waits")


def test_no_listening_where_the_project_does_not_want_it(postgres: PostgreSQL) -> None:
    with site_at(postgres.url, LISTEN=False), Ticks() as ticks, postgres.connection() as other:
        until(lambda: ticks.all or None, PATIENCE, "a tick")
        ticks.rest()
        assert ticks.ears.postgresql.reach is Reach.OFF
        other.execute(f"NOTIFY {CHANNEL}".encode())
        other.execute(b"LISTEN " + CHANNEL.encode())
        wakeups.tell()
        assert list(other.notifies(timeout=0.2)) == []
        assert len(ticks.all) == 1


# -- PostgreSQL behind something ----------------------------------------------------------------


@contextmanager
def pooler_before(postgres: PostgreSQL) -> Iterator[str]:
    """The address of something that takes LISTEN and never delivers, as a pooler does that lends
    out the connection between transactions.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    client, _address = server.accept()
                except OSError:
                    return
                upstream = socket.create_connection(("127.0.0.1", postgres.port))
                for target in (all_but_notifications(upstream, client), pass_on(client, upstream)):
                    threading.Thread(target=target, daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        try:
            own = postgres.url.replace(f":{postgres.port}", f":{server.getsockname()[1]}")
            yield own + WITHOUT_ENCRYPTION
        finally:
            server.shutdown(socket.SHUT_RDWR)


def pass_on(source: socket.socket, target: socket.socket) -> Callable[[], None]:
    def run() -> None:
        with source, target:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)

    return run


def all_but_notifications(source: socket.socket, target: socket.socket) -> Callable[[], None]:
    """Source: PostgreSQL, Frontend/Backend Protocol, "Message Formats"."""

    def run() -> None:
        with source.makefile("rb") as stream:
            while head := stream.read(5):
                message = head + stream.read(int.from_bytes(head[1:], "big") - 4)
                if not message.startswith(b"A"):  # NotificationResponse
                    target.sendall(message)

    return run


def test_a_pooler_that_swallows_notifications_is_found_out_and_reported_once(
    postgres: PostgreSQL, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(postgresql, "AGAIN_SECONDS", 0.2)
    with (
        caplog.at_level(logging.INFO, logger="backsoon"),
        pooler_before(postgres) as url,
        site_at(url),
        Ticks(interval=0.1) as ticks,
    ):
        until(lambda: len(ticks.all) >= 3 or None, PATIENCE, "ticks")
        assert not caplog.records  # nobody knows yet, and the ticks do not wait for it
        until(lambda: caplog.records or None, PATIENCE, "a warning")
        assert ticks.ears.postgresql.reach is Reach.SILENT
        before = len(ticks.all)
        until(lambda: len(ticks.all) >= before + 20 or None, PATIENCE, "ticks")  # tested again
    (warning,) = caplog.records
    assert "pooler" in warning.getMessage()
    assert max(later - earlier for earlier, later in gaps(ticks)) < 1.0


def gaps(ticks: Ticks) -> list[tuple[float, float]]:
    return list(zip(ticks.all, ticks.all[1:], strict=False))


def test_doctor_names_the_pooler(postgres: PostgreSQL) -> None:
    with pooler_before(postgres) as url, site_at(url, POLL=2.0):
        (finding,) = examine_wakeups()
    assert finding.level == "note"
    assert "do not come through" in finding.message
    assert "about 2 s" in finding.message
    assert "pooler" in finding.hint


def test_where_there_is_no_second_connection_it_listens_untested(postgres: PostgreSQL) -> None:
    postgres.execute("CREATE ROLE lonely LOGIN CONNECTION LIMIT 1")
    with site_at(postgres.url.replace("backsoon@", "lonely@")):
        with Ticks(interval=0.05) as ticks:
            until(lambda: ticks.ears.postgresql.why or None, PATIENCE, "a failed test")
            assert ticks.ears.postgresql.reach is Reach.UNTESTED
        (finding,) = examine_wakeups()
    assert "second connection" in finding.message


def test_a_server_that_refuses_to_listen_is_asked_once_and_polled(
    postgres: PostgreSQL, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(postgresql, "CHANNEL", '"refused')  # a syntax error, as good as any
    with (
        caplog.at_level(logging.INFO, logger="backsoon"),
        site_at(postgres.url),
        Ticks(interval=0.02) as ticks,
    ):
        until(lambda: len(ticks.all) >= 10 or None, PATIENCE, "ticks")
        (finding,) = examine_wakeups()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "refuses LISTEN" in finding.message


# -- Redis -------------------------------------------------------------------------------------


def test_redis_brings_word_of_a_change_at_once(postgres: PostgreSQL, redis: Redis) -> None:
    with site_at(postgres.url, LISTEN=False, REDIS_URL=redis.url), Ticks() as ticks:
        hears(ticks)
        for _each in range(5):
            assert ticks.after(wakeups.tell) < QUICKLY
        with redis.client() as liar:
            assert ticks.after(lambda: liar.publish(CHANNEL, "the site is open")) < QUICKLY
        redis.flush()
        assert ticks.after(wakeups.tell) < QUICKLY


def hears(ticks: Ticks) -> None:
    def listening() -> bool | None:
        return (ticks.ears.redis is not None and ticks.ears.redis.reach is Reach.LISTENING) or None

    until(listening, PATIENCE, "a subscription")
    ticks.rest()


def test_a_redis_that_comes_back_is_subscribed_to_again_and_followed_by_a_look(
    postgres: PostgreSQL, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.INFO, logger="backsoon"),
        Redis(tmp_path) as own,
        site_at(postgres.url, LISTEN=False, REDIS_URL=own.url),
        Ticks() as ticks,
    ):
        hears(ticks)
        own.stop()
        until(lambda: caplog.records or None, PATIENCE, "a warning")
        assert ticks.after(own.start) < PATIENCE
        hears(ticks)
        assert ticks.after(wakeups.tell) < QUICKLY
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_a_redis_that_hangs_is_noticed_and_holds_nobody_up(
    postgres: PostgreSQL,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(pubsub, "BEAT_SECONDS", 0.05)
    with (
        caplog.at_level(logging.INFO, logger="backsoon"),
        Redis(tmp_path) as own,
        site_at(postgres.url, REDIS_URL=own.url),
        Ticks() as ticks,
    ):
        hears(ticks)
        ticks.settle()
        with own.paused():
            until(lambda: caplog.records or None, PATIENCE, "a warning")
            assert ticks.after(wakeups.tell) < QUICKLY  # by PostgreSQL
            assert ticks.watcher.running
            (postgresqls, rediss) = wakeups.report()
            assert (postgresqls.reach, rediss.reach) == (Reach.LISTENING, Reach.SILENT)
        hears(ticks)


def test_doctor_has_a_problem_with_a_redis_that_is_wanted_and_not_there(
    postgres: PostgreSQL, tmp_path: Path
) -> None:
    with Redis(tmp_path) as own, site_at(postgres.url, REDIS_URL=own.url):
        assert list(examine_wakeups()) == []
        own.stop()
        (finding,) = examine_wakeups()
    assert finding.level == "problem"
    assert "Redis does not answer" in finding.message


# -- Processes ---------------------------------------------------------------------------------


def test_a_child_that_inherits_all_this_leaves_its_parents_connections_alone(
    postgres: PostgreSQL, redis: Redis
) -> None:
    with site_at(postgres.url, REDIS_URL=redis.url), Ticks() as ticks:
        ticks.settle()
        hears(ticks)
        backend = ticks.backend
        run_in_child(ticks)
        for tell in (postgresql.tell, lambda: pubsub.tell(redis.url)):
            assert ticks.after(tell) < QUICKLY
        assert ticks.backend == backend


def run_in_child(ticks: Ticks) -> None:
    """What a forked worker does with what it inherited: serve, forget it, and come to its end."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            with Ticks() as own:
                own.settle()
            ticks.watcher.stop()
            ticks.watcher, ticks.ears = own.watcher, own.ears
            gc.collect()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0


def test_a_gate_closes_at_once_when_somebody_else_closes_the_site(
    postgres: PostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    with site_at(postgres.create_database("whole"), POLL=60.0):
        call_command("migrate", "backsoon", database=ALIAS, verbosity=0)
        monkeypatch.setattr(environment, "in_test_environment", lambda: False)
        one = Gate()
        try:
            assert one.view().state.mode is Mode.OPEN
            ears = one.watcher._ear
            assert isinstance(ears, wakeups.Ears)
            until(lambda: ears.postgresql.reach is Reach.LISTENING or None, PATIENCE, "listening")
            elsewhere(services.close_site)
            until(lambda: one.view().state.mode is Mode.CLOSED or None, QUICKLY, "closed")
        finally:
            one.forget()


# -- A server that hangs -----------------------------------------------------------------------


def test_a_watcher_hangs_up_on_a_server_that_hangs_and_reads_again_when_it_is_back(
    postgres: PostgreSQL,
) -> None:
    readings: list[object] = []

    def read() -> None:
        try:
            readings.append(store.read_mark())
        except StoreUnavailableError as error:
            connections[ALIAS].close()
            readings.append(error)

    with site_at(postgres.url):
        call_command("migrate", database=ALIAS, verbosity=0)
        watcher = Watcher(read, lambda: 0.05, on_start=store.use_short_timeouts)
        watcher.start()
        try:
            until(lambda: readings or None, PATIENCE, "a reading")
            with postgres.paused():
                before = len(readings)
                # The server takes everything and says nothing, so no time limit of its own ends it.
                until(lambda: len(readings) > before + 1 or None, PATIENCE, "an end of the wait")
                assert isinstance(readings[-1], StoreUnavailableError)
            until(lambda: isinstance(readings[-1], Mark) or None, PATIENCE, "a reading")
        finally:
            watcher.stop()
