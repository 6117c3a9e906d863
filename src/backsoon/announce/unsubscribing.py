"""One click, and no more mail as a customer (RFC 8058). Nobody has to log in for that."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_not_required
from django.core import signing
from django.db import IntegrityError, transaction
from django.db.transaction import non_atomic_requests
from django.shortcuts import render
from django.urls import NoReverseMatch, reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from backsoon import conf, store
from backsoon.exceptions import StoreUnavailableError
from backsoon.models import Unsubscribed

from . import letters

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

logger = logging.getLogger("backsoon")

SALT = "backsoon.unsubscribe"
NAME = "backsoon:unsubscribe"

RETRY_SECONDS = 60
"""When to try again where it could not be written down."""

SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; "
    "base-uri 'none'"
)


def url_for(address: str) -> str:
    """Where whoever reads mail at *address* can leave; empty where the site has no address."""
    site = conf.current().site_url
    if not site:
        return ""
    try:
        path = reverse(NAME)
    except NoReverseMatch:
        return ""
    return f"{site}{path}?{urlencode({'who': _signer().sign(address)})}"


def address_in(token: str) -> str | None:
    """The address that *token* stands for; ``None`` unless we have signed it."""
    try:
        return _signer().unsign(token)
    except signing.BadSignature:
        return None


def _signer() -> signing.Signer:
    return signing.Signer(salt=SALT)


def leave(address: str) -> None:
    """No more mail to *address*. Raises :class:`backsoon.exceptions.StoreUnavailableError`."""
    using = store.alias()
    with store.translated_errors():
        try:
            with transaction.atomic(using=using):
                Unsubscribed.objects.using(using).get_or_create(
                    address=address.lower(), defaults={"at": store.utc_now()}
                )
        except IntegrityError:
            return  # the same click, twice


def come_back(address: str) -> None:
    """Mail to *address* again. Raises :class:`backsoon.exceptions.StoreUnavailableError`."""
    with store.translated_errors():
        Unsubscribed.objects.using(store.alias()).filter(address=address.lower()).delete()


# Mail programs post from where no cookie of ours is; the signature says who may.
@csrf_exempt
@login_not_required
@never_cache
@non_atomic_requests  # with ATOMIC_REQUESTS a database that is away would be an error of the view
@require_http_methods(["GET", "HEAD", "POST"])
def unsubscribe(request: HttpRequest) -> HttpResponse:
    """Ask (GET), and do it (POST): one POST without anything else is enough."""
    address = address_in(request.GET.get("who", ""))
    done = ""
    status = HTTPStatus.OK if address is not None else HTTPStatus.NOT_FOUND
    again = request.method == "POST" and "again" in request.POST
    if address is not None and request.method == "POST":
        try:
            (come_back if again else leave)(address)
            done = "back" if again else "left"
        except StoreUnavailableError as error:
            # Not the error's own words: an address may stand there.
            cause = type(error.__cause__ or error).__name__
            logger.warning("Backsoon: who gets mail could not be written down (%s).", cause)
            done, status = "unable", HTTPStatus.SERVICE_UNAVAILABLE
    context: dict[str, Any] = {
        "address": address,
        "done": done,
        "again": again,
        "site": letters.site_name(),
        "site_url": conf.current().site_url or "/",
    }
    response = render(request, "backsoon/unsubscribe.html", context, status=status)
    response["Content-Security-Policy"] = SECURITY_POLICY
    response["Referrer-Policy"] = "no-referrer"
    response["X-Robots-Tag"] = "noindex"
    if done == "unable":
        response["Retry-After"] = str(RETRY_SECONDS)
        response._has_been_logged = True  # type: ignore[attr-defined]
    return response
