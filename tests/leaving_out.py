"""What becomes of a test that this machine cannot run: left out aloud, and never with CI=true."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def leave_out(reason: str) -> NoReturn:
    """Leave the running test out for *reason*, a sentence. With CI=true that is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason} With CI=true nothing is left out.", pytrace=False)
    pytest.skip(reason)
