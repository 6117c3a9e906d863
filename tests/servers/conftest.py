"""Real servers with the demo's own settings: what is measured here is what `make demo` does."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.demo_server import KINDS, DemoServer, serving


@pytest.fixture(scope="session")
def new_directory(
    prepared_demo: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """Make a directory with a demo that was set up."""

    def make(name: str) -> Path:
        directory = tmp_path_factory.mktemp(name) / "demo"
        shutil.copytree(prepared_demo, directory)
        return directory

    return make


@pytest.fixture(scope="session", params=KINDS)
def server(
    request: pytest.FixtureRequest, new_directory: Callable[[str], Path]
) -> Iterator[DemoServer]:
    """The demo on each kind of server, one after the other."""
    kind: str = request.param
    with serving(kind, new_directory(kind)) as running:
        yield running


@pytest.fixture
def site(server: DemoServer) -> Iterator[DemoServer]:
    """The site, open and with nothing but defaults. Whoever comes next puts it back."""
    start = server.log_size()
    server.reset()
    yield server
    # pytest shows this for a test that failed.
    print(server.words(start))  # noqa: T201


@pytest.fixture(scope="module")
def closed_site(server: DemoServer) -> Iterator[DemoServer]:
    """The site, closed for all tests of a module that change nothing."""
    server.reset()
    server.close(message="Moving house", until=None)
    yield server
    server.reset()
