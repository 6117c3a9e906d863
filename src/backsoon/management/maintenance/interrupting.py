"""SIGTERM and SIGHUP that do as Ctrl-C does, where they would end us without a word."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = tuple(
    number for name in ("SIGTERM", "SIGHUP") if (number := getattr(signal, name, None)) is not None
)
"""What service managers and terminals that go away send."""


@contextmanager
def as_ctrl_c() -> Iterator[None]:
    """Let :data:`ENDING` raise ``KeyboardInterrupt``, but only where nobody handles them yet.

    Whoever has us ignore them, as nohup does, means it. In a thread signals are the affair of the
    program that called us there.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    unhandled = [number for number in ENDING if signal.getsignal(number) is signal.SIG_DFL]
    try:
        for number in unhandled:
            signal.signal(number, _interrupt)
        yield
    finally:
        for number in unhandled:
            signal.signal(number, signal.SIG_DFL)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
