"""The demo's routes, and one that needs nothing but the process."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import include, path


def quiet(request: HttpRequest) -> HttpResponse:
    """A view that asks neither the database nor a session, and is exempt from nothing."""
    return HttpResponse("quiet", content_type="text/plain")


urlpatterns = [path("quiet/", quiet), path("", include("demo.core.urls"))]
