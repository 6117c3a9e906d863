"""Runs the fast suite against the built wheel on each Python × Django this machine can run.

`make matrix` runs them all, `make test` the one tagged as farthest. They are shown by
`.venv/bin/python -m nox --list`. No interpreter is downloaded: what is installed is what is tested,
and what is absent is named.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nox

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
# Django series → the oldest Python that its package metadata allows.
DJANGOS = {"5.2": "3.10", "6.0": "3.12", "6.1": "3.12"}
WHEELS = Path("var/wheel")

nox.options.default_venv_backend = "uv"
nox.options.reuse_venv = "yes"
nox.options.stop_on_first_error = True
os.environ["UV_PYTHON_DOWNLOADS"] = "never"
os.environ.setdefault("UV_LINK_MODE", "copy")


def number(version: str) -> tuple[int, ...]:
    """Turn "3.12" into (3, 12), because as a text "3.9" would come after it."""
    return tuple(int(part) for part in version.split("."))


def find_interpreter(version: str) -> str | None:
    """The path of an installed Python of this version: on the PATH, or one that pyenv made."""
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    releases = [
        folder
        for folder in pyenv.glob(f"versions/{version}.*")
        if folder.name.removeprefix(f"{version}.").isdigit()
    ]
    releases.sort(key=lambda folder: number(folder.name), reverse=True)
    candidates = [
        shutil.which(f"python{version}"),
        *(str(folder / "bin" / "python") for folder in releases),
    ]
    return next((path for path in candidates if path and runs_as(path, version)), None)


def runs_as(path: str, version: str) -> bool:
    """Whether this is a working Python of that version; most of pyenv's shims are not."""
    question = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        answer = subprocess.run(
            [path, "-c", question], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.stdout.strip() == version


INTERPRETERS = {version: path for version in PYTHONS if (path := find_interpreter(version))}
POSSIBLE = [
    (version, django)
    for version in INTERPRETERS
    for django, oldest in DJANGOS.items()
    if number(version) >= number(oldest)
]


def farthest() -> tuple[str, str]:
    """The newest Python with the newest Django.

    With the one of this environment, on which the rest of the suite runs, it bounds the others:
    what breaks between the two alone is rare, and the whole run has to stay short.
    """
    return POSSIBLE[-1]


COMBINATIONS = [
    nox.param(
        *(INTERPRETERS[version], django),
        id=f"python{version}-django{django}",
        tags=["farthest"] if (version, django) == farthest() else [],
    )
    for version, django in POSSIBLE
]


@nox.session(venv_backend="none", default=False)
def wheel(session: nox.Session) -> None:
    """Build the wheel once for all, so that what is tested is what would be published."""
    absent = [version for version in PYTHONS if version not in INTERPRETERS]
    if absent:
        session.warn(f"Left out, not installed on this machine: Python {', '.join(absent)}")
    shutil.rmtree(WHEELS, ignore_errors=True)
    session.run(
        *(sys.executable, "-m", "uv", "build", "--quiet", "--wheel", "--out-dir", str(WHEELS)),
        external=True,
    )


@nox.session(requires=["wheel"])
@nox.parametrize("python,django", COMBINATIONS)
def matrix(session: nox.Session, django: str) -> None:
    """The fast suite and the demo's tests on one Python and one Django series."""
    (built,) = WHEELS.glob("*.whl")
    # Reinstalled each time: its version alone does not tell a new wheel from the last one.
    session.install(
        *("--group", "unit", "--group", "demo", "--reinstall-package", "django-backsoon"),
        *(f"django~={django}.0", str(built)),
    )
    session.run("python", "-m", "django", "--version")
    # The tests themselves come from the tree, the package from the wheel: hence no "src" here.
    session.run(
        *("python", "-m", "pytest", "-q", "-o", "pythonpath=.", "-p", "no:cacheprovider"),
        *("--numprocesses", "auto"),
        *("-m", "not browser and not servers and not exhaustive", *session.posargs),
    )
    session.run(
        *("python", "manage.py", "test", "demo", "--verbosity", "0"),
        env={"DJANGO_SETTINGS_MODULE": "demo.core.settings", "DATABASE_URL": "sqlite://:memory:"},
    )
