"""The demo's settings, with streams that do not end by themselves."""

from __future__ import annotations

from tests.demo_settings import *  # noqa: F403  (this is how Django's settings are extended)

ROOT_URLCONF = "tests.socket_urls"
