"""A process with one alternative's site, which measures when it is asked.

It reads one JSON object a line and answers with one, so that the rounds of all alternatives can be
interleaved: whatever else the machine does meets all of them alike. Run as a module with the
environment of the site.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import django

if TYPE_CHECKING:
    from django.http import HttpRequest

ASYNC_PATH, PATH = "/async/", "/"
MOST_REQUESTS = 500
"""Requests made before a round of bare middleware calls; more would only fill the memory."""


class Worker:
    """The site in this process, and everything that can be asked of it."""

    def __init__(self) -> None:
        django.setup()
        from django.core.asgi import get_asgi_application
        from django.core.wsgi import get_wsgi_application

        from benchmarks.site import visits

        self.visits = visits
        self.loop = asyncio.new_event_loop()
        self.packs = 0
        self.wsgi: Any = get_wsgi_application()
        self.asgi: Any = get_asgi_application()

    # -- Speed: each answers with the seconds that one took --------------------------------------

    def whole(self, style: str, cookie: str, count: int) -> dict[str, Any]:
        """Whole requests through Django's handler."""
        return self._visits(self.wsgi, self.asgi, style, cookie, count)

    def guard(self, style: str, cookie: str, count: int) -> dict[str, Any]:
        """Whole requests to the application with the outermost guard around it."""
        from backsoon.guard import asgi, wsgi

        return self._visits(wsgi(self.wsgi), asgi(self.asgi), style, cookie, count)

    def outside(self, style: str, cookie: str, count: int) -> dict[str, Any]:
        """Whole requests to an application that is a constant 503 and nothing else."""
        from benchmarks.site import constants

        return self._visits(constants.wsgi, constants.asgi, style, cookie, count)

    def _visits(self, wsgi: Any, asgi: Any, style: str, cookie: str, count: int) -> dict[str, Any]:
        if style == "wsgi":
            base, visit = self.visits.environ(PATH, cookie), self.visits.visit
            statuses = set()
            watch = _Watch()
            for _ in range(count):
                statuses.add(visit(wsgi, base))
            return {**watch.read(count), "statuses": sorted(statuses)}
        return self.loop.run_until_complete(self._avisits(asgi, cookie, count))

    async def _avisits(self, asgi: Any, cookie: str, count: int) -> dict[str, Any]:
        base, avisit = self.visits.scope(ASYNC_PATH, cookie), self.visits.avisit
        statuses = set()
        watch = _Watch()
        for _ in range(count):
            statuses.add(await avisit(asgi, base))
        return {**watch.read(count), "statuses": sorted(statuses)}

    def call(self, style: str, cookie: str, count: int) -> dict[str, Any]:
        """The middleware alone: requests are there already, and the view is a constant."""
        from django.http import HttpResponse

        count = min(count, MOST_REQUESTS)
        # A middleware may leave something on the response, so each is used once.
        responses = iter([HttpResponse(b"Hello.") for _ in range(count)])
        if style == "wsgi":
            middleware = self._middleware(lambda request: next(responses))
            requests = [self._request(self.visits.wsgi_request(PATH, cookie)) for _ in range(count)]
            with _undisturbed():
                watch = _Watch()
                for request in requests:
                    middleware(request)
                return watch.read(count)

        async def view(request: HttpRequest) -> HttpResponse:
            return next(responses)

        amiddleware = self._middleware(view)
        requests = [
            self._request(self.visits.asgi_request(ASYNC_PATH, cookie)) for _ in range(count)
        ]
        return self.loop.run_until_complete(_acalls(amiddleware, requests))

    def _middleware(self, get_response: Callable[..., Any]) -> Callable[..., Any]:
        """The alternative's middleware around *get_response*, as Django's handler builds it."""
        from asgiref.sync import iscoroutinefunction
        from django.core.handlers.base import BaseHandler
        from django.utils.module_loading import import_string

        from benchmarks.site.settings import SITE

        if not SITE["middleware"]:
            return get_response
        make = import_string(SITE["middleware"])
        if iscoroutinefunction(get_response) and not getattr(make, "async_capable", False):
            handler = BaseHandler()
            sync = handler.adapt_method_mode(False, get_response, True)
            adapted: Callable[..., Any] = handler.adapt_method_mode(True, make(sync), False)
            return adapted
        made: Callable[..., Any] = make(get_response)
        return made

    def _request(self, request: HttpRequest) -> HttpRequest:
        """*request* as it comes to the middleware: further down the stack it has a user."""
        from django.contrib.auth.middleware import AuthenticationMiddleware
        from django.contrib.sessions.middleware import SessionMiddleware

        from benchmarks.site.settings import SITE

        if not SITE["above"]:
            SessionMiddleware(_never).process_request(request)
            AuthenticationMiddleware(_never).process_request(request)
        return request

    # -- Counting ------------------------------------------------------------------------------

    def counts(self, style: str, cookie: str, what: str = "whole") -> dict[str, Any]:
        """Queries and changes of thread in one whole request."""
        from benchmarks.counting import counted

        ask = getattr(self, what)
        ask(style, cookie, 3)  # so that what only a first request does is done
        with counted() as seen:
            statuses = ask(style, cookie, 1)["statuses"]
        return {"queries": seen.queries, "hops": seen.hops, "statuses": statuses}

    def memory(self) -> dict[str, Any]:
        """Resident memory of this process in MB: all, and its share of what is shared."""
        gc.collect()
        lines = Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()
        fields = dict(line.split(":", 1) for line in lines if line.endswith("kB"))
        return {
            name.lower(): int(fields[name].split()[0]) / 1024
            for name in ("Rss", "Pss", "Anonymous")
        }

    def watch_icons(self) -> dict[str, Any]:
        """From now on, notice whether the pack of icons is opened."""
        self.packs = 0

        def notice(event: str, arguments: tuple[Any, ...]) -> None:
            if event == "open" and "icons_data" in str(arguments[0]):
                self.packs += 1

        sys.addaudithook(notice)
        return {}

    def icons(self) -> dict[str, Any]:
        """How often the pack of icons was opened."""
        return {"opened": self.packs}

    def store(self, **values: str) -> dict[str, Any]:
        """Save settings of Backsoon."""
        from backsoon import services
        from backsoon.snapshots import Entry

        services.save_settings({key: Entry(value) for key, value in values.items()})
        return {}

    def touch(self) -> dict[str, Any]:
        """Use the database once, as any site with a login does."""
        from django.contrib.sessions.models import Session

        return {"sessions": Session.objects.count()}

    def poll(self, count: int, full: bool) -> dict[str, Any]:
        """*count* readings as the watcher makes them, on a connection as it has; their CPU time.

        Gives the seconds of this process's thread and the number of the database's process.
        """
        with ThreadPoolExecutor(1) as pool:  # a thread of its own, as the watcher is
            return pool.submit(_readings, count, full).result()

    # -- The state -----------------------------------------------------------------------------

    def close(self) -> dict[str, Any]:
        """Close the site by the alternative's own means."""
        return self._switch(True)

    def open(self) -> dict[str, Any]:
        """Open the site by the alternative's own means."""
        return self._switch(False)

    def switch(self, close: bool) -> dict[str, Any]:
        """Switch as an operator's process does; when it began and when it had done so.

        By the clock that all processes of a machine share.
        """
        from backsoon import services
        from backsoon.gate import gate

        gate.view()
        begun = time.monotonic()
        services.close_site() if close else services.open_site()
        return {"begun": begun, "done": time.monotonic()}

    def wait(self, close: bool) -> dict[str, Any]:
        """Switch and wait until every worker has said that it knows; how long both took."""
        from backsoon import services

        begun = time.monotonic()
        services.close_site(wait=30) if close else services.open_site(wait=30)
        return {"seconds": time.monotonic() - begun}

    def _switch(self, close: bool) -> dict[str, Any]:
        from django.apps import apps

        from benchmarks.site.settings import SITE

        if apps.is_installed("maintenance_mode"):
            from importlib import import_module

            import_module("maintenance_mode.core").set_maintenance_mode(close)
        elif "backsoon" in SITE["middleware"]:
            from backsoon import services
            from backsoon.gate import gate

            gate.view()
            services.close_site() if close else services.open_site()
            deadline = time.monotonic() + 10
            while gate.view().state.is_open is close:
                if time.monotonic() > deadline:
                    raise RuntimeError("The gate did not hear of the change.")
                time.sleep(0.01)
        return {}

    # -- The conversation ----------------------------------------------------------------------

    def answer(self, line: str) -> dict[str, Any]:
        """Do what *line* asks for."""
        question = json.loads(line)
        result: dict[str, Any] = getattr(self, question.pop("do"))(**question)
        return result


def _readings(count: int, full: bool) -> dict[str, Any]:
    from django.db import connections

    from backsoon import store

    store.use_short_timeouts()
    try:
        read = store.load if full else store.read_pulse
        read()  # connects
        process = _backend(connections[store.alias()])
        before, begun, server = _cpu(), time.perf_counter(), backend_seconds(process)
        for _ in range(count):
            read()
        return {
            "client": (_cpu() - before) / count,
            "server": (backend_seconds(process) - server) / count,
            "wall": (time.perf_counter() - begun) / count,
        }
    finally:
        connections.close_all()


def _cpu() -> float:
    return time.clock_gettime(time.CLOCK_THREAD_CPUTIME_ID)


def _backend(connection: Any) -> int | None:
    """The process that serves *connection*; ``None`` where the database is in this one."""
    if connection.vendor != "postgresql":
        return None
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        process: int = cursor.fetchone()[0]
        return process


def backend_seconds(process: int | None) -> float:
    """Processor time of a database's process so far, in seconds (/proc/PID/schedstat)."""
    if process is None:
        return 0.0
    return int(Path(f"/proc/{process}/schedstat").read_text().split()[0]) / 1e9


async def _acalls(middleware: Callable[..., Any], requests: list[HttpRequest]) -> dict[str, Any]:
    with _undisturbed():
        watch = _Watch()
        for request in requests:
            await middleware(request)
        return watch.read(len(requests))


class _Watch:
    """A stopwatch for time that passes, and for processor time of this process."""

    def __init__(self) -> None:
        self._processor, self._wall = time.process_time(), time.perf_counter()

    def read(self, count: int) -> dict[str, Any]:
        """What one of *count* took, in seconds of both kinds."""
        wall, processor = time.perf_counter() - self._wall, time.process_time() - self._processor
        return {"seconds": wall / count, "processor": processor / count}


def _never(request: HttpRequest) -> Any:
    raise AssertionError("Only process_request is used of this one.")


class _undisturbed:  # noqa: N801  (reads as the statement it is)
    """Keep the requests that wait for their turn out of the garbage collector's rounds."""

    def __enter__(self) -> None:
        gc.freeze()

    def __exit__(self, *error: object) -> None:
        gc.unfreeze()


def main() -> None:
    """Answer until nobody asks any more."""
    if len(sys.argv) > 1:
        os.sched_setaffinity(0, {int(sys.argv[1])})
    # What the site prints must not be taken for an answer.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    worker = Worker()
    answers.write("{}\n")
    for line in sys.stdin:
        try:
            answer = worker.answer(line)
        except Exception as error:  # noqa: BLE001  (whoever asked decides what to do)
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
