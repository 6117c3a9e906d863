"""Chat services, by way of apprise (extra ``notify``)."""

from __future__ import annotations

import logging

from backsoon import conf
from backsoon.models import Delivery

from . import letters
from .claims import NotSentError
from .receivers import label_of


def send(delivery: Delivery) -> None:
    """Post one message. Raises :class:`NotSentError`."""
    url = next((u for u in conf.current().apprise if label_of(u) == delivery.address), None)
    if url is None:
        raise NotSentError("This service is not in the settings any more.", permanent=True)
    try:
        import apprise
    except ImportError as error:
        raise NotSentError(
            "The package apprise is not installed. Type: pip install 'django-backsoon[notify]'"
        ) from error
    announcement = delivery.announcement
    letter = letters.write(announcement.moment, announcement.facts, delivery.language)
    service = apprise.Apprise()
    if not service.add(url):
        raise NotSentError("apprise does not know this kind of address.", permanent=True)
    # It tells its log why something failed, and us only that it did.
    with apprise.LogCapture(level=logging.WARNING) as said:
        done = service.notify(title=letter.subject, body=letter.text)
        reason = said.getvalue()
    if not done:
        raise NotSentError(_without(url, reason) or "The service did not take it.")


def _without(secret: str, text: str) -> str:
    """*text* without the address, which holds the key to the service."""
    lines = [line for line in text.splitlines() if secret not in line]
    return " ".join(lines)
