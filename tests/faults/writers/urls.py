"""Views that work for a while and write a row at their very end, each in its own way.

``?ms=`` says how long, in milliseconds; ``?note=`` what the row says. Who asks with ``?begun=``
gets one more row at the beginning, with that word and the number of the process.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator

from asgiref.sync import sync_to_async
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt

from .stamps import stamp

CHUNKS = 4


def seconds(request: HttpRequest) -> float:
    """How long the request shall take."""
    return int(request.GET.get("ms", "0")) / 1000


def begin(request: HttpRequest) -> None:
    """Say that the work has begun, to whoever wants to know."""
    if "begun" in request.GET:
        stamp(f"{request.GET['begun']} {os.getpid()}")


def note(request: HttpRequest) -> str:
    """What its row shall say."""
    return request.GET.get("note", request.path)


def healthz(request: HttpRequest) -> HttpResponse:
    """Nothing but an answer, also while the site is closed."""
    return HttpResponse("ok", content_type="text/plain")


@csrf_exempt
def write(request: HttpRequest) -> HttpResponse:
    """Work, then write."""
    begin(request)
    time.sleep(seconds(request))
    stamp(note(request))
    return HttpResponse("written")


@csrf_exempt
async def awrite(request: HttpRequest) -> HttpResponse:
    """The same without holding a thread while it works."""
    await sync_to_async(begin)(request)
    await asyncio.sleep(seconds(request))
    await sync_to_async(stamp)(note(request))
    return HttpResponse("written")


def stream(request: HttpRequest) -> StreamingHttpResponse:
    """A body that comes piece by piece, and writes with its last piece."""

    def body() -> Iterator[bytes]:
        begin(request)
        for _chunk in range(CHUNKS):
            time.sleep(seconds(request) / CHUNKS)
            yield b"piece\n"
        stamp(note(request))
        yield b"written\n"

    return StreamingHttpResponse(body())


async def astream(request: HttpRequest) -> StreamingHttpResponse:
    """The same under ASGI."""

    async def body() -> AsyncIterator[bytes]:
        await sync_to_async(begin)(request)
        for _chunk in range(CHUNKS):
            await asyncio.sleep(seconds(request) / CHUNKS)
            yield b"piece\n"
        await sync_to_async(stamp)(note(request))
        yield b"written\n"

    return StreamingHttpResponse(body())


def fail(request: HttpRequest) -> HttpResponse:
    """Work, write, and fail."""
    begin(request)
    time.sleep(seconds(request))
    stamp(note(request))
    raise RuntimeError("as it was asked to")


def leave(request: HttpRequest) -> HttpResponse:
    """Work, write, and end the process."""
    begin(request)
    time.sleep(seconds(request))
    stamp(note(request))
    raise SystemExit(1)


def transact(request: HttpRequest) -> HttpResponse:
    """Write, then work, and only then let it count."""
    begin(request)
    with transaction.atomic():
        stamp(note(request))
        time.sleep(seconds(request))
    return HttpResponse("written")


def in_the_database(request: HttpRequest) -> HttpResponse:
    """One statement that takes its time on the server and writes a row at its end (PostgreSQL)."""
    begin(request)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO stamp (note) SELECT %s FROM pg_sleep(%s)",
            [note(request), seconds(request)],
        )
    return HttpResponse("written")


urlpatterns = [
    path("healthz", healthz),
    path("write/", write),
    path("awrite/", awrite),
    path("stream/", stream),
    path("astream/", astream),
    path("exempt/write/", write),
    path("fail/", fail),
    path("leave/", leave),
    path("transact/", transact),
    path("in-the-database/", in_the_database),
    path("maintenance/", include("backsoon.urls")),
]
