"""How logins end: in every session engine, on both paths to the user, without touching a row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, aauthenticate
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import AsyncClient, override_settings
from django.test.utils import CaptureQueriesContext

from backsoon.gate import gate
from backsoon.http.sessions import STAMP
from backsoon.testing import override_maintenance
from tests.visitors import PASSWORD, Visitor

pytestmark = pytest.mark.django_db

ENGINES = ["db", "cache", "cached_db", "file", "signed_cookies"]
WHO = ["/account/", "/account/async/"]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with override_settings(
        SESSION_ENGINE=f"django.contrib.sessions.backends.{request.param}",
        SESSION_FILE_PATH=str(tmp_path),
    ):
        yield request.param


def close_and_reopen(**kwargs: Any) -> None:
    """Live through a closure, whose number stays when it is over."""
    override = override_maintenance(**kwargs)
    override.enable()
    snapshot = gate.view().snapshot
    override.disable()
    policy = snapshot.policy
    reopened = type(policy)(generation=policy.generation, notices=policy.notices)
    gate.install(type(snapshot)(policy=reopened))


def shown(visitor: Visitor, path: str) -> str:
    response = visitor.get(path)
    assert response.status_code == 200
    return str(response.content.decode())


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("path", WHO)
def test_after_a_closure_an_ordinary_user_is_logged_out(
    visitor: Visitor, bob: User, path: str
) -> None:
    visitor.login(bob)
    assert "bob" in shown(visitor, path)
    close_and_reopen()  # without the user ever coming by
    assert "bob" not in shown(visitor, path)
    assert "bob" not in shown(visitor, path)


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("path", WHO)
def test_after_a_closure_administrators_are_still_logged_in(
    visitor: Visitor, root: User, support: User, path: str
) -> None:
    for user in (root, support):
        visitor.login(user)
        for _closure in range(3):
            close_and_reopen()
            assert user.username in shown(visitor, path)
        visitor.post("/logout/")


@pytest.mark.usefixtures("engine")
def test_logins_can_be_kept(visitor: Visitor, bob: User) -> None:
    visitor.login(bob)
    close_and_reopen(keep_logins=True)
    assert "bob" in shown(visitor, "/account/")


@pytest.mark.usefixtures("engine")
def test_a_new_login_after_the_closure_lasts(visitor: Visitor, bob: User) -> None:
    close_and_reopen()
    visitor.login(bob)
    assert "bob" in shown(visitor, "/account/")
    assert "bob" in shown(visitor, "/account/async/")


@pytest.mark.usefixtures("engine")
def test_an_old_cookie_never_comes_to_life_again(visitor: Visitor, bob: User) -> None:
    visitor.login(bob)
    old = visitor.client.cookies["sessionid"].value
    for _closure in range(3):
        close_and_reopen()
        visitor.login(bob)
        visitor.client.cookies["sessionid"] = old
        assert "bob" not in shown(visitor, "/account/")


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("door", ["/login/", "/admin/login/"])
def test_while_closed_administrators_log_in_and_ordinary_users_do_not(
    visitor: Visitor, root: User, bob: User, door: str
) -> None:
    User.objects.filter(pk=bob.pk).update(is_staff=True)
    with override_maintenance():
        response = visitor.post(door, {"username": "bob", "password": PASSWORD})
        assert response.status_code == 503
        assert visitor.get("/account/").status_code == 302
        visitor.login(root, door)
        assert "root" in shown(visitor, "/account/")
        visitor.post("/logout/")
        assert visitor.get("/account/").status_code == 302


def test_ending_logins_writes_nothing_while_closed(visitor: Visitor, bob: User) -> None:
    visitor.login(bob)
    with override_maintenance(), CaptureQueriesContext(connection) as queries:
        visitor.get("/account/")
        visitor.get("/login/")
    assert not [q["sql"] for q in queries.captured_queries if not q["sql"].startswith("SELECT")]
    assert Session.objects.count() == 1


def test_at_the_first_touch_after_opening_the_ended_session_is_removed(
    visitor: Visitor, bob: User
) -> None:
    visitor.login(bob)
    close_and_reopen()
    visitor.get("/")  # does not ask who it is
    assert Session.objects.count() == 1
    visitor.get("/account/")
    assert Session.objects.count() == 0


def test_an_untouched_view_pays_nothing_for_an_ended_login(visitor: Visitor, bob: User) -> None:
    visitor.login(bob)
    close_and_reopen()
    with CaptureQueriesContext(connection) as queries:
        response = visitor.get("/")
    assert not queries.captured_queries
    assert "Vary" not in response or "Cookie" not in response["Vary"]
    assert not response.cookies


@pytest.mark.parametrize("path", WHO)
def test_a_living_login_costs_the_queries_it_costs_without_us(
    visitor: Visitor, bob: User, path: str
) -> None:
    visitor.login(bob)
    with CaptureQueriesContext(connection) as queries:
        visitor.get(path)
    assert len(queries.captured_queries) == 2  # the session and the user


def test_the_same_user_logging_in_over_an_ended_login_gets_a_new_key(
    visitor: Visitor, bob: User
) -> None:
    visitor.login(bob)
    old = visitor.client.cookies["sessionid"].value
    close_and_reopen()
    visitor.login(bob)
    assert visitor.client.cookies["sessionid"].value != old
    assert not Session.objects.filter(session_key=old).exists()


def test_a_session_from_before_the_installation_ends_with_the_first_closure(
    visitor: Visitor, bob: User
) -> None:
    visitor.login(bob)
    session = _session_of(visitor)
    del session[STAMP]
    session.save()
    assert "bob" in shown(visitor, "/account/")
    close_and_reopen()
    assert "bob" not in shown(visitor, "/account/")


@pytest.mark.parametrize("stamp", ["garbage", None, 1.5, [], -1, "9999999999999999"])
def test_a_stamp_that_is_no_number_counts_as_ended(
    visitor: Visitor, bob: User, stamp: object
) -> None:
    visitor.login(bob)
    close_and_reopen()
    visitor.login(bob)
    session = _session_of(visitor)
    session[STAMP] = stamp
    session.save()
    assert "bob" not in shown(visitor, "/account/")


def test_who_is_made_administrator_during_the_closure_stays_logged_in(
    visitor: Visitor, bob: User
) -> None:
    visitor.login(bob)
    User.objects.filter(pk=bob.pk).update(is_superuser=True)
    close_and_reopen()
    assert "bob" in shown(visitor, "/account/")


def test_who_is_no_administrator_any_more_is_logged_out(visitor: Visitor, root: User) -> None:
    visitor.login(root)
    User.objects.filter(pk=root.pk).update(is_superuser=False)
    close_and_reopen()
    assert "root" not in shown(visitor, "/account/")


def test_an_asynchronous_login_is_judged_at_the_door_too(bob: User, root: User) -> None:
    client = AsyncClient()

    @async_to_sync
    async def log_in(name: str) -> Any:
        return await client.post("/login/async/", {"username": name, "password": PASSWORD})

    with override_settings(BACKSOON={"LOGIN_URLS": ["/login/async/"]}), override_maintenance():
        assert log_in("bob").status_code == 503
        assert Session.objects.count() == 0
        assert log_in("root").status_code == 200
        assert Session.objects.count() == 1
        assert async_to_sync(client.get)("/account/async/").content == b"root"


def test_a_user_whom_no_session_named_is_not_logged_out(bob: User) -> None:
    assert async_to_sync(aauthenticate)(username="bob", password=PASSWORD) == bob
    close_and_reopen()
    visitor = Visitor("wsgi")
    session = visitor.client.session
    assert SESSION_KEY not in session
    assert BACKEND_SESSION_KEY not in session
    assert HASH_SESSION_KEY not in session
    with override_settings(
        MIDDLEWARE=[
            "backsoon.middleware.MaintenanceModeMiddleware",
            "django.contrib.sessions.middleware.SessionMiddleware",
            "tests.integration.test_sessions.ClientCertificateMiddleware",
        ]
    ):
        assert "bob" in shown(visitor, "/account/")


class ClientCertificateMiddleware:
    """Names the user by something else than the session."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> Any:
        request.user = User.objects.get(username="bob")
        return self.get_response(request)


def _session_of(visitor: Visitor) -> Any:
    from django.contrib.sessions.backends.db import SessionStore

    return SessionStore(visitor.client.cookies["sessionid"].value)
