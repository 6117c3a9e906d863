"""Running a command in the foreground, so that signals end it and not just us.

It shares our standard streams, our terminal and our process group: it can ask questions, and Ctrl-Z
stops both. What is typed on a terminal (Ctrl-C, Ctrl-Backslash) goes to the whole group, so it has
got that already; what is sent to us alone is passed on. To be told twice would interrupt it while
it cleans up.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

KEYS = tuple(
    number for name in ("SIGINT", "SIGQUIT") if (number := getattr(signal, name, None)) is not None
)
"""What a terminal sends to everybody in its foreground."""

FORWARDED = (
    *KEYS,
    *(number for name in ("SIGTERM", "SIGHUP") if (number := getattr(signal, name, None))),
)

SIGNALLED = 128
"""What shells add to the number of the signal that ended a command."""


class Child:
    """A command that runs for us."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._command = list(command)
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._waiting: list[int] = []
        """Signals that came before there was anybody to pass them on to."""

    def run(self) -> int:
        """Run it to its end, and say its exit code, as a shell would.

        Raises ``OSError`` when it cannot be started.
        """
        with self._passing_signals_on():
            self._process = subprocess.Popen(self._command, env=self._environment)  # noqa: S603
            while self._waiting:
                self._pass_on(self._waiting.pop(0))
            code = self._process.wait()
        return code if code >= 0 else SIGNALLED - code

    @contextmanager
    def _passing_signals_on(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield  # a program has called us there, and signals are its own affair
            return
        before = {number: signal.getsignal(number) for number in FORWARDED}
        try:
            for number, handler in before.items():
                # Whoever started us may have had us and ours ignore it, as nohup does.
                if handler is not signal.SIG_IGN:
                    signal.signal(number, self._got)
            yield
        finally:
            for number, handler in before.items():
                # None: somebody else than Python set it, and Python cannot bring it back.
                signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _got(self, number: int, frame: FrameType | None) -> None:
        if number in KEYS and is_in_foreground():
            return
        if self._process is None:
            self._waiting.append(number)
        else:
            self._pass_on(number)

    def _pass_on(self, number: int) -> None:
        assert self._process is not None
        try:
            self._process.send_signal(number)
        except (PermissionError, ProcessLookupError):
            return  # it runs as somebody else (sudo), or has ended


def is_in_foreground() -> bool:
    """Whether what is typed on the terminal reaches our process group."""
    if sys.platform == "win32":
        return False
    try:
        terminal = os.open(Path("/dev/tty"), os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False  # there is none
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
