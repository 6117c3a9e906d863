"""Some weeks of plausible traffic, so that the quiet hours of the demo have something to show."""

from __future__ import annotations

import datetime as dt
import math
import random
from zoneinfo import ZoneInfo

from django.conf import settings

from backsoon import store
from backsoon.models import Traffic
from backsoon.traffic import hour_of

WEEKS = 6

ALL_MINUTES = (1 << 60) - 1

BUSIEST = 900
"""Requests in the busiest hour of a working day."""

DAYS = (0.95, 1.0, 1.0, 0.97, 0.9, 0.5, 0.42)
"""How busy each day is, from Monday on."""


def seed() -> bool:
    """Store what was never counted, unless something is there; whether it did so."""
    rows = Traffic.objects.using(store.alias())
    if rows.exists():
        return False
    chance = random.Random(8)  # noqa: S311 - the same demo each time
    zone = ZoneInfo(settings.TIME_ZONE)
    now = store.utc_now().replace(minute=0, second=0, microsecond=0)
    hours = [now - dt.timedelta(hours=ago) for ago in range(1, WEEKS * 7 * 24 + 1)]
    rows.bulk_create(
        Traffic(
            hour=hour_of(hour),
            requests=round(_usual(hour.astimezone(zone)) * chance.uniform(0.85, 1.15)),
            minutes=ALL_MINUTES,
        )
        for hour in hours
    )
    return True


def _usual(local: dt.datetime) -> float:
    """Two humps, late in the morning and in the evening, and next to nobody before dawn."""
    hour = local.hour + 0.5
    morning, evening = _hump(hour, 11, 3.2), _hump(hour, 20.5, 2.4)
    return BUSIEST * DAYS[local.weekday()] * (0.004 + morning + 0.7 * evening)


def _hump(hour: float, middle: float, width: float) -> float:
    away = (hour - middle + 12) % 24 - 12
    return math.exp(-((away / width) ** 2))
