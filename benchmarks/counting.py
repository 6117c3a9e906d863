"""Counting what a request should not cause: queries, and changes of thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from asgiref.sync import AsyncToSync, SyncToAsync
from django.db.backends.utils import CursorWrapper


@dataclass
class Seen:
    """What was counted."""

    queries: int = 0
    hops: int = 0


@contextmanager
def counted() -> Iterator[Seen]:
    """Count in all threads but Backsoon's own, which is off the request path."""
    seen = Seen()
    execute = CursorWrapper._execute_with_wrappers  # type: ignore[attr-defined]  # private
    to_async, to_sync = SyncToAsync.__call__, AsyncToSync.__call__

    def query(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not threading.current_thread().name.startswith("backsoon"):
            seen.queries += 1
        return execute(self, *args, **kwargs)

    async def into_thread(self: Any, *args: Any, **kwargs: Any) -> Any:
        seen.hops += 1
        return await to_async(self, *args, **kwargs)

    def into_loop(self: Any, *args: Any, **kwargs: Any) -> Any:
        seen.hops += 1
        return to_sync(self, *args, **kwargs)

    with (
        patch.object(CursorWrapper, "_execute_with_wrappers", query),
        patch.object(SyncToAsync, "__call__", into_thread),
        patch.object(AsyncToSync, "__call__", into_loop),
    ):
        yield seen
