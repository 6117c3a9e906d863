"""A word sent to ourselves by way of another connection."""

from __future__ import annotations

import threading
import time

from django.db import connections

from backsoon import store

from .channels import EXAMINATION_SECONDS


class Echo:
    """Calls into a channel from a short-lived connection, in a thread that nobody waits for.

    Another connection, because what a session tells itself may come through by luck where nothing
    else does.
    """

    def __init__(self, channel: str) -> None:
        self._channel = channel
        self._called_at: float | None = None
        self.error: Exception | None = None
        """Why there was no call."""

    def call(self) -> None:
        """Send it."""
        threading.Thread(target=self._call, name="backsoon-echo", daemon=True).start()

    def is_overdue(self, now: float) -> bool:
        """Whether the call was made and should have been heard at *now* (``time.monotonic()``)."""
        return self._called_at is not None and now - self._called_at > EXAMINATION_SECONDS

    def _call(self) -> None:
        try:
            store.use_short_timeouts()
            with connections[store.alias()].cursor() as cursor:
                cursor.execute("SELECT pg_notify(%s, '')", [self._channel])
        except Exception as error:  # noqa: BLE001  (reported by whoever asked for the call)
            self.error = error
        else:
            self._called_at = time.monotonic()
        finally:
            connections.close_all()
