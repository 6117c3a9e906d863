"""Servers with a database and a Redis of their own, one kind of server after the other."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.database_servers import PostgreSQL, Redis
from tests.demo_server import ROOT, serving, set_up
from tests.faults.report import Report
from tests.faults.site import SETTINGS, FaultySite
from tests.faults.writers.crew import Crew, crew, prepared

SiteMaker = Callable[..., AbstractContextManager[FaultySite]]
CrewMaker = Callable[..., AbstractContextManager[Crew]]

THREADED = ("gunicorn-gthread", "postgresql")
"""What serves most of the tests in which somebody waits until all is quiet."""

KINDS = ("gunicorn", "uvicorn", "gunicorn-sync")
"""In this order also where a test names fewer: then pytest starts each of them only once."""


@pytest.fixture(scope="session")
def report() -> Iterator[Report]:
    """What this run measures."""
    report = Report()
    yield report
    report.write(ROOT / "var")


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgreSQL]:
    """A PostgreSQL that runs whenever no test has stopped it."""
    with PostgreSQL(tmp_path_factory.mktemp("postgresql")) as running:
        yield running


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """A Redis that runs whenever no test has stopped it."""
    with Redis(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(scope="session")
def template(postgresql: PostgreSQL, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a demo that was set up in the database ``template_site``."""
    directory = tmp_path_factory.mktemp("site") / "prepared"
    set_up(directory, SETTINGS, DATABASE_URL=postgresql.create_database("template_site"))
    return directory


@pytest.fixture(scope="session")
def new_site(
    postgresql: PostgreSQL,
    redis_server: Redis,
    template: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> SiteMaker:
    """What starts a demo of its own, given a kind of server and more environment variables."""

    @contextmanager
    def start(kind: str, **environment: str) -> Iterator[FaultySite]:
        directory = tmp_path_factory.mktemp(kind) / "demo"
        shutil.copytree(template, directory)
        name = f"site_{directory.parent.name.replace('-', '_')}"
        more = {
            "DATABASE_URL": postgresql.create_database(name, "template_site"),
            "REDIS_URL": redis_server.url,
            **environment,
        }
        try:
            with serving(kind, directory, SETTINGS, **more) as server:
                yield FaultySite(server, postgresql, name, redis_server)
        finally:
            postgresql.start()
            postgresql.drop_database(name)

    return start


@pytest.fixture(scope="session", params=KINDS)
def running(request: pytest.FixtureRequest, new_site: SiteMaker) -> Iterator[FaultySite]:
    """The demo on each kind of server, one after the other."""
    with new_site(request.param) as site:
        yield site


@pytest.fixture
def site(running: FaultySite) -> Iterator[FaultySite]:
    """The site; if a test fails, what its server said."""
    start = running.server.log_size()
    yield running
    # pytest shows this for a test that failed.
    print(running.server.words(start)[-20_000:])  # noqa: T201


@pytest.fixture(scope="session")
def new_crew(postgresql: PostgreSQL, tmp_path_factory: pytest.TempPathFactory) -> CrewMaker:
    """What starts a site whose visitors write, given a kind of server and a kind of database."""
    templates: dict[str, Path] = {}

    def template(store: str) -> Path:
        if store not in templates:
            directory, more = tmp_path_factory.mktemp("writers") / store, {}
            if store == "postgresql":
                more["DATABASE_URL"] = postgresql.create_database("template_writers")
            templates[store] = prepared(directory, **more)
        return templates[store]

    @contextmanager
    def start(kind: str, store: str, **environment: str) -> Iterator[Crew]:
        directory = tmp_path_factory.mktemp(f"writers-{kind}") / "site"
        shutil.copytree(template(store), directory)
        name = directory.parent.name.replace("-", "_")
        if store == "postgresql":
            environment["DATABASE_URL"] = postgresql.create_database(name, "template_writers")
        try:
            with crew(kind, directory, **environment) as made:
                yield made
                # pytest shows this for a test that failed.
                print(made.server.words()[-20_000:])  # noqa: T201
        finally:
            if store == "postgresql":
                postgresql.drop_database(name)

    return start


@pytest.fixture(scope="session")
def threaded(new_crew: CrewMaker) -> Iterator[Crew]:
    """A site whose visitors write, started once for all tests that do not choose a server."""
    with new_crew(*THREADED) as made:
        yield made
