"""The mark of views that stay reachable while the site is closed."""

from __future__ import annotations

import asyncio
import inspect

from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.utils.decorators import method_decorator
from django.views import View

from backsoon.decorators import always_open, is_always_open


def plain(request: HttpRequest) -> HttpResponse:
    """The plain view."""
    return HttpResponse("plain")


class Marked(View):
    @method_decorator(always_open)
    def dispatch(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        return HttpResponse("marked")


class Heir(Marked):
    pass


@method_decorator(always_open, name="dispatch")
class MarkedByName(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("by name")


@always_open
class MarkedItself(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("itself")


class Ordinary(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("ordinary")


def test_a_view_is_not_marked_by_itself() -> None:
    assert not is_always_open(plain)
    assert not is_always_open(Ordinary.as_view())
    assert not is_always_open(None)


def test_a_marked_function_is_the_same_function() -> None:
    def view(request: HttpRequest) -> HttpResponse:
        """Says so."""
        return HttpResponse("here")

    assert always_open(view) is view
    assert is_always_open(view)
    assert view.__doc__ == "Says so."


def test_a_marked_coroutine_function_stays_one() -> None:
    @always_open
    async def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse("awaited")

    assert is_always_open(view)
    assert inspect.iscoroutinefunction(view)
    assert asyncio.run(view(RequestFactory().get("/"))).content == b"awaited"


def test_what_as_view_returns_can_be_marked_and_leaves_the_class_unmarked() -> None:
    view = always_open(Ordinary.as_view())
    assert is_always_open(view)
    assert not is_always_open(Ordinary.as_view())


def test_a_class_is_marked_by_its_dispatch_or_by_itself() -> None:
    request = RequestFactory().get("/")
    for view_class, content in (
        (Marked, b"marked"),
        (MarkedByName, b"by name"),
        (MarkedItself, b"itself"),
    ):
        view = view_class.as_view()
        response = view(request)
        assert is_always_open(view)
        assert isinstance(response, HttpResponse)
        assert response.content == content


def test_a_class_that_inherits_a_marked_dispatch_is_marked() -> None:
    assert is_always_open(Heir.as_view())


def test_a_class_that_writes_its_own_dispatch_is_not_marked_by_that_of_its_parent() -> None:
    class Rebel(Marked):
        def dispatch(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
            return HttpResponse("rebel")

    assert not is_always_open(Rebel.as_view())


def test_marking_one_view_marks_no_other() -> None:
    def one(request: HttpRequest) -> HttpResponse:
        return HttpResponse("one")

    always_open(one)
    assert not is_always_open(plain)
