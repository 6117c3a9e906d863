"""``manage.py maintenance explain``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client, override_settings
from django.urls import get_script_prefix, set_script_prefix

from backsoon import services
from backsoon.core.vocabulary import Mode
from backsoon.testing import override_maintenance
from tests.integration.commands import failing_database, run


def explain(*arguments: str) -> dict[str, Any]:
    result = run("explain", *arguments, "--json")
    assert result.code == 0, result.err
    return result.json


@pytest.fixture
def prefix() -> Iterator[str]:
    before = get_script_prefix()
    set_script_prefix("/shop/")
    yield "/shop"
    set_script_prefix(before)


# -- Each rule ------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_an_open_site_lets_everybody_through() -> None:
    answer = explain("/")
    assert (answer["admitted"], answer["rule"], answer["mode"]) == (True, "open", "open")
    assert answer["gets"] == "what the site answers"
    assert answer["supposed"] is False


@pytest.mark.django_db
def test_a_closed_site_is_explained_as_it_is() -> None:
    services.close_site()
    answer = explain("/")
    assert (answer["admitted"], answer["rule"], answer["supposed"]) == (False, "stranger", False)


def test_what_would_be_if_the_site_were_closed_is_told_without_a_database() -> None:
    answer = explain("/account/", "--closed")
    assert (answer["admitted"], answer["rule"], answer["supposed"]) == (False, "stranger", True)
    assert answer["gets"] == "302 to /maintenance/?next=/account/, where the page comes with 503"


@pytest.mark.django_db
def test_an_ordinary_user_is_refused_as_one(bob: User) -> None:
    answer = explain("/account/", "--closed", "--user", "bob")
    assert (answer["admitted"], answer["rule"]) == (False, "ordinary")
    assert answer["facts"]["user"] == "ordinary"


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["root", "support"])
def test_an_administrator_gets_through_and_is_taken_to_hold_a_pass(
    root: User, support: User, name: str
) -> None:
    answer = explain("/account/", "--closed", "--user", name)
    assert (answer["admitted"], answer["rule"]) == (True, "administrator")
    assert answer["facts"]["holds_pass"] is True
    assert "An administrator is taken to hold a pass" in answer["notes"][0]


@pytest.mark.django_db
def test_somebody_who_is_not_active_is_a_visitor_like_any_other(root: User) -> None:
    User.objects.filter(pk=root.pk).update(is_active=False)
    answer = explain("/account/", "--closed", "--user", "root")
    assert (answer["admitted"], answer["rule"]) == (False, "stranger")
    assert "root is not active" in answer["notes"][0]


def test_the_login_page_is_exempt_and_only_administrators_can_use_it() -> None:
    answer = explain("/login/", "--closed")
    assert (answer["rule"], answer["detail"]) == ("exempt", "login or logout: /login/")
    assert answer["notes"] == ["Here only administrators can log in while the site is closed."]


@override_settings(BACKSOON={"EXEMPT": ["POST /api/"]})
def test_the_pattern_of_the_settings_that_lets_by_is_named() -> None:
    answer = explain("/api/", "--closed", "--method", "post")
    assert (answer["rule"], answer["detail"]) == ("exempt", 'BACKSOON["EXEMPT"]: POST /api/')
    assert explain("/api/", "--closed")["rule"] == "stranger"


def test_a_view_marked_always_open_is_told_as_such() -> None:
    answer = explain("/healthy/", "--closed")
    assert (answer["rule"], answer["facts"]["always_open"]) == ("always-open", True)


@pytest.mark.parametrize("proxies", [0, 2])
def test_the_network_that_lets_by_is_named(proxies: int) -> None:
    networks = {"EXEMPT_NETWORKS": ["192.0.2.0/24"], "TRUSTED_PROXIES": proxies}
    with override_settings(BACKSOON=networks):
        answer = explain("/", "--closed", "--ip", "192.0.2.7")
        assert (answer["rule"], answer["detail"]) == ("network", "192.0.2.7 in 192.0.2.0/24")
        assert explain("/", "--closed", "--ip", "198.51.100.1")["rule"] == "stranger"
        assert explain("/", "--closed")["rule"] == "stranger"


@pytest.mark.django_db
def test_a_read_only_site_lets_reading_through_and_refuses_writing() -> None:
    services.close_site(mode=Mode.READ_ONLY)
    assert explain("/")["rule"] == "read-only-safe"
    answer = explain("/", "--method", "POST")
    assert answer["admitted"] is False
    assert answer["gets"] == "503 Service Unavailable with the page, at this address"


# -- What is asked for ----------------------------------------------------------------------------


@override_settings(BACKSOON={"ANSWER": "in_place"})
def test_the_page_in_place_is_told_as_such() -> None:
    assert explain("/", "--closed")["gets"] == (
        "503 Service Unavailable with the page, at this address"
    )


@override_settings(BACKSOON={"API_PATHS": ["/api/"]})
def test_an_api_answers_with_a_problem_document() -> None:
    assert explain("/api/", "--closed")["gets"] == (
        "503 Service Unavailable with application/problem+json, at this address"
    )
    assert "A program that asks" not in run("explain", "/api/", "--closed").out


def test_the_maintenance_page_itself_comes_with_503() -> None:
    assert explain("/maintenance/", "--closed")["gets"] == (
        "503 Service Unavailable with the page, at this address"
    )


def test_a_path_without_a_view_is_refused_while_closed_and_told_to_be_a_404() -> None:
    answer = explain("/nowhere/", "--closed")
    assert (answer["admitted"], answer["view"], answer["route"]) == (False, None, None)
    assert answer["notes"] == ["No view answers /nowhere/: open, the site says 404."]


@pytest.mark.django_db
def test_a_path_without_a_view_gets_a_404_while_open() -> None:
    assert explain("/nowhere/")["gets"] == "what the site answers: 404"


def test_a_missing_slash_is_pointed_at() -> None:
    assert explain("/account", "--closed")["notes"] == [
        "No view answers /account, but one answers /account/."
    ]


def test_the_view_is_named() -> None:
    answer = explain("/account/", "--closed")
    assert (answer["view"], answer["route"]) == ("tests.views.account (account)", "account/")
    view = explain("/login/", "--closed")["view"]
    assert view == "django.contrib.auth.views.LoginView (login)"


@pytest.mark.parametrize(
    "typed",
    ["/account/?page=2", "/account/#top", "https://example.org/account/?x=1", "/%61ccount/"],
)
def test_addresses_are_taken_as_a_browser_shows_them(typed: str) -> None:
    assert explain(typed, "--closed")["path"] == "/account/"


def test_the_prefix_of_the_site_is_no_part_of_the_path(prefix: str) -> None:
    assert explain(f"{prefix}/account/", "--closed")["path"] == "/account/"


@override_settings(ROOT_URLCONF="tests.urls_i18n")
@pytest.mark.parametrize("language", ["en", "fr"])
def test_views_below_a_language_prefix_are_found(language: str) -> None:
    assert explain(f"/{language}/orders/", "--closed")["view"] == "tests.views.home (home)"


def test_the_text_begins_with_the_verdict_and_the_rule() -> None:
    lines = run("explain", "/account/", "--closed").lines
    assert lines[0].startswith("GET /account/ is refused: Nobody is logged in")
    assert "  rule: stranger" in lines
    assert "  state: supposed to be closed now" in lines
    assert "  who: a visitor who is not logged in" in lines
    assert lines[-1].startswith("  A program that asks for JSON gets 503")


@pytest.mark.django_db
def test_the_text_names_the_state_of_the_site() -> None:
    lines = run("explain", "/").lines
    assert lines[0].startswith("GET / gets through: The site is open")
    assert "  state: Maintenance is off (epoch 0). The site is open." in lines


@pytest.mark.parametrize(
    "path", ["/", "/account/", "/login/", "/healthy/", "/nowhere/", "/api/", "/maintenance/"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.django_db
def test_the_explanation_agrees_with_what_the_site_really_does(path: str, method: str) -> None:
    told = explain(path, "--closed", "--method", method)["gets"]
    with override_maintenance():
        response = Client().generic(method, path, headers={"Accept": "text/html"})
    if told == "what the site answers":
        assert "X-Maintenance" not in response
    else:
        assert told.startswith(str(response.status_code))
        assert response.get("Location", "") in told


# -- What cannot be explained ---------------------------------------------------------------------


@pytest.mark.django_db
def test_a_user_who_does_not_exist_is_an_error_that_says_so(bob: User) -> None:
    result = run("explain", "/", "--user", "Bob")
    assert result.code == 1
    assert result.err == "Not explained: there is no user 'Bob'. Names are compared exactly."


@pytest.mark.parametrize(
    "arguments",
    [
        ("orders/",),
        ("",),
        ("/", "--method", "LOOK"),
        ("/", "--ip", "300.0.0.1"),
        ("/", "--ip", "here"),
        (),
        ("/\udcff",),
    ],
)
def test_requests_that_cannot_be_are_usage_errors(arguments: tuple[str, ...]) -> None:
    assert run("explain", *arguments).code == 2


@pytest.mark.django_db
@pytest.mark.parametrize("arguments", [("/",), ("/", "--closed", "--user", "bob")])
def test_what_needs_the_database_fails_with_5_without_it(arguments: tuple[str, ...]) -> None:
    with failing_database():
        result = run("explain", *arguments)
    assert result.code == 5
    assert result.err.startswith("Not explained: the database ")
