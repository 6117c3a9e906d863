"""The structure that the design promises. The layers themselves are checked by import-linter."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import backsoon.core

SRC = Path(backsoon.core.__file__).resolve().parents[1]
CORE = sorted((SRC / "core").glob("*.py"))
PURE = {
    "__future__", "calendar", "collections", "dataclasses", "datetime", "enum", "ipaddress",
    "itertools", "math", "re", "types", "typing",
}  # fmt: skip


def imported(path: Path) -> set[str]:
    """The top-level packages that a file imports; relative imports count as none."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add((node.module or "").split(".")[0])
    return names


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.name)
def test_the_core_imports_only_pure_parts_of_the_standard_library(path: Path) -> None:
    assert imported(path) <= PURE


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.name)
def test_the_core_reads_no_clock(path: Path) -> None:
    calls = {
        node.func.attr
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    assert not calls & {"now", "utcnow", "today", "time", "monotonic"}


def test_every_value_of_the_core_is_frozen() -> None:
    found = 0
    for module in pkgutil.iter_modules(backsoon.core.__path__, "backsoon.core."):
        for _name, value in inspect.getmembers(importlib.import_module(module.name)):
            if dataclasses.is_dataclass(value) and isinstance(value, type):
                assert value.__dataclass_params__.frozen, value  # type: ignore[attr-defined]
                found += 1
    assert found > 5


def run(code: str) -> str:
    """What *code* prints in a Python of its own."""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_importing_the_package_imports_nothing_else() -> None:
    assert (
        run(
            "import sys; sys.path[:0] = ['src', '.']; import backsoon; "
            "print([m for m in sys.modules if m.startswith(('django', 'backsoon.'))])"
        )
        == "[]"
    )


def test_loading_the_app_starts_no_thread_and_opens_no_connection() -> None:
    assert (
        run(
            "import os, sys, threading; sys.path[:0] = ['src', '.']\n"
            "os.environ['DJANGO_SETTINGS_MODULE'] = 'tests.settings'\n"
            "import django; django.setup()\n"
            "from django.core.wsgi import get_wsgi_application; get_wsgi_application()\n"
            "from django.db import connection; from backsoon.gate import gate\n"
            "print(threading.active_count(), connection.connection, gate.knows)"
        )
        == "1 None False"
    )


def test_the_icon_pack_stays_closed_in_a_process_that_needs_no_icon() -> None:
    assert (
        run(
            "import os, sys; sys.path[:0] = ['src', '.']\n"
            "os.environ['DJANGO_SETTINGS_MODULE'] = 'tests.settings'\n"
            "import django; django.setup()\n"
            "import gzip; gzip.open = None; gzip.GzipFile = None\n"
            "from django.test.utils import setup_test_environment; setup_test_environment()\n"
            "from django.test import Client; from backsoon.testing import override_maintenance\n"
            "with override_maintenance(): print(Client().get('/maintenance/').status_code)"
        )
        == "503"
    )


def test_without_the_apps_it_builds_on_the_check_says_so_instead_of_a_traceback() -> None:
    found = run(
        "import sys; sys.path[:0] = ['src', '.']\n"
        "from django.conf import settings\n"
        "settings.configure(INSTALLED_APPS=['backsoon'], ROOT_URLCONF='types', USE_TZ=True,\n"
        "    DATABASES={'default': {'ENGINE': 'django.db.backends.sqlite3'}})\n"
        "import django; django.setup()\n"
        "from backsoon import checks\n"
        "print(sorted(m.msg for m in checks.check_required_apps() if m.id == 'backsoon.E004'))"
    )
    assert found.count("is not installed") == 3
