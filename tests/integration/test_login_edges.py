"""Logins that take another way, come at a bad moment, or do something else with their session."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import override_settings

from backsoon import services
from backsoon.gate import gate
from backsoon.http import passes
from backsoon.testing import override_maintenance
from tests.views_edges import NEW_PASSWORD, SlowBackend
from tests.visitors import PASSWORD, Visitor

pytestmark = [pytest.mark.django_db, pytest.mark.exhaustive]

ENGINES = ["db", "cache", "cached_db", "file", "signed_cookies"]
DAY = 86_400

AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"
# Under ASGI Django looks for the header's name with one more HTTP_ before it.
NAMED_BOB = {"x-user": "bob", "http-x-user": "bob"}


@pytest.fixture(autouse=True)
def _site() -> Iterator[None]:
    with override_settings(ROOT_URLCONF="tests.urls_edges"):
        yield


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with override_settings(
        SESSION_ENGINE=f"django.contrib.sessions.backends.{request.param}",
        SESSION_FILE_PATH=str(tmp_path),
    ):
        yield request.param


def close() -> None:
    """Close the site for good, and let this process know without a commit."""
    services.close_site()
    gate.refresh()


def reopen() -> None:
    services.open_site()
    gate.refresh()


def who(visitor: Visitor, path: str = "/who/") -> str:
    response = visitor.get(path)
    assert response.status_code == 200, response
    return str(response.content.decode())


def key_of(visitor: Visitor) -> str:
    return str(visitor.client.cookies["sessionid"].value)


def with_middleware(name: str) -> Any:
    """The settings with one more middleware of ours, below all others."""
    return override_settings(MIDDLEWARE=[*settings.MIDDLEWARE, f"tests.views_edges.{name}"])


# -- Logins at a bad moment --------------------------------------------------------------------


@pytest.fixture
def closed_during_logins(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whoever logs in is admitted while the site is open, and through when it is closed."""
    monkeypatch.setattr(SlowBackend, "meanwhile", staticmethod(close))
    with override_settings(AUTHENTICATION_BACKENDS=["tests.views_edges.SlowBackend"]):
        yield


@pytest.mark.usefixtures("closed_during_logins")
@pytest.mark.parametrize("door", ["/login/", "/login/async/"])
def test_a_login_under_way_when_the_site_closes_ends_with_that_closure(
    visitor: Visitor, bob: User, door: str
) -> None:
    visitor.post(door, {"username": "bob", "password": PASSWORD})
    assert not gate.view().state.is_open
    assert visitor.get("/who/").status_code == 302
    reopen()
    assert who(visitor) == "AnonymousUser"
    assert who(visitor, "/who/async/") == "AnonymousUser"


@pytest.mark.usefixtures("closed_during_logins")
@pytest.mark.parametrize("door", ["/login/", "/login/async/"])
def test_an_administrators_login_under_way_when_the_site_closes_lives_on(
    visitor: Visitor, root: User, door: str
) -> None:
    visitor.post(door, {"username": "root", "password": PASSWORD})
    assert not gate.view().state.is_open
    assert who(visitor) == "root"
    reopen()
    assert who(visitor) == "root"


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("every_request", [False, True])
def test_after_a_closure_the_first_login_of_an_ordinary_user_is_a_new_one(
    visitor: Visitor, bob: User, every_request: bool
) -> None:
    with override_settings(SESSION_SAVE_EVERY_REQUEST=every_request):
        visitor.login(bob)
        close()
        assert visitor.get("/basket/").status_code == 200
        assert visitor.get("/login/").status_code == 200
        reopen()
        assert who(visitor) == "AnonymousUser"
        assert who(visitor, "/who/async/") == "AnonymousUser"
        visitor.login(bob)
        assert who(visitor) == "bob"


# -- Logins by something else than the login page ----------------------------------------------


def test_an_ordinary_login_by_a_middleware_while_closed_is_over_when_the_site_opens(
    visitor: Visitor, bob: User
) -> None:
    with with_middleware("link_login"):
        close()
        visitor.get("/login/?token=bob")
        assert visitor.get("/who/").status_code == 302
        reopen()
        assert who(visitor) == "AnonymousUser"
        assert who(visitor, "/who/?token=bob") == "bob"
        assert who(visitor) == "bob"


def test_an_administrators_login_by_a_middleware_while_closed_counts(
    visitor: Visitor, root: User
) -> None:
    with with_middleware("link_login"):
        close()
        visitor.get("/login/?token=root")
        assert who(visitor) == "root"
        reopen()
        assert who(visitor) == "root"


def test_a_login_named_by_a_header_while_closed_is_over_when_the_site_opens(
    visitor: Visitor, bob: User
) -> None:
    backend = "django.contrib.auth.backends.RemoteUserBackend"
    with (
        with_middleware("HeaderUserMiddleware"),
        override_settings(AUTHENTICATION_BACKENDS=[backend]),
    ):
        close()
        visitor.get("/basket/", headers=NAMED_BOB)
        reopen()
        assert who(visitor) == "AnonymousUser"
        assert visitor.get("/who/", headers=NAMED_BOB).content == b"bob"
        assert who(visitor) == "bob"


def test_a_login_through_a_wrapped_request_brings_the_pass(visitor: Visitor, support: User) -> None:
    visitor.get("/rest/?name=support")
    with override_maintenance():
        assert who(visitor) == "support"


@pytest.mark.usefixtures("engine")
def test_a_view_that_swallows_the_refusal_has_logged_nobody_in(visitor: Visitor, bob: User) -> None:
    close()
    assert visitor.get("/careless/").status_code == 400
    assert not any(SESSION_KEY in session.get_decoded() for session in Session.objects.all())
    bob.refresh_from_db()
    assert bob.last_login is None
    reopen()
    assert who(visitor) == "AnonymousUser"
    assert visitor.get("/careless/").content == b"in"


# -- Who is seen -------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)  # under ASGI Django makes the page in another thread
def test_a_404_page_shows_no_ended_login(visitor: Visitor, bob: User) -> None:
    visitor.login(bob)
    assert visitor.get("/nowhere/").content == b"Nothing here, bob"
    close()
    reopen()
    assert visitor.get("/nowhere/").content == b"Nothing here, AnonymousUser"


def test_a_middleware_sees_no_ended_login(visitor: Visitor, bob: User) -> None:
    with with_middleware("tell_user"):
        visitor.login(bob)
        assert visitor.get("/")["X-User"] == "bob"
        close()
        reopen()
        assert visitor.get("/")["X-User"] == "AnonymousUser"


def test_a_user_that_is_no_model_works_while_open_and_is_refused_while_closed(
    visitor: Visitor,
) -> None:
    with with_middleware("machine_user"):
        assert who(visitor) == "a machine"
        with override_maintenance():
            assert visitor.get("/who/").status_code == 302
            assert visitor.get("/login/").status_code == 200


@pytest.mark.parametrize("user", ["root", "support"])
def test_under_an_authentication_of_the_projects_own_administrators_get_in(
    visitor: Visitor, user: str, request: pytest.FixtureRequest
) -> None:
    administrator = request.getfixturevalue(user)
    with own_authentication():
        visitor.login(administrator)
        with override_maintenance():
            assert who(visitor) == user


def test_under_an_authentication_of_the_projects_own_ordinary_logins_end(
    visitor: Visitor, bob: User
) -> None:
    with own_authentication():
        visitor.login(bob)
        assert who(visitor) == "bob"
        close()
        assert visitor.get("/who/").status_code == 302
        reopen()
        assert who(visitor) == "AnonymousUser"


def own_authentication() -> Any:
    """The settings with Django's own authentication replaced."""
    ours = "tests.views_edges.own_authentication"
    names = [ours if name == AUTHENTICATION else name for name in settings.MIDDLEWARE]
    return override_settings(MIDDLEWARE=names)


@pytest.mark.parametrize("function", ["names_nobody", "names_anonymous", "fails_to_name"])
def test_a_function_that_names_nobody_leaves_administrators_their_sessions(
    visitor: Visitor, root: User, bob: User, function: str
) -> None:
    visitor.login(root)
    with (
        override_settings(BACKSOON={"GET_USER": f"tests.views_edges.{function}"}),
        override_maintenance(),
    ):
        assert who(visitor) == "root"
        assert Visitor(visitor.kind).get("/who/").status_code == 302


# -- What becomes of sessions ------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["/rotate/", "/rotate/async/", "/password/", "/prolong/", "/prolong/async/"],
)
def test_whatever_an_administrator_does_to_the_session_while_closed_the_login_stays(
    visitor: Visitor, root: User, engine: str, path: str
) -> None:
    visitor.login(root)
    old = key_of(visitor)
    with override_maintenance():
        assert visitor.get(path).status_code == 200
        assert who(visitor) == "root"
        assert who(visitor, "/who/async/") == "root"
    assert who(visitor) == "root"
    if not path.startswith("/prolong/") and engine != "signed_cookies":
        assert key_of(visitor) != old


def test_a_password_changed_while_closed_is_the_one_that_counts(
    visitor: Visitor, root: User
) -> None:
    visitor.login(root)
    with override_maintenance():
        visitor.get("/password/")
        again = Visitor(visitor.kind)
        answer = again.post("/login/", {"username": "root", "password": NEW_PASSWORD})
        assert answer.status_code == 302
        assert who(again) == "root"


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("path", ["/goodbye/", "/goodbye/async/"])
def test_what_is_stored_after_a_logout_while_closed_stays(
    visitor: Visitor, root: User, path: str
) -> None:
    visitor.login(root)
    with override_maintenance():
        assert visitor.get(path).content == b"out"
        assert visitor.get("/who/").status_code == 302
    assert visitor.get("/note/").content == b"bye"
    assert who(visitor) == "AnonymousUser"


@pytest.mark.parametrize(
    "storage", ["session.SessionStorage", "cookie.CookieStorage", "fallback.FallbackStorage"]
)
def test_messages_reach_administrators_while_closed(
    visitor: Visitor, root: User, storage: str
) -> None:
    with override_settings(MESSAGE_STORAGE=f"django.contrib.messages.storage.{storage}"):
        visitor.login(root)
        with override_maintenance():
            visitor.get("/messages/leave/")
            assert visitor.get("/messages/").content == b"hello"


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("cookie", ["", "bogusbogusbogusbogusbogusbogusb1"])
def test_a_refused_login_sets_no_session_even_where_every_request_saves(
    visitor: Visitor, bob: User, cookie: str
) -> None:
    if cookie:
        visitor.client.cookies["sessionid"] = cookie
    with override_settings(SESSION_SAVE_EVERY_REQUEST=True), override_maintenance():
        response = visitor.post("/login/", {"username": "bob", "password": PASSWORD})
    assert response.status_code == 503
    assert "sessionid" not in response.cookies
    assert not Session.objects.exists()


def test_an_administrator_whose_login_ended_gets_a_new_key_at_the_door(
    visitor: Visitor, root: User, engine: str
) -> None:
    visitor.login(root)
    old = key_of(visitor)
    with override_maintenance():
        visitor.login(root)
        assert key_of(visitor) != old
        assert who(visitor) == "root"
        if engine != "signed_cookies":  # there the key is the session: it cannot be taken back
            assert _thief(visitor, old).get("/who/").status_code == 302


def test_a_session_known_to_somebody_else_is_not_the_one_an_administrator_gets(
    visitor: Visitor, root: User, engine: str
) -> None:
    visitor.get("/goodbye/")  # an anonymous session, whose key somebody planted
    planted = key_of(visitor)
    with override_maintenance():
        visitor.login(root)
        assert key_of(visitor) != planted
        assert who(visitor) == "root"
        assert _thief(visitor, planted).get("/who/").status_code == 302


def _thief(visitor: Visitor, key: str) -> Visitor:
    """Somebody with another's session key, and with their pass as well."""
    thief = Visitor(visitor.kind)
    thief.client.cookies["sessionid"] = key
    thief.client.cookies[passes.COOKIE] = visitor.client.cookies[passes.COOKIE].value
    return thief


@override_settings(SESSION_SAVE_EVERY_REQUEST=True)
def test_a_session_that_is_used_for_weeks_is_not_locked_out_by_a_closure(
    visitor: Visitor, support: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An administrator by permission, whose pass must be renewed without a query."""
    visitor.login(support)
    begin = time.time()
    for day in range(4, 33, 4):
        now = begin + day * DAY
        monkeypatch.setattr(time, "time", lambda now=now: now)
        assert who(visitor) == "support"
    with override_maintenance():
        assert who(visitor) == "support"
