"""Databases in files of their own: several connections, true commits, and ways to be broken."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings as django_settings
from django.db import connections
from django.test import override_settings

from backsoon.models import (
    Change,
    Maintenance,
    Subscriber,
    SystemSetting,
    Traffic,
    Window,
    Worker,
)

ALIAS = "file"


@contextmanager
def backsoon_in(path: Path, *, tables: bool = True, **options: Any) -> Iterator[None]:
    """Keep Backsoon's rows in the SQLite file at *path*, with or without its tables.

    The caller has to allow database access; *options* go to the database driver.
    """
    database = copy.deepcopy(connections.settings["default"])
    database.update(ENGINE="django.db.backends.sqlite3", NAME=str(path), OPTIONS=options)
    connections.settings[ALIAS] = database
    assert ALIAS in django_settings.DATABASES
    try:
        if tables:
            with connections[ALIAS].schema_editor() as editor:
                for model in (
                    SystemSetting, Maintenance, Window, Worker, Change, Subscriber, Traffic,
                ):  # fmt: skip
                    editor.create_model(model)
        with override_settings(BACKSOON={"DATABASE": ALIAS}):
            yield
    finally:
        connections[ALIAS].close()
        del connections[ALIAS]
        del connections.settings[ALIAS]
