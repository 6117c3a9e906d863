"""The demo's Celery app with tasks that write down, in the broker's Redis, that they ran."""

from __future__ import annotations

import json
import time
from typing import Any

import redis

from backsoon.integrations.celery import maintenance_allowed
from demo.core.celery import app as app

RAN = "tests:ran"
BEGAN = "tests:began"
LET_GO = "tests:let-go"

app.conf.update(
    task_routes={"tests.urgent": {"queue": "urgent"}},
    # Twelve in a minute, if nobody holds it.
    beat_schedule={"count": {"task": "tests.note", "schedule": 0.2, "args": ["beat"]}},
    broker_connection_timeout=2,
)


def store() -> redis.Redis:
    """Where the tasks write."""
    return redis.Redis.from_url(app.conf.broker_url)


def ran(client: redis.Redis) -> list[dict[str, Any]]:
    """What has run so far, in this order."""
    return [json.loads(line) for line in client.lrange(RAN, 0, -1)]


def _write(request: Any, what: Any) -> None:
    line = {"what": what, "retries": request.retries, "at": time.time()}
    store().rpush(RAN, json.dumps(line))


@app.task(name="tests.note", bind=True)  # type: ignore[untyped-decorator]  # Celery has no types
def note(self: Any, what: Any) -> None:
    """Run, and be gone."""
    _write(self.request, what)


@app.task(name="tests.late", bind=True, acks_late=True)  # type: ignore[untyped-decorator]
def late(self: Any, what: Any) -> None:
    """The same, acknowledged when it is done."""
    _write(self.request, what)


@app.task(name="tests.query", bind=True)  # type: ignore[untyped-decorator]
def query(self: Any, what: Any) -> None:
    """The same, after a look at the database."""
    from demo.panel.models import Order

    Order.objects.count()
    _write(self.request, what)


@app.task(name="tests.urgent", bind=True)  # type: ignore[untyped-decorator]
@maintenance_allowed
def urgent(self: Any, what: Any) -> None:
    """The same, also while the site is closed."""
    _write(self.request, what)


@app.task(name="tests.stay", bind=True)  # type: ignore[untyped-decorator]
def stay(self: Any, what: Any) -> None:
    """Run until somebody says that it is enough, for a minute at most."""
    client = store()
    client.rpush(BEGAN, json.dumps(what))
    until = time.monotonic() + 60
    while time.monotonic() < until and not client.exists(LET_GO):
        time.sleep(0.02)
    _write(self.request, what)
