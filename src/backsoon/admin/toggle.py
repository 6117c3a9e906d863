"""``POST /admin/settings/toggle-maintenance/``: the switch for scripts and for the card's dialog.

Everything it says is JSON, refusals included, so that whoever calls it reads one kind of answer.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import BadRequest, RequestDataTooBig, SuspiciousOperation
from django.http import JsonResponse
from django.http.multipartparser import MultiPartParserError
from django.http.request import RawPostDataException
from django.middleware.csrf import CsrfViewMiddleware
from django.utils.decorators import decorator_from_middleware
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt

from backsoon import services, store
from backsoon.core.state import resolve_state
from backsoon.exceptions import ChecksFailedError, ConflictError, StoreUnavailableError
from backsoon.http.users import may_change
from backsoon.models import Change
from backsoon.services import Origin
from backsoon.snapshots import Mark

from .pages import stand_aside, switched_message

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse
    from django.http.response import HttpResponseBase

    from backsoon.services import Outcome

FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")

LONGEST_NUMBER = 18
"""Digits of a number that can be counted to."""


@dataclass(frozen=True, slots=True)
class _Wish:
    """What the body asks for."""

    enabled: bool | None = None
    """``None`` for the other state."""
    seen: Mark | None = None
    """The last switch that whoever asks knows of; ``None`` when they do not say."""
    force: bool = False
    """Whether to open though checks before opening fail."""


class _BadBodyError(Exception):
    """What was sent cannot be understood; the message says why."""


class _CsrfInJson(CsrfViewMiddleware):
    """Django's own check, answering in JSON what it refuses."""

    def _reject(self, request: HttpRequest, reason: str) -> HttpResponse:
        return _refusal(
            403, _("The request was refused: its CSRF token is missing or wrong (%(reason)s).")
            % {"reason": reason},
        )  # fmt: skip


_TOKEN = "csrfmiddlewaretoken"  # noqa: S105  (the name of a field)

_csrf_protect = decorator_from_middleware(_CsrfInJson)


# Exempt from the project's check only because the very same check follows inside.
@csrf_exempt
@never_cache
@login_not_required  # it looks at the user itself, and answers in JSON
def toggle(request: HttpRequest) -> HttpResponseBase:
    """Switch. With ``{"enabled": true|false}`` to that state, without it to the other one.

    With ``{"epoch": 42}`` only if nobody has switched since that number; with ``{"force": true}``
    it opens though checks before opening fail.
    """
    if request.method != "POST":
        response = _refusal(405, _("Use POST."))
        response["Allow"] = "POST"
        return response
    try:
        return _checked_toggle(request)
    except (BadRequest, SuspiciousOperation, MultiPartParserError):
        return _refusal(400, _("The body cannot be read."))


@_csrf_protect
def _checked_toggle(request: HttpRequest) -> HttpResponse:
    if not may_change(getattr(request, "user", None)):
        return _refusal(
            403, _("You lack the permission to change the maintenance of this site.")
        )  # fmt: skip
    try:
        wish = _wish(request)
        stand_aside(request)
        outcome = _switch(wish, _origin(request))
    except _BadBodyError as error:
        return _refusal(400, str(error))
    except ConflictError as error:
        return _refusal(409, str(error))
    except ChecksFailedError as error:
        return _refusal(409, str(error), checks=[result.record() for result in error.results])
    except StoreUnavailableError:
        return _refusal(503, _("The database did not answer. Nothing was changed."))
    return JsonResponse(
        {
            "success": True,
            "maintenance_mode": not outcome.state.is_open,
            "message": switched_message(outcome),
        }
    )


def _switch(wish: _Wish, origin: Origin) -> Outcome:
    wanted, expected = wish.enabled, wish.seen
    if wanted is None:
        # Two who press at once both mean what they saw: the second is told, not undone.
        found = store.load()
        wanted = resolve_state(found.policy, found.windows, store.utc_now()).is_open
        expected = expected or found.mark
    if wanted:
        return services.close_site(origin=origin, expected=expected)
    return services.open_site(origin=origin, expected=expected, force=wish.force)


def _wish(request: HttpRequest) -> _Wish:
    """What the body asks for. Raises ``_BadBodyError``."""
    try:
        if request.content_type in FORM_TYPES and not _is_json_in_disguise(request):
            return _wish_of_form(request)
        text = request.body
    except RequestDataTooBig:
        raise _BadBodyError(_("The request is too large.")) from None
    if not text.strip():
        return _Wish()
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        raise _BadBodyError(_("The body is not valid JSON.")) from None
    return _wish_of_json(body)


def _is_json_in_disguise(request: HttpRequest) -> bool:
    """Whether JSON was sent as a form, which ``curl -d`` does unless told otherwise.

    Read as a form it would name no state, and switch to the other one.
    """
    try:
        return request.body.lstrip().startswith(b"{")
    except RawPostDataException:  # a multipart body was read already, so it is one
        return False


def _wish_of_form(request: HttpRequest) -> _Wish:
    text, number = request.POST.get("enabled"), request.POST.get("epoch")
    seen = _mark(_whole(number)) if number is not None else None
    force = _truth("force", request.POST.get("force", "false"))
    if text is None:
        known = (_TOKEN, "epoch", "force")
        unknown = [n for n in [*request.POST, *request.FILES] if n not in known]
        if unknown:
            # As with JSON: what was perhaps meant to close must not turn into "the other state".
            raise _unknown(unknown[0])
        if not request.POST and _holds_something(request):
            raise _BadBodyError(_("The body cannot be read."))
        return _Wish(seen=seen, force=force)
    return _Wish(_truth("enabled", text), seen, force)


def _truth(name: str, text: str) -> bool:
    if text not in ("true", "false"):
        raise _not_a_truth(name)
    return text == "true"


def _not_a_truth(name: str) -> _BadBodyError:
    return _BadBodyError(_("“%(name)s” must be true or false.") % {"name": name})


def _holds_something(request: HttpRequest) -> bool:
    """Whether the body has more than the closing line of a multipart form without fields."""
    length = request.META.get("CONTENT_LENGTH") or "0"
    boundary = (request.content_params or {}).get("boundary", "")
    empty = len(f"--{boundary}--\r\n") if boundary else 0
    return not length.isdigit() or int(length) > empty


def _wish_of_json(body: Any) -> _Wish:
    if not isinstance(body, dict):
        raise _BadBodyError(_("The body must be a JSON object."))
    unknown = [str(key) for key in body if key not in ("enabled", "epoch", "force")]
    if unknown:
        # A misspelt name must not turn "close" into "the other state".
        raise _unknown(unknown[0])
    for name in ("enabled", "force"):
        if name in body and not isinstance(body[name], bool):
            raise _not_a_truth(name)
    seen = _mark(body["epoch"]) if "epoch" in body else None
    return _Wish(body.get("enabled"), seen, body.get("force", False))


def _unknown(name: str) -> _BadBodyError:
    return _BadBodyError(
        _("Only “enabled”, “epoch” and “force” can be given, not “%(name)s”.") % {"name": name[:50]}
    )


def _whole(text: str) -> int | None:
    is_number = text.isascii() and text.isdigit() and len(text) <= LONGEST_NUMBER
    return int(text) if is_number else None


def _mark(number: object) -> Mark:
    if (
        isinstance(number, int)
        and not isinstance(number, bool)
        and 0 <= number < 10**LONGEST_NUMBER
    ):
        return Mark(number)
    raise _BadBodyError(_("“epoch” must be a whole number, as the page had it."))


def _origin(request: HttpRequest) -> Origin:
    """The card's dialog says that it is a browser; everything else is a program."""
    by_hand = request.headers.get("X-Requested-With") == "XMLHttpRequest"
    channel = Change.Channel.WEB if by_hand else Change.Channel.API
    return Origin(user=request.user, channel=channel)


def _refusal(status: int, message: str, **more: object) -> JsonResponse:
    return JsonResponse({"success": False, "message": message, **more}, status=status)
