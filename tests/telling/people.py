"""The customers of the site, and how they come into its database."""

from __future__ import annotations

import datetime as dt
import sys
from typing import Any

import django


def customers() -> Any:
    """All of them."""
    from django.contrib.auth.models import User

    return User.objects.filter(is_active=True).only("email").order_by("pk")


def prepare(count: int) -> None:
    """Make tables, *count* customers and an announced closure."""
    django.setup()
    from django.contrib.auth.models import User
    from django.core.management import call_command

    from backsoon import services

    call_command("migrate", verbosity=0)
    User.objects.bulk_create(
        (User(username=f"c{n}", email=f"customer{n}@example.com") for n in range(count)),
        batch_size=500,
    )
    now = dt.datetime.now(dt.UTC)
    services.schedule(now + dt.timedelta(hours=30), now + dt.timedelta(hours=31))


if __name__ == "__main__":
    prepare(int(sys.argv[1]))
