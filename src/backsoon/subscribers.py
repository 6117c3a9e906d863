"""Addresses of visitors who asked on the page to be told when the site is open again.

They are kept for one mail: whoever sends it forgets them (:func:`forget`), and what nobody has
written to goes after :data:`KEPT`. Nothing of this is in the history, and no address in any log.

This is the only thing that a visitor can make us write while the site is closed. The rows are ours
alone: no signal of the project's is sent, no other table is touched, and whoever writes one sets
the limits within which it has to be done.
"""

from __future__ import annotations

import datetime as dt
import unicodedata
from collections.abc import Iterable, Iterator

from django.core.exceptions import ValidationError
from django.core.validators import EmailValidator
from django.utils.encoding import punycode
from django.utils.translation import gettext_lazy as _

from . import conf, store
from .exceptions import BacksoonError
from .models import Subscriber

KEPT = dt.timedelta(days=30)
"""After this time an address goes, also if nobody has written to it."""

LONGEST_ADDRESS = 254
"""Characters of an address that mail can be sent to (RFC 5321, 4.5.3.1.3, without the brackets)."""

BATCH = 500
"""How many are read at a time."""

_validate = EmailValidator(_("Please enter an e-mail address, such as name@example.com."), None, [])


class NoMorePlacesError(BacksoonError):
    """As many addresses are noted as ``BACKSOON["TELL_ME_MOST"]`` allows."""


def clean_address(text: str) -> str:
    """The address that *text* says, as mail servers take it: the domain in ASCII.

    Raises ``ValidationError`` when it says none that a mail could be sent to from here.
    """
    typed = unicodedata.normalize("NFC", text).strip()
    if not typed:
        raise ValidationError(_("Please enter your e-mail address."), code="required")
    _validate(typed)
    local, _at, domain = typed.rpartition("@")
    try:
        address = f"{local}@{punycode(domain.lower())}"
    except UnicodeError:
        address = ""
    # Django takes quoted names, in which anything may stand, and numbers in place of a domain.
    if not address or len(address) > LONGEST_ADDRESS or len(local) > 64 or set(address) & set('"['):
        raise ValidationError(_validate.message, code="invalid")
    return address


def key_of(address: str) -> str:
    """What all spellings of an *address* have in common that lead to one mailbox.

    Nobody shall get the same mail twice by capitals, by what stands behind a plus sign or, at the
    one provider where they mean nothing, by dots.
    """
    local, _at, domain = address.lower().rpartition("@")
    local = local.partition("+")[0] or local
    if domain in ("gmail.com", "googlemail.com"):
        local, domain = local.replace(".", ""), "gmail.com"
    return f"{local}@{domain}"


def subscribe(address: str, language: str, now: dt.datetime) -> None:
    """Note *address* (a clean one), unless it is noted already; nobody can tell which it was.

    Raises :class:`NoMorePlacesError`, and
    :class:`backsoon.exceptions.StoreUnavailableError` when it cannot be written.
    """
    row = Subscriber(address=address, key=key_of(address), language=language[:20], created_at=now)
    with store.translated_errors():
        rows = Subscriber.objects.using(store.alias())
        if rows.count() >= conf.current().tell_me_most:
            raise NoMorePlacesError("As many addresses are noted as the settings allow.")
        rows.bulk_create([row], ignore_conflicts=True)  # one statement, and no signal


def waiting(batch: int = BATCH) -> Iterator[Subscriber]:
    """Those who wait to be told, in the order in which they came, read *batch* at a time.

    They may be forgotten while this goes on, and nobody is passed over for that. Raises
    :class:`backsoon.exceptions.StoreUnavailableError`.
    """
    last = 0
    while True:
        with store.translated_errors(), store.bounded():
            rows = Subscriber.objects.using(store.alias()).filter(pk__gt=last)
            found = list(rows.order_by("pk")[:batch])
        yield from found
        if len(found) < batch:
            return
        last = found[-1].pk


def count() -> int:
    """How many wait. Raises :class:`backsoon.exceptions.StoreUnavailableError`."""
    with store.translated_errors(), store.bounded():
        return Subscriber.objects.using(store.alias()).count()


def forget(addresses: Iterable[str]) -> int:
    """Delete *addresses*, in whatever spelling; says how many there were.

    Raises :class:`backsoon.exceptions.StoreUnavailableError`.
    """
    gone = 0
    keys = sorted({key_of(address) for address in addresses})
    for start in range(0, len(keys), BATCH):
        with store.translated_errors(), store.bounded():
            rows = Subscriber.objects.using(store.alias())
            gone += rows.filter(key__in=keys[start : start + BATCH]).delete()[0]
    return gone


def purge(now: dt.datetime) -> int:
    """Delete what is older than :data:`KEPT`; says how many.

    Raises :class:`backsoon.exceptions.StoreUnavailableError`.
    """
    with store.translated_errors(), store.bounded():
        old = Subscriber.objects.using(store.alias()).filter(created_at__lt=now - KEPT)
        # Asked first: to delete nothing would take SQLite's write lock all the same.
        return old.delete()[0] if old.exists() else 0
