"""The tests' site with answers of every kind that a banner might get into, or had better not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.template import Context, Template
from django.urls import path
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import etag

from tests import urls_edges

if TYPE_CHECKING:
    from django.http import HttpRequest

PAGE = "<html><head><title>A page</title></head><body><p>hello</p></body></html>"


def tagged(request: HttpRequest) -> HttpResponse:
    """A page whose template has the tag."""
    html = PAGE.replace("<p>", "{% load backsoon %}{% maintenance_notice %}<p>")
    return HttpResponse(Template(html).render(Context()))


def fragment(request: HttpRequest) -> HttpResponse:
    """A part of a page, as scripts fetch it."""
    return HttpResponse("<p>hello</p>")


def as_json(request: HttpRequest) -> JsonResponse:
    """Markup in what is none."""
    return JsonResponse({"html": PAGE})


def download(request: HttpRequest) -> HttpResponse:
    """A page to be saved, not to be looked at."""
    return HttpResponse(PAGE, headers={"Content-Disposition": 'attachment; filename="a.html"'})


def streamed(request: HttpRequest) -> StreamingHttpResponse:
    """A page of which nobody knows the end."""
    return StreamingHttpResponse(iter([PAGE.encode()]))


@etag(lambda request: "constant")
def with_etag(request: HttpRequest) -> HttpResponse:
    """A page that browsers keep and ask about."""
    headers = {"Cache-Control": "max-age=600", "Last-Modified": "Tue, 01 Jan 2030 00:00:00 GMT"}
    return HttpResponse(PAGE, headers=headers)


@gzip_page
def zipped(request: HttpRequest) -> HttpResponse:
    """A page that is worth compressing."""
    return HttpResponse(PAGE.replace("hello", "hello " * 200))


def asked(request: HttpRequest) -> HttpResponse:
    """Says which encodings it may use."""
    return HttpResponse(request.headers.get("Accept-Encoding", "none"), content_type="text/plain")


urlpatterns = [
    path("tagged/", tagged),
    path("fragment/", fragment),
    path("json/", as_json),
    path("download/", download),
    path("streamed/", streamed),
    path("etag/", with_etag),
    path("zipped/", zipped),
    path("asked/", asked),
    *urls_edges.urlpatterns,
]

handler404 = urls_edges.handler404
