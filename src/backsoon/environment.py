"""What kind of process this is."""

from __future__ import annotations

import sys


def in_test_environment() -> bool:
    """Whether Django's ``setup_test_environment()`` is in force (also under pytest-django)."""
    utils = sys.modules.get("django.test.utils")
    return hasattr(getattr(utils, "_TestState", None), "saved_data")
