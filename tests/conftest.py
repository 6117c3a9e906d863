"""What holds for the whole suite: which tests this machine can run, and in which order."""

from __future__ import annotations

import gc
import itertools
import os
import signal
from collections.abc import Generator, Iterator
from contextvars import copy_context
from functools import partial
from importlib.util import find_spec
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any

import pytest

from backsoon import hostfiles, inflight
from backsoon.gate import gate
from backsoon.http import documents, pages, tell_me, turnstile
from tests import programs
from tests.chromium import find_chromium, obstacle
from tests.demo_server import set_up
from tests.leaving_out import leave_out

SERVED = {"browser": {"browser"}, "servers": {"servers", "faults"}}
"""Where the tests of a marker lie. `make test` collects these directories and no others for them:
collecting them all takes longer than many of them.
"""


def pytest_configure() -> None:
    """Let these tests, and processes that they start, be interrupted and hung up on.

    A shell starts what runs in the background with SIGINT ignored, nohup starts everything with
    SIGHUP ignored, and children inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests go last.

    Playwright's synchronous API keeps an event loop running in this thread until the session ends,
    and Django refuses database access from a thread with a running loop.
    """
    for item in items:
        for marker, directories in SERVED.items():
            if item.get_closest_marker(marker) and item.path.parent.name not in directories:
                raise pytest.UsageError(
                    f"{item.nodeid} is marked {marker}; so it belongs elsewhere"
                )
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)


def pytest_collection_finish() -> None:
    """Spare the collector of garbage what lives to the end: half a million objects, each time."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave out, aloud, what this machine cannot run. With CI=true nothing is left out."""
    reason = _missing(item)
    if reason is not None:
        leave_out(reason)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Let nothing that a test leaves in its context slow down those that follow.

    Each URL resolver that a test makes leaves a variable behind, and asgiref goes through all of
    them whenever it goes from async code to sync code or back.
    """
    function = pyfuncitem.obj
    if not iscoroutinefunction(function):  # pytest says what it thinks of those
        pyfuncitem.obj = partial(copy_context().run, function)
    try:
        return (yield)
    finally:
        pyfuncitem.obj = function


def _missing(item: pytest.Item) -> str | None:
    """Why this test cannot run here, as a sentence; None when it can."""
    if item.get_closest_marker("browser"):
        return obstacle()
    needed: list[str] = []
    for marker in item.iter_markers("servers"):
        for server in ("gunicorn", "uvicorn"):
            if find_spec(server) is None:
                return f"{server} is not installed: run `make test`."
        needed += marker.args
    return next((reason for name in needed if (reason := programs.obstacle(name))), None)


_numbers = itertools.count()


@pytest.fixture(autouse=True)
def _no_memory_of_other_tests(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Each test begins with a process that knows nothing yet, on a host that knows nothing."""
    directory = tmp_path_factory.getbasetemp() / f"state-{next(_numbers)}"
    monkeypatch.setattr(hostfiles, "default_directory", lambda: directory)
    gate.forget()
    pages.shelf.clear()
    documents.forget()
    turnstile.renew_all()
    tell_me.clear()
    yield
    gate.forget()
    # A unit that is never counted out keeps whoever closes the site waiting for ever.
    assert not {**inflight.UNITS, **inflight.READERS, **inflight.APART}


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """Start the system's Chromium instead of one that Playwright would have to download."""
    # Chromium's own sandbox refuses to run as root, which is who runs tests in a container.
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    quiet = [
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    ]
    return {
        **browser_type_launch_args,
        "executable_path": find_chromium(),
        "args": [*browser_type_launch_args.get("args", []), *sandbox, *quiet],
    }


@pytest.fixture(scope="session")
def prepared_demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo that was set up once; each server gets a copy of it."""
    directory = tmp_path_factory.mktemp("demo") / "prepared"
    set_up(directory)
    return directory
