"""Running management commands as a program would, and looking at what came of it."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import OperationalError, connection


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def json(self) -> dict[str, Any]:
        """The one line of the answer."""
        (line,) = self.lines
        answer = json.loads(line)
        assert isinstance(answer, dict)
        return answer


def run(*arguments: str, **options: Any) -> Result:
    """Run ``maintenance`` through ``call_command``."""
    return run_command("maintenance", *arguments, **options)


def run_command(name: str, *arguments: str, **options: Any) -> Result:
    stdout = StringIO()
    try:
        call_command(name, *arguments, stdout=stdout, **options)
    except CommandError as error:
        return Result(error.returncode, stdout.getvalue(), str(error))
    except SystemExit as leaving:
        return Result(exit_code(leaving), stdout.getvalue(), "")
    return Result(0, stdout.getvalue(), "")


def exit_code(leaving: SystemExit) -> int:
    """What the shell would be told."""
    assert isinstance(leaving.code, int)
    return leaving.code


@contextmanager
def failing_database(message: str = "the disk is full") -> Iterator[None]:
    """Let every query fail."""

    def fail(*args: Any) -> Any:
        raise OperationalError(message)

    with connection.execute_wrapper(fail):
        yield


NOON = dt.datetime(2030, 1, 1, 12, tzinfo=dt.UTC)


def stop_the_clock(monkeypatch: pytest.MonkeyPatch, at: dt.datetime = NOON) -> dt.datetime:
    """Let it be noon for the shells, or *at*; the base of each module's fixture ``noon``."""
    monkeypatch.setattr("backsoon.store.utc_now", lambda: at)
    return at
