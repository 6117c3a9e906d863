"""A small site whose visitors write: the settings of the package's own tests, on real servers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import dj_database_url

from tests.settings import *  # noqa: F403  (this is how Django's settings are extended)

DIRECTORY = Path(os.environ["DEMO_VAR_DIR"])

ROOT_URLCONF = "tests.faults.writers.urls"
ALLOWED_HOSTS = ["*"]

BACKSOON = {
    "EXEMPT": ["/healthz", "/exempt/"],
    "STATE_DIR": DIRECTORY / "state",
    "POLL": float(os.environ.get("WRITERS_POLL", "0.05")),
    "LEASE": float(os.environ.get("WRITERS_LEASE", "1")),
}

DATABASE: dict[str, Any] = {
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": DIRECTORY / "writers.sqlite3",
    "OPTIONS": {
        # As the documentation of Django advises where several processes write.
        "transaction_mode": "IMMEDIATE",
        "timeout": 5,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;",
    },
}
if url := os.environ.get("DATABASE_URL"):
    DATABASE = dict(dj_database_url.parse(url))
DATABASES = {"default": DATABASE}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "loggers": {"backsoon": {"handlers": ["console"], "level": "INFO"}},
}

LOGIN_URL = "/login/"  # nobody logs in here
