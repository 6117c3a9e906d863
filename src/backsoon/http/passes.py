"""The pass: a signed cookie of somebody who was seen to be an administrator.

It says "looking at this user is worth a query", nothing more. Whoever holds one is still judged by
session, hash, activity and permission, so a stolen pass opens nothing. It is not bound to a
closure: the closure must not take it away from the people who need it.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponseBase
from django.utils.cache import patch_vary_headers

COOKIE = "backsoon_pass"
_SALT = "backsoon.pass"


def holds_pass(request: HttpRequest) -> bool:
    """Whether the request brings a pass that we signed, not older than a session may be."""
    return pass_owner(request) is not None


def pass_owner(request: HttpRequest) -> str | None:
    """The primary key, as text, of the user that the pass was made for."""
    return _owner(request, settings.SESSION_COOKIE_AGE)


def owns_pass(request: HttpRequest, user: Any) -> bool:
    """Whether the request brings a valid pass that was made for *user*."""
    return COOKIE in request.COOKIES and pass_owner(request) == str(user.pk)


def is_due(request: HttpRequest) -> bool:
    """Whether the request's pass, whoever's it is, has less than half of its life before it."""
    return _owner(request, settings.SESSION_COOKIE_AGE // 2) is None


def is_fresh(request: HttpRequest, user: Any) -> bool:
    """Whether the pass is this user's and has more than half of its life before it."""
    return _owner(request, settings.SESSION_COOKIE_AGE // 2) == str(user.pk)


def _owner(request: HttpRequest, max_age: int) -> str | None:
    value = request.COOKIES.get(COOKIE)
    if not value:
        return None
    try:
        return signing.TimestampSigner(salt=_SALT).unsign(value, max_age=max_age)
    except signing.BadSignature:
        return None


def give_pass(response: HttpResponseBase, user: Any) -> None:
    """Set the cookie, as long-lived and as protected as the session's."""
    response.set_cookie(
        COOKIE,
        signing.TimestampSigner(salt=_SALT).sign(str(user.pk)),
        max_age=None if settings.SESSION_EXPIRE_AT_BROWSER_CLOSE else settings.SESSION_COOKIE_AGE,
        domain=settings.SESSION_COOKIE_DOMAIN,
        path=settings.SESSION_COOKIE_PATH,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
    patch_vary_headers(response, ("Cookie",))  # no shared cache may hand it to others
