"""Words to people, sent by a worker of ``django.tasks`` (Django 6.0 and newer).

``BACKSOON["DELIVER"] = "backsoon.integrations.django_tasks.deliver_soon"``. This module can be
imported with an older Django; only :func:`deliver_soon` needs a newer one.
"""

from __future__ import annotations

import time
from importlib.util import find_spec
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from backsoon.announce import delivering

ROUND_SECONDS = 600
"""How long one task goes on; what is left then is another one's."""


def deliver() -> None:
    """Send what is due."""
    end = time.monotonic() + ROUND_SECONDS
    delivering.run(stop=lambda: time.monotonic() > end)


if find_spec("django.tasks") is not None:
    from django.tasks import task

    deliver: Any = task()(deliver)  # type: ignore[no-redef]


def deliver_soon() -> None:
    """Have a worker send what is due. Raises ``ImproperlyConfigured`` where Django is too old."""
    if not hasattr(deliver, "enqueue"):
        raise ImproperlyConfigured(
            "backsoon.integrations.django_tasks: this Django has no django.tasks; 6.0 or newer is "
            "needed. Set BACKSOON['DELIVER'] to 'watcher' or 'command'."
        )
    deliver.enqueue()
