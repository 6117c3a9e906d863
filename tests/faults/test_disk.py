"""The disk is full, or nobody may write to it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.demo_server import DemoServer, environment, manage, serving
from tests.faults.conftest import SiteMaker
from tests.faults.disk import Disk, obstacle
from tests.faults.faults import database_stopped
from tests.faults.report import Report
from tests.faults.site import BACK_WITHIN, POLL, SETTINGS, FaultySite, visitors_of, wrong
from tests.faults.visitors import REAL_PAGE, Ask, burst
from tests.leaving_out import leave_out

pytestmark = [pytest.mark.timed, pytest.mark.servers("postgresql", "redis")]

DiskFault = Callable[[Disk], AbstractContextManager[None]]

FAULTS = {"full": Disk.full, "read-only": Disk.read_only}

NOBODY = Ask("nobody", "/quiet/")


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disk]:
    """A disk of its own."""
    reason = obstacle()
    if reason is not None:
        leave_out(reason)
    with Disk(tmp_path_factory.mktemp("disk") / "mounted") as mounted:
        yield mounted


# -- The disk of the last-known copy ---------------------------------------------------------------


@pytest.fixture(scope="module")
def site(new_site: SiteMaker, disk: Disk) -> Iterator[FaultySite]:
    """A site that keeps what was last known on the disk."""
    with new_site("gunicorn", FAULTS_STATE_DIR=str(disk.path / "state")) as site:
        yield site


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_closure_that_cannot_be_kept_on_the_disk_is_a_closure_none_the_less(
    site: FaultySite, disk: Disk, fault: DiskFault, report: Report
) -> None:
    site.server.open()
    with fault(disk):
        site.close()
        replies = site.visit(48) + site.visits_during(POLL + 0.5)
        # What the disk remembers is from before the closure.
        with database_stopped(site):
            site.replace_workers()
            replies += site.visit(48)
    back = site.seconds_until_well()
    name = f"disk of the copy {name_of(fault)}, then database stopped and workers replaced"
    report.add(name, site.server.kind, replies, back=back)
    assert list(wrong(replies)) == []
    assert back <= BACK_WITHIN


def name_of(fault: DiskFault) -> str:
    """The fault's name, in words."""
    return next(name for name, known in FAULTS.items() if known is fault)


# -- The disk of an SQLite database ----------------------------------------------------------------


@pytest.fixture
def own(prepared_demo: Path, disk: Disk, tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """The directory of a demo whose database is on the disk, and the environment that says so."""
    directory = tmp_path / "demo"
    shutil.copytree(prepared_demo, directory)
    for file in ("demo.sqlite3", "demo.sqlite3-wal", "demo.sqlite3-shm"):
        (disk.path / file).unlink(missing_ok=True)
    shutil.move(directory / "demo.sqlite3", disk.path / "demo.sqlite3")
    return directory, {"DATABASE_URL": f"sqlite:///{disk.path / 'demo.sqlite3'}"}


def everybody_gets_the_page(server: DemoServer, fault: str, report: Report) -> None:
    """Visitors of a closed site, many at once, get the page."""
    replies = burst(server.port, visitors_of({"nobody": "", "a customer": "sessionid=abc"}, 48))
    report.add(fault, server.kind, replies)
    assert list(wrong(replies)) == []
    assert REAL_PAGE in next(r.text for r in replies if r.ask.path == "/maintenance/")


def test_a_database_on_a_full_disk_keeps_the_site_as_it_is_and_says_what_was_not_done(
    own: tuple[Path, dict[str, str]], disk: Disk, report: Report
) -> None:
    directory, variables = own
    with serving("gunicorn", directory, SETTINGS, **variables) as server:
        server.settle(mode="open")  # who has not registered by then has to stay closed
        with disk.full():
            refused = server.manage("maintenance", "on", check=False)
            assert refused.returncode == 5, refused.stderr
            assert "Traceback" not in refused.stderr
            replies = burst(server.port, [NOBODY] * 20)
            assert {reply.text for reply in replies} == {"quiet"}
        server.close(message=REAL_PAGE)
        with disk.full():
            refused = server.manage("maintenance", "off", check=False)
            assert refused.returncode == 5, refused.stderr
            everybody_gets_the_page(server, "SQLite on a full disk", report)
        server.open()


def test_a_server_that_is_started_on_a_read_only_disk_stays_closed(
    own: tuple[Path, dict[str, str]], disk: Disk, report: Report
) -> None:
    directory, variables = own
    manage(
        environment(directory, SETTINGS, **variables), "maintenance", "on", "--message", REAL_PAGE
    )
    with serving("gunicorn", directory, SETTINGS, **variables) as server:
        server.settle(mode="closed")
    with disk.read_only(), serving("gunicorn", directory, SETTINGS, **variables) as server:
        everybody_gets_the_page(server, "SQLite on a read-only disk", report)
