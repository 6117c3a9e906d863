"""The system checks: each way of installing Backsoon wrong is told, and the right one is not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.sessions.middleware import SessionMiddleware
from django.core import checks as django_checks
from django.core.checks import CheckMessage
from django.core.checks.registry import registry
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import Resolver404, include, path
from django.views import View

import backsoon
from backsoon import checks
from backsoon.checks import MIDDLEWARE, SUMMARIES
from backsoon.middleware import MaintenanceModeMiddleware

SECURITY = "django.middleware.security.SecurityMiddleware"
WHITENOISE = "whitenoise.middleware.WhiteNoiseMiddleware"
GZIP = "django.middleware.gzip.GZipMiddleware"
SESSION = "django.contrib.sessions.middleware.SessionMiddleware"
AUTH = "django.contrib.auth.middleware.AuthenticationMiddleware"


class Subclass(MaintenanceModeMiddleware):
    """A project's own middleware that builds on ours."""


class OwnSessions(SessionMiddleware):
    """A project's own middleware that builds on Django's."""


def function_middleware(get_response: Any) -> Any:
    """A middleware that is no class."""
    return get_response


def elsewhere(request: HttpRequest, **kwargs: str) -> HttpResponse:
    """A view that stands in the way."""
    return HttpResponse("elsewhere")


class Elsewhere(View):
    """The same as a class."""


def found() -> list[str]:
    """The ids of what the checks say now, without the prefix."""
    return [message.id.removeprefix("backsoon.") for message in checks.run_all() if message.id]


def message() -> CheckMessage:
    """The one thing that the checks say now."""
    (one,) = checks.run_all()
    return one


def routes(*patterns: Any) -> override_settings:
    """Let these be the routes of the site: a list is as good a URL configuration as a module."""
    return override_settings(ROOT_URLCONF=tuple(patterns))


def stack(*middleware: str) -> override_settings:
    return override_settings(MIDDLEWARE=list(middleware))


def templates(folder: Path, **files: str) -> override_settings:
    """Put project templates before those of the apps; ``__`` in a name stands for a slash."""
    for name, text in files.items():
        file = folder.joinpath(*name.split("__")).with_suffix(".html")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    (engine,) = settings.TEMPLATES
    return override_settings(TEMPLATES=[{**engine, "DIRS": [folder]}])


def apps_in_order(*first: str) -> override_settings:
    rest = [app for app in settings.INSTALLED_APPS if app not in first]
    return override_settings(INSTALLED_APPS=[*first, *rest])


# -- The whole ------------------------------------------------------------------------------------


def test_the_right_installation_is_told_nothing() -> None:
    assert checks.run_all() == []


def test_every_id_has_a_summary_and_is_used_in_one_place() -> None:
    source = Path(checks.__file__).read_text(encoding="utf-8")
    summaries, questions = source.split("Found = ", 1)
    assert sorted(re.findall(r'"([EW]\d{3})":', summaries)) == sorted(SUMMARIES)
    assert sorted(re.findall(r'"([EW]\d{3})"', questions)) == sorted(SUMMARIES)


def test_the_letter_of_an_id_is_its_level_and_the_hint_names_its_place_in_the_docs() -> None:
    for number in SUMMARIES:
        made = checks._message(number, "Text.", "Hint.")
        level = django_checks.ERROR if number[0] == "E" else django_checks.WARNING
        assert (made.id, made.level) == (f"backsoon.{number}", level)
        assert made.hint == f"Hint. See docs/reference/checks.md#backsoon-{number.lower()}"


def test_django_asks_every_question() -> None:
    usual = {getattr(check, "__name__", "") for check in registry.get_checks()}
    deployment = {getattr(check, "__name__", "") for check in registry.get_checks(True)}
    assert {question.__name__ for question, _tag in checks.CHECKS} <= usual
    added = {question.__name__ for question, _tag in checks.DEPLOYMENT_CHECKS}
    assert added <= deployment
    assert not added & usual


@stack()
def test_django_gets_the_answers() -> None:
    ids = [message.id for message in django_checks.run_checks(tags=["security"])]
    assert "backsoon.E006" in ids


def test_no_check_asks_a_database() -> None:
    # Without its marker a test that touches the database fails.
    checks.run_all()


@override_settings(SILENCED_SYSTEM_CHECKS=["backsoon.E006"])
@stack()
def test_what_the_project_silences_is_not_told() -> None:
    assert found() == []


# -- Settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, [], "redirect", ({"ANSWER": "redirect"},)])
def test_settings_that_are_no_dict_are_e001(value: object) -> None:
    with override_settings(BACKSOON=value):
        assert found() == ["E001"]


@override_settings(BACKSOON={"EXEMT": ["/health/"]})
def test_a_misspelt_key_is_e002_and_the_right_one_is_offered() -> None:
    assert message().id == "backsoon.E002"
    assert "Did you mean 'EXEMPT'?" in (message().hint or "")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("ANSWER", "teapot", "'redirect' or 'in_place'"),
        ("EXEMPT", ("/health/"), "A comma may be missing"),
        ("EXEMPT", ["/health//ready/"], "a comma missing"),
        ("EXEMPT", ["/"], "would exempt the whole site"),
        ("EXEMPT", ["/.*"], "looks like a pattern"),
        ("EXEMPT_NETWORKS", ["0.0.0.0/0"], "would exempt every address"),
        ("DATABASE", "settings", "there is no database 'settings'"),
        ("GET_USER", "no.such.function", "cannot be imported"),
    ],
)
def test_a_value_that_cannot_be_used_is_e003(key: str, value: object, words: str) -> None:
    with override_settings(BACKSOON={key: value}):
        assert message().id == "backsoon.E003"
        assert words in f"{message().msg} {message().hint}"


@override_settings(BACKSOON={"ANSWR": 1, "POLL": 0, "EXEMPT": "/x/"})
def test_all_problems_of_the_settings_are_told_at_once() -> None:
    assert sorted(found()) == ["E002", "E003", "E003"]


@pytest.mark.parametrize("app", ["auth", "contenttypes", "sessions"])
def test_an_app_that_is_missing_is_e004(app: str, monkeypatch: pytest.MonkeyPatch) -> None:
    missing, is_installed = f"django.contrib.{app}", apps.is_installed
    monkeypatch.setattr(apps, "is_installed", lambda name: name != missing and is_installed(name))
    (told,) = checks.check_required_apps()
    assert told.id == "backsoon.E004"
    assert missing in told.msg


@override_settings(USE_TZ=False)
def test_a_project_without_time_zones_is_e005() -> None:
    assert found() == ["E005"]


class KeepOut:
    """A router that lets nothing of ours into any database."""

    def allow_migrate(self, db: str, app_label: str, **hints: object) -> bool | None:
        return False if app_label == "backsoon" else None


@override_settings(DATABASE_ROUTERS=["tests.unit.test_checks.KeepOut"])
def test_routers_that_keep_the_tables_out_are_e010() -> None:
    assert found() == ["E010"]


@override_settings(BACKSOON={"EXEMPT_NETWORKS": ["10.0.0.0/8", "8.8.8.0/24"]})
def test_a_private_network_without_a_declared_proxy_is_w006() -> None:
    assert message().id == "backsoon.W006"
    assert "10.0.0.0/8" in message().msg
    assert "8.8.8.0/24" not in message().msg


@pytest.mark.parametrize(
    "values",
    [
        {"EXEMPT_NETWORKS": ["10.0.0.0/8"], "TRUSTED_PROXIES": 1},
        {"EXEMPT_NETWORKS": ["8.8.8.0/24"]},
    ],
)
def test_other_networks_are_told_nothing(values: dict[str, object]) -> None:
    with override_settings(BACKSOON=values):
        assert found() == []


# -- Middleware -----------------------------------------------------------------------------------


@stack(SECURITY, SESSION, AUTH)
def test_a_missing_middleware_is_e006() -> None:
    assert found() == ["E006"]


@pytest.mark.parametrize("second", [MIDDLEWARE, "tests.unit.test_checks.Subclass"])
def test_a_middleware_that_stands_there_twice_is_e007(second: str) -> None:
    with stack(SECURITY, MIDDLEWARE, second, SESSION, AUTH):
        assert found() == ["E007"]


@pytest.mark.parametrize("other", [*checks.AFTER, "tests.unit.test_checks.OwnSessions"])
def test_a_middleware_below_one_that_must_come_after_it_is_e008(other: str) -> None:
    with stack(SECURITY, other, MIDDLEWARE):
        assert found() == ["E008"]
    with stack(SECURITY, MIDDLEWARE, other):
        assert found() == []


def test_e008_names_all_that_it_stands_below() -> None:
    with stack(SESSION, AUTH, MIDDLEWARE):
        assert "below SessionMiddleware, AuthenticationMiddleware." in message().msg


@pytest.mark.parametrize("other", [SECURITY, WHITENOISE])
def test_a_middleware_above_one_that_should_come_before_it_is_w001(other: str) -> None:
    with stack(MIDDLEWARE, other, SESSION, AUTH):
        assert found() == ["W001"]


@pytest.mark.parametrize(
    "middleware",
    [
        (SECURITY, MIDDLEWARE, SESSION, AUTH),
        (SECURITY, WHITENOISE, MIDDLEWARE, SESSION, AUTH),
        (GZIP, SECURITY, MIDDLEWARE, SESSION, AUTH),
        (SECURITY, GZIP, MIDDLEWARE, SESSION, AUTH),
        (SECURITY, "tests.unit.test_checks.Subclass", SESSION, AUTH),
        (SECURITY, "tests.unit.test_checks.function_middleware", MIDDLEWARE),
        (SECURITY, "no.such.module.Middleware", MIDDLEWARE),
        (MIDDLEWARE,),
    ],
)
def test_middleware_in_its_place_is_told_nothing(middleware: Sequence[str]) -> None:
    with stack(*middleware):
        assert found() == []


# -- Addresses ------------------------------------------------------------------------------------


def admin_routes() -> list[Any]:
    from django.contrib import admin

    return [
        path("admin/", include("backsoon.admin.urls")),
        path("admin/", admin.site.urls),
    ]


PAGE = path("maintenance/", include("backsoon.urls"))


def test_routes_in_the_documented_order_are_told_nothing() -> None:
    with routes(*admin_routes(), PAGE):
        assert found() == []


def test_a_missing_page_is_w003() -> None:
    with routes(*admin_routes()):
        assert found() == ["W003"]


def test_a_missing_settings_page_is_w004() -> None:
    with routes(admin_routes()[1], PAGE):
        assert found() == ["W004"]


def test_a_project_that_routes_no_admin_needs_no_settings_page() -> None:
    with routes(PAGE):
        assert found() == []


def test_a_settings_page_behind_the_admins_own_routes_is_e009() -> None:
    ours, theirs = admin_routes()
    with routes(theirs, ours, PAGE):
        assert message().id == "backsoon.E009"
        assert "/admin/settings/ should lead to backsoon_admin:settings" in message().msg
        assert "before the admin's own routes" in (message().hint or "")


@pytest.mark.parametrize("view", [elsewhere, Elsewhere.as_view()])
def test_a_page_behind_another_route_is_e009(view: Any) -> None:
    with routes(path("maintenance/<path:rest>", view), path("maintenance/", view), PAGE):
        assert found() == ["E009", "E009"]


@override_settings(ROOT_URLCONF="tests.urls_i18n")
def test_routes_with_a_language_prefix_are_told_nothing() -> None:
    assert found() == []


@override_settings(FORCE_SCRIPT_NAME="/shop")
def test_a_site_below_a_prefix_is_told_nothing() -> None:
    from django.urls import get_script_prefix, set_script_prefix

    before = get_script_prefix()
    set_script_prefix("/shop/")
    try:
        assert found() == []
    finally:
        set_script_prefix(before)


def test_our_routes_below_a_namespace_of_the_project_are_told_nothing() -> None:
    renamed = path("closed/", include(("backsoon.urls", "backsoon"), namespace="house"))
    with routes(*admin_routes(), renamed):
        assert found() == []


def test_an_address_that_does_not_resolve_is_told_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unresolved(path: str) -> None:
        raise Resolver404

    monkeypatch.setattr(checks, "resolve", unresolved)
    assert found() == []


@override_settings(ROOT_URLCONF="no.such.module")
def test_routes_that_cannot_be_imported_are_left_to_django() -> None:
    assert found() == []


# -- Templates ------------------------------------------------------------------------------------


def test_the_app_after_the_admin_is_w002() -> None:
    with apps_in_order("django.contrib.admin", "backsoon"):
        assert message().id == "backsoon.W002"
        assert 'Put "backsoon" before "django.contrib.admin"' in (message().hint or "")


def test_a_full_copy_of_the_admins_template_is_w002_and_named(tmp_path: Path) -> None:
    with templates(tmp_path, admin__base="<html>{% block content %}{% endblock %}</html>"):
        assert message().id == "backsoon.W002"
        assert str(tmp_path / "admin" / "base.html") in (message().hint or "")


def test_a_site_template_that_goes_its_own_way_is_w002(tmp_path: Path) -> None:
    with templates(tmp_path, admin__base_site="<html></html>"):
        assert found() == ["W002"]


def test_a_project_template_that_extends_the_admins_is_told_nothing(tmp_path: Path) -> None:
    extending = '{% extends "admin/base.html" %}{% block footer %}Ours{% endblock %}'
    with templates(tmp_path, admin__base=extending, admin__base_site=extending):
        assert found() == []


def test_a_parent_that_only_rendering_knows_is_told_nothing(tmp_path: Path) -> None:
    with templates(tmp_path, admin__base_site="{% extends theme %}"):
        assert found() == []


def test_a_broken_template_of_the_admin_is_left_to_django(tmp_path: Path) -> None:
    with templates(tmp_path, admin__base_site="{% nonsense %}"):
        assert found() == []


def test_a_project_without_the_admin_is_told_nothing() -> None:
    rest = [app for app in settings.INSTALLED_APPS if app != "django.contrib.admin"]
    with override_settings(INSTALLED_APPS=rest), routes(PAGE):
        assert found() == []


@pytest.mark.parametrize(
    "text", ["{% nonsense %}", "{% if %}", "{% load no_such_library %}", "{% block a %}"]
)
def test_a_page_template_that_cannot_be_read_is_w005(tmp_path: Path, text: str) -> None:
    with templates(tmp_path, backsoon__maintenance=text):
        assert found() == ["W005"]


def test_a_page_template_that_nobody_finds_is_w005() -> None:
    (engine,) = settings.TEMPLATES
    with override_settings(TEMPLATES=[{**engine, "APP_DIRS": False}]):
        assert found() == ["W005"]


def test_a_project_template_for_the_page_is_told_nothing(tmp_path: Path) -> None:
    extending = '{% extends "backsoon/maintenance.html" %}'
    with templates(tmp_path, backsoon__maintenance=extending):
        assert found() == []


@override_settings(USE_I18N=False)
def test_a_project_without_translation_is_told_nothing() -> None:
    assert found() == []


@override_settings(TEMPLATES=[])
def test_a_project_without_templates_is_told_about_the_page_alone() -> None:
    assert found() == ["W005"]


def test_our_template_of_the_admin_is_where_the_check_looks_for_it() -> None:
    assert (Path(backsoon.__file__).parent / "templates" / "admin" / "base.html").is_file()


# -- Visitors who want to be told ----------------------------------------------------------------

SMTP = "django.core.mail.backends.smtp.EmailBackend"


@pytest.mark.parametrize(
    ("asks", "backend", "sender", "expected"),
    [
        (True, SMTP, "hello@example.com", []),
        (True, "anymail.backends.mailgun.EmailBackend", "Shop <hello@example.com>", []),
        (True, SMTP, "webmaster@localhost", ["W013"]),
        (True, "django.core.mail.backends.dummy.EmailBackend", "hello@example.com", ["W013"]),
        (True, "django.core.mail.backends.console.EmailBackend", "hello@example.com", ["W013"]),
        (False, "django.core.mail.backends.dummy.EmailBackend", "webmaster@localhost", []),
    ],
)
def test_a_promise_of_mail_that_cannot_be_kept_is_w013(
    asks: bool, backend: str, sender: str, expected: list[str]
) -> None:
    with override_settings(
        BACKSOON={"TELL_ME": asks}, EMAIL_BACKEND=backend, DEFAULT_FROM_EMAIL=sender
    ):
        assert found() == expected
