"""For the tests of projects that use Backsoon.

Under Django's test runner (and pytest-django) no watcher runs and no database is asked: the site
is open unless a test says otherwise, with :class:`override_maintenance`.
"""

from __future__ import annotations

import datetime as dt
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from django.http import HttpResponse
from django.test.utils import TestContextDecorator

from . import store
from .core.vocabulary import Mode, Notice, Policy, Switch
from .gate import gate
from .http import passes, turnstile
from .services import next_generation
from .snapshots import Snapshot

if TYPE_CHECKING:
    from django.test import AsyncClient, Client


class override_maintenance(TestContextDecorator):  # noqa: N801  (named as override_settings is)
    """Close the site for a test, in this process and without touching the database.

    Decorator of functions, coroutine functions and ``TestCase`` classes, and context manager::

        with override_maintenance(message="Moving house"):
            response = self.client.get("/orders/")
        self.assertEqual(response["X-Maintenance"], "closed")

    Logins from before end, as with a real closure, unless *keep_logins*. ``mode`` may be
    ``"closed"``, ``"read_only"`` or ``"open"``.
    """

    def __init__(
        self,
        mode: str = "closed",
        *,
        message: str = "",
        title: str = "",
        until: dt.datetime | None = None,
        since: dt.datetime | None = None,
        keep_logins: bool = False,
    ) -> None:
        super().__init__()
        self.mode = Mode(mode)
        self.notice = Notice(title=title, message=message)
        self.until = until
        self.since = since
        self.keep_logins = keep_logins

    def enable(self) -> None:
        """Install the state in this process's gate."""
        turnstile.renew_all()  # what failed in another test shuts no door in this one
        self.before = gate.view().snapshot
        now = store.utc_now()
        generation = self.before.policy.generation
        if self.mode is Mode.CLOSED and not self.keep_logins:
            generation = next_generation(generation, now)
        policy = Policy(
            switch=Switch(mode=self.mode, since=self.since or now),
            ends_at=self.until,
            generation=generation,
            notices=MappingProxyType({"": self.notice}),
        )
        gate.install(Snapshot(policy=policy, mark=self.before.mark))

    def disable(self) -> None:
        """Bring back what was true before, the ended logins included."""
        gate.install(self.before)


def give_pass(client: Client | AsyncClient, user: Any) -> None:
    """Let *client*, logged in with ``force_login()``, be an administrator while closed.

    A login through the login page brings the pass by itself; ``force_login()`` has no response
    that could carry the cookie.
    """
    response = HttpResponse()
    passes.give_pass(response, user)
    client.cookies.update(response.cookies)
