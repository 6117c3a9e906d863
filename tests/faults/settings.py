"""The demo's settings for tests in which things break.

What is measured here is what the demo does: intervals and limits are its own, that is the defaults.
Only what a test has to choose is chosen here, from the environment.
"""

from __future__ import annotations

import os

from demo.core.settings import *  # noqa: F403  (this is how Django's settings are extended)

BACKSOON |= {  # noqa: F405
    "REDIS_URL": os.environ.get("REDIS_URL", ""),
    "STATE_DIR": os.environ.get("FAULTS_STATE_DIR") or VAR_DIR / "state",  # noqa: F405
    "ON_STORE_LOSS": os.environ.get("FAULTS_ON_STORE_LOSS", "keep"),
    "LEASE": float(os.environ.get("FAULTS_LEASE", "5")),
}

ROOT_URLCONF = "tests.faults.urls"

# Texts and templates of the project's own, which some tests break.
LOCALE_PATHS = [VAR_DIR / "locale"]  # noqa: F405
TEMPLATES[0]["DIRS"] = [VAR_DIR / "templates"]  # noqa: F405

# The default hasher takes a quarter of a second of a processor for each login.
PASSWORD_HASHERS = [
    f"django.contrib.auth.hashers.{name}PasswordHasher" for name in ("MD5", "PBKDF2")
]
