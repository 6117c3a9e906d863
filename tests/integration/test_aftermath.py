"""What processes count around a closure, what is stored of it, and the watch after the opening."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client, override_settings

from backsoon import aftermath, services, store, tallies
from backsoon.aftermath import Aftermath
from backsoon.core.state import resolve_state
from backsoon.core.watch import Share
from backsoon.exceptions import StoreUnavailableError
from backsoon.models import Change, Tally
from backsoon.signals import trouble_after_opening
from backsoon.tallies import Refused
from backsoon.testing import give_pass, override_maintenance
from tests.guarded_apps import wsgi
from tests.visitors import PASSWORD, Visitor

pytestmark = pytest.mark.django_db

NOON = dt.datetime(2030, 1, 1, 12, tzinfo=dt.UTC)


@pytest.fixture(autouse=True)
def _nothing_counted() -> Iterator[None]:
    tallies.clear()
    yield
    tallies.clear()


def counted() -> dict[str, int]:
    return {who.value: number for (_since, who), number in tallies.take_refused().items()}


# -- On the request path ------------------------------------------------------------------------


def test_an_open_site_counts_what_it_answers_and_what_fails(visitor: Visitor) -> None:
    visitor.client.raise_request_exception = False
    visitor.get("/")
    visitor.get("/nowhere/")
    visitor.get("/broken/")
    assert tallies.totals() == (3, 1)


def test_a_site_that_is_not_open_counts_whom_it_turns_away(visitor: Visitor) -> None:
    with override_maintenance():
        visitor.get("/", headers={"accept": "text/html"})
        visitor.post("/account/")
        visitor.get("/api/", headers={"accept": "application/json"})
        visitor.get("/maintenance/")  # where they were sent
        visitor.get("/maintenance/status.json")  # and wait
        visitor.get("/healthy/")  # and who gets by
    assert counted() == {"pages": 2, "programs": 1}
    assert tallies.totals() == (0, 0)


def test_a_login_that_is_refused_is_counted_as_one(visitor: Visitor, bob: User) -> None:
    with override_maintenance():
        visitor.post("/login/", {"username": "bob", "password": PASSWORD})
    assert counted() == {"logins": 1}


def test_an_administrator_is_not_turned_away(root: User) -> None:
    client = Client()
    client.force_login(root)
    give_pass(client, root)
    with override_maintenance():
        assert client.get("/").status_code == 200
    assert counted() == {}


def test_who_brings_a_pass_that_is_worth_nothing_is_counted_once(bob: User) -> None:
    client = Client()
    client.force_login(bob)
    give_pass(client, bob)
    with override_maintenance():
        assert client.get("/").status_code == 302
    assert counted() == {"pages": 1}


def _start(*args: Any) -> Any:
    pass


def test_the_guard_counts_as_the_middleware_does() -> None:
    environ = {
        "REQUEST_METHOD": "GET", "PATH_INFO": "/", "SERVER_NAME": "testserver", "SERVER_PORT": "80",
        "wsgi.url_scheme": "http", "HTTP_HOST": "testserver",
    }  # fmt: skip
    with override_maintenance():
        wsgi(dict(environ), _start)
        wsgi({**environ, "HTTP_ACCEPT": "application/json"}, _start)
        wsgi({**environ, "PATH_INFO": "/maintenance/"}, _start)
    assert counted() == {"pages": 1, "programs": 1}


# -- What is stored -----------------------------------------------------------------------------


class Process:
    """A process whose clock only tests move."""

    def __init__(self) -> None:
        self.aftermath = Aftermath()

    def looks(self, now: dt.datetime, requests: int = 0, failures: int = 0) -> None:
        for _ in range(requests):
            tallies.answered()
        for _ in range(failures):
            tallies.failed()
        snapshot = store.load()
        self.aftermath.look(snapshot, resolve_state(snapshot.policy, snapshot.windows, now), now)


def at(minutes: float) -> dt.datetime:
    return NOON + dt.timedelta(minutes=minutes)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Moves the clock of the services."""

    def move(now: dt.datetime) -> None:
        monkeypatch.setattr("backsoon.store.utc_now", lambda: now)

    move(NOON)
    return move


def test_the_minutes_before_a_closure_and_after_an_opening_are_stored(clock: Any) -> None:
    process = Process()
    for minute in range(-30, 0):
        process.looks(at(minute), requests=10)
    services.close_site()
    process.looks(at(0), requests=5, failures=2)
    process.looks(at(0.5), requests=0)
    clock(at(60))
    services.open_site()
    process.looks(at(61), requests=40, failures=1)
    process.looks(at(69), requests=40, failures=3)
    process.looks(at(90), requests=7)  # came in time or not, nobody knows
    process.looks(at(91), requests=1000, failures=1000)
    process.aftermath.flush()

    closed, opened = Tally.objects.all()
    assert (closed.kind, closed.at) == ("closed", NOON)
    assert (closed.requests, closed.failures) == (10 * 10 + 5, 2)
    assert (opened.kind, opened.at) == ("opened", at(60))
    assert (opened.requests, opened.failures) == (87, 4)


def test_processes_add_up_and_refusals_with_them(clock: Any) -> None:
    services.close_site()
    for _ in range(2):
        process = Process()
        tallies.refuse(NOON, Refused.PAGE)
        tallies.refuse(NOON, Refused.LOGIN)
        process.looks(at(1))
        process.aftermath.flush()
    tally = Tally.objects.get()
    assert (tally.pages, tally.programs, tally.logins) == (2, 0, 2)


def test_what_cannot_be_stored_is_stored_later(clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    services.close_site()
    process = Process()
    tallies.refuse(NOON, Refused.PAGE)
    process.looks(at(1))
    with monkeypatch.context() as away:
        away.setattr(aftermath, "add", _fail)
        process.aftermath.flush()
    assert not Tally.objects.exists()
    process.aftermath.flush()
    process.aftermath.flush()
    assert Tally.objects.get().pages == 1


def _fail(*args: Any) -> None:
    raise StoreUnavailableError("the disk is full")


def test_an_open_site_that_nobody_watches_costs_no_query(
    clock: Any, django_assert_num_queries: Any
) -> None:
    process, snapshot = Process(), store.load()
    with django_assert_num_queries(0):
        for minute in range(100):
            tallies.answered()
            state = resolve_state(snapshot.policy, snapshot.windows, at(minute))
            process.aftermath.look(snapshot, state, at(minute))
            process.aftermath.flush_when_due(snapshot, state, at(minute))


def test_without_a_watch_only_refusals_are_stored(clock: Any) -> None:
    with override_settings(BACKSOON={"WATCH_MINUTES": 0}):
        process = Process()
        process.looks(at(-1), requests=10)
        services.close_site()
        tallies.refuse(NOON, Refused.PROGRAM)
        process.looks(at(1), requests=10)
        clock(at(2))
        services.open_site()
        process.looks(at(3), requests=10)
        process.aftermath.flush()
    tally = Tally.objects.get()
    assert (tally.requests, tally.programs) == (0, 1)


# -- The watch ----------------------------------------------------------------------------------


@pytest.fixture
def heard() -> Iterator[list[dict[str, Any]]]:
    told: list[dict[str, Any]] = []

    def hear(**kwargs: Any) -> None:
        told.append(kwargs)

    trouble_after_opening.connect(hear)
    yield told
    trouble_after_opening.disconnect(hear)


def closed_and_opened(clock: Any, after: Share, *, by_the_clock: bool = False) -> Process:
    process = Process()
    process.looks(at(-5))
    if by_the_clock:
        clock(at(-4))
        services.schedule(at(0), at(60))
        process.looks(at(-1), requests=1000, failures=3)
        process.looks(at(0))
        clock(at(61))
    else:
        process.looks(at(-1), requests=1000, failures=3)
        services.close_site()
        process.looks(at(0))
        clock(at(60))
        services.open_site()
    process.looks(at(61), after.requests, after.failures)
    return process


@pytest.mark.parametrize("by_the_clock", [False, True])
def test_when_more_fails_than_before_an_alarm_is_raised_once(
    clock: Any,
    heard: list[dict[str, Any]],
    caplog: pytest.LogCaptureFixture,
    django_capture_on_commit_callbacks: Any,
    *,
    by_the_clock: bool,
) -> None:
    process = closed_and_opened(clock, Share(100, 14), by_the_clock=by_the_clock)
    process.aftermath.flush()
    snapshot = store.load()
    with caplog.at_level(logging.ERROR), django_capture_on_commit_callbacks(execute=True):
        assert aftermath.judge(snapshot, at(60))
        assert not aftermath.judge(snapshot, at(60))
    (told,) = heard
    assert (told["before"], told["after"]) == (Share(1000, 3), Share(100, 14))
    assert "since the site has opened 14 % of requests fail" in caplog.text
    row = Change.objects.get(action=Change.Action.TROUBLE)
    assert row.channel == Change.Channel.SCHEDULE
    assert row.after["failures_after"] == 14
    trouble = aftermath.trouble(snapshot, at(62))
    assert trouble is not None
    assert (trouble.opened_at, trouble.after.percent) == (at(60), 14.0)


def test_when_no_more_fails_than_before_nobody_is_alarmed(clock: Any) -> None:
    process = closed_and_opened(clock, Share(1000, 4))
    process.aftermath.flush()
    assert not aftermath.judge(store.load(), at(60))
    assert aftermath.trouble(store.load(), at(62)) is None


def test_the_watcher_judges_by_itself(clock: Any) -> None:
    process = closed_and_opened(clock, Share(100, 50))
    snapshot = store.load()
    state = resolve_state(snapshot.policy, snapshot.windows, at(61))
    process.aftermath.flush_when_due(snapshot, state, at(61))
    assert Change.objects.filter(action=Change.Action.TROUBLE).count() == 1


def test_an_earlier_closure_does_not_count_as_before(clock: Any) -> None:
    aftermath.add("closed", at(-1000), {"requests": 1000, "failures": 900})
    aftermath.add("opened", at(-900), {"requests": 1000, "failures": 900})
    closed_and_opened(clock, Share(100, 14)).aftermath.flush()
    assert aftermath.shares(at(60))[0] == Share(1000, 3)


def test_the_card_asks_whether_to_close_again_until_somebody_does(
    clock: Any, client: Client, root: User
) -> None:
    closed_and_opened(clock, Share(100, 14)).aftermath.flush()
    aftermath.judge(store.load(), at(60))
    client.force_login(root)
    clock(at(62))
    page = client.get("/admin/").content.decode()
    assert "Since opening 14 % of requests fail; before it was 0.3 %." in page
    services.close_site()
    assert "of requests fail" not in client.get("/admin/").content.decode()
