"""What is stored about the closure is damaged, lost, or older than what is known."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.database_servers import USER, program
from tests.demo_server import HOST, until
from tests.faults.report import Report
from tests.faults.site import BACK_WITHIN, POLL, FaultySite, wrong
from tests.faults.visitors import Ask

pytestmark = [
    pytest.mark.timed,
    pytest.mark.servers("postgresql", "redis"),
    # What is read from the database is the same on every server.
    pytest.mark.parametrize("running", ["gunicorn"], indirect=True),
]

CONTROL = "backsoon_maintenance"


def sql(site: FaultySite, *statements: str) -> None:
    """Carry out what somebody types into psql."""
    for statement in statements:
        site.postgresql.execute(statement, database=site.database)


def garbage(site: FaultySite) -> None:
    sql(
        site,
        f"ALTER TABLE {CONTROL} DROP CONSTRAINT backsoon_maintenance_known_mode",
        f"UPDATE {CONTROL} SET mode = '%&/()', revision = revision + 1",
    )


def deleted(site: FaultySite) -> None:
    sql(site, f"DELETE FROM {CONTROL}")


def truncated(site: FaultySite) -> None:
    sql(site, f"TRUNCATE {', '.join(site.tables('backsoon_'))} CASCADE")


def dropped(site: FaultySite) -> None:
    sql(site, f"DROP TABLE {', '.join(site.tables('backsoon_'))} CASCADE")


def epoch_lowered(site: FaultySite) -> None:
    sql(
        site,
        f"UPDATE {CONTROL} SET epoch = 0, revision = 0, mode = 'open'",
        "UPDATE backsoon_systemsetting SET value = 'false' WHERE key = 'maintenance_mode'",
    )


def backup(site: FaultySite) -> str:
    """Our tables as text, as pg_dump writes them."""
    done = subprocess.run(
        [
            *(program("pg_dump"), "--clean", "--if-exists", "--table=backsoon_*"),
            *("-h", HOST, "-p", str(site.postgresql.port), "-U", USER, site.database),
        ],
        capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    return done.stdout


def restore(site: FaultySite, dump: str) -> None:
    """Put back what :func:`backup` saved."""
    subprocess.run(
        [
            *(program("psql"), "-q", "--single-transaction", "-v", "ON_ERROR_STOP=1"),
            *("-h", HOST, "-p", str(site.postgresql.port), "-U", USER, site.database),
        ],
        input=dump, capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip


def settle(site: FaultySite) -> None:
    """Wait until the workers, who know better than a database that was set back, have told it."""

    def all_agree() -> bool | None:
        [(revision,)] = site.postgresql.execute(
            f"SELECT revision FROM {CONTROL}", database=site.database
        )
        return True if {answer.revision for answer in site.server.ask()} == {revision} else None

    until(all_agree, 15, "the workers and the database at one revision")


@contextmanager
def as_it_was(site: FaultySite) -> Iterator[None]:
    """At the end our tables are what they were at the beginning."""
    before = backup(site)
    try:
        yield
    finally:
        restore(site, before)
        settle(site)


def visit_and_open(site: FaultySite, report: Report, name: str) -> None:
    """Nobody but administrators comes in until somebody opens the site, and then everybody."""
    replies = site.visit(48) + site.visits_during(POLL + 0.5) + site.visit(48)
    site.replace_workers()
    replies += site.visit(48)
    report.add(name, site.server.kind, replies)
    assert list(wrong(replies)) == []


@pytest.mark.parametrize(
    "damage", [garbage, deleted, truncated, dropped, epoch_lowered], ids=lambda d: d.__name__
)
def test_a_damaged_control_row_opens_nothing(
    site: FaultySite, damage: Callable[[FaultySite], None], report: Report
) -> None:
    site.close()
    with as_it_was(site):
        damage(site)
        name = f"control row: {damage.__name__.replace('_', ' ')}, then workers replaced"
        visit_and_open(site, report, name)
    assert site.seconds_until_well() <= BACK_WITHIN


def test_a_backup_that_says_open_opens_nothing_until_somebody_opens(
    site: FaultySite, report: Report
) -> None:
    site.server.open()
    older = backup(site)
    site.close()
    restore(site, older)
    visit_and_open(site, report, "database restored from a backup that says open")
    site.server.manage("maintenance", "off")
    assert site.seconds_until_each_worker_says(Ask("nobody", "/"), 200) <= BACK_WITHIN
