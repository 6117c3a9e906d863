"""Words to people, sent by a Celery worker.

``BACKSOON["DELIVER"] = "backsoon.integrations.celery.tasks.deliver_soon"``. Needs the extra
``celery``.
"""

from __future__ import annotations

import time
from typing import Any

from celery import shared_task

from backsoon.announce import delivering

from .marks import maintenance_allowed

ROUND_SECONDS = 600
"""How long one task goes on; what is left then is another one's."""


@shared_task(name="backsoon.deliver", ignore_result=True, expires=3600)  # type: ignore[untyped-decorator]
@maintenance_allowed
def deliver() -> dict[str, Any]:
    """Send what is due."""
    end = time.monotonic() + ROUND_SECONDS
    report = delivering.run(stop=lambda: time.monotonic() > end)
    return {"sent": report.sent, "failed": report.failed, "given_up": report.given_up}


def deliver_soon() -> None:
    """Have a worker send what is due."""
    deliver.delay()
