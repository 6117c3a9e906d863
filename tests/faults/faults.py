"""The things that can be taken away from a running site, each as a context manager."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from tests.faults.site import FaultySite

Fault = Callable[[FaultySite], AbstractContextManager[None]]


@contextmanager
def accounts_locked(site: FaultySite) -> Iterator[None]:
    """A migration holds the tables of users and sessions."""
    with site.postgresql.locked(site.database, "auth_user", "django_session"):
        yield


@contextmanager
def own_tables_locked(site: FaultySite) -> Iterator[None]:
    """A migration holds our own tables."""
    with site.postgresql.locked(site.database, *site.tables("backsoon_")):
        yield


@contextmanager
def all_tables_locked(site: FaultySite) -> Iterator[None]:
    """A migration holds everything."""
    with site.postgresql.locked(site.database, *site.tables("")):
        yield


@contextmanager
def database_hangs(site: FaultySite) -> Iterator[None]:
    """The database takes connections and answers none."""
    with site.postgresql.paused():
        yield


@contextmanager
def database_stopped(site: FaultySite) -> Iterator[None]:
    """The database ends at once, and nobody listens on its port."""
    site.postgresql.stop()
    try:
        yield
    finally:
        site.postgresql.start()


@contextmanager
def redis_hangs(site: FaultySite) -> Iterator[None]:
    """Redis takes connections and answers none."""
    with site.redis.paused():
        yield


@contextmanager
def redis_stopped(site: FaultySite) -> Iterator[None]:
    """Redis ends, and nobody listens on its port."""
    site.redis.stop()
    try:
        yield
    finally:
        site.redis.start()


@contextmanager
def redis_flushed(site: FaultySite) -> Iterator[None]:
    """Redis forgets everything."""
    site.redis.flush()
    yield


OF_THE_DATABASE: tuple[Fault, ...] = (
    accounts_locked, own_tables_locked, database_hangs, database_stopped,
)  # fmt: skip
OF_REDIS: tuple[Fault, ...] = (redis_hangs, redis_stopped, redis_flushed)


def name_of(fault: Fault) -> str:
    """The fault's name, in words."""
    return fault.__name__.replace("_", " ")
