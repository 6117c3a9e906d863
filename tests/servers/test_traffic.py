"""Counts of several processes in one table: none is lost, and none is counted twice."""

from __future__ import annotations

import copy
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.db import connections
from django.test import override_settings
from pytest_django import DjangoDbBlocker

from backsoon.models import Traffic
from backsoon.traffic import add
from tests.database_servers import PostgreSQL

HOUR = 500_000
PROCESSES, TURNS = 12, 8


@pytest.mark.servers("postgresql")
def test_processes_that_store_at_the_same_time_in_postgresql_lose_nothing(
    tmp_path: Path, django_db_blocker: DjangoDbBlocker
) -> None:
    failures: list[str] = []
    start = threading.Barrier(PROCESSES)

    def one(number: int) -> None:
        try:
            start.wait(30)
            for turn in range(TURNS):  # the first in each hour makes its row, all at once
                add(HOUR + turn, 3, 1 << number)
        except Exception as error:  # noqa: BLE001  (it is told below)
            failures.append(repr(error))
        finally:
            connections["crowd"].close()

    with PostgreSQL(tmp_path) as postgresql, django_db_blocker.unblock():
        url = urlsplit(postgresql.create_database("crowd"))
        database = copy.deepcopy(connections.settings["default"])
        database.update(
            ENGINE="django.db.backends.postgresql",
            NAME=url.path.strip("/"), USER=url.username, PASSWORD=url.password or "",
            HOST=url.hostname, PORT=url.port, OPTIONS={},
        )  # fmt: skip
        connections.settings["crowd"] = database
        try:
            with connections["crowd"].schema_editor() as editor:
                editor.create_model(Traffic)
            with override_settings(BACKSOON={"DATABASE": "crowd"}):
                threads = [threading.Thread(target=one, args=(n,)) for n in range(PROCESSES)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                rows = list(Traffic.objects.using("crowd").values_list("requests", "minutes"))
        finally:
            connections["crowd"].close()
            del connections["crowd"]
            del connections.settings["crowd"]
    assert not failures
    assert rows == [(3 * PROCESSES, (1 << PROCESSES) - 1)] * TURNS
