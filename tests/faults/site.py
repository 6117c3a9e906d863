"""A site under whose feet things are taken away, and what has to be true meanwhile."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.database_servers import PostgreSQL, Redis, children
from tests.demo_server import PASSWORD, ROOT, WORKERS, DemoServer, until
from tests.faults.visitors import REAL_PAGE, TOKEN, Ask, Reply, burst, percentile

SETTINGS = "tests.faults.settings"

POLL = 1.0
"""How often a process looks, in seconds: the default, which the demo keeps."""

BACK_WITHIN = POLL + 1.0
"""How soon after a fault all has to be well again, in seconds."""

P99_WITHIN = 0.3
"""What 99 of 100 visitors may have to wait, in seconds."""

ONE_WAIT = 0.25
"""What a request may wait for the database while the site is closed, in seconds."""

CROWD = 200

PATHS = ("/", "/orders/", "/login/", "/maintenance/")

CREDENTIALS = f"username=client&password={PASSWORD}&csrfmiddlewaretoken={TOKEN}"


@dataclass
class FaultySite:
    """The demo on a server, with the database and the Redis that it uses."""

    server: DemoServer
    postgresql: PostgreSQL
    database: str
    redis: Redis
    cookies: dict[str, str] = field(default_factory=dict)
    """Who visits, with the cookies that they bring."""
    administrator: str = ""
    """The cookies of somebody who may come in."""
    thief: str = ""
    """The cookies of a customer who has got hold of an administrator's pass."""

    # -- What an operator does -----------------------------------------------------------------

    def close(self, **options: Any) -> None:
        """Close the site, with a customer and an administrator logged in."""
        self.server.open()
        with contextlib.closing(self.server.logged_in("client")) as client:
            customer = client.cookies["sessionid"]
        with contextlib.closing(self.server.logged_in("admin")) as admin:
            own = {name: admin.cookies[name] for name in ("sessionid", "backsoon_pass")}
        self.administrator = "; ".join(f"{name}={value}" for name, value in own.items())
        forged = own["backsoon_pass"][:-4] + "AAAA"
        self.cookies = {
            "nobody": "",
            "a customer": f"sessionid={customer}",
            "a made-up session": "sessionid=0123456789abcdefghijklmnopqrstuv",
            "a forged pass": f"sessionid={customer}; backsoon_pass={forged}",
        }
        self.thief = f"sessionid={customer}; backsoon_pass={own['backsoon_pass']}"
        self.server.close(message=REAL_PAGE, **options)

    def tables(self, *prefixes: str) -> list[str]:
        """The tables whose names begin with one of *prefixes*."""
        rows = self.postgresql.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'", database=self.database
        )
        return [name for (name,) in rows if name.startswith(prefixes)]

    # -- What visitors do ----------------------------------------------------------------------

    def crowd(self, count: int = CROWD) -> list[Ask]:
        """Every kind of visitor at every kind of address, over and over."""
        return visitors_of(self.cookies, count)

    def visit(self, count: int = CROWD) -> list[Reply]:
        """The replies to a crowd that comes at one moment."""
        return burst(self.server.port, self.crowd(count))

    def visits_during(
        self, seconds: float, asks: Sequence[Ask] = (), at_once: int = 7
    ) -> list[Reply]:
        """The replies to small groups that keep coming for some time: of the crowd, if nobody else
        is named.
        """
        replies: list[Reply] = []
        # Each group has visitors and addresses that the last one did not have.
        queue = itertools.cycle(asks or self.crowd(len(self.cookies) * (len(PATHS) + 2)))
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            replies += burst(self.server.port, list(itertools.islice(queue, at_once)))
            time.sleep(0.05)  # the pace at which they come
        return replies

    def ask(self, ask: Ask) -> Reply:
        """The reply to one request."""
        (reply,) = burst(self.server.port, [ask])
        return reply

    # -- What is so ----------------------------------------------------------------------------

    def seconds_until_well(self) -> float:
        """How long it takes until an administrator can work again, on whichever worker."""
        return self.seconds_until_each_worker_says(
            Ask("an administrator", "/orders/", cookies=self.administrator), 200
        )

    def seconds_until_each_worker_says(self, ask: Ask, status: int) -> float:
        """How long it takes until every worker has answered *ask* with *status*."""
        begun = time.monotonic()
        well: set[int] = set()
        last: list[Reply] = []

        def all_do() -> bool | None:
            last[:] = burst(self.server.port, [ask] * WORKERS)
            well.update(reply.worker for reply in last if reply.status == status)
            return True if len(well) >= WORKERS else None

        until(all_do, 15, lambda: f"{ask.path} on all workers; last: {[str(r) for r in last]}")
        return time.monotonic() - begun

    def replace_workers(self, number: int = signal.SIGHUP) -> None:
        """Send *number* to the main process, which starts workers anew, and wait for those."""
        main = self.server.process.pid
        old = set(children(main))
        fresh: set[int] = set()
        # A file, which is answered above our middleware: the first to ask it shall be a visitor.
        asks = [Ask("a browser", "/static/panel/northlight.svg")] * WORKERS
        self.server.signal(number)

        def all_are_new() -> bool | None:
            answering = {reply.worker for reply in burst(self.server.port, asks)}
            fresh.update(answering - old - {0})
            workers_left = old & set(children(main)) & answering
            return True if len(fresh) >= WORKERS and not workers_left else None

        until(all_are_new, 60, lambda: f"new workers for {old}:\n{self.server.words()[-4000:]}")


def python_path(*first: Path) -> str:
    """Where the servers' Python looks for modules, beginning with these directories."""
    return os.pathsep.join(str(path) for path in (*first, ROOT))


def visitors_of(cookies: Mapping[str, str], count: int) -> list[Ask]:
    """So many requests: each visitor, with these cookies, at every kind of address."""
    asks = [
        ask
        for visitor, own in cookies.items()
        for ask in (
            *(Ask(visitor, path, cookies=own) for path in PATHS),
            Ask(visitor, "/orders/new/", "POST", own, "product=polar-s"),
            # Right credentials, which the database would have to confirm.
            Ask(
                visitor, "/login/", "POST",
                f"{own}; csrftoken={TOKEN}".lstrip("; "), CREDENTIALS,
            ),
        )
    ]  # fmt: skip
    return list(itertools.islice(itertools.cycle(asks), count))


def wrong(replies: list[Reply]) -> Iterator[str]:
    """What no visitor of a closed site may get: anything but the page and the administrators'
    way in.
    """
    for reply in replies:
        if not (reply.is_maintenance or reply.is_login_form):
            yield str(reply)


def p99_of_the_page(replies: list[Reply]) -> float:
    """What 99 of 100 of those who got the page had to wait, in seconds.

    How long the login form takes is a matter of the project's view.
    """
    return percentile([reply for reply in replies if not reply.is_login_form], 0.99)
