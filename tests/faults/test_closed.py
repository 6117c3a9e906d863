"""A closed site from which things are taken away while it runs."""

from __future__ import annotations

import itertools

import pytest

from tests.faults.faults import (
    OF_REDIS,
    OF_THE_DATABASE,
    Fault,
    accounts_locked,
    all_tables_locked,
    database_hangs,
    name_of,
)
from tests.faults.report import Report
from tests.faults.site import (
    BACK_WITHIN,
    ONE_WAIT,
    P99_WITHIN,
    POLL,
    FaultySite,
    p99_of_the_page,
    visitors_of,
    wrong,
)
from tests.faults.visitors import Ask, Reply, burst

pytestmark = [pytest.mark.timed, pytest.mark.servers("postgresql", "redis")]


@pytest.fixture(scope="module", autouse=True)
def _closed(running: FaultySite) -> None:
    running.close()


@pytest.fixture(scope="module")
def usual(running: FaultySite, report: Report) -> dict[str, float]:
    """What 99 of 100 wait on this machine while nothing is wrong: in a crowd that leaves the
    login door alone, and in one that does not.

    Two hundred visitors at one moment are a queue, also for the page.
    """
    running.visit()  # so that nothing is done for the first time
    found = {}
    for name, at_door in (("nothing, nobody at the door", False), ("nothing", True)):
        asks = visitors_of(running.cookies, 300)
        crowd = [ask for ask in asks if at_door or ask.path != "/login/"][:200]
        replies = [reply for _ in range(3) for reply in burst(running.server.port, crowd)]
        report.add(name, running.server.kind, replies, note="for comparison")
        assert list(wrong(replies)) == []
        found[name] = p99_of_the_page(replies)
    return found


@pytest.mark.parametrize("fault", OF_THE_DATABASE, ids=name_of)
def test_without_the_database_everybody_gets_the_page_at_once_and_all_is_well_soon_after(
    site: FaultySite, fault: Fault, usual: dict[str, float], report: Report
) -> None:
    survive(site, fault, usual["nothing, nobody at the door"], report)


@pytest.mark.parametrize("running", ["gunicorn"], indirect=True)
@pytest.mark.parametrize("fault", [all_tables_locked, *OF_REDIS], ids=name_of)
def test_whatever_else_happens_everybody_gets_the_page_at_once_and_all_is_well_soon_after(
    site: FaultySite, fault: Fault, usual: dict[str, float], report: Report
) -> None:
    # With the database at hand the door is open, and whoever goes there has the queue wait.
    survive(site, fault, usual["nothing"], report)


def survive(site: FaultySite, fault: Fault, usual: float, report: Report) -> None:
    """Nobody gets anything but the page during *fault*, nor waits long for it, where *usual* is
    what 99 of 100 wait without it.
    """
    # The promised time is made of the page's own and one wait for the database. Where the page's
    # own is longer, because this machine is slow or busy, the wait is what there is to judge.
    bound = max(P99_WITHIN, usual + ONE_WAIT)
    rows = []
    for attempt in (1, 2):
        replies, back = _suffer(site, fault)
        note = f"attempt {attempt}"
        rows.append(report.add(name_of(fault), site.server.kind, replies, back=back, note=note))
        assert list(wrong(replies)) == []
        # Only how long it took gets a second chance: another process of this machine may have had
        # the processor for the tenth of a second that makes the difference.
        if p99_of_the_page(replies) < bound and back <= BACK_WITHIN:
            return
    pytest.fail(f"Slower than {bound:.2f} s or not well within {BACK_WITHIN} s, twice: {rows}")


def _suffer(site: FaultySite, fault: Fault) -> tuple[list[Reply], float]:
    """What visitors get from the first moment of *fault* until every process has noticed it, and
    how many seconds after its end all is well.
    """
    with fault(site):
        replies = site.visit()
        replies += site.visits_during(POLL + 0.5)
        replies += site.visit()
    return replies, site.seconds_until_well()


@pytest.mark.parametrize("fault", [accounts_locked, database_hangs], ids=name_of)
def test_a_pass_opens_nothing_while_nobody_can_be_looked_up(
    site: FaultySite, fault: Fault, usual: dict[str, float], report: Report
) -> None:
    holders = {"a stolen pass": site.thief, "an administrator": site.administrator}
    asks = [
        Ask(holder, path, cookies=cookies)
        for path, (holder, cookies) in itertools.product(("/", "/orders/"), holders.items())
    ]
    with fault(site):
        replies = burst(site.server.port, asks) + burst(site.server.port, asks)
    back = site.seconds_until_well()
    row = report.add(f"{name_of(fault)}, with a pass", site.server.kind, replies, back=back)
    assert list(wrong(replies)) == []
    assert back <= BACK_WITHIN
    # Each worker may lose one wait, and those behind it in a worker's queue with it.
    assert max(reply.seconds for reply in replies) < usual["nothing"] + 2 * ONE_WAIT, row
