"""What the watcher writes waits for nobody who holds the switch: it has a lease to keep."""

from __future__ import annotations

import copy
import datetime as dt
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.apps import apps
from django.db import connections
from django.test import override_settings
from pytest_django import DjangoDbBlocker

from backsoon import services, store
from backsoon.exceptions import StoreUnavailableError
from backsoon.models import Maintenance, Series, Window
from tests.database_servers import PostgreSQL

pytestmark = pytest.mark.servers("postgresql")

ALIAS = "held"
IN_TIME = 1.5
"""Seconds in which whatever does not wait is over, on a busy machine too."""


@pytest.fixture
def postgresql(tmp_path: Path, django_db_blocker: DjangoDbBlocker) -> Iterator[PostgreSQL]:
    """It holds Backsoon's rows."""
    with PostgreSQL(tmp_path) as server, django_db_blocker.unblock():
        url = urlsplit(server.create_database(ALIAS))
        database = copy.deepcopy(connections.settings["default"])
        database.update(
            ENGINE="django.db.backends.postgresql",
            NAME=url.path.strip("/"), USER=url.username, PASSWORD=url.password or "",
            HOST=url.hostname, PORT=url.port, OPTIONS={},
        )  # fmt: skip
        connections.settings[ALIAS] = database
        try:
            with connections[ALIAS].schema_editor() as editor:
                for model in apps.get_app_config("backsoon").get_models():
                    editor.create_model(model)
            with override_settings(BACKSOON={"DATABASE": ALIAS}):
                yield server
        finally:
            connections[ALIAS].close()
            del connections[ALIAS]
            del connections.settings[ALIAS]


def as_the_watcher(do: Callable[[], object]) -> tuple[float, list[Exception]]:
    """How long *do* takes on a connection of the watcher's kind, and what it raises."""
    raised: list[Exception] = []

    def work() -> None:
        store.use_short_timeouts()
        try:
            do()
        except Exception as error:  # noqa: BLE001  (it is looked at below)
            raised.append(error)
        finally:
            connections[ALIAS].close()

    began = time.monotonic()
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(2 * IN_TIME)
    return time.monotonic() - began, raised


def test_series_go_on_later_where_somebody_holds_the_switch(postgresql: PostgreSQL) -> None:
    start = store.utc_now() + dt.timedelta(hours=1)
    services.schedule(start, start + dt.timedelta(hours=1), repeat="FREQ=WEEKLY")
    planned = Window.objects.using(ALIAS).count()
    Window.objects.using(ALIAS).filter(starts_at__gt=start + dt.timedelta(days=10)).delete()
    Series.objects.using(ALIAS).update(made_until=start + dt.timedelta(days=10))
    with postgresql.connection(ALIAS) as other, other.transaction():
        other.execute("UPDATE backsoon_maintenance SET epoch = epoch")
        took, raised = as_the_watcher(services.continue_series)
        assert took < IN_TIME
        assert [type(error) for error in raised] == [StoreUnavailableError]
    assert as_the_watcher(services.continue_series)[1] == []
    assert Window.objects.using(ALIAS).count() == planned


def test_so_is_what_other_hands_have_switched(postgresql: PostgreSQL) -> None:
    services.init_defaults()
    services.close_site()
    with postgresql.connection(ALIAS) as other:
        other.execute(
            "UPDATE backsoon_systemsetting SET value = 'false' WHERE key = 'maintenance_mode'"
        )
        with other.transaction():
            other.execute("UPDATE backsoon_maintenance SET epoch = epoch")
            took, raised = as_the_watcher(services.adopt_outside_change)
            assert took < IN_TIME
            assert [type(error) for error in raised] == [StoreUnavailableError]
    assert as_the_watcher(services.adopt_outside_change)[1] == []
    assert Maintenance.objects.using(ALIAS).get().mode == "open"
