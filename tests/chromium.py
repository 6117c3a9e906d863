"""Whether this machine can run browser tests, and with which Chromium.

Run as a script it prints the browser's path, or exits with 1 and the reason.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache
from importlib.util import find_spec

CANDIDATES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")


@cache
def find_chromium() -> str | None:
    """The path of a browser that runs: `$CHROMIUM`, or the first of the usual names.

    Each is asked for its version, because some systems ship a stub that only says where to get one.
    """
    named = os.environ.get("CHROMIUM")
    for candidate in (named,) if named else CANDIDATES:
        path = shutil.which(candidate)
        if path is not None and _runs(path, "--version"):
            return path
    return None


@cache
def obstacle() -> str | None:
    """Why browser tests cannot run here, as a sentence for a person; None when they can."""
    if find_spec("playwright") is None:
        return "Playwright is not installed: run `make test`."
    if not _runs(sys.executable, "-m", "playwright", "--version"):
        return "Playwright's driver does not start: apt-get install libatomic1."
    if find_chromium() is None:
        return "No Chromium on this machine: apt-get install chromium."
    return None


def _runs(*command: str) -> bool:
    try:
        answer = subprocess.run(command, capture_output=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0


if __name__ == "__main__":
    sys.stdout.write(f"{find_chromium() or ''}\n")
    sys.exit(obstacle())
