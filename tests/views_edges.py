"""Views, middlewares and backends of the less ordinary kind, which real projects have all the same.

Each stands for something that a package around the site may do: rotate a session, wrap a request,
log people in by a link, put markup where a regular expression does not expect it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.contrib import messages
from django.contrib.auth import alogout, get_user, update_session_auth_hash
from django.contrib.auth import login as auth_login
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.middleware import PersistentRemoteUserMiddleware
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpResponse, JsonResponse
from django.utils.decorators import sync_and_async_middleware, sync_only_middleware
from django.utils.functional import SimpleLazyObject

from backsoon.decorators import always_open

if TYPE_CHECKING:
    from django.http import HttpRequest

MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"
NEW_PASSWORD = "another pw"


# -- Who is it? --------------------------------------------------------------------------------


def who(request: HttpRequest) -> HttpResponse:
    """Says who is logged in."""
    return HttpResponse(str(request.user))


async def who_async(request: HttpRequest) -> HttpResponse:
    """The same through `request.auser`."""
    return HttpResponse(str(await request.auser()))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """A 404 page that greets its visitor, as many do in their head."""
    return HttpResponse(f"Nothing here, {request.user}", status=404)


# -- What happens to sessions ------------------------------------------------------------------


def rotate(request: HttpRequest) -> HttpResponse:
    """Gives the session a new key."""
    request.session.cycle_key()
    return HttpResponse("rotated")


async def rotate_async(request: HttpRequest) -> HttpResponse:
    """The same as a coroutine, with something stored afterwards."""
    await request.session.acycle_key()
    await request.session.aset("a", 1)
    return HttpResponse("rotated")


def change_password(request: HttpRequest) -> HttpResponse:
    """Sets another password and stays logged in."""
    assert isinstance(request.user, User)
    request.user.set_password(NEW_PASSWORD)
    request.user.save()
    update_session_auth_hash(request, request.user)
    return HttpResponse("changed")


def prolong(request: HttpRequest) -> HttpResponse:
    """Lets the session live for about a day."""
    request.session.set_expiry(99_999)
    return HttpResponse("prolonged")


async def prolong_async(request: HttpRequest) -> HttpResponse:
    """The same as a coroutine."""
    await request.session.aset_expiry(99_999)
    return HttpResponse("prolonged")


def say_goodbye(request: HttpRequest) -> HttpResponse:
    """Ends the session and leaves a note in the next one."""
    request.session.flush()
    request.session["note"] = "bye"
    return HttpResponse("out")


async def say_goodbye_async(request: HttpRequest) -> HttpResponse:
    """The same as a coroutine, by a logout."""
    await alogout(request)
    await request.session.aset("note", "bye")
    return HttpResponse("out")


def note(request: HttpRequest) -> HttpResponse:
    """Reads that note."""
    return HttpResponse(request.session.get("note", "no note"))


@always_open
def basket(request: HttpRequest) -> HttpResponse:
    """Stores something for anybody, also while the site is closed."""
    request.session["basket"] = 1
    return HttpResponse("stored")


def leave_message(request: HttpRequest) -> HttpResponse:
    """Leaves a message for the next page."""
    messages.info(request, "hello")
    return HttpResponse("left")


def read_messages(request: HttpRequest) -> HttpResponse:
    """Shows what was left."""
    return HttpResponse(",".join(str(message) for message in messages.get_messages(request)))


# -- Logins that take another way --------------------------------------------------------------


class Wrapper:
    """A request around the request, as REST frameworks have it: reads fall through, writes stay."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_request"], name)


def rest_login(request: HttpRequest) -> HttpResponse:
    """Logs in by name through such a wrapper."""
    wrapped: Any = Wrapper(request)
    auth_login(wrapped, User.objects.get(username=request.GET["name"]), backend=MODEL_BACKEND)
    return HttpResponse("in")


@always_open
def careless_login(request: HttpRequest) -> HttpResponse:
    """Logs bob in and catches everything around it, as many an API does."""
    try:
        auth_login(request, User.objects.get(username="bob"), backend=MODEL_BACKEND)
    except Exception:  # noqa: BLE001  (this is what it is about)
        return JsonResponse({"error": "try again later"}, status=400)
    return HttpResponse("in")


class SlowBackend(ModelBackend):
    """Checks passwords so slowly that something happens meanwhile."""

    meanwhile: Callable[[], object] = staticmethod(lambda: None)

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> User | None:
        user = super().authenticate(request, username, password, **kwargs)
        type(self).meanwhile()
        return user

    async def aauthenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> User | None:
        user = await super().aauthenticate(request, username, password, **kwargs)
        await sync_to_async(type(self).meanwhile)()
        return user


class HeaderUserMiddleware(PersistentRemoteUserMiddleware):
    """Logs in whom a header names, once; the header need not come again."""

    header = "HTTP_X_USER"


@sync_only_middleware
def link_login(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Logs in whoever brings a link from a mail, before any view is found."""

    def middleware(request: HttpRequest) -> Any:
        name = request.GET.get("token")
        if name:
            auth_login(request, User.objects.get(username=name), backend=MODEL_BACKEND)
        return get_response(request)

    return middleware


# -- Other middlewares -------------------------------------------------------------------------


@sync_and_async_middleware
def tell_user(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Looks who it is before the view runs, and tells it in a header."""
    if iscoroutinefunction(get_response):

        async def amiddleware(request: HttpRequest) -> Any:
            user = await request.auser()
            response = await get_response(request)
            response["X-User"] = str(user)
            return response

        return amiddleware

    def middleware(request: HttpRequest) -> Any:
        name = str(request.user)
        response = get_response(request)
        response["X-User"] = name
        return response

    return middleware


@sync_and_async_middleware
def own_authentication(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """A project's own authentication: sets `request.user`, and no `request.auser`."""
    if iscoroutinefunction(get_response):

        async def amiddleware(request: Any) -> Any:
            request.user = SimpleLazyObject(partial(get_user, request))
            return await get_response(request)

        return amiddleware

    def middleware(request: Any) -> Any:
        request.user = SimpleLazyObject(partial(get_user, request))
        return get_response(request)

    return middleware


class Machine:
    """A user that is no model: the other end of a connection with a client certificate."""

    is_authenticated = True
    is_active = True

    def __str__(self) -> str:
        return "a machine"


@sync_only_middleware
def machine_user(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Takes everybody for a machine."""

    def middleware(request: Any) -> Any:
        request.user = Machine()
        return get_response(request)

    return middleware


# -- Functions for BACKSOON["GET_USER"] that know nobody ---------------------------------------


async def names_nobody(request: HttpRequest) -> None:
    """Returns nobody, asynchronously."""


def names_anonymous(request: HttpRequest) -> AnonymousUser:
    """Returns a user who is nobody."""
    return AnonymousUser()


def fails_to_name(request: HttpRequest) -> AnonymousUser:
    """Does not expect requests without its header."""
    raise KeyError("no header")


# -- Pages -------------------------------------------------------------------------------------


def in_charset(request: HttpRequest, charset: str) -> HttpResponse:
    """A page of plain letters that says to be in *charset*."""
    content = b"<html><body><p>hello</p></body></html>"
    return HttpResponse(content, content_type=f"text/html; charset={charset}")


def arrow(request: HttpRequest) -> HttpResponse:
    """A start tag whose attribute holds a greater-than sign."""
    return HttpResponse('<html><body x-data="{ open: () => true }" class="a">hi</body></html>')


def script(request: HttpRequest) -> HttpResponse:
    """A script that speaks of a start tag before there is one."""
    return HttpResponse(
        '<html><head><script>var tag = "<body>";</script></head><body>hi</body></html>'
    )


def plain(request: HttpRequest) -> HttpResponse:
    """The smallest page."""
    return HttpResponse("<html><body>hi</body></html>")


def no_content(request: HttpRequest) -> HttpResponse:
    """An answer without a body."""
    return HttpResponse(status=204)


def not_modified(request: HttpRequest) -> HttpResponse:
    """An answer that has none either."""
    return HttpResponse(status=304)


@always_open
def cached(request: HttpRequest) -> HttpResponse:
    """An answer that shared caches may keep."""
    return JsonResponse({"a": 1}, headers={"Cache-Control": "public, max-age=3600"})


def application(request: HttpRequest, place: str) -> HttpResponse:
    """An application of one page, which answers wherever nothing else does."""
    return HttpResponse("<html><body>the application</body></html>")
