"""Workers that are born while the database is away: what they know, this host has told them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.demo_server import until
from tests.faults.faults import Fault, database_hangs, database_stopped, name_of
from tests.faults.report import Report
from tests.faults.site import BACK_WITHIN, POLL, FaultySite, wrong
from tests.faults.visitors import REAL_PAGE, Reply

pytestmark = [pytest.mark.timed, pytest.mark.servers("postgresql", "redis")]


@pytest.fixture(autouse=True)
def _closed(running: FaultySite) -> None:
    running.close()


def copy_of(site: FaultySite) -> Path:
    """The file in which this host keeps what was last known."""
    found = list((site.server.directory / "state").glob("copy-*.json"))
    assert len(found) == 1, found
    return found[0]


def said_by(replies: list[Reply]) -> str:
    """The text of the page that visitors got."""
    return next(reply.text for reply in replies if reply.ask.path == "/maintenance/")


@pytest.mark.parametrize("running", ["gunicorn", "uvicorn"], indirect=True)
@pytest.mark.parametrize("fault", [database_stopped, database_hangs], ids=name_of)
def test_workers_that_are_born_without_the_database_are_closed_and_know_why(
    site: FaultySite, fault: Fault, report: Report
) -> None:
    with fault(site):
        site.replace_workers()
        first = site.visit(12)
        replies = first + site.visit() + site.visits_during(POLL + 0.5)
    back = site.seconds_until_well()
    report.add(f"{name_of(fault)}, workers replaced", site.server.kind, replies, back=back)
    assert list(wrong(replies)) == []
    assert REAL_PAGE in said_by(replies)
    assert back <= BACK_WITHIN


def deleted(copy: Path) -> None:
    copy.unlink()


def emptied(copy: Path) -> None:
    copy.write_bytes(b"")


def torn(copy: Path) -> None:
    content = copy.read_bytes()
    copy.write_bytes(content[: len(content) // 2])


def of_a_newer_version(copy: Path) -> None:
    content = copy.read_bytes()
    assert b'"version": 1' in content
    copy.write_bytes(content.replace(b'"version": 1', b'"version": 2', 1))


@pytest.mark.parametrize("running", ["gunicorn"], indirect=True)
@pytest.mark.parametrize(
    "damage", [deleted, emptied, torn, of_a_newer_version], ids=lambda damage: damage.__name__
)
def test_a_copy_that_cannot_be_used_opens_nothing(
    site: FaultySite, damage: Callable[[Path], None], report: Report
) -> None:
    copy = copy_of(site)
    with database_stopped(site):
        damage(copy)
        # Of those that know, and of those that have to ask the file.
        replies = site.visit(48)
        site.replace_workers()
        replies += site.visit(48)
    back = site.seconds_until_well()
    name = f"database stopped, copy {damage.__name__.replace('_', ' ')}, workers replaced"
    report.add(name, site.server.kind, replies, back=back)
    assert list(wrong(replies)) == []
    assert back <= BACK_WITHIN


@pytest.mark.parametrize("running", ["gunicorn"], indirect=True)
def test_an_older_copy_that_says_open_is_put_right_by_those_who_know_better(
    site: FaultySite, report: Report
) -> None:
    copy = copy_of(site)
    closed = copy.read_bytes()
    site.server.open()
    older = until(lambda: None if copy.read_bytes() == closed else copy.read_bytes(), 5, "a copy")
    site.close()
    until(lambda: None if copy.read_bytes() == older else True, 5, "a newer copy")
    with database_stopped(site):
        copy.write_bytes(older)
        replies = site.visits_during(POLL + 0.5)
        site.replace_workers()
        replies += site.visit(48)
    back = site.seconds_until_well()
    name = "database stopped, copy of a lower epoch, workers replaced"
    report.add(name, site.server.kind, replies, back=back)
    assert list(wrong(replies)) == []
