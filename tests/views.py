"""One view of each kind that a site may have, so that tests can ask each of them while closed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

from django.contrib.auth import aauthenticate, alogin
from django.contrib.auth.views import LoginView, LogoutView
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import render

from backsoon.decorators import always_open

if TYPE_CHECKING:
    from django.http import HttpRequest

STATE_OF_HEALTH = "ok"

CHUNKS = (b"one\n", b"two\n", b"three\n")


def home(request: HttpRequest) -> HttpResponse:
    """A plain view that asks for nothing: no session, no user, no query."""
    return HttpResponse("home")


async def home_async(request: HttpRequest) -> HttpResponse:
    """The same as a coroutine."""
    return HttpResponse("home, async")


def account(request: HttpRequest) -> HttpResponse:
    """A page whose template shows who is logged in, and so touches session and user."""
    return render(request, "tests/account.html")


async def account_async(request: HttpRequest) -> HttpResponse:
    """Says who is logged in, through `request.auser`."""
    user = await request.auser()
    return HttpResponse(user.get_username() or "nobody")


def stream(request: HttpRequest) -> StreamingHttpResponse:
    """A body that is produced while it is sent."""

    def body() -> Iterator[bytes]:
        yield from CHUNKS

    return StreamingHttpResponse(body(), content_type="text/plain")


async def stream_async(request: HttpRequest) -> StreamingHttpResponse:
    """The same with an asynchronous iterator."""

    async def body() -> AsyncIterator[bytes]:
        for chunk in CHUNKS:
            yield chunk

    return StreamingHttpResponse(body(), content_type="text/plain")


def api(request: HttpRequest) -> JsonResponse:
    """What a program talks to: GET, or POST with a body."""
    return JsonResponse({"method": request.method, "size": len(request.body)})


@always_open
def healthy(request: HttpRequest) -> HttpResponse:
    """Stays reachable while the site is closed."""
    return HttpResponse(STATE_OF_HEALTH)


@always_open
async def healthy_async(request: HttpRequest) -> HttpResponse:
    """The same as a coroutine."""
    return HttpResponse("ok, async")


def broken(request: HttpRequest) -> HttpResponse:
    """Fails, as any site's view may."""
    message = "this view always fails"
    raise RuntimeError(message)


async def login_async(request: HttpRequest) -> HttpResponse:
    """A login as a coroutine, the way an API would write it."""
    name, password = request.POST["username"], request.POST["password"]
    user = await aauthenticate(request, username=name, password=password)
    if user is None:
        return HttpResponse("wrong", status=400)
    await alogin(request, user)
    return HttpResponse("welcome")


login = LoginView.as_view(template_name="tests/login.html")
logout = LogoutView.as_view(next_page="home")
