"""Who is told of an announcement: one row for each, made in batches, by whoever comes first.

A run that is killed in the middle is taken up again from the start; the rows that exist already
stay what they are. Nobody has two rows of one announcement, whichever lists they stand in.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
import logging
import re
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any

from django.conf import settings as django_settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import Q

from backsoon import conf, outbox, services, store
from backsoon.core.telling import Moment
from backsoon.models import Announcement, Delivery, Unsubscribed
from backsoon.models.outbox import ADDRESS_LENGTH

from . import claims

logger = logging.getLogger("backsoon")

BATCH = 500
"""How many rows are made at a time."""

BUSY = dt.timedelta(minutes=10)
"""How long nobody else begins with an announcement that somebody is at; renewed with each batch."""

Source = Delivery.Source
Channel = Delivery.Channel


def take_one(now: dt.datetime) -> Announcement | None:
    """An announcement whose receivers are not known yet, held for this process."""
    rows = Announcement.objects.using(store.alias())
    free = rows.filter(Q(claimed_until=None) | Q(claimed_until__lte=now), addressed_at=None)
    token = claims.token()
    for announcement in free.order_by("at", "pk")[:20]:
        mine = free.filter(pk=announcement.pk)
        if mine.update(claimed_by=token, claimed_until=now + BUSY):
            return announcement
    return None


def address(announcement: Announcement, now: dt.datetime) -> int:
    """Make the rows of all who are to be told; how many that are.

    A list of the project's that fails is tried again later; the others are told meanwhile.
    """
    made, problem = 0, ""
    for source, receivers in _lists(announcement):
        try:
            made += _write(announcement, source, receivers, now)
        except Exception as error:
            logger.exception("Backsoon: the list of receivers %r cannot be read.", str(source))
            problem = claims.storable_error(f"{source}: {type(error).__name__}: {error}")
    _done(announcement, problem, now)
    return made


def _done(announcement: Announcement, problem: str, now: dt.datetime) -> None:
    values: dict[str, Any] = {"last_error": problem, "claimed_by": ""}
    attempts = announcement.attempts + 1
    if not problem or attempts >= claims.ATTEMPTS:
        values |= {"addressed_at": now, "claimed_until": None}
    else:
        values["claimed_until"] = now + claims.pause(attempts)
    if problem:
        values["attempts"] = attempts
    rows = Announcement.objects.using(store.alias())
    rows.filter(pk=announcement.pk).update(**values)


def _lists(announcement: Announcement) -> Iterator[tuple[str, Iterable[tuple[str, str]]]]:
    """The lists whose receivers are told of this moment, as (source, (address, language)).

    The short ones first: they must not wait for thousands of customers.
    """
    settings = conf.current()
    own = django_settings.LANGUAGE_CODE
    if _hears(Source.WEBHOOKS, announcement):
        yield Source.WEBHOOKS, [(label_of(hook.url), "") for hook in settings.webhooks]
    if _hears(Source.APPRISE, announcement):
        yield Source.APPRISE, [(label_of(url), own) for url in settings.apprise]
    if _hears(Source.OPERATORS, announcement):
        yield Source.OPERATORS, [(address, own) for address in settings.operators]
    has_asked = outbox.visitors_may_ask() and announcement.moment == Moment.ENDED
    if has_asked and _hears(Source.VISITORS, announcement):
        yield Source.VISITORS, _visitors(announcement)
    if _hears(Source.AUDIENCE, announcement) and settings.audience is not None:
        yield Source.AUDIENCE, _audience()


def _hears(source: str, announcement: Announcement) -> bool:
    settings = conf.current()
    moments = settings.tell.get(source)
    if moments is not None and announcement.moment not in moments:
        return False
    if source == Source.VISITORS:
        return True  # they asked for this one
    if not announcement.facts.get("planned") and source not in settings.tell_unplanned:
        return False
    is_public = source in (Source.AUDIENCE, Source.APPRISE)
    return bool(announcement.facts.get("public", True)) or not is_public


def _audience() -> Iterator[tuple[str, str]]:
    """The project's customers, read bit by bit."""
    settings = conf.current()
    assert settings.audience is not None
    found = settings.audience()
    stream = getattr(found, "iterator", None)
    people = stream(chunk_size=2 * BATCH) if callable(stream) else found
    for person in people:
        address, language = _addressed(person)
        if settings.language_of is not None:
            language = str(settings.language_of(person) or "")
        if address:
            yield address, language


def _addressed(person: Any) -> tuple[str, str]:
    """Address and language of what the project's list holds."""
    if isinstance(person, str):
        return person, ""
    if isinstance(person, (tuple, list)):
        address, language = [*person, "", ""][:2]
        return str(address or ""), str(language or "")
    language = getattr(person, "language", "")
    return str(getattr(person, "email", "") or ""), language if isinstance(language, str) else ""


def _visitors(announcement: Announcement) -> Iterator[tuple[str, str]]:
    """Those who asked while the site was closed, unless it is closed once more."""
    if not services.current_state().is_open:
        return
    subscribers = import_module("backsoon.subscribers")
    for person in subscribers.waiting():
        if person.created_at <= announcement.at:
            yield person.address, person.language


# -- Rows --------------------------------------------------------------------------------------

_CHANNELS: dict[str, str] = {
    Source.WEBHOOKS: Channel.WEBHOOK,
    Source.APPRISE: Channel.CHAT,
}


def _write(
    announcement: Announcement, source: str, receivers: Iterable[tuple[str, str]], now: dt.datetime
) -> int:
    channel = _CHANNELS.get(source, Channel.MAIL)
    made = 0
    for batch in _batched(receivers, BATCH):
        cleaned = dict(_cleaned(batch)) if channel == Channel.MAIL else dict(batch)
        if source == Source.AUDIENCE:
            for refused in unsubscribed(cleaned):
                del cleaned[refused]
        rows = [
            Delivery(
                announcement=announcement,
                channel=channel,
                source=source,
                address=address,
                language=language[:20],
                next_attempt_at=now,
            )
            for address, language in cleaned.items()
        ]
        with transaction.atomic(using=store.alias()):
            _hold(announcement)
            if source == Source.AUDIENCE:
                rows = _without_told_visitors(announcement, rows)
            made += _new(announcement, channel, rows)
            Delivery.objects.using(store.alias()).bulk_create(rows, ignore_conflicts=True)
            if source == Source.VISITORS:
                import_module("backsoon.subscribers").forget([address for address, _l in batch])
    return made


def _hold(announcement: Announcement) -> None:
    """Go on being the one who is at it; also takes the write lock before anything is read."""
    rows = Announcement.objects.using(store.alias()).filter(pk=announcement.pk)
    rows.update(claimed_until=store.utc_now() + BUSY)


def _without_told_visitors(announcement: Announcement, rows: list[Delivery]) -> list[Delivery]:
    """*rows* without those of visitors who were told already, and whose address is not kept."""
    names = {claims.nameless(row): row for row in rows}
    known = Delivery.objects.using(store.alias()).filter(
        announcement=announcement, source=Source.VISITORS, address__in=list(names)
    )
    told = set(known.values_list("address", flat=True))
    return [row for name, row in names.items() if name not in told]


def _new(announcement: Announcement, channel: str, rows: list[Delivery]) -> int:
    known = Delivery.objects.using(store.alias()).filter(
        announcement=announcement, channel=channel, address__in=[row.address for row in rows]
    )
    return len(rows) - known.count()


def _batched(receivers: Iterable[tuple[str, str]], size: int) -> Iterator[list[tuple[str, str]]]:
    stream = iter(receivers)
    while batch := list(itertools.islice(stream, size)):
        yield batch


def _cleaned(batch: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Addresses that a mail can be sent to, each in one spelling."""
    for address, language in batch:
        tidy = spelt(address)
        try:
            validate_email(tidy)
        except ValidationError:
            logger.warning("Backsoon: an address of the list of receivers cannot be used.")
            continue
        if len(tidy) <= ADDRESS_LENGTH:
            yield tidy, language


def spelt(address: str) -> str:
    """*address* in the one spelling in which it is compared: hosts know no capitals."""
    name, at, host = address.strip().rpartition("@")
    return f"{name}{at}{host.lower()}"


def unsubscribed(addresses: Iterable[str]) -> set[str]:
    """Those of *addresses* that want no mail."""
    known = {address: address.lower() for address in addresses}
    rows = Unsubscribed.objects.using(store.alias()).filter(address__in=list(known.values()))
    found = set(rows.values_list("address", flat=True))
    return {address for address, key in known.items() if key in found}


def label_of(url: str) -> str:
    """What a webhook or chat service is called in the table: its address may hold secrets."""
    scheme, _colons, rest = url.partition("://")
    place = re.split(r"[/?#\\]", rest, maxsplit=1)[0]
    host = place.rpartition("@")[2] if scheme in ("http", "https") else "…"
    digest = hashlib.sha256(url.encode()).hexdigest()[:12]
    return f"{scheme}://{host} #{digest}"[-ADDRESS_LENGTH:]
