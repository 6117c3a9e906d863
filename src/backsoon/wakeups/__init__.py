"""Word of a change, passed from process to process so that the watchers look now.

PostgreSQL's notifications and Redis's publish/subscribe carry nothing but a nudge: what is true,
each watcher reads for itself. So one that is lost costs a watcher at most its interval, and one
that lies costs a reading.
"""

from __future__ import annotations

from collections.abc import Callable

from backsoon import conf
from backsoon.environment import in_test_environment
from backsoon.watcher import HasFileno

from . import postgresql, pubsub
from .channels import Channel, Reach

__all__ = ["Channel", "Ears", "Reach", "report", "tell"]


class Ears:
    """All that a watcher listens to; see :class:`backsoon.watcher.Ear`."""

    def __init__(self) -> None:
        self.postgresql = postgresql.Listener()
        self.redis: pubsub.Listener | None = None

    def start(self, wake: Callable[[], None]) -> None:
        """Listen from now on, to whatever the settings name."""
        self.postgresql.start(wake)
        url = conf.current().redis_url
        if url:
            self.redis = pubsub.Listener(url, wake)
            self.redis.start()

    def attend(self) -> HasFileno | None:
        """The watcher's connection to PostgreSQL, if it listens."""
        return self.postgresql.attend()

    def hear(self) -> None:
        """Take in what PostgreSQL says. Redis has a thread of its own."""
        self.postgresql.hear()

    def stop(self) -> None:
        """Listen no longer."""
        if self.redis is not None:
            self.redis.stop()
            self.redis = None


def tell() -> None:
    """Make the watchers of all processes look now. To be called after a commit.

    Never raises, and holds the caller up for no more than about a quarter of a second for each
    channel. Says nothing in tests of the project.
    """
    if in_test_environment():
        return
    settings = conf.current()
    if settings.listen:
        postgresql.tell()
    if settings.redis_url:
        pubsub.tell(settings.redis_url)


def report() -> list[Channel]:
    """Try each channel from this process, as a server's process would: a few seconds at most.

    Nobody else is woken by that.
    """
    return [postgresql.examine(), pubsub.examine(conf.current().redis_url)]
