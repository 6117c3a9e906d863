"""On what was measured: everything that matters for the numbers, and no name of a machine."""

from __future__ import annotations

import datetime as dt
import os
import platform
import re
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tests import programs

PACKAGES = {
    "Backsoon": "django-backsoon",
    "Django": "django",
    "django-maintenance-mode": "django-maintenance-mode",
    "psycopg": "psycopg",
    "redis-py": "redis",
    "gunicorn": "gunicorn",
    "uvicorn": "uvicorn",
}


def description() -> dict[str, str]:
    """What it is, by name."""
    found = {
        "measured on": f"{dt.datetime.now(dt.UTC):%-d %B %Y}",
        "processor": f"{_processor()}, {len(os.sched_getaffinity(0))} cores",
        "load before": f"{os.getloadavg()[0]:.1f} (processes that want to run, last minute)",
        "system": f"Linux {re.split('[-+]', platform.release())[0]}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
    }
    for name, package in PACKAGES.items():
        try:
            found[name] = version(package)
        except PackageNotFoundError:
            continue
    for name, program, argument in (
        ("PostgreSQL", _beside_initdb(), "--version"),
        ("Redis", programs.find("redis"), "--version"),
        ("nginx", programs.find("nginx"), "-v"),
    ):
        if program is not None:
            found[name] = _version_of(program, argument)
    return found


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _colon, value = line.partition(":")
        if name.strip() == "model name":
            return " ".join(value.split())
    return platform.machine()


def _beside_initdb() -> Path | None:
    initdb = programs.find("postgresql")
    return None if initdb is None else initdb.parent / "postgres"


def _version_of(program: Path, argument: str) -> str:
    done = subprocess.run(
        [str(program), argument], capture_output=True, text=True, timeout=10, check=False
    )
    found = re.search(r"\d+(\.\d+)+", done.stdout + done.stderr)
    return found[0] if found else "unknown"
