"""Tasks that a prefork pool has forgotten: to know that none of its processes runs them.

When the connection to the broker breaks, the pool drops what no process has confirmed, because the
broker delivers it again. Such a task may lie in the pipe of a process, or just have begun there,
and nobody will report its end. Two things settle it without a guess:

- Each process holds a shared lock of a common file while it runs a task. Whoever gets the exclusive
  lock knows that at this moment none of them runs one. The kernel frees the lock of a process that
  dies.
- The numbers of dropped tasks stand in memory that all processes share. A process that has taken
  the lock looks there, and leaves out a task that was dropped. Nothing is lost with it: nobody
  acknowledged it.

So a task that was dropped, and noted there, before the exclusive lock was got is not running and
never will be.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

with suppress(ImportError):  # on Windows, where there is no prefork pool either
    import fcntl

SLOTS = 4096
"""How many dropped tasks are remembered. Their numbers follow each other closely."""

_NUMBER = struct.Struct("=Q")

_left_out = (0, None, 0.0)
"""What Celery's tracer says of a task that ended well: nobody will read it."""


class Custody:
    """Made in the main process before it forks; its children inherit it."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="backsoon-")  # noqa: SIM115  (lives as we do)
        self._dropped = mmap.mmap(-1, SLOTS * _NUMBER.size)
        self._last = 0

    # -- In the main process -------------------------------------------------------------------

    def number(self) -> int:
        """A number for one more task."""
        self._last += 1
        return self._last

    def drop(self, number: int) -> None:
        """Let no process begin with the task of this *number*."""
        _NUMBER.pack_into(self._dropped, _place(number), number)

    def covers(self, number: int) -> bool:
        """Whether *number* is noted as dropped, and no later one in its place."""
        noted: int = _NUMBER.unpack_from(self._dropped, _place(number))[0]
        return noted == number

    def is_quiet(self) -> bool:
        """Whether none of the processes runs a task at this moment."""
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        fcntl.lockf(self._file, fcntl.LOCK_UN)
        return True

    # -- In a process of the pool --------------------------------------------------------------

    @contextmanager
    def running(self, number: int) -> Iterator[bool]:
        """Whether the task of this *number* may run; inside, nobody finds the pool quiet."""
        fcntl.lockf(self._file, fcntl.LOCK_SH)
        try:
            yield not self.covers(number)
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN)


_inherited: Custody | None = None


def begin(pool: Any) -> Custody | None:
    """Take the tasks of *pool* into custody before it forks; ``None`` where it does not fork."""
    global _inherited
    forks = sys.platform.startswith("linux") and getattr(pool, "forking_enable", False)
    _inherited = Custody() if forks and hasattr(os, "fork") else None
    return _inherited


def run(number: int, target: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run *target* in a process of the pool, unless the pool has dropped it."""
    if _inherited is None:  # not forked after all, but started afresh
        return target(*args, **kwargs)
    with _inherited.running(number) as may_run:
        return target(*args, **kwargs) if may_run else _left_out


def _place(number: int) -> int:
    return number % SLOTS * _NUMBER.size
