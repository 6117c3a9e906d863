"""Words to people, sent by a worker of ``django.tasks`` (Django 6.0 and newer).

``BACKSOON["DELIVER"] = "backsoon.integrations.django_tasks.deliver_soon"``.
"""

from __future__ import annotations

import time
from importlib.util import find_spec

from django.core.exceptions import ImproperlyConfigured

from backsoon.announce import delivering

ROUND_SECONDS = 600
"""How long one task goes on; what is left then is another one's."""

if find_spec("django.tasks") is None:
    raise ImproperlyConfigured(
        "backsoon.integrations.django_tasks: this Django has no django.tasks; 6.0 or newer is "
        "needed. Set BACKSOON['DELIVER'] to 'watcher' or 'command'."
    )

from django.tasks import task  # noqa: E402  (only where there is one)


@task()
def deliver() -> None:
    """Send what is due."""
    end = time.monotonic() + ROUND_SECONDS
    delivering.run(stop=lambda: time.monotonic() > end)


def deliver_soon() -> None:
    """Have a worker send what is due."""
    deliver.enqueue()
