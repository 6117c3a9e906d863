"""A view whose database is away answers with the page, if the project wants it so."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import django
import pytest
from django.core import mail
from django.core.signals import got_request_exception
from django.db import (
    DatabaseError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
    connections,
)
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.test import override_settings
from django.urls import path

from backsoon.exceptions import StoreUnavailableError
from backsoon.http import outage, pages
from backsoon.http.unreachable import is_unreachable
from backsoon.testing import override_maintenance
from tests import urls as usual
from tests.integration.databases import ALIAS, backsoon_in
from tests.visitors import Visitor


def caused(error: Exception, cause: BaseException) -> Exception:
    """As Django wraps what a driver raises."""
    error.__cause__ = cause
    return error


def raised_by(library: str, name: str, *args: object, code: str | None = None) -> Exception:
    """An error as a driver that need not be installed here would raise it."""
    attributes = {"__module__": library, "pgcode" if library == "psycopg2" else "sqlstate": code}
    kind: type[Exception] = type(name, (Exception,), attributes)
    return kind(*args)


GONE = caused(OperationalError("gone"), raised_by("psycopg", "OperationalError", "it broke"))
LOCKED = caused(OperationalError("locked"), raised_by("psycopg", "OperationalError", code="55P03"))


class Thrown:
    """What the views of this module raise."""

    error: Exception = GONE


def failing(request: HttpRequest) -> HttpResponse:
    raise Thrown.error


async def failing_async(request: HttpRequest) -> HttpResponse:
    raise Thrown.error


class LazyResponse(TemplateResponse):
    @property
    def rendered_content(self) -> str:
        raise Thrown.error


def rendering(request: HttpRequest) -> HttpResponse:
    return LazyResponse(request, "tests/account.html")


urlpatterns = [
    *usual.urlpatterns,
    path("failing/", failing),
    path("failing/async/", failing_async),
    path("rendering/", rendering),
]


@pytest.fixture(autouse=True)
def _site(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(Thrown, "error", GONE)
    with override_settings(ROOT_URLCONF=__name__, BACKSOON={"OUTAGE_PAGE": True}):
        yield


@pytest.fixture
def guest(visitor: Visitor) -> Visitor:
    visitor.client.raise_request_exception = False
    return visitor


# -- The answer ---------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["/failing/", "/failing/async/", "/rendering/"])
def test_a_view_whose_database_is_away_answers_with_the_page(guest: Visitor, where: str) -> None:
    response = guest.get(where)
    assert response.status_code == 503
    assert response["X-Maintenance"] == "outage"
    assert response["Cache-Control"] == "no-store"
    assert 27 <= int(response["Retry-After"]) <= 33
    assert response["Content-Language"] == "en"
    page = response.content.decode()
    assert "We have a technical problem" in page
    assert "Try again" in page
    assert "maintenance to serve you better" not in page


def test_a_form_that_was_sent_gets_the_page_at_the_same_address(guest: Visitor) -> None:
    response = guest.post("/failing/", {"a": "b"})
    assert response.status_code == 503
    assert "Location" not in response


def test_the_page_asks_for_no_status_and_offers_no_login(guest: Visitor) -> None:
    page = guest.get("/failing/").content.decode()
    assert 'data-status=""' in page
    assert "status.json" not in page
    assert "/login/" not in page


def test_the_page_allows_its_own_script_and_style_and_nothing_else(guest: Visitor) -> None:
    response = guest.get("/failing/")
    policy = pages.content_security_policy(response.content.decode())
    assert response["Content-Security-Policy"] == policy


def test_the_page_speaks_the_visitors_language(guest: Visitor) -> None:
    response = guest.get("/failing/", headers={"accept-language": "fr"})
    assert response["Content-Language"] == "fr"
    assert '<html lang="fr"' in response.content.decode()


def test_what_operators_wrote_about_a_closure_is_not_shown(guest: Visitor) -> None:
    with override_maintenance("open", message="Moving house"):
        assert b"Moving house" not in guest.get("/failing/").content


def test_programs_get_a_problem_document(guest: Visitor) -> None:
    response = guest.get("/failing/", headers={"accept": "application/json"})
    assert response.status_code == 503
    assert response["Content-Type"] == "application/problem+json"
    assert response["X-Maintenance"] == "outage"
    problem = json.loads(response.content)
    assert problem["status"] == 503
    assert "does not answer" in problem["detail"]


def test_a_broken_template_does_not_take_the_page_away(
    guest: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    outage._prepared.cache_clear()
    monkeypatch.setattr(pages, "TEMPLATE", "no/such.html")
    response = guest.get("/failing/")
    outage._prepared.cache_clear()
    assert response.status_code == 503
    assert b"We have a technical problem" in response.content


def test_whatever_else_fails_there_is_an_answer(
    guest: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(outage, "_page", fail)
    response = guest.get("/failing/")
    assert response.status_code == 503
    assert response["X-Maintenance"] == "outage"
    assert b"We have a technical problem" in response.content


# -- What stays Django's ------------------------------------------------------------------------


def test_the_error_is_logged_and_signalled_as_ever(
    guest: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[object] = []

    def hear(request: HttpRequest, **kwargs: Any) -> None:
        heard.append(request.path)

    got_request_exception.connect(hear)
    try:
        guest.get("/failing/")
    finally:
        got_request_exception.disconnect(hear)
    assert heard == ["/failing/"]
    (record,) = [r for r in caplog.records if r.name == "django.request"]
    assert record.levelno == logging.ERROR
    assert record.getMessage() == "Service Unavailable: /failing/"
    assert record.exc_info is not None
    assert record.exc_info[1] is GONE
    assert record.__dict__["status_code"] == 503
    assert record.__dict__["request"].path == "/failing/"


def test_the_mail_to_the_admins_tells_the_traceback(guest: Visitor) -> None:
    # Django 5.2 wants pairs of name and address, 6.0 the address alone.
    admins = ["ops@example.com"] if django.VERSION >= (6,) else [("Ops", "ops@example.com")]
    with override_settings(ADMINS=admins):
        guest.get("/failing/")
    (message,) = mail.outbox
    assert "OperationalError" in str(message.body)


def test_a_test_client_raises_the_error_as_ever(visitor: Visitor) -> None:
    with pytest.raises(OperationalError, match="gone"):
        visitor.get("/failing/")


@pytest.mark.parametrize(
    "error", [LOCKED, RuntimeError("a mistake"), IntegrityError("twice"), OperationalError("?")]
)
def test_other_errors_are_answered_by_django(
    guest: Visitor, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(Thrown, "error", error)
    response = guest.get("/failing/")
    assert response.status_code == 500
    assert "X-Maintenance" not in response


def test_a_view_that_says_404_because_of_a_fault_has_said_404(
    guest: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Thrown, "error", caused(Http404(), GONE))
    assert guest.get("/failing/").status_code == 404


@override_settings(BACKSOON={})
def test_a_project_that_did_not_ask_for_it_keeps_its_500(guest: Visitor) -> None:
    assert guest.get("/failing/").status_code == 500


def test_where_errors_shall_propagate_they_do(visitor: Visitor) -> None:
    with override_settings(DEBUG_PROPAGATE_EXCEPTIONS=True), pytest.raises(OperationalError):
        visitor.get("/failing/")


@pytest.mark.django_db
def test_an_administrators_view_that_fails_while_closed_tells_the_outage(
    guest: Visitor, root: Any
) -> None:
    guest.login(root)
    with override_maintenance():
        response = guest.get("/failing/")
    assert response["X-Maintenance"] == "outage"


@pytest.mark.usefixtures("closed")
def test_at_the_door_of_a_closed_site_the_page_of_the_closure_comes(
    guest: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise GONE

    monkeypatch.setattr("django.contrib.auth.views.LoginView.get", fail)
    assert guest.get("/login/")["X-Maintenance"] == "closed"


# -- Which errors they are ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "cause",
    [
        raised_by("psycopg", "OperationalError", "connection failed: connection refused"),
        raised_by("psycopg", "OperationalError", "connection timeout expired"),
        raised_by("psycopg", "OperationalError", "terminating connection", code="57P01"),
        raised_by("psycopg", "OperationalError", "crashed", code="57P02"),
        raised_by(
            "psycopg", "OperationalError", "the database system is starting up", code="57P03"
        ),
        raised_by("psycopg", "OperationalError", "too many clients", code="53300"),
        raised_by("psycopg", "OperationalError", "connection failure", code="08006"),
        raised_by("psycopg", "OperationalError", "no connection", code="08001"),
        raised_by("psycopg", "InterfaceError", "the connection is closed"),
        raised_by("psycopg2", "OperationalError", "could not connect to server"),
        raised_by("psycopg2", "OperationalError", code="57P01"),
        raised_by("psycopg2", "InterfaceError", "connection already closed"),
        raised_by("psycopg2", "DatabaseError", "server closed the connection unexpectedly"),
        raised_by("MySQLdb", "OperationalError", 1040, "Too many connections"),
        raised_by("MySQLdb", "OperationalError", 2002, "Can't connect to local server"),
        raised_by("MySQLdb", "OperationalError", 2003, "Can't connect to server"),
        raised_by("MySQLdb", "OperationalError", 2006, "Server has gone away"),
        raised_by("MySQLdb", "OperationalError", 2013, "Lost connection"),
        raised_by("pymysql.err", "InterfaceError", 0, ""),
    ],
    ids=str,
)
def test_a_database_that_cannot_be_reached_is_one(cause: Exception) -> None:
    assert is_unreachable(cause)
    assert is_unreachable(caused(OperationalError("as Django wraps it"), cause))
    wrapped = caused(DatabaseError("as Django wraps it"), cause)
    assert is_unreachable(caused(StoreUnavailableError("as we do"), wrapped))


@pytest.mark.parametrize(
    "cause",
    [
        raised_by("psycopg", "OperationalError", "lock timeout", code="55P03"),
        raised_by("psycopg", "OperationalError", "statement timeout", code="57014"),
        raised_by("psycopg", "OperationalError", "deadlock", code="40P01"),
        raised_by("psycopg", "OperationalError", "could not serialize", code="40001"),
        raised_by("psycopg", "ProgrammingError", "no such table", code="42P01"),
        raised_by("psycopg", "IntegrityError", "twice", code="23505"),
        raised_by("psycopg", "OperationalError", "no space left", code="53100"),
        raised_by("psycopg", "InterfaceError", "the cursor is closed"),
        raised_by("psycopg", "ProgrammingError", "the last operation didn't produce records"),
        raised_by("psycopg2", "OperationalError", code="55P03"),
        raised_by("psycopg2", "InterfaceError", "cursor already closed"),
        raised_by("MySQLdb", "OperationalError", 1205, "Lock wait timeout exceeded"),
        raised_by("MySQLdb", "OperationalError", 1146, "Table doesn't exist"),
        raised_by("MySQLdb", "OperationalError", 3024, "maximum statement execution time exceeded"),
        raised_by("MySQLdb", "OperationalError"),
        sqlite3.OperationalError("database is locked"),
        ValueError("server closed the connection unexpectedly"),
        ConnectionRefusedError("of a cache"),
    ],
    ids=str,
)
def test_a_database_that_is_there_and_says_no_is_none(cause: Exception) -> None:
    assert not is_unreachable(cause)
    assert not is_unreachable(caused(OperationalError("as Django wraps it"), cause))


def test_what_django_says_itself_of_a_closed_connection_is_one() -> None:
    assert is_unreachable(InterfaceError("connection already closed"))
    assert not is_unreachable(InterfaceError("only protocol 3 supported"))
    assert not is_unreachable(ProgrammingError("Cannot operate on a closed cursor."))
    assert not is_unreachable(None)


def test_a_file_of_sqlite_that_cannot_be_opened_is_one(
    tmp_path: Path, django_db_blocker: Any
) -> None:
    nowhere = tmp_path / "no" / "such" / "directory"
    with (
        django_db_blocker.unblock(),
        backsoon_in(nowhere, tables=False),
        pytest.raises(OperationalError) as found,
    ):
        connections[ALIAS].cursor()
    assert is_unreachable(found.value)


def test_a_file_of_sqlite_that_is_locked_or_lacks_a_table_is_none(
    tmp_path: Path, django_db_blocker: Any
) -> None:
    other = sqlite3.connect(tmp_path / "site.sqlite3", isolation_level=None)
    with django_db_blocker.unblock(), backsoon_in(tmp_path / "site.sqlite3", timeout=0):
        cursor = connections[ALIAS].cursor()
        with pytest.raises(OperationalError, match="no such table") as missing:
            cursor.execute("SELECT * FROM nowhere")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(OperationalError, match="locked") as locked:
            cursor.execute("SELECT * FROM sqlite_master")
    other.close()
    assert not is_unreachable(missing.value)
    assert not is_unreachable(locked.value)
