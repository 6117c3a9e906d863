"""The demo's settings for browser tests: the same site, which does not let them wait.

Tests that measure how long something takes use the demo's own settings.
"""

from __future__ import annotations

from demo.core.settings import *  # noqa: F403  (this is how Django's settings are extended)

# Each of a hundred tests waits for each of its changes until all workers know.
BACKSOON["POLL"] = 0.05  # noqa: F405

# The default hasher takes a quarter of a second for each login.
PASSWORD_HASHERS = [
    f"django.contrib.auth.hashers.{name}PasswordHasher" for name in ("MD5", "PBKDF2")
]
