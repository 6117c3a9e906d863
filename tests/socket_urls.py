"""The demo's routes, and streams that do not end by themselves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from django.http import HttpRequest, StreamingHttpResponse
from django.urls import path

from demo.core.urls import urlpatterns as demo_routes


async def _hours(first: bytes) -> AsyncIterator[bytes]:
    yield first
    await asyncio.sleep(3600)


async def events(request: HttpRequest) -> StreamingHttpResponse:
    """Server-sent events: one, and then none for an hour."""
    return StreamingHttpResponse(_hours(b"data: first\n\n"), content_type="text/event-stream")


async def export(request: HttpRequest) -> StreamingHttpResponse:
    """A file that takes an hour."""
    return StreamingHttpResponse(_hours(b"a;b\r\n"), content_type="text/csv")


urlpatterns = [path("events/", events), path("export/", export), *demo_routes]
