"""What the tests of the outbox share."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.test import override_settings

from backsoon.models import Announcement, Delivery

OPERATORS = {"OPERATORS": ["ops@example.com"], "SITE_URL": "https://shop.example"}


def people() -> list[Any]:
    """The audience of the tests."""
    return [("anna@example.com", "en"), ("zoe@example.com", "fr")]


def telling(**settings: Any) -> Any:
    """The settings of a site that tells people."""
    return override_settings(BACKSOON=OPERATORS | settings)


def moments() -> list[str]:
    """The moments written down so far, the first one first."""
    return list(Announcement.objects.order_by("pk").values_list("moment", flat=True))


def states() -> dict[str, str]:
    """How far each message has come, by address."""
    return dict(Delivery.objects.values_list("address", "state"))


def soon(**length: float) -> dt.datetime:
    return dt.datetime.now(dt.UTC) + dt.timedelta(**length)
