"""The PostgreSQL and the Redis of a run: servers of their own, which end with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.crew import log
from tests import programs
from tests.database_servers import PostgreSQL, Redis


@dataclass
class Services:
    """What there is on this machine."""

    postgresql: PostgreSQL | None = None
    redis: Redis | None = None
    databases: list[str] = field(default_factory=list)

    def addresses(self) -> dict[str, str]:
        """Addresses by name, with a new database of PostgreSQL."""
        found = {}
        if self.postgresql is not None:
            name = f"site{len(self.databases)}"
            self.databases.append(name)
            found["postgresql"] = self.postgresql.create_database(name)
        if self.redis is not None:
            found["redis"] = self.redis.url
        return found


@contextmanager
def running(directory: Path, wanted: bool = True) -> Iterator[Services]:
    """Start what is installed, if *wanted*; say what is not."""
    services = Services()
    if not wanted:
        yield services
        return
    with ExitStack() as stack:
        for name in ("postgresql", "redis"):
            reason = programs.obstacle(name)
            if reason is not None:
                log(f"  {reason}")
        if programs.find("postgresql") is not None:
            services.postgresql = stack.enter_context(PostgreSQL(directory))
        if programs.find("redis") is not None:
            services.redis = stack.enter_context(Redis(directory))
        yield services
