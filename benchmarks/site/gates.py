"""The middlewares that Backsoon is compared with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction
from django.http import HttpResponse
from django.utils.decorators import sync_and_async_middleware

if TYPE_CHECKING:
    from django.http import HttpRequest

GetResponse = Callable[["HttpRequest"], Any]

BODY = b"<!doctype html><title>Back soon</title><p>We will be back soon.</p>"


@sync_and_async_middleware
def no_op(get_response: GetResponse) -> GetResponse:
    """Nothing but a call in between: the least that a middleware can cost."""
    if iscoroutinefunction(get_response):

        async def amiddleware(request: HttpRequest) -> Any:
            return await get_response(request)

        return amiddleware

    def middleware(request: HttpRequest) -> Any:
        return get_response(request)

    return middleware


@sync_and_async_middleware
def constant_503(get_response: GetResponse) -> GetResponse:
    """Refuses everybody with the same bytes: the least that a refusal inside Django can cost."""
    if iscoroutinefunction(get_response):

        async def amiddleware(request: HttpRequest) -> HttpResponse:
            return _refusal()

        return amiddleware

    def middleware(request: HttpRequest) -> HttpResponse:
        return _refusal()

    return middleware


def _refusal() -> HttpResponse:
    return HttpResponse(
        BODY, status=503, headers={"Retry-After": "120", "Cache-Control": "no-store"}
    )


class QueryPerRequest:
    """Asks the database whether the site is open, at each request, behind the authentication."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        from backsoon.models import SystemSetting

        self.settings = SystemSetting.objects
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse | Awaitable[HttpResponse]:
        """Pass an administrator, or anybody while the site is open."""
        setting = self.settings.filter(key="maintenance_mode").first()
        if setting is not None and setting.value == "true" and not request.user.is_superuser:
            return _refusal()
        return self.get_response(request)
