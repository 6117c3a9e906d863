"""Who may reach the database while the site is closed, how many at once, and what a fault gives."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar
from unittest import mock

import pytest
from asgiref.sync import async_to_sync, markcoroutinefunction, sync_to_async
from django.conf import settings
from django.contrib.auth.models import User
from django.core import signing
from django.db import DataError, Error, OperationalError, connection
from django.db.backends.utils import CursorWrapper
from django.http import HttpResponse
from django.test import AsyncRequestFactory, RequestFactory, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import path
from django.utils.deprecation import MiddlewareMixin

from backsoon import limits
from backsoon.core.vocabulary import UserKind
from backsoon.gate import Gate, gate
from backsoon.http import answers, doorway, lookups, passes
from backsoon.http.turnstile import Turnstile
from backsoon.limits import MILLISECONDS
from backsoon.middleware import MaintenanceModeMiddleware
from backsoon.testing import override_maintenance
from tests import urls, views
from tests.visitors import PASSWORD, Visitor

if TYPE_CHECKING:
    from django.http import HttpRequest

pytestmark = pytest.mark.django_db

TIMEOUT = "canceling statement due to statement timeout"

GET_USER = "tests.integration.test_doors_under_limits.{}"


@pytest.fixture
def administrator(visitor: Visitor, root: User) -> Visitor:
    visitor.login(root)
    return visitor


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> None:
    """The watcher knows that the database is away."""
    monkeypatch.setattr(Gate, "store_is_reachable", False)


@contextmanager
def locked_tables() -> Iterator[list[str]]:
    """Every statement fails as if somebody held a lock; yields those that were tried."""
    lost = 0.0
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + lost)

    def wait() -> None:
        nonlocal lost
        lost += MILLISECONDS / 1000

    with (
        mock.patch.object(limits, "time", clock),
        mock.patch.object(lookups, "time", clock),
        failing_statements(OperationalError(TIMEOUT), wait) as tried,
    ):
        yield tried


@contextmanager
def failing_statements(
    error: Error, before: Callable[[], None] = lambda: None
) -> Iterator[list[str]]:
    """Every statement fails with *error*, at once unless *before* waits; yields those tried."""
    tried: list[str] = []

    def fail(cursor: CursorWrapper, sql: str, *args: Any) -> Any:
        tried.append(sql)
        before()
        raise error

    # Below the wrappers that stand around a statement, where the database is.
    with mock.patch.object(CursorWrapper, "_execute", fail):
        yield tried


AT_ONCE = [
    DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes"),
    OperationalError(1267, "Illegal mix of collations"),
]
"""What databases say at once to a session key or a token that somebody made up."""


def assert_refused(response: Any) -> None:
    assert response.status_code in (302, 503)
    assert response["X-Maintenance"] == "closed"


def assert_no_place(response: Any) -> None:
    assert response.status_code == 503
    assert response["X-Maintenance"] == "closed"
    assert response["Retry-After"] == "2"


# -- Passes that are none -----------------------------------------------------------------------


def signed(pk: object, *, salt: str = "backsoon.pass", key: str | None = None) -> str:
    return signing.TimestampSigner(salt=salt, key=key).sign(str(pk))


@pytest.mark.parametrize(
    "forgery",
    [
        "",
        "1",
        "1:2:3",
        "é" * 10,
        "x" * 5_000,
        signed(1, salt="django.contrib.sessions"),
        signed(1, key="another site's key"),
        signed(1)[:-1],
        "2" + signed(1)[1:],
    ],
    # A signature changes with the second, and every worker of the suite has to find the same tests.
    ids=["empty", "1", "1:2:3", "accents", "long", "salt", "key", "cut", "other user"],
)
def test_a_forged_pass_beside_an_administrators_session_admits_nobody_and_costs_no_query(
    administrator: Visitor, forgery: str
) -> None:
    administrator.client.cookies[passes.COOKIE] = forgery
    with override_maintenance(), CaptureQueriesContext(connection) as queries:
        assert_refused(administrator.get("/account/"))
    assert not queries.captured_queries


def test_a_pass_of_another_user_beside_an_ordinary_session_admits_nobody(
    visitor: Visitor, root: User, bob: User
) -> None:
    visitor.login(bob)
    visitor.client.cookies[passes.COOKIE] = signed(root.pk)
    with override_maintenance():
        assert_refused(visitor.get("/account/"))
        assert_refused(visitor.get("/nope/"))


def test_cookies_replayed_after_the_logout_admit_nobody(administrator: Visitor) -> None:
    cookies = {name: morsel.value for name, morsel in administrator.client.cookies.items()}
    assert {settings.SESSION_COOKIE_NAME, passes.COOKIE} <= set(cookies)
    administrator.post("/logout/")
    administrator.client.cookies.load(cookies)
    with override_maintenance():
        assert_refused(administrator.get("/account/"))


def test_cookies_from_before_a_change_of_password_admit_nobody(
    administrator: Visitor, root: User
) -> None:
    root.set_password("another")
    root.save()
    with override_maintenance():
        assert_refused(administrator.get("/account/"))


@pytest.mark.parametrize(
    "engine", ["db", "cached_db", "cache", "file", "signed_cookies"]
)  # fmt: skip
def test_an_ordinary_users_cookie_of_any_engine_costs_no_query(
    visitor: Visitor, bob: User, engine: str, tmp_path: Any
) -> None:
    backend = f"django.contrib.sessions.backends.{engine}"
    with override_settings(SESSION_ENGINE=backend, SESSION_FILE_PATH=str(tmp_path)):
        visitor.login(bob)
        with override_maintenance(), CaptureQueriesContext(connection) as queries:
            for path in ("/", "/account/", "/account/async/", "/nope/", "/maintenance/"):
                assert_refused(visitor.get(path))
                assert_refused(visitor.post(path))
    assert not queries.captured_queries


# -- Looking up the holder of a pass ------------------------------------------------------------


def test_a_look_up_that_fails_gives_the_page_and_is_not_tried_again_for_a_while(
    administrator: Visitor, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(lookups.by_session, "_clock", lambda: now)
    with override_maintenance(), caplog.at_level(logging.WARNING, logger="backsoon"):
        with locked_tables() as tried:
            for _request in range(5):
                assert_refused(administrator.get("/account/"))
            assert len(tried) == 1
            now += lookups.PAUSE_SECONDS
            assert_refused(administrator.get("/account/"))
            assert len(tried) == 2
        assert_refused(administrator.get("/account/"))  # still shut
        now += lookups.PAUSE_SECONDS
        assert administrator.get("/account/").status_code == 200
    (record,) = [r for r in caplog.records if r.name == "backsoon"]
    assert record.getMessage().endswith(f"so they get the page: {TIMEOUT}")


def test_each_outage_is_reported_once(
    administrator: Visitor, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 10_000, 10))
    monkeypatch.setattr(lookups.by_session, "_clock", lambda: next(clock))
    with override_maintenance(), caplog.at_level(logging.WARNING, logger="backsoon"):
        for _outage in range(2):
            with locked_tables():
                assert_refused(administrator.get("/account/"))
                assert_refused(administrator.get("/account/"))
            assert administrator.get("/account/").status_code == 200
    assert len([r for r in caplog.records if r.name == "backsoon"]) == 2


@pytest.mark.parametrize("error", AT_ONCE, ids=lambda error: type(error).__name__)
def test_a_session_key_that_the_database_dislikes_shuts_out_no_administrator(
    administrator: Visitor, error: Error
) -> None:
    with override_maintenance():
        with failing_statements(error) as tried:
            assert_refused(administrator.get("/account/"))
            assert tried
        assert administrator.get("/account/").status_code == 200


def test_a_second_look_up_waits_for_the_first(administrator: Visitor) -> None:
    with override_maintenance():
        assert lookups.by_session.enter()
        leaving = threading.Timer(0.02, lambda: lookups.by_session.leave(fault=False))
        leaving.start()
        assert administrator.get("/account/").status_code == 200
        leaving.join()


def test_a_look_up_that_finds_no_place_in_time_gives_the_page(administrator: Visitor) -> None:
    with override_maintenance(), CaptureQueriesContext(connection) as queries:
        assert lookups.by_session.enter()
        assert_refused(administrator.get("/account/"))
        assert not queries.captured_queries
        lookups.by_session.leave(fault=False)
        assert administrator.get("/account/").status_code == 200


def test_an_exempt_page_comes_without_its_badge_when_nobody_can_be_looked_up(
    administrator: Visitor,
) -> None:
    page = "<!doctype html><title>x</title><body>healthy"
    with override_maintenance(), mock.patch.object(views, "STATE_OF_HEALTH", page):
        assert b"data-backsoon-bar" in administrator.get("/healthy/").content
        with locked_tables() as tried:
            response = administrator.get("/healthy/")
        assert response.content.decode() == page
        assert len(tried) == 1


def test_what_takes_no_badge_costs_no_look_up(administrator: Visitor) -> None:
    exempt = override_settings(BACKSOON={"EXEMPT": ["/api/", "/stream/"]})
    with exempt, override_maintenance(), CaptureQueriesContext(connection) as queries:
        for path in ("/api/", "/stream/", "/maintenance/status.json"):
            assert administrator.get(path).status_code == 200
    assert not queries.captured_queries


def test_in_read_only_mode_look_ups_are_limited_too(administrator: Visitor) -> None:
    with override_maintenance("read_only"), locked_tables() as tried:
        for _request in range(3):
            assert administrator.post("/api/").status_code == 503
    assert len(tried) == 1


# -- The login door -----------------------------------------------------------------------------


@pytest.mark.usefixtures("closed")
@pytest.mark.parametrize("path", ["/login/", "/admin/login/"])
def test_who_finds_two_at_the_door_gets_the_page_and_may_soon_try_again(
    visitor: Visitor, path: str
) -> None:
    assert doorway.door.enter()
    assert doorway.door.enter()
    with CaptureQueriesContext(connection) as queries:
        for method in ("get", "post"):
            response = visitor(method, path)
            assert_no_place(response)
            assert b"Moving house" in response.content
    assert not queries.captured_queries
    doorway.door.leave(fault=False)
    assert visitor.get(path).status_code == 200


@pytest.mark.usefixtures("closed")
def test_a_program_that_finds_no_place_is_told_so_in_json(visitor: Visitor) -> None:
    doorway.door.enter()
    doorway.door.leave(fault=True)
    response = visitor.post("/login/", headers={"accept": "application/json"})
    assert_no_place(response)
    assert json.loads(response.content)["status"] == 503


@pytest.mark.usefixtures("closed")
def test_only_the_door_is_crowded_not_the_page_nor_other_exempt_routes(visitor: Visitor) -> None:
    doorway.door.enter()
    doorway.door.enter()
    assert visitor.get("/healthy/").status_code == 200
    assert visitor.get("/maintenance/status.json").status_code == 200
    assert_refused(visitor.get("/maintenance/"))


@pytest.mark.parametrize("mode", ["open", "read_only"])
def test_while_the_site_is_not_closed_the_door_is_as_wide_as_ever(
    visitor: Visitor, mode: str
) -> None:
    with override_maintenance(mode):
        doorway.door.enter()
        doorway.door.enter()
        assert visitor.get("/login/").status_code == 200


@pytest.mark.usefixtures("bob")
def test_places_come_free_whatever_became_of_the_visit(visitor: Visitor, root: User) -> None:
    with override_maintenance():
        for _round in range(doorway.PLACES + 1):
            assert visitor.get("/login/").status_code == 200
            right = {"username": "bob", "password": PASSWORD}
            assert visitor.post("/login/", right).status_code == 503
            assert visitor.post("/login/", {**right, "password": "wrong"}).status_code == 200
        visitor.login(root)
        assert visitor.get("/account/").status_code == 200


def test_after_a_fault_at_the_door_nobody_goes_down_for_a_while(
    visitor: Visitor, root: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(doorway.door, "_clock", lambda: now)
    visitor.client.raise_request_exception = False
    right = {"username": root.get_username(), "password": PASSWORD}
    with override_maintenance():
        with locked_tables() as tried:
            assert_refused(visitor.post("/login/", right))
            count = len(tried)
            assert count
            for _request in range(5):
                assert_no_place(visitor.post("/login/", right))
            assert len(tried) == count
        now += doorway.PAUSE_SECONDS
        visitor.login(root)


@pytest.mark.parametrize("error", AT_ONCE, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("in_the_view", [True, False], ids=["view", "after the view"])
def test_a_strangers_cookie_that_breaks_a_query_shuts_the_door_to_nobody(
    administrator: Visitor, error: Error, in_the_view: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def greet(view: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return HttpResponse(f"come in {request.user if in_the_view else ''}")

    stranger = Visitor(administrator.kind)
    stranger.client.raise_request_exception = False
    stranger.client.cookies[settings.SESSION_COOKIE_NAME] = "\0aaaaaaaaaaaaaaaaa"
    monkeypatch.setattr("django.contrib.auth.views.LoginView.get", greet)
    with override_maintenance():
        with failing_statements(error) as tried:
            response = stranger.get("/login/")
            # Once: after a view that failed nobody is looked up, whom the same would break.
            assert len(tried) == 1
        assert response.status_code == (302 if in_the_view else 200)
        assert Visitor(administrator.kind).get("/login/").status_code == 200
        assert administrator.get("/account/").status_code == 200


def test_at_the_door_a_broken_page_is_replaced_by_the_built_in_one(
    visitor: Visitor, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError

    right = {"username": bob.get_username(), "password": PASSWORD}
    with override_maintenance():
        monkeypatch.setattr(answers, "page", fail)
        response = visitor.post("/login/", right)
        assert response.status_code == 503
        assert b"<!doctype html>" in response.content.lower()
        assert settings.SESSION_COOKIE_NAME not in response.cookies
        for _place in range(doorway.PLACES):
            assert doorway.door.enter()
        response = visitor.get("/login/")
        assert_no_place(response)
        assert b"<!doctype html>" in response.content.lower()


def test_a_fault_that_the_view_hides_shuts_the_door_as_well(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hide(*args: Any, **kwargs: Any) -> HttpResponse:
        try:
            User.objects.exists()
        except OperationalError:
            return HttpResponse("please come again")
        return HttpResponse("come in")

    monkeypatch.setattr("django.contrib.auth.views.LoginView.get", hide)
    with override_maintenance():
        with locked_tables():
            assert b"please come again" in visitor.get("/login/").content
        assert_no_place(visitor.get("/login/"))


def test_on_the_way_to_the_door_every_statement_is_bounded(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[int] = []

    def look(*args: Any, **kwargs: Any) -> HttpResponse:
        User.objects.exists()  # the limit begins with the first statement
        found.append(connection.connection.execute("PRAGMA busy_timeout").fetchone()[0])
        return HttpResponse("come in")

    monkeypatch.setattr("django.contrib.auth.views.LoginView.get", look)
    with override_maintenance():
        visitor.get("/login/")
    visitor.get("/login/")
    assert found[0] == MILLISECONDS
    assert found[1] > MILLISECONDS


def test_a_visitor_who_goes_away_leaves_the_place_free_and_the_door_open(
    closed: None, db: None
) -> None:
    arrived = asyncio.Event()

    async def stay(request: HttpRequest) -> HttpResponse:
        arrived.set()
        await asyncio.Event().wait()
        raise AssertionError

    markcoroutinefunction(stay)
    middleware: Any = MaintenanceModeMiddleware(stay)

    async def visit() -> None:
        for _visit in range(doorway.PLACES + 1):
            arrived.clear()
            task = asyncio.create_task(middleware(AsyncRequestFactory().get("/login/")))
            await asyncio.wait_for(arrived.wait(), 10)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    async_to_sync(visit)()
    assert doorway.door.enter()
    assert not connection.execute_wrappers


def test_an_exit_of_the_server_in_the_middle_frees_the_place(closed: None, db: None) -> None:
    def end(request: HttpRequest) -> HttpResponse:
        raise SystemExit

    middleware: Any = MaintenanceModeMiddleware(end)
    with pytest.raises(SystemExit):
        middleware(RequestFactory().get("/login/"))
    assert doorway.door.is_shut()
    assert doorway.door._places._value == doorway.PLACES
    assert not connection.execute_wrappers


# -- A database that is known to be away --------------------------------------------------------


@pytest.mark.parametrize("path", ["/account/", "/async/", "/login/", "/admin/login/", "/nope/"])
def test_while_the_database_is_away_nobody_is_sent_down(
    administrator: Visitor, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    with override_maintenance():
        monkeypatch.setattr(Gate, "store_is_reachable", False)
        with CaptureQueriesContext(connection) as queries:
            assert_refused(administrator.get(path))
            assert_refused(administrator.post(path))
    assert not queries.captured_queries


@pytest.mark.usefixtures("closed", "away")
def test_while_the_database_is_away_other_exempt_routes_answer(visitor: Visitor, db: None) -> None:
    assert visitor.get("/healthy/").status_code == 200
    assert visitor.get("/maintenance/status.json").status_code == 200


@pytest.mark.usefixtures("away")
def test_a_view_that_is_always_open_answers_holders_of_a_pass_too(administrator: Visitor) -> None:
    with override_maintenance():
        assert administrator.get("/healthy/").status_code == 200


@pytest.mark.usefixtures("away")
def test_while_open_a_database_that_is_away_changes_nothing_for_us(visitor: Visitor) -> None:
    assert gate.view().state.is_open
    assert visitor.get("/login/").status_code == 200


# -- Tokens -------------------------------------------------------------------------------------

calls: list[str] = []


@pytest.fixture(autouse=True)
def _no_calls() -> None:
    calls.clear()


def strict(request: HttpRequest) -> User | None:
    """As a function does that raises for a token it does not like."""
    name = request.headers.get("Authorization", "")
    calls.append(name)
    return User.objects.get(username=name)


async def strict_async(request: HttpRequest) -> User | None:
    return await sync_to_async(strict)(request)


async def hung(request: HttpRequest) -> User | None:
    calls.append("hung")
    await asyncio.Event().wait()
    return None


def limit_of_the_moment(request: HttpRequest) -> User | None:
    User.objects.exists()
    calls.append(str(connection.connection.execute("PRAGMA busy_timeout").fetchone()[0]))
    return None


async def limit_of_the_moment_async(request: HttpRequest) -> User | None:
    return await sync_to_async(limit_of_the_moment)(request)


def by(function: str) -> override_settings:
    return override_settings(BACKSOON={"GET_USER": GET_USER.format(function)})


def ask(visitor: Visitor, name: str) -> int:
    return int(visitor.get("/account/", headers={"authorization": name}).status_code)


@pytest.mark.parametrize("function", ["strict", "strict_async"])
def test_a_token_that_is_refused_with_an_error_shuts_out_nobody_else(
    visitor: Visitor, root: User, function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookups, "PATIENCE_SECONDS", 60)  # a slow machine is not stuck
    with (
        override_settings(BACKSOON={"GET_USER": GET_USER.format(function)}),
        override_maintenance(),
    ):
        for _request in range(3):
            assert ask(visitor, "nobody") == 302
        assert ask(visitor, "root") == 200


@pytest.mark.parametrize("error", AT_ONCE, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("function", ["strict", "strict_async"])
def test_a_token_that_the_database_dislikes_shuts_out_nobody_else(
    visitor: Visitor, root: User, function: str, error: Error
) -> None:
    with by(function), override_maintenance():
        with failing_statements(error):
            assert ask(visitor, "\0") == 302
        assert ask(visitor, "root") == 200
    assert len(calls) == 2


@pytest.mark.parametrize("function", ["strict", "strict_async"])
def test_after_a_fault_no_token_is_looked_up_for_a_while(
    visitor: Visitor, root: User, function: str, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        override_settings(BACKSOON={"GET_USER": GET_USER.format(function)}),
        override_maintenance(),
    ):
        with locked_tables():
            for _request in range(3):
                assert ask(visitor, "root") == 302
        assert calls == ["root"]
    assert len([r for r in caplog.records if r.name == "backsoon"]) == 1


@pytest.mark.parametrize("function", ["limit_of_the_moment", "limit_of_the_moment_async"])
def test_the_projects_own_function_is_bounded(visitor: Visitor, function: str) -> None:
    with (
        override_settings(BACKSOON={"GET_USER": GET_USER.format(function)}),
        override_maintenance(),
    ):
        assert ask(visitor, "root") == 302
    assert MILLISECONDS / 2 < int(calls[0]) <= MILLISECONDS
    assert not connection.execute_wrappers


@by("hung")
def test_a_coroutine_that_hangs_is_not_waited_for() -> None:
    visitor = Visitor("asgi")
    with override_maintenance():
        assert ask(visitor, "root") == 302
        assert ask(visitor, "root") == 302
    assert calls == ["hung"]


@pytest.mark.usefixtures("away")
@by("strict")
def test_while_the_database_is_away_no_token_is_looked_up(visitor: Visitor, root: User) -> None:
    with override_maintenance():
        assert ask(visitor, "root") == 302
    assert not calls


def test_all_places_taken_means_that_nobody_is_named(
    root: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = Turnstile(1, 1.0)
    assert full.enter()
    monkeypatch.setattr(lookups, "by_token", full)
    with by("strict"):
        request = RequestFactory().get("/", headers={"authorization": "root"})
        assert lookups.token_user(request) == (UserKind.UNKNOWN, None)
        assert async_to_sync(lookups.atoken_user)(request) == (UserKind.UNKNOWN, None)


# -- Layers between the gate and the view -------------------------------------------------------


def limit_in_force() -> int:
    """Milliseconds that this thread waits for a lock at most."""
    User.objects.exists()  # the limit begins with the first statement
    return int(connection.connection.execute("PRAGMA busy_timeout").fetchone()[0])


class Greeter(MiddlewareMixin):
    """As many projects have one: it asks the database about every request."""

    seen: ClassVar[list[int]] = []

    def process_request(self, request: HttpRequest) -> None:
        self.seen.append(limit_in_force())


@pytest.fixture
def seen() -> Iterator[list[int]]:
    """The limits that the greeter found in force."""
    Greeter.seen.clear()
    greeter = f"{__name__}.{Greeter.__name__}"
    with override_settings(MIDDLEWARE=[*settings.MIDDLEWARE, greeter]):
        yield Greeter.seen


@pytest.mark.parametrize("path", ["/account/", "/account/async/", "/nope/"])
def test_above_the_view_a_holder_of_a_pass_waits_no_longer_than_the_limit(
    seen: list[int], administrator: Visitor, path: str
) -> None:
    seen.clear()
    with override_maintenance():
        assert administrator.get(path).status_code in (200, 404)
    assert seen == [MILLISECONDS]
    assert not connection.execute_wrappers


def test_the_view_of_an_administrator_may_take_its_time(administrator: Visitor) -> None:
    in_the_view: list[int] = []

    def watch(request: HttpRequest) -> HttpResponse:
        in_the_view.append(limit_in_force())
        return HttpResponse("ok")

    with override_maintenance(), override_settings(ROOT_URLCONF=urls_with("watched/", watch)):
        assert administrator.get("/watched/").status_code == 200
    assert in_the_view[0] > MILLISECONDS


def test_on_an_exempt_route_a_visitor_with_a_session_is_bounded_above_the_view(
    visitor: Visitor, seen: list[int]
) -> None:
    visitor.client.cookies[settings.SESSION_COOKIE_NAME] = "made-up"
    with override_maintenance():
        assert visitor.get("/healthy/").status_code == 200
        assert visitor.get("/healthy/async/").status_code == 200
    assert seen == [MILLISECONDS, MILLISECONDS]


def test_while_open_nothing_is_bounded(visitor: Visitor, seen: list[int]) -> None:
    visitor.client.cookies[settings.SESSION_COOKIE_NAME] = "made-up"
    visitor.get("/login/")
    assert seen[0] > MILLISECONDS


def test_after_a_look_up_that_got_stuck_the_layers_above_the_view_are_spared_too(
    seen: list[int], administrator: Visitor
) -> None:
    with override_maintenance(), locked_tables() as tried:
        administrator.client.raise_request_exception = False
        assert_refused(administrator.get("/account/"))
        count = len(tried)
        for _request in range(3):
            assert_refused(administrator.get("/account/"))
        assert len(tried) == count


def urls_with(route: str, view: Any) -> Any:
    """A URL configuration with one view more than usual."""
    return type("urls", (), {"urlpatterns": [*urls.urlpatterns, path(route, view)]})
