"""One click, and no more mail as a customer (RFC 8058). Nobody has to log in for that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_not_required
from django.core import signing
from django.db import IntegrityError, transaction
from django.shortcuts import render
from django.urls import NoReverseMatch, reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from backsoon import conf, store
from backsoon.models import Unsubscribed

from . import letters

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

SALT = "backsoon.unsubscribe"
NAME = "backsoon:unsubscribe"

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
@require_http_methods(["GET", "HEAD", "POST"])
def unsubscribe(request: HttpRequest) -> HttpResponse:
    """Ask (GET), and do it (POST): one POST without anything else is enough."""
    address = address_in(request.GET.get("who", ""))
    done = ""
    if address is not None and request.method == "POST":
        if "again" in request.POST:
            come_back(address)
            done = "back"
        else:
            leave(address)
            done = "left"
    context: dict[str, Any] = {
        "address": address,
        "done": done,
        "site": letters.site_name(),
        "site_url": conf.current().site_url or "/",
    }
    status = 200 if address is not None else 404
    response = render(request, "backsoon/unsubscribe.html", context, status=status)
    response["Content-Security-Policy"] = SECURITY_POLICY
    response["Referrer-Policy"] = "no-referrer"
    response["X-Robots-Tag"] = "noindex"
    return response
