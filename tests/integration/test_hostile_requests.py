"""Requests made to break the page: whoever sends them gets the refusal that everybody gets."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.test import override_settings

from backsoon.testing import override_maintenance
from tests.visitors import Visitor

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("closed")]

# Extended parameters (RFC 8187) in an encoding that does not exist.
BAD_ACCEPT = [
    "text/html; q*=bogus''x",
    "*/*; a*=x-nope'en'%ff",
    "text/html;q*0*=nope'';q*1=b",
]


@pytest.fixture
def attacker(visitor: Visitor) -> Visitor:
    """A visitor who sees a server error as one, not as an exception in the test."""
    visitor.client.raise_request_exception = False
    return visitor


def is_refusal(response: Any) -> bool:
    return response.status_code in (302, 503) and response["X-Maintenance"] == "closed"


@pytest.mark.parametrize("accept", BAD_ACCEPT)
@pytest.mark.parametrize("path", ["/", "/maintenance/", "/api/", "/nowhere/"])
def test_an_accept_header_that_cannot_be_read_is_refused_like_any_other(
    attacker: Visitor, accept: str, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert is_refusal(attacker.get(path, headers={"accept": accept}))
    assert not caplog.records  # an error in the log would be a mail to the operators


def test_more_parameters_than_django_reads_lead_to_the_page(attacker: Visitor) -> None:
    query = "&".join(f"a{number}=1" for number in range(1_200))
    assert attacker.get(f"/?{query}").status_code == 302
    response = attacker.get(f"/maintenance/?{query}")
    assert response.status_code == 503
    assert b"Moving house" in response.content


@pytest.mark.parametrize("path", ["/" + "é" * 1_999, "/?" + "%" * 1_990, "/" + "%2525" * 390])
def test_a_path_that_grows_when_it_is_quoted_is_refused(attacker: Visitor, path: str) -> None:
    assert is_refusal(attacker.get(path))


@pytest.mark.parametrize("cookie", ["a" * 600, "fr-" + "x" * 600, "\x00", "é"])
def test_a_language_cookie_that_names_none_still_gets_the_page(
    attacker: Visitor, cookie: str
) -> None:
    attacker.client.cookies["django_language"] = cookie
    assert b"Moving house" in attacker.get("/maintenance/").content


@pytest.mark.parametrize("query", ["language=" + "a" * 2_000, "next=/" + "a" * 1_500 + "/"])
@override_settings(ROOT_URLCONF="tests.urls_i18n")
def test_a_language_that_is_far_too_long_still_gets_the_page(attacker: Visitor, query: str) -> None:
    response = attacker.get(f"/en/maintenance/?{query}")
    assert response.status_code == 503
    assert b"Moving house" in response.content


@pytest.mark.parametrize("path", ["/", "/account/", "/maintenance/", "/login/", "/static/x.css"])
def test_a_url_configuration_that_cannot_be_imported_does_not_take_the_page_away(
    attacker: Visitor, path: str
) -> None:
    with override_settings(ROOT_URLCONF="tests.urls_that_do_not_exist"):
        response = attacker.get(path)
    assert response.status_code == 503
    assert b"Moving house" in response.content


def test_a_url_configuration_that_cannot_be_imported_opens_nothing_in_read_only_mode(
    attacker: Visitor,
) -> None:
    with (
        override_maintenance("read_only"),
        override_settings(ROOT_URLCONF="tests.urls_that_do_not_exist"),
    ):
        response = attacker.post("/account/")
    assert response.status_code == 503
    assert response["X-Maintenance"] == "read_only"
