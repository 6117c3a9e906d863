"""In which languages the paths of a project are looked up."""

from __future__ import annotations

from types import ModuleType

import pytest
from django.conf import global_settings, settings
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import include, path, re_path
from django.utils.translation import gettext_lazy as _

from backsoon.http import routes


def view(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


def urlconf(name: str, *patterns: object) -> ModuleType:
    module = ModuleType(name)
    vars(module)["urlpatterns"] = [*patterns, path("maintenance/", include("backsoon.urls"))]
    return module


def looked_up(module: object) -> list[str]:
    with override_settings(ROOT_URLCONF=module, LANGUAGES=global_settings.LANGUAGES):
        assert routes.site_routes().page
        return routes._languages()


def test_where_no_path_depends_on_the_language_one_is_enough() -> None:
    assert looked_up(urlconf("plain", path("a/", view))) == [settings.LANGUAGE_CODE]


def test_with_language_prefixes_every_language_is_looked_up() -> None:
    assert len(looked_up("tests.urls_i18n")) == len(global_settings.LANGUAGES)


@pytest.mark.parametrize(
    "pattern",
    [
        path(_("orders/"), view),
        re_path(_("^orders/$"), view),
        path("shop/", include([path(_("orders/"), view)])),
    ],
)
def test_with_a_translated_path_every_language_is_looked_up(pattern: object) -> None:
    assert len(looked_up(urlconf("translated", pattern))) == len(global_settings.LANGUAGES)


@override_settings(LOGIN_URL=_("/log-in/"))
def test_with_a_translated_login_address_every_language_is_looked_up() -> None:
    assert len(looked_up(urlconf("plain", path("a/", view)))) == len(global_settings.LANGUAGES)
