"""What a project might have a site show before it opens."""

from __future__ import annotations

import threading

from django.contrib.auth.models import User

never = threading.Event()
"""Nobody sets it but a test that wants a check which hangs to end."""


def content() -> None:
    pass


def agrees() -> bool:
    return True


async def agrees_async() -> bool:
    return True


def says_why() -> str:
    return "the price list is empty"


def refuses() -> bool:
    return False


def raises() -> None:
    raise ValueError("password=hunter2")


def hangs() -> None:
    never.wait(60)


def counts_users() -> str | None:
    return None if User.objects.count() == 1 else "there is not exactly one user"
