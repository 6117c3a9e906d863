"""The outbox and the visitors who asked, in PostgreSQL: what is locked or missing stops nothing."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from django.core import mail
from django.core.management import call_command
from django.db import connections
from django.test import override_settings
from pytest_django import DjangoDbBlocker

from backsoon import services, store, subscribers
from backsoon.announce import delivering
from backsoon.core.vocabulary import Mode
from backsoon.http import tell_me, turnstile
from tests.database_servers import PostgreSQL

pytestmark = [pytest.mark.servers("postgresql")]

ALIAS = "outbox"

IN_TIME = 5.0
"""Seconds in which whatever waits for a moment is over, on a busy machine too."""


@pytest.fixture(scope="module")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgreSQL]:
    with PostgreSQL(tmp_path_factory.mktemp("postgresql")) as server:
        yield server


@pytest.fixture
def name(postgresql: PostgreSQL, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """A database with Backsoon's tables, which hold the site's state."""
    name = f"outbox_{time.monotonic_ns()}"
    url = urlsplit(postgresql.create_database(name))
    database = copy.deepcopy(connections.settings["default"])
    database.update(
        ENGINE="django.db.backends.postgresql",
        NAME=name, USER=url.username, PASSWORD=url.password or "",
        HOST=url.hostname, PORT=url.port, OPTIONS={},
    )  # fmt: skip
    connections.settings[ALIAS] = database
    settings = {"DATABASE": ALIAS, "OPERATORS": ["ops@example.com"], "TELL_ME": True}
    try:
        with django_db_blocker.unblock(), override_settings(BACKSOON=settings):
            call_command("migrate", "backsoon", database=ALIAS, verbosity=0)
            turnstile.renew_all()
            yield name
    finally:
        connections[ALIAS].close()
        del connections[ALIAS]
        del connections.settings[ALIAS]


def test_who_is_told_of_a_closure_does_not_hold_it_up(
    postgresql: PostgreSQL, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    started = time.monotonic()
    with postgresql.locked(name, "backsoon_announcement"):
        outcome = services.close_site()
    assert time.monotonic() - started < IN_TIME
    assert not outcome.state.is_open
    assert store.load().policy.switch.mode is Mode.CLOSED
    assert "could not be written down" in caplog.text


def test_before_the_tables_of_the_outbox_are_there_the_site_closes_and_opens(
    postgresql: PostgreSQL, name: str
) -> None:
    with connections[ALIAS].cursor() as cursor:
        cursor.execute("DROP TABLE backsoon_delivery, backsoon_announcement, backsoon_subscriber")
    assert not services.close_site().state.is_open
    note = tell_me.note(tell_me.Address("anna@example.com", "en"))
    assert note is tell_me.Outcome.UNABLE
    assert services.open_site().state.is_open


def test_a_visitor_is_noted_told_and_forgotten(postgresql: PostgreSQL, name: str) -> None:
    services.close_site()
    address = tell_me.Address("anna@example.com", "en")
    started = time.monotonic()
    with postgresql.locked(name, "backsoon_subscriber"):
        assert tell_me.note(address) is tell_me.Outcome.UNABLE
    assert time.monotonic() - started < IN_TIME
    turnstile.renew_all()
    assert tell_me.note(address) is tell_me.Outcome.NOTED
    assert tell_me.note(address) is tell_me.Outcome.NOTED
    services.open_site()
    mail.outbox = []
    assert delivering.run().sent == 3
    assert sorted(message.to[0] for message in mail.outbox) == [
        "anna@example.com", "ops@example.com", "ops@example.com",
    ]  # fmt: skip
    assert subscribers.count() == 0
