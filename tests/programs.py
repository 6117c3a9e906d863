"""Where this machine keeps the programs that some tests start.

Run as a script with a program's name it prints the path, or exits with 1 and what to install.
"""

from __future__ import annotations

import shutil
import sys
from functools import cache
from pathlib import Path

_DEBIAN_PATHS = {
    # The newest version first; `postgres` lies beside `initdb`.
    "postgresql": "usr/lib/postgresql/*/bin/initdb",
    "redis": "usr/bin/redis-server",
    "nginx": "usr/sbin/nginx",
    "faketime": "usr/lib/*/faketime/libfaketimeMT.so.1",
    "iproute2": "usr/*bin/ip",
}
_COMMANDS = {"postgresql": "initdb", "redis": "redis-server", "nginx": "nginx", "iproute2": "ip"}
_PACKAGES = {"redis": "redis-server"}


@cache
def find(name: str) -> Path | None:
    """The file of *name* to start (to preload, for faketime); None where it is not installed."""
    # A foreign wrapper or stub in PATH must not hide the real program.
    installed = sorted(Path("/").glob(_DEBIAN_PATHS[name]), key=_version)
    if installed:
        return installed[-1]
    named = shutil.which(_COMMANDS[name]) if name in _COMMANDS else None
    return Path(named).resolve() if named else None


def obstacle(name: str) -> str | None:
    """Why *name* cannot be started, as a sentence for a person; None when it can."""
    if find(name) is not None:
        return None
    return f"No {name} on this machine: apt-get install {_PACKAGES.get(name, name)}."


def _version(path: Path) -> list[int]:
    return [int(part) for part in path.parts if part.isdigit()]


if __name__ == "__main__":
    asked = sys.argv[1]
    sys.stdout.write(f"{find(asked) or ''}\n")
    sys.exit(obstacle(asked))
