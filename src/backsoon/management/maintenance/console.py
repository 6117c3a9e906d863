"""What the sub-commands share: their shape, their exit codes and how they speak."""

from __future__ import annotations

import getpass
import json
import os
import socket
from argparse import ArgumentTypeError
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from django.core.management.base import CommandError

from backsoon.models import Change
from backsoon.services import Origin

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from django.core.management.base import OutputWrapper


class ExitCode(IntEnum):
    """What the shell is told. 127 and 130 are what shells use themselves."""

    DONE = 0
    ERROR = 1
    USAGE = 2
    SILENT = 3
    BUSY = 4
    UNREACHABLE = 5
    OVERTAKEN = 6
    CLOSED = 10
    READ_ONLY = 11
    NOT_FOUND = 127
    INTERRUPTED = 130


class SubCommand(Protocol):
    """The shape of a sub-command's module."""

    HELP: str
    FAILURE: str
    """The words that come before the colon when it fails: ``Not closed``."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare its own options; ``--json`` is there already."""

    def run(self, console: Console, options: Mapping[str, Any]) -> None:
        """Do it. May raise what :mod:`backsoon.exceptions` has, and ``CommandError``."""


@dataclass(frozen=True)
class Console:
    """Where a sub-command writes its answer."""

    stdout: OutputWrapper
    as_json: bool = False
    stderr: OutputWrapper | None = None

    @property
    def beside(self) -> Console:
        """One that leaves the standard output to somebody else."""
        return self if self.stderr is None else replace(self, stdout=self.stderr)

    def answer(self, data: Mapping[str, Any], lines: Iterable[str]) -> None:
        """Write *data* as one line of JSON, or *lines* for people."""
        if self.as_json:
            _put(self.stdout, json.dumps(data))
            return
        _write(self.stdout, lines)

    def tell(self, lines: Iterable[str]) -> None:
        """Write *lines* about what goes on, at once; an answer in JSON must not be mixed with it.

        Nothing is written where that leaves no place.
        """
        out = self.stderr if self.as_json else self.stdout
        if out is not None:
            _write(out, lines)


def _write(out: OutputWrapper, lines: Iterable[str]) -> None:
    encoding = getattr(out, "encoding", None) or "utf-8"
    for line in lines:
        _put(out, printable(line).encode(encoding, "backslashreplace").decode(encoding))


def _put(out: OutputWrapper, text: str) -> None:
    try:
        out.write(text, style_func=str)  # without a style: what is told here is no error
        out.flush()
    except BrokenPipeError:
        # Whoever read has gone, as `head` does. What is done, and the exit code, must not depend
        # on that; nor may the interpreter complain when it flushes at its end.
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), out.fileno())


def printable(text: str) -> str:
    """*text* without what could steer a terminal.

    Reasons, messages and paths come from people; what they tell of is stored or running by the time
    they are shown, so showing them must neither fail nor do harm.
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def usage_error(message: str) -> CommandError:
    """An error in what was typed."""
    return CommandError(message, returncode=ExitCode.USAGE)


def plain_text(text: str) -> str:
    """Text that can be stored: an argparse type for what people type."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ArgumentTypeError("this is not text in the encoding of the terminal") from None
    if "\x00" in text:
        raise ArgumentTypeError("null characters are not allowed")
    return text


def origin() -> Origin:
    """Who types, as the history shall keep it: ``deploy@web1``."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number that has no name
        user = f"uid {os.getuid()}"
    return Origin(name=f"{user}@{socket.gethostname()}", channel=Change.Channel.COMMAND)
