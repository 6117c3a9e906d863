"""What is measured side by side: each a Django site that differs in how it may be closed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

OURS = "backsoon.middleware.MaintenanceModeMiddleware"
PEER = "maintenance_mode.middleware.MaintenanceModeMiddleware"

CONTROL = "no-op again"
"""The no-op a second time: what it differs from the first by is the noise of the measurement."""


@dataclass(frozen=True)
class Alternative:
    """One way to do it."""

    name: str
    middleware: str = ""
    above: bool = True
    """Whether it stands right after ``SecurityMiddleware``, or last because it needs the user."""
    apps: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Merged into the site's settings."""
    database: str = "sqlite"
    conn_max_age: int = 0
    redis: bool = False
    bare: bool = False
    """Whether it is the only middleware, instead of one of those that ``startproject`` brings."""
    title: str = ""

    @property
    def label(self) -> str:
        """What tables and pictures call it."""
        return self.title or self.name

    def missing(self, services: Mapping[str, str]) -> str:
        """Why it cannot be measured here; empty when it can. *services*: address by name."""
        for app in self.apps:
            if find_spec(app) is None:
                return f"{app} is not installed"
        if self.database != "sqlite" and self.database not in services:
            return f"no {self.database} to be had"
        if self.redis and "redis" not in services:
            return "no redis to be had"
        return ""


def _peer(name: str, backend: str, **settings: Any) -> Alternative:
    return Alternative(
        f"django-maintenance-mode, {name}",
        PEER,
        above=False,
        apps=("maintenance_mode",),
        settings={
            "MAINTENANCE_MODE_STATE_BACKEND": f"maintenance_mode.backends.{backend}",
            # So that administrators get in, which is what all of these are for.
            "MAINTENANCE_MODE_IGNORE_SUPERUSER": True,
            "MAINTENANCE_MODE_IGNORE_ADMIN_SITE": True,
            **settings,
        },
    )


def _query(database: str, age: int) -> Alternative:
    shown = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}[database]
    return Alternative(
        f"query per request, {shown}, CONN_MAX_AGE {age}",
        "benchmarks.site.gates.QueryPerRequest",
        above=False,
        apps=("backsoon",),  # for its table of settings, which has the shape that is asked for
        database=database,
        conn_max_age=age,
    )


NOTHING = Alternative("nothing")
NO_OP = Alternative("no-op", "benchmarks.site.gates.no_op", title="no-op middleware")
NO_OP_AGAIN = replace(NO_OP, name=CONTROL, title="no-op middleware, once more")
BACKSOON = Alternative("backsoon", OURS, apps=("backsoon",), title="Backsoon")
IN_PLACE = replace(
    BACKSOON,
    name="backsoon in place",
    settings={"BACKSOON": {"ANSWER": "in_place"}},
    title='Backsoon, `"ANSWER": "in_place"`',
)
UNCOUNTED = replace(
    BACKSOON,
    name="backsoon without counting",
    settings={"BACKSOON": {"COUNT_TRAFFIC": False}},
    title='Backsoon, `"COUNT_TRAFFIC": False`',
)
CONSTANT = Alternative(
    "constant", "benchmarks.site.gates.constant_503", title="middleware with a constant 503"
)
PEER_FILE = _peer("file", "LocalFileBackend")
PEER_LOCMEM = _peer("locmem", "CacheBackend")
PEER_REDIS = replace(_peer("redis", "CacheBackend"), redis=True)
QUERIES = tuple(_query(database, age) for database in ("sqlite", "postgresql") for age in (0, 600))

OPEN = (
    NOTHING, NO_OP, NO_OP_AGAIN, BACKSOON, UNCOUNTED, PEER_FILE, PEER_LOCMEM, PEER_REDIS, *QUERIES,
)  # fmt: skip
CLOSED = (CONSTANT, BACKSOON, IN_PLACE, PEER_FILE, PEER_LOCMEM, PEER_REDIS)

QUICK_OPEN = (NO_OP, NO_OP_AGAIN, BACKSOON, PEER_FILE)
QUICK_CLOSED = (CONSTANT, BACKSOON, IN_PLACE, PEER_FILE)


def configuration(
    alternative: Alternative, directory: Path, services: Mapping[str, str]
) -> dict[str, Any]:
    """What the site's settings are made from; JSON goes through. *directory* holds its files."""
    caches = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    if alternative.redis:
        backend = "django.core.cache.backends.redis.RedisCache"
        caches = {"default": {"BACKEND": backend, "LOCATION": services["redis"]}}
    address = (
        f"sqlite:///{directory}/site.sqlite3"
        if alternative.database == "sqlite"
        else services[alternative.database]
    )
    own: dict[str, Any] = {
        "CACHES": caches,
        "MAINTENANCE_MODE_STATE_FILE_PATH": str(directory / "maintenance_mode_state.txt"),
        **alternative.settings,
    }
    if "backsoon" in alternative.apps:
        state = str(directory / "state")
        own["BACKSOON"] = {"STATE_DIR": state, **dict(alternative.settings.get("BACKSOON", {}))}
    return {
        "middleware": alternative.middleware,
        "above": alternative.above,
        "bare": alternative.bare,
        "apps": list(alternative.apps),
        "database": address,
        "conn_max_age": alternative.conn_max_age,
        "settings": own,
    }
