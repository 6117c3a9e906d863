"""One view that touches nothing, and the doors that every site has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.apps import apps
from django.contrib import admin
from django.contrib.auth.views import LoginView
from django.http import HttpResponse
from django.urls import include, path

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.urls import URLPattern, URLResolver

TEXT = b"Hello."


async def ahello(request: HttpRequest) -> HttpResponse:
    """The view that an async stack reaches without changing threads."""
    return HttpResponse(TEXT)


def hello(request: HttpRequest) -> HttpResponse:
    """The view of the open site."""
    return HttpResponse(TEXT)


urlpatterns: list[URLPattern | URLResolver] = [
    path("", hello),
    path("async/", ahello),
    path("login/", LoginView.as_view(), name="login"),
    path("admin/", admin.site.urls),
]

if apps.is_installed("backsoon"):
    urlpatterns.append(path("maintenance/", include("backsoon.urls")))
