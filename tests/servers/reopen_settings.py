"""The demo's settings for a site that is checked before it opens."""

from __future__ import annotations

from tests.demo_settings import *  # noqa: F403  (this is how Django's settings are extended)

BACKSOON["REOPEN_CHECKS"] = [  # noqa: F405
    "migrations", "checks", "/", "/login/", "tests.reopen_checks.says_why",
]  # fmt: skip
