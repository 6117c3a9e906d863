"""The gate in Django's request cycle, under WSGI and ASGI alike."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core import mail
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from backsoon.core.vocabulary import Mode, State, Why
from backsoon.gate import View, gate
from backsoon.http import passes
from backsoon.snapshots import Snapshot
from backsoon.testing import override_maintenance
from tests.visitors import PASSWORD, Visitor

if TYPE_CHECKING:
    from django.http import HttpRequest

pytestmark = pytest.mark.django_db


# -- Open --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/async/", "/stream/", "/stream/async/", "/healthy/"])
def test_while_open_every_view_answers_without_a_query_or_a_cookie(
    visitor: Visitor, path: str
) -> None:
    with CaptureQueriesContext(connection) as queries:
        response = visitor.get(path)
    assert response.status_code == 200
    assert not queries.captured_queries
    assert not response.cookies
    assert "Cookie" not in response.get("Vary", "")


def test_while_open_a_view_that_fails_fails_as_without_us(visitor: Visitor) -> None:
    visitor.client.raise_request_exception = False
    assert visitor.get("/broken/").status_code == 500


# -- Closed: ordinary visitors -----------------------------------------------------------------


@pytest.mark.usefixtures("closed")
@pytest.mark.parametrize("path", ["/", "/async/", "/account/", "/stream/", "/nope/", "/admin/"])
def test_navigation_is_redirected_to_the_page(visitor: Visitor, path: str) -> None:
    response = visitor.get(path)
    assert response.status_code == 302
    expected = "/maintenance/" if path == "/" else f"/maintenance/?next={path}"
    assert response["Location"] == expected
    assert response["Cache-Control"] == "no-store"
    assert 108 <= int(response["Retry-After"]) <= 132
    assert response["X-Maintenance"] == "closed"


@pytest.mark.usefixtures("closed")
@override_settings(BACKSOON={"ANSWER": "in_place"})
def test_in_place_the_page_comes_at_the_same_address(visitor: Visitor) -> None:
    response = visitor.get("/account/")
    assert response.status_code == 503
    assert b"Moving house" in response.content


@pytest.mark.usefixtures("closed")
def test_the_page_is_served_with_503(visitor: Visitor) -> None:
    response = visitor.get("/maintenance/?next=/account/")
    assert response.status_code == 503
    assert b"Moving house" in response.content
    assert response["X-Maintenance"] == "closed"
    assert "Retry-After" in response


@pytest.mark.usefixtures("closed")
@pytest.mark.parametrize("method", ["post", "put", "patch", "delete", "options", "trace"])
def test_other_methods_get_the_page_in_place(visitor: Visitor, method: str) -> None:
    response = visitor(method, "/account/")
    assert response.status_code == 503
    assert "Location" not in response


@pytest.mark.usefixtures("closed")
def test_head_gets_the_headers_of_get_and_no_body(visitor: Visitor) -> None:
    assert visitor("head", "/account/").status_code == 302
    response = visitor("head", "/maintenance/")
    assert response.status_code == 503
    assert response.content == b""
    assert int(response["Content-Length"]) > 5_000


@pytest.mark.usefixtures("closed")
@pytest.mark.parametrize("path", ["/", "/account/", "/maintenance/", "/nope/"])
def test_strangers_and_made_up_cookies_cost_no_query(visitor: Visitor, path: str) -> None:
    visitor.client.cookies["sessionid"] = "made-up"
    visitor.client.cookies[passes.COOKIE] = "1:forged:signature"
    with CaptureQueriesContext(connection) as queries:
        response = visitor.get(path)
    assert response.status_code in (302, 503)
    assert not queries.captured_queries


def test_an_ordinary_user_is_refused_without_a_query(visitor: Visitor, bob: User) -> None:
    visitor.login(bob)
    with override_maintenance(), CaptureQueriesContext(connection) as queries:
        assert visitor.get("/account/").status_code == 302
    assert not queries.captured_queries


@pytest.mark.usefixtures("closed")
@pytest.mark.parametrize(
    "headers",
    [
        {"accept": "application/json"},
        {"accept": "application/problem+json"},
        {"accept": "application/json, text/plain;q=0.5"},
        {"x-requested-with": "XMLHttpRequest"},
    ],
)
def test_programs_get_a_problem_document(visitor: Visitor, headers: dict[str, str]) -> None:
    response = visitor.get("/api/", headers=headers)
    assert response.status_code == 503
    assert response["Content-Type"] == "application/problem+json"
    problem = json.loads(response.content)
    assert problem["status"] == 503
    assert problem["detail"] == "Moving house"
    assert problem["maintenance"]["mode"] == "closed"
    assert "Retry-After" in response


@pytest.mark.usefixtures("closed")
@override_settings(BACKSOON={"API_PATHS": ["/api/"]})
def test_api_paths_answer_json_whatever_is_accepted(visitor: Visitor) -> None:
    response = visitor.get("/api/", headers={"accept": "*/*"})
    assert response["Content-Type"] == "application/problem+json"


@pytest.mark.usefixtures("closed")
def test_what_sends_json_is_answered_in_json(visitor: Visitor) -> None:
    response = visitor.post("/api/", "{}", content_type="application/json")
    assert response["Content-Type"] == "application/problem+json"


@pytest.mark.usefixtures("closed")
def test_a_picture_of_a_page_is_not_redirected(visitor: Visitor) -> None:
    headers = {"sec-fetch-mode": "no-cors", "accept": "image/avif,image/webp,*/*;q=0.8"}
    assert visitor.get("/picture.png", headers=headers).status_code == 503


@pytest.mark.usefixtures("closed")
@override_settings(ADMINS=["ops@example.com"])
def test_refusals_are_not_logged_and_send_no_mail(
    visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="django.request"):
        for path in ("/", "/account/", "/maintenance/", "/api/"):
            visitor.get(path)
            visitor.post(path)
            visitor.get(path, headers={"accept": "application/json"})
    assert not caplog.records
    assert not mail.outbox


# -- Closed: what stays reachable --------------------------------------------------------------


@pytest.mark.usefixtures("closed")
@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/healthy/", 200),
        ("/healthy/async/", 200),
        ("/login/", 200),
        ("/admin/login/", 200),
        ("/maintenance/status.json", 200),
        ("/static/nothing.css", 404),
    ],
)
def test_exempt_routes_stay_reachable(visitor: Visitor, path: str, status: int) -> None:
    assert visitor.get(path).status_code == status


@pytest.mark.usefixtures("closed")
@override_settings(BACKSOON={"EXEMPT": ["/api/", "POST /account/"]})
def test_configured_paths_stay_reachable_on_segment_borders(visitor: Visitor) -> None:
    assert visitor.get("/api/").status_code == 200
    assert visitor.post("/account/").status_code == 200
    assert visitor.get("/account/").status_code == 302
    for trick in ("/apiary/", "//api/", "/x/api/", "/api/../account/", "/API/", "/api;/account/"):
        assert visitor.get(trick).status_code in (302, 503), trick


@pytest.mark.usefixtures("closed")
@override_settings(BACKSOON={"EXEMPT": ["/api/"]})
def test_encoded_slashes_and_dots_open_nothing(visitor: Visitor) -> None:
    for trick in ("/api/%2e%2e/account/", "/%2e/account/", "/api%2f..%2faccount/"):
        assert visitor.get(trick).status_code in (302, 503), trick


@pytest.mark.usefixtures("closed")
@override_settings(BACKSOON={"EXEMPT_NETWORKS": ["192.0.2.0/24"]})
def test_exempt_networks_get_through_and_forged_headers_do_not() -> None:
    # Under WSGI only: the async test client always comes from 127.0.0.1.
    visitor = Visitor("wsgi")

    def status(**extra: str) -> int:
        return int(visitor.get("/", **extra).status_code)

    assert status(REMOTE_ADDR="192.0.2.7") == 200
    assert status(REMOTE_ADDR="192.0.20.7") == 302
    assert status(REMOTE_ADDR="203.0.113.1", HTTP_X_FORWARDED_FOR="192.0.2.7") == 302
    behind_a_proxy = {"EXEMPT_NETWORKS": ["192.0.2.0/24"], "TRUSTED_PROXIES": 1}
    with override_settings(BACKSOON=behind_a_proxy):
        assert status(REMOTE_ADDR="10.0.0.1", HTTP_X_FORWARDED_FOR="192.0.2.7") == 200
        assert status(REMOTE_ADDR="10.0.0.1", HTTP_X_FORWARDED_FOR="192.0.2.7, 203.0.113.1") == 302
        assert status(REMOTE_ADDR="192.0.2.7") == 302


# -- Closed: administrators --------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/async/", "/account/", "/account/async/", "/stream/"])
def test_a_superuser_works_on(visitor: Visitor, root: User, path: str) -> None:
    visitor.login(root)
    with override_maintenance():
        assert visitor.get(path).status_code == 200


def test_an_administrator_by_permission_works_on(visitor: Visitor, support: User) -> None:
    visitor.login(support)
    with override_maintenance():
        assert visitor.get("/account/").status_code == 200
        assert visitor.get("/async/").status_code == 200


def test_staff_alone_is_not_an_administrator(visitor: Visitor) -> None:
    staff = User.objects.create_user("staff", password=PASSWORD, is_staff=True)
    visitor.login(staff)
    with override_maintenance():
        assert visitor.get("/account/").status_code == 302


def test_an_administrator_sees_true_404s_and_redirects(visitor: Visitor, root: User) -> None:
    visitor.login(root)
    with override_maintenance():
        assert visitor.get("/nope/").status_code == 404
        assert visitor.get("/account").status_code == 301


def test_a_deactivated_or_demoted_administrator_is_refused(visitor: Visitor, root: User) -> None:
    visitor.login(root)
    with override_maintenance():
        User.objects.filter(pk=root.pk).update(is_superuser=False)
        assert visitor.get("/account/").status_code == 302
        User.objects.filter(pk=root.pk).update(is_superuser=True, is_active=False)
        assert visitor.get("/account/").status_code == 302


def test_a_stolen_pass_admits_nobody(visitor: Visitor, root: User, bob: User) -> None:
    administrator = Visitor(visitor.kind)
    administrator.login(root)
    visitor.login(bob)
    visitor.client.cookies[passes.COOKIE] = administrator.client.cookies[passes.COOKIE].value
    with override_maintenance():
        assert visitor.get("/account/").status_code == 302
        assert visitor.get("/nope/").status_code == 302
        del visitor.client.cookies["sessionid"]
        assert visitor.get("/account/").status_code == 302


def test_a_pass_lives_no_longer_than_a_session(visitor: Visitor, root: User) -> None:
    visitor.login(root)
    with override_maintenance(), override_settings(SESSION_COOKIE_AGE=-1):
        assert visitor.get("/account/").status_code == 302


def test_an_administrator_who_lost_the_pass_gets_one_at_the_login_page(
    visitor: Visitor, root: User
) -> None:
    visitor.login(root)
    del visitor.client.cookies[passes.COOKIE]
    with override_maintenance():
        assert visitor.get("/account/").status_code == 302
        assert visitor.get("/login/").status_code == 200
        assert visitor.get("/account/").status_code == 200


def test_a_superuser_gets_a_pass_on_any_page_that_asks_for_the_user(
    visitor: Visitor, root: User
) -> None:
    visitor.login(root)
    del visitor.client.cookies[passes.COOKIE]
    assert passes.COOKIE not in visitor.get("/").cookies
    assert passes.COOKIE in visitor.get("/account/").cookies
    assert passes.COOKIE not in visitor.get("/account/").cookies  # fresh enough


def test_ordinary_users_get_no_pass(visitor: Visitor, bob: User) -> None:
    visitor.login(bob)
    visitor.get("/account/")
    assert passes.COOKIE not in visitor.client.cookies


@override_settings(BACKSOON={"GET_USER": "tests.integration.test_middleware.user_of_token"})
def test_a_token_names_an_administrator_through_get_user(
    visitor: Visitor, root: User, bob: User
) -> None:
    with override_maintenance():
        for path in ("/account/", "/async/"):
            assert visitor.get(path, headers={"authorization": "Bearer root"}).status_code == 200
            assert visitor.get(path, headers={"authorization": "Bearer bob"}).status_code == 302
            assert visitor.get(path, headers={"authorization": "Bearer fail"}).status_code == 302
            assert visitor.get(path).status_code == 302


def user_of_token(request: HttpRequest) -> User | None:
    name = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if name == "fail":
        raise RuntimeError(name)
    return User.objects.filter(username=name).first()


# -- Closed: the login door --------------------------------------------------------------------


@pytest.mark.parametrize("door", ["/login/", "/admin/login/"])
def test_administrators_can_log_in_at_both_doors(visitor: Visitor, root: User, door: str) -> None:
    with override_maintenance():
        visitor.login(root, f"{door}?next=/account/")
        assert visitor.get("/account/").status_code == 200


def test_right_credentials_of_an_ordinary_user_are_refused_in_place_and_write_nothing(
    visitor: Visitor, bob: User
) -> None:
    with override_maintenance():
        response = visitor.post("/login/", {"username": "bob", "password": PASSWORD})
    assert response.status_code == 503
    assert b"Only administrators can log in now." in response.content
    assert "sessionid" not in response.cookies
    assert Session.objects.count() == 0
    bob.refresh_from_db()
    assert bob.last_login is None


def test_staff_without_the_permission_are_refused_at_the_admins_door(visitor: Visitor) -> None:
    User.objects.create_user("staff", password=PASSWORD, is_staff=True)
    with override_maintenance():
        response = visitor.post("/admin/login/", {"username": "staff", "password": PASSWORD})
    assert response.status_code == 503
    assert b"Only administrators can log in now." in response.content
    assert Session.objects.count() == 0


def test_a_refused_login_leaves_the_session_alone(visitor: Visitor, bob: User) -> None:
    visitor.login(bob)
    key = visitor.client.cookies["sessionid"].value
    before = Session.objects.get().session_data
    with override_maintenance():
        response = visitor.post("/login/", {"username": "bob", "password": PASSWORD})
    assert response.status_code == 503
    assert visitor.client.cookies["sessionid"].value == key
    assert Session.objects.get().session_data == before


def test_programs_are_refused_at_the_door_in_json(visitor: Visitor, bob: User) -> None:
    credentials = {"username": "bob", "password": PASSWORD}
    with override_maintenance():
        response = visitor.post("/login/", credentials, headers={"accept": "application/json"})
    assert response["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("door", ["/login/", "/admin/login/"])
def test_the_form_that_comes_again_says_who_can_log_in(
    visitor: Visitor, bob: User, door: str
) -> None:
    with override_maintenance():
        response = visitor.post(door, {"username": "bob", "password": "wrong"})
    assert response.status_code == 200
    assert b"Only administrators can log in now." in response.content


def test_logging_out_works_while_closed(visitor: Visitor, root: User) -> None:
    visitor.login(root)
    with override_maintenance():
        assert visitor.post("/logout/").status_code == 302
        assert Session.objects.count() == 0
        assert visitor.get("/account/").status_code == 302


def test_an_administrator_can_log_in_over_an_ordinary_login(
    visitor: Visitor, root: User, bob: User
) -> None:
    visitor.login(bob)
    old_key = visitor.client.cookies["sessionid"].value
    with override_maintenance():
        visitor.login(root)
        assert visitor.get("/account/").status_code == 200
    assert not Session.objects.filter(session_key=old_key).exists()


# -- Badge -------------------------------------------------------------------------------------


def test_administrators_are_reminded_on_html_pages_only_while_closed(
    visitor: Visitor, root: User
) -> None:
    visitor.login(root)
    assert b"data-backsoon-bar" not in visitor.get("/account/").content
    with override_maintenance():
        response = visitor.get("/account/")
        assert response.content.count(b"data-backsoon-bar") == 1
        assert response["Cache-Control"] == "no-store"
        assert b"data-backsoon-bar" not in visitor.get("/").content  # no HTML document
        assert b"data-backsoon-bar" not in visitor.get("/api/").content


@override_settings(BACKSOON={"BADGE": False})
def test_the_badge_can_be_turned_off(visitor: Visitor, root: User) -> None:
    visitor.login(root)
    with override_maintenance():
        assert b"data-backsoon-bar" not in visitor.get("/account/").content


# -- Read-only ---------------------------------------------------------------------------------


def test_read_only_lets_safe_methods_through_and_keeps_logins(
    visitor: Visitor, bob: User, root: User
) -> None:
    visitor.login(bob)
    with override_maintenance("read_only"):
        response = visitor.get("/account/")
        assert response.status_code == 200
        assert b"bob" in response.content
        response = visitor.post("/account/")
        assert response.status_code == 503
        assert response["X-Maintenance"] == "read_only"
        administrator = Visitor(visitor.kind)
        administrator.login(root)
        assert administrator.post("/account/").status_code == 200


def test_at_the_door_of_a_read_only_site_ordinary_users_log_in_as_ever(
    visitor: Visitor, bob: User
) -> None:
    with override_maintenance("read_only"):
        assert b"Only administrators" not in visitor.get("/login/").content
        visitor.login(bob)
        assert b"bob" in visitor.get("/account/").content


def test_who_waits_on_the_page_is_taken_on_when_the_site_can_be_read_again(
    visitor: Visitor,
) -> None:
    with override_maintenance("read_only"):
        response = visitor.get("/maintenance/?next=/account/")
    assert response.status_code == 302
    assert response["Location"] == "/account/"


# -- Faults ------------------------------------------------------------------------------------


def test_a_process_that_knows_nothing_is_closed(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = View(Snapshot(), State(Mode.CLOSED, Why.UNKNOWN), float("inf"))
    monkeypatch.setattr(gate, "_view", unknown)
    response = visitor.get("/maintenance/")
    assert response.status_code == 503
    assert b"We will be back soon" in response.content


def _fail(*args: Any, **kwargs: Any) -> None:
    raise OSError("no database today")


def test_a_fault_while_looking_up_the_user_shows_the_page(
    visitor: Visitor, root: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor.login(root)
    engine = "django.contrib.sessions.backends.db.SessionStore"
    monkeypatch.setattr(f"{engine}._get_session_from_db", _fail)
    monkeypatch.setattr(f"{engine}._aget_session_from_db", _fail)
    with override_maintenance():
        for path in ("/account/", "/account/async/", "/nope/"):
            assert visitor.get(path).status_code == 302, path


@pytest.mark.usefixtures("closed")
def test_a_login_page_that_fails_shows_the_page(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor.client.raise_request_exception = False
    monkeypatch.setattr("django.contrib.auth.views.LoginView.get", _fail)
    assert visitor.get("/login/").status_code == 302
